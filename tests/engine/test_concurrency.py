"""Several Python threads at once, and forked children: everybody gets the bits that he gets alone."""

import faulthandler
import os
import subprocess
import sys
import threading
import time
import traceback
from contextlib import contextmanager

import numpy as np
import pytest

from tomograd import kernels
from tomograd.engine import Tensor, Variable, grad, layers, losses, no_grad, optimizers, random, recording, tape
from tomograd.engine import functional as F
from tomograd.models import CNN, Sequential

PATIENCE = 100  # seconds, before a test says that somebody hangs
THREADS = 8

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


# ---- what the threads do: each its own function or model, always with the same numbers -------------------------------


def normal(seed, *shape, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def leaf(seed, *shape, dtype=np.float32):
    return Tensor(normal(seed, *shape, dtype=dtype), requires_grad=True)


def value_and_gradients(y, leaves):
    found = grad(y, leaves, normal(99, *y.shape, dtype=y.dtype))
    return [y.numpy(), *[gradient.numpy() for gradient in found]]


def classifier():
    x, w, b, v = leaf(0, 3, 30, 34, 3), leaf(1, 3, 3, 3, 16), leaf(2, 16), leaf(3, 15 * 17 * 16, 4)
    y = F.max_pool(F.conv(x, w, b, padding="same", activation="relu"), 2)
    return value_and_gradients(F.sparse_cross_entropy(F.dense(y.reshape(3, -1), v), [0, 3, 1]), [x, w, b, v])


def deep_convolutions():
    x, w, v = leaf(0, 2, 26, 26, 32), leaf(1, 3, 3, 32, 32), leaf(2, 3, 3, 32, 32)
    y = F.batch_norm(F.conv(x, w, padding="same"), activation="relu")
    return value_and_gradients(F.conv(y, v, padding="same"), [x, w, v])


def volumes():
    x, w = leaf(0, 1, 9, 10, 11, 2, dtype=np.float64), leaf(1, 3, 3, 3, 2, 3, dtype=np.float64)
    y = F.sigmoid(F.conv(x, w, padding="same"))
    return value_and_gradients(F.dice(y, (y.numpy() > 0.6).astype(np.float64)), [x, w])


def transposed():
    x, w = leaf(0, 2, 20, 21, 12), leaf(1, 2, 2, 8, 12)
    y = F.average_pool(F.conv_transpose(x, w, strides=2), 3, 2, "same")
    return value_and_gradients(F.binary_cross_entropy(y, np.full(y.shape, 0.25, np.float32)), [x, w])


def separable():
    x, w, g = leaf(0, 2, 33, 35, 24), leaf(1, 3, 3, 1, 24), leaf(2, 24)
    y = F.group_norm(F.conv(x, w, padding="same", groups=24), 4, g)
    return value_and_gradients(F.resize(y, (50, 41)), [x, w, g])


def perceptron():
    x, w, v = leaf(0, 200, 130), leaf(1, 130, 150), leaf(2, 150, 90)
    y = F.gelu(F.layer_norm(F.dense(x, w)))
    return value_and_gradients(F.log_softmax(F.dense(y, v)), [x, w, v])


def second_derivatives():
    x, w = leaf(0, 8, 12, dtype=np.float64), leaf(1, 12, 5, dtype=np.float64)
    slope = grad(F.tanh(F.dense(x, w)).sum(), x, create_graph=True)
    return value_and_gradients(slope * slope, [x, w])


def training():
    w, optimizer = Variable(normal(0, 40, 30)), optimizers.Adam(0.01)
    for step in range(3):
        x = Tensor(normal(step, 25, 40))
        optimizer.apply([grad(F.squared_error(x @ w, np.ones((25, 30), np.float32)).mean(), w)], [w])
    return [w.numpy()]


def without_gradients():
    with no_grad():
        y = F.softmax(F.conv(leaf(0, 2, 40, 40, 5), leaf(1, 3, 3, 5, 7)))
        assert not y.requires_grad and not recording()
    assert recording()
    return [y.numpy()]


def on_the_reference():
    with kernels.using("reference"):
        result = value_and_gradients(F.relu(F.conv(x := leaf(0, 1, 9, 9, 2), w := leaf(1, 3, 3, 2, 4))), [x, w])
        assert kernels.of(x.array) is kernels.reference
    assert kernels.of(x.array) is kernels.cpu
    return result


JOBS = [
    classifier,
    deep_convolutions,
    volumes,
    transposed,
    separable,
    perceptron,
    second_derivatives,
    training,
    without_gradients,
    on_the_reference,
]


def bits(arrays):
    return [array.tobytes() for array in arrays]


@pytest.fixture(scope="module")
def alone():
    """What each job gives when nothing else runs."""
    return {job: bits(job()) for job in JOBS}


# ---- threads ---------------------------------------------------------------------------------------------------------


def all_at_once(workers):
    """Runs functions of no arguments in a thread each, which begin together; fails where one of them does."""
    errors, start = [], threading.Barrier(len(workers))

    def work(worker):
        try:
            start.wait(PATIENCE)
            worker()
        except BaseException:
            errors.append(traceback.format_exc())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    started = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in started:
            thread.start()
        for thread in started:
            thread.join(PATIENCE)
    finally:
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in started), "a thread hangs"
    assert not errors, errors[0]


def repeating(job, expected, until):
    def work():
        while time.monotonic() < until:
            assert bits(job()) == expected, f"{job.__name__} gives something else among others"

    return work


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_eight_threads_get_what_each_gets_alone(alone, seconds):
    """Kernels and backward passes of other functions and models; each thread goes on to another job when the time of
    its first is over."""
    for half in range(2):
        until = time.monotonic() + seconds / 2
        jobs = [JOBS[(half * 2 + number) % len(JOBS)] for number in range(THREADS)]
        all_at_once([repeating(job, alone[job], until) for job in jobs])


def test_eight_threads_of_one_function(alone):
    until = time.monotonic() + 0.5
    all_at_once([repeating(deep_convolutions, alone[deep_convolutions], until) for _ in range(THREADS)])


def test_one_leaf_gathers_the_gradients_of_all_threads():
    """Whole numbers, of which the sum does not depend on the order."""
    rng = np.random.default_rng(0)
    shared = Tensor(rng.integers(-2, 3, (3, 3, 8, 16)).astype(np.float32), requires_grad=True)
    inputs = [rng.integers(-2, 3, (2, 17, 19, 8)).astype(np.float32) for _ in range(THREADS)]
    cotangent, rounds = rng.integers(-2, 3, (2, 15, 17, 16)).astype(np.float32), 6

    def backward_of(x):
        def work():
            for _ in range(rounds):
                F.conv(x, shared).backward(cotangent)

        return work

    with kernels.using("reference"):
        parts = [grad(F.conv(x, shared), shared, cotangent).numpy() for x in inputs]
    all_at_once([backward_of(x) for x in inputs])
    np.testing.assert_array_equal(shared.grad.numpy(), rounds * np.sum(parts, axis=0))


def small_cnn(seed):
    random.seed(seed)
    return CNN((14, 15, 2), classes=3, filters=(8, 16), dense=6, normalization="batch", dropout=0.3)


def trained_weights():
    """Of a model that is trained from a seed: it alone draws from the engine's generator."""
    random.seed(4)
    x, y = normal(3, 24, 10), np.arange(24) % 3
    model = Sequential([layers.Dense(16, activation="relu"), layers.Dropout(0.2), layers.Dense(3)])
    model.compile(optimizers.Adam(0.02), losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=6, epochs=4, verbose=0)
    return bits(model.get_weights())


def test_one_model_answers_eight_threads_while_another_is_trained():
    model, trained = small_cnn(1), trained_weights()
    inputs = [normal(seed, 2 + seed % 2, 14, 15, 2) for seed in range(THREADS)]
    expected = [bits([model.predict(x)]) for x in inputs]

    def asking(x, answer):
        def work():
            for _ in range(25):
                assert bits([model.predict(x)]) == answer

        return work

    def train():
        for _ in range(3):
            assert trained_weights() == trained

    all_at_once([*map(asking, inputs, expected), train])


# ---- processes -------------------------------------------------------------------------------------------------------


def in_child(function):
    """Runs a function in a forked child: it tells what went wrong, and where it was if it hangs."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            faulthandler.dump_traceback_later(PATIENCE, exit=True, file=sys.__stderr__)
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the child failed (see above)"


@contextmanager
def others_at_work(jobs):
    stop, errors = threading.Event(), []

    def work(job):
        try:
            while not stop.is_set():
                job()
        except BaseException:
            errors.append(traceback.format_exc())

    started = [threading.Thread(target=work, args=(job,), daemon=True) for job in jobs]
    for thread in started:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in started:
            thread.join(PATIENCE)
    assert not errors, errors[0]


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_children_forked_while_threads_compute(alone):
    """Forward, backward, training steps and predictions, in the child and, afterwards, in the parent."""
    model, trained = small_cnn(1), trained_weights()
    x = normal(7, 3, 14, 15, 2)
    expected = bits([model.predict(x)])

    def everything():
        for job in JOBS:
            assert bits(job()) == alone[job], job.__name__
        assert bits([model.predict(x)]) == expected
        assert trained_weights() == trained

    others = [classifier, separable, training, lambda: model.predict(x), lambda: F.dropout(x, 0.5)]
    with others_at_work(others):
        for _ in range(3):
            in_child(everything)
    everything()


@contextmanager
def held_by_another_thread(lock):
    held, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait(PATIENCE)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(PATIENCE)
    try:
        yield
    finally:
        done.set()
        thread.join(PATIENCE)


def backward_to_a_leaf():
    x = leaf(0, 3)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.numpy())


def draw():
    assert F.dropout(np.ones(50), 0.5).numpy().any()
    random.seed(3)
    assert random.generator().permutation(9).size == 9


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("lock", "function"),
    [
        (lambda: tape._leaf_lock, backward_to_a_leaf),
        (lambda: random.generator().numpy.bit_generator.lock, draw),
    ],
    ids=["a leaf's gradient", "random numbers"],
)
def test_a_lock_that_a_thread_holds_at_a_fork_does_not_stop_the_child(lock, function, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE", 10)
    with held_by_another_thread(lock()):
        in_child(function)
    function()


POOLS = """
import multiprocessing
import sys
import numpy as np
import tomograd as tg

tg.random.seed(1)
MODEL = tg.models.CNN((14, 15, 2), classes=3, filters=(8, 16), dense=6, normalization="batch")

def predict(x):
    return MODEL.predict(x).tobytes()

if __name__ == "__main__":
    generator = np.random.default_rng(0)
    inputs = [generator.standard_normal((3, 14, 15, 2), dtype=np.float32) for _ in range(8)]
    expected = [predict(x) for x in inputs]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map_async(predict, inputs, chunksize=1).get(100) == expected
    assert [predict(x) for x in inputs] == expected
    print("done")
"""


@pytest.mark.parametrize(
    "method", [pytest.param("fork", marks=needs_fork), pytest.param("spawn", marks=pytest.mark.slow)]
)
def test_pools_of_processes_predict(method, tmp_path):
    program = tmp_path / "pools.py"
    program.write_text(POOLS)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(program), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
    assert done.returncode == 0 and done.stdout.strip() == "done", done.stderr
