"""Whether gradcheck finds gradients that are wrong, says what is wrong with them, and lets right ones pass."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.engine import Function, Tensor, as_tensor, no_grad
from tomograd.engine import functional as F
from tomograd.testing import GradcheckError, array_function, gradcheck, gradgradcheck
from tomograd.testing import strategies as tg_st
from tomograd.testing.gradcheck import JACOBIAN_ELEMENTS, MOST_ELEMENTS

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
SIZES = {"jacobian": (2, 3), "elements": (25, 4), "directions": (25, 25)}


def square(backward):
    """x² with a gradient to be judged."""
    return array_function(lambda x: x**2, backward)


def affine(backward):
    """x @ w + b, linear in each."""
    return array_function(lambda x, w, b: x @ w + b, backward)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_gradient(dy, x):
    y = softmax(x)
    return y * (dy - (dy * y).sum(-1, keepdims=True))


# ---- right gradients, and how they are looked at ---------------------------------------------------------------------


@pytest.mark.parametrize("method", SIZES)
def test_the_method_follows_the_size(method):
    x = np.random.default_rng(0).standard_normal(SIZES[method])
    report = gradcheck(square(lambda dy, x: 2 * x * dy), x)
    assert [r.method for r in report.inputs] == [method]
    compared = {"jacobian": x.size * (x.size + 1), "elements": x.size, "directions": 8}
    assert report.inputs[0].compared == compared[method]
    assert report.worst.excess < 0.1 and report.worst.input == 0
    assert "derivatives by " + method in str(report)


def test_sizes_at_which_the_method_changes():
    assert np.prod(SIZES["jacobian"]) ** 2 < JACOBIAN_ELEMENTS < np.prod(SIZES["elements"]) ** 2
    assert np.prod(SIZES["elements"]) < MOST_ELEMENTS < np.prod(SIZES["directions"])


@pytest.mark.parametrize("method", SIZES)
@pytest.mark.parametrize("error", [1e-3, 1e-6, -1e-7])
def test_a_gradient_wrong_by_a_factor_is_found_by_every_method(method, error):
    wrong = square(lambda dy, x: 2 * x * dy * (1 + error))
    x = np.random.default_rng(0).standard_normal(SIZES[method])
    with pytest.raises(GradcheckError, match=r"not the derivative: input 0 (at index|along a random direction)"):
        gradcheck(wrong, x)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e150])
def test_a_function_is_judged_alike_at_every_scale(scale):
    right = array_function(lambda x: np.sin(x) * scale, lambda dy, x: np.cos(x) * scale * dy)
    wrong = array_function(lambda x: np.sin(x) * scale, lambda dy, x: np.cos(x) * (scale * dy) * (1 + 1e-6))
    gradcheck(right, X)
    with pytest.raises(GradcheckError, match="not the derivative"):
        gradcheck(wrong, X)


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1e4, 1e9, 1e150])
def test_inputs_of_every_size(scale):
    x = np.array([1.0, -2.0, 3.0]) * scale
    gradcheck(array_function(lambda x: 1 / x, lambda dy, x: -dy / x**2), x)
    gradcheck(array_function(lambda x: np.sin(x / scale), lambda dy, x: dy * np.cos(x / scale) / scale), -np.abs(x))
    with pytest.raises(GradcheckError, match="not the derivative"):
        gradcheck(array_function(lambda x: 1 / x, lambda dy, x: -dy / x**2 * 1.00001), x)


# Functions that are defined on one side only, or have a pole, so close to some of the numbers that a step which suits
# the others leaves where they are defined.
ONE_SIDED = {
    "log": (np.log, lambda x: 1 / x, 1e-8),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), 1e-12),
    "x log x": (lambda x: x * np.log(x), lambda x: np.log(x) + 1, 1e-9),
    "1/x": (lambda x: 1 / x, lambda x: -1 / x**2, 1e-4),
    "log of a negative number": (lambda x: np.log(-x), lambda x: 1 / x, -1e-8),
}


@pytest.mark.parametrize("name", ONE_SIDED)
@pytest.mark.parametrize("shape", [(2,), *SIZES.values()])
def test_small_numbers_beside_large_ones_get_steps_of_their_own(name, shape):
    function, slope, smallest = ONE_SIDED[name]
    x = np.sign(smallest) * np.random.default_rng(0).uniform(abs(smallest), 0.75, shape)
    x.flat[0] = smallest
    gradcheck(array_function(function, lambda dy, x: dy * slope(x)), x)
    with pytest.raises(GradcheckError, match="is not the derivative"):
        gradcheck(array_function(function, lambda dy, x: dy * slope(x) * 1.001), x)


@pytest.mark.parametrize("x", [[1e-9, 1.0], [1e-9, -1e-10], [-1e-12]])
def test_small_numbers_that_hardly_count_get_the_steps_of_large_ones(x):
    x = np.array(x)
    gradcheck(array_function(np.exp, lambda dy, x: dy * np.exp(x)), x)
    for at in range(len(x)):
        factor = np.where(np.arange(len(x)) == at, 1 + 1e-6, 1)
        with pytest.raises(GradcheckError, match=rf"is not the derivative: input 0 at index \({at},\)"):
            gradcheck(array_function(np.exp, lambda dy, x, factor=factor: dy * factor * np.exp(x)), x)


@pytest.mark.parametrize("method", SIZES)
@pytest.mark.parametrize("tolerance", [1e-8, 1e-6, 1e-3])
def test_what_is_within_the_tolerance_passes_and_nothing_else(method, tolerance):
    x = np.full(SIZES[method], 0.75)

    def off_by(share):
        return array_function(np.sin, lambda dy, x: dy * np.cos(x) * (1 + share * tolerance))

    gradcheck(off_by(0.8), x, tolerance=tolerance, method=method)
    with pytest.raises(GradcheckError, match="is not the derivative"):
        gradcheck(off_by(1.5), x, tolerance=tolerance, method=method)


def test_where_no_step_stays_within_the_domain_the_message_says_so():
    x = np.array([1 - 1e-12, 0.5])
    with pytest.raises(GradcheckError, match="values a step away are not finite: a smaller step"):
        gradcheck(array_function(np.arcsin, lambda dy, x: dy / np.sqrt(1 - x * x)), x)


def test_an_output_far_smaller_than_the_others_is_judged_by_itself():
    def forward(x):
        return np.stack([np.exp(x) * 1e4, np.sin(x)])

    def backward(dy, x, wrong=0.0):
        return dy[0] * np.exp(x) * 1e4 + dy[1] * np.cos(x) * (1 + wrong)

    gradcheck(array_function(forward, backward), X)
    with pytest.raises(GradcheckError, match=r"output \(1, \d, \d\)"):
        gradcheck(array_function(forward, lambda dy, x: backward(dy, x, 1e-6)), X)


def test_a_gradient_that_is_zero_everywhere():
    gradcheck(array_function(lambda x: np.floor(x), lambda dy, x: np.zeros_like(x)), X)
    with pytest.raises(GradcheckError, match=r"analytic 1e-09, numeric 0,"):
        gradcheck(array_function(lambda x: np.floor(x), lambda dy, x: np.full_like(x, 1e-9)), X)


@given(seed=st.integers(0, 99))
def test_a_product_of_which_two_factors_are_zero(seed):
    """It is 0 at x, its gradient is 0, and beside x it is not: there it rounds more than at x."""
    gradcheck(lambda x: F.prod(x), [np.array([0.0, 2.0, 0.0, -1.0])], method="directions", seed=seed)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (1, 1)])
def test_shapes_with_nothing_or_one_number_in_them(shape):
    report = gradcheck(square(lambda dy, x: 2 * x * dy), np.full(shape, 0.7), step=1)
    assert report.inputs[0].compared == 2 * np.prod(shape)
    assert (report.inputs[0].input, report.inputs[0].method) == (0, "jacobian")
    gradcheck(lambda x: F.sum(x * x), [np.full(shape, 0.7)])
    gradgradcheck(lambda x: F.sum(x * x), [np.full(shape, 0.7)])


def test_an_output_without_numbers():
    report = gradcheck(array_function(lambda x: x[:0], lambda dy, x: np.zeros_like(x)), X)
    assert report.inputs[0].compared == 0 and report.worst is None


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "reversed", "read-only"])
def test_inputs_keep_their_layout(layout):
    seen, x = [], tg_st.laid_out(X, layout)

    def forward(x):
        seen.append((x.strides, x.flags.writeable))
        return x**2

    gradcheck(array_function(forward, lambda dy, x: 2 * x * dy), x)
    assert (x.strides, x.flags.writeable) in seen
    gradcheck(F.tanh, [x])
    gradcheck(F.matmul, [x, tg_st.laid_out(X.T, layout)], linear=(0, 1))


def test_labels_and_masks_are_passed_on():
    mask = np.array([[True, False, True], [False, False, True]])
    report = gradcheck(lambda x, m, y: F.where(m, x, y), [X, mask, Y], linear=(0, 2))
    assert [r.input for r in report.inputs] == [0, 2]
    labels = np.array([0, 2])
    gradcheck(F.sparse_cross_entropy, [X, labels])
    gradgradcheck(F.sparse_cross_entropy, [X, labels])


def test_tensors_and_arrays_with_get_are_inputs_too():
    class OnDevice:
        def get(self):
            return X

    gradcheck(F.add, [Tensor(X), OnDevice()])


def test_where_no_gradients_are_recorded_the_check_records_them():
    with no_grad():
        gradcheck(F.tanh, X)
        gradgradcheck(F.tanh, X)
    with pytest.raises(GradcheckError, match="input 0 has no gradient"):
        gradcheck(lambda x: F.tanh(x.detach()), X)


def test_functions_of_several_outputs():
    gradcheck(lambda x: (F.exp(x), F.sum(x, 1)), [X])
    gradgradcheck(lambda x, y: (x * y, F.sum(x, 1)), [X, Y])
    parts = array_function(lambda x: (np.exp(x), x.sum(1)), lambda dy, x: dy[0] * np.exp(x) + dy[1][:, None])
    assert gradcheck(parts, X).inputs[0].compared == 6 * (8 + 1)
    wrong = array_function(lambda x: (np.exp(x), x.sum(1)), lambda dy, x: dy[0] * np.exp(x) - dy[1][:, None])
    with pytest.raises(GradcheckError, match=r"output \([67],\): analytic -1, numeric 1"):
        gradcheck(wrong, X)


def test_parameters_reach_both_functions():
    pair = array_function(lambda x, power: x**power, lambda dy, x, power: power * x ** (power - 1) * dy, power=3)
    gradcheck(pair, X)


def test_a_backward_that_does_not_tell_its_parameters(monkeypatch):
    gradcheck(array_function(np.negative, lambda dy, x: -dy), X)
    gradcheck(array_function(lambda x: x**2 / 2, np.multiply), X)

    def silent(function):  # as of a built-in function, such as max
        raise ValueError("no signature found")

    monkeypatch.setattr("inspect.signature", silent)
    gradcheck(array_function(lambda x: x**2 / 2, np.multiply), X)


def test_a_function_of_tensors_may_have_attributes():
    class Scaled:
        value = 2.0

        def __call__(self, x):
            return self.value * x

    gradcheck(Scaled(), X, linear=[0])
    Scaled.gradients = "many"
    del Scaled.value
    with pytest.raises(AttributeError, match="value"):
        gradcheck(Scaled(), X)


# ---- wrong gradients -------------------------------------------------------------------------------------------------

CASES = {
    "sign": (square(lambda dy, x: -2 * x * dy), [X], "analytic -?(\\S+), numeric"),
    "transposed": (
        array_function(lambda x: x @ x, lambda dy, x: dy @ x + x @ dy),
        [rng.standard_normal((3, 3))],
        r"not the derivative: input 0 at index \(\d, \d\), output \(\d, \d\)",
    ),
    "dropped bias gradient": (
        affine(lambda dy, x, w, b: (dy @ w.T, x.T @ dy, 0 * b)),
        [X, rng.standard_normal((3, 2)), np.ones(2)],
        r"input 2 at index \(\d,\), output \(\d, \d\): analytic 0, numeric 1,",
    ),
    "bias gradient of one row only": (
        affine(lambda dy, x, w, b: (dy @ w.T, x.T @ dy, dy[0])),
        [X, rng.standard_normal((3, 2)), np.ones(2)],
        r"input 2 at index \(\d,\), output \(1, \d\): analytic 0, numeric 1,",
    ),
    "right only in the sum": (
        array_function(softmax, lambda dy, x: 0 * x),
        [X],
        r"not the derivative: input 0 at index \(\d, \d\), output \(\d, \d\): analytic 0, numeric",
    ),
    "an element of a large array": (
        square(lambda dy, x: np.where(np.arange(x.size) == 17, 0, 2 * x * dy)),
        [rng.standard_normal(100)],
        r"input 0 at index \(17,\), ⟨cotangent, f⟩: analytic 0, numeric",
    ),
    "an element of a larger one": (
        square(lambda dy, x: np.where(np.arange(x.size) == 17, 0, 2 * x * dy)),
        [rng.standard_normal(1000)],
        "input 0 along a random direction",
    ),
    "None": (square(lambda dy, x: None), [X], r"input 0 has no gradient; if that is meant, say without_gradient=\[0\]"),
    "shape": (
        square(lambda dy, x: (2 * x * dy).T),
        [X],
        r"input 0 has shape \(3, 2\) and type float64, expected \(2, 3\)",
    ),
    "type": (square(lambda dy, x: (2 * x * dy).astype("f4")), [X], r"type float32, expected \(2, 3\) and float64"),
    "count": (square(lambda dy, x: (dy, dy)), [X], "backward returned 2 gradients, expected 1"),
    "value's type": (array_function(lambda x: x.astype("f4"), lambda dy, x: dy), [X], "value is float32 for float64"),
    "float32 inside the gradient": (
        square(lambda dy, x: 2 * x * dy.astype("f4").astype("f8")),
        [X],
        "not the derivative: input 0",
    ),
    "float32 inside the value": (
        array_function(lambda x: np.float64(np.sum(x, dtype="f4")), lambda dy, x: np.full_like(x, dy)),
        [X],
        r"known to a relative error of \d+e-\d+ only \(seen along input 0\): is something computed in float32",
    ),
    "NaN": (
        square(lambda dy, x: x * np.nan),
        [X],
        r"gradient \(gradient\) in input 0 is not finite at index \(0, 0\): ",
    ),
    "infinite value": (array_function(lambda x: x / 0.0, lambda dy, x: dy), [X], r"the value is not finite at index"),
    "not linear": (
        affine(lambda dy, x, w, b: (dy @ w.T * 1.0000000001, x.T @ dy, dy.sum(0))),
        [X, rng.standard_normal((3, 2)), np.ones(2)],
        "not the derivative: input 0",
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_wrong_gradients_are_found_and_named(name):
    function, inputs, message = CASES[name]
    with pytest.raises(GradcheckError, match=message):
        gradcheck(function, inputs, linear=range(3) if len(inputs) == 3 else ())


@pytest.mark.parametrize("at", [5.0, 0.75, -3e3, 1e-9])
def test_the_numeric_value_is_the_derivative_whatever_the_steps(at):
    with pytest.raises(GradcheckError) as caught:
        gradcheck(array_function(np.sin, lambda dy, x: 0 * dy), np.array([at]))
    numeric = float(re.search(r"numeric (\S+),", str(caught.value)).group(1))
    assert min(abs(numeric / np.cos(at) - size) for size in (1, 0.12573022109)) < 1e-6


def test_the_message_gives_both_values():
    with pytest.raises(GradcheckError) as caught:
        gradcheck(square(lambda dy, x: 3 * x * dy), np.array([0.0, 1.0, 2.0]), method="jacobian")
    assert "input 0 at index (1,), output (1,): analytic 3, numeric 2, difference 1, allowed" in str(caught.value) or (
        "input 0 at index (2,), output (2,): analytic 6, numeric 4, difference 2, allowed" in str(caught.value)
    )


def test_linear_arguments_are_forgiven_rounding_only():
    """An error of 10⁻¹⁰ is within what differences of a curved function can show, and not of a linear one."""
    pair = array_function(lambda x, y: x * y, lambda dy, x, y: (dy * y * (1 + 1e-10), dy * x))
    gradcheck(pair, [X, Y])
    with pytest.raises(GradcheckError, match="not the derivative: input 0"):
        gradcheck(pair, [X, Y], linear=(0, 1))


def test_arguments_declared_linear_that_are_not():
    with pytest.raises(GradcheckError, match=r"input 0 is declared linear, but output \(\d, \d\) is not linear in it"):
        gradcheck(square(lambda dy, x: 2 * x * dy), X, linear=[0])


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e3, 1e30])
def test_what_is_not_quite_linear_is_seen_at_every_scale(scale):
    def pair(bend):
        return array_function(
            lambda x: scale * (3 * x + bend * x * x + 5), lambda dy, x: scale * dy * (3 + 2 * bend * x)
        )

    gradcheck(pair(0), X, linear=[0])
    with pytest.raises(GradcheckError, match="declared linear, but output"):
        gradcheck(pair(1e-10), X, linear=[0])


def test_a_large_linear_argument():
    pair = array_function(lambda x, y: x * y, lambda dy, x, y: (dy * y, dy * x))
    gradcheck(pair, [np.array([1e20, -3e-20, 0.0]), np.array([2e3, 1e-5, 1e300])], linear=(0, 1))


# ---- rules -----------------------------------------------------------------------------------------------------------


def test_absent_gradients_are_declared():
    pair = array_function(lambda x, y: x + np.floor(y), lambda dy, x, y: (dy, None))
    with pytest.raises(GradcheckError, match="input 1 has no gradient"):
        gradcheck(pair, [X, Y])
    assert [r.input for r in gradcheck(pair, [X, Y], without_gradient=[1]).inputs] == [0]
    with pytest.raises(GradcheckError, match="input 0 has a gradient, but is declared to have none"):
        gradcheck(pair, [X, Y], without_gradient=[0, 1])


# ---- kinks -----------------------------------------------------------------------------------------------------------


def relu(slope_at_zero):
    return array_function(lambda x: np.maximum(x, 0), lambda dy, x: dy * np.where(x == 0, slope_at_zero, x > 0))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_kink_is_seen_from_both_sides(scale):
    pair = array_function(lambda x: np.maximum(x, 0) * scale, lambda dy, x: dy * (x > 0) * scale)
    x = np.array([1.0, 0.0, -2.0])
    message = (
        r"at index \(1,\).*analytic -?0, numeric .*it lies at a kink: slope from the left (\S+), from the right (\S+)"
    )
    with pytest.raises(GradcheckError, match=message):
        gradcheck(pair, x)
    gradcheck(pair, x, at_kinks="subgradient")


@pytest.mark.parametrize("slope, is_one", [(0.0, True), (1.0, True), (0.3, True), (-0.01, False), (1.01, False)])
def test_every_slope_between_the_two_is_a_subgradient(slope, is_one):
    x = np.array([1.0, 0.0, -2.0])
    if is_one:
        gradcheck(relu(slope), x, at_kinks="subgradient")
    else:
        with pytest.raises(GradcheckError, match=r"from the left 0, from the right 1\b"):
            gradcheck(relu(slope), x, at_kinks="subgradient")


@pytest.mark.parametrize("distance", [1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6, 3e-7, 1e-7])
def test_beside_a_kink_the_derivative_is_that_of_its_own_side(distance):
    x = np.array([1.0, distance, -distance])
    gradcheck(relu(0), x)
    wrong = array_function(lambda x: np.maximum(x, 0), lambda dy, x: dy * (x > -2 * distance))
    with pytest.raises(GradcheckError, match=r"at index \(2,\)"):
        gradcheck(wrong, x)


@pytest.mark.parametrize(
    ("function", "arrays"),
    [
        (lambda x: F.elu(x, 1.5), [np.array([0.0, -0.3, 0.7])]),  # curved on one side
        (lambda x: F.relu(x) * x.exp(), [np.array([0.0, 1.0])]),
        (F.maximum, [np.array([1.25, 2.0, -3.1]), np.array([1.25, 2.0, -3.1])]),  # one end of the interval each
    ],
)
def test_both_ends_of_the_interval_are_subgradients(function, arrays):
    gradcheck(function, arrays, at_kinks="subgradient")
    with pytest.raises(GradcheckError, match="it lies at a kink"):
        gradcheck(function, arrays)


@pytest.mark.parametrize("method", SIZES)
def test_the_mean_of_the_slopes_is_no_derivative_though_central_differences_give_it(method):
    x = np.random.default_rng(1).standard_normal(SIZES[method])
    x.flat[1] = 0
    with pytest.raises(
        GradcheckError, match=r"there is no derivative.*it lies at a kink: slope from the left \S+, from"
    ):
        gradcheck(relu(0.5), x)
    gradcheck(relu(0.5), x, at_kinks="subgradient")
    x.flat[1] = 0.25
    gradcheck(relu(0.5), x)


@pytest.mark.parametrize("size", [3, 300, 3000])
def test_beside_a_kink_however_close_the_gradient_is_right(size):
    x = np.random.default_rng(0).standard_normal(size)
    x[1] = 3e-8
    gradcheck(relu(0), x)


@pytest.mark.parametrize("method", SIZES)
def test_where_a_function_is_smooth_nobody_calls_it_to_look_for_kinks(method):
    calls = {"error": 0, "subgradient": 0}
    for at_kinks in calls:

        def count(x, at_kinks=at_kinks):
            calls[at_kinks] += 1
            return np.exp(x)

        x = np.random.default_rng(0).standard_normal(SIZES[method])
        gradcheck(array_function(count, lambda dy, x: dy * np.exp(x)), x, at_kinks=at_kinks)
        linear = array_function(lambda x: count(0 * x) * x, lambda dy, x: dy)
        gradcheck(linear, x, linear=[0], at_kinks=at_kinks)
    assert calls["error"] == calls["subgradient"] > 50


def test_ties_whose_gradient_is_shared_are_kinks():
    def shared(dy, x):
        return dy * (x == x.max()) / np.sum(x == x.max())

    pair = array_function(np.max, shared)
    with pytest.raises(GradcheckError, match=r"at index \(1,\).*slope from the left 0, from the right 0.1257"):
        gradcheck(pair, np.array([1.0, 2.0, 2.0]))
    gradcheck(pair, np.array([1.0, 2.0, 2.125]))
    with pytest.raises(GradcheckError, match="there is no derivative"):
        gradcheck(F.abs, np.array([0.0, 1.0]))
    with pytest.raises(GradcheckError, match=r"there is no derivative.*input 0 at index \(0,\)"):
        gradgradcheck(lambda x: x * F.abs(x), np.array([0.0, 1.0]))


CURVED = {
    "x |x|": (lambda x: x * np.abs(x), lambda dy, x: 2 * dy * np.abs(x), 0.0),
    "|x|^1.5": (lambda x: np.abs(x) ** 1.5, lambda dy, x: 1.5 * dy * np.sign(x) * np.sqrt(np.abs(x)), 0.0),
    "Huber's loss where its pieces meet": (
        lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5),
        lambda dy, x: dy * np.clip(x, -1, 1),
        1.0,
    ),
    "a narrow softplus": (
        lambda x: np.logaddexp(0, 1e4 * x) / 1e4,
        lambda dy, x: dy / (1 + np.exp(np.minimum(-1e4 * x, 700))),
        0.0,
    ),
    "a rounded corner": (
        lambda x: np.sqrt(x * x + 1e-8), lambda dy, x: dy * x / np.sqrt(x * x + 1e-8), 0.0,
    ),
    "a steep minimum": (lambda x: np.cosh(50 * x), lambda dy, x: 50 * dy * np.sinh(50 * x), 0.0),
    "a flat one": (lambda x: x**4, lambda dy, x: 4 * dy * x**3, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVED)
def test_what_is_only_curved_is_no_kink(name):
    function, gradient, at = CURVED[name]
    gradcheck(array_function(function, gradient), np.array([at, 0.375, -0.25]))
    with pytest.raises(GradcheckError, match="the gradient is not the derivative") as caught:
        gradcheck(array_function(function, lambda dy, x: gradient(dy, x) + 0.1), np.array([at]))
    assert "kink" not in str(caught.value)


def test_the_slopes_at_a_kink_are_those_right_there_however_curved_both_sides_are():
    x = np.array([0.0])
    pair = array_function(lambda x: np.where(x > 0, 2 * x + 3e3 * x * x, -x - 2e3 * x * x), lambda dy, x: 0 * dy)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(pair, x, method="elements")
    left, right = re.search(r"slope from the left (\S+), from the right (\S+)", str(caught.value)).groups()
    (v,) = np.random.default_rng(0).standard_normal(1)
    assert [float(left) / v, float(right) / v] == pytest.approx([-1, 2], abs=1e-7)


@pytest.mark.parametrize("place", [8.0, -300.0, 1e-3])
def test_the_slopes_at_a_kink_far_from_0_or_close_to_it(place):
    pair = array_function(lambda x: np.maximum(x - place, 0) * 3, lambda dy, x: dy * (x > place) * 3)
    x = np.array([place, place / 2])
    with pytest.raises(GradcheckError, match=r"at index \(0,\).*from the left 0, from the right") as caught:
        gradcheck(pair, x)
    right = float(str(caught.value).split("from the right ")[1].split()[0])
    assert min(abs(right / 3 - size) for size in (1, 0.12573022109)) < 1e-6  # of an output, or of ⟨cotangent, f⟩
    gradcheck(pair, x, at_kinks="subgradient")


def test_a_smooth_minimum_is_no_kink():
    with pytest.raises(GradcheckError) as caught:
        gradcheck(square(lambda dy, x: 2 * x * dy + 0.1), np.zeros(2), at_kinks="subgradient")
    assert "kink" not in str(caught.value)


def test_a_jump_is_no_derivative():
    with pytest.raises(GradcheckError, match="it lies at a kink"):
        gradcheck(array_function(np.sign, lambda dy, x: 0 * x), np.array([0.0, 1.0]))


# ---- second derivatives ----------------------------------------------------------------------------------------------


class Cubed(Function):
    """x³, with a gradient that a subclass may spoil."""

    def forward(self, x):
        self.save(x)
        return x**3

    def backward(self, cotangent):
        (x,) = self.saved
        return (cotangent * self.slope(x),)

    def slope(self, x):
        return 3 * x * x


class CutOff(Cubed):
    def slope(self, x):
        return as_tensor(3 * x.array**2)


def test_second_derivatives_cut_off_from_the_tape():
    gradgradcheck(lambda x: Cubed()(x), [X])
    gradcheck(lambda x: CutOff()(x), [X])
    message = r"not the derivative: input 0 at index \(\d, \d\), output \(\d,\): analytic 0, numeric -?\d+\.\d+, "
    with pytest.raises(GradcheckError, match=message):
        gradgradcheck(lambda x: CutOff()(x), [X])


def test_constant_gradients_have_the_second_derivative_zero():
    report = gradgradcheck(lambda x, y: x * 2 + F.matmul(y, Y), [X, rng.standard_normal((2, 2))])
    assert [r.input for r in report.inputs] == [0, 1, 2]


def test_second_derivatives_in_an_input_that_is_not_used_are_zero():
    report = gradgradcheck(lambda x, y: x**2, [X, Y])
    assert [r.input for r in report.inputs] == [0, 1, 2]
    assert report.inputs[1].worst.analytic == report.inputs[1].worst.excess == 0.0


def test_second_derivatives_without_one_input():
    def detached(x, y):
        return x * x * y.detach()

    gradcheck(detached, [X, Y], without_gradient=[1])
    report = gradgradcheck(detached, [X, Y], without_gradient=[1])
    assert [r.input for r in report.inputs] == [0, 2]


def test_second_derivatives_of_a_pair_need_to_be_given():
    with pytest.raises(TypeError, match=r"derivative\(wanted\)"):
        gradgradcheck(square(lambda dy, x: 2 * x * dy), X)
    with pytest.raises(TypeError, match="no argument linear"):
        gradgradcheck(F.exp, [X], linear=[0])


def test_an_adapter_of_ones_own():
    class Square:
        paths = ("mine",)

        def value(self, arrays):
            return arrays[0] ** 2

        def gradients(self, arrays, cotangent, wanted, path):
            assert path == "mine"
            return (2 * arrays[0] * cotangent,)

        def derivative(self, wanted):
            def backward(dg, x, dy):
                return 2 * dy * dg.reshape(x.shape), 2 * x * dg.reshape(x.shape)

            return array_function(lambda x, dy: (2 * x * dy).reshape(-1), backward)

    gradcheck(Square(), X)
    gradgradcheck(Square(), X)


# ---- no false alarms -------------------------------------------------------------------------------------------------

SMOOTH = {
    "exp": (np.exp, np.exp),
    "sin": (np.sin, np.cos),
    "steep sin": (lambda x: np.sin(50 * x), lambda x: 50 * np.cos(50 * x)),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "steep tanh": (lambda x: np.tanh(300 * x), lambda x: 300 - 300 * np.tanh(300 * x) ** 2),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "log": (lambda x: np.log(np.abs(x) + 1e-3), lambda x: np.sign(x) / (np.abs(x) + 1e-3)),
    "root": (lambda x: np.sqrt(np.abs(x)), lambda x: np.sign(x) / (2 * np.sqrt(np.abs(x)))),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2),
    "far off": (lambda x: 1e4 + np.sin(x), np.cos),
    "bell": (lambda x: np.exp(-(x**2) * 8), lambda x: -16 * x * np.exp(-(x**2) * 8)),
}


@pytest.mark.parametrize("name", SMOOTH)
@given(data=st.data())
@settings(max_examples=12)
def test_elementwise_functions_do_not_raise_an_alarm(name, data):
    function, slope = SMOOTH[name]
    x = data.draw(tg_st.away_from([0.0], data.draw(tg_st.shapes(max_dims=3, max_side=4)), margin=1 / 64))
    gradcheck(array_function(function, lambda dy, x: slope(x) * dy), x)


@given(
    case=tg_st.conv_cases(values="normal", dtype=np.float64, max_channels=2, max_groups=2, max_batch=1, max_output=3)
)
@settings(max_examples=15)
def test_convolutions_do_not_raise_an_alarm(case):
    strides, padding, dilation, groups = case.geometry

    def function(x, weight):
        return F.conv(x, weight, None, strides, padding, dilation, groups)

    gradcheck(function, [case.x, case.weight], linear=(0, 1))


@given(
    logits=tg_st.logits((3, 4)) | tg_st.logits((1, 2)),
    name=st.sampled_from(["softmax", "log_softmax", "logsumexp", "sigmoid", "tanh", "softplus", "gelu", "silu"]),
)
def test_saturated_functions_do_not_raise_an_alarm(logits, name):
    gradcheck(getattr(F, name), [logits])


@given(x=tg_st.arrays(tg_st.shapes(min_dims=2, max_dims=2, min_side=1, max_side=4), np.float64), seed=st.integers(0, 9))
@settings(max_examples=15)
def test_functions_that_mix_their_inputs_do_not_raise_an_alarm(x, seed):
    gradcheck(array_function(softmax, softmax_gradient), x, seed=seed)
    gradcheck(lambda x: F.matmul(F.tanh(x), x.T), [x], seed=seed)
    gradgradcheck(lambda x: F.var(F.exp(x), 1), [x], seed=seed)


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs, error, message", [
    ([X.astype("f4")], TypeError, "input 0 is float32: differences need float64"),
    ([X * 1j], TypeError, "input 0 is complex128"),
    ([np.array(["a"])], TypeError, "input 0 is <U1"),
    ([np.array([[1.0, np.nan]])], ValueError, r"input 0 is not finite at index \(0, 1\)"),
    ([np.array([1.0, -1.7e308])], ValueError, r"input 0 at index \(1,\) is .*overflow"),
])  # fmt: skip
def test_inputs_that_cannot_be_checked(inputs, error, message):
    with pytest.raises(error, match=message):
        gradcheck(F.exp, inputs)


@pytest.mark.parametrize("option, message", [
    ({"linear": [1]}, r"linear = \[1\]: there are 1 inputs"),
    ({"without_gradient": [-1]}, r"without_gradient = \[-1\]"),
    ({"at_kinks": "ignore"}, "at_kinks = 'ignore'"),
    ({"method": "guess"}, "method = 'guess'"),
    ({"directions": 0}, "directions = 0"),
    ({"step": 0.0}, "step = 0.0"),
    ({"step": 1.001}, "step = 1.001"),
    ({"tolerance": -1.0}, "tolerance = -1.0"),
])  # fmt: skip
def test_arguments_that_cannot_be(option, message):
    with pytest.raises(ValueError, match=message):
        gradcheck(F.exp, [X], **option)


def test_constants_cannot_be_linear():
    with pytest.raises(ValueError, match="input 1 is not floating and never has a gradient"):
        gradcheck(F.sparse_cross_entropy, [X, np.array([0, 2])], linear=[1])


def test_numbers_from_which_a_step_overflows_are_named():
    largest = np.finfo(np.float64).max / 8
    with pytest.raises(
        ValueError, match=r"input 0 at index \(1,\) is -2\.2\d*e\+307: a step from there would overflow"
    ):
        gradcheck(F.relu, np.array([largest, np.nextafter(-largest, -np.inf), 1.0]))
    gradcheck(F.relu, np.array([largest, -largest]))


def test_there_must_be_something_to_check():
    right = array_function(lambda x: x * 2.0, lambda dy, x: dy * 2.0)
    for inputs in (np.arange(3), [], [np.arange(3), np.array([True])]):
        with pytest.raises(TypeError, match="no input is floating, so that there is nothing to check"):
            gradcheck(right, inputs)
    with pytest.raises(TypeError, match="no input is floating"):
        gradgradcheck(lambda x: x**2, np.arange(3))


def test_functions_that_are_none():
    with pytest.raises(TypeError, match="a int given"):
        gradcheck(3, [X])
    with pytest.raises(TypeError, match="returned a ndarray, expected a Tensor"):
        gradcheck(lambda x: x.array, [X])
