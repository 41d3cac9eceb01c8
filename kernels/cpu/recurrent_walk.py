"""How a batch goes through the stages of a recurrent cell: on one thread or several, which wait for each other or not.

The batch is cut into groups of sequences. Where there are enough of them, a thread takes a group through all stages and
waits for nobody. Else the units of a group are cut into shares, one a thread, so that each thread reads a part of the
weights only, from its own caches; then each stage begins when all shares of the one before are done.

Nobody waits for a thread that has not begun. Each thread claims its own share of a stage, then those that their owners
have not claimed yet, because they are late, held up by the system, or not there at all: whoever is alone does all. So a
thread waits for shares alone that running threads compute. Whose they are changes no result.

The system may take the processor from a thread amid its share, and all others wait until it comes back. Where that
happens, others want the processors too, and it would happen again: for a while one thread works at a group alone.
"""

from functools import lru_cache

import numpy as np

from ..memory import address_of_array, empty, zeros
from .atomics import add, claim, read, swap
from .bodies import Constant, helper, kernel, scratch, unpack, words_at
from .copying import contiguous
from .elementwise import Formula, apply
from .launch import run, threads
from .recurrent_products import ALL_SLOTS, ROOM, VECTORS, kernels_for, part_of, tile_rows
from .recurrent_steps import GROUPS, PHASES, SEQUENCES, SHARES, STAGES, add_back, backward, forward
from .simd import Level, level, pointer_at, vector_of
from .team import nanoseconds, offer, pause

# What the threads of a group share, each in a cache line of its own:
LINE = 8  # int64
DONE = 0  # shares that are done, of all stages
CLAIMED = LINE  # stages of share 0 that have been claimed, a line further those of share 1, and so on

WORK = 30_000  # cycles that are worth a thread
GROUP_ROWS = 24  # sequences that a thread takes through the steps together, at most: their states stay in its caches
READ = 1.7  # cycles for a vector of weights that comes from the second-level cache
MEETING = 1500  # cycles of a stage that are worth the wait for other threads at its end
MOST_WORKERS = 128  # at one batch: their words are few enough for a recording to put them back (recording.STATE_BYTES)

PAUSES = 200  # of the processor before a thread that waits offers it to others for the first time: some 8 µs
PAUSES_BETWEEN = 40  # offers
HELD_UP = 300_000  # nanoseconds of a wait that can only be for a thread from which the processor was taken
LONGEST = 50_000_000  # nanoseconds that such a wait counts for at most
ALONE = 16  # times as long as such a wait threads work alone
PATIENCE = 50  # pauses before a thread takes the share of another, if that one has come to its shares so far

_NO_WORDS = np.zeros(1, np.int64)
_ALONE_UNTIL = np.zeros(1, np.int64)  # nanoseconds
_GATES = {gates: Constant(gates) for gates in (1, 3, 4)}


@lru_cache(maxsize=256)
def division(
    sequences: int, steps: int, units: int, columns: int, dtype: np.dtype, most: int, host: Level
) -> tuple[int, int]:
    """(groups of sequences, shares of units) that a batch is cut into, for `most` threads: what takes least time for a
    step of a group, whose products read the weights once for each tile of its rows."""
    if not sequences * units:
        return 1, 1
    lanes = vector_of(dtype).lanes
    blocks, vectors, height = -(-units // (VECTORS * lanes)), units * columns / lanes, tile_rows(VECTORS, host)
    workers = max(1, min(most, MOST_WORKERS, int(sequences * steps * vectors / 2 / WORK)))

    def cycles(groups: int) -> float:
        rows, shares = -(-sequences // groups), min(workers // groups, blocks)
        tiles = -(-rows // height)
        return tiles * max(rows / tiles / 2, READ) * vectors * -(-blocks // shares) / blocks + MEETING * (shares > 1)

    alone = min(workers, sequences)
    if sequences > alone * GROUP_ROWS:
        return alone * -(-sequences // (alone * GROUP_ROWS)), 1
    groups = min(range(alone, -(-sequences // GROUP_ROWS) - 1, -1), key=cycles)
    return groups, min(workers // groups, blocks)


@helper
def _are_done(words, count, pauses):
    """Whether so many shares are done, or are so after a few pauses."""
    while read(words, DONE) < count and pauses > 0:
        pause()
        pauses -= 1
    return read(words, DONE) >= count


@helper
def _wait(words, count, alone_until):
    """Waits until so many shares are done; if that takes too long, notes until when threads are to work alone."""
    if _are_done(words, count, PAUSES):
        return
    began = nanoseconds()
    while not _are_done(words, count, PAUSES_BETWEEN):
        offer(words)
    now = nanoseconds()
    if now - began > HELD_UP:
        swap(alone_until, 0, now + ALONE * min(now - began, LONGEST))


@kernel
def _walk(begin, end, arguments):
    """Items: each share of each group, as the place where a thread begins."""
    everything = unpack(arguments)
    stage, vector, mask, numbers, every, alone_until = everything[:6]
    given = everything[6:]
    some = numbers[0], numbers[1], numbers[2], numbers[3]
    layout = (*some, numbers[4], numbers[5], numbers[6], numbers[7], numbers[8])
    slots, room = scratch(numbers, ALL_SLOTS), scratch(given[0], ROOM)
    shares, stages = layout[SHARES], layout[STAGES]
    for item in range(begin, end):
        group, own = item // shares, item % shares
        if own > 0 and nanoseconds() < read(words_at(alone_until), 0):
            continue  # whoever begins at the first share does all
        words = pointer_at(every, group * (shares + 1) * LINE)
        first = part_of(layout[SEQUENCES], layout[GROUPS], group)
        last = part_of(layout[SEQUENCES], layout[GROUPS], group + 1)
        s = 0 if shares == 1 else read(words, DONE) // shares  # who comes late begins where the others are
        patience = 0
        while s < stages:
            forth, latest, taken = s // layout[PHASES] % 2 == 0, own, 0
            for turn in range(shares):
                share = (own + (turn if forth else shares - turn)) % shares
                if shares == 1 or claim(words, CLAIMED + LINE * share, s):
                    apply(stage, (s, (vector, mask, layout, slots, room, forth, share, first, last), given))
                    latest, taken = share, taken + 1
                    if shares > 1:
                        add(words, DONE, 1)
                        if taken == 1 and _are_done(words, (s + 1) * shares, patience):
                            break
            own, patience, s = latest, PATIENCE if taken < 2 else 0, s + 1
            if shares > 1:
                _wait(words, s * shares, words_at(alone_until))


class Batch:
    """What the launchers share: how the batch is cut, the layout and the mask."""

    def __init__(self, h: np.ndarray, gates: int, mask: np.ndarray | None, starts: bool):
        self.shape, self.dtype = h.shape, h.dtype
        n, steps, units = h.shape
        self.groups, self.shares = division(n, steps, units, gates * units, h.dtype, threads(), level())
        self.gates, self.vector, self.starts = gates, vector_of(h.dtype), starts
        self.masked = mask is not None
        self.mask = np.zeros(1, np.bool_) if mask is None else np.ascontiguousarray(mask)

    def kernels(self, vectors: int) -> np.ndarray:
        """The tile kernels for tiles with so many vectors in a row."""
        return kernels_for(self.dtype, vectors, self.shape[0], self.groups)

    def state(self, given: np.ndarray | None) -> np.ndarray:
        """A state (N, H) before the first step; if none is given, zeros, or something that is not read."""
        if given is not None:
            return contiguous(given)
        return zeros((self.shape[0], self.shape[2]), self.dtype) if self.starts else empty((1,), self.dtype)

    def start(self, given: np.ndarray | None) -> np.ndarray:
        """A state's gradient, an array of its own to go on from."""
        carried = zeros((self.shape[0], self.shape[2]), self.dtype)
        if given is not None:
            carried[...] = given
        return carried

    def run(self, stage: Formula, stages: int, phases: int, *given) -> None:
        """Runs a stage so often, `phases` times in a step; `given` begins with an array of the batch's type."""
        n, steps, units = self.shape
        numbers = n, steps, units, self.groups, self.shares, stages, phases, self.starts, self.masked
        words = np.zeros(self.groups * (self.shares + 1) * LINE, np.int64) if self.shares > 1 else _NO_WORDS
        arguments = stage, self.vector, self.mask, np.array(numbers, np.int64), words, address_of_array(_ALONE_UNTIL)
        run(_walk, self.groups * self.shares, 1, *arguments, *given)

    def forward(self, cell: Formula, h: np.ndarray, h0: np.ndarray | None, packed: np.ndarray, *given) -> None:
        """Runs the stages `forward` of a cell with one product."""
        kernels = self.kernels(VECTORS if self.gates == 1 else self.gates)
        self.run(forward, self.shape[1], 1, h, kernels, cell, _GATES[self.gates], self.state(h0), packed, *given)

    def backward(self, slope: Formula, gradient: np.ndarray, packed: np.ndarray, carried: np.ndarray, *given) -> None:
        """Runs the stages `backward` of a cell with one product, the gradient in whose sums is `gradient`."""
        first = gradient, self.kernels(VECTORS), slope, add_back, _GATES[self.gates], packed, carried
        self.run(backward, self.shape[1] + 1, 1, *first, *given)
