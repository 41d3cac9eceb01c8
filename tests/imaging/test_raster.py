"""PNG, TIFF, JPEG and BMP: what is written is read, and what is damaged is refused."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from tomograd.imaging import ImagingError, read, write_png
from tomograd.imaging.files import written

GENERATOR = np.random.default_rng(1)
GREY = GENERATOR.integers(0, 256, (13, 17), np.uint8)
COLOR = GENERATOR.integers(0, 256, (13, 17, 3), np.uint8)
STACK = GENERATOR.integers(0, 65536, (5, 13, 17), np.uint16)


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    kind=st.sampled_from(["uint8", "uint16", "bool", "color"]),
    seed=st.integers(0, 9),
)
def test_png_round_trip(tmp_path_factory, height, width, kind, seed):
    generator = np.random.default_rng(seed)
    shape = (height, width, 3) if kind == "color" else (height, width)
    largest = {"uint16": 65535, "bool": 1}.get(kind, 255)
    pixels = generator.integers(0, largest, shape, endpoint=True).astype("uint8" if kind == "color" else kind)
    path = tmp_path_factory.mktemp("png") / "a.png"
    write_png(path, pixels)
    image = read(path)
    assert np.array_equal(image.pixels, pixels * (255.0 if kind == "bool" else 1.0))
    assert image.color == (kind == "color")
    assert image.value_range == (0, 65535 if kind == "uint16" else 255)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2)), np.zeros((2, 2), np.int32), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_a_png_never_rounds(tmp_path, pixels):
    with pytest.raises(ImagingError, match="a PNG cannot hold"):
        write_png(tmp_path / "a.png", pixels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (GREY, {}),
        (GREY, {"compression": "zlib"}),
        (COLOR, {"photometric": "rgb"}),
        (np.moveaxis(COLOR, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
        (STACK, {"photometric": "minisblack"}),
        (STACK, {"imagej": True}),
        (np.stack([COLOR, COLOR[::-1]]), {"photometric": "rgb"}),
        (GENERATOR.standard_normal((4, 5, 6)).astype(np.float32), {"photometric": "minisblack"}),
        (GENERATOR.integers(-99, 99, (5, 6), np.int16), {}),
        (GREY, {"tile": (16, 16)}),
        (GREY, {"byteorder": ">"}),
        (GREY, {"bigtiff": True}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else f"{value.dtype}{value.shape}",
)
def test_tiff(tmp_path, pixels, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **options)
    image = read(path)
    expected = np.moveaxis(pixels, 0, -1) if options.get("planarconfig") else pixels
    assert np.array_equal(image.pixels, expected)
    assert image.color == ("rgb" in options.values())


@pytest.mark.parametrize("compression", ["tiff_lzw", "group4", "jpeg"])
def test_tiff_compressions_that_only_pillow_knows(tmp_path, compression):
    path = tmp_path / "a.tif"
    pixels = GREY > 99 if compression == "group4" else np.full((16, 16), 77, np.uint8)
    Picture.fromarray(pixels).save(path, compression=compression)
    np.testing.assert_allclose(read(path).pixels, pixels, atol=2 if compression == "jpeg" else 0)


def test_tiff_white_is_zero_is_turned(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="miniswhite")
    assert np.array_equal(read(tmp_path / "a.tif").pixels, 255 - GREY)


def test_palettes_become_colours(tmp_path):
    colormap = GENERATOR.integers(0, 65536, (3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=colormap)
    assert np.array_equal(read(tmp_path / "a.tif").pixels, np.moveaxis(colormap[:, GREY], 0, -1))
    picture = Picture.fromarray(GREY)
    colors = GENERATOR.integers(0, 256, (256, 3), np.uint8)
    picture.putpalette(colors.ravel().tolist())
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png").pixels, colors[GREY])


@pytest.mark.parametrize("suffix", ["png", "bmp", "jpg"])
def test_the_kind_is_told_by_content_not_by_name(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Picture.fromarray(np.full((9, 9), 100, np.uint8)).save(path)
    path = path.rename(tmp_path / "a.dat")
    np.testing.assert_allclose(read(path).pixels, 100, atol=1)


def test_alpha_is_dropped_and_one_bit_is_black_and_white(tmp_path):
    Picture.fromarray(np.dstack([COLOR, GREY])).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png").pixels, COLOR)
    Picture.fromarray(GREY > 99).save(tmp_path / "b.png")
    assert np.array_equal(read(tmp_path / "b.png").pixels, 255.0 * (GREY > 99))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "zlib.tif", "stack.tif"])
def test_truncated(tmp_path, name, share):
    path = tmp_path / name
    pixels = GENERATOR.integers(0, 256, (40, 50), np.uint8)
    if name == "stack.tif":
        tifffile.imwrite(path, np.stack([pixels] * 3), photometric="minisblack")
    elif name.endswith(".tif"):
        tifffile.imwrite(path, pixels, compression="zlib" if "zlib" in name else None)
    else:
        Picture.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ImagingError) as caught:
        read(path)
    assert str(path) in str(caught.value)


def png(width, height, depth=8, color=0):
    """A PNG of zeros, packed as small as can be."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(width * depth // 8 * {0: 1, 2: 3}[color] + 1)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_small_file_of_many_pixels_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(9000, 9000))
    assert path.stat().st_size < 100_000
    with pytest.raises(ImagingError, match=r"would take 309\.0 MiB of memory.*budget"):
        read(path)
    path.write_bytes(png(20000, 10000))
    with pytest.raises(ImagingError, match="pixels, the most that Pillow unpacks"):
        read(path)
    tifffile.imwrite(tmp_path / "bomb.tif", np.zeros((9000, 9000), np.uint8), compression="zlib")
    with pytest.raises(ImagingError, match="budget"):
        read(tmp_path / "bomb.tif")


def test_the_budget_is_the_callers_to_set(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, GREY)
    assert read(path, budget=4 * GREY.size).pixels.shape == GREY.shape
    with pytest.raises(ImagingError, match="budget"):
        read(path, budget=4 * GREY.size - 1)


def test_sixteen_bit_colours_in_png_are_refused_rather_than_halved(tmp_path):
    (tmp_path / "deep.png").write_bytes(png(4, 4, depth=16, color=2))
    with pytest.raises(ImagingError, match="16-bit colours"):
        read(tmp_path / "deep.png")


def test_pages_that_make_no_volume(tmp_path):
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as writer:
        writer.write(GREY)
        writer.write(GREY[:5])
    with pytest.raises(ImagingError, match="images of different sizes"):
        read(tmp_path / "sizes.tif")
    tifffile.imwrite(tmp_path / "five.tif", np.zeros((2, 3, 4, 5), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(ImagingError, match="expected one image or one stack"):
        read(tmp_path / "five.tif")


def test_nan_pixels(tmp_path):
    tifffile.imwrite(tmp_path / "nan.tif", np.array([[1, np.nan], [np.inf, 0]], np.float32))
    with pytest.raises(ImagingError, match=r"2 of 4 pixels are NaN or infinite, the first at \(0, 1\)"):
        read(tmp_path / "nan.tif")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"II*\0", b"\xff\xd8\xff", b"BM"])
def test_no_image_at_all(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImagingError) as caught:
        read(tmp_path / "a.png")
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    import os

    path = tmp_path / "a.png"
    write_png(path, GREY)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImagingError, match=r"a\.png: cannot be written \(No space left on device\); what stood there"):
        write_png(path, GREY[::-1])
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]


def test_writing_into_a_missing_folder(tmp_path):
    with pytest.raises(ImagingError, match="cannot be written: there is no folder"):
        write_png(tmp_path / "missing" / "a.png", GREY)
    with pytest.raises(ImagingError, match="cannot be written: is a folder"):
        write_png(tmp_path, GREY)


def test_what_a_killed_writer_left_is_removed(tmp_path):
    script = (
        "import os, signal, sys\nfrom tomograd.imaging.files import written\n"
        "with written(sys.argv[1]) as file:\n    file.write(b'half')\n    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "a.png"
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"half"
    (tmp_path / ".a.png.part").write_text("a user's")
    write_png(path, GREY)
    assert sorted(one.name for one in tmp_path.iterdir()) == [".a.png.part", "a.png"]
    assert np.array_equal(read(path).pixels.squeeze(), GREY)


def test_libraries_may_go_back_in_what_they_write(tmp_path):
    with written(tmp_path / "a") as file:
        file.write(b"-----")
        file.seek(1)
        assert file.read(2) == b"--"
        file.seek(0)
        file.write(b"+")
    assert (tmp_path / "a").read_bytes() == b"+----"
