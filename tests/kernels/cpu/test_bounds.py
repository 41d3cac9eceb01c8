"""Kernels read and write nothing outside their arrays: each array lies at the end, or at the start, of memory beside
which any access kills the process. Hence the kernels run in processes of their own. (Convolutions have a test of this
kind for themselves.)"""

import ctypes
import mmap
import multiprocessing
import signal
import sys
from unittest import mock

import every_kernel
import numpy as np
import pytest

from tomograd.kernels import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect, and fork amid threads")


class Guarded:
    """Makes arrays that end (or begin) where a page that nobody may touch begins (or ends)."""

    def __init__(self, where):
        self.at_end, self.kept, self.libc = where == "end", [], ctypes.CDLL(None, use_errno=True)

    def empty(self, shape, dtype):
        dtype, shape = np.dtype(dtype), (shape,) if isinstance(shape, int) else tuple(shape)
        count, page = int(np.prod(shape)), mmap.PAGESIZE
        size = count * dtype.itemsize
        pages = -(-size // page)
        block = mmap.mmap(-1, (pages + 2) * page)
        self.kept.append(block)
        address = ctypes.addressof(ctypes.c_char.from_buffer(block))
        for number in (0, pages + 1):
            place = ctypes.c_void_p(address + number * page)
            assert self.libc.mprotect(place, ctypes.c_size_t(page), 0) == 0
        offset = page + (pages * page - size if self.at_end else 0)
        return np.frombuffer(block, dtype, count, offset).reshape(shape)

    def allocate(self, shape, dtype):
        return self.empty(shape, dtype), True

    def copy(self, given):
        """The same in such memory; what is not a contiguous array as it is."""
        if isinstance(given, list):
            return [self.copy(each) for each in given]
        if not isinstance(given, np.ndarray) or not given.flags.c_contiguous:
            return given
        array = self.empty(given.shape, given.dtype)
        array[...] = given
        return array


class Checker(every_kernel.Checker):
    """Calls the kernels with such arrays, and has them put their results into such arrays."""

    def __init__(self, dtype, guarded):
        super().__init__(dtype)
        self.guarded = guarded

    def __call__(self, name, *arguments, **options):
        options = {key: self.guarded.copy(option) for key, option in options.items()}
        return super().__call__(name, *map(self.guarded.copy, arguments), **options)

    def in_place(self, name, lists, *arguments):
        self.called.add(name)
        ours, theirs = self.guarded.copy(lists), [[array.copy() for array in arrays] for arrays in lists]
        getattr(every_kernel.cpu, name)(*ours, *arguments)
        getattr(every_kernel.reference, name)(*theirs, *arguments)
        self.compare(name, ours, theirs)


def flat(check):
    """Arrays as rows of numbers, large enough to be worth a kernel, and not whole vectors."""
    check("add", check.numbers(131, 1005), check.numbers(131, 1005))
    check("activation", check.numbers(131, 105), "leaky_relu", 0.3)
    check("channel_sum", check.numbers(5, 61, 67, 5))
    for width in (5, 70):  # one number a row, some vectors of them in the last block
        check("logsumexp", check.numbers(165, width))


def many_channels_and_few(check):
    """Pooling, resizing and normalization with and without whole vectors."""
    for channels in (1, 3, 33, 100):
        x = check.numbers(2, 7, 43, channels)
        geometry = (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)
        y, choice = check("max_pool", x, *geometry)
        check("max_pool_scatter", y, choice, (7, 43), *geometry)
        check("max_pool_gather", x, choice, *geometry)
        check("average_pool_gradient", check("average_pool", x, *geometry[:3], True), (7, 43), *geometry[:3], True)
        check("resize_gradient", check("resize", x, (14, 86), "bilinear"), (7, 43), "bilinear")
        gamma, beta = check.numbers(channels), check.numbers(channels)
        _, mean, variance = check("batch_norm", x, gamma, beta, 1e-3)
        check("batch_norm_gradient", x, x, gamma, beta, mean, variance, 1e-3)
        rows = x.reshape(-1, channels)
        _, mean, variance = check("group_norm", rows, 1, gamma, beta, 1e-3)
        check("group_norm_gradient", rows, rows, 1, gamma, mean, variance, 1e-3)


def run(group, where, seconds):
    signal.setitimer(signal.ITIMER_REAL, seconds)
    guarded = Guarded(where)
    with mock.patch.object(memory, "_allocate", guarded.allocate):
        for dtype in (np.float32, np.float64):
            group(Checker(dtype, guarded))


@pytest.mark.parametrize("where", ["end", "start"])
@pytest.mark.parametrize(
    "group",
    [
        every_kernel.pooling,
        every_kernel.dense_and_elementwise,
        every_kernel.normalization,
        every_kernel.losses,
        every_kernel.recurrence,
        flat,
        many_channels_and_few,
    ],
    ids=lambda group: group.__name__,
)
def test_nothing_outside_the_arrays_is_touched(group, where):
    limit, _ = signal.getitimer(signal.ITIMER_REAL)  # if the test's own time is limited, that of its process is too
    process = multiprocessing.get_context("fork").Process(target=run, args=(group, where, limit))
    process.start()
    process.join()
    assert process.exitcode == 0
