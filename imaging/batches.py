"""`Batches`: a data set in shuffled, transformed batches, loaded ahead on a thread.

Everything random about a batch follows from (seed, epoch, place in the epoch): never from the thread's timing, never
from what was drawn before. So an epoch can be repeated, or a run taken up again at any one.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence

import numpy as np

from .datasets.dataset import SEGMENTATION, DataSet
from .errors import ImagingError
from .transforms import Transform, apply

Batch = tuple[np.ndarray, np.ndarray]
ORDER, CHANGES = 0, 1  # separate streams of random numbers: which samples, and what is done to them


class Batches:
    """Batches (x, y) of `data`, a new epoch at every `iter()`.

    x: (B, H, W, C) or (B, D, H, W, C) float32. y: masks (B, H, W, 1), float32 of 0 and 1 for two classes and int64
    class numbers for more; or labels (B,) int64.

    transforms: applied to each image and its mask together (see imaging.transforms).
    shuffle: a new order in every epoch. drop_last: leave out a last batch that is not full.
    length: batches in an epoch, of samples drawn with replacement: for random crops of a few large images.
    prefetch: batches loaded ahead on a thread; 0 loads in the caller's.

    `set_epoch(n)` makes the next epoch number n. An error while loading is raised to whoever asks for the batch;
    leaving a loop early stops the thread. Raises ImagingError for images of different sizes in one batch.
    """

    def __init__(
        self,
        data: DataSet,
        batch_size: int = 8,
        transforms: Sequence[Transform] = (),
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        length: int | None = None,
        prefetch: int = 2,
    ) -> None:
        for name, value, least in (("batch_size", batch_size, 1), ("prefetch", prefetch, 0), ("length", length, 1)):
            if value is not None and value < least:
                raise ImagingError(None, f"{name} is {value}, expected at least {least}")
        self.data, self.batch_size, self.transforms = data, batch_size, tuple(transforms)
        self.shuffle, self.seed, self.drop_last = shuffle, seed, drop_last
        self.length, self.prefetch = length, prefetch
        self.epoch = 0
        self._last_order: tuple[int, np.ndarray] | None = None
        if len(self) == 0:
            raise ImagingError(data.path, f"{len(data)} samples do not fill one batch of {batch_size}")

    def __len__(self) -> int:
        """Batches in an epoch."""
        if self.length is not None:
            return self.length
        full, rest = divmod(len(self.data), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Let the next `iter()` give epoch number `epoch`, counted from 0."""
        self.epoch = int(epoch)

    def __iter__(self) -> Iterator[Batch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._ahead(epoch) if self.prefetch else (self.batch(epoch, number) for number in range(len(self)))

    def order(self, epoch: int) -> np.ndarray:
        """The sample that stands at each place of an epoch."""
        last = self._last_order
        if last is None or last[0] != epoch:
            self._last_order = last = (epoch, self._drawn_order(epoch))
        return last[1]

    def _drawn_order(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, epoch, ORDER])
        if self.length is not None:
            return generator.integers(0, len(self.data), self.length * self.batch_size)
        return generator.permutation(len(self.data)) if self.shuffle else np.arange(len(self.data))

    def batch(self, epoch: int, number: int) -> Batch:
        """Batch `number` of an epoch, loaded now."""
        start = number * self.batch_size
        places = self.order(epoch)[start : start + self.batch_size]
        return self._stacked([self._sample(epoch, start + at, int(index)) for at, index in enumerate(places)])

    def _sample(self, epoch: int, place: int, index: int) -> tuple[str, np.ndarray, np.ndarray | int]:
        sample = self.data.sample(index)
        generator = np.random.default_rng([self.seed, epoch, CHANGES, place])
        mask = sample.target if isinstance(sample.target, np.ndarray) else None
        try:
            image, mask = apply(self.transforms, sample.image, mask, generator)
        except ImagingError as error:
            raise ImagingError(error.path or sample.name, error.reason) from error
        return sample.name, image, sample.target if mask is None else mask

    def _stacked(self, samples: list[tuple[str, np.ndarray, np.ndarray | int]]) -> Batch:
        first = samples[0]
        for name, image, _ in samples:
            if image.shape != first[1].shape:
                raise ImagingError(
                    self.data.path,
                    f"its images differ in shape: {first[0]} has {first[1].shape}, {name} has {image.shape}; "
                    "add Resize, a crop or Channels to the transforms",
                )
        x = np.stack([image for _, image, _ in samples]).astype(np.float32, copy=False)
        if self.data.task != SEGMENTATION:
            return x, np.array([target for _, _, target in samples], np.int64)
        kind = np.float32 if self.data.classes == 2 else np.int64
        return x, np.stack([np.asarray(target) for _, _, target in samples]).astype(kind)

    def _ahead(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch while a thread loads the next ones.

        The thread knows the queue and the flag but not this generator: so an abandoned generator is closed, and its
        `finally` ends the thread.
        """
        loaded: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=self.prefetch)
        stop = threading.Event()
        thread = threading.Thread(target=_load, args=(self, epoch, loaded, stop), name="tomograd-batches", daemon=True)
        thread.start()
        try:
            while (item := loaded.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            while thread.is_alive():
                with contextlib.suppress(queue.Empty):
                    loaded.get_nowait()  # a full queue would hold the thread at its next put
                thread.join(timeout=0.01)


def _load(batches: Batches, epoch: int, loaded: queue.Queue, stop: threading.Event) -> None:
    """The thread's work: every batch into the queue, then None; an error instead of the batch it came from."""
    try:
        for number in range(len(batches)):
            if stop.is_set():
                return
            loaded.put(batches.batch(epoch, number))
        loaded.put(None)
    except BaseException as error:  # handed to the consumer, which raises it
        loaded.put(error)
