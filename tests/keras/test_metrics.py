"""Every metric that Keras has too gives its values, batch after batch."""

import keras_oracle
import pytest


@pytest.mark.parametrize("case", keras_oracle.cases("metrics"), ids=str)
def test_values(case):
    keras_oracle.check_metric(case)
