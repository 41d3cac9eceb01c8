"""Models are tested on the reference kernels, from a fixed seed: what is tested here is not the kernels."""

import pytest

from tomograd import kernels
from tomograd.engine import random


@pytest.fixture(autouse=True)
def reference_kernels():
    random.seed(0)
    with kernels.using("reference"):
        yield
