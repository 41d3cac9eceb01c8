"""The error of this package: a file or folder that cannot be used, and why, in one sentence."""

from __future__ import annotations

from os import PathLike, fspath


class ImagingError(ValueError):
    """A file, folder or array that cannot be used as a medical image.

    `ImagingError(path, reason)` reads "path: reason" on one line; `path` is None where no file is to blame.
    Both are attributes, so that a program can show them apart.
    """

    def __init__(self, path: str | PathLike[str] | None, reason: str) -> None:
        self.path = None if path is None else fspath(path)
        self.reason = " ".join(str(reason).split())
        super().__init__(self.path, self.reason)

    def __str__(self) -> str:
        return self.reason if self.path is None else f"{self.path}: {self.reason}"


def brief(error: BaseException) -> str:
    """What another library said, short enough for one sentence of ours: its first line, at most 160 characters."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    first = lines[0].strip().rstrip(":")
    if len(lines) > 1 and len(first) < 80:  # such as "all plugins failed:" and then why
        first = f"{first}: {lines[1].strip()}"
    return first if len(first) <= 160 else f"{first[:157]}…"
