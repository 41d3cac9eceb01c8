"""The caching allocator: blocks come back when the last view dies, in any thread, and never more than the limit is
kept."""

import gc
import os
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels import memory

MiB = 1024**2
LARGE = (1 * MiB,)  # bytes, as uint8: well above the size from which blocks are kept


@pytest.fixture(autouse=True)
def clean_pool():
    """Each test begins with nothing cached, and leaves the limit as it was."""
    gc.collect()
    before = memory.summary().limit
    memory.release()
    yield
    memory.limit(before)
    memory.release()


def address(array):
    return array.ctypes.data


@given(
    shape=st.lists(st.integers(0, 90), max_size=3).map(tuple),
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_, np.complex64, np.float16]),
)
def test_arrays_are_ordinary_ones(shape, dtype):
    for array in (memory.empty(shape, dtype), memory.zeros(shape, dtype)):
        assert type(array) is np.ndarray
        assert array.shape == shape and array.dtype == dtype
        assert array.flags.writeable and array.flags.c_contiguous and array.flags.aligned
        if array.nbytes >= memory.ALIGNED_FROM:
            assert address(array) % 64 == 0
    assert not array.any()
    array[...] = 1
    assert array.all()


def test_shape_may_be_a_number():
    assert memory.empty(7).shape == (7,)
    assert memory.empty(np.int64(7), np.float64).shape == (7,)


def test_a_block_is_reused_when_its_array_is_gone():
    first = memory.empty(LARGE, np.uint8)
    where = address(first)
    hits = memory.summary().hits
    del first
    second = memory.empty((512, 500), np.float32)  # another shape and type of the same size class
    assert address(second) == where
    assert memory.summary().hits == hits + 1


def test_a_large_array_takes_a_free_block_of_up_to_twice_its_size():
    sizes = [5 * MiB, 6 * MiB, 12 * MiB]
    made = [memory.empty((size,), np.uint8) for size in sizes]
    where = [address(array) for array in made]
    del made
    three = memory.empty((3 * MiB,), np.uint8)
    assert address(three) == where[0], "the smallest one that is large enough"
    four = memory.empty((4 * MiB,), np.uint8)
    assert address(four) == where[1]
    five = memory.empty((5 * MiB,), np.uint8)
    assert address(five) not in where, "12 MiB would be wasted on it"
    assert memory.summary().in_use >= 6 * MiB + 5 * MiB + 5 * MiB
    four[...] = 4
    assert (four == 4).all()
    before = memory.summary()
    del three, four, five
    assert memory.summary().cached == before.cached + before.in_use - memory.summary().in_use


def test_a_small_array_takes_a_block_of_its_own_class():
    large = memory.empty((192 * 1024,), np.uint8)
    where = address(large)
    del large
    assert address(memory.empty((128 * 1024,), np.uint8)) != where


def test_a_view_keeps_its_block():
    array = memory.empty(LARGE, np.uint8)
    array[:] = 7
    view = array[10:20].reshape(2, 5).T
    in_use = memory.summary().in_use
    del array
    others = [memory.zeros(LARGE, np.uint8) for _ in range(3)]
    assert view.tolist() == [[7, 7]] * 5
    assert memory.summary().in_use > in_use
    del view, others
    gc.collect()
    assert memory.summary().in_use < in_use


def test_zeros_are_zeros_in_a_used_block():
    array = memory.empty(LARGE, np.uint8)
    array[:] = 255
    del array
    assert not memory.zeros(LARGE, np.uint8).any()


def test_two_arrays_never_share_a_block():
    arrays = [memory.empty((200 + i, 1000), np.float32) for i in range(20)]
    for i, array in enumerate(arrays):
        array[...] = i
    assert all((array == i).all() for i, array in enumerate(arrays))


def test_small_arrays_are_numpys():
    before = memory.summary()
    small, smaller = memory.empty(1000, np.float32), memory.empty(10, np.float32)
    assert (small.size, smaller.size) == (1000, 10)
    assert memory.summary() == before


def test_objects_are_numpys():
    assert memory.zeros(20000, object)[3] == 0
    assert memory.empty((200, 200), "U5").dtype == "U5"


@given(size=st.integers(1, 2**45))
def test_at_most_an_eighth_of_a_block_is_unused(size):
    capacity = memory.size_class(size)
    assert size <= capacity <= max(size * 9 / 8, size + 2 * 65536)
    assert memory.size_class(capacity) == capacity


def test_the_limit_bounds_what_is_kept():
    memory.limit(3 * MiB)
    arrays = [memory.empty(LARGE, np.uint8) for _ in range(6)]
    assert memory.summary().in_use >= 6 * MiB  # arrays in use are not bounded
    del arrays
    held = memory.summary()
    assert held.in_use + held.cached <= 3 * MiB
    assert held.cached >= 2 * MiB
    memory.limit(0)
    assert memory.summary().cached == 0
    with pytest.raises(ValueError, match="-1"):
        memory.limit(-1)


def test_old_sizes_make_room_for_new_ones():
    memory.limit(4 * MiB)
    for _ in range(2):
        del_me = [memory.empty((2, MiB), np.uint8)]
        del_me.clear()
    array = memory.empty((3, MiB), np.uint8)
    held = memory.summary()
    assert held.cached + held.in_use <= 4 * MiB
    assert array.nbytes == 3 * MiB


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_release_gives_memory_back_to_the_system():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    arrays = [memory.zeros((8, MiB), np.uint8) for _ in range(8)]
    for array in arrays:
        array[:] = 1
    full = resident()
    array = None
    arrays.clear()
    assert memory.summary().cached >= 64 * MiB
    assert memory.release() >= 64 * MiB
    assert memory.summary().cached == 0
    assert full - resident() >= 48 * MiB


def test_summary_counts_and_reads_well():
    array = memory.empty((4, MiB), np.uint8)
    held = memory.summary()
    assert held.in_use >= 4 * MiB and held.peak >= held.in_use
    assert "4.0 MiB in use" in str(held) or held.in_use != 4 * MiB
    assert all(word in str(held) for word in ("cached", "peak", "limit", "reused"))
    assert memory.readable(512) == "512 B" and memory.readable(3 * 2**30 // 2) == "1.5 GiB"
    assert array.nbytes == 4 * MiB


@pytest.mark.parametrize("shape", [(2**62, 2**62), (2**40, 2**10), 2**62])
def test_too_much_memory_is_a_clear_error(shape):
    with pytest.raises(MemoryError, match=r"no memory for an array of shape .*float32.*in use"):
        memory.empty(shape)


def test_negative_sizes():
    with pytest.raises(ValueError, match="negative"):
        memory.empty((3, -1))


def test_cycles_give_their_blocks_back_while_the_allocator_works():
    """The garbage collector may run a finalizer inside `empty` itself, where the allocator's lock is held."""
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            cycle = [memory.empty(LARGE, np.uint8)]
            cycle.append(cycle)
            del cycle
            memory.summary()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert memory.summary().in_use <= memory.summary().peak


def test_threads():
    wrong = []

    def work(number):
        rng = np.random.default_rng(number)
        held = []
        for _ in range(300):
            array = memory.empty((int(rng.integers(1, 40)), 20000), np.float32)
            array[...] = number
            held.append(array)
            if len(held) > 3:
                old = held.pop(int(rng.integers(0, 3)))
                if not (old == number).all():
                    wrong.append(number)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    before = memory.summary().in_use
    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=60)
    finally:
        sys.setswitchinterval(switch)
    assert not any(worker.is_alive() for worker in workers), "deadlock"
    assert not wrong
    gc.collect()
    assert memory.summary().in_use == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_its_own_memory():
    array = memory.zeros(LARGE, np.uint8)
    child = os.fork()
    if child == 0:
        array[:] = 9
        other = memory.empty(LARGE, np.uint8)
        other[:] = 1
        os._exit(0 if array.sum() == 9 * MiB else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not array.any()
