"""Lays the checkout out as the package `tomograd`, in a folder of links, where it is not installed:

    python benchmarks/as_package.py FOLDER && PYTHONPATH=FOLDER python -m tomograd …

Imports nothing of tomograd. What lies where is setup.py's to say.
"""

import sys
from pathlib import Path
from unittest import mock

CHECKOUT = Path(__file__).resolve().parents[1]


def lay_out(folder: Path) -> Path:
    """Make folder/tomograd: everything in interface/, and the other folders beside it. Links that are there are made
    anew. Gives the folder."""
    package = folder / "tomograd"
    package.mkdir(parents=True, exist_ok=True)
    for source in [*sorted((CHECKOUT / "interface").iterdir()), *(CHECKOUT / name for name in folders())]:
        link = package / source.name
        if link.is_symlink():
            link.unlink()
        if source.name != "__pycache__":
            link.symlink_to(source, target_is_directory=source.is_dir())
    return folder


def folders() -> list[str]:
    """The folders at the top that lie inside the package."""
    sys.path.insert(0, str(CHECKOUT))
    with mock.patch.dict(sys.modules, {"setuptools": mock.MagicMock()}):  # which may be missing, and is not needed here
        import setup
    return setup.FOLDERS


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lay_out(Path(sys.argv[1]))
