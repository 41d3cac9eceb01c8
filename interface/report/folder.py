"""Output folders that are whole or not there at all: written beside their place, then renamed into it."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tomograd.failures import UserError


def partial(folder: Path) -> Path:
    """Where `folder` is written until it is whole: `NAME.partial` beside it."""
    folder = Path(folder).absolute()
    return folder.with_name(folder.name + ".partial")


def check_output(folder: Path, force: bool = False) -> None:
    """Raise UserError where `folder` cannot become an output folder: it exists, or its parent cannot be written."""
    folder = Path(folder)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(folder, "exists and is not a folder, so no report can be written there")
    if folder.exists() and not force and any(folder.iterdir()):
        raise UserError(folder, "exists already; choose another --output, or replace it with --force")
    parent = folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise UserError(folder, f"cannot be written: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(folder, f"cannot be written: no permission to write in {parent}")


@contextlib.contextmanager
def written_folder(folder: Path, force: bool = False, keep: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """Yield the folder to write into; on success it takes the name `folder`, on an error it is removed.

    keep: whether a folder holds what an interrupted run can go on from: what is already in `partial(folder)` stays
        then, and after an error the folder is left there if it does.

    Raises UserError where the folder cannot be written, or there is no room in it (an OSError that names no file).
    """
    check_output(folder, force)
    folder = Path(folder).absolute()
    work = partial(folder)
    try:
        if work.exists() and keep is None:
            shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(folder, f"cannot be written: {error.strerror or error}") from error
    try:
        yield work
        _replace(folder, work)
    except BaseException as error:
        if keep is None or not keep(work):
            shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise UserError(folder, f"cannot be written: {error.strerror or error}") from error
        raise


def _replace(folder: Path, work: Path) -> None:
    """Give `work` the name `folder`; what stood there is moved aside first and removed last."""
    aside = folder.with_name(folder.name + ".replaced")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        os.replace(folder, aside)
    os.replace(work, folder)
    shutil.rmtree(aside, ignore_errors=True)
