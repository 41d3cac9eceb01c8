"""The walk through the stages of recurrent cells: each share of each stage is computed once, after the whole of the
stage before, whoever is there to do it."""

import ctypes
import os
import threading
import time
from unittest import mock

import numpy as np
import pytest
from recurrent_cells import FUNCTIONS

from tomograd.kernels import cpu
from tomograd.kernels.cpu import recording, recurrent_walk
from tomograd.kernels.cpu.bodies import HEADER, compiled
from tomograd.kernels.cpu.elementwise import formula
from tomograd.kernels.cpu.launch import run
from tomograd.kernels.cpu.recurrent_steps import SHARES
from tomograd.kernels.cpu.simd import level, vector_of

RNG = np.random.default_rng(7)
SECONDS = 60  # before a test gives up
LINE = recurrent_walk.LINE
F32 = np.dtype(np.float32)


@formula
def counting(stage, place, given):
    """counts (stages, shares) += 1, after some work; early: how often something of the stage before was not done."""
    results, counts, early, work = given
    shares, share = place[2][SHARES], place[6]
    for other in range(shares):
        if stage > 0 and counts[(stage - 1) * shares + other] != 1:
            early[share * LINE] += 1
    x = 0.5
    for _ in range(work * (share + 1)):
        x = 0.999 * x + 1
    results[share * LINE] = x
    counts[stage * shares + share] += 1


class Walk:
    """A walk of one group, with so many shares, and what it is to count."""

    def __init__(self, shares, stages, work):
        self.counts, self.early = np.zeros((stages, shares), np.int64), np.zeros(shares * LINE, np.int64)
        self.words, self.shares, self.stages = np.zeros((shares + 1) * LINE, np.int64), shares, stages
        self.alone_until = np.zeros(1, np.int64)
        layout = np.array([1, stages, 1, 1, shares, stages, 1, 0, 0])
        given = np.empty(shares * LINE), self.counts, self.early, work
        self.arguments = counting, vector_of(np.dtype(float)), np.zeros(1, np.bool_), layout, self.words
        self.arguments += (self.alone_until.ctypes.data, *given)

    def run(self, count=None):
        """A launch of a thread for each share, or of so many."""
        run(recurrent_walk._walk, self.shares if count is None else count, 1, *self.arguments)
        return self

    def check(self):
        assert (self.counts == 1).all() and not self.early.any()
        assert self.words[0] == self.stages * self.shares and (self.words[LINE::LINE] == self.stages).all()


def test_every_share_of_every_stage_once_and_in_order():
    for _ in range(300):
        shares, stages = int(RNG.integers(2, 5)), int(RNG.integers(1, 40))
        Walk(shares, stages, int(RNG.integers(0, 200))).run().check()


def test_who_is_alone_does_everything():
    """As in a launch whose helpers have not come: the first share's part goes through all stages."""
    walk = Walk(3, 20, 10)
    walk.run(count=1).check()
    walk.run().check()  # who comes when all is done does nothing


def test_who_comes_late_begins_where_the_others_are():
    walk = Walk(2, 20, 10)
    walk.counts[:12], walk.words[::LINE] = 1, (24, 12, 12)
    walk.run().check()


def test_a_share_that_another_thread_has_claimed_is_waited_for():
    """A share of the second stage is with a thread that takes its time: for a while, others shall not join."""
    walk = Walk(2, 3, 10)
    walk.counts[0], walk.words[::LINE] = 1, (2, 1, 2)
    caller = threading.Thread(target=walk.run, kwargs={"count": 1}, daemon=True)
    caller.start()
    caller.join(0.05)
    assert caller.is_alive() and walk.counts.tolist() == [[1, 1], [1, 0], [0, 0]]
    walk.counts[1, 1] = 1
    walk.words[0] += 1
    caller.join(SECONDS)
    assert not caller.is_alive()
    walk.check()
    assert 0 < walk.alone_until[0] - time.monotonic_ns() < 1.1 * recurrent_walk.ALONE * recurrent_walk.LONGEST


def test_for_a_while_only_who_begins_at_the_first_share_stays():
    walk = Walk(2, 5, 10)
    code = compiled(recurrent_walk._walk, *walk.arguments)
    memory = code.slots()
    values = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in walk.arguments]
    code.pack(memory, 0, 0, 0, 1, *[0 if hasattr(a, "numba_type") else a for a in values])
    address = ctypes.addressof(memory) + 8 * HEADER
    walk.alone_until[0] = time.monotonic_ns() + 10**12
    code.call(1, 2, address)
    assert not walk.counts.any()
    walk.alone_until[0] = time.monotonic_ns() - 1
    code.call(1, 2, address)
    walk.check()


def test_walks_of_many_python_threads():
    walks = [[Walk(2, 30, 50) for _ in range(60)] for _ in range(8)]

    def run_all(every):
        for walk in every:
            walk.run()

    callers = [threading.Thread(target=run_all, args=(every,), daemon=True) for every in walks]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(SECONDS)
    assert not any(caller.is_alive() for caller in callers)
    for every in walks:
        for walk in every:
            walk.check()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_walks_in_children_forked_amid_walks():
    stop = threading.Event()

    def keep_walking():
        while not stop.is_set():
            Walk(2, 50, 100).run()

    other = threading.Thread(target=keep_walking)
    other.start()
    try:
        for _ in range(3):
            child = os.fork()
            if child == 0:
                for _ in range(20):
                    Walk(2, 50, 100).run().check()
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        stop.set()
        other.join(SECONDS)


def test_a_recording_puts_back_what_has_been_claimed():
    z, weight = RNG.standard_normal((1, 6, 320)).astype(F32), RNG.standard_normal((80, 320)).astype(F32) / 9
    made = recording.Recording()
    x = made.empty(z.shape, F32)
    with mock.patch.object(recurrent_walk, "division", lambda *_: (1, 2)), made:
        h, c = cpu.lstm(x, weight, None, None, None, *FUNCTIONS)
    for _ in range(3):
        x[...] = RNG.standard_normal(x.shape)
        expected = cpu.lstm(x.copy(), weight, None, None, None, *FUNCTIONS)
        h.fill(np.nan)
        made.run()
        for one, other in zip((h, c), expected, strict=True):
            np.testing.assert_array_equal(one, other)


# ---- how a batch is divided ------------------------------------------------------------------------------------------


def division(sequences, steps, units, most, gates=4):
    return recurrent_walk.division(sequences, steps, units, gates * units, F32, most, level())


def test_one_thread_has_whole_groups():
    for sequences in (1, 5, 24, 25, 100):
        assert division(sequences, 50, 256, 1) == (-(-sequences // recurrent_walk.GROUP_ROWS), 1)


def test_little_work_is_for_one_thread():
    assert division(1, 1, 16, 8) == division(5, 2, 16, 8) == (1, 1)


def test_nothing_to_go_through():
    assert division(0, 5, 3, 2) == division(3, 0, 5, 2) == division(3, 5, 0, 2) == (1, 1)


def test_few_sequences_share_their_units_and_many_do_not():
    assert division(1, 50, 512, 2) == division(2, 50, 512, 2) == (1, 2)
    assert division(32, 50, 512, 2) == (2, 1)
    assert division(2, 50, 512, 4)[1] > 1


def test_no_more_threads_than_there_are_and_no_share_without_units():
    for most in (1, 2, 3, 4, 16, 500):
        for sequences in (1, 2, 3, 7, 40, 100, 1000):
            for units in (1, 33, 256, 2000):
                groups, shares = division(sequences, 50, units, most)
                assert 1 <= groups <= sequences and 1 <= shares <= max(1, -(-units // level().bytes))
                assert shares == 1 or groups * shares <= most
                assert -(-sequences // groups) <= recurrent_walk.GROUP_ROWS
                assert shares == 1 or 8 * groups * (shares + 1) * LINE <= recording.STATE_BYTES
