"""PyDataset: a data set that gives whole batches by their number, under Keras 3's name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class PyDataset:
    """Base class of data sets for `fit`: a subclass defines `__len__`, the number of batches, and
    `__getitem__(number)`, which gives batch `number`: (x, y), (x, y, sample_weight), or x alone for `predict`.

    on_epoch_begin and on_epoch_end are called around each epoch, the latter after its last step (Keras 3 also calls it
    once before the first epoch). `fit` takes the batches in a new order every epoch, drawn from `tg.random`, unless
    shuffle=False.

    A run that goes on from a backup (`BackupAndRestore`) has to find the data set as it was. A data set that draws
    numbers or orders may define `get_state()`, which gives all of that in numbers, strings, arrays of numbers, lists
    and dicts, and `set_state(state)`, which takes it. Without them the run keeps the generators among the attributes,
    those of numpy.random and random, and the order of attributes that are lists or arrays of one axis; and it calls the
    methods for the epochs that are done, so that what they change otherwise is as it was, too. If making batches
    changed any of it, those of the epoch that are done are made again. Where that does not suffice there is a warning.

    workers: 1: the next batches are made ready on one thread while a step runs; 0: there is no thread. max_queue_size:
    how many of them. An endless data set overrides `num_batches` by None.

    Raises ValueError for further workers or processes.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        if workers not in (0, 1):
            raise ValueError(f"PyDataset: workers = {workers!r} is not supported: one thread loads ahead, or none")
        if use_multiprocessing:
            raise ValueError("PyDataset: use_multiprocessing = True is not supported: one thread loads ahead")
        if isinstance(max_queue_size, bool) or not isinstance(max_queue_size, int) or max_queue_size < 1:
            raise ValueError(f"PyDataset: max_queue_size = {max_queue_size!r} must be a positive integer")
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, False, max_queue_size

    # Of subclasses whose constructors do not call this one's.
    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __getitem__(self, index: int) -> Any:
        """Batch number `index`."""
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__(number)")

    def __iter__(self) -> Iterator[Any]:
        """The batches in order."""
        place, count = 0, self.num_batches
        while count is None or place < count:
            yield self[place]
            place += 1

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None for a data set without end."""
        if not hasattr(self, "__len__"):
            raise NotImplementedError(f"{type(self).__name__} defines no __len__(), the number of its batches")
        return len(self)

    def on_epoch_begin(self) -> None:
        """Before an epoch."""

    def on_epoch_end(self) -> None:
        """After an epoch's last step."""
