"""Recurrent functions beside what the registry and the golden values ask: the ways of computing them agree, steps that
are left out are as if they were not there, and empty sequences have states and gradients."""

from unittest import mock

import numpy as np
import pytest
from numerics import assert_close

from tomograd import kernels
from tomograd.engine import Tensor, grad, no_grad
from tomograd.engine import functional as F
from tomograd.testing.arrays import laid_out

GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
CELLS = [("simple_rnn", {}), ("lstm", {}), ("gru", {}), ("gru", {"reset_after": False})]
IDS = ["simple_rnn", "lstm", "gru", "gru, reset before"]
cells = pytest.mark.parametrize(("name", "options"), CELLS, ids=IDS)


@pytest.fixture(autouse=True)
def on_backend(backend):
    with kernels.using(backend.__name__.rpartition(".")[2]):
        yield


def arrays_of(name, options, n=3, steps=4, channels=2, units=5, dtype=np.float64):
    """x, weight, recurrent_weight, bias, and the initial states."""
    rng, columns = np.random.default_rng(7), GATES[name] * units
    biases = (2, columns) if name == "gru" and options.get("reset_after", True) else (columns,)
    shapes = [(n, steps, channels), (channels, columns), (units, columns), biases]
    shapes += [(n, units)] * (2 if name == "lstm" else 1)
    return [(rng.standard_normal(shape) / 2).astype(dtype) for shape in shapes]


def call(name, tensors, **options):
    """All results of a cell: outputs, and the last states."""
    *inputs, bias, h, c = [*tensors, None][: 6 if name == "lstm" else 5] + ([] if name == "lstm" else [None])
    return getattr(F, name)(*inputs, bias, (h, c) if name == "lstm" else h, return_state=True, **options)


def results_and_gradients(name, arrays, recorded=False, **options):
    """Values, and gradients of a random sum of all of them."""
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    results = call(name, tensors, **options)
    rng = np.random.default_rng(1)
    cotangents = [rng.standard_normal(result.shape).astype(result.dtype) for result in results]
    gradients = grad(list(results), tensors, cotangents, create_graph=recorded, allow_unused=True)
    return [result.array for result in results], [g if g is None else g.array for g in gradients]


def assert_the_same(one, other, ulps=256):
    for a, b in zip([*one[0], *one[1]], [*other[0], *other[1]], strict=True):
        assert a.dtype == b.dtype
        assert_close(a, b, ulps, scale=max(1.0, np.abs(b).max(initial=0)))


MASK = np.array([[True, False, True, True], [False, False, True, False], [False, False, False, False]])


@cells
@pytest.mark.parametrize("mask", [None, MASK], ids=["all steps", "masked"])
def test_the_kernel_and_the_steps_agree(name, options, mask):
    """A function that is not known by its name goes step by step; so does a gradient that is recorded."""
    arrays, options = arrays_of(name, options), {**options, "mask": mask}
    fused = results_and_gradients(name, arrays, **options)
    unknown = {"activation": lambda x: F.tanh(x)}
    assert_the_same(results_and_gradients(name, arrays, **options, **unknown), fused)
    assert_the_same(results_and_gradients(name, arrays, recorded=True, **options), fused)
    ones = np.ones((GATES[name], 3, 5))
    assert_the_same(results_and_gradients(name, arrays, **options, recurrent_dropout=ones), fused)


@cells
def test_float32_is_float64_rounded(name, options):
    narrow = results_and_gradients(name, arrays_of(name, options, dtype=np.float32), mask=MASK, **options)
    wide = results_and_gradients(name, arrays_of(name, options), mask=MASK, **options)
    for a, b in zip([*narrow[0], *narrow[1]], [*wide[0], *wide[1]], strict=True):
        assert a.dtype == np.float32
        assert_close(a, b, 128, scale=max(1.0, np.abs(b).max()))


@cells
def test_one_kernel_for_names_and_for_functions(name, options, backend):
    tensors = [Tensor(array) for array in arrays_of(name, options)]
    with mock.patch.object(backend, name, wraps=getattr(backend, name)) as kernel:
        call(name, tensors, **options)
        call(name, tensors, activation=F.tanh, **options)
        assert kernel.call_count == 2
        call(name, tensors, activation="elu", **options)
        assert kernel.call_count == 2


@cells
def test_padded_sequences_are_as_long_as_their_masks_say(name, options):
    arrays = arrays_of(name, options)
    x, *others = arrays
    for length in (1, 2, 3):
        mask = np.broadcast_to(np.arange(4) < length, (3, 4))
        y, *states = call(name, [x, *others], mask=mask, **options)
        short, *short_states = call(name, [x[:, :length], *others], **options)
        np.testing.assert_array_equal(y.array[:, :length], short.array)
        np.testing.assert_array_equal(y.array[:, length:], np.repeat(short.array[:, -1:], 4 - length, 1))
        for state, expected in zip(states, short_states, strict=True):
            np.testing.assert_array_equal(state.array, expected.array)
        zeros = call(name, [x, *others], mask=mask, zero_output_for_mask=True, **options)[0]
        np.testing.assert_array_equal(zeros.array, np.where(mask[..., None], y.array, 0))


@cells
def test_before_the_first_step_that_is_taken_the_output_is_zero(name, options):
    arrays = arrays_of(name, options)
    mask = np.array([[False, True, True, True], [False, False, False, False], [True, True, True, True]])
    y, *states = call(name, arrays, mask=mask, **options)
    later = call(name, [arrays[0][:, 1:], *arrays[1:]], **options)[0]
    assert not y.array[0, 0].any() and not y.array[1].any()
    np.testing.assert_allclose(y.array[0, 1:], later.array[0], rtol=1e-12, atol=1e-12)
    for state, initial in zip(states, arrays[4:], strict=True):
        np.testing.assert_array_equal(state.array[1], initial[1])


@cells
@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)], ids=["no sequences", "no steps", "nothing"])
@pytest.mark.parametrize("recorded", [False, True])
def test_nothing_to_go_through(name, options, shape, recorded):
    n, steps = shape
    arrays = arrays_of(name, options, n, steps)
    (y, *states), gradients = results_and_gradients(name, arrays, recorded, mask=np.ones(shape, bool), **options)
    assert y.shape == (n, steps, 5)
    for state, initial in zip(states, arrays[4:], strict=True):
        np.testing.assert_array_equal(state, initial)  # there is none, or it stays
    for array, gradient in zip(arrays[:4], gradients, strict=False):
        assert gradient is None or (gradient.shape == array.shape and not gradient.any())


@cells
def test_without_initial_states_they_are_zeros(name, options):
    *inputs, _ = arrays = arrays_of(name, options)[: 5 if name != "lstm" else 6]
    inputs = arrays[:4]
    y, *states = getattr(F, name)(*inputs, return_state=True, **options)
    zeros = [np.zeros((3, 5))] * len(states)
    for one, other in zip([y, *states], call(name, [*inputs, *zeros], **options), strict=True):
        np.testing.assert_allclose(one.array, other.array, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(getattr(F, name)(*inputs, **options).array, y.array)


@cells
def test_without_initial_states_nor_steps_states_are_zeros(name, options):
    y, *states = getattr(F, name)(*arrays_of(name, options, steps=0)[:4], return_state=True, **options)
    assert y.shape == (3, 0, 5)
    for state in states:
        np.testing.assert_array_equal(state.array, np.zeros((3, 5)))


def test_one_of_an_lstms_states_may_be_left_out():
    *inputs, h, c = arrays_of("lstm", {})
    mask, zeros = np.array([[False, True, True, True]] * 3), np.zeros((3, 5))
    for given, written_out in [((h, None), (h, zeros)), ((None, c), (zeros, c))]:
        one, other = (F.lstm(*inputs, states, mask, return_state=True) for states in (given, written_out))
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.array, b.array, rtol=1e-13, atol=1e-13)


@cells
@pytest.mark.parametrize("layout", ["transposed", "strided", "read-only"])
def test_arguments_in_any_layout_stay_as_they_are(name, options, layout):
    arrays = arrays_of(name, options)
    given = [laid_out(array, layout) for array in arrays]
    assert_the_same(results_and_gradients(name, given, **options), results_and_gradients(name, arrays, **options), 64)
    for array, then in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(array, then)


@cells
def test_a_second_pass_over_the_same_graph(name, options):
    tensors = [Tensor(array, requires_grad=True) for array in arrays_of(name, options)]
    y, *_ = call(name, tensors, **options)
    dy = np.random.default_rng(2).standard_normal(y.shape)
    first = grad(y, tensors, dy, retain_graph=True, allow_unused=True)
    for one, other in zip(first, grad(y, tensors, dy, allow_unused=True), strict=True):
        np.testing.assert_array_equal(one.array, other.array)


@cells
@pytest.mark.parametrize("unknown", [False, True], ids=["tanh", "softsign"])
def test_factors_of_the_state_are_factors_of_the_weights_it_meets(name, options, unknown):
    """A factor for each gate, sequence and unit: for one sequence, of the rows of each gate's recurrent weights."""
    options = {**options, "activation": "softsign" if unknown else "tanh"}
    x, weight, recurrent_weight, *others, h0 = arrays_of(name, options)[: 6 if name == "lstm" else 5]
    bias, states = others[0], (*others[1:], h0)
    factors = np.random.default_rng(3).uniform(0.5, 2, (GATES[name], 3, 5))
    y, *last = call(name, [x, weight, recurrent_weight, bias, *states], recurrent_dropout=factors, **options)
    for i in range(3):
        rows = np.concatenate([factor[:, None] * np.ones(5) for factor in factors[:, i]], 1)
        own = [x[i : i + 1], weight, recurrent_weight * rows, bias, *[state[i : i + 1] for state in states]]
        for one, other in zip([y, *last], call(name, own, **options), strict=True):
            np.testing.assert_allclose(one.array[i : i + 1], other.array, rtol=1e-12, atol=1e-12)


@cells
def test_each_gradient_alone_is_the_one_among_others(name, options):
    arrays = arrays_of(name, options)
    _, together = results_and_gradients(name, arrays, **options)
    for place, gradient in enumerate(together):
        tensors = [Tensor(array, requires_grad=index == place) for index, array in enumerate(arrays)]
        results = call(name, tensors, **options)
        rng = np.random.default_rng(1)
        cotangents = [rng.standard_normal(result.shape) for result in results]
        np.testing.assert_array_equal(grad(list(results), tensors[place], cotangents).array, gradient)


@cells
def test_only_wanted_gradients_are_computed(name, options, backend):
    x, *others = (Tensor(array) for array in arrays_of(name, options))
    x = Tensor(x.array, requires_grad=True)
    y, *_ = call(name, [x, *others], **options)
    with mock.patch.object(backend, "matmul", wraps=backend.matmul) as products:
        grad(y, x, np.ones(y.shape))
    assert products.call_count == 1  # of z's gradient and the weights


def test_nothing_is_kept_without_gradients():
    tensors = [Tensor(array, requires_grad=True) for array in arrays_of("lstm", {})]
    with no_grad():
        y, *_ = call("lstm", tensors)
    assert not y.requires_grad and y.node is None
