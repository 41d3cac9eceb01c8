"""`tomograd info`: what a file or folder is: DICOM, picture, arrays, model."""

import contextlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomograd.failures import UserError

if TYPE_CHECKING:
    from tomograd.imaging import Image

Facts = list[tuple[str, str]]


def command(
    file: Annotated[
        Path, typer.Argument(help="A DICOM file, a picture, an npz, npy or idx file, a model, or a folder.")
    ],
) -> None:
    """Say what a file or folder is, and what tomograd reads from it."""
    if not file.exists():
        raise UserError(file, "no such file or folder")
    facts = _folder(file) if file.is_dir() else _file(file)
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        print(f"{name:<{width}}  {value}")


def _file(file: Path) -> Facts:
    if file.name.endswith(".safetensors"):
        return _model(file)
    from tomograd import imaging

    kind = imaging.kind_of(file)
    if kind == "npz":
        archive = imaging.NpzFile(file)
        arrays = [(name, f"{archive.dtypes[name]} {_shape(archive.shapes[name])}") for name in archive.names]
        return [("file", str(file)), ("kind", f"npz, {len(arrays)} arrays"), *arrays]
    if kind is None:
        with contextlib.suppress(imaging.ImagingError):
            array = imaging.read_idx(file)
            return [("file", str(file)), ("kind", "idx"), ("array", f"{array.dtype} {_shape(array.shape)}")]
    return [("file", str(file)), ("kind", {"dicom": "DICOM"}.get(kind or "", kind or "")), *_image(imaging.read(file))]


def _image(image: "Image") -> Facts:
    """The facts of an image that was read whole."""
    facts = [("pixels", _shape(image.spatial_shape) + (", colour" if image.color else ""))]
    unit = f" {image.units}" if image.units else ""
    facts.append(("values", f"{image.pixels.min():g} to {image.pixels.max():g}{unit}, mean {image.pixels.mean():.4g}"))
    if image.spacing is not None:
        facts.append(("spacing", " × ".join("unknown" if s is None else f"{s:.4g}" for s in image.spacing) + " mm"))
    if image.modality:
        facts.append(("modality", image.modality))
    if image.photometric:
        facts.append(("photometric", image.photometric + (" (turned: larger is brighter)" if image.inverted else "")))
    for window in image.windows:
        facts.append(("window", f"level {window.center:g}, width {window.width:g} {window.explanation}".rstrip()))
    if image.series_uid:
        facts.append(("series", image.series_uid))
    return facts


def _model(file: Path) -> Facts:
    """The facts of a model; of one that Python code saved, without what the command line notes of images; or of arrays
    that are no model."""
    from tomograd import models
    from tomograd.engine import checkpoints
    from tomograd.pipeline import recipe as recipes

    if file.is_file() and (arrays := _arrays_alone(file, checkpoints)) is not None:
        return arrays
    if file.is_file() and recipes.METADATA not in models.read_metadata(file):
        return _network(file, _loaded(file))
    network, recipe = recipes.load(file)
    facts = [
        *_network(file, network),
        ("task", "draws masks" if recipe.task == "segment" else "names classes"),
        ("classes", ", ".join(recipe.classes)),
        ("channels", str(recipe.channels)),
        ("size", "any" if recipe.size is None else _shape(recipe.size)),
        ("pixels", recipe.normalization.description),
    ]
    if recipe.outputs == 1:
        facts.append(("threshold", f"{recipe.threshold:g}"))
    if recipe.spacing:
        facts.append(("spacing", f"{recipe.spacing[0]:.3g} × {recipe.spacing[1]:.3g} mm in the training images"))
    facts.extend((name.replace("_", " "), str(value)) for name, value in recipe.data.items() if name != "identity")
    return facts


def _network(file: Path, network: Any) -> Facts:
    facts = [("file", str(file)), ("kind", f"tomograd model, {type(network).__name__}")]
    return [*facts, ("parameters", f"{network.count_params():,}")]


def _loaded(file: Path) -> Any:
    """The model in a file; UserError where it cannot be made, as without the program that registered its classes."""
    from tomograd import models

    try:
        return models.load_model(file, compile=False)
    except models.CheckpointError as error:
        raise UserError(file, str(error).removeprefix(f"{file}: ")) from error


def _arrays_alone(file: Path, checkpoints: Any) -> Facts | None:
    """The facts of a safetensors file that holds no model; None if it holds one."""
    try:
        metadata = checkpoints.read_metadata(file)
        if "tomograd.format" in metadata:
            return None
        arrays, _ = checkpoints.load(file)
    except checkpoints.CheckpointError as error:
        raise UserError(file, str(error).removeprefix(f"{file}: ")) from error
    listed = [(name, f"{array.dtype} {_shape(array.shape) or 'one number'}") for name, array in arrays.items()]
    return [("file", str(file)), ("kind", f"safetensors, {len(arrays)} arrays"), *listed]


def _folder(folder: Path) -> Facts:
    """How many files of which kind; and the volume, where all are one DICOM series."""
    from tomograd import imaging

    kinds: Counter[str] = Counter()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            kinds[imaging.kind_of(path) or _other(path)] += 1
        except imaging.ImagingError:
            kinds["unreadable or empty"] += 1
    if not kinds:
        raise UserError(folder, "is an empty folder")
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    facts = [("folder", str(folder)), ("files", listed)]
    if set(kinds) == {"dicom"}:
        with contextlib.suppress(imaging.ImagingError):  # several series, or gaps: the count of files is what we know
            facts.extend(_image(imaging.read(folder)))
    return facts


def _other(path: Path) -> str:
    """What a file is that is no image: read by its first bytes alone."""
    if path.name.endswith(".safetensors"):
        return "safetensors"
    from tomograd import imaging

    return "idx" if imaging.is_idx(path) else "other"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape)
