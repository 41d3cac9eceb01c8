"""The floating types of 16 bits: NumPy's float16, and bfloat16, which the package ml_dtypes gives NumPy and CuPy.

Arrays are stored in them to halve the bytes that are moved; kernels that take them sum in float32. bfloat16 has
float32's exponents and 8 binary digits, float16 has 11 digits and no number beyond 65504. An array that is there says
of itself that it is bfloat16: ml_dtypes is imported only to make one.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def is_bfloat16(dtype: np.dtype) -> bool:
    """Whether a type is ml_dtypes' bfloat16, which is of no kind that NumPy knows."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


def is_half(dtype: np.dtype) -> bool:
    """Whether numbers of a type are floating and have 16 bits."""
    return dtype == np.float16 or is_bfloat16(dtype)


def is_floating(dtype: np.dtype) -> bool:
    """Whether a type is floating, bfloat16 among them."""
    return dtype.kind == "f" or is_bfloat16(dtype)


def same_kind(x: np.dtype, y: np.dtype) -> bool:
    """Whether both are floating, or of one other kind of NumPy's."""
    return x.kind == y.kind or (is_floating(x) and is_floating(y))


def bfloat16() -> np.dtype:
    """The type bfloat16. Raises ImportError, saying what to install, where ml_dtypes is missing."""
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError(
            f'bfloat16 needs ml_dtypes: pip install ml_dtypes, or "tomograd[cuda]"; importing it says: {error}'
        ) from error
    return np.dtype(ml_dtypes.bfloat16)


def as_dtype(dtype: Any) -> np.dtype:
    """The type that `dtype` names, "bfloat16" among them. Raises as `bfloat16`, and TypeError for what is no type."""
    return bfloat16() if isinstance(dtype, str) and dtype == "bfloat16" else np.dtype(dtype)
