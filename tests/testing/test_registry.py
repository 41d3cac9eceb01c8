"""The registry is complete, its rows are what they say, and its checks notice what is wrong."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tomograd import kernels
from tomograd.engine import Function, Tensor
from tomograd.engine import functional as F
from tomograd.testing import gradcheck, gradgradcheck, registry
from tomograd.testing.registry import ENTRIES, checks, entries, table

CHECKOUT = Path(__file__).resolve().parents[2]
WITH_KINKS = {
    *("power", "maximum", "minimum", "floor_divide", "remainder", "clip", "sqrt", "abs", "sign", "floor", "ceil"),
    *("round", "max", "min", "std", "relu", "leaky_relu", "elu", "selu", "prelu", "relu6", "hard_sigmoid", "max_pool"),
    *("hard_shrink", "hard_silu", "hard_tanh", "soft_shrink", "sparse_sigmoid", "sparsemax", "threshold"),
    *("dense", "conv", "batch_norm"),  # their fused relu
    *("simple_rnn", "lstm", "gru"),  # cells with relu or hard_sigmoid
    *("sparse_cross_entropy", "cross_entropy", "binary_cross_entropy", "dice"),
}
WITH_KINKS_OF_THEIR_GRADIENTS = {"celu", "softsign", "sparse_plus"}
SMOOTH = [e for e in ENTRIES.values() if not e.kinks and not e.constant]


class TestCompleteness:
    def test_every_function_is_in_it_once_and_nothing_else(self):
        names = [entry.name for family in registry.FAMILIES.values() for entry in family]
        assert sorted(names) == sorted(F.__all__)

    def test_every_entry_has_samples_and_errors(self):
        assert not [e.name for e in ENTRIES.values() if not e.samples or not e.errors]

    def test_functions_with_kinks_say_what_happens_there(self):
        assert {e.name for e in ENTRIES.values() if e.kinks} == WITH_KINKS

    @pytest.mark.parametrize("entry", SMOOTH, ids=lambda entry: entry.name)
    def test_functions_without_kinks_are_smooth_where_kinks_lie_as_a_rule(self, entry):
        """Where all numbers are equal, or 0, or 1; as far as the function is defined there."""
        sample = entry.samples[0]
        for value in (0.0, 1.0):
            arrays = [np.full(array.shape, value) for array in sample.arrays]
            with np.errstate(all="ignore"):
                around = [sample.function(*[Tensor(a + d) for a in arrays]).array for d in (-0.01, 0.0, 0.01)]
            if np.isfinite(around).all():
                gradcheck(sample.function, arrays)
                if not entry.once_only and entry.name not in WITH_KINKS_OF_THEIR_GRADIENTS:
                    gradgradcheck(sample.function, arrays, method="directions")

    def test_every_backend_that_is_there_is_in_it(self):
        declared = {backend for e in ENTRIES.values() for backend in e.backends}
        assert set(checks.present_backends()) <= declared <= set(kernels.BACKENDS)

    def test_the_page_of_functions_is_what_the_registry_gives(self):
        """`python -m tomograd.testing.registry > docs/functions.md` writes it."""
        assert (CHECKOUT / "docs" / "functions.md").read_text(encoding="utf-8") == table.page()


def test_it_is_loaded_when_it_is_first_asked_for():
    script = "import sys, tomograd as tg; tg.testing.gradcheck; name = 'tomograd.testing.registry'; " + (
        "print(name in sys.modules, tg.testing.registry is sys.modules[name])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "True"]


class TestRows:
    def test_an_entry_by_its_name(self):
        assert registry.entry("max_pool").name == "max_pool"
        with pytest.raises(KeyError, match="no function 'pool' in the registry; similar: max_pool, average_pool"):
            registry.entry("pool")

    def test_what_is_drawn_depends_on_the_row_alone(self):
        def draw():
            return entries.sample("relu(x) + y", x=entries.values.normal(3), y=entries.values.spread(2))

        assert [a.tolist() for a in draw().arrays] == [a.tolist() for a in draw().arrays]

    def test_arrays_are_float64_and_cannot_be_changed(self):
        for entry in ENTRIES.values():
            for row in (*entry.samples, *entry.kinks):
                assert all(a.dtype == np.float64 and not a.flags.writeable for a in row.arrays)

    def test_linear_names_become_positions(self):
        assert entries.sample("x", y=[1.0], x=[2.0], linear="x").linear == (1,)
        with pytest.raises(ValueError):
            entries.sample("x", x=[1.0], linear="z")

    def test_expressions_have_no_builtins(self):
        with pytest.raises(NameError, match="open"):
            entries.error("open('file')", ValueError, "").call()


# ---- what is wrong is noticed ----------------------------------------------------------------------------------------


class Square(Function):
    """x², with its gradient times a factor; cut off from the tape if so told."""

    def forward(self, x, factor=1.0, cut=False):
        self.save(x)
        return x * x

    def backward(self, cotangent):
        (x,) = self.saved
        x = Tensor(x.array) if self.parameters.get("cut") else x
        return (cotangent * x * (2 * self.parameters.get("factor", 1.0)),)


@pytest.fixture
def square(monkeypatch):
    """An entry made of rows that may name `square`."""
    monkeypatch.setitem(
        entries._NAMES, "square", lambda x, **how: Square()(entries.functional.astype(x, x.dtype), **how)
    )
    return registry.Entry("square")


def found(entry):
    return checks.run(entry, "cpu").failures


def test_a_right_entry_passes(square):
    outcome = checks.run(replace(square, samples=(entries.sample("square(x)", x=[1.0, -2.0]),)), "cpu")
    assert outcome.passed and outcome.checks == 2 and 0 < outcome.worst < 1


def test_a_gradient_that_is_wrong_by_a_thousandth_of_a_percent(square):
    wrong = replace(square, samples=(entries.sample("square(x, factor=1.00001)", x=[1.0, -2.0]),))
    (failure,) = found(wrong)  # the second derivatives are those of the wrong gradient
    assert failure.startswith("first derivatives, square(x, factor=1.00001): GradcheckError: ")


def test_a_second_derivative_that_is_cut_off_from_the_tape(square):
    wrong = replace(square, samples=(entries.sample("square(x, cut=True)", x=[1.0, -2.0]),))
    (failure,) = found(wrong)
    assert failure.startswith("second derivatives, square(x, cut=True): GradcheckError: ")
    assert not found(replace(wrong, once_only="its gradient knows nothing of x"))


def test_a_constant_that_has_a_gradient(square):
    (failure,) = found(replace(square, samples=(entries.sample("square(x)", x=[1.0]),), constant="so it says"))
    assert "the result requires a gradient, expected a constant" in failure


def test_another_gradient_or_value_at_a_kink(square):
    right = entries.kink("0", "relu(x)", x=[0], value=[0], cotangent=[3], gradients=[[0]])
    assert not found(replace(square, kinks=(right,)))
    (failure,) = found(replace(square, kinks=(replace(right, gradients=(np.ones(1),)),)))
    assert "relu(x) in float64, fused: the gradient in x is [0.0], expected [1.0]" in failure
    (failure,) = found(replace(square, kinks=(replace(right, value=np.ones(1)),)))
    assert "the value is [0.0], expected [1.0]" in failure


def test_an_error_that_does_not_come_or_says_something_else(square):
    right = entries.error("relu(LABELS)", TypeError, "not int64")
    assert not found(replace(square, errors=(right,)))
    (failure,) = found(replace(square, errors=(replace(right, message="not int32"),)))
    assert "relu(LABELS) says 'relu: x must be" in failure and "expected 'not int32'" in failure
    (failure,) = found(replace(square, errors=(entries.error("relu(ROWS)", TypeError, ""),)))
    assert "relu(ROWS) gave a result, expected TypeError" in failure
    (failure,) = found(replace(square, errors=(entries.error("relu(LABELS)", ValueError, ""),)))
    assert "error, relu(LABELS): TypeError" in failure


def test_quick_looks_at_one_sample():
    kinds = [(kind, row.label) for kind, _, row in checks.of_entry(registry.entry("max_pool"), quick=True)]
    assert kinds == [("first derivatives", "max_pool(x, 2)")]
