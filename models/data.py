"""Where batches come from: arrays, cut and shuffled here, or anything that can be iterated; and the place in them.

A *source* gives passes over the data. A `Feed` strings passes to epochs and knows its place, so that a run can go on
from any step: the same random state at the start of a pass gives the same order again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..engine import random
from ..engine.layers.symbolic import flatten, map_structure
from ..engine.tensor import Tensor, is_array
from .metrics.base import to_array

Batch = tuple[Any, Any, Any]  # x, y, sample_weight; y and sample_weight may be None


class ArraySource:
    """Arrays (or lists, tuples, dicts of them) with one equal leading axis, cut into batches.

    x: as the model takes it; y, sample_weight: or None. shuffle: draw a new order from `tg.random` for every pass.
    Slices are views where the order is kept, else copies of one batch.

    Raises ValueError for arrays of different lengths or without samples, and for a batch_size that is no positive
    integer.
    """

    def __init__(
        self, x: Any, y: Any = None, sample_weight: Any = None, batch_size: int | None = 32, shuffle: bool = False
    ) -> None:
        self.arrays = (as_arrays(x), as_arrays(y), as_arrays(sample_weight))
        self.batch_size, self.shuffle = _positive("batch_size", 32 if batch_size is None else batch_size), bool(shuffle)
        self.samples = common_length(self.arrays)

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def iterate(self, number: int, skip: int) -> Iterator[Batch]:
        """Pass `number`, without its first `skip` batches. The order is drawn here, at once."""
        order = random.generator().permutation(self.samples) if self.shuffle else None
        return (self._batch(order, start) for start in range(skip * self.batch_size, self.samples, self.batch_size))

    def _batch(self, order: np.ndarray | None, start: int) -> Batch:
        rows = slice(start, start + self.batch_size)
        chosen = rows if order is None else order[rows]
        return map_structure(lambda array: None if array is None else array[chosen], self.arrays)


class IterableSource:
    """Anything that yields (x, y), (x, y, sample_weight) or (for prediction) x alone.

    An object that gives a new iterator at each iter() starts a new pass with each epoch; a generator has one pass.
    Before each pass `set_epoch(number)` is called if the object has it.
    """

    def __init__(self, batches: Iterable[Any], labelled: bool = True) -> None:
        self.batches, self.labelled = batches, labelled
        self.one_pass = hasattr(batches, "__next__")
        self._started = False

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def iterate(self, number: int, skip: int) -> Iterator[Batch]:
        """Pass `number`, without its first `skip` batches, which are drawn and dropped."""
        if self.one_pass and self._started:
            raise ValueError(
                "the data ran out: a generator can be gone over once; give an object that can be iterated anew, "
                "or a generator long enough for all epochs and steps_per_epoch"
            )
        self._started = True
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(number)
        iterator = iter(self.batches)
        for dropped in range(skip):
            if next(iterator, self) is self:
                raise ValueError(f"the data ended after {dropped} batches; the run to go on with had seen {skip}")
        return (_as_batch(batch, self.labelled) for batch in iterator)


class Feed:
    """The batches of one epoch after the other, and the place in them.

    Without `steps_per_epoch` an epoch is a pass; with it, an epoch is that many batches, and passes follow one another
    through the epochs.
    """

    def __init__(self, source: ArraySource | IterableSource, steps_per_epoch: int | None = None) -> None:
        self.source = source
        self.steps_per_epoch = None if steps_per_epoch is None else _positive("steps_per_epoch", steps_per_epoch)
        self.known_steps = self.steps_per_epoch or _length(source)
        self._pass, self._drawn = 0, 0
        self._start: dict[str, Any] | None = None  # the random state at the start of this pass; None between passes
        self._iterator: Iterator[Batch] | None = None

    def epoch(self, done: int = 0) -> Iterator[Batch]:
        """The batches of an epoch of which `done` were taken already."""
        if self.steps_per_epoch is None:
            while (batch := self._next()) is not None:
                done += 1
                yield batch
            self.known_steps = done
        else:
            for step in range(done, self.steps_per_epoch):
                batch = self._next() or self._next()
                if batch is None:
                    raise ValueError(f"the data gave no batch at step {step + 1} of {self.steps_per_epoch}")
                yield batch

    def _next(self) -> Batch | None:
        """The next batch of the pass; None once at its end."""
        if self._iterator is None:
            self._start = random.state()
            self._iterator = self.source.iterate(self._pass, 0)
            self._drawn = 0
        batch = next(self._iterator, None)
        if batch is None:
            self._pass, self._iterator, self._start = self._pass + 1, None, None
        else:
            self._drawn += 1
        return batch

    def state(self) -> dict[str, Any]:
        """The place: numbers that JSON knows."""
        return {"pass": self._pass, "drawn": self._drawn, "start": self._start, "steps": self.known_steps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to a place. Leaves the random state as drawing up to there left it."""
        self._pass, self._drawn, self._start = state["pass"], state["drawn"], state["start"]
        self.known_steps = state["steps"]
        self._iterator = None
        if self._start is not None:
            random.set_state(self._start)
            self._iterator = self.source.iterate(self._pass, self._drawn)


def source_of(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    shuffle: bool = False,
    labelled: bool = True,
) -> ArraySource | IterableSource:
    """The source for what `fit`, `evaluate` or `predict` was given as x, y and sample_weight.

    Raises ValueError where y, sample_weight or a batch size is given beside an iterable, which has its own; and where
    arrays to learn from come without targets.
    """
    if is_arrays(x) and not (labelled and y is None and is_list_of_batches(x)):
        if labelled and y is None:
            raise ValueError("x is given as arrays: y, the targets, is missing")
        return ArraySource(x, y, sample_weight, batch_size, shuffle)
    if isinstance(x, Iterable):
        for name, value in (("y", y), ("sample_weight", sample_weight), ("batch_size", batch_size)):
            if value is not None:
                raise ValueError(f"x is an iterable of batches, which has its own {name}: leave {name} out")
        return IterableSource(x, labelled)
    raise TypeError(f"x is {type(x).__name__}: expected arrays or an iterable of batches (x, y)")


def is_arrays(value: Any) -> bool:
    """Whether `value` is an array or Tensor, or a list, tuple or dict of such or of numbers: data held in memory."""
    if isinstance(value, Tensor) or is_array(value):
        return True
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(leaf, (int, float, np.number)) or is_arrays(leaf) for leaf in value)
    return False


def split_validation(x: Any, y: Any, sample_weight: Any, fraction: float) -> tuple[Batch, Batch]:
    """(training, validation): the last `fraction` of the samples, before any shuffling, is for validation, as in Keras.

    Samples that belong together (slices of one patient) may end on both sides: split those by patient beforehand and
    give validation_data. Raises ValueError if a side would be empty, or if x does not consist of arrays.
    """
    if not is_arrays(x):
        raise ValueError("validation_split needs arrays; for an iterable give validation_data")
    arrays = (as_arrays(x), as_arrays(y), as_arrays(sample_weight))
    samples = common_length(arrays)
    at = samples - int(samples * fraction) if 0 < fraction < 1 else 0
    if not 0 < at < samples:
        raise ValueError(f"validation_split {fraction!r} of {samples} samples leaves one side empty")

    def part(rows: slice) -> Batch:
        return map_structure(lambda array: None if array is None else array[rows], arrays)

    return part(slice(None, at)), part(slice(at, None))


def class_weights(y: Any, class_weight: Mapping[int, float], sample_weight: Any = None) -> np.ndarray:
    """The weight of each sample (of each pixel for masks) by its class; times its own weight if it has one.

    y: class indices of any shape, with a last axis of 1 or not, or one-hot rows (N, C). Classes that are not named
    weigh 1.
    """
    labels = to_array(y)
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    elif labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    present, index = np.unique(labels, return_inverse=True)
    weights = np.array([class_weight.get(int(label), 1.0) for label in present], np.float32)
    by_class = weights[index.reshape(labels.shape)]
    if sample_weight is None:
        return by_class
    own = to_array(sample_weight)
    return by_class * own.reshape(own.shape + (1,) * (by_class.ndim - own.ndim))


def common_length(arrays: Any) -> int:
    """The length of the leading axis that all arrays share. ValueError if there is none."""
    lengths = [len(leaf) for leaf in flatten(arrays) if leaf is not None]
    if len(set(lengths)) != 1:
        raise ValueError(f"the arrays of x, y and sample_weight have different numbers of samples: {lengths}")
    if lengths[0] == 0:
        raise ValueError("the data hold no samples")
    return lengths[0]


def is_list_of_batches(x: Any) -> bool:
    """Whether x is a list of (x, y) or (x, y, sample_weight)."""
    return isinstance(x, list) and all(isinstance(entry, tuple) and 2 <= len(entry) <= 3 for entry in x)


def as_arrays(structure: Any) -> Any:
    """The structure with arrays as its leaves; a nested list of plain numbers is one array."""
    if isinstance(structure, Mapping):
        return {key: as_arrays(value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        if structure and all(isinstance(leaf, (bool, int, float, np.number)) for leaf in flatten(structure)):
            return np.asarray(structure)
        return type(structure)(as_arrays(entry) for entry in structure)
    return _array(structure)


def _array(leaf: Any) -> Any:
    if leaf is None:
        return None
    if isinstance(leaf, Tensor):
        leaf = leaf.array
    array = leaf if is_array(leaf) else np.asarray(leaf)
    if array.ndim == 0:
        raise ValueError(f"expected arrays with a leading axis of samples, got the single value {leaf!r}")
    return array


def _as_batch(batch: Any, labelled: bool) -> Batch:
    if isinstance(batch, (tuple, list)) and 1 <= len(batch) <= 3:
        x, y, sample_weight = (*batch, None, None)[:3]
    else:
        x, y, sample_weight = batch, None, None
    if labelled and y is None:
        raise ValueError(f"a batch must be (x, y) or (x, y, sample_weight), not {_outline(batch)}")
    return x, y, sample_weight


def _outline(batch: Any) -> str:
    if isinstance(batch, (tuple, list)):
        return f"a {type(batch).__name__} of {len(batch)}"
    return f"{type(batch).__name__} {getattr(batch, 'shape', '')}".strip()


def _positive(argument: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{argument} {value!r} must be a positive integer")
    return int(value)


def _length(source: ArraySource | IterableSource) -> int | None:
    try:
        return len(source)
    except TypeError:
        return None
