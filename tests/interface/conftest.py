"""Small data sets and models for the tests of the command line, and the command line itself, called in this process."""

from types import SimpleNamespace

import numpy as np
import pytest

from tomograd import imaging
from tomograd.cli import app


@pytest.fixture
def tomograd(capsys):
    """Call the command line: tomograd("predict", model, file) → code, out, err."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments], prog_name="tomograd")
        shown = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code, out=shown.out, err=shown.err)

    return call


def blobs(count: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey images (count, side, side) uint8 with a bright disc each, and its masks of 0 and 1."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    images, masks = [], []
    for _ in range(count):
        row, column, radius = *generator.uniform(0.3, 0.7, 2) * side, generator.uniform(0.12, 0.25) * side
        mask = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        image = 60 + 90 * mask + generator.normal(0, 12, mask.shape)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        masks.append(mask.astype(np.uint8))
    return np.stack(images), np.stack(masks)


@pytest.fixture(scope="session")
def masks_npz(tmp_path_factory):
    """24 images with masks, of 8 patients, without a split of their own."""
    path = tmp_path_factory.mktemp("data") / "discs.npz"
    images, masks = blobs(24, 32, seed=0)
    patients = np.array([f"patient-{i // 3}" for i in range(24)])
    np.savez(path, images=images, masks=masks, patients=patients)
    return path


@pytest.fixture(scope="session")
def classes_npz(tmp_path_factory):
    """60 images of three classes (dark, middle, bright), divided into train and test."""
    path = tmp_path_factory.mktemp("data") / "shades.npz"
    generator = np.random.default_rng(1)
    labels = np.arange(60) % 3
    images = np.clip(generator.normal(50 + 70 * labels[:, None, None], 10, (60, 12, 12)), 0, 255).astype(np.uint8)
    split = (np.arange(60) >= 45).astype(np.uint8)
    np.savez(path, images=images, labels=labels, split=split, class_names=np.array(["dark", "middle", "bright"]))
    return path


@pytest.fixture(scope="session")
def mask_folder(tmp_path_factory):
    """12 PNG images with masks of 0 and 255, in which the object is 0."""
    folder = tmp_path_factory.mktemp("data") / "folder"
    images, masks = blobs(12, 32, seed=2)
    for name in ("image", "label"):
        (folder / name).mkdir(parents=True)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        imaging.write_png(folder / "image" / f"{number}.png", image)
        imaging.write_png(folder / "label" / f"{number}.png", mask == 0)
    return folder


def trained(folder, *arguments):
    """Run `tomograd train` into `folder`; the model file."""
    with pytest.raises(SystemExit) as ended:
        app(["train", *map(str, arguments), "--output", str(folder)], prog_name="tomograd")
    assert ended.value.code in (0, None)
    return folder / "model.safetensors"


@pytest.fixture(scope="session")
def mask_model(tmp_path_factory, masks_npz):
    """A U-Net for the discs, trained as briefly as it can be."""
    folder = tmp_path_factory.mktemp("models") / "unet"
    return trained(folder, masks_npz, "--epochs", 2, "--base-filters", 4, "--depth", 2)


@pytest.fixture(scope="session")
def class_model(tmp_path_factory, classes_npz):
    """A CNN for the shades."""
    folder = tmp_path_factory.mktemp("models") / "cnn"
    return trained(folder, classes_npz, "--epochs", 3, "--base-filters", 4, "--batch-size", 8)
