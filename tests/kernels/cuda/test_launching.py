"""What launchers do on the host: sources and their instances, arguments as kernels read them, grids."""

import ctypes
from itertools import product

import numpy as np
import pytest

from tomograd.kernels.cuda import dense, launching, runtime
from tomograd.kernels.cuda.functions import FOLDER, Source, c_type, instances

SOURCE = Source("some.cu", add=("float, 4", "double, 2"), copy=("int",))
ADD = SOURCE("add", "float", 4)


class Noting:
    """A runtime that notes launches and runs none; a device that holds `resident` blocks."""

    def __init__(self, resident=6):
        self.resident, self.launches = resident, []

    def empty(self, shape, dtype):
        return np.empty(shape, dtype)

    def address(self, array):
        return array.ctypes.data

    def launch(self, function, grid, block, shared, arguments):
        self.launches.append((function, grid, block, shared, arguments))

    def resident_blocks(self, function, threads, shared):
        return self.resident


@pytest.fixture
def noting():
    with runtime.use(Noting()) as place:
        yield place


# ---- functions -------------------------------------------------------------------------------------------------------


def test_a_source_gives_its_instances_and_no_others():
    assert [function.expression for function in SOURCE] == ["add<float, 4>", "add<double, 2>", "copy<int>"]
    assert ADD.expression == SOURCE("add", "float, 4").expression == "add<float, 4>"
    assert ADD.path == FOLDER / "some.cu"
    for arguments in (("float", 2), ("float",), ()):
        with pytest.raises(LookupError, match=r"some\.cu has no instance add<"):
            SOURCE("add", *arguments)


def test_instances_are_all_combinations():
    assert instances(("float", "double"), (1, 2)) == ("float, 1", "float, 2", "double, 1", "double, 2")
    assert instances(("float",), (True, False)) == ("float, true", "float, false")


def test_types_by_their_names_in_c():
    assert [c_type(np.dtype(t)) for t in (np.float32, np.float64, np.uint8)] == ["float", "double", "unsigned char"]
    with pytest.raises(TypeError, match="no CUDA kernel takes complex64: expected one of float16, bfloat16, float32"):
        c_type(np.dtype(np.complex64))


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, kind, number",
    [
        (True, ctypes.c_bool, True),
        (-(2**40), ctypes.c_longlong, -(2**40)),
        (np.int32(7), ctypes.c_longlong, 7),
        (0.1, ctypes.c_double, 0.1),
        (None, ctypes.c_void_p, None),
        (ctypes.c_int(3), ctypes.c_int, 3),
    ],
)
def test_arguments_as_kernels_read_them(noting, value, kind, number):
    argument = runtime.as_argument(value)
    assert (type(argument), argument.value) == (kind, number)


def test_an_array_is_its_address_and_a_structure_itself(noting):
    x = np.zeros(4, np.float32)
    assert runtime.as_argument(x[1:]).value == x.ctypes.data + 4
    numbers = (ctypes.c_float * 2)(1, 2)
    assert runtime.as_argument(numbers) is numbers


def test_numbers_in_an_arrays_type():
    assert isinstance(launching.real(np.dtype(np.float32), 0.1), ctypes.c_float)
    assert launching.real(np.dtype(np.float64), 0.1).value == 0.1


def test_packs_are_16_bytes_where_all_arrays_begin_at_a_multiple(noting):
    room = np.zeros(64 + 16, np.uint8)
    begin = -room.ctypes.data % 16
    at = {offset: room[begin + offset : begin + offset + 16] for offset in (0, 4, 8, 16)}
    four, eight, bytes_ = at[0].view(np.float32), at[16].view(np.float64), at[0]
    assert launching.pack_size(four) == 4
    assert launching.pack_size(four, eight) == launching.pack_size(eight) == 2
    assert launching.pack_size(four, bytes_) == 4
    assert launching.pack_size(bytes_) == 16
    assert launching.pack_size(four, at[4].view(np.float32)) == launching.pack_size(at[8].view(np.float64)) == 1


def test_a_runtime_holds_within_its_block_and_inner_ones_before_outer_ones():
    with runtime.use(Noting()) as outer:
        with runtime.use(Noting()) as inner:
            assert runtime.current() is inner
        assert runtime.current() is outer
        with pytest.raises(KeyError), runtime.use(Noting()):
            raise KeyError
        assert runtime.current() is outer


# ---- grids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("items, blocks", [(1, 1), (64, 1), (65, 2), (64 * 6, 6), (64 * 6 + 1, 6), (10**12, 6)])
def test_as_many_blocks_as_the_device_holds_and_items_need(noting, items, blocks):
    launching.launch(ADD, (1, 2.0), items, threads=64, shared=100)
    ((function, grid, block, shared, arguments),) = noting.launches
    assert (function, grid, block, shared) == (ADD, (blocks, 1, 1), (64, 1, 1), 100)
    assert [type(each) for each in arguments] == [ctypes.c_longlong, ctypes.c_double]


def test_nothing_is_launched_for_nothing(noting):
    launching.launch(ADD, (), 0)
    launching.launch_blocks(ADD, (), (3, 0, 1), (32, 1, 1))
    for rows, items in ((0, 5), (5, 0), (0, 0)):
        launching.launch_rows(ADD, (), rows, items)
    assert noting.launches == []


@pytest.mark.parametrize("resident", [1, 6, 100])
@pytest.mark.parametrize("items", [1, 7, 8, 9, 31, 33, 68, 300])
@pytest.mark.parametrize("rows", [1, 7, 33, 500])
def test_every_item_of_every_row_is_some_threads(rows, items, resident):
    with runtime.use(Noting(resident)) as noting:
        launching.launch_rows(ADD, (), rows, items)
    ((_, (wide, parts, one), (across, down, _), shared, _),) = noting.launches
    assert one == 1 and shared == 0 and wide * parts <= resident and across * down == launching.THREADS
    visits = np.zeros((rows, items), int)
    for x, y in product(range(wide), range(down)):
        for part, column in product(range(parts), range(across)):
            visits[x * down + y :: wide * down, part * across + column :: parts * across] += 1
    assert (visits == 1).all()
    assert parts == 1 or (parts - 1) * across < items  # no part of a row has nothing to do


def test_no_grid_is_larger_than_a_gpu_takes():
    with runtime.use(Noting(10**6)) as noting:
        launching.launch_rows(ADD, (), 1, 10**9)
    ((_, grid, _, _, _),) = noting.launches
    assert grid == (1, 65535, 1)


def test_rows_are_as_wide_as_leaves_fewest_threads_idle(noting):
    widths = {}
    for items in (1, 8, 16, 17, 24, 32, 64, 68, 100):
        launching.launch_rows(ADD, (), 1000, items)
        widths[items] = noting.launches[-1][2][0]
    assert widths == {1: 8, 8: 8, 16: 16, 17: 8, 24: 8, 32: 32, 64: 32, 68: 8, 100: 8}


# ---- long sums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("blocks", [0, 1, 7, 100, 10_000])
@pytest.mark.parametrize("k", [0, 1, 31, 32, 33, 500, 4096, 4097, 100_003])
def test_sums_are_split_for_blocks_enough_and_none_too_long(k, blocks, itemsize):
    splits, depth = dense.splits_of(k, blocks, 1000, itemsize)
    step = dense.STEP_BYTES // itemsize
    assert depth % step == 0 and (splits - 1) * depth < max(k, 1) <= splits * depth
    assert depth <= dense.LONGEST or splits == 1
    needed = -(-k // dense.LONGEST)
    assert splits <= max(1, needed, dense.BLOCKS // max(blocks, 1))
    assert splits <= max(1, needed) or depth >= dense.FEWEST_STEPS * step
    if blocks == 1 and k == 100_003:
        assert splits > 100


def test_no_sums_are_split_at_the_price_of_too_much_memory():
    most = dense.LARGEST_SUMS // 2
    assert dense.splits_of(2 * dense.LONGEST, 10_000, most, 4) == (2, dense.LONGEST)
    assert dense.splits_of(2 * dense.LONGEST, 10_000, most + 1, 4) == (1, 2 * dense.LONGEST)
