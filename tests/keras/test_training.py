"""Programs that train with Keras train with tomograd in the same way, and Model's methods are Keras's."""

import inspect

import keras_oracle
import numpy as np
import pytest
from training_programs import PROGRAMS

import tomograd as tg
from tomograd.engine.absent import ABSENT_METHODS

CASES = {case.name: case for case in keras_oracle.cases("training")}


@pytest.mark.filterwarnings("ignore:sgd. no gradient")
@pytest.mark.parametrize("name", PROGRAMS)
def test_numbers_of_every_epoch_and_weights_at_the_end(name):
    case = CASES[name]
    model, histories = PROGRAMS[name](tg)
    assert len(histories) == case.parameters["histories"]
    for number, history in enumerate(histories):
        expected = {key.partition("_")[2]: case.array(key) for key in case.values if key.startswith(f"h{number}_")}
        assert set(history) == set(expected)
        for key, values in expected.items():
            np.testing.assert_allclose(history[key], values, rtol=2e-6, atol=1e-9, err_msg=f"{number}, {key}")
    for number, weight in enumerate(model.get_weights()):
        assert weight.dtype == np.float64
        np.testing.assert_allclose(weight, case.array(f"w{number}"), rtol=1e-7, atol=1e-9)


# What differs on purpose: (method, argument): why.
DIFFERENT = {
    ("add_weight", "aggregation"): "for several devices",
    ("add_weight", "overwrite_with_gradient"): "for float8",
    ("add_weight", "autocast"): "there is no lower precision to cast to",
    ("add_weight", "shape"): "() in place of None",
    ("compute_mask", "previous_mask"): "as the layers here call it",
    ("set_weights", "weights"): "arrays",
}


@pytest.mark.parametrize("name", [name for name in keras_oracle.signatures()["Model"] if name not in ABSENT_METHODS])
def test_methods_take_keras_arguments_in_its_order_with_its_defaults(name):
    theirs = [entry for entry in keras_oracle.signatures()["Model"][name] if entry[0][0] != "*"]
    own = inspect.signature(getattr(tg.Model, name)).parameters
    positional = [parameter for parameter in own if parameter not in ("self",)]
    shared = [entry for entry in theirs if (name, entry[0]) not in DIFFERENT]
    for entry in shared:
        assert entry[0] in own, f"{name} has no {entry[0]}: {positional}"
        if len(entry) > 1:
            assert own[entry[0]].default == entry[1], entry[0]
    names = [entry[0] for entry in shared]
    assert [parameter for parameter in positional if parameter in names] == names


@pytest.mark.parametrize("name", ABSENT_METHODS)
def test_methods_that_are_not_here_say_so(name):
    assert name in keras_oracle.signatures()["Model"]
    model = tg.Sequential()
    with pytest.raises(AttributeError, match=f"keras.Model.{name} is not in tomograd: "):
        getattr(model, name)
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute 'nothing'"):
        model.nothing  # noqa: B018
