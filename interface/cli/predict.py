"""`tomograd predict`: masks or classes of new images, with the time that it took."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomograd.cli.options import Device, Force, check_device
from tomograd.failures import UserError

if TYPE_CHECKING:
    from tomograd.imaging import Image
    from tomograd.pipeline.recipe import Recipe

LIKELIEST = 3
IMAGE_KINDS = ("dicom", "png", "jpeg", "bmp", "tiff", "npy")


def command(
    model: Annotated[Path, typer.Argument(help="A model file, model.safetensors, written by demo or train.")],
    inputs: Annotated[list[Path], typer.Argument(help="Images (DICOM, PNG, TIFF, npz …) or folders of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the masks; made if absent.")] = Path(
        "predictions"
    ),
    device: Device = "cpu",
    force: Force = False,
) -> None:
    """Predict the masks or the classes of images.

    Masks go to OUTPUT/NAME_mask.png (0 and 255, or class numbers), NAME_mask.npz (mask, probability, spacing) and
    NAME_overlay.png. Classes are printed.
    """
    start = time.perf_counter()
    from tomograd.pipeline import recipe as recipes

    check_device(device)
    network, recipe = recipes.load(model)
    network.to(device)
    files = _files(inputs)
    times = {"load": time.perf_counter() - start, "compile": 0.0, "read": 0.0, "predict": 0.0}
    if recipe.task == "segment":
        _check_targets(files, output, force)
    with _folder(output, recipe.task == "segment") as folder:
        for number, (file, name) in enumerate(files):
            _one(network, recipe, file, folder / name, times, first=number == 0)
    if recipe.task == "segment":
        print(f"masks of {len(files)} file{'s' if len(files) > 1 else ''} in {output}")
    print("time: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items()))


def _one(network: Any, recipe: "Recipe", file: Path, target: Path, times: dict[str, float], first: bool) -> None:
    """Predict one file; write its mask to files that begin with `target`, or print its class; add up `times`."""
    import numpy as np

    from tomograd import imaging
    from tomograd.pipeline import prediction

    start = time.perf_counter()
    image = imaging.read(file)
    pixels = image.channels_last()
    slices = list(pixels) if pixels.ndim == 4 else [pixels]
    recipe.check(str(file), slices[0])
    _notes(recipe, image)
    times["read"] += time.perf_counter() - start
    if first:  # kernels are compiled, or loaded from the cache, when they first meet a kind of shape
        start = time.perf_counter()
        prediction.probabilities(network, recipe, [np.zeros_like(slices[0])])
        times["compile"] += time.perf_counter() - start
    start = time.perf_counter()
    found = prediction.probabilities(network, recipe, slices)
    seconds = time.perf_counter() - start
    times["predict"] += seconds
    if recipe.task == "classify":
        for number, probabilities in enumerate(found):
            where = f"{file}[{number}]" if len(found) > 1 else str(file)
            order = np.argsort(-probabilities, kind="stable")[:LIKELIEST]
            listed = ", ".join(f"{recipe.classes[i]} {probabilities[i]:.3f}" for i in order)
            print(f"{where}: {recipe.classes[order[0]]} ({listed})")
    else:
        masks = np.stack([recipe.decide(p) for p in found]).astype(np.uint8)
        _write(recipe, target, image, slices, masks, np.stack(found))
        print(f"{file}: {_found(recipe, masks)}; {seconds:.2f} s")


def _write(recipe: "Recipe", target: Path, image: "Image", slices: list[Any], masks: Any, probability: Any) -> None:
    """Mask as PNG and npz, and the overlay; several slices get numbered PNG files."""
    import numpy as np

    from tomograd import imaging
    from tomograd.pipeline.overlay import overlay

    target.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "mask": masks if len(masks) > 1 else masks[0],
        "probability": (probability if len(masks) > 1 else probability[0]).astype(np.float32),
        "classes": np.array(recipe.classes),
    }
    if image.spacing is not None:
        arrays["spacing"] = np.array([np.nan if s is None else s for s in image.spacing], np.float64)
    if image.affine is not None:
        arrays["affine"] = image.affine
    imaging.write_npz(f"{target}_mask.npz", arrays)
    for number, (pixels, mask) in enumerate(zip(slices, masks, strict=True)):
        suffix = f"_{number:03d}" if len(masks) > 1 else ""
        shown = mask * 255 if len(recipe.classes) == 2 else mask
        imaging.write_png(f"{target}_mask{suffix}.png", shown.astype(np.uint8))
        picture = recipe.normalization.display(pixels)
        picture = picture if picture.shape[-1] == 3 else picture[..., 0]
        imaging.write_png(f"{target}_overlay{suffix}.png", overlay(picture, mask))


def _found(recipe: "Recipe", masks: Any) -> str:
    """ "nodule 1.3% of the pixels", for each class but the background."""
    shares = [(recipe.classes[c], 100 * (masks == c).mean()) for c in range(1, len(recipe.classes))]
    return ", ".join(f"{name} {share:.2f}% of the pixels" for name, share in shares)


def _notes(recipe: "Recipe", image: "Image") -> None:
    """Say on stderr where an image is of another kind than those of the training."""
    if recipe.normalization.units != image.units and recipe.normalization.units is not None:
        units = recipe.normalization.units
        _note(f"{image.path}: its pixels are not known to be {units}, the model was trained on {units}")
    in_plane = [s for s in (image.spacing or ())[-2:] if s]
    if recipe.spacing and in_plane:
        ratio = (sum(in_plane) / len(in_plane)) / (sum(recipe.spacing) / 2)
        if not 1 / 1.5 < ratio < 1.5:
            _note(
                f"{image.path}: a pixel is {in_plane[0]:.2f} mm, in the training images {recipe.spacing[0]:.2f} mm: "
                "objects look {:.1f} times as large to the model".format(1 / ratio)
            )


def _note(text: str) -> None:
    print(f"tomograd: note: {text}", file=sys.stderr)


def _files(inputs: list[Path]) -> list[tuple[Path, str]]:
    """(file, name of its results) of those named, and of the images in the folders named: there with their sub-folders.
    A file that is named several times counts once.

    Raises UserError for a missing file, an empty folder, and two files whose results would have one name.
    """
    files: dict[Path, tuple[Path, str]] = {}
    for entry in inputs:
        if not entry.exists():
            raise UserError(entry, "no such file or folder")
        for file, name in _inside(entry) if entry.is_dir() else [(entry, _stem(entry))]:
            files.setdefault(file.resolve(), (file, name))
    owners: dict[str, Path] = {}
    for file, name in files.values():
        if name in owners:
            raise UserError(
                file, f"its mask would have the same name as that of {owners[name]}; predict them one by one"
            )
        owners[name] = file
    return list(files.values())


def _inside(folder: Path) -> list[tuple[Path, str]]:
    from tomograd import imaging

    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        with contextlib.suppress(imaging.ImagingError):  # an empty file is no image
            if imaging.kind_of(path) in IMAGE_KINDS:
                found.append((path, str(path.relative_to(folder).with_name(_stem(path)))))
    if not found:
        raise UserError(folder, "holds no image files")
    return found


def _stem(file: Path) -> str:
    return file.name.removesuffix(file.suffix)


def _check_targets(files: list[tuple[Path, str]], output: Path, force: bool) -> None:
    """Raise UserError where results are there already, or `output` cannot be a folder of results."""
    if output.exists() and not output.is_dir():
        raise UserError(output, "is a file; --output names a folder")
    for _, name in files:
        target = output / f"{name}_mask.npz"
        if target.exists() and not force:
            raise UserError(target, "exists already; choose another --output, or replace it with --force")


@contextlib.contextmanager
def _folder(output: Path, wanted: bool) -> Iterator[Path]:
    """A folder beside `output`; its files are moved into `output` when all are written, or removed on an error."""
    from tomograd.report.folder import partial

    if not wanted:
        yield output
        return
    work = partial(output)
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        yield work
        for file in sorted(path for path in work.rglob("*") if path.is_file()):
            target = output / file.relative_to(work)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    except OSError as error:
        raise UserError(output, f"cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
