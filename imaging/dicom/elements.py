"""Reading the elements of a DICOM header without trust: a value may be absent, empty, of another type or unreadable."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ImagingError, brief


def value_of(dataset: Any, keyword: str, path: str) -> Any:
    """The value of an element, None if it is absent or empty; an element that cannot be parsed is an ImagingError."""
    if keyword not in dataset:
        return None
    try:
        value = getattr(dataset, keyword)
    except Exception as error:  # pydicom raises many kinds here: NotImplementedError, struct.error, ValueError …
        raise ImagingError(path, f"the header element {keyword} cannot be read ({brief(error)})") from error
    if value is None or (isinstance(value, str | bytes) and not value) or (_is_list(value) and len(value) == 0):
        return None
    return value


def integer(dataset: Any, keyword: str, path: str, default: int | None = None) -> int:
    """A whole number; absent with no default, several values or text are ImagingErrors."""
    value = value_of(dataset, keyword, path)
    if value is None:
        if default is None:
            raise ImagingError(path, f"the header has no {keyword}")
        return default
    try:
        number = int(value)
        if number != float(value):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise ImagingError(path, f"{keyword} is {_shown(value)}, expected a whole number") from error
    return number


def numbers(dataset: Any, keyword: str, path: str, count: int | None = None) -> tuple[float, ...] | None:
    """The finite numbers of an element, None if absent; anything else, or not `count` of them, is an ImagingError."""
    value = value_of(dataset, keyword, path)
    if value is None:
        return None
    try:
        found = tuple(float(one) for one in (value if _is_list(value) else [value]))
    except (TypeError, ValueError) as error:
        raise ImagingError(path, f"{keyword} is {_shown(value)}, expected numbers") from error
    if not all(math.isfinite(one) for one in found):
        raise ImagingError(path, f"{keyword} is {_shown(value)}, expected finite numbers")
    if count is not None and len(found) != count:
        raise ImagingError(path, f"{keyword} has {len(found)} values, expected {count}")
    return found


def number(dataset: Any, keyword: str, path: str, default: float) -> float:
    """One finite number, `default` if absent."""
    found = numbers(dataset, keyword, path, count=1)
    return default if found is None else found[0]


def text(dataset: Any, keyword: str) -> str | None:
    """A text for information only: None when absent, empty or unreadable."""
    try:
        value = getattr(dataset, keyword, None)
        return None if value is None else str(value).strip() or None
    except Exception:  # a text that nobody computes with is not worth refusing the image for
        return None


def items(dataset: Any, keyword: str, path: str) -> list[Any]:
    """The items of a sequence, an empty list if it is absent."""
    value = value_of(dataset, keyword, path)
    if value is None:
        return []
    if not _is_list(value):
        raise ImagingError(path, f"{keyword} is {_shown(value)}, expected a sequence")
    return list(value)


def frame_item(dataset: Any, frame: int, keyword: str, path: str) -> Any:
    """The item of an enhanced object's functional group `keyword` for one frame: its own, else the shared one.

    None if it has neither. DICOM PS3.3 C.7.6.16.
    """
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence", path)
    groups = [per_frame[frame]] if frame < len(per_frame) else []
    groups += items(dataset, "SharedFunctionalGroupsSequence", path)[:1]
    for group in groups:
        found = items(group, keyword, path)
        if found:
            return found[0]
    return None


def _is_list(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes)


def _shown(value: Any) -> str:
    shown = repr(str(value))
    return shown if len(shown) <= 60 else f"{shown[:57]}…'"
