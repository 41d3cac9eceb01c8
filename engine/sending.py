"""Arrays sent to a GPU while it computes: through pinned buffers, on a stream of their own.

    sender = Sender("cuda", ahead=2)
    sender.send([(x, "float32"), (y, y.dtype)])   # on a thread that makes batches ready
    tensor = sender.arrived(x)                    # in the loop: x on the GPU; what is launched then waits for the copy

Each call of `send` fills a *slot*: buffers that the GPU's copy engine can read by itself, and the arrays on the GPU.
The slots are used in turn. Before one is filled again, the copies out of its buffers have ended; and its arrays were
kept until then, so that their memory goes back to the copying stream only after all that was computed from them was
queued, which that stream then waits for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .device import checked, gpu_library, number_of, say_how_full
from .tensor import Array, Tensor, from_array


@dataclass(eq=False)
class _Slot:
    """One group of arrays on their way, or there."""

    buffers: dict[int, Any] = field(default_factory=dict)  # pinned memory for each place in the group
    there: list[tuple[np.ndarray, Array]] = field(default_factory=list)  # in main memory, on the GPU
    copied: Any = None  # the event at the end of the copies
    taken: bool = False  # whether anything may have been computed from them
    used: Any = None  # the event after what was computed from them


class Sender:
    """Sends groups of arrays to `device`. ahead: how many groups may be sent before the one in use is done with.

    One thread sends, one thread takes what arrived, and takes of each group before of the next. Raises as
    `device.move`.
    """

    def __init__(self, device: str, ahead: int) -> None:
        self._cupy = gpu_library(checked(device))
        self._gpu = self._cupy.cuda.Device(number_of(device, self._cupy))
        with self._gpu:
            self._stream = self._cupy.cuda.Stream(non_blocking=True)
        self._slots = [_Slot() for _ in range(ahead + 2)]  # those ahead, the one in use, and the one before it
        self._sent = 0
        self._current: _Slot | None = None  # the one in use
        self._arrivals: dict[int, tuple[np.ndarray, Array, _Slot]] = {}  # by the identity of the array in main memory

    def send(self, arrays: Iterable[tuple[np.ndarray, Any]]) -> None:
        """Begin to copy arrays of main memory, each in the type that stands beside it."""
        slot = self._slots[self._sent % len(self._slots)]
        self._sent += 1
        with self._gpu:
            self._empty(slot)
            with self._stream:
                for place, (array, dtype) in enumerate(arrays):
                    slot.there.append((array, self._copied(slot, place, array, np.dtype(dtype))))
            slot.copied = self._event(self._stream)
        for array, sent in slot.there:
            self._arrivals[id(array)] = array, sent, slot

    def _copied(self, slot: _Slot, place: int, array: np.ndarray, dtype: np.dtype) -> Array:
        """The array on the GPU, as soon as the stream has come there."""
        size = array.size * dtype.itemsize
        try:
            sent = self._cupy.empty(array.shape, dtype)
            if not size:
                return sent
            if place not in slot.buffers or len(slot.buffers[place]) < size:
                memory = self._cupy.cuda.alloc_pinned_memory(size)
                slot.buffers[place] = np.frombuffer(memory, np.uint8, size)
        except MemoryError as error:
            say_how_full(error, f"copying an array of shape {array.shape}, {size:,} bytes")
            raise
        pinned = slot.buffers[place][:size].view(dtype).reshape(array.shape)
        pinned[...] = array
        sent.set(pinned, stream=self._stream)
        return sent

    def _empty(self, slot: _Slot) -> None:
        """Make a slot ready for the next arrays."""
        if slot.copied is not None:
            slot.copied.synchronize()
        if slot.used is not None:
            self._stream.wait_event(slot.used)
        elif slot.taken:  # by a loop that took nothing of the groups after it
            self._gpu.synchronize()
        for array, sent in slot.there:
            if self._arrivals.get(id(array), (None, None))[1] is sent:
                del self._arrivals[id(array)]
        slot.there, slot.copied, slot.taken, slot.used = [], None, False, None

    def arrived(self, array: Any) -> Tensor | None:
        """The array on the GPU: what is launched on the current stream from now on waits for it. None for an array that
        was not sent."""
        found = self._arrivals.get(id(array))
        if found is None or found[0] is not array:
            return None
        _, sent, slot = found
        with self._gpu:
            stream = self._cupy.cuda.get_current_stream()
            if slot is not self._current:
                if self._current is not None:
                    self._current.used = self._event(stream)
                self._current, slot.taken = slot, True
            stream.wait_event(slot.copied)
        return from_array(sent)

    def _event(self, stream: Any) -> Any:
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(stream)
        return event
