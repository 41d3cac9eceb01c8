"""Tensor: an array that knows how it was computed, with NumPy's semantics.

Types. A tensor keeps the type of a floating array; lists of Python floats become float32. In arithmetic between two
tensors or arrays the wider floating type wins, and integers and booleans take the floating type that they meet
(float32 when there is none to meet), so that no label or mask turns a float32 computation into float64. A Python
number (np.float64 scalars are such) takes the type of what it meets. Only floating tensors can require a gradient.
float16 and bfloat16 (`ml_dtypes.bfloat16`, by name "bfloat16") are types to store in; where they meet each other the
result is float32.

Changes in place. Every tensor counts them, together with its views; only `assign`, `x[index] = value` and `changed`
make one. A gradient that needs an array which was changed since it was saved is an error, never a wrong number.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..kernels.half_precision import as_dtype, is_floating, is_half
from .device import computing_beside, device_of

Array: TypeAlias = Any  # np.ndarray, or cupy.ndarray on a GPU
Axis: TypeAlias = int | tuple[int, ...] | None

_new = object.__new__


class Tensor:
    """An array with a gradient.

    data: an array, a number, nested lists of numbers, or a tensor; it is copied. `as_tensor` does not copy.
    requires_grad: whether gradients with respect to it are to be computed.
    dtype: the type to convert to; else as this module's first paragraph says.

    Attributes: `array` (the array itself: read it, change it only through `assign`), `grad` (a Tensor or None),
    `requires_grad`, `node` (the function that made it, None for a leaf), `version` (the count of changes in place).

    Raises TypeError for data that are not numbers and for a non-floating tensor that is to require a gradient.
    """

    __slots__ = ("__weakref__", "_grad", "_mask", "_requires_grad", "array", "node", "version")

    _mask: Tensor | None  # see `masks`; not set unless there is one
    __array_ufunc__ = None  # ndarray * tensor is tensor.__rmul__, not an array of objects
    __array_priority__ = 1000

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        array = _to_array(data, dtype)
        source = data.array if isinstance(data, Tensor) else data
        if array is source or array.base is source or not array.flags.c_contiguous:
            with computing_beside(array):
                array = array.copy(order="C")
        self.array: Array = array
        self.node: tape.Function | None = None
        self.version = [0]
        self._grad: Tensor | None = None
        self._requires_grad = False
        self.requires_grad = requires_grad

    # ------------------------------------------------------------------------------------------------- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes"""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements"""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes"""
        return self.array.ndim

    @property
    def size(self) -> int:
        """The number of elements"""
        return self.array.size

    @property
    def device(self) -> str:
        """ "cpu", or "cuda:0" and so on."""
        return device_of(self.array)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients with respect to it are computed; a leaf of a floating type may be set so."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and not is_floating(self.array.dtype):
            raise TypeError(f"a tensor of type {self.dtype} cannot require a gradient: only floating types can")
        if self.node is not None and not value:
            raise RuntimeError("requires_grad of a computed tensor cannot be turned off; use detach()")
        self._requires_grad = bool(value)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward passes have added up for this leaf; None before the first. May be set."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            value = as_tensor(value)
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ValueError(
                    f"grad has shape {value.shape} and type {value.dtype}, "
                    f"but the tensor has shape {self.shape} and type {self.dtype}"
                )
        self._grad = value

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded function made it."""
        return self.node is None

    def __repr__(self) -> str:
        values = np.array2string(self._on_cpu(), separator=", ", prefix=f"{type(self).__name__}(")
        how = f", function={type(self.node).__name__}" if self.node else ", requires_grad=True"
        return f"{type(self).__name__}({values}, dtype={self.dtype}{how if self._requires_grad else ''})"

    # ------------------------------------------------------------------------------------------- into other things

    def numpy(self) -> np.ndarray:
        """The values as a read-only NumPy array: a view, or a copy if the tensor is on a GPU."""
        view = self._on_cpu().view()
        view.flags.writeable = False
        return view

    def _on_cpu(self) -> np.ndarray:
        return self.array if isinstance(self.array, np.ndarray) else self.array.get()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's functions of tensors: where tomograd has one of the name (np.sum, np.concatenate) it is called, and
        gives a tensor; all others see, and give, arrays without history."""
        name = function.__name__
        if function is getattr(np, name, None) and name in functions.__all__:
            return getattr(functions, name)(*args, **kwargs)
        return function(*_with_arrays(args), **{key: _with_arrays(value) for key, value in kwargs.items()})

    def item(self) -> float | int | bool:
        """The value of a tensor of one element, as a Python number."""
        if self.size != 1:
            raise ValueError(f"item() needs a tensor of one element, this one has shape {self.shape}")
        return self.array.item()

    def tolist(self) -> Any:
        """The values as Python's numbers, in lists as deep as there are axes"""
        return self.array.tolist()

    def detach(self) -> Tensor:
        """The same memory without its history: no gradient flows through it."""
        detached = from_array(self.array)
        detached.version = self.version
        if (mask := getattr(self, "_mask", None)) is not None:
            detached._mask = mask
        return detached

    def copy(self) -> Tensor:
        """A leaf of its own memory with the same values; it requires no gradient."""
        with computing_beside(self.array):
            return from_array(self.array.copy(order="C"))

    def to(self, device: str) -> Tensor:
        """The tensor on "cpu", "cuda" or "cuda:N"; itself if it is there already. Differentiable."""
        return functions.to_device(self, device)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, specification: str) -> str:
        """f"{loss:.4f}" for a tensor of one element, as for the number in it; without a specification str(self)."""
        return format(self.item(), specification) if specification else str(self)

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.ndim:
            raise TypeError(f"only an integer tensor of no dimensions is an index, not {self.dtype} of {self.shape}")
        return int(self.array)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous: use .any() or .all()")
        return bool(self.array)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a tensor of no dimensions")
        return self.array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a tensor of no dimensions")
        return (self[i] for i in range(self.array.shape[0]))

    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles keep the values and requires_grad, not the history and not the gradient. A pickle is for
        main memory; a deep copy lies where the tensor does."""
        return self._made_of(self._on_cpu())

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        make, (array, *others) = self._made_of(self.array)
        return make(array, *copy.deepcopy(others, memo))

    def _made_of(self, array: Array) -> tuple[Any, tuple[Any, ...]]:
        """What makes such a tensor of an array, and with which arguments."""
        return type(self), (array, self._requires_grad)

    # ---------------------------------------------------------------------------------------------- changes in place

    def assign(self, value: Any) -> None:
        """Overwrite the values in place; the type stays. `value` must have this tensor's shape.

        Raises RuntimeError for a tensor that was computed (its gradient would be that of the old values).
        """
        self._write(Ellipsis, value)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Overwrite a part in place. Raises RuntimeError where a gradient would be lost: see `assign`."""
        if isinstance(value, Tensor) and value._requires_grad and tape.recording():
            raise RuntimeError(
                "x[index] = value: value requires a gradient, which cannot flow through a change in place; "
                "use where or concatenate, or value.detach()"
            )
        self._write(functions.indexing.as_index(index), value)

    def _write(self, index: Any, value: Any) -> None:
        if self.node is not None:
            raise RuntimeError(
                f"a tensor computed by {type(self.node).__name__} cannot be changed in place; change a copy() of it"
            )
        if isinstance(value, Tensor):
            value = value.array
        value = beside(np.asarray(value) if not hasattr(value, "dtype") else value, self.array)
        index = functions.indexing.index_beside(index, self.array)
        if index is Ellipsis and value.shape != self.shape:
            raise ValueError(f"cannot assign values of shape {value.shape} to a tensor of shape {self.shape}")
        floating = is_floating(value.dtype)
        if not (floating or value.dtype.kind in "iub") or (floating and not is_floating(self.dtype)):
            raise TypeError(f"cannot assign values of type {value.dtype} to a tensor of type {self.dtype}")
        with computing_beside(self.array):
            self.array[index] = value
        self.changed()

    def changed(self) -> None:
        """Say that `array` was written to by other means, such as an optimizer's kernel: counts one change in place."""
        self.version[0] += 1

    # ------------------------------------------------------------------------------------------------------ gradient

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Add the gradient of ⟨gradient, self⟩ to `.grad` of every leaf that this tensor was computed from.

        gradient: an array or tensor of this tensor's shape; may be left out for a single number, where it is 1.
        create_graph: record the gradients themselves, so that they can be differentiated.
        retain_graph: keep the graph for another pass; as create_graph unless given. Otherwise the saved arrays are
            freed one by one as the pass goes.
        """
        tape.backward(self, gradient, retain_graph, create_graph)

    # ---------------------------------------------------------------------------------------------------- arithmetic

    def __add__(self, other: Any) -> Tensor:
        return functions.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return functions.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return functions.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return functions.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return functions.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return functions.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return functions.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return functions.divide(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return functions.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return functions.floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return functions.remainder(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return functions.remainder(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return functions.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return functions.power(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return functions.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return functions.matmul(other, self)

    def __neg__(self) -> Tensor:
        return functions.negative(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return functions.abs(self)

    def __invert__(self) -> Tensor:
        with computing_beside(self.array):
            return from_array(np.invert(self.array))

    # ------------------------------------------------------------------- comparisons: boolean tensors, no gradient

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _compare(np.equal, self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _compare(np.not_equal, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _compare(np.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return _compare(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _compare(np.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _compare(np.greater_equal, self, other)

    def __and__(self, other: Any) -> Tensor:
        return _compare(np.bitwise_and, self, other)

    def __or__(self, other: Any) -> Tensor:
        return _compare(np.bitwise_or, self, other)

    def __xor__(self, other: Any) -> Tensor:
        return _compare(np.bitwise_xor, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    # -------------------------------------------------------------------------------------------- shape and indexing

    def __getitem__(self, index: Any) -> Tensor:
        return functions.index(self, index)

    @property
    def T(self) -> Tensor:
        """The axes in reversed order"""
        return functions.transpose(self)

    def reshape(self, *shape: Any) -> Tensor:
        return functions.reshape(self, shape[0] if len(shape) == 1 else shape)

    def flatten(self) -> Tensor:
        """All elements on one axis"""
        return functions.reshape(self, -1)

    def transpose(self, *axes: Any) -> Tensor:
        return functions.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        return functions.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: Axis = None) -> Tensor:
        return functions.squeeze(self, axis)

    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        return functions.expand_dims(self, axis)

    def astype(self, dtype: Any) -> Tensor:
        return functions.astype(self, dtype)

    # ---------------------------------------------------------------------------------------------------- reductions

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.mean(self, axis, keepdims)

    def var(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return functions.var(self, axis, ddof, keepdims)

    def std(self, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
        return functions.std(self, axis, ddof, keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.prod(self, axis, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.max(self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.min(self, axis, keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return functions.argmax(self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return functions.argmin(self, axis, keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.any(self, axis, keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return functions.all(self, axis, keepdims)

    # --------------------------------------------------------------------------------------------------- elementwise

    def abs(self) -> Tensor:
        return functions.abs(self)

    def exp(self) -> Tensor:
        return functions.exp(self)

    def log(self) -> Tensor:
        return functions.log(self)

    def sqrt(self) -> Tensor:
        return functions.sqrt(self)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        return functions.clip(self, min, max)


# ------------------------------------------------------------------------------------------------------- construction


def from_array(array: Array) -> Tensor:
    """A tensor around an array, which is neither copied nor checked."""
    tensor = _new(Tensor)
    tensor.array = np.asarray(array) if isinstance(array, np.generic) else array
    tensor.node = None
    tensor.version = [0]
    tensor._grad = None
    tensor._requires_grad = False
    return tensor


def as_tensor(value: Any, dtype: Any = None) -> Tensor:
    """A tensor as it is, or one around an array without copying it; numbers and lists as Tensor(…) takes them."""
    if isinstance(value, Tensor) and (dtype is None or value.dtype == dtype):
        return value
    if isinstance(value, Tensor):
        return functions.astype(value, dtype)
    return from_array(_to_array(value, dtype))


def _to_array(data: Any, dtype: Any) -> Array:
    """The array for a tensor: a copy only where the type or the byte order has to change."""
    if isinstance(data, Tensor):
        data = data.array
    if is_array(data):
        array = data
    else:
        array = np.array(data)
        if array.dtype == np.float64 and not _holds_arrays(data):
            array = array.astype(np.float32)
    if dtype is not None:
        with computing_beside(array):
            array = array.astype(as_dtype(dtype), copy=False)
    if array.dtype.kind not in "fiub" and not is_floating(array.dtype):
        raise TypeError(
            f"a tensor holds floating, integer or boolean numbers, not {array.dtype} (given a {type(data).__name__})"
        )
    if isinstance(array, np.ndarray) and (type(array) is not np.ndarray or not array.dtype.isnative):
        array = np.asarray(array).astype(array.dtype.newbyteorder("="), copy=False)
    return array


def is_array(value: Any) -> bool:
    """Whether it is a NumPy array or, without importing CuPy, a CuPy array."""
    return isinstance(value, np.ndarray) or type(value).__module__.partition(".")[0] == "cupy"


def library_of(array: Array) -> Any:
    """The array library that an array belongs to: the module numpy or cupy."""
    return np if isinstance(array, np.ndarray) else sys.modules["cupy"]


def beside(value: Array, x: Array) -> Array:
    """An array through which no gradient flows (an index, a mask, labels), where x lies: from main memory it goes to
    x's GPU."""
    if isinstance(x, np.ndarray) or not isinstance(value, np.ndarray):
        return value
    with x.device:
        return library_of(x).asarray(value)


def _with_arrays(value: Any) -> Any:
    """Arguments of a NumPy function with arrays for the tensors, also for those in lists and tuples."""
    if isinstance(value, (list, tuple)):
        return type(value)([_with_arrays(entry) for entry in value])
    return value.numpy() if isinstance(value, Tensor) else value


def _holds_arrays(data: Any) -> bool:
    """Whether nested sequences hold arrays or NumPy scalars, whose float64 is meant, and not Python floats."""
    while isinstance(data, Sequence) and not isinstance(data, str) and len(data):
        data = data[0]
    return hasattr(data, "dtype")


# ------------------------------------------------------------------------------------------------------------- types


def common_dtype(x: np.dtype, y: np.dtype) -> np.dtype:
    """The type in which two arrays meet: the wider floating type, which integers take; NumPy's rule for the rest."""
    if x == y:
        return x
    if is_floating(x) != is_floating(y):
        return x if is_floating(x) else y
    if is_half(x) and is_half(y):
        return np.dtype(np.float32)
    return np.result_type(x, y)


def number_dtype(number: float, dtype: np.dtype) -> np.dtype:
    """The type that a Python number takes where it meets an array of type `dtype`."""
    if is_floating(dtype) or isinstance(number, bool):
        return dtype
    if isinstance(number, float):
        return np.dtype(np.float32)
    return np.dtype(np.int64) if dtype.kind == "b" else dtype


def operands(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Two operands as tensors of one type."""
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        if x.array.dtype is y.array.dtype:
            return x, y
    elif isinstance(y, (int, float)):
        x = as_tensor(x)
        dtype = x.array.dtype
        y = from_array(np.array(y, dtype=dtype if is_floating(dtype) else number_dtype(y, dtype)))
    elif isinstance(x, (int, float)):
        y, x = operands(y, x)
    else:
        x, y = _list_beside(x, y), _list_beside(y, x)
    if x.array.dtype != y.array.dtype:
        dtype = common_dtype(x.array.dtype, y.array.dtype)
        x, y = as_tensor(x, dtype), as_tensor(y, dtype)
    return x, y


def _list_beside(value: Any, other: Any) -> Tensor:
    """An operand as a tensor; Python's numbers in a list go where a tensor lies that they meet."""
    tensor = as_tensor(value)
    if isinstance(value, (list, tuple)) and isinstance(other, Tensor):
        tensor = from_array(beside(tensor.array, other.array))
    return tensor


def _compare(ufunc: np.ufunc, x: Tensor, y: Any) -> Any:
    if isinstance(y, Tensor):
        y = y.array
    elif not (isinstance(y, (int, float, np.generic, list, tuple)) or is_array(y)):
        return NotImplemented
    if isinstance(y, (list, tuple)):
        y = beside(np.asarray(y), x.array)
    return from_array(apply(ufunc, x.array, y))


# Last, since these are written in terms of Tensor, or of kernels that load when first used.
from . import functions, tape  # noqa: E402
from .arrays import apply  # noqa: E402
