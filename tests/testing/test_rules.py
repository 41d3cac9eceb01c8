"""The rules of gradcheck that need no differences: a function for each that breaks it, and what is said of it."""

import numpy as np
import pytest

from tomograd.engine import Function, GradientError, Tensor
from tomograd.engine import functional as F
from tomograd.kernels import memory
from tomograd.testing import GradcheckError, UnwantedGradientError, array_function, gradcheck
from tomograd.testing.arrays import laid_out
from tomograd.testing.spoiled_memory import spoiled_memory

X, Y = np.random.default_rng(0).standard_normal((2, 2, 3))


def product(backward):
    """x · y, elementwise."""
    return array_function(lambda x, y: x * y, backward)


# ---- the same result each time ---------------------------------------------------------------------------------------


def test_a_value_that_is_drawn():
    rng = np.random.default_rng(0)
    noisy = array_function(lambda x: x + rng.standard_normal(x.shape), lambda dy, x: dy)
    message = r"the value is not the same when it is computed again: at index \(0, 0\): -?\d+\.\d+ and -?\d+\.\d+"
    with pytest.raises(GradcheckError, match=message):
        gradcheck(noisy, X)


def test_a_gradient_that_depends_on_how_often_it_was_computed():
    calls = []

    def backward(dy, x):
        calls.append(1)
        gradient = 2 * x * dy
        gradient[1, 2] += 1e-16 * len(calls) + (len(calls) % 2) * gradient[1, 2]
        return gradient

    message = r"the gradient \(gradient\) in input 0 is not the same when it is computed again: at index \(1, 2\): "
    with pytest.raises(GradcheckError, match=message):
        gradcheck(array_function(lambda x: x**2, backward), X)


def test_a_gradient_added_to_the_last_one():
    buffer = np.zeros(X.shape)

    def backward(dy, x):
        buffer[...] += 2 * x * dy
        return buffer

    with pytest.raises(GradcheckError, match="not the same when it is computed again"):
        gradcheck(array_function(lambda x: x**2, backward), X)


def test_a_value_of_which_an_edge_is_not_written():
    def forward(x):
        y = np.empty((40, 50))
        y[:, :-1] = x[:, :-1]
        return y

    with pytest.raises(GradcheckError, match=r"the value is not the same .*: at index \(\d+, 49\)"):
        gradcheck(array_function(forward, lambda dy, x: dy), np.ones((40, 50)))


@pytest.mark.parametrize("shape", [(2, 3), (40, 50), (200, 300)])
def test_memory_of_the_kernels_that_is_not_written(shape):
    def backward(dy, x):
        dx = memory.empty(x.shape, x.dtype)
        dx[:, 1:] = (2 * x * dy)[:, 1:]
        return dx

    with pytest.raises(GradcheckError, match=r"gradient .* in input 0 is not the same .* at index \(0, 0\)"):
        gradcheck(array_function(lambda x: x**2, backward), np.ones(shape))


@pytest.mark.parametrize("size", [3, 1000, 100_000])
def test_spoiled_memory_is_full_of_nan_and_zeros_are_zeros(size):
    with spoiled_memory():
        assert np.isnan(memory.empty(size, np.float64)).all()
        assert np.isnan(memory.empty((size, 1), np.float32)).all()
        assert not memory.zeros(size, np.float64).any()
    with spoiled_memory(0x55):
        assert (memory.empty(size, np.uint8) == 0x55).all()


# ---- nothing is changed ----------------------------------------------------------------------------------------------


def test_a_value_that_changes_its_input():
    def forward(x):
        x *= 0.5
        return x * 2

    with pytest.raises(GradcheckError, match="computing the value changed input 0 in place"):
        gradcheck(array_function(forward, lambda dy, x: dy), X.copy())


def test_a_value_that_changes_labels_once_and_for_all():
    def forward(x, labels):
        labels[0] = 7
        return 2 * x

    pair = array_function(forward, lambda dy, x, labels: (2 * dy, None))
    labels = np.array([0, 1])
    with pytest.raises(GradcheckError, match="computing the value changed input 1 in place"):
        gradcheck(pair, [np.ones(2), labels])


def test_a_value_that_drifts_from_call_to_call():
    class Drifting:
        calls = 0

        def __call__(self, x):
            self.calls += 1
            return 2 * x + (1e-30 if self.calls > 30 else 0)

    with pytest.raises(GradcheckError, match="the value is not the same when it is computed again"):
        gradcheck(array_function(Drifting(), lambda dy, x: 2 * dy), np.zeros(3), method="directions")


@pytest.mark.parametrize("value, kind", [(None, "object"), ("text", "<U4"), (1j, "complex128"), (True, "bool")])
def test_a_value_that_is_no_number(value, kind):
    with pytest.raises(GradcheckError, match=f"the function's value is {kind} for float64 inputs, expected float64"):
        gradcheck(array_function(lambda x: value, lambda dy, x: dy), np.ones(3))


@pytest.mark.parametrize("which, name", [(0, "the cotangent"), (1, "input 0"), (2, "input 1")])
def test_a_gradient_that_changes_an_argument(which, name):
    def backward(dy, x, y):
        found = dy * y, dy * x
        (dy, x, y)[which][0, 0] += 1
        return found

    with pytest.raises(GradcheckError, match=f"computing the gradient .* changed {name} in place"):
        gradcheck(product(backward), [X.copy(), Y.copy()])


class ChangesItsInput(Function):
    def forward(self, x):
        x[0] = 0
        return x * 2

    def backward(self, cotangent):
        return (cotangent * 2,)


def test_a_function_of_tensors_that_changes_its_input():
    with pytest.raises(GradcheckError, match="computing the value changed input 0 in place"):
        gradcheck(lambda x: ChangesItsInput()(x), [X.copy()])


def test_a_value_in_memory_that_is_reused():
    buffer = np.zeros(X.shape)

    def forward(x):
        np.square(x, out=buffer)
        return buffer

    with pytest.raises(GradcheckError, match="it lies in memory that is reused"):
        gradcheck(array_function(forward, lambda dy, x: 2 * x * dy), X)


@pytest.mark.parametrize("scale", [2, 1e-30])
def test_a_function_that_reads_past_the_layout_of_its_input(scale):
    def forward(x):  # takes strided rows for contiguous ones
        mistaken = np.lib.stride_tricks.as_strided(x, x.shape, (x.shape[1] * 8, 8))
        return (mistaken if x.base is not None else x) * scale

    x = laid_out(np.ones((3, 3)), "strided")
    x.base[...] = np.arange(36).reshape(6, 6)
    with pytest.raises(
        GradcheckError, match=r"the value depends on the memory layout of the inputs: at index \(0, 1\)"
    ):
        gradcheck(array_function(forward, lambda dy, x: scale * dy), x)


# ---- what was saved --------------------------------------------------------------------------------------------------


class StaleBuffer(Function):
    """Saves its input in memory that all of its kind share."""

    shared = np.zeros((2, 3))

    def forward(self, x):
        self.shared[...] = x
        return x**2

    def backward(self, cotangent):
        return (cotangent * (2 * self.shared),)


def test_a_stale_saved_buffer():
    message = r"the gradients 'interleaved' and 'fused' differ: input 0: at index \(0, 0\): -?0\.\d+ and -?0\.\d+"
    with pytest.raises(GradcheckError, match=message):
        gradcheck(lambda x: StaleBuffer()(x), [X])


def test_a_stale_saved_buffer_of_a_pair():
    saved = {}

    def forward(x):
        saved["x"] = x
        return x**2

    with pytest.raises(GradcheckError, match="the gradients 'interleaved' and 'gradient' differ"):
        gradcheck(array_function(forward, lambda dy, x: 2 * saved["x"] * dy), X)


class TwoWays(Function):
    """Of which the recorded gradient is another than the kernel's."""

    def forward(self, x):
        self.save(x)
        return x**2

    def backward(self, cotangent):
        from tomograd.engine import recording

        return (cotangent * self.saved[0] * (2.0 + 1e-6 * recording()),)


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
def test_two_ways_that_differ(scale):
    with pytest.raises(GradcheckError, match="the gradients 'recorded' and 'fused' differ: input 0: at index"):
        gradcheck(lambda x: TwoWays()(x) * scale, [X])


# ---- gradients that are wanted, and others ---------------------------------------------------------------------------


class ComputesAll(Function):
    def forward(self, x, y):
        self.save(x, y)
        return x * y

    def backward(self, cotangent):
        x, y = self.saved
        return cotangent * y, cotangent * x


class ComputesTooFew(ComputesAll):
    def backward(self, cotangent):
        return None, cotangent * self.saved[0]


class WrongShape(ComputesAll):
    def backward(self, cotangent):
        return cotangent * self.saved[1], F.sum(cotangent * self.saved[0])


def test_a_backward_that_computes_what_nobody_wants():
    with pytest.raises(
        UnwantedGradientError, match=r"ComputesAll.backward computed a gradient in 'y' that nobody asked"
    ):
        gradcheck(lambda x, y: ComputesAll()(x, y), [X, Y])


def test_a_backward_deep_in_the_tape_that_computes_what_nobody_wants():
    for function in (
        lambda x, y: F.exp(ComputesAll()(x, y)),
        lambda x, y: F.sin(x) * F.exp(ComputesAll()(F.tanh(x), y)),
    ):
        with pytest.raises(UnwantedGradientError, match=r"ComputesAll.backward computed a gradient in '[xy]'"):
            gradcheck(function, [X, Y])


def test_a_pair_that_is_told_what_is_wanted():
    def backward(dy, x, y, wanted):
        return dy * y if wanted[0] else None, dy * x if wanted[1] else None

    gradcheck(product(backward), [X, Y], linear=(0, 1))
    with pytest.raises(UnwantedGradientError, match="backward computed a gradient in argument 1 that was not wanted"):
        gradcheck(product(lambda dy, x, y, wanted: (dy * y, dy * x)), [X, Y])


def test_the_engine_names_gradients_that_are_missing_or_misshapen():
    with pytest.raises(GradientError, match=r"ComputesTooFew.backward returned None for its argument 'x'"):
        gradcheck(lambda x, y: ComputesTooFew()(x, y), [X, Y])
    with pytest.raises(GradientError, match=r"WrongShape.backward returned shape \(\) .*'y'"):
        gradcheck(lambda x, y: WrongShape()(x, y), [X, Y])


def test_a_gradient_that_is_another_when_asked_for_alone():
    def backward(dy, x, y, wanted):
        both = all(wanted)
        return dy * y if wanted[0] else None, (dy * x if both else dy * x * 1.00001) if wanted[1] else None

    message = r"the gradient \(gradient\) asked for alone is another than among others: input 1: at index \(0, 0\)"
    with pytest.raises(GradcheckError, match=message):
        gradcheck(product(backward), [X, Y])


def test_a_gradient_cut_off_from_the_tape_has_to_be_declared():
    with pytest.raises(GradcheckError, match=r"input 1 has no gradient; if that is meant, say without_gradient=\[1\]"):
        gradcheck(lambda x, y: x * y.detach(), [X, Y])
    with pytest.raises(GradcheckError, match="input 0 has no gradient"):
        gradcheck(lambda x: Tensor(x.array), [X])


# ---- cotangents as other functions leave them ------------------------------------------------------------------------


# What takes one layout for another, of all those that differ from it: as if it were contiguous, as if nothing were in
# between, as if nothing ran backwards, as if all were repeated that is repeated somewhere.
MISTAKEN = {
    "transposed": lambda dy: dy.ravel("K").reshape(dy.shape),
    "strided": lambda dy: dy if dy.base is None or dy.strides[1] <= 8 else dy.base[: dy.shape[0], : dy.shape[1]],
    "reversed": lambda dy: dy[::-1, ::-1] if dy.strides[1] < 0 else dy,
    r"with strides \(0, 0\)": lambda dy: np.ones(dy.shape) if not any(dy.strides) else dy,
    r"with strides \(24, 0\)": lambda dy: np.full(dy.shape, dy[0, 0]) if not dy.strides[1] else dy,
    r"with strides \(0, 8\)": lambda dy: np.full(dy.shape, dy[0, 0]) if not dy.strides[0] else dy,
}


@pytest.mark.parametrize("layout", MISTAKEN)
def test_a_gradient_that_mistakes_the_layout_of_its_cotangent(layout):
    wrong = array_function(lambda x: x**2, lambda dy, x: 2 * x * MISTAKEN[layout](dy))
    message = rf"the gradient \(gradient\) depends on the memory layout of the cotangent \({layout}\): input 0: at "
    with pytest.raises(GradcheckError, match=message):
        gradcheck(wrong, X)


def test_a_gradient_that_writes_into_its_cotangent_and_restores_it():
    def backward(dy, x):
        dy *= 2
        gradient = dy * x
        dy /= 2
        return gradient

    with pytest.raises(ValueError, match="read-only"):
        gradcheck(array_function(lambda x: x**2, backward), X)


class MistakesWhenRecorded(Function):
    """Whose recorded gradient alone takes its cotangent for contiguous."""

    def forward(self, x):
        self.save(x)
        return x**2

    def backward(self, cotangent):
        from tomograd.engine import recording

        if recording() and cotangent.array.flags.f_contiguous:
            cotangent = cotangent.T.reshape(*cotangent.shape)
        return (cotangent * self.saved[0] * 2.0,)


def test_every_way_to_the_gradient_is_given_such_cotangents():
    message = r"the gradient \(recorded\) depends on the memory layout of the cotangent \(transposed\)"
    with pytest.raises(GradcheckError, match=message):
        gradcheck(lambda x: MistakesWhenRecorded()(x), [X])


# ---- arrays of another library ---------------------------------------------------------------------------------------


class DeviceArray:
    """Stands for an array on a GPU: NumPy must not touch it."""

    __array_ufunc__ = None

    def __init__(self, array):
        self.array = array

    def __mul__(self, other):
        return DeviceArray(self.array * getattr(other, "array", other))

    __rmul__ = __mul__

    def __array__(self, *_, **__):
        raise TypeError("this array is on a GPU")


class Device:
    """Stands for CuPy: `asarray` copies to the device, `asnumpy` back."""

    @staticmethod
    def asarray(array):
        return DeviceArray(np.array(array))

    @staticmethod
    def asnumpy(array):
        return array.array.copy()


def test_arrays_of_another_library():
    pair = array_function(lambda x, y: x * y, lambda dy, x, y: (dy * y, dy * x), module=Device)
    report = gradcheck(pair, [laid_out(X, "reversed"), Y], linear=(0, 1))
    assert [r.input for r in report.inputs] == [0, 1]
    wrong = array_function(lambda x, y: x * y, lambda dy, x, y: (dy * y, dy * x * 2.0), module=Device)
    with pytest.raises(GradcheckError, match="not the derivative: input 1 at index"):
        gradcheck(wrong, [X, Y], linear=(0, 1))


def test_several_results_of_another_library():
    def backward(dy, x):
        return DeviceArray(dy[0].array * 2 + dy[1].array * 3)

    gradcheck(array_function(lambda x: (x * 2.0, x * 3.0), backward, module=Device), X, linear=[0])


def test_arrays_of_another_library_that_are_changed_there():
    def forward(x, y):
        product = x * y
        y.array[0, 0] = 0
        return product

    pair = array_function(forward, lambda dy, x, y: (dy * y, dy * x), module=Device)
    with pytest.raises(GradcheckError, match="forward changed its argument 1 in place"):
        gradcheck(pair, [X, Y])
