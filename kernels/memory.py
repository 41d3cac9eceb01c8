"""A caching allocator: arrays whose memory is reused, because fresh memory is slow.

The operating system hands out memory as pages of zeros, one page fault at a time: filling a fresh 64 MiB array takes
about twice as long as filling one that was used before. A training step frees and allocates the same sizes again and
again, so freed blocks are kept and handed out to the next array of their size class; a large array takes a free block
of up to twice its size, rather than that a new one is asked for and more memory held than is ever in use at once.

    y = memory.empty((8, 256, 256, 64), np.float32)

`y` is an ordinary array. Its base is an owner object, which NumPy keeps alive as long as `y` or any view of it lives;
when the last one dies, the owner's finalizer gives the block back. A finalizer may run at any moment, in any thread and
inside this very module (the garbage collector), so it takes no lock that it would have to wait for.

Blocks begin at a page and so at a multiple of 64 bytes, where a vector register's load never touches two cache lines.
Arrays below 64 KiB, and those of types that are not plain numbers, are NumPy's own: malloc is good at them. Those of at
least 1 KiB begin at a multiple of 64 bytes too.
"""

from __future__ import annotations

import ctypes
import functools
import math
import mmap
import os
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

SMALLEST = 64 * 1024  # bytes: below this, arrays are NumPy's
ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
ALIGNED_FROM = 1024  # bytes
CLASSES_PER_DOUBLING = 8  # size classes 1, 1⅛, 1¼ … 1⅞ times a power of two: at most one eighth of a block is unused
LENT_FROM = 1024**2  # bytes: arrays from here on may get a block of a larger class, if one is free
LENT_UP_TO = 2  # times their own class
HUGE_PAGES_FROM = 4 * 1024**2  # bytes: from here on, ask for large pages, as NumPy does
NUMBERS = "biufc"  # dtype kinds that the allocator serves


@dataclass(frozen=True)
class Summary:
    """What the allocator holds and has done, in bytes and counts; `str()` makes a readable line of it."""

    in_use: int  # bytes of blocks that arrays live in
    cached: int  # bytes of blocks kept for later
    peak: int  # the largest that in_use was
    limit: int  # in_use + cached stays below it as long as there is something cached to give back
    hits: int  # arrays that got a kept block
    misses: int  # arrays that needed a fresh block

    def __str__(self) -> str:
        asked = self.hits + self.misses
        reused = f"{self.hits / asked:.0%} of {asked} arrays reused a block" if asked else "no array so far"
        return (
            f"{readable(self.in_use)} in use, {readable(self.cached)} cached, peak {readable(self.peak)}, "
            f"limit {readable(self.limit)}; {reused}"
        )


def readable(size: int) -> str:
    """A number of bytes as people write it: 512 B, 64.0 KiB, 1.5 GiB."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if amount < 1024 or unit == "PiB":
            break
        amount /= 1024
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


class _Block:
    """A piece of memory from the operating system, private to the process, that goes back when the object dies."""

    __slots__ = ("address", "capacity", "mapping")

    def __init__(self, capacity: int):
        if hasattr(mmap, "MAP_PRIVATE"):
            self.mapping = mmap.mmap(-1, capacity, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        else:  # Windows: an anonymous mapping is never shared with a child
            self.mapping = mmap.mmap(-1, capacity)
        if capacity >= HUGE_PAGES_FROM and hasattr(mmap, "MADV_HUGEPAGE"):
            self.mapping.madvise(mmap.MADV_HUGEPAGE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.mapping))
        self.capacity = capacity


class _Owner:
    """What an array's memory belongs to, mixed into a ctypes array, which NumPy takes as a buffer and keeps as the base
    of the array: when NumPy lets go of it, the block goes back to the pool."""

    pool: _Pool
    block: _Block

    def __del__(self):
        self.pool.give_back(self.block)


@functools.cache
def _owner_type(capacity: int) -> Any:
    """The type of the owners of blocks of `capacity` bytes."""
    return type("_BlockOwner", (_Owner, ctypes.c_char * capacity), {})


class _Pool:
    """Blocks in use and blocks kept, with their bound."""

    smallest = SMALLEST

    def __init__(self, limit: int):
        self.limit = limit
        self.in_use = self.cached = self.peak = self.hits = self.misses = 0
        self._kept: OrderedDict[int, deque[_Block]] = OrderedDict()  # by capacity, the longest unused class first
        self._returned: deque[_Block] = deque()  # given back by finalizers, not yet counted
        self._lock = threading.Lock()

    def take(self, size: int) -> tuple[_Block, bool]:
        """A block of at least `size` bytes, and whether it is fresh (all zeros)."""
        capacity = size_class(size)
        with self._lock:
            self._count_returned()
            kept = self._kept.get(capacity) or self._larger(capacity)
            if kept:
                block, fresh = kept.pop(), False
                capacity = block.capacity
                self._kept.move_to_end(capacity)
                self.cached -= capacity
                self.hits += 1
            else:
                self._shrink(self.limit - self.in_use - capacity)
                block, fresh = self._map(capacity)
                self.misses += 1
            self.in_use += capacity
            self.peak = max(self.peak, self.in_use)
        self._settle()
        return block, fresh

    def _larger(self, capacity: int) -> deque[_Block] | None:
        """Kept blocks of the smallest larger class that would not be wasted on an array of this one."""
        if capacity < LENT_FROM:
            return None
        fitting = [larger for larger, kept in self._kept.items() if kept and capacity < larger <= LENT_UP_TO * capacity]
        return self._kept[min(fitting)] if fitting else None

    def give_back(self, block: _Block) -> None:
        """Called by finalizers: appending to a deque is atomic, and whoever comes next does the rest. Only if the block
        may have to go back to the system it is done at once: when more is in use than may be kept."""
        self._returned.append(block)
        if self.in_use > self.limit:
            self._settle()

    def release(self) -> int:
        """Gives all kept blocks back to the operating system; returns how many bytes."""
        with self._lock:
            self._count_returned()
            before = self.cached
            self._shrink(0)
            return before

    def set_limit(self, limit: int) -> None:
        with self._lock:
            self.limit = limit
            self._count_returned()

    def summary(self) -> Summary:
        with self._lock:
            self._count_returned()
            return Summary(self.in_use, self.cached, self.peak, self.limit, self.hits, self.misses)

    def renew_lock(self) -> None:
        """In a forked child: another thread may have held the lock, and there it will never be released."""
        self._lock = threading.Lock()

    def _settle(self) -> None:
        """Counts what was returned, unless someone else holds the lock: he does it when he is done, or the next
        call."""
        while self._returned and self._lock.acquire(blocking=False):
            try:
                self._count_returned()
            finally:
                self._lock.release()

    def _count_returned(self) -> None:
        while self._returned:
            block = self._returned.popleft()
            capacity = block.capacity
            kept = self._kept.get(capacity)
            if kept is None:
                kept = self._kept[capacity] = deque()
            kept.append(block)
            self._kept.move_to_end(capacity)
            self.in_use -= capacity
            self.cached += capacity
        self._shrink(self.limit - self.in_use)

    def _shrink(self, allowed: int) -> None:
        """Gives kept blocks back, those of the longest unused size first, until at most `allowed` bytes are kept."""
        while self._kept and self.cached > allowed:
            capacity, blocks = next(iter(self._kept.items()))
            if blocks:
                blocks.popleft()
                self.cached -= capacity
            if not blocks:
                del self._kept[capacity]

    def _map(self, capacity: int) -> tuple[_Block, bool]:
        """A block that is not among those kept, and whether it is all zeros."""
        try:
            return _Block(capacity), True
        except (OSError, MemoryError, OverflowError, ValueError):
            self._shrink(0)
            return _Block(capacity), True


class Room(_Pool):
    """A pool of its own, on blocks of the process's pool: an array's memory is used again only within it.

    For memory that outlives the arrays in it: whoever runs the same kernels again finds theirs where it was. The blocks
    go back when nothing holds the room or an array in it any more.
    """

    smallest = 1  # byte: NumPy's own arrays would be gone

    def __init__(self) -> None:
        super().__init__(limit=sys.maxsize)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Room is memory of its process: there are no copies and no pickles of it")

    def _map(self, capacity: int) -> tuple[_Block, bool]:
        return _pool.take(capacity)

    @property
    def size(self) -> int:
        """Bytes of all its blocks."""
        with self._lock:
            return self.in_use + self.cached

    def free(self) -> list[np.ndarray]:
        """The blocks in which no array lives, as arrays of bytes."""
        with self._lock:
            self._count_returned()
            blocks = [block for blocks in self._kept.values() for block in blocks]
        return [
            np.ctypeslib.as_array((ctypes.c_ubyte * block.capacity).from_address(block.address)) for block in blocks
        ]

    def __del__(self) -> None:
        self._count_returned()
        for blocks in self._kept.values():
            for block in blocks:
                _pool.give_back(block)


def is_in(array: np.ndarray, room: Room) -> bool:
    """Whether the memory of an array, or of the one that it is a view of, is a block of the room."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, _Owner) and base.pool is room


_room: ContextVar[Room | None] = ContextVar("room", default=None)


@contextmanager
def within(room: Room) -> Iterator[None]:
    """Within it, this thread's arrays take their memory from the room."""
    token = _room.set(room)
    try:
        yield
    finally:
        _room.reset(token)


@functools.lru_cache(1024)
def size_class(size: int) -> int:
    """The capacity of the block that an array of `size` bytes gets: the next multiple of an eighth of the power of two
    below it."""
    step = max((1 << size.bit_length() - 1) // CLASSES_PER_DOUBLING, mmap.PAGESIZE)
    return -(-size // step) * step


def machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its control group's (a container's) if less."""
    try:
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, OSError, ValueError):
        sizes = [8 * 1024**3]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                sizes.append(int(file.read()))
        except (OSError, ValueError):  # no control groups, or "max"
            continue
    return min(sizes)


_pool = _Pool(limit=machine_memory() // 2)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.renew_lock)


def empty(shape: int | Sequence[int], dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
    """An array of any content, like numpy.empty, in reused memory.

    Raises ValueError for a negative dimension, MemoryError (with the sizes) if there is not that much memory.
    """
    return _allocate(shape, dtype)[0]


def zeros(shape: int | Sequence[int], dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
    """An array of zeros, like numpy.zeros, in reused memory; raises like `empty`."""
    array, is_zero = _allocate(shape, dtype)
    if not is_zero:
        array.fill(0)
    return array


def empty_like(array: np.ndarray) -> np.ndarray:
    """A C-contiguous array of any content, of the shape and type of `array`, in reused memory."""
    return empty(array.shape, array.dtype)


def summary() -> Summary:
    """How much memory is in use and cached, the peak, and how often a block could be reused."""
    return _pool.summary()


def release() -> int:
    """Gives all cached memory back to the operating system, and returns how many bytes that was. Arrays in use stay."""
    return _pool.release()


def limit(size: int) -> None:
    """Bounds the memory that is kept: cached blocks are given back as soon as those in use and those cached would
    exceed `size` bytes together. Arrays in use are not bounded by it; 0 turns caching off.

    The default is half of the machine's memory (or of the container's). Raises ValueError for a negative size.
    """
    if size < 0:
        raise ValueError(f"size = {size}: expected a number of bytes, 0 or more")
    _pool.set_limit(int(size))


def _where_addresses_stand() -> int | None:
    """How far into NumPy's array object the address of its first element stands: behind what every Python object begins
    with. Reading it there takes a tenth of the time that `array.ctypes.data` takes. None if it is not there."""
    offset, arrays = object.__basicsize__, [np.zeros(size) for size in (1, 2, 3)]
    found = [ctypes.c_ssize_t.from_address(id(array) + offset).value for array in arrays]
    return offset if found == [array.ctypes.data for array in arrays] else None


_offset = _where_addresses_stand()
_word_at = ctypes.c_ssize_t.from_address


def address_of_array(array: np.ndarray) -> int:
    """The address of an array's first element."""
    return array.ctypes.data if _offset is None else _word_at(id(array) + _offset).value


def _allocate(shape: int | Sequence[int], dtype: np.typing.DTypeLike) -> tuple[np.ndarray, bool]:
    """An array, and whether it is known to hold zeros."""
    dtype = np.dtype(dtype)
    sizes = shape if type(shape) is tuple else _as_sizes(shape)
    size = math.prod(sizes) * dtype.itemsize
    if type(size) is not int:  # NumPy's whole numbers, which overflow
        sizes = _as_sizes(sizes)
        size = math.prod(sizes) * dtype.itemsize
    pool = _room.get() or _pool
    if size < pool.smallest or dtype.kind not in NUMBERS:
        if size < ALIGNED_FROM or dtype.kind not in NUMBERS:
            return np.empty(sizes, dtype), False
        room = np.empty(size + ALIGNMENT, np.uint8)
        return np.ndarray(sizes, dtype, room, -address_of_array(room) % ALIGNMENT), False
    try:
        block, fresh = pool.take(size)
    except (OSError, MemoryError, OverflowError, ValueError) as error:
        held = _pool.summary()
        raise MemoryError(
            f"no memory for an array of shape {sizes} and type {dtype} ({readable(size)}): "
            f"{readable(held.in_use)} are in use, {readable(held.cached)} cached"
        ) from error
    owner = _owner_type(block.capacity).from_address(block.address)
    owner.pool, owner.block = pool, block
    return np.ndarray(sizes, dtype, owner), fresh


def _as_sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(map(int, shape))
