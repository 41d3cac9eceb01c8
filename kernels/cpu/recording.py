"""A row of kernel calls, taken down once and run again without Python: the launches that they came to.

In inference a small network spends more time between its kernels than in them. With the shapes, the weights and the
number of threads all launches stay the same but for the numbers in the input, so that it is enough to keep them:

    recording = Recording()
    with recording:                        # this thread's launches are noted, its arrays live in the recording's room
        y = kernels.conv(x, …)             # any kernels, which compute as ever
    x[...] = …
    recording.run()                        # the same launches on the same memory: y holds the new result

It is a recording of *launches*: what Python or NumPy does with numbers in between is not repeated. Whoever records has
to see to it that there is no such thing, or that it depends on nothing that changes.
"""

import time
from ctypes import Array, addressof
from dataclasses import dataclass

import numpy as np

from ..memory import Room, address_of_array, empty, is_in, within
from .bodies import HEADER, compiled, kernel, unpack, words_at
from .launch import noted_by, notes, threads
from .simd import level
from .team import compute_alone, lead, team
from .winograd_tiles import largest_tile

STATE_BYTES = 16 * 1024  # of an array that a launch may use for itself: larger ones hold weights
ALONE_SECONDS = 100e-6  # a sleeping thread takes about 25 µs to wake, and to ring for it a few of the caller's
TRIES = 3
ALONE = 1  # the place among `_repeat`'s arguments

LAUNCH, WORKERS, ENTRY = range(3)  # what stands in a recording's table for each launch


@kernel
def _repeat(begin, end, arguments):
    """The launches begin … end of a table, one after the other: part by part on this thread, where they have no workers
    or where it is to do everything alone."""
    table, alone, shared = unpack(arguments)
    for i in range(begin, end):
        launch, workers = words_at(table[ENTRY * i + LAUNCH]), table[ENTRY * i + WORKERS]
        if alone or workers == 1:
            compute_alone(launch)
        else:
            lead(words_at(shared), launch, workers)


@kernel
def _restore(begin, end, arguments):
    """array = what it was."""
    was, array = unpack(arguments)
    for i in range(begin, end):
        array[i] = was[i]


class Recording:
    """Launches in order, and the memory that they work on. Recorded once, by `with recording:`; `run` may then be
    called as often as one likes, by one thread at a time."""

    def __init__(self) -> None:
        self.room = Room()
        self._launches: list[_Launch] = []
        self._kept: list[object] = []  # what the launches need besides the room's blocks
        self._contexts = within(self.room), noted_by(self)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array in the recording's memory, such as the input that is to change between runs."""
        with within(self.room):
            return empty(shape, dtype)

    def __enter__(self) -> "Recording":
        for context in self._contexts:
            context.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        for context in reversed(self._contexts):
            context.__exit__(*exception)
        self._make_call()

    def _make_call(self) -> None:
        """Lays down the table, and what `_repeat` is called with."""
        every = [each for launch in self._launches for each in (*launch.restoring(), launch)]
        self._kept += every
        self._table = np.zeros((len(every), ENTRY), np.int64)
        for row, launch in zip(self._table, every, strict=True):
            row[LAUNCH] = addressof(launch.header)
            row[WORKERS] = launch.workers
        self._workers = max((launch.workers for launch in every), default=1)
        shared = team().address if self._workers > 1 else 0
        self._code = compiled(_repeat, self._table, 0, shared)
        self._arguments = self._code.slots()
        self._code.pack(self._arguments, 0, 0, 0, 1, address_of_array(self._table), 0, shared)

    def __len__(self) -> int:
        return len(self._launches)

    def run(self) -> None:
        """Repeats the launches."""
        if self._workers > 1:
            team().start(self._workers)
        self._code.call(0, len(self._table), addressof(self._arguments) + 8 * HEADER)

    def choose_threads(self) -> None:
        """Finds out whether all of it is too short for a second thread to be woken, and keeps to this thread if so. The
        results are the same to the bit."""
        seconds = []
        self._arguments[HEADER + ALONE] = 1
        for _ in range(TRIES):
            started = time.perf_counter()
            self.run()
            seconds.append(time.perf_counter() - started)
        self._arguments[HEADER + ALONE] = min(seconds) < ALONE_SECONDS

    def forget(self) -> None:
        """Overwrites the memory in which no array lives, what launches left for one another, with NaN."""
        for block in self.room.free():
            block.fill(0xFF)

    def take(self, header: Array, workers: int, arguments: tuple) -> None:
        """A launch of so many workers, made from these arguments, that is just to begin."""
        others = [a for a in arguments if isinstance(a, np.ndarray) and not is_in(a, self.room)]
        self._launches.append(_Launch(header, workers, [(a, a.copy()) for a in others if a.nbytes <= STATE_BYTES]))
        self._kept += others


@dataclass
class _Launch:
    """A launch: its header and arguments in memory, its workers, and small arrays that are not the room's, as they are
    and as they were before it: such as flags that it raises."""

    header: Array
    workers: int
    arrays: list[tuple[np.ndarray, np.ndarray]]

    def restoring(self) -> list["_Launch"]:
        """Launches that make the arrays what they were, for those that have changed."""
        found = []
        for array, was in self.arrays:
            if array.tobytes() != was.tobytes():
                array, was = array.reshape(-1).view(np.uint8), was.reshape(-1).view(np.uint8)
                code = compiled(_restore, was, array)
                header = code.slots()
                addresses = address_of_array(was), address_of_array(array)
                code.pack(header, 0, code.address, array.size, 1, *addresses)
                found.append(_Launch(header, 1, [(array, was)]))
        return found


def is_recording() -> bool:
    """Whether this thread's launches are being noted."""
    return notes() is not None


def settings() -> tuple[object, ...]:
    """What, beside shapes and weights, decides to which launches a kernel comes."""
    return threads(), level(), largest_tile()
