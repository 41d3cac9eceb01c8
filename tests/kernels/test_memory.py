"""The caching allocator: blocks come back when the last view dies, in any thread, and never more than the limit is
kept."""

import copy
import gc
import io
import mmap
import os
import pickle
import signal
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


def test_shapes_in_every_notation():
    assert memory.empty(7).shape == (7,)
    assert memory.empty(np.int64(7), np.float64).shape == (7,)
    assert memory.empty([300, 400]).shape == memory.empty((np.int64(300), np.int64(400))).shape == (300, 400)


def test_empty_like_has_the_shape_and_type_of_another():
    like = memory.empty_like(np.zeros((3, 5), np.int16).T)
    assert like.shape == (5, 3) and like.dtype == np.int16 and like.flags.c_contiguous


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
    small, smaller, smallest = (memory.empty(size, np.uint8) for size in (64 * 1024 - 1, 1024, 1023))
    assert (small.size, smaller.size, smallest.size) == (64 * 1024 - 1, 1024, 1023)
    assert memory.summary() == before
    assert isinstance(small.base, np.ndarray) and isinstance(smaller.base, np.ndarray), "they are aligned"
    assert smallest.base is None
    assert isinstance(memory.empty(64 * 1024, np.uint8).base, memory._Owner)


def test_objects_are_numpys():
    assert memory.zeros(20000, object)[3] == 0
    assert memory.empty((200, 200), "U5").dtype == "U5"


@given(size=st.integers(1, 2**45))
def test_at_most_an_eighth_of_a_block_is_unused(size):
    capacity = memory.size_class(size)
    assert size <= capacity <= max(size * 9 / 8, size + 2 * 65536)
    assert memory.size_class(capacity) == capacity


def test_size_classes_are_eighths_of_a_power_of_two():
    """But no fractions of a page."""
    assert [memory.size_class(MiB + more) for more in (0, 1, MiB // 8, MiB // 8 + 1)] == [
        MiB,
        MiB + MiB // 8,
        MiB + MiB // 8,
        MiB + MiB // 4,
    ]
    assert memory.size_class(2 * MiB - 1) == memory.size_class(2 * MiB) == 2 * MiB
    assert [memory.size_class(size) for size in (1, 4 * mmap.PAGESIZE, 4 * mmap.PAGESIZE + 1)] == [
        mmap.PAGESIZE,
        4 * mmap.PAGESIZE,
        5 * mmap.PAGESIZE,
    ]


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
    assert array.nbytes == 4 * MiB


def test_summaries_read_well():
    held = memory.Summary(in_use=3 * MiB, cached=512, peak=4 * MiB, limit=2**34, hits=3, misses=1)
    expected = "3.0 MiB in use, 512 B cached, peak 4.0 MiB, limit 16.0 GiB; 75% of 4 arrays reused a block"
    assert str(held) == expected
    assert str(memory.Summary(0, 0, 0, 0, 0, 0)).endswith("limit 0 B; no array so far")
    sizes = (1023, 1024, 3 * 2**30 // 2, 2**50, 2**60)
    assert [memory.readable(size) for size in sizes] == ["1023 B", "1.0 KiB", "1.5 GiB", "1.0 PiB", "1024.0 PiB"]


@pytest.mark.parametrize("shape", [(2**62, 2**62), (2**40, 2**10), 2**62, (np.int64(2**40), np.int64(2**40))])
def test_too_much_memory_is_a_clear_error(shape):
    with (
        np.errstate(over="ignore"),
        pytest.raises(MemoryError, match=r"no memory for an array of shape .*float32.*in use"),
    ):
        memory.empty(shape)


@pytest.mark.parametrize("shape", [(3, -1), (-1000, -1000), (-1000, 5, -1000)])
def test_negative_sizes(shape):
    before = memory.summary().in_use
    with pytest.raises(ValueError, match="negative"):
        memory.empty(shape)
    assert memory.summary().in_use == before


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_the_pool_is_locked_has_a_lock_of_its_own():
    with memory._pool._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            memory.empty(LARGE, np.uint8)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class TestBlock:
    """What is asked of the system."""

    @pytest.fixture
    def advised(self, monkeypatch):
        """The sizes of the blocks for which large pages were asked."""
        sizes = []

        class Mapping(mmap.mmap):
            def madvise(self, advice):
                assert advice == 14  # MADV_HUGEPAGE
                sizes.append(len(self))

        monkeypatch.setattr(mmap, "mmap", Mapping)
        monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 14, raising=False)
        return sizes

    def test_large_pages_are_asked_for_from_four_megabytes_on(self, advised, monkeypatch):
        sizes = [4 * MiB - mmap.PAGESIZE, 4 * MiB, 9 * MiB]
        assert [memory._Block(size).capacity for size in sizes] == sizes
        assert advised == sizes[1:]
        monkeypatch.delattr(mmap, "MADV_HUGEPAGE")
        memory._Block(4 * MiB)
        assert advised == sizes[1:]

    def test_where_nothing_is_known_of_private_memory(self, monkeypatch):
        monkeypatch.delattr(mmap, "MAP_PRIVATE", raising=False)
        assert memory._Block(3 * mmap.PAGESIZE).mapping[:] == bytes(3 * mmap.PAGESIZE)

    @pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
    def test_blocks_hold_no_files_open(self):
        before = os.listdir("/proc/self/fd")
        blocks = [memory._Block(mmap.PAGESIZE) for _ in range(3)]
        assert os.listdir("/proc/self/fd") == before
        assert len({block.address for block in blocks}) == 3

    @pytest.mark.skipif(sys.implementation.name != "cpython", reason="objects look otherwise")
    def test_addresses_are_read_from_numpys_object(self, monkeypatch):
        assert memory._offset == object.__basicsize__
        array = np.zeros(4)
        assert memory.address_of_array(array[1:]) == address(array) + 8
        monkeypatch.setattr(memory, "_offset", None)
        assert memory.address_of_array(array[1:]) == address(array) + 8


class TestMachine:
    """How much memory there is, by what the system says."""

    @pytest.fixture
    def machine(self, monkeypatch):
        """Sets the files of the control group, by the words in their names, and the machine's pages."""

        def choose(files, pages=4 * 2**20):
            def open_(path):
                for word, text in files.items():
                    if path.endswith(word):
                        return io.StringIO(text)
                raise FileNotFoundError(path)

            def sysconf(name):
                if pages is None:
                    raise ValueError(name)
                return {"SC_PHYS_PAGES": pages, "SC_PAGE_SIZE": 4096}[name]

            monkeypatch.setattr(memory, "open", open_, raising=False)
            monkeypatch.setattr(os, "sysconf", sysconf)

        return choose

    def test_the_machines_or_its_control_groups(self, machine):
        machine({})
        assert memory.machine_memory() == 2**34
        machine({"memory.max": "max\n"})
        assert memory.machine_memory() == 2**34
        machine({"memory.max": "4096000\n"})
        assert memory.machine_memory() == 4096000
        machine({"memory.limit_in_bytes": "8192000\n"})
        assert memory.machine_memory() == 8192000
        machine({"memory.limit_in_bytes": str(2**62)})
        assert memory.machine_memory() == 2**34

    def test_where_the_system_says_nothing(self, machine):
        machine({}, pages=None)
        assert memory.machine_memory() == 8 * 2**30

    def test_half_of_it_may_be_kept(self):
        assert memory.summary().limit == memory.machine_memory() // 2


def held(pool):
    return pool.in_use // MiB, pool.cached // MiB


class TestPool:
    """A pool step by step, in blocks of whole megabytes."""

    def test_what_it_counts(self):
        pool = memory._Pool(limit=100 * MiB)
        (a, fresh), (b, _) = pool.take(2 * MiB), pool.take(4 * MiB)
        assert fresh and bytes(a.mapping) == bytes(2 * MiB)
        pool.give_back(a)
        assert pool.summary() == memory.Summary(4 * MiB, 2 * MiB, 6 * MiB, 100 * MiB, 0, 2)
        assert pool.take(2 * MiB) == (a, False)
        pool.give_back(b)
        assert pool.summary() == memory.Summary(2 * MiB, 4 * MiB, 6 * MiB, 100 * MiB, 1, 2)
        pool.give_back(a)
        assert pool.release() == 6 * MiB
        assert pool.summary() == memory.Summary(0, 0, 6 * MiB, 100 * MiB, 1, 2)

    def test_blocks_are_lent_up_to_twice_their_size_from_a_megabyte_on(self):
        pool = memory._Pool(limit=100 * MiB)
        kept = [pool.take(size)[0] for size in (2 * MiB, 7 * MiB // 4, 9 * MiB // 4)]
        for block in kept:
            pool.give_back(block)
        below, _ = pool.take(MiB - MiB // 16)
        assert below.capacity == MiB - MiB // 16
        assert [pool.take(MiB)[0] for _ in range(2)] == [kept[1], kept[0]], "the smallest first, and up to twice"
        assert pool.take(MiB)[0] not in kept
        assert pool.take(2 * MiB)[0] is kept[2]

    def test_what_exceeds_the_limit_goes_back_at_once(self):
        pool = memory._Pool(limit=4 * MiB)
        blocks = [pool.take(2 * MiB)[0] for _ in range(3)]
        pool.give_back(blocks.pop())
        assert held(pool) == (4, 0)
        pool.give_back(blocks.pop())
        pool.give_back(blocks.pop())
        pool._settle()
        assert held(pool) == (0, 4), "as much as allowed"
        pool.set_limit(2 * MiB)
        assert held(pool) == (0, 2)

    def test_a_new_size_drives_out_the_longest_unused(self):
        pool = memory._Pool(limit=9 * MiB)
        ones = [pool.take(MiB)[0] for _ in range(2)]
        two, three = pool.take(2 * MiB)[0], pool.take(3 * MiB)[0]
        for block in (*ones, two, three):
            pool.give_back(block)
        assert pool.take(MiB)[0] in ones  # now its class was used last
        pool.take(5 * MiB)
        assert held(pool) == (6, 1), "but not more than must go"
        pool.take(MiB)
        assert (pool.hits, held(pool)) == (2, (7, 0))

    def test_a_block_given_back_makes_its_size_the_last_used(self):
        pool = memory._Pool(limit=5 * MiB)
        ones, two = [pool.take(MiB)[0] for _ in range(2)], pool.take(2 * MiB)[0]
        for block in (ones[0], two, ones[1]):
            pool.give_back(block)
        pool.take(3 * MiB)
        assert held(pool) == (3, 2)
        assert pool.take(MiB)[0] in ones

    def test_a_block_that_comes_back_meanwhile_is_counted_in_the_end(self):
        """The garbage collector may run a finalizer while the pool is locked."""

        class Interrupted(memory._Pool):
            def _map(self, capacity):
                self.give_back(old)
                return super()._map(capacity)

        pool = Interrupted(limit=MiB)
        old = memory._Block(2 * MiB)
        pool.in_use = old.capacity
        taking = threading.Thread(target=pool.take, args=(MiB,), daemon=True)
        taking.start()
        taking.join(timeout=10)
        assert not taking.is_alive(), "deadlock"
        assert held(pool) == (1, 0)

    def test_kept_memory_goes_back_before_there_is_none(self, monkeypatch):
        pool = memory._Pool(limit=100 * MiB)
        pool.give_back(pool.take(2 * MiB)[0])
        seen, made = [], memory._Block

        def block(capacity):
            seen.append(held(pool))
            if len(seen) == 1:
                raise OSError("no memory")
            return made(capacity)

        monkeypatch.setattr(memory, "_Block", block)
        assert pool.take(5 * MiB)[1]
        assert seen == [(0, 2), (0, 0)]


class TestRoom:
    def test_memory_is_used_again_within_the_room_alone(self):
        room = memory.Room()
        with memory.within(room):
            first = memory.empty((300,), np.float32)
            address = first.ctypes.data
            del first
            second = memory.empty((300,), np.float32)
        assert second.ctypes.data == address and memory.is_in(second, room) and memory.is_in(second[5:], room)
        del second
        others = [memory.empty((300,), np.float32) for _ in range(50)]
        assert address not in [other.ctypes.data for other in others]
        assert not any(memory.is_in(other, room) for other in others)
        assert not memory.is_in(memory.empty((100_000,)), room), "in the process's pool"
        with memory.within(room):
            assert memory.is_in(memory.empty((1,), np.uint8), room)

    def test_zeros_are_zeros_in_blocks_that_others_have_used(self):
        memory.empty((200_000,), np.float32).fill(1)
        with memory.within(memory.Room()):
            assert not memory.zeros((200_000,), np.float32).any()

    def test_blocks_go_back_when_nothing_holds_the_room(self):
        room = memory.Room()
        before = memory.summary().in_use
        with memory.within(room):
            array = memory.empty((200_000,), np.float32)
            memory.empty((2 * MiB,), np.uint8)
        assert room.size == memory.size_class(array.nbytes) + 2 * MiB
        assert memory.summary().in_use == before + room.size
        del room
        array.fill(3)
        assert (array == 3).all()
        del array
        assert memory.summary().in_use == before

    def test_its_size_is_that_of_blocks_in_use_and_kept(self):
        room = memory.Room()
        with memory.within(room):
            kept = memory.empty((2 * MiB,), np.uint8)
            memory.empty((MiB,), np.uint8)
        room.summary()  # counts what was given back
        assert (room.in_use, room.cached, room.size) == (kept.nbytes, MiB, kept.nbytes + MiB)

    def test_free_memory_is_what_no_array_lives_in(self):
        room = memory.Room()
        with memory.within(room):
            kept, gone = memory.empty((5000,), np.float32), memory.empty((7000,), np.float32)
        kept.fill(1)
        del gone
        blocks = room.free()
        for block in blocks:
            block.fill(0xFF)
        assert sum(block.nbytes for block in blocks) >= 28_000 and (kept == 1).all()

    @pytest.mark.parametrize("shape", [(0,), (3, 0, 2), ()])
    def test_arrays_without_elements_or_dimensions(self, shape):
        with memory.within(memory.Room()):
            assert memory.empty(shape, np.float64).shape == shape

    def test_negative_sizes_are_refused(self):
        with memory.within(memory.Room()), pytest.raises(ValueError, match="negative"):
            memory.empty((-3,), np.float32)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_room_cannot_be_copied(copied):
    with pytest.raises(TypeError, match="a Room is memory of its process"):
        copied(memory.Room())
