"""What the emulation of CUDA makes of small kernels: right ones give their results, and wrong ones are found out."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import emulated
import numpy as np
import pytest
from emulated import EmulationError
from samples import launch, sample_sources

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulation is built with g++")

HERE = Path(__file__).parent
ORDERS = range(5)  # of threads: forward, backward, shuffled
EVERY_LANE = ctypes.c_uint(0xFFFFFFFF)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("built")


@pytest.fixture(autouse=True)
def samples(folder):
    with sample_sources(folder):
        yield


def zeros(size):
    return np.zeros(size, np.int32)


def counted(size):
    return np.arange(size, dtype=np.int32)


# ---- what a GPU does -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_every_thread_of_a_grid_runs_once_and_knows_its_place(order):
    y = np.full(2 * 3 * 2 * 4 * 3 * 2 + 1, -1, np.int32)
    launch("count", y, grid=(2, 3, 2), block=(4, 3, 2), order=order)
    np.testing.assert_array_equal(y, [*range(len(y) - 1), -1])


@pytest.mark.skipif(not emulated.fused(), reason="the processor has no such operation")
@pytest.mark.parametrize(("c_type", "dtype", "digits"), [("float", np.float32, 23), ("double", np.float64, 52)])
def test_a_product_is_not_rounded_before_it_is_added(c_type, dtype, digits):
    small = 2.0 ** -(digits // 2 + 1)  # (1 + small)² = 1 + 2·small + small²: a digit too many
    x, y = np.array([1 + small, 1 + small, -(1 + 2 * small), 1, 1], dtype), np.zeros(2, dtype)
    launch("product_and_sum", x, y, argument=c_type)
    assert y[0] == small**2


@pytest.mark.parametrize(("c_type", "dtype", "kept"), [("float", np.float32, False), ("double", np.float64, True)])
def test_the_smallest_numbers_of_float32_are_zeros(c_type, dtype, kept):
    limits, y = np.finfo(dtype), np.zeros(2, dtype)
    for factors in ((limits.tiny, 0.5), (limits.smallest_subnormal, 2.0**20)):
        expected = dtype(factors[0]) * dtype(factors[1])
        launch("product_and_sum", np.array([0, 0, 0, *factors], dtype), y, argument=c_type)
        assert y[1] == (expected if kept else 0) != (0 if kept else expected)
    assert limits.tiny * dtype(0.5) != 0, "afterwards all is as before"


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("given", [0, 1, 5, 16, 31])
def test_shuffles(order, given):
    x, y = counted(64) * 10, zeros((64, 3))
    launch("shuffle", x, y, EVERY_LANE, given, block=64, order=order)
    lane, warp = np.arange(64) % 32, np.arange(64) // 32 * 32
    down = np.where(lane + given < 32, lane + given, lane)
    np.testing.assert_array_equal(y, 10 * np.stack([warp + given, warp + down, warp + (lane ^ given)], axis=1))


@pytest.mark.parametrize("order", ORDERS)
def test_warps_that_shuffle_less_wait_for_the_others(order):
    x, y = counted(96) // 32 * 32, zeros(96)
    launch("sums", x, y, block=96, shared=3 * x.itemsize, order=order)
    np.testing.assert_array_equal(y, 2 * x.sum())


# ---- what a GPU leaves open ------------------------------------------------------------------------------------------


def test_a_missing_barrier_shows_in_some_order():
    x = counted(70)
    for barrier in ("true", "false"):
        right = []
        for order in ORDERS:
            y = zeros(70)
            launch("reverse", x, y, block=70, shared=x.nbytes, order=order, argument=barrier)
            right.append(np.array_equal(y, x[::-1]))
            if not right[-1]:
                assert -1 in y  # it read what nobody had written
        assert all(right) == (barrier == "true")


def test_the_orders_of_threads_are_taken_in_turn():
    turns = emulated.Emulated().orders
    assert [next(turns) for _ in range(5)] == [0, 1, 2, 3, 0]
    assert next(emulated.Emulated(order=2).orders) == 2


def test_every_block_finds_poison_in_shared_memory():
    y = zeros((3, 5))
    launch("found", y, 5, grid=3, shared=20)
    assert (y == -1).all()


def test_memory_for_results_is_poison():
    array = emulated.Emulated().empty((2, 3), np.dtype(np.float32))
    assert np.isnan(array).all()


# ---- what a GPU leaves undefined -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [1, 31, 32, 63])
def test_a_barrier_that_not_all_reach_is_an_error(count, order):
    with pytest.raises(
        EmulationError, match=r"some_wait<int>: __syncthreads: thread \(\d+, 0, 0\) of block \(0, 0, 0\)"
    ):
        launch("some_wait", zeros(64), count, block=64, order=order)


@pytest.mark.parametrize("order", ORDERS)
def test_a_dead_lock_is_an_error(order):
    with pytest.raises(EmulationError, match="dead lock: some threads wait for their block, some for their warp"):
        launch("dead_lock", zeros(1), block=64, order=order)


@pytest.mark.parametrize("mask", [0, 1, 0x0000FFFF, 0x7FFFFFFF])
def test_a_shuffle_among_a_part_of_the_lanes_is_refused(mask):
    with pytest.raises(EmulationError, match=f"__shfl_sync among fewer than 32 lanes \\(mask {mask:08x}\\)"):
        launch("shuffle", zeros(32), zeros(96), ctypes.c_uint(mask), 0, block=32)


def test_a_shuffle_in_a_warp_of_fewer_threads_is_refused():
    with pytest.raises(EmulationError, match="__shfl_sync among fewer than 32 lanes"):
        launch("shuffle", zeros(48), zeros(144), EVERY_LANE, 0, block=48)


@pytest.mark.parametrize("arguments", [[], [zeros(1)], [zeros(1), 1, 2]])
def test_another_number_of_arguments_is_refused(arguments):
    with pytest.raises(EmulationError, match="some_wait<int>: the kernel has another number of parameters"):
        launch("some_wait", *arguments)


@pytest.mark.parametrize(
    "sizes",
    [{"grid": (1, 65536)}, {"grid": (1, 1, 65536)}, {"block": 1025}, {"block": (32, 33)}, {"shared": 164 * 1024}],
)
def test_a_launch_that_no_gpu_takes_is_refused(sizes):
    with pytest.raises(EmulationError, match="no GPU takes grid"):
        launch("count", zeros(1), **sizes)


def test_a_launch_after_one_that_failed_is_like_any_other():
    """Also inside the threads that were left waiting: their stacks are used again."""
    for _ in range(3):
        with pytest.raises(EmulationError):
            launch("some_wait", zeros(64), 40, block=64)
        with pytest.raises(EmulationError):
            launch("dead_lock", zeros(1), block=64)
        x, y = counted(96), zeros(96)
        launch("sums", x // 32 * 32, y, block=96, shared=12)
        assert (y == 2 * (x // 32 * 32).sum()).all()


def test_an_instance_that_is_not_declared():
    with pytest.raises(LookupError, match=r"samples/samples.cu has no instance count<float>"):
        launch("count", zeros(1), argument="float")


# ---- the address sanitizer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["read", "write", "read_shared"])
@pytest.mark.parametrize("place", [7, 8, -1])
def test_the_sanitizer_sees_what_lies_beyond_an_array(folder, name, place):
    """Of eight numbers: the last one is all right, the one behind it or before the first is not."""
    code, output, errors = sanitized(folder, name, place)
    if place == 7:
        assert code == 0, errors
        assert "nothing was noticed" in output
    else:
        assert code != 0
        assert "AddressSanitizer: heap-buffer-overflow" in errors
        assert f"in void {name}<int>(" in errors


@pytest.mark.parametrize("place", range(5))
def test_the_sanitizer_sees_packs_that_do_not_begin_at_a_multiple_of_16_bytes(folder, place):
    """A GPU ends the whole program for them."""
    code, output, errors = sanitized(folder, "read_pack", place)
    if place in (0, 4):
        assert code == 0, errors
        assert "nothing was noticed" in output
    else:
        assert code != 0
        assert "misaligned address" in errors


def sanitized(folder, *arguments):
    """Exit code, output and errors of `samples.py` under the sanitizers."""
    found = subprocess.run(["g++", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    environment = os.environ | {"LD_PRELOAD": found.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    command = [sys.executable, str(HERE / "samples.py"), str(folder), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout, done.stderr
