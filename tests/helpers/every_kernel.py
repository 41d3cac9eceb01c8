"""Runs every kernel of the CPU on this process's processor features, against the reference, and reads the assembly of
all that was compiled. A program: `every_kernel.py LEVEL TYPE`, where LEVEL is what must have been chosen at import, and
TYPE is float32 or float64.

It stands alone because Numba reads `NUMBA_CPU_NAME` and `NUMBA_CPU_FEATURES` once, when it is imported.
"""

import sys

import numpy as np
from assembly import widest_registers

from tomograd.kernels import ACTIVATION_NAMES, INTERFACE, cpu, reference
from tomograd.kernels.cpu import bodies, simd

TOLERANCE = 2000  # machine epsilons, of the largest number in a result
SAME_PADDING = ((1, 1), (1, 1))


class Checker:
    """Calls kernels of both backends and compares; counts which were called."""

    def __init__(self, dtype):
        self.dtype, self.called = dtype, set()
        self.rng = np.random.default_rng(0)

    def numbers(self, *shape):
        """Random numbers of the type under test."""
        return self.rng.standard_normal(shape).astype(self.dtype)

    def probabilities(self, *shape):
        """Random numbers between 0 and 1."""
        return self.rng.uniform(0, 1, shape).astype(self.dtype)

    def __call__(self, name, *arguments, **options):
        """The reference's result, after the CPU's was compared with it, and what either left of its arguments."""
        self.called.add(name)
        others = [given.copy() if isinstance(given, np.ndarray) else given for given in arguments]
        expected = getattr(reference, name)(*others, **options)
        self.compare(name, getattr(cpu, name)(*arguments, **options), expected)
        for ours, theirs in zip(arguments, others, strict=True):
            if isinstance(ours, np.ndarray):
                self.compare(name, ours, theirs)
        return expected

    def in_place(self, name, lists, *arguments):
        """The same for a kernel that changes its lists of arrays."""
        self.called.add(name)
        ours, theirs = ([[array.copy() for array in arrays] for arrays in lists] for _ in range(2))
        getattr(cpu, name)(*ours, *arguments)
        getattr(reference, name)(*theirs, *arguments)
        self.compare(name, ours, theirs)

    def compare(self, name, actual, expected):
        """Equal up to rounding."""
        if expected is None:
            assert actual is None, name
            return
        if isinstance(expected, tuple | list):
            for a, e in zip(actual, expected, strict=True):
                self.compare(name, a, e)
            return
        actual, expected = np.asarray(actual), np.asarray(expected)
        assert actual.dtype == expected.dtype, (name, actual.dtype)
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1)
        atol = TOLERANCE * np.finfo(self.dtype).eps * scale
        np.testing.assert_allclose(actual, expected, rtol=0, atol=atol, err_msg=f"{name}, {self.dtype.__name__}")


def convolutions(check):
    """(batch, size, kernel, strides, padding, dilation, groups, channels in and out) of all sorts."""
    for n, size, kernel, strides, padding, dilation, groups, c, k in [
        (2, (7, 19), (3, 3), (1, 1), SAME_PADDING, (1, 1), 1, 3, 5),
        (1, (8, 21), (3, 3), (1, 1), SAME_PADDING, (1, 1), 1, 16, 33),
        (1, (9, 14), (3, 2), (2, 3), ((0, 1), (2, 1)), (1, 2), 1, 17, 2),
        (2, (8, 9), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, 20, 1),
        (1, (11, 13), (3, 3), (1, 1), SAME_PADDING, (1, 1), 19, 19, 19),
        (1, (11, 13), (3, 3), (2, 2), SAME_PADDING, (1, 1), 6, 12, 12),
        (1, (40,), (5,), (1,), ((2, 2),), (2,), 4, 4, 8),
        (1, (5, 6, 7), (2, 3, 2), (1, 2, 1), ((0, 1), (1, 1), (1, 0)), (1, 1, 2), 1, 2, 18),
    ]:
        x, w, bias = check.numbers(n, *size, c), check.numbers(*kernel, c // groups, k), check.numbers(k)
        geometry = strides, padding, dilation, groups
        y = check("conv", x, w, bias, *geometry, "relu")
        dy = check.numbers(*y.shape)
        check("conv_transpose", dy, w, None, size, *geometry)
        check("conv_weight_gradient", x, dy, kernel, *geometry)
        check("channel_sum", dy)


def pooling(check):
    """Two and three dimensions, with and without overlap."""
    for shape, pool, strides, padding, dilation in [
        ((2, 9, 12, 5), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
        ((1, 11, 8, 33), (3, 3), (2, 2), SAME_PADDING, (1, 1)),
        ((1, 5, 6, 7, 4), (2, 2, 2), (1, 2, 2), ((0, 1), (0, 0), (1, 0)), (2, 1, 1)),
    ]:
        x = check.numbers(*shape)
        y, choice = check("max_pool", x, pool, strides, padding, dilation)
        dy = check.numbers(*y.shape)
        check("max_pool_scatter", dy, choice, shape[1:-1], pool, strides, padding, dilation)
        check("max_pool_gather", x, choice, pool, strides, padding, dilation)
        mean = check("average_pool", x, pool, strides, padding, False)
        check("average_pool_gradient", check.numbers(*mean.shape), shape[1:-1], pool, strides, padding, False)


def dense_and_elementwise(check):
    """Products, activations, resizing, copies, sums, optimizer steps."""
    a, b = check.numbers(13, 37), check.numbers(37, 19)
    check("matmul", a, b, bias=check.numbers(19), activation="relu")
    check("matmul", a.T.copy(), b, transpose_a=True)
    check("matmul", a, b.T.copy(), transpose_b=True)
    x, dy = check.numbers(7, 41), check.numbers(7, 41)
    for name in ACTIVATION_NAMES:
        check("activation", x, name, 0.3)
        check("activation_gradient", dy, x, name, 0.3)
    for name in ("softmax", "log_softmax"):
        check(f"{name}_gradient", dy, check(name, x))
    check("logsumexp", x)
    for method in ("nearest", "bilinear"):
        y = check("resize", check.numbers(2, 5, 7, 3), (10, 13), method)
        check("resize_gradient", check.numbers(*y.shape), (5, 7), method)
    rows, columns = check.rng.normal(0, 4, (2, 6, 2)), check.rng.normal(0, 4, (2, 9, 2))
    for interpolation, mode in [("bilinear", "reflect"), ("nearest", "wrap")]:
        y = check("affine_transform", check.numbers(2, 5, 7, 3), rows, columns, interpolation, mode, 0.5)
        check("affine_transform_gradient", check.numbers(*y.shape), rows, columns, (5, 7), interpolation, mode)
    check("copy", x.T)
    check("split", check("concatenate", [x, dy], 1), [30, 52], 1)
    check("add", x, dy)
    check("add_rows", check.numbers(300, 7), np.arange(300) % 11, 13)
    lists = [[check.numbers(7, 41), check.numbers(3)] for _ in range(3)]
    averages = [[check.probabilities(7, 41), check.probabilities(3)] for _ in range(2)]
    check.in_place("sgd_step", lists, 0.1, 0.9, True, 0.01)
    check.in_place("adam_step", [*lists, averages[0]], 3, 0.01, 0.9, 0.999, 1e-7, 0.01)
    # Its squares' averages are never below the averages' squares.
    averages = [[average + 1 for average in averages[0]], averages[1]]
    check.in_place("rmsprop_step", [*lists[:2], averages[0], lists[2], averages[1]], 0.01, 0.9, 0.5, 1e-7, 0.01)
    check.in_place("nadam_step", [*lists, averages[0]], 3, 0.1, 0.01, 0.9, 0.999, 1e-7, 0.01)
    for name in ("adamax_step", "lamb_step", "schedule_free_step"):
        check.in_place(name, [*lists, averages[0]], 3, 0.01, 0.9, 0.999, 1e-7, 0.01)
    check.in_place("adagrad_step", [*lists[:2], averages[0]], 0.01, 1e-7, 0.01)
    check.in_place("adadelta_step", [*lists[:2], *averages], 0.01, 0.9, 1e-7, 0.01)
    check.in_place("lion_step", lists, 0.01, 0.9, 0.99, 0.01)
    check.in_place("ftrl_step", [*lists[:2], averages[0], lists[2]], 0.1, -0.5, 0.01, 0.1, 0.2, 0.3, 0.01)
    check.in_place("blend", lists[:2], 0.9, 0.1)
    check("limit_norm", lists[0], check("squared_norm", lists[0]), 2.0)


def normalization(check):
    """Batches and groups."""
    x, dy, gamma, beta = check.numbers(3, 6, 7, 12), check.numbers(3, 6, 7, 12), check.numbers(12), check.numbers(12)
    _, mean, variance = check("batch_norm", x, gamma, beta, 1e-3, "relu")
    check("batch_norm_gradient", dy, x, gamma, beta, mean, variance, 1e-3, "relu")
    check("batch_norm_inference", x, gamma, beta, mean, variance, 1e-3)
    check("batch_norm_inference_gradient", dy, x, gamma, beta, mean, variance, 1e-3, "relu")
    _, mean, variance = check("group_norm", x, 4, gamma, beta, 1e-3)
    check("group_norm_gradient", dy, x, 4, gamma, mean, variance, 1e-3)


def losses(check):
    """From logits and from probabilities, each with its gradient."""
    logits, labels, dloss = check.numbers(9, 21), check.rng.integers(0, 21, 9), check.numbers(9)
    targets, p = check.probabilities(9, 21), check.probabilities(9, 21)
    check("sparse_cross_entropy", logits, labels)
    check("sparse_cross_entropy_gradient", dloss, logits, labels)
    check("sparse_cross_entropy_from_probabilities", p, labels, 1e-3)
    check("sparse_cross_entropy_from_probabilities_gradient", dloss, p, labels, 1e-3)
    for name, cotangent in [("cross_entropy", dloss), ("binary_cross_entropy", logits)]:
        check(name, logits, targets)
        check(f"{name}_gradient", cotangent, logits, targets)
        check(f"{name}_from_probabilities", p, targets, 1e-3)
        check(f"{name}_from_probabilities_gradient", cotangent, p, targets, 1e-3)
    check("squared_error", logits, targets)
    check("squared_error_gradient", dloss[:, None] * logits, logits, targets)
    p, targets = check.probabilities(2, 50, 3), check.probabilities(2, 50, 3)
    check("dice", p, targets, 1.0)
    check("dice_gradient", check.numbers(2, 3), p, targets, 1.0)


def recurrence(check):
    """All cells, at sizes that are no whole tiles."""
    n, steps, units = 7, 3, 21
    dh, state = check.numbers(n, steps, units), check.numbers(n, units)
    mask, functions = check.rng.random((n, steps)) < 0.7, ("tanh", "sigmoid")

    def weight(gates):
        return check.numbers(units, gates * units) / units

    h = check("simple_rnn", check.numbers(n, steps, units), weight(1), state, mask, "tanh")
    check("simple_rnn_gradient", dh, h, weight(1), mask, "tanh")
    _, c = check("lstm", check.numbers(n, steps, 4 * units), weight(4), None, None, mask, *functions)
    gates = check.numbers(n, steps, 4 * units)
    check("lstm_gradient", dh, state, gates, c, weight(4), None, mask, *functions)
    for after in (True, False):
        bias = check.numbers(3 * units) if after else None
        h, inner = check("gru", check.numbers(n, steps, 3 * units), weight(3), bias, state, mask, *functions, after)
        gates = check.numbers(n, steps, 3 * units)
        check("gru_gradient", dh, h, gates, inner, weight(3), state, mask, *functions)


def main(expected: str, dtype: str) -> None:
    """All checks in a type, then the assembly."""
    assert simd.level().name == expected, f"chosen at import: {simd.level().name}, expected {expected}"
    check = Checker(np.dtype(dtype).type)
    for group in (convolutions, pooling, dense_and_elementwise, normalization, losses, recurrence):
        group(check)
    missing = set(INTERFACE) - check.called
    assert not missing, f"not checked: {sorted(missing)}"
    most = max(8 * simd.level().bytes, 128)  # x86's plain numbers live in registers of 128 bits
    for code in bodies._compiled.values():
        bits = widest_registers(code.assembly())
        assert bits <= most, f"{code.body.__name__} uses registers of {bits} bits"
    print(f"{len(bodies._compiled)} kernels on {expected}")


if __name__ == "__main__":
    main(*sys.argv[1:])
