"""`tomograd warmup`: compiles ahead of time the kernels that networks use, so that no user waits for it later."""

import os
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomograd.cli import progress

if TYPE_CHECKING:
    from tomograd.models import Model

ROWS = 16  # of the images that are computed: tiles lie along the other side, which has the size that is asked for


class Network(StrEnum):
    cnn = "cnn"
    unet = "unet"
    unet3d = "unet3d"


class Precision(StrEnum):
    float32 = "float32"
    float64 = "float64"


class Device(StrEnum):
    cpu = "cpu"
    cuda = "cuda"


def command(
    network: Annotated[
        list[Network] | None,
        typer.Option("--network", help="For which networks; give it once for each. All if left out."),
    ] = None,
    base_filters: Annotated[
        list[int] | None, typer.Option(help="Channels of a U-Net's first level; give it once for each.", min=1)
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the images in pixels, a multiple of 16.", min=16, max=4096)] = 256,
    channels: Annotated[int, typer.Option(help="Channels of the images.", min=1)] = 1,
    classes: Annotated[int, typer.Option(help="Classes to tell apart.", min=1)] = 1,
    precision: Annotated[Precision, typer.Option(help="The type of the numbers.")] = Precision.float32,
    training: Annotated[
        bool, typer.Option("--training/--inference", help="What training needs too, or inference alone.")
    ] = True,
    device: Annotated[
        Device, typer.Option(help="cuda: all kernels for the NVIDIA GPU of this machine, without other options.")
    ] = Device.cpu,
) -> None:
    """Compile the CPU kernels that CNNs and U-Nets use, and keep them for this user and machine.

    Kernels are compiled by the sizes of images and layers; a kernel that is missing later is compiled when it is first
    needed. Where they are kept: TOMOGRAD_CACHE, else XDG_CACHE_HOME/tomograd, else ~/.cache/tomograd. Those of a GPU
    are kept by CuPy: CUPY_CACHE_DIR, else ~/.cupy/kernel_cache.
    """
    if device is Device.cuda:
        others = (network, base_filters, size, channels, classes, precision, training)
        return _of_gpu(others != (None, None, 256, 1, 1, Precision.float32, True))
    os.environ["TOMOGRAD_QUIET"] = "1"  # this command says itself what it does
    from tomograd.failures import UserError
    from tomograd.kernels.cpu import cache

    if size % 16:
        raise UserError(None, f"--size {size} is not a multiple of 16")
    if cache.folder() is None:
        raise UserError(None, "there is no folder to keep kernels in; set TOMOGRAD_CACHE to one of your own")
    started = time.perf_counter()
    chosen = _networks(network or list(Network), base_filters or [16, 32], size, channels, classes, precision.value)
    for number, (label, make, shape) in enumerate(chosen, start=1):
        progress.show(f"{number}/{len(chosen)}  {label}")
        _use(make(), shape, classes, training, precision.value)
    progress.show("")
    kernels, size_in_bytes = cache.contents()
    from tomograd.kernels.memory import readable

    seconds = time.perf_counter() - started
    print(f"{kernels} kernels, {readable(size_in_bytes)}, in {cache.folder()} ({seconds:.0f} s)")
    return None


def _of_gpu(choosing: bool) -> None:
    """Compile all CUDA kernels. Raises UserError where there is no GPU, where some kernels are chosen, and where one
    does not compile."""
    from tomograd.engine import DeviceError
    from tomograd.engine.device import gpu_library
    from tomograd.failures import UserError
    from tomograd.kernels.cuda import ahead

    if choosing:
        raise UserError(None, "--device cuda compiles all kernels: the options that choose some are the CPU's")
    started = time.perf_counter()
    try:
        gpu_library()
    except (ImportError, DeviceError) as error:
        raise UserError(None, f"--device cuda: {error}") from error
    total, failed = len(ahead.functions()), []
    for done, (function, reason) in enumerate(ahead.compile_all(), start=1):
        progress.show(f"{done}/{total}  {function.file}: {function.expression}")
        failed += [f"{function.file}: {function.expression}: {reason}"] if reason else []
    progress.show("")
    if failed:
        raise UserError(None, f"{len(failed)} of {total} CUDA kernels do not compile: {failed[0]}")
    print(f"{total} CUDA kernels ({time.perf_counter() - started:.0f} s)")


def _networks(
    wanted: list[Network], base_filters: list[int], size: int, channels: int, classes: int, dtype: str
) -> list[tuple[str, Any, tuple[int, ...]]]:
    """(what to say, a function that makes the model, the shape of an image) for each network."""
    from tomograd import models

    found: list[tuple[str, Any, tuple[int, ...]]] = []
    if Network.cnn in wanted:
        for side, depth in ((32, 3), (size, channels)):
            shape: tuple[int, ...] = (min(side, 2 * ROWS), side, depth)
            found.append(
                (
                    f"CNN on images {side} wide, {depth} channels",
                    _maker(models.CNN, shape, classes, dtype, filters=(32, 64, 64)),
                    shape,
                )
            )
    plane, volume = (ROWS, size, channels), (ROWS, ROWS, min(size, 64), channels)
    for name, shape in ((Network.unet, plane), (Network.unet3d, volume)):
        for base in base_filters if name in wanted else ():
            label = f"U-Net with {base} filters in {len(shape) - 1} dimensions"
            found.append((label, _maker(models.UNet, shape, classes, dtype, base_filters=base), shape))
    return found


def _maker(kind: Any, shape: tuple[int, ...], classes: int, dtype: str, **options: Any) -> Any:
    return lambda: kind(shape, classes, dtype=dtype, **options)


def _use(model: "Model", shape: tuple[int, ...], classes: int, training: bool, dtype: str) -> None:
    """One prediction for one image, and one training step on two, which compiles what they need."""
    import numpy as np

    from tomograd import losses

    images = np.zeros((2, *shape), dtype)
    output = model.predict_on_batch(images[:1])
    if not training:
        return
    loss: losses.Loss
    if classes == 1:
        loss, targets = losses.BinaryCrossentropy(from_logits=True), np.zeros((2, *output.shape[1:]), dtype)
    else:
        loss, targets = losses.SparseCategoricalCrossentropy(from_logits=True), np.zeros((2, *output.shape[1:-1]), int)
    model.compile("adam", loss)
    model.train_on_batch(images, targets)
