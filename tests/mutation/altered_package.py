"""The package with a bug, in a process of its own: its kernels have to be compiled from the altered sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from seeded import Bug, source_file, with_bug

PROGRAM = Path(__file__).with_name("cpu_checks.py")
THREADS = 2  # at least: one alone has no races
RACES = 100  # a thread that finds all processors busy comes too late to race: how often a race is waited for
LIMIT = 300  # seconds: with a bug, a loop may never end


def run_checks(check: str, folder: Path, bug: Bug | None = None) -> tuple[int, str]:
    """How `cpu_checks.py check` ends, and all that it prints, for the package as it is, or with a bug in it. The folder
    is for the altered sources and what is compiled from them."""
    environment = os.environ | {"TOMOGRAD_NUM_THREADS": str(THREADS)}
    if bug:
        _write_altered(bug, folder / "tomograd")
        environment |= {"PYTHONPATH": str(folder), "TOMOGRAD_CACHE": str(folder / "compiled")}
    times = RACES if bug and bug.is_race else 1
    command = [sys.executable, str(PROGRAM), check, str(times)]
    done = subprocess.run(command, env=environment, cwd=folder, timeout=LIMIT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def _write_altered(bug: Bug, package: Path) -> None:
    """A package `tomograd` that differs in one file of the kernels; all other parts are linked."""
    package.mkdir()
    for part in source_file("cli").parent.parent.iterdir():
        if part.name != "__pycache__":
            (package / part.name).symlink_to(part.resolve())
    for name in ("engine", "models", "imaging", "testing", "kernels"):
        (package / name).unlink(missing_ok=True)
        folder = source_file(name).parent.resolve()
        if name == "kernels":
            shutil.copytree(folder, package / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (package / name).symlink_to(folder)
    altered = package.joinpath(*bug.module.split(".")).with_suffix(".py")
    assert altered.is_file()
    altered.write_text(with_bug(bug), encoding="utf-8")
