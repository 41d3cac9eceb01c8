"""The team of threads: every part of a launch is done once, whoever is there to do it, asleep, late or not at all."""

import ctypes
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tomograd.kernels.cpu import atomics, team
from tomograd.kernels.cpu.bodies import compiled, kernel, unpack
from tomograd.kernels.cpu.launch import run, threads

RNG = np.random.default_rng(5)
SECONDS = 60  # before a test gives up
several = pytest.mark.skipif(threads() == 1, reason="one processor")


@kernel
def count(begin, end, arguments):
    """counts += 1, after some work."""
    counts, work, results = unpack(arguments)
    for i in range(begin, end):
        x = 0.5
        for _ in range(work):
            x = 0.999 * x + 1
        results[i] = x
        counts[i] += 1


BEGUN, RELEASED, DONE = 0, 8, 16  # in cache lines of their own


@kernel
def meet(begin, end, arguments):
    """Item 0 waits until another thread has begun item 1, which waits until it is released."""
    words, patience = unpack(arguments)
    for i in range(begin, end):
        waited, tries = BEGUN if i == 0 else RELEASED, 0
        if i == 1:
            atomics.swap(words, BEGUN, 1)
        while atomics.read(words, waited) == 0 and tries < patience:
            tries += 1
        if i == 1:
            atomics.swap(words, DONE, 1)


def launch_of(parts, *arguments):
    """A launch of `count` with an item a part, in memory."""
    code = compiled(count, *arguments)
    memory = code.slots()
    values = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
    code.pack(memory, 0, code.address, parts, parts, *values)
    return memory


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.002)


def test_launches_of_all_lengths_do_each_item_once():
    for number in range(3000):
        counts = np.zeros(RNG.integers(1, 60), np.int64)
        run(count, counts.size, 1, counts, int(RNG.integers(0, 300)), np.empty(counts.size))
        assert (counts == 1).all(), number
        if number % 300 == 0:
            time.sleep(0.003)  # some find the helpers awake, some asleep


@several
def test_helpers_without_work_sleep_and_wake_again():
    for _ in range(5):
        counts = np.zeros(threads() * 8, np.int64)
        run(count, counts.size, 1, counts, 20_000, np.empty(counts.size))
        assert (counts == 1).all()
        until(lambda: team.team().words[team.ASLEEP] == threads() - 1)


@several
def test_a_caller_who_waits_long_sleeps():
    words = np.zeros(24, np.int64)
    caller = threading.Thread(target=run, args=(meet, 2, 1, words, 1 << 40), daemon=True)
    caller.start()
    try:
        until(lambda: team.team().words[team.WAITING] == 1)
        assert words[BEGUN] and not words[DONE]
    finally:
        words[RELEASED] = 1
    caller.join(SECONDS)
    assert not caller.is_alive() and words[DONE] and team.team().words[team.WAITING] == 0


@several
def test_without_helpers_the_caller_does_everything(monkeypatch):
    def fail(function, arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(team._thread, "start_new_thread", fail)
    alone, counts, results = team.Team(), np.zeros(20, np.int64), np.empty(20)
    launch = launch_of(20, counts, 10, results)
    with pytest.warns(RuntimeWarning, match=f"on 1 threads, not {team.MOST}: can't start new thread"):
        alone.lead(ctypes.addressof(launch), team.MOST)
    alone.lead(ctypes.addressof(launch), team.MOST)  # and says so once
    assert (counts == 2).all()
    assert alone.words[team.PLACES] == alone.words[team.FINISHED] == alone.words[team.BUSY] == 0


def test_a_second_caller_works_alone():
    busy, counts, results = team.Team(), np.zeros(20, np.int64), np.empty(20)
    launch = launch_of(20, counts, 10, results)
    busy.words[team.BUSY] = 1
    busy.lead(ctypes.addressof(launch), 1)
    assert (counts == 1).all()
    assert busy.words[team.GENERATION] == 0 and busy.words[team.BUSY] == 1


def test_launches_of_many_python_threads():
    wrong = []

    def work():
        for _ in range(400):
            counts = np.zeros(24, np.int64)
            run(count, 24, 1, counts, 200, np.empty(24))
            wrong.extend(counts[counts != 1])

    callers = [threading.Thread(target=work, daemon=True) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(SECONDS)
    assert not any(caller.is_alive() for caller in callers) and not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_forked_amid_launches_have_teams_of_their_own():
    stop = threading.Event()

    def keep_launching():
        counts, results = np.zeros(64, np.int64), np.empty(64)
        while not stop.is_set():
            run(count, 64, 1, counts, 500, results)

    other = threading.Thread(target=keep_launching)
    other.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                counts = np.zeros(64, np.int64)
                for _ in range(50):
                    run(count, 64, 1, counts, 500, np.empty(64))
                os._exit(0 if (counts == 50).all() and team.team()._workers == threads() else 1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        stop.set()
        other.join(SECONDS)


@pytest.mark.parametrize("launcher", ["launch()", "threading.Thread(target=launch, daemon=True).start()"])
def test_a_process_may_end_at_any_time(launcher):
    script = f"""
import sys, threading
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_team import count, np, run
def launch():
    while True:
        run(count, 64, 1, np.zeros(64, np.int64), 100, np.empty(64))
        if threading.current_thread() is threading.main_thread():
            break
launch()
{launcher}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr


def test_atomic_changes_return_what_was_before():
    @kernel
    def change(begin, end, arguments):
        words, seen = unpack(arguments)
        seen[0], seen[1] = atomics.add(words, 1, 5), atomics.swap(words, 0, 7)
        seen[2], seen[3] = atomics.read(words, 0), atomics.read(words, 1)
        seen[4], seen[5] = atomics.claim(words, 1, 9), atomics.claim(words, 1, 9)

    words, seen = np.array([3, 4]), np.full(6, -1)
    run(change, 1, 1, words, seen)
    assert seen.tolist() == [4, 3, 7, 9, 1, 0] and words.tolist() == [7, 10]
