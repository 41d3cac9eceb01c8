"""Options that several commands share, and how their values are read."""

from pathlib import Path
from typing import Annotated

import typer

from tomograd.failures import UserError

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write; it must not exist yet, or see --force.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Seed = Annotated[int, typer.Option(help="Fixes every random choice.", min=0, max=2**32 - 1)]
Data = Annotated[
    Path, typer.Argument(help="A folder of images (with masks, or one folder a class), DICOM, npz or idx files.")
]
SelectTest = Annotated[
    str | None, typer.Option(help="Images to test on, by number in the order of their names: 24-29 or 1,3,5-9.")
]

Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda (an NVIDIA GPU) or cuda:1, cuda:2, …")]


def check_device(device: str) -> None:
    """Raise UserError, before any work is done, for a device that is unknown or cannot be used."""
    from tomograd.engine import DeviceError
    from tomograd.engine.device import checked, gpu_library

    try:
        if checked(device) != "cpu":
            gpu_library(device)
    except ValueError:
        raise UserError(None, f"--device {device!r} is unknown; it is cpu, cuda or cuda:N") from None
    except (ImportError, DeviceError) as error:
        raise UserError(None, f"--device {device}: {error}") from error


def numbers(text: str | None, option: str) -> list[int] | None:
    """ "0-3,7" → [0, 1, 2, 3, 7]. Raises UserError naming the option."""
    if text is None:
        return None
    chosen: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise UserError(None, f"{option} {text!r} is not a list of numbers and ranges such as 0-23 or 1,3,5-9")
        chosen.extend(range(int(first), int(last or first) + 1))
    return list(dict.fromkeys(chosen))


def window(text: str | None) -> tuple[float, float] | None:
    """ "-600,1500" → (level, width)."""
    if text is None:
        return None
    try:
        level, width = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(None, f"--window {text!r} is not LEVEL,WIDTH, such as --window=-600,1500") from None
    if not width > 0:
        raise UserError(None, f"--window {text!r}: the width must be above 0")
    return level, width
