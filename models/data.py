"""Where batches come from: arrays, cut and shuffled here, data sets by number, or anything that can be iterated.

A *source* gives passes over the data; `feeding.Feed` strings them to epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..engine import random
from ..engine.layers.symbolic import flatten, map_structure
from ..engine.tensor import Tensor, is_array
from .data_memory import give_back, has_hooks, memory_of, same_memory
from .metrics.base import to_array
from .prefetching import DEPTH
from .pydataset import PyDataset

Batch = tuple[Any, Any, Any]  # x, y, sample_weight; y and sample_weight may be None


class Source:
    """What gives passes over the data: `iterate(number, skip)` is pass `number` without its first `skip` batches.

    ahead: how many batches are worth making ready on a thread. one_pass: whether there is only one. on_host: whether
    the batches lie in main memory, as far as is known. by_number: whether a pass can begin at any batch.
    """

    ahead = 0
    one_pass = False
    on_host = True
    by_number = False

    def __len__(self) -> int:
        """The batches of a pass; TypeError if that is not known."""
        raise TypeError

    def iterate(self, number: int, skip: int) -> Iterator[Batch]:
        raise NotImplementedError

    def memory(self) -> Any:
        """What the data set itself draws and orders by, at this moment; None for data that draw nothing."""
        return None

    def has_drawn_since(self, memory: Any) -> bool:
        """Whether making batches has changed what `memory` told, or may have."""
        return False

    def begin_pass(self, number: int, remembers: bool) -> tuple[Iterator[Batch], Any]:
        """Pass `number` from its beginning on, and, if it is to be remembered, what it is drawn from."""
        memory = self.memory() if remembers else None
        return self.iterate(number, 0), memory

    def go_on(self, number: int, drawn: int, since: int, memory: Any, again: bool) -> Iterator[Batch]:
        """Pass `number` without its first `drawn` batches, of which the last were drawn after the memory was taken, at
        `since`. again: they have to be drawn again for the others to be the same."""
        return self.iterate(number, drawn)

    def give_back(self, memory: Any, final: bool) -> None:
        """Let the data set be what it was; final=False: before its methods are called for the epochs since."""

    def begin_epoch(self) -> None:
        """Before the first batch of an epoch."""

    def end_epoch(self) -> None:
        """After the step on its last batch."""


class ArraySource(Source):
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
        self.batch_size, self.shuffle = positive("batch_size", 32 if batch_size is None else batch_size), bool(shuffle)
        self.samples = common_length(self.arrays)
        # A view is made at once; and arrays of a GPU belong to the device that is current in this thread.
        self.on_host = all(leaf is None or isinstance(leaf, np.ndarray) for leaf in flatten(self.arrays))
        self.ahead = DEPTH if self.shuffle and self.on_host else 0

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def iterate(self, number: int, skip: int) -> Iterator[Batch]:
        """The order is drawn here, at once."""
        order = random.generator().permutation(self.samples) if self.shuffle else None
        return (self._batch(order, start) for start in range(skip * self.batch_size, self.samples, self.batch_size))

    def _batch(self, order: np.ndarray | None, start: int) -> Batch:
        rows = slice(start, start + self.batch_size)
        chosen = rows if order is None else order[rows]
        return map_structure(lambda array: None if array is None else array[chosen], self.arrays)


class NumberedSource(Source):
    """A `PyDataset`, or another object with `len` and `[number]`, that gives its batches by number.

    shuffle: the batches in a new order for every pass, drawn from `tg.random`. Its methods on_epoch_begin and
    on_epoch_end, if it has them, are called around each epoch.

    Raises ValueError for one without batches.
    """

    by_number = True

    def __init__(self, data: Any, shuffle: bool = False, labelled: bool = True) -> None:
        self.data, self.shuffle, self.labelled = data, shuffle, labelled
        self.ahead = data.max_queue_size if isinstance(data, PyDataset) and data.workers else 0
        if not isinstance(data, PyDataset):
            self.ahead = DEPTH
        if self._count() == 0:
            raise ValueError(f"the data set {type(data).__name__} has no batches")

    def _count(self) -> int | None:
        return self.data.num_batches if isinstance(self.data, PyDataset) else len(self.data)

    def __len__(self) -> int:
        count = self._count()
        if count is None:
            raise TypeError("the data set has no end")
        return count

    def iterate(self, number: int, skip: int) -> Iterator[Batch]:
        """The order is drawn here, at once."""
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(number)
        count = self._count()
        if count is None:
            return self._endless(skip)
        order = random.generator().permutation(count) if self.shuffle else range(count)
        return (self._batch(int(place)) for place in order[skip:])

    def memory(self) -> Any:
        return memory_of(self.data)

    def has_drawn_since(self, memory: Any) -> bool:
        return memory is not None and (has_hooks(self.data) or not same_memory(memory, self.memory()))

    def give_back(self, memory: Any, final: bool) -> None:
        give_back(self.data, memory, final)

    def begin_pass(self, number: int, remembers: bool) -> tuple[Iterator[Batch], Any]:
        """What the data set does with the pass's number is part of what is remembered."""
        batches = self.iterate(number, 0)
        return batches, self.memory() if remembers else None

    def go_on(self, number: int, drawn: int, since: int, memory: Any, again: bool) -> Iterator[Batch]:
        batches = self.iterate(number, since if again else drawn)
        if memory is not None:
            give_back(self.data, memory)
        for _ in range(since, drawn if again else since):
            next(batches, None)
        return batches

    def _endless(self, place: int) -> Iterator[Batch]:
        while True:
            yield self._batch(place)
            place += 1

    def _batch(self, place: int) -> Batch:
        return _as_batch(self.data[place], self.labelled)

    def begin_epoch(self) -> None:
        self._call("on_epoch_begin")

    def end_epoch(self) -> None:
        self._call("on_epoch_end")

    def _call(self, name: str) -> None:
        hook = getattr(self.data, name, None)
        if hook is not None:
            hook()


class IterableSource(Source):
    """Anything that yields (x, y), (x, y, sample_weight) or (for prediction) x alone.

    An object that gives a new iterator at each iter() starts a new pass with each epoch; a generator has one pass.
    Before each pass `set_epoch(number)` is called if the object has it. Iterators that were made here are closed as
    soon as they are not needed any more; a generator that was given is left where it stands.
    """

    def __init__(self, batches: Iterable[Any], labelled: bool = True) -> None:
        self.batches, self.labelled = batches, labelled
        self.one_pass = hasattr(batches, "__next__")
        # What lies in memory needs no loading, and imaging.Batches has a thread of its own.
        ready = isinstance(batches, (list, tuple)) or bool(getattr(batches, "prefetch", False))
        self.ahead = 0 if ready else DEPTH
        self._started = False

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def iterate(self, number: int, skip: int) -> Iterator[Batch]:
        """The batches to skip are drawn and dropped, at once."""
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
        return self._walk(iterator)

    def memory(self) -> Any:
        return None if self.one_pass else memory_of(self.batches)

    def go_on(self, number: int, drawn: int, since: int, memory: Any, again: bool) -> Iterator[Batch]:
        """What was drawn before is drawn again in any case: an iterator cannot begin in the middle."""
        if memory is not None:
            give_back(self.batches, memory, numbers=False)
        return self.iterate(number, drawn)

    def give_back(self, memory: Any, final: bool) -> None:
        give_back(self.batches, memory, final, numbers=False)

    def _walk(self, iterator: Iterator[Any]) -> Iterator[Batch]:
        try:
            for batch in iterator:
                yield _as_batch(batch, self.labelled)
        finally:
            if not self.one_pass and hasattr(iterator, "close"):
                iterator.close()


def source_of(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    shuffle: bool = False,
    labelled: bool = True,
    steps: int | None = None,
) -> Source:
    """The source for what `fit`, `evaluate` or `predict` was given as x, y and sample_weight.

    steps: how many batches make an epoch; arrays without a batch_size are cut into as many.

    Raises ValueError where y, sample_weight or a batch size is given beside an iterable, which has its own; and where
    arrays to learn from come without targets.
    """
    if x is None:
        raise ValueError("x is missing: expected arrays, a data set or an iterable of batches (x, y)")
    if isinstance(x, (list, tuple, Mapping)) and not x:
        raise ValueError(f"x is an empty {type(x).__name__}: the data hold no samples")
    if is_arrays(x) and not (labelled and y is None and is_list_of_batches(x)):
        if labelled and y is None:
            raise ValueError("x is given as arrays: y, the targets, is missing")
        if batch_size is None and steps:
            batch_size = -(-common_length(as_arrays(x)) // positive("steps_per_epoch", steps))
        return ArraySource(x, y, sample_weight, batch_size, shuffle)
    numbered = is_numbered(x)
    if not numbered and not isinstance(x, Iterable):
        raise TypeError(f"x is {type(x).__name__}: expected arrays or an iterable of batches (x, y)")
    what = "a data set" if numbered else "an iterable of batches"
    for name, value in (("y", y), ("sample_weight", sample_weight), ("batch_size", batch_size)):
        if value is not None:
            raise ValueError(f"x is {what}, which has its own {name}: leave {name} out")
    return NumberedSource(x, shuffle, labelled) if numbered else IterableSource(x, labelled)


def is_numbered(x: Any) -> bool:
    """Whether x is a data set that gives batches by number: a PyDataset, or an object of Keras's kind that cannot be
    iterated in another way, or changes itself at the end of an epoch."""
    if isinstance(x, PyDataset):
        return True
    by_number = hasattr(x, "__getitem__") and hasattr(x, "__len__") and not isinstance(x, (list, tuple, Mapping))
    return by_number and (not hasattr(x, "__iter__") or hasattr(x, "on_epoch_end"))


def is_arrays(value: Any) -> bool:
    """Whether `value` is an array or Tensor, or a list, tuple or dict of such or of numbers: data held in memory.

    What NumPy takes for an array by its `__array__` counts too: a table of pandas, a tensor of PyTorch.
    """
    if isinstance(value, Tensor) or is_array(value) or (hasattr(value, "__array__") and not isinstance(value, type)):
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
    at = int(samples * (1.0 - fraction)) if 0 < fraction < 1 else 0
    if not 0 < at < samples:
        raise ValueError(f"validation_split {fraction!r} of {samples} samples leaves one side empty")

    def part(rows: slice) -> Batch:
        return map_structure(lambda array: None if array is None else array[rows], arrays)

    return part(slice(None, at)), part(slice(at, None))


def checked_class_weight(class_weight: Any) -> dict[int, float] | None:
    """ValueError unless it is None or {class index: weight}, with weights that are finite and not negative."""
    if class_weight is None:
        return None
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"class_weight: expected {{class: weight}}, not {class_weight!r}")
    for label, weight in class_weight.items():
        if not isinstance(label, (int, np.integer)) or not np.isfinite(weight) or weight < 0:
            raise ValueError(f"class_weight: expected {{class index: weight ≥ 0}}, but it holds {label!r}: {weight!r}")
    return {int(label): float(weight) for label, weight in class_weight.items()}


def class_weights(y: Any, class_weight: Mapping[int, float], sample_weight: Any = None) -> np.ndarray:
    """The weight of each sample (of each pixel for masks) by its class; times its own weight if it has one.

    y: class indices of any shape, with a last axis of 1 or not, or one-hot rows (N, C). Classes that are not named
    weigh 1. Raises ValueError for the targets of several outputs, as Keras does.
    """
    if isinstance(y, (list, tuple, dict)) and len(flatten(as_arrays(y))) != 1:
        raise ValueError(
            "class_weight is for models of one output: the targets are those of "
            f"{len(flatten(as_arrays(y)))}; give sample_weight, with an array for each output"
        )
    labels = to_array(flatten(as_arrays(y))[0])
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    elif labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    present, index = np.unique(labels, return_inverse=True)
    weights = np.array([class_weight.get(int(np.round(label)), 1.0) for label in present], np.float32)
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


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """x, y and sample_weight as a batch: x alone, (x, y) or (x, y, sample_weight)."""
    if y is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> Batch:
    """(x, y, sample_weight) of a batch, None for what it has not. ValueError for a tuple of another length."""
    if not isinstance(data, (tuple, list)):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(f"unpack_x_y_sample_weight: expected (x,), (x, y) or (x, y, sample_weight), got {len(data)}")
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def step_data(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What a model's step is given, in Keras's form, so that `x, y = data` takes it apart: `pack_x_y_sample_weight`,
    but for weights of samples without targets, which stay beside x."""
    if y is None and sample_weight is not None:
        return x, y, sample_weight
    return pack_x_y_sample_weight(x, y, sample_weight)


def _outline(batch: Any) -> str:
    if isinstance(batch, (tuple, list)):
        return f"a {type(batch).__name__} of {len(batch)}"
    return f"{type(batch).__name__} {getattr(batch, 'shape', '')}".strip()


def positive(argument: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{argument} {value!r} must be a positive integer")
    return int(value)
