"""Checks of numbers that are given as arguments, and of arguments of Keras's that are not supported."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def in_range(
    name: str,
    argument: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """`value` as a float, if it is a finite number with least ≤ value ≤ most and above < value < below.

    Raises TypeError for what is not a number, ValueError for one out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: {argument} = {value!r}: expected a number")
    if not (math.isfinite(value) and least <= value <= most and above < value < below):
        bounds = [f"at least {least}"] * (least > -math.inf) + [f"more than {above}"] * (above > -math.inf)
        bounds += [f"at most {most}"] * (most < math.inf) + [f"less than {below}"] * (below < math.inf)
        expected = ", ".join(["a finite number"] + [" and ".join(bounds)] * bool(bounds))
        raise ValueError(f"{name}: {argument} = {value!r}: expected {expected}")
    return float(value)


def whole_number(name: str, argument: str, value: Any, least: int) -> int | None:
    """`value` as an int of at least `least`, or None. Raises TypeError for another type, ValueError for less."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: {argument} = {value!r}: expected a whole number or None")
    if value < least:
        raise ValueError(f"{name}: {argument} = {value!r}: expected at least {least}, or None")
    return int(value)


def not_supported(name: str, argument: str, value: Any, *without: Any) -> None:
    """Raise ValueError unless `value` is one of those that ask for nothing that is not there."""
    if not any(value is one or (np.isscalar(value) and value == one) for one in without):
        raise ValueError(f"{name}: {argument} = {value!r} is not supported; leave it out")
