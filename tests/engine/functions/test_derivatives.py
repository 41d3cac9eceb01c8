"""Every differentiable function's first and second derivatives, on the CPU's backends, as the registry asks for them.

(On a GPU's: tests/device.)
"""

import numpy as np
import pytest

from tomograd import kernels
from tomograd.engine import Function, Fused, GradientError, Tensor, enable_grad, grad
from tomograd.engine import functional as F
from tomograd.testing import gradgradcheck
from tomograd.testing.registry import ENTRIES, checks

HOST_BACKENDS = ("reference", "cpu")


def rows(kind):
    """A case for each row of this kind of each entry, on each backend that has the function."""
    return [
        pytest.param(backend, entry, row, id=f"{entry.name}-{i}-{backend}")
        for entry in ENTRIES.values()
        for i, row in enumerate(getattr(entry, kind))
        for backend in HOST_BACKENDS
        if backend in entry.backends
    ]


@pytest.mark.parametrize(("backend", "entry", "sample"), rows("samples"))
def test_derivatives_at_samples(backend, entry, sample):
    with kernels.using(backend):
        for kind, check in checks.of_samples(entry):
            print(kind)  # pytest shows it with a failure
            check(sample)


@pytest.mark.parametrize(("backend", "entry", "kink"), rows("kinks"))
def test_gradients_at_kinks_and_ties(backend, entry, kink):
    with kernels.using(backend):
        checks.at_kink(kink)


@pytest.mark.parametrize(
    ("function", "arrays"),
    [
        pytest.param(row.function, row.arrays, id=f"{entry.name}-{row.label}")
        for entry in ENTRIES.values()
        for row in (*entry.samples, *entry.kinks)
    ],
)
def test_kernels_compute_what_the_formulas_beside_them_say(function, arrays, monkeypatch):
    by_kernel = function(*map(Tensor, arrays))
    monkeypatch.setattr(Fused, "__call__", lambda self, *inputs, **more: self.composition(*inputs, **more))
    by_formula = function(*map(Tensor, arrays))
    np.testing.assert_allclose(by_formula.array, by_kernel.array, rtol=1e-12, atol=1e-15)


# ---- beyond the registry ---------------------------------------------------------------------------------------------


def test_formulas_have_the_kernels_values(monkeypatch):
    """A kernel's formula is there for its derivatives, in which a constant that is wrong would not show."""
    made, call = [], Fused.__call__

    def noted(self, *inputs, **parameters):
        y = call(self, *inputs, **parameters)
        made.append((self, inputs, y))
        return y

    monkeypatch.setattr(Fused, "__call__", noted)
    for entry in ENTRIES.values():
        for sample in [] if entry.constant else entry.samples:
            tensors = [Tensor(array, requires_grad=True) for array in sample.arrays]
            y = sample.function(*tensors)
            if isinstance(y, Tensor):
                grad(y, tensors, np.ones(y.shape), allow_unused=True)
    for function, inputs, y in list(made):
        formula = function.composition(*inputs, **function.parameters)
        np.testing.assert_allclose(formula.array, y.array, rtol=1e-12, atol=1e-14, err_msg=type(function).__name__)
    ours = {each for each in Fused.__subclasses__() if each.__module__.startswith("tomograd.")}
    assert {type(function) for function, _, _ in made} == ours


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "silu", "gelu", "elu", "selu"])
def test_third_derivatives_come_free(backend, name):
    @enable_grad()
    def slope(x):
        x = x if x.requires_grad else Tensor(x, requires_grad=True)
        return grad(getattr(F, name)(x), x, np.ones(x.shape), create_graph=True)

    with kernels.using(backend.__name__.rpartition(".")[2]):
        gradgradcheck(slope, [np.array([-1.3, -0.4, 0.3, 1.7])])


def test_a_function_without_backward_says_so():
    class OneWay(Function):
        def forward(self, x):
            return x + 1

    x = Tensor(np.zeros(2), requires_grad=True)
    with pytest.raises(GradientError, match="OneWay has no gradient"):
        grad(OneWay()(x), x, np.ones(2))
