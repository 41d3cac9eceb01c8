"""Recorded launches: repeated on new numbers they give what the kernels give, on one thread and on all."""

import gc
import threading

import numpy as np
import pytest

import tomograd as tg
from tomograd.kernels import cpu, memory
from tomograd.kernels.cpu import bodies, launch, recording

RNG = np.random.default_rng(11)


def network(x, weights):
    """Convolutions (by tiles, by Winograd's method, depthwise), pooling, normalisation, joined features, a product."""
    ones = (1, 1)
    same = ((1, 1), (1, 1))
    a = cpu.conv(x, weights["first"], weights["bias"], ones, same, ones, 1, "relu")
    b = cpu.conv(a, weights["second"], None, ones, same, ones, 1)
    c = cpu.conv(b, weights["depthwise"], None, ones, same, ones, 32)
    d = cpu.batch_norm_inference(c, *weights["channels"], 1e-3, "relu")
    e = cpu.concatenate([d, a], 3)
    f, _ = cpu.max_pool(e, (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    return cpu.softmax(cpu.matmul(f.reshape(len(f), -1), weights["dense"]))


def weights(dtype="float32"):
    shapes = {"first": (3, 3, 3, 32), "bias": (32,), "second": (3, 3, 32, 32), "depthwise": (3, 3, 1, 32)}
    made = {name: RNG.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    made["channels"] = [np.abs(RNG.standard_normal(32)).astype(dtype) + 0.5 for _ in range(4)]
    made["dense"] = RNG.standard_normal((8 * 8 * 64, 10)).astype(dtype) / 50
    return made


def recorded(given, shape, dtype="float32"):
    made = recording.Recording()
    x = made.empty(shape, dtype)
    x[...] = RNG.standard_normal(shape)
    with made:
        y = network(x, given)
    return made, x, y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alone", [0, 1])
def test_launches_give_what_the_kernels_give(dtype, alone):
    given = weights(dtype)
    made, x, y = recorded(given, (3, 16, 16, 3), dtype)
    np.testing.assert_array_equal(y, network(x.copy(), given))
    made._arguments[bodies.HEADER + recording.ALONE] = alone
    for _ in range(3):
        x[...] = RNG.standard_normal(x.shape)
        expected = network(x.copy(), given)
        made.forget()
        y.fill(np.nan)
        made.run()
        np.testing.assert_array_equal(y, expected)


def test_a_recording_keeps_what_its_launches_need():
    """Nothing that anybody else makes lands in the memory that a recording works on."""
    given = weights()
    made, _x, y = recorded(given, (2, 16, 16, 3))
    expected = y.copy()
    del given
    gc.collect()
    for _ in range(20):
        for size in (8, 64, 1000, 4096, 20_000, 100_000):
            memory.empty((size,), np.float32).fill(np.nan)
            np.empty(size, np.float32).fill(np.nan)
    made.run()
    np.testing.assert_array_equal(y, expected)


def test_what_a_launch_keeps_for_itself_is_put_back():
    """Such as a flag that says what has been done."""
    flag, x, y = np.zeros(1, np.int64), np.arange(5.0), np.zeros(5)
    made = recording.Recording()
    with made:
        launch.run(_double_once, 5, 5, x, y, flag)
    assert flag == [1]
    for _ in range(2):
        y.fill(0)
        made.run()
        np.testing.assert_array_equal(y, 2 * x)


@bodies.kernel
def _double_once(begin, end, arguments):
    x, y, flag = bodies.unpack(arguments)
    for i in range(begin, end):
        if flag[0] == 0:
            y[i] = 2 * x[i]
    flag[0] = 1


@bodies.kernel
def _double(begin, end, arguments):
    x, y = bodies.unpack(arguments)
    for i in range(begin, end):
        y[i] = 2 * x[i]


def test_only_the_thread_that_records_is_recorded():
    made, x = recording.Recording(), np.ones(10)
    y = np.empty_like(x)
    with made:
        other = threading.Thread(target=launch.run, args=(_double, 10, 1, x, y))
        other.start()
        other.join()
        assert recording.is_recording()
    assert len(made) == 0 and y.sum() == 20 and not recording.is_recording()
    made.run()


def test_an_error_while_recording_ends_the_recording():
    made = recording.Recording()
    with pytest.raises(ZeroDivisionError), made:
        raise ZeroDivisionError
    assert not recording.is_recording()
    assert not memory.is_in(memory.empty((100_000,)), made.room)


def test_short_recordings_stay_on_one_thread(monkeypatch):
    given = weights()
    made, _x, y = recorded(given, (2, 16, 16, 3))
    expected = y.copy()
    assert not made._arguments[bodies.HEADER + recording.ALONE]  # as long as nobody has looked
    for seconds, alone in ((100.0, 1), (0.0, 0)):
        monkeypatch.setattr(recording, "ALONE_SECONDS", seconds)
        made.choose_threads()
        assert made._arguments[bodies.HEADER + recording.ALONE] == alone
        y.fill(np.nan)
        made.run()
        np.testing.assert_array_equal(y, expected)


def test_settings_tell_what_launches_depend_on():
    with launch.using_threads(1):
        one = recording.settings()
        with tg.kernels.cpu.winograd_tiles.using_winograd(0):
            assert recording.settings() != one
    if launch.threads() > 1:
        assert recording.settings() != one
