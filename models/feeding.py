"""Feed: the batches of one epoch after the other, and the place in them, so that a run can go on from any step.

The same random state at the start of a pass gives the same order again. The batches of a pass may be made ready on a
thread (see `prefetching`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from ..engine import random
from ..engine.sending import Sender
from .data import Batch, Source, positive
from .prefetching import Ahead, depth_for


class Feed:
    """The batches of one epoch after the other, and the place in them; a context manager that ends the feeding.

    Without `steps_per_epoch` an epoch is a pass; with it, an epoch is that many batches, and passes follow one another
    through the epochs. once: an epoch ends with the pass at the latest (for evaluation), with a warning where
    `steps_per_epoch` are more.

    prepare: what is done to each batch before it is taken (class weights; copies to a device). ahead: how many batches
    this is worth to have ready. Where it or the source is worth it, a thread makes the next batches ready so far,
    within a pass and an epoch: between epochs nothing of the next one has been drawn. What `state` tells is the place
    of the batches that were taken. Leaving an epoch in the middle may leave a generator a few batches further on.
    """

    def __init__(
        self,
        source: Source,
        steps_per_epoch: int | None = None,
        once: bool = False,
        prepare: Callable[[Batch], Batch] | None = None,
        ahead: int = 0,
    ) -> None:
        self.source, self.once, self.prepare, self.ahead = source, once, prepare, max(source.ahead, ahead)
        self.steps_per_epoch = None if steps_per_epoch is None else positive("steps_per_epoch", steps_per_epoch)
        length = _length(source)
        self.known_steps = self.steps_per_epoch or length
        if once and self.steps_per_epoch and length:
            self.known_steps = min(self.steps_per_epoch, length)
        self._pass, self._drawn = 0, 0
        self._epochs, self._within = 0, False  # how many have ended, and whether one has begun
        self._start: dict[str, Any] | None = None  # the random state at the start of this pass; None between passes
        self.remembers = False  # whether `state` will be asked for: then what the data set draws by is kept
        self._first: Any = None  # the data set's memory before its first epoch
        self._memory: Any = None  # that from which the pass is drawn on, after so many batches
        self._since = 0
        self._iterator: Iterator[Batch] | Ahead | None = None
        self.sender: Sender | None = None  # what `prepare` sends batches to a GPU by

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the thread and the iterators that were made here."""
        iterator, self._iterator = self._iterator, None
        if iterator is not None and hasattr(iterator, "close"):
            iterator.close()

    def epoch(self, done: int = 0) -> Iterator[Batch]:
        """The batches of an epoch of which `done` were taken already."""
        if not self._within:
            if self.remembers and self._first is None:
                self._first = self.source.memory()
            self.source.begin_epoch()
            self._within = True
            self._remember()
        if self.steps_per_epoch is None:
            while (batch := self._next(None)) is not None:
                done += 1
                yield batch
            self.known_steps = done
        else:
            for step in range(done, self.steps_per_epoch):
                left = self.steps_per_epoch - step
                batch = self._next(left)
                if batch is None and self.once:
                    self._warn(step)
                    break
                batch = batch or self._next(left)
                if batch is None:
                    raise ValueError(f"the data gave no batch at step {step + 1} of {self.steps_per_epoch}")
                yield batch
        if self.once and not self.source.one_pass:
            self._end_pass()
        self.source.end_epoch()
        self._epochs, self._within = self._epochs + 1, False

    def _warn(self, step: int) -> None:
        warnings.warn(f"the data ended after {step} batches; {self.steps_per_epoch} were asked for", stacklevel=3)

    def _next(self, left: int | None) -> Batch | None:
        """The next batch of the pass, of `left` more in this epoch; None once at its end."""
        if self._iterator is None:
            self._start = random.state()
            self._drawn = 0
            batches, memory = self.source.begin_pass(self._pass, self.remembers)
            self._memory, self._since = memory, 0
            self._open(batches)
        if left is not None and isinstance(self._iterator, Ahead):
            self._iterator.allow(left)
        batch = next(self._iterator, None)  # type: ignore[arg-type]
        if batch is None:
            self._end_pass()
        else:
            self._drawn += 1
        return batch

    def _open(self, batches: Iterator[Batch]) -> None:
        self._iterator = batches if self.prepare is None else _each(batches, self.prepare)
        depth = depth_for(self.ahead)
        if depth > 0:
            self._iterator = Ahead(self._iterator, depth)

    def _remember(self) -> None:
        """Keep what the data set draws by between two epochs, where nothing is drawn ahead: what its methods change
        there no batches drawn again would. An iterable goes on from the beginning of its pass."""
        if self.remembers and (self._iterator is None or self.source.by_number):
            self._memory, self._since = self.source.memory(), self._drawn

    def _end_pass(self) -> None:
        if self._iterator is not None:
            self.close()
            self._pass, self._start = self._pass + 1, None

    def state(self) -> dict[str, Any]:
        """The place: numbers and arrays, nested."""
        if not self._within:
            self._remember()
        return {
            "first": self._first,
            "memory": self._memory,
            "since": self._since,
            "again": self._within and self.source.has_drawn_since(self._memory),
            "pass": self._pass,
            "drawn": self._drawn,
            "start": self._start,
            "steps": self.known_steps,
            "epochs": self._epochs,
            "within": self._within,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to a place. Leaves the random state as drawing up to there left it.

        A data set is told of the epochs up to there, so that one that changes itself at their ends has done so.
        """
        self.close()
        self._pass, self._drawn, self._start = state["pass"], state["drawn"], state["start"]
        self.known_steps = state["steps"]
        memory, since, again = (state.get(key) for key in ("memory", "since", "again"))
        self._first, self._memory, self._since = state.get("first"), memory, since or 0
        told = self._epochs == state["epochs"] and self._within == state["within"]
        if self._first is not None and not told:
            self.source.give_back(self._first, final=False)
        for _ in range(self._epochs, state["epochs"]):
            if not self._within:
                self.source.begin_epoch()
            self.source.end_epoch()
            self._within = False
        self._epochs = state["epochs"]
        if state["within"] and not self._within:
            self.source.begin_epoch()
        self._within = state["within"]
        if self._start is not None:
            random.set_state(self._start)
            self._open(self.source.go_on(self._pass, self._drawn, self._since, memory, bool(again)))
        elif memory is not None:
            self.source.give_back(memory, final=True)


def _each(batches: Iterator[Batch], prepare: Callable[[Batch], Batch]) -> Iterator[Batch]:
    """The batches prepared; their iterator is closed with this one."""
    try:
        for batch in batches:
            yield prepare(batch)
    finally:
        if hasattr(batches, "close"):
            batches.close()


def _length(source: Source) -> int | None:
    try:
        return len(source)
    except TypeError:
        return None
