"""`UserError`: what the user can put right, in one sentence that names the file and the reason."""

from os import PathLike, fspath


class UserError(Exception):
    """A wrong argument or file. `UserError(path, reason)` reads "path: reason", `UserError(None, reason)` "reason"."""

    def __init__(self, path: str | PathLike[str] | None, reason: str) -> None:
        self.path = None if path is None else fspath(path)
        self.reason = " ".join(str(reason).split())
        super().__init__(self.reason if self.path is None else f"{self.path}: {self.reason}")
