"""The same bits every time: each function, and kernels so large that several threads share them, 20 times over, at each
number of threads, whatever memory held before, alone and while another Python thread computes."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
from dirty_memory import CONTENTS, NAN, ZERO, dirty_memory

from tomograd import kernels
from tomograd.engine import Tensor, grad
from tomograd.kernels import cpu
from tomograd.kernels.cpu.bodies import PARTS
from tomograd.kernels.cpu.launch import noted_by, threads, using_threads
from tomograd.kernels.cpu.winograd_tiles import using_winograd
from tomograd.testing import registry

RUNS = 20
NUMBERS_OF_THREADS = sorted({1, min(2, threads()), threads()})


def bits(arrays):
    return [np.asarray(array).tobytes() for array in arrays]


def value_and_gradients(function, arrays):
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    y = function(*tensors)
    cotangent = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    found = grad(y, tensors, cotangent, allow_unused=True)
    return [y.array, *[gradient.array for gradient in found if gradient is not None]]


def require_same_bits(compute, where=""):
    """20 runs of `compute`, which gives arrays, in memory that held something else each time."""
    first = None
    for run in range(RUNS):
        with dirty_memory(CONTENTS[run % len(CONTENTS)]):
            found = bits(compute(run))
        first = first or found
        differing = [number for number, (a, b) in enumerate(zip(found, first, strict=True)) if a != b]
        assert not differing, f"run {run}{where} differs in results {differing}"


SAMPLES = [
    pytest.param(sample.function, sample.arrays, id=f"{name}: {sample.label}")
    for name, entry in registry.ENTRIES.items()
    if not entry.constant
    for sample in entry.samples
]


@pytest.mark.parametrize(("function", "arrays"), SAMPLES)
def test_every_function(function, arrays):
    for number in NUMBERS_OF_THREADS:
        with using_threads(number), kernels.using("cpu"):
            require_same_bits(lambda run: value_and_gradients(function, arrays), f" on {number} threads")


@pytest.mark.parametrize(("function", "arrays"), SAMPLES)
def test_every_function_of_the_reference(function, arrays):
    with kernels.using("reference"):
        results = []
        for content in (NAN, ZERO):
            with dirty_memory(content):
                results.append(bits(value_and_gradients(function, arrays)))
    assert results[0] == results[1]


# ---- kernels of several parts ----------------------------------------------------------------------------------------

RNG = np.random.default_rng(11)
SAME, NONE = ((1, 1), (1, 1)), ((0, 0), (0, 0))
ONE, TWO = (1, 1), (2, 2)


def normal(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def probabilities(*shape):
    return RNG.uniform(0.05, 0.95, shape).astype(np.float32)


X, DY, W = normal(2, 61, 67, 24), normal(2, 61, 67, 40), normal(3, 3, 24, 40)
DEPTHWISE, BIAS = normal(3, 3, 1, 24), normal(40)
HALVED = normal(2, 31, 34, 24)
DEEP_X, DEEP_DY = normal(1, 20, 20, 96), normal(1, 20, 20, 112)
LINES, SCORES = normal(400, 640), normal(40_000, 5)
LABELS = RNG.integers(0, 5, 40_000)
SHARES, MASKS = probabilities(3, 20_000, 3), (probabilities(3, 20_000, 3) > 0.5).astype(np.float32)
TALL, FACTOR, FEW, WIDE = normal(300, 257), normal(257, 190), normal(3, 3000), normal(3000, 500)
PARAMETERS = [[normal(90_000), normal(33, 70)] for _ in range(3)]
SEQUENCES, RECURRENT = normal(40, 20, 4 * 37), normal(37, 4 * 37) / 37
SQUARES = [[array**2 for array in arrays] for arrays in PARAMETERS]


def with_winograd(outputs, kernel, *arguments):
    with using_winograd(outputs):
        return [kernel(*arguments)]


def max_pooling(pool, strides, padding):
    y, choice = cpu.max_pool(X, pool, strides, padding, ONE)
    return y, choice, cpu.max_pool_scatter(y, choice, X.shape[1:3], pool, strides, padding, ONE)


def average_pooling():
    y = cpu.average_pool(X, (3, 3), TWO, SAME, False)
    return y, cpu.average_pool_gradient(y, X.shape[1:3], (3, 3), TWO, SAME, False)


def batch_norm():
    gamma, beta = X[0, 0, 0], X[0, 0, 1]
    y, mean, variance = cpu.batch_norm(X, gamma, beta, 1e-3, "relu")
    return y, mean, variance, *cpu.batch_norm_gradient(y, X, gamma, beta, mean, variance, 1e-3, "relu")


def group_norm(x, groups):
    gamma, beta = x.reshape(-1, x.shape[-1])[:2]
    y, mean, variance = cpu.group_norm(x, groups, gamma, beta, 1e-3)
    return y, mean, variance, *cpu.group_norm_gradient(y, x, groups, gamma, mean, variance, 1e-3)


def class_losses():
    loss, p = cpu.sparse_cross_entropy(SCORES, LABELS), cpu.softmax(SCORES)
    gradients = cpu.sparse_cross_entropy_gradient(loss, SCORES, LABELS), cpu.cross_entropy_gradient(loss, SCORES, p)
    return loss, p, *gradients, cpu.cross_entropy(SCORES, p), cpu.log_softmax(SCORES)


def dice():
    return cpu.dice(SHARES, MASKS, 1.0), cpu.dice_gradient(SHARES[:, 0], SHARES, MASKS, 1.0)


def elementwise():
    loss = cpu.binary_cross_entropy(SHARES, MASKS)
    return loss, cpu.binary_cross_entropy_gradient(loss, SHARES, MASKS), cpu.activation(X, "gelu"), cpu.add(X, X)


def adam():
    lists = [[array.copy() for array in arrays] for arrays in (*PARAMETERS, SQUARES[0])]
    cpu.adam_step(*lists, 3, 0.01, 0.9, 0.999, 1e-7, 0.01)
    return [array for arrays in lists for array in arrays]


def recurrence():
    """More sequences than a thread has, in tiles that are not full."""
    z = SEQUENCES.copy()
    h, c = cpu.lstm(z, RECURRENT, None, None, None, "tanh", "sigmoid")
    return h, c, *cpu.lstm_gradient(h, None, z, c, RECURRENT, None, None, "tanh", "sigmoid")


def resizing():
    y = cpu.resize(HALVED, (62, 68), "bilinear")
    return y, cpu.resize_gradient(y, HALVED.shape[1:3], "bilinear")


KERNELS = {
    "direct convolution": lambda: with_winograd(0, cpu.conv, X, W, BIAS, ONE, SAME, ONE, 1, "relu"),
    "Winograd 2": lambda: with_winograd(2, cpu.conv, X, W, BIAS, ONE, SAME, ONE, 1),
    "Winograd 4": lambda: with_winograd(4, cpu.conv, X, W, BIAS, ONE, SAME, ONE, 1),
    "depthwise convolution": lambda: [cpu.conv(X, DEPTHWISE, None, ONE, SAME, ONE, 24)],
    "convolution in steps of two": lambda: [cpu.conv(X, W, None, TWO, SAME, ONE, 1)],
    "transposed convolution": lambda: [cpu.conv_transpose(HALVED, W[..., :24], None, (61, 67), TWO, SAME, ONE, 1)],
    "weight gradient": lambda: with_winograd(0, cpu.conv_weight_gradient, X, DY, (3, 3), ONE, SAME, ONE, 1),
    "weight gradient, Winograd": lambda: with_winograd(4, cpu.conv_weight_gradient, X, DY, (3, 3), ONE, SAME, ONE, 1),
    "weight gradient, deep": lambda: [cpu.conv_weight_gradient(DEEP_X, DEEP_DY, (3, 3), ONE, SAME, ONE, 1)],
    "weight gradient, depthwise": lambda: [cpu.conv_weight_gradient(X, X, (3, 3), ONE, SAME, ONE, 24)],
    "channel sums": lambda: [cpu.channel_sum(DY)],
    "max pooling": lambda: max_pooling(TWO, TWO, NONE),
    "max pooling, overlapping": lambda: max_pooling((3, 3), TWO, SAME),
    "average pooling": average_pooling,
    "batch norm": batch_norm,
    "group norm": lambda: group_norm(X, 3),
    "layer norm": lambda: group_norm(LINES, 1),
    "losses of classes": class_losses,
    "dice": dice,
    "elementwise": elementwise,
    "matmul": lambda: [cpu.matmul(TALL, FACTOR), cpu.matmul(TALL, FACTOR.T.copy(), transpose_b=True)],
    "matmul of few rows": lambda: [cpu.matmul(FEW, WIDE)],
    "adam": adam,
    "squared norm": lambda: [cpu.squared_norm(PARAMETERS[0])],
    "recurrence": recurrence,
    "resizing": resizing,
}


class Company:
    """A Python thread that launches kernels on all threads, whenever it is let: then others' launches find the team
    busy, and are computed by whoever began them alone."""

    def __init__(self):
        self.wanted, self.ended = threading.Event(), False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        x = np.ones((1, 64, 64, 16), np.float32)
        while self.wanted.wait() and not self.ended:
            cpu.activation(x, "gelu")

    @contextmanager
    def present(self, here):
        (self.wanted.set if here else self.wanted.clear)()
        try:
            yield
        finally:
            self.wanted.clear()

    def end(self):
        self.ended = True
        self.wanted.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def company():
    company = Company()
    yield company
    company.end()


class Parts:
    """The largest number of parts of a launch."""

    most = 0

    def take(self, header, workers, arguments):
        self.most = max(self.most, header[PARTS])


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_that_threads_share(name, company):
    for number in NUMBERS_OF_THREADS:
        with using_threads(number):
            parts = Parts()
            with noted_by(parts):
                KERNELS[name]()
            assert parts.most > 1 or number == 1, "too small to be shared"

            def compute(run):
                with company.present(run % 2):
                    return KERNELS[name]()

            require_same_bits(compute, f" on {number} threads")


def test_uninitialised_memory_is_noticed():
    """The test above can fail: a kernel that leaves an element as it was."""

    def forgetful(run):
        y = kernels.memory.empty(100)
        y[1:] = 1
        return [y]

    with pytest.raises(AssertionError, match=r"run 1 differs in results \[0\]"):
        require_same_bits(forgetful)
