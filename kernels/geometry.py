"""Sizes of windows: strides, padding and output sizes of convolution and pooling, from what users write to tuples of
ints.

Pure Python on ints, one entry for each spatial dimension. Notation: i input size, o output size, k kernel size, s
stride, d dilation rate, k_eff = (k − 1)·d + 1 the extent of the dilated kernel, p padding.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeGuard

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def per_dimension(value: int | Sequence[int], dimensions: int, argument: str) -> Sizes:
    """One positive int for each of the `dimensions` spatial dimensions: an int is repeated, a sequence must have that
    length.

    Raises TypeError for anything but ints, ValueError for a wrong length or a value below 1; both name the `argument`.
    """
    sizes = _ints(value, dimensions, argument)
    if min(sizes) < 1:
        raise ValueError(f"{argument} = {value!r}: expected positive integers")
    return sizes


def resolve_padding(
    padding: str | int | Sequence[Any], input_size: Sizes, kernel_size: Sizes, strides: Sizes, dilation_rate: Sizes
) -> Pairs:
    """The padding as a (before, after) pair for each spatial dimension.

    `padding` is one of
    - "valid": none;
    - "same": o = ⌈i / s⌉. The total is max((⌈i/s⌉ − 1)·s + k_eff − i, 0), half of it before, rounded down (the rule
      of TensorFlow and Keras: the odd one comes after);
    - an int: as much on both sides of every dimension;
    - an int for each dimension: as much on both sides of it;
    - a (before, after) pair for each dimension.

    Raises ValueError for an unknown word, a wrong length or a negative value, TypeError for anything else.
    """
    dimensions = len(input_size)
    if isinstance(padding, str):
        word = padding.lower()
        if word == "valid":
            return ((0, 0),) * dimensions
        if word == "same":
            return tuple(map(_same_padding, input_size, kernel_size, strides, dilation_rate))
        raise ValueError(f'padding = {padding!r}: expected "valid", "same", integers or (before, after) pairs')
    if _is_sequence(padding) and any(_is_sequence(entry) for entry in padding):
        return _pairs(padding, dimensions)
    sizes = _ints(padding, dimensions, "padding")
    if min(sizes) < 0:
        raise ValueError(f"padding = {padding!r}: expected non-negative integers")
    return tuple((size, size) for size in sizes)


def dilated_size(kernel_size: Sizes, dilation_rate: Sizes) -> Sizes:
    """k_eff = (k − 1)·d + 1: how far the taps of a dilated kernel reach."""
    return tuple((k - 1) * d + 1 for k, d in zip(kernel_size, dilation_rate, strict=True))


@lru_cache(maxsize=1024)
def conv_output_size(
    input_size: Sizes, kernel_size: Sizes, strides: Sizes, padding_pairs: Pairs, dilation_rate: Sizes
) -> Sizes:
    """o = ⌊(i + before + after − k_eff) / s⌋ + 1, the number of windows that fit the padded input.

    Raises ValueError when a window is larger than the padded input.
    """
    extent = dilated_size(kernel_size, dilation_rate)
    padded = tuple(i + before + after for i, (before, after) in zip(input_size, padding_pairs, strict=True))
    if any(k > i for k, i in zip(extent, padded, strict=True)):
        dilated = f" (with dilation_rate {dilation_rate}: {extent})" if extent != kernel_size else ""
        raise ValueError(
            f"a window of size {kernel_size}{dilated} is larger than the padded input of size {padded} "
            f"(input size {input_size}, padding {padding_pairs})"
        )
    return tuple((i - k) // s + 1 for i, k, s in zip(padded, extent, strides, strict=True))


pool_output_size = conv_output_size


def conv_transpose_geometry(
    input_size: Sizes,
    kernel_size: Sizes,
    strides: Sizes,
    padding: str | int | Sequence[Any],
    output_padding: int | Sequence[int] | None,
    dilation_rate: Sizes,
) -> tuple[Sizes, Pairs]:
    """Output size of a transposed convolution, and the padding of the convolution that it is the transpose of.

    That convolution leads back, from the output of this size to the input: `conv_output_size(output_size,
    kernel_size, strides, padding_pairs, dilation_rate) == input_size`. With op the output padding (0 ≤ op < s):

    - "valid": o = (i − 1)·s + max(k_eff, s), or (i − 1)·s + k_eff + op if op is given;
    - "same": o = i·s, or (i − 1)·s + k_eff − 2⌊k_eff/2⌋ + op if op is given;
    - ints or pairs: o = (i − 1)·s + k_eff − before − after + op, and op is 0 if not given.

    The first two are Keras's rules, the third is PyTorch's. Raises ValueError for an output padding outside 0 … s − 1
    and for an empty output.
    """
    dimensions = len(input_size)
    extent = dilated_size(kernel_size, dilation_rate)
    extra = _output_padding(output_padding, strides, dimensions)
    span = tuple((i - 1) * s + k for i, s, k in zip(input_size, strides, extent, strict=True))
    word = padding.lower() if isinstance(padding, str) else None
    if word != "same":
        pairs = resolve_padding(padding, input_size, kernel_size, strides, dilation_rate)
        if extra is None:
            extra = tuple(max(s - k, 0) if word == "valid" else 0 for s, k in zip(strides, extent, strict=True))
        output_size = tuple(n - sum(pair) + op for n, pair, op in zip(span, pairs, extra, strict=True))
    elif extra is None:  # i·s, padded as the convolution back with "same"
        output_size = tuple(map(operator.mul, input_size, strides))
        pairs = resolve_padding("same", output_size, kernel_size, strides, dilation_rate)
    else:
        totals = [2 * (k // 2) - op for k, op in zip(extent, extra, strict=True)]
        output_size = tuple(map(operator.sub, span, totals))
        pairs = tuple(map(_halves, totals))
    if min(output_size) < 1:
        raise ValueError(
            f"transposed convolution: an input of size {input_size} with kernel_size {kernel_size}, strides {strides}, "
            f"padding {padding!r} and output_padding {output_padding!r} gives an output of size {output_size}; "
            "expected at least 1 in every dimension"
        )
    return output_size, pairs


def reject_windows_of_padding(
    input_size: Sizes, pool_size: Sizes, strides: Sizes, padding_pairs: Pairs, dilation_rate: Sizes
) -> None:
    """Raise ValueError if some pooling window lies in the padding altogether: it has neither a maximum nor a mean."""
    output_size = pool_output_size(input_size, pool_size, strides, padding_pairs, dilation_rate)
    for axis, (i, k, s, pair, d, o) in enumerate(
        zip(input_size, pool_size, strides, padding_pairs, dilation_rate, output_size, strict=True)
    ):
        # Without dilation only the first and the last window can miss the input; with gaps any can step over it.
        windows = (0, o - 1) if d == 1 else range(o)
        for window in windows if any(pair) else ():
            first = window * s - pair[0]
            if not any(0 <= first + tap * d < i for tap in range(k)):
                raise ValueError(
                    f"padding {pair} in spatial dimension {axis}: pooling window {window} (pool_size {k}, "
                    f"dilation_rate {d}) holds nothing of the input of size {i}"
                )


def _same_padding(i: int, k: int, s: int, d: int) -> tuple[int, int]:
    return _halves((-(-i // s) - 1) * s + (k - 1) * d + 1 - i)


def _halves(total: int) -> tuple[int, int]:
    """A padding of so many positions, or of none if that is negative: half of it before, the odd one after."""
    total = max(total, 0)
    return total // 2, total - total // 2


def _pairs(padding: Sequence[Any], dimensions: int) -> Pairs:
    if len(padding) != dimensions or not all(_is_sequence(pair) and len(pair) == 2 for pair in padding):
        raise ValueError(f"padding = {padding!r}: expected a (before, after) pair for each of {dimensions} dimensions")
    pairs = tuple(_ints(pair, 2, "padding") for pair in padding)
    if any(min(pair) < 0 for pair in pairs):
        raise ValueError(f"padding = {padding!r}: expected non-negative integers")
    return tuple((before, after) for before, after in pairs)


def _output_padding(output_padding: int | Sequence[int] | None, strides: Sizes, dimensions: int) -> Sizes | None:
    if output_padding is None:
        return None
    sizes = _ints(output_padding, dimensions, "output_padding")
    if not all(0 <= op < s for op, s in zip(sizes, strides, strict=True)):
        raise ValueError(f"output_padding = {output_padding!r}: expected at least 0 and less than strides = {strides}")
    return sizes


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    return hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, (str, bytes, dict))


def _ints(value: Any, length: int, argument: str) -> Sizes:
    """`value` as a tuple of `length` ints; a single int is repeated."""
    entries = list(value) if _is_sequence(value) else [value] * length
    try:
        if any(isinstance(entry, bool) for entry in entries):
            raise TypeError
        sizes = tuple(operator.index(entry) for entry in entries)
    except TypeError:
        raise TypeError(f"{argument} = {value!r}: expected an integer, or {length} integers") from None
    if len(sizes) != length:
        raise ValueError(f"{argument} = {value!r}: expected an integer, or {length} integers, got {len(sizes)}")
    return sizes
