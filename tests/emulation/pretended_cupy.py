"""A stand-in for CuPy on a machine without a GPU: arrays that behave as CuPy's do, and hold their numbers in NumPy's.

As with CuPy, nothing crosses between main memory and the device unasked: NumPy's arrays and these do not mix in one
operation, `numpy.asarray` refuses them, functions of NumPy that CuPy lacks are refused too, and reductions give arrays
without dimensions, never numbers. `installed()` puts it in the place of the module.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import operator
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tomograd.kernels.half_precision import is_floating

# The functions of NumPy that CuPy 14.2 has under the same name; some of them NumPy has no longer.
_NAMES = (Path(__file__).parent / "cupy_names.txt").read_text(encoding="utf-8").split()
HAS = frozenset(name for name in _NAMES if hasattr(np, name))

_LIKE, _REDUCED, _UFUNC = "dtype order shape", "axis keepdims out", "out dtype casting"
_ALONG = ("sort", "argsort", "cumsum", "take_along_axis", "concatenate", "stack", "expand_dims")
# The keywords that CuPy's functions and methods take, of those that the package gives keywords (a ufunc's: _UFUNC).
KEYWORDS = {
    "functions": {
        **dict.fromkeys(("zeros_like", "ones_like", "empty_like", "full_like"), _LIKE),
        **dict.fromkeys(("argmax", "argmin", "max", "min", "any", "all"), _REDUCED),
        **dict.fromkeys(("sum", "mean", "prod"), _REDUCED + " dtype"),
        **dict.fromkeys(_ALONG, "axis"),
        "arange": "dtype",
        "einsum": "optimize",
    },
    "methods": {
        **dict.fromkeys(("argmax", "argmin", "max", "min", "any", "all"), _REDUCED),
        **dict.fromkeys(("sum", "mean", "prod"), _REDUCED + " dtype"),
        "astype": "copy order",
        "copy": "order",
        "cumsum": "axis",
    },
}
# Functions that give numbers in NumPy, and arrays without dimensions in CuPy, which nothing has to wait for.
_LATE = frozenset(("count_nonzero", "allclose", "array_equal", "array_equiv"))

GPUS = 3
LIBRARIES = "cupy_backends.cuda.libs"
TOTAL = 80 * 2**30  # bytes of a pretended GPU's memory


class OutOfMemoryError(MemoryError):
    """As CuPy says it."""

    def __init__(self, size: int, used: int):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {used:,} bytes).")


class _Memory:
    """Counts the bytes of arrays, until no one holds them any more."""

    def __init__(self) -> None:
        self.used, self.limit, self._counted = 0, TOTAL, set[int]()

    def count(self, held: np.ndarray) -> None:
        held = _owner(held)
        if id(held) in self._counted or not held.nbytes:
            return
        if self.used + held.nbytes > self.limit:
            raise OutOfMemoryError(held.nbytes, self.used)
        self._counted.add(id(held))
        self.used += held.nbytes
        weakref.finalize(held, self._give_back, id(held), held.nbytes)

    def _give_back(self, identity: int, size: int) -> None:
        self._counted.discard(identity)
        self.used -= size


memory = _Memory()


@contextmanager
def room_for(further: int) -> Iterator[None]:
    """Within the `with` block the GPUs have room for so many bytes beside what there is."""
    memory.limit = memory.used + further
    try:
        yield
    finally:
        memory.limit = TOTAL


class _Pointer:
    """Where an array lies."""

    def __init__(self, held: np.ndarray):
        self._held, self.ptr = held, held.ctypes.data

    def copy_from_device_async(self, source: _Pointer, size: int, stream: Stream) -> None:
        assert size <= min(self._held.nbytes, source._held.nbytes)
        self._held.reshape(-1).view(np.uint8)[:size] = source._held.reshape(-1).view(np.uint8)[:size]


class ndarray:
    """An array on the pretended device."""

    __array_priority__ = 100

    def __init__(self, held: np.ndarray, gpu: int | None = None):
        memory.count(held)
        self._held, self._gpu = held, _of_thread.gpu if gpu is None else gpu

    # ---- what NumPy asks of others' arrays

    def __array__(self, *arguments: Any, **options: Any) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or ufunc.__name__ not in HAS:
            return NotImplemented
        return _call(ufunc, inputs, options)

    def __array_function__(self, function: Callable, types: Any, arguments: tuple, options: dict) -> Any:
        if function.__name__ not in HAS or function is not getattr(np, function.__name__, None):
            return NotImplemented
        return _call(function, arguments, options)

    @property
    def __cuda_array_interface__(self) -> dict:
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (self._held.ctypes.data, False), "version": 3}

    # ---- attributes

    shape = property(lambda self: self._held.shape)
    strides = property(lambda self: self._held.strides)
    dtype = property(lambda self: self._held.dtype)
    ndim = property(lambda self: self._held.ndim)
    size = property(lambda self: self._held.size)
    nbytes = property(lambda self: self._held.nbytes)
    itemsize = property(lambda self: self._held.itemsize)
    T = property(lambda self: ndarray(self._held.T, self._gpu))
    base = property(lambda self: None if self._held.base is None else ndarray(self._held.base, self._gpu))
    device = property(lambda self: _Device(self._gpu))
    data = property(lambda self: _Pointer(self._held))

    @property
    def flags(self) -> SimpleNamespace:
        held = self._held.flags
        return SimpleNamespace(
            c_contiguous=held.c_contiguous, f_contiguous=held.f_contiguous, owndata=held.owndata
        )  # CuPy's arrays have no flag `writeable`, and are always writeable

    # ---- methods

    def get(self) -> np.ndarray:
        _refuse_in_capture("a number is read back")
        return np.array(self._held, copy=True, order="C")

    def set(self, values: np.ndarray, stream: Stream | None = None) -> None:
        """At once; or, as a copy engine does, when the stream comes to it, from what the buffer holds then."""
        if not isinstance(values, np.ndarray) or (values.dtype, values.shape) != (self.dtype, self.shape):
            raise TypeError(f"an array of {self.dtype}, {self.shape} is set to {values!r}, of another type or shape")
        if not (self._held.flags.c_contiguous or self._held.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        if stream is None:
            _refuse_in_capture("an array is copied from main memory")
            self._held[...] = values
        else:
            stream.copy(self._held, values)

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, index: Any) -> ndarray:
        return _call(lambda x, i: np.asarray(x[_in_bounds(x.shape, i)]), (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        _call(lambda x, i, y: operator.setitem(x, _in_bounds(x.shape, i), y), (self, index, value), {})

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:  # and no __index__
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def item(self, *place: int) -> Any:
        return self.get().item(*place)

    def tolist(self) -> Any:
        return self.get().tolist()


def _method(name: str) -> Callable:
    def method(self: ndarray, *arguments: Any, **options: Any) -> Any:
        return _call(getattr(np.ndarray, name), (self, *arguments), options)

    return method


_METHODS = """all any argmax argmin argsort astype copy clip cumsum diagonal dot fill flatten max mean min nonzero
prod ravel repeat reshape round sort squeeze std sum swapaxes take trace transpose var view"""
_ARITHMETIC = """add sub mul truediv floordiv mod pow matmul and or xor"""
_OTHERS = """lt le gt ge eq ne neg abs invert pos"""


def _in_place(do: Callable) -> Callable:
    def method(self: ndarray, other: Any) -> ndarray:
        do(self, other)
        return self

    return method


def _give_methods() -> None:
    for name in _METHODS.split():
        setattr(ndarray, name, _method(name))
    special = [f"__{name}__" for name in _OTHERS.split()]
    special += [f"__{kind}{name}__" for name in _ARITHMETIC.split() for kind in ("", "r", "i")]
    special.remove("__imatmul__")  # which CuPy has not
    for name in special:
        in_place = name.startswith("__i") and name != "__invert__"
        setattr(ndarray, name, _in_place(_method(name)) if in_place else _method(name))


_give_methods()


def _in_bounds(shape: tuple[int, ...], index: Any) -> Any:
    """An index whose arrays of integers begin anew beyond the ends of their axes: CuPy raises no IndexError."""
    parts = list(index) if isinstance(index, tuple) else [index]
    taken = [part.ndim if isinstance(part, np.ndarray) and part.dtype.kind == "b" else 1 for part in parts]
    named = sum(n for part, n in zip(parts, taken, strict=True) if part is not None and part is not Ellipsis)
    axis = 0
    for place, (part, n) in enumerate(zip(parts, taken, strict=True)):
        if part is Ellipsis:
            axis += len(shape) - named
        elif part is not None:
            if isinstance(part, np.ndarray) and part.dtype.kind in "iu" and axis < len(shape) and shape[axis]:
                parts[place] = part.astype(np.int64) % shape[axis]
            axis += n
    return tuple(parts) if isinstance(index, tuple) else parts[0]


def _refuse_keywords(function: Callable, options: dict) -> None:
    """Raise TypeError for what NumPy's function takes, and CuPy's of this name does not."""
    if isinstance(function, np.ufunc):
        known = _UFUNC
    elif getattr(function, "__objclass__", None) is np.ndarray:
        known = KEYWORDS["methods"].get(function.__name__, "")
    elif getattr(np, getattr(function, "__name__", ""), None) is function:
        known = KEYWORDS["functions"].get(function.__name__, "")
    else:
        return
    if unknown := options.keys() - known.split():
        raise TypeError(f"CuPy's {function.__name__} may not take {', '.join(sorted(unknown))}: see KEYWORDS")


def _call(function: Callable, arguments: tuple, options: dict) -> Any:
    """A function of NumPy's arrays for arrays on the device; its results lie where its arguments do."""
    _refuse_keywords(function, options)
    gpus = {array._gpu for array in _arrays_in((arguments, options))}
    if len(gpus) > 1:
        raise ValueError(f"arrays on different devices: {sorted(gpus)}")
    held, named = [_held(value) for value in arguments], {name: _held(value) for name, value in options.items()}
    result = _capturing.recorded(function, held, named) if _capturing.active else function(*held, **named)
    if getattr(function, "__name__", "") in _LATE:
        result = np.asarray(result)
    gpu = gpus.pop() if gpus else _of_thread.gpu
    if gpu != _of_thread.gpu and not _is_view(result, held):
        raise PretenceError(f"GPU {_of_thread.gpu} is the current one, and computes with arrays of GPU {gpu}")
    return _wrapped(result, gpu)


def _is_view(result: Any, held: list) -> bool:
    """Whether nothing was launched for a result: it lies in the memory of an argument, or is a number of Python's."""
    if result is None or isinstance(result, np.generic):
        return False
    owners = [_owner(array) for array in _numpy_arrays(held)]
    return all(any(_owner(array) is owner for owner in owners) for array in _numpy_arrays(result))


def _arrays_in(value: Any) -> Iterator[ndarray]:
    if isinstance(value, ndarray):
        yield value
    elif isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _arrays_in(each)


def _held(value: Any) -> Any:
    """A value with NumPy's arrays for those of the device; an array that is NumPy's already is refused."""
    if isinstance(value, ndarray):
        return value._held
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(_held(each) for each in value)
    return value


def _wrapped(value: Any, gpu: int | None) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value), gpu)
    if isinstance(value, list | tuple):
        return type(value)(_wrapped(each, gpu) for each in value)
    return value


def asarray(values: Any, dtype: Any = None, order: str | None = None) -> ndarray:
    """The values on the current device: a copy unless they lie there."""
    if isinstance(values, ndarray):
        make = np.asarray if values._gpu == _of_thread.gpu else np.array
        return ndarray(make(values._held, dtype, order=order))
    _allocator.pinned(np.asarray(values).nbytes)
    _refuse_in_capture("an array is copied from main memory")
    return ndarray(np.array(values, dtype, copy=True, order=order or "K"))


def asnumpy(array: Any) -> np.ndarray:
    return array.get() if isinstance(array, ndarray) else np.asarray(array)


def module() -> ModuleType:
    """The stand-in, as a module of the name `cupy`."""
    cupy = ModuleType("cupy")
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    cupy.__version__ = "14.2.0"
    for name in HAS:
        setattr(cupy, name, _made_on_device(getattr(np, name)))
    for own in (ndarray, asarray, asnumpy):
        setattr(cupy, own.__name__, own)
    cupy.array = lambda values, dtype=None, copy=True, order="K": asarray(values, dtype).copy()
    cupy.ogrid = _OpenGrid()
    cupy.cuda = SimpleNamespace(
        Device=_Device,
        Event=Event,
        Stream=Stream,
        Memory=Memory,
        MemoryPointer=lambda memory, offset: SimpleNamespace(mem=memory, ptr=id(memory) + offset),
        MemoryPool=lambda allocator=None: SimpleNamespace(malloc=lambda size: None, allocator=allocator),
        using_allocator=_allocator.using,
        set_pinned_memory_allocator=set_pinned_memory_allocator,
        alloc_pinned_memory=alloc_pinned_memory,
        get_current_stream=lambda: _streams.current,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        get_elapsed_time=get_elapsed_time,
        device=SimpleNamespace(get_cublas_handle=lambda: _HANDLE),
        runtime=SimpleNamespace(
            getDeviceCount=lambda: GPUS,
            memGetInfo=lambda: (memory.limit - memory.used, memory.limit),
            getDeviceProperties=lambda number: dict(_PROPERTIES),
            driverGetVersion=lambda: 13000,
            **_KINDS,
        ),
    )
    cupy.get_default_pinned_memory_pool = lambda: SimpleNamespace(malloc=lambda size: None)
    cupy.get_default_memory_pool = lambda: SimpleNamespace(used_bytes=lambda: memory.used, free_all_blocks=lambda: None)
    return cupy


def _made_on_device(function: Any) -> Any:
    """A function of NumPy for arrays on the device. Types are NumPy's own."""
    if isinstance(function, type):
        return function
    made = lambda *arguments, **options: _call(function, arguments, options)  # noqa: E731
    if isinstance(function, np.ufunc):
        made.at = lambda array, *arguments: _call(function.at, (array, *arguments), {})
    return made


class PretenceError(AssertionError):
    """What would go wrong on a GPU, at times."""


class Memory:
    """A block of the GPU's."""

    def __init__(self, size: int):
        self.size = size


class Stream:
    """A queue of copies. They are made late: when someone waits for an event behind them, not before. Until then the
    target holds NaN (or the largest number), and the source must not be changed. The null stream does all at once."""

    def __init__(self, null: bool = False, non_blocking: bool = False):
        if not (null or non_blocking):
            raise PretenceError("a stream that waits for the null stream, and holds it up, overlaps with nothing")
        self._queue: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._done, self._lock = 0, threading.RLock()

    def copy(self, target: np.ndarray, source: np.ndarray) -> None:
        if _base(source) not in _pinned:
            raise PretenceError("a copy from memory that is not pinned waits for the GPU")
        with self._lock:
            _spoil(target)
            self._queue.append((target, source, source.copy()))

    def place(self) -> int:
        with self._lock:
            return self._done + len(self._queue)

    def run_to(self, place: int) -> None:
        with self._lock:
            while self._done < place:
                target, source, as_queued = self._queue.pop(0)
                if source.tobytes() != as_queued.tobytes():
                    raise PretenceError("a pinned buffer was used again before it was copied")
                target[...] = source
                self._done += 1

    def wait_event(self, event: Event) -> None:
        event.synchronize()

    def synchronize(self) -> None:
        self.run_to(self.place())

    def __enter__(self) -> Stream:
        self._before = _streams.current
        _streams.current = self
        return self

    def __exit__(self, *error: Any) -> None:
        _streams.current = self._before

    def begin_capture(self, mode: Any = None) -> None:
        """From now on this thread's launches are noted, and not made."""
        if self is not _streams.current or self is _NULL:
            raise PretenceError("a capture of a stream that is not in use, or of the null stream")
        _capturing.begin()

    def end_capture(self) -> Graph:
        return _capturing.end()

    ptr = 0


class Graph:
    """Launches with the arrays that they were noted with."""

    def __init__(self, launches: list[tuple[Callable, list, dict, Any]], pool: list[np.ndarray]):
        self._launches, self._pool = launches, pool

    def launch(self, stream: Stream | None = None) -> None:
        (stream or _NULL).synchronize()  # the copies that were queued before
        for array in self._pool:  # where one is, others of the graph may have been before it
            _spoil(array)
        for function, arguments, options, result in self._launches:
            _put(function(*arguments, **options), result)


def _spoil(array: np.ndarray) -> None:
    """Numbers that show."""
    kind = array.dtype.kind
    array[...] = np.nan if is_floating(array.dtype) else np.iinfo(array.dtype).max if kind in "iu" else True


def _put(values: Any, places: Any) -> None:
    """Results into the arrays that held them when they were noted; views of others hold theirs already."""
    if isinstance(values, list | tuple):
        for value, place in zip(values, places, strict=True):
            _put(value, place)
    elif isinstance(values, np.ndarray | np.generic) and not np.may_share_memory(values, places):
        places[...] = values


class _Capturing(threading.local):
    """Notes launches. To know the shapes of results it makes them as well, and afterwards everything is as it was: what
    they wrote to has its numbers again, what they made holds NaN."""

    active = False

    def begin(self) -> None:
        self.active, self._launches = True, []
        self._allocator = _allocator.current
        self._before: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # what was there before, and its numbers
        self._made: dict[int, np.ndarray] = {}
        self._others: set[int] = set()  # those of another pool

    def recorded(self, function: Callable, arguments: list, options: dict) -> Any:
        if _allocator.current is None:
            raise PretenceError("a capture whose arrays would be taken from the pool that others use")
        for owner in map(_owner, _numpy_arrays((arguments, options))):
            if id(owner) not in self._made and id(owner) not in self._before:
                self._before[id(owner)] = owner, owner.copy()
        with np.errstate(all="ignore"):  # of what no launch has filled yet
            result = function(*arguments, **options)
        if type(result) is float:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: a number is read back while the stream is capturing")
        result = np.asarray(result) if isinstance(result, np.generic) else result
        if function is np.empty:  # indices may lie there when it is launched: of these, 0 is one for now
            result.fill(0)
        if _allocator.current is not self._allocator:
            self._others.add(id(_owner(result)))
        self._made |= {id(o): o for o in map(_owner, _numpy_arrays(result)) if id(o) not in self._before}
        if function not in (np.empty, np.empty_like):  # which launch nothing
            self._launches.append((function, arguments, options, result))
        return result

    def note(self, launch: Callable[[], None]) -> None:
        """A launch of a kernel that is emulated, by its addresses: it is not made."""
        self._launches.append((launch, [], {}, None))

    def keep(self, array: np.ndarray) -> None:
        """Memory of the graph's own."""
        self._made[id(_owner(array))] = _owner(array)

    def end(self) -> Graph:
        if not self.active:
            raise RuntimeError("cudaErrorIllegalState: no capture")
        self.active = False
        for array in self._made.values():
            if array.flags.writeable:
                _spoil(array)
        for owner, before in self._before.values():
            if owner.flags.writeable:
                owner[...] = before
        own = [each for identity, each in self._made.items() if identity not in self._others and each.flags.writeable]
        return Graph(self._launches, own)


def _owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory it is."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _numpy_arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _numpy_arrays(each)


def _refuse_in_capture(what: str) -> None:
    if _capturing.active:
        raise RuntimeError(f"cudaErrorStreamCaptureUnsupported: {what} while the stream is capturing")


_capturing = _Capturing()


class _Allocator(threading.local):
    """Of this thread; None: the pool that all use. And that of pinned memory, which is all threads'."""

    current: Any = None
    pinned: Callable = staticmethod(lambda size: None)

    @contextmanager
    def using(self, allocator: Callable) -> Iterator[None]:
        before, self.current = self.current, allocator
        try:
            yield
        finally:
            self.current = before


_allocator = _Allocator()


def set_pinned_memory_allocator(allocator: Callable | None = None) -> None:
    _Allocator.pinned = staticmethod(allocator or (lambda size: None))


class Event:
    """A place in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False):
        self._stream: Stream | None = None
        self._timed = not disable_timing

    def record(self, stream: Stream) -> None:
        self._stream, self._place, self.time = stream, stream.place(), time.perf_counter()

    def synchronize(self) -> None:
        if self._stream is None:
            raise PretenceError("an event that was never recorded")
        self._stream.run_to(self._place)


def get_elapsed_time(first: Event, last: Event) -> float:
    """Milliseconds."""
    if not (first._timed and last._timed):
        raise RuntimeError("cudaErrorInvalidResourceHandle: an event without timing")
    return 1e3 * (last.time - first.time)


_HANDLE = 1234
_KINDS = {"CUDA_R_32F": 0, "CUDA_R_16F": 2, "CUDA_R_16BF": 14}
_PROPERTIES = {"name": b"pretended", "multiProcessorCount": 3, "totalGlobalMem": TOTAL, "l2CacheSize": 2**12}


def gemm_ex(
    handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, a: int, a_kind: int, lda: int,
    b: int, b_kind: int, ldb: int, beta: int, c: int, c_kind: int, ldc: int, compute: int, algorithm: int,
) -> None:  # fmt: skip
    """cuBLAS's product of matrices whose columns lie one after another; of square ones that are not transposed."""
    assert (handle, transa, transb, algorithm) == (_HANDLE, 0, 0, -1) and m == n == k == lda == ldb == ldc
    assert a_kind == b_kind == c_kind and compute in (68, 77)

    def matrix(address: int) -> np.ndarray:
        size = 4 if a_kind == _KINDS["CUDA_R_32F"] else 2
        held = np.frombuffer((ctypes.c_byte * (m * m * size)).from_address(address), np.dtype(f"u{size}"))
        return held.reshape(m, m).T

    def numbers(bits: np.ndarray) -> np.ndarray:
        if a_kind == _KINDS["CUDA_R_16BF"]:
            return (bits.astype(np.uint32) << 16).view(np.float32)
        return bits.view(f"f{bits.itemsize}").astype(np.float32)

    factor, addend = (ctypes.c_float.from_address(each).value for each in (alpha, beta))
    assert (factor, addend) == (1.0, 0.0)
    product = numbers(np.ascontiguousarray(matrix(a))) @ numbers(np.ascontiguousarray(matrix(b)))
    if a_kind == _KINDS["CUDA_R_16BF"]:
        matrix(c)[...] = (product.view(np.uint32) >> 16).astype(np.uint16)
    else:
        matrix(c)[...] = product.astype(f"f{matrix(c).itemsize}").view(matrix(c).dtype)


class _Streams(threading.local):
    """The current one, of each thread."""

    def __init__(self) -> None:
        self.current = _NULL


_NULL = Stream(null=True)
_streams = _Streams()
_pinned: set[int] = set()


def _base(array: np.ndarray) -> int:
    """The address of the memory that an array is part of."""
    return _owner(array).ctypes.data


def alloc_pinned_memory(size: int) -> Any:
    """Memory that copies can be made from, with some bytes more, as CuPy gives it; never given back here."""
    memory = np.full(size + 100, 0xFF, np.uint8)
    _pinned.add(memory.ctypes.data)
    _kept.append(memory)
    return memory.data


_kept: list[np.ndarray] = []


class _OpenGrid:
    def __getitem__(self, index: Any) -> Any:
        return _wrapped(np.ogrid[index], None)


class _OfThread(threading.local):
    """The current GPU, of each thread, and those before it."""

    gpu = 0

    def __init__(self) -> None:
        self.before: list[int] = []


_of_thread = _OfThread()


class _Device:
    """A pretended GPU; within `with` the current one."""

    def __init__(self, number: int | None = None):
        self.id = _of_thread.gpu if number is None else number
        if self.id >= GPUS:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def __enter__(self) -> _Device:
        _of_thread.before.append(_of_thread.gpu)
        _of_thread.gpu = self.id
        return self

    def __exit__(self, *error: Any) -> None:
        _of_thread.gpu = _of_thread.before.pop()

    def synchronize(self) -> None:
        pass  # what is not a copy is done at once


@contextmanager
def installed() -> Iterator[ModuleType]:
    """Within the `with` block `import cupy` gives the stand-in."""
    ndarray.__module__ = "cupy"
    libraries = ModuleType(LIBRARIES)
    libraries.cublas = SimpleNamespace(gemmEx=gemm_ex)
    with standing_in({"cupy": module(), LIBRARIES: libraries}):
        yield sys.modules["cupy"]


@contextmanager
def standing_in(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Within the `with` block an import of these names gives these modules."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules |= modules
    try:
        yield
    finally:  # only these: what was imported meanwhile stays
        for name, one in before.items():
            if one is None:
                del sys.modules[name]
            else:
                sys.modules[name] = one
