"""Every differentiable function's first and second derivatives, on every backend, against central differences."""

import numpy as np
import pytest
from derivatives import check_derivatives, gradients
from function_samples import NOT_DIFFERENTIABLE, SAMPLES

from tomograd import kernels
from tomograd.engine import Function, GradientError, Tensor
from tomograd.engine import functional as F

CASES = [pytest.param(*sample, id=f"{name}-{i}") for name in sorted(SAMPLES) for i, sample in enumerate(SAMPLES[name])]


@pytest.fixture
def on_backend(backend):
    with kernels.using(backend.__name__.rpartition(".")[2]):
        yield


def test_the_table_has_every_function_and_no_other():
    assert set(SAMPLES) | NOT_DIFFERENTIABLE == set(F.__all__)
    assert not set(SAMPLES) & NOT_DIFFERENTIABLE


@pytest.mark.parametrize(("function", "arrays"), CASES)
def test_derivatives(on_backend, function, arrays):
    check_derivatives(function, arrays)


@pytest.mark.parametrize("approximate", [False, True])
def test_derivatives_of_both_gelus(on_backend, approximate):
    check_derivatives(lambda x: F.gelu(x, approximate), [np.linspace(-3, 3, 13)])


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "silu", "gelu", "elu", "selu"])
def test_third_derivatives_come_free(on_backend, name):
    from tomograd.engine import grad

    def slope(x):
        return grad(getattr(F, name)(x), x, np.ones(x.shape), create_graph=True)

    check_derivatives(slope, [np.array([-1.3, -0.4, 0.3, 1.7])])


class TestTheChecker:
    """The checker must reject gradients that are wrong by little."""

    class Wrong(Function):
        def forward(self, x, factor):
            self.save(x)
            return x * x

        def backward(self, cotangent):
            (x,) = self.saved
            return (cotangent * x * self.parameters["factor"],)

    def test_accepts_the_right_one(self):
        check_derivatives(lambda x: self.Wrong()(x, factor=2.0), [np.array([1.0, -2.0])])

    def test_rejects_a_gradient_wrong_by_a_thousandth_of_a_percent(self):
        with pytest.raises(AssertionError, match="gradient in input 0"):
            check_derivatives(lambda x: self.Wrong()(x, factor=2.00002), [np.array([1.0, -2.0])])

    def test_rejects_a_wrong_second_derivative(self):
        class Wrong(Function):
            def forward(self, x):
                self.save(x)
                return x * x

            def backward(self, cotangent):
                (x,) = self.saved
                return (cotangent * Tensor(x.array) * 2,)  # right, but cut off from the tape

        with pytest.raises(AssertionError, match="second derivative in input 0"):
            check_derivatives(lambda x: Wrong()(x), [np.array([1.0, -2.0])])


def test_a_function_without_backward_says_so():
    class OneWay(Function):
        def forward(self, x):
            return x + 1

    with pytest.raises(GradientError, match="OneWay has no gradient"):
        gradients(lambda x: OneWay()(x), [np.zeros(2)], np.ones(2))
