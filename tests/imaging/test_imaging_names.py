"""The package's names: all there, found when they are used, nothing heavy imported before."""

import pickle
import subprocess
import sys

import pytest

from tomograd import imaging
from tomograd.imaging import ImagingError, extras


def test_every_name_is_found():
    for name in imaging.__all__:
        assert getattr(imaging, name) is not None
    assert callable(imaging.window)
    assert set(imaging.__all__) <= set(dir(imaging))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = imaging.nothing


def test_reading_a_png_does_not_load_dicom_or_scipy(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from tomograd.imaging import Batches, RandomFlip, read, write_png\n"
        "write_png('a.png', np.zeros((3, 4), np.uint8)); read('a.png')\n"
        "print(sorted(set(sys.modules) & {'pydicom', 'scipy', 'tifffile', 'numba', 'matplotlib'}))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stdout.strip() == "[]"


def test_an_error_is_one_sentence_and_travels():
    error = ImagingError("scan.dcm", "has no\n  Rows")
    assert str(error) == "scan.dcm: has no Rows"
    assert (error.path, error.reason) == ("scan.dcm", "has no Rows")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(ImagingError(None, "no file to blame")) == "no file to blame"
    assert isinstance(error, ValueError)


def test_nothing_is_shown_on_the_terminal(dicom_folder, tmp_path):
    """pydicom warns of odd values and tifffile logs what is damaged: neither reaches the user's terminal."""
    script = (
        "import sys, numpy as np, tifffile\n"
        "from tomograd.imaging import ImagingError, read\n"
        f"read({str(dicom_folder / 'misc' / 'chrX1.dcm')!r})\n"
        f"read({str(dicom_folder / 'malformed' / 'bad_sequence.dcm')!r})\n"
        "tifffile.imwrite('a.tif', np.zeros((2, 7, 5, 3), np.uint8), photometric='rgb')\n"
        "content = open('a.tif', 'rb').read()\n"
        "open('a.tif', 'wb').write(content[:-20])\n"
        "try:\n    read('a.tif')\nexcept ImagingError as error:\n    print(error)\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stderr == ""
    assert shown.stdout.startswith("a.tif: is damaged")


def test_a_missing_library_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImagingError, match=r'a\.png: needs the package pillow.*pip install "tomograd\[imaging\]"'):
        extras.require("PIL.Image", "a.png")


def test_a_missing_decoder_says_how_to_get_it(dicom_folder, monkeypatch):
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEG2000Lossless

    monkeypatch.setattr(get_decoder(JPEG2000Lossless), "_available", {})
    with pytest.raises(ImagingError, match=r'JPEG 2000.*needs a decoder: pip install "tomograd\[imaging\]"'):
        imaging.read(dicom_folder / "transfer_syntaxes" / "ct_j2k_lossless.dcm")
