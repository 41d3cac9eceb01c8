"""What a data set draws by and orders by, kept with a run and given back to the data set of the run that goes on.

A data set that defines `get_state()` and `set_state(state)` says itself what that is. Of others it is found: random
generators among their attributes (of NumPy, old and new, and of Python), NumPy's and Python's generators of the whole
process, and attributes that are lists or arrays of one axis, whose order may be drawn. Nothing else of a data set is
kept, and nothing is overwritten by what is no other order of it.
"""

from __future__ import annotations

import copy
import random
import warnings
from typing import Any

import numpy as np

GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)

Memory = dict[str, Any]  # as JSON and safetensors hold it


def has_hooks(data: Any) -> bool:
    """Whether it says itself what it remembers."""
    return callable(getattr(data, "get_state", None)) and callable(getattr(data, "set_state", None))


def memory_of(data: Any) -> Memory:
    """What `give_back` takes. Raises TypeError for a `get_state` that gives what a file cannot hold."""
    if has_hooks(data):
        state = data.get_state()
        _require_plain(state, type(data).__name__)
        return {"own": copy.deepcopy(state)}  # which the data set may go on changing
    attributes = list(getattr(data, "__dict__", {}).items())
    own = {name: value for name, value in attributes if isinstance(value, GENERATORS)}
    return {
        "process": [_drawn(generator) for generator in _of_the_process()],
        "generators": {name: _drawn(generator) for name, generator in own.items()},
        "orders": {name: _in_order(value) for name, value in attributes if _has_order(value)},
        "numbers": {name: value for name, value in attributes if type(value) is float},
    }


def give_back(data: Any, memory: Memory, final: bool = True, numbers: bool = True) -> None:
    """Let a data set of the same kind go on from there.

    final=False: before its methods are called for the epochs since, which bring it to where they brought the other one
    if they alone draw. Else it warns of attributes that are not what they were: of orders and, with `numbers`, of
    numbers only if others than these methods drew.
    """
    if "own" in memory:
        if not has_hooks(data):
            raise ValueError(f"the data set {type(data).__name__} has no get_state and set_state, as it had")
        data.set_state(copy.deepcopy(memory["own"]))
        return
    lost, moved = [], False
    pairs = [*zip(["numpy.random", "random"], _of_the_process(), memory["process"], strict=True)]
    pairs += [(name, getattr(data, name, None), state) for name, state in memory["generators"].items()]
    for name, generator, state in pairs:
        known = isinstance(generator, GENERATORS)
        moved = moved or not (known and same_memory(_drawn(generator), state))
        if not known or not _set(generator, state):
            lost.append(name)
    others = [name for name, order in memory["orders"].items() if not _reorder(data, name, order)]
    if numbers:
        others += [name for name, value in memory["numbers"].items() if not _same(getattr(data, name, None), value)]
    lost += others if moved else []
    if final and lost:
        warnings.warn(
            f"the data set {type(data).__name__} is not as it was in the run to go on with: {', '.join(lost)}. Its "
            "batches may be others; let it define get_state() and set_state(state)",
            stacklevel=2,
        )


def same_memory(one: Any, other: Any) -> bool:
    """Whether two of them, or parts of them, are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_memory(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_memory, one, other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


def _same(one: Any, other: float) -> bool:
    return one == other or (one != one and other != other)


# -------------------------------------------------------------------------------------------------------- generators


def _of_the_process() -> tuple[Any, Any]:
    """What numpy.random's and random's functions draw from: programs that Keras users bring shuffle by them."""
    return np.random.mtrand._rand, random._inst  # type: ignore[attr-defined]


def _drawn(generator: Any) -> Any:
    """A generator's state, in types that JSON and safetensors hold."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    version, numbers, rest = generator.getstate()
    return {"version": version, "numbers": np.array(numbers, np.int64), "rest": rest}


def _set(generator: Any, state: Any) -> bool:
    """Whether the generator could be brought to this state."""
    try:
        if isinstance(generator, np.random.Generator):
            generator.bit_generator.state = state
        elif isinstance(generator, np.random.RandomState):
            generator.set_state(state)
        else:
            numbers = tuple(np.asarray(state["numbers"]).tolist())
            generator.setstate((state["version"], numbers, state["rest"]))
    except (KeyError, TypeError, ValueError):  # of another kind
        return False
    return True


# ------------------------------------------------------------------------------------------------------------- orders


def _has_order(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "biuU"
    return type(value) is list and all(isinstance(entry, (int, str)) for entry in value)


def _in_order(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) and value.dtype.kind != "U" else list(map(_plain, value))


def _plain(entry: Any) -> Any:
    return entry.item() if isinstance(entry, np.generic) else entry


def _reorder(data: Any, name: str, order: Any) -> bool:
    """Whether the attribute now holds its entries in this order."""
    value: Any = getattr(data, name, None)
    wanted = list(map(_plain, order))
    if not _has_order(value):
        return False
    held = list(map(_plain, value))
    if held == wanted:
        return True
    if sorted(map(repr, held)) != sorted(map(repr, wanted)):
        return False
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        setattr(data, name, np.array(wanted, value.dtype))
    else:
        value[:] = wanted
    return True


def _require_plain(state: Any, owner: str) -> None:
    if state is None or isinstance(state, (bool, int, float, str, np.ndarray, np.generic)):
        if not (isinstance(state, np.ndarray) and state.dtype.kind not in "biuf"):
            return
    elif isinstance(state, (list, tuple)):
        for entry in state:
            _require_plain(entry, owner)
        return
    elif isinstance(state, dict) and all(isinstance(key, str) for key in state):
        for entry in state.values():
            _require_plain(entry, owner)
        return
    raise TypeError(
        f"{owner}.get_state() gave {state!r} of type {type(state).__name__}: expected numbers, strings, arrays of "
        "numbers, and lists and dicts (by strings) of them"
    )
