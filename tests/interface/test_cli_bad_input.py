"""Whatever a user gets wrong ends in one sentence on stderr that names it, with exit code 2 and nothing written."""

import importlib.util
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tomograd as tg
from tomograd import imaging
from tomograd.cli import guard


def refused(result, *words):
    """The result of a command that refused its input: exit code 2, and one line with all of `words`."""
    assert result.code == 2, result.err or result.out
    assert "Traceback" not in result.err + result.out
    assert result.err.count("\n") == 1 and result.err.endswith("\n")
    for word in words:
        assert str(word) in result.err
    return result.err


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in; afterwards nothing may have been added but what the test itself put there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def scan(tmp_path_factory):
    """A DICOM slice of a synthetic patient."""
    folder = tmp_path_factory.mktemp("scan") / "study"
    return imaging.write_study(folder, patients=1, slices=1, size=48, seed=0).images[0]


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "info"])
def test_a_missing_file(here, tomograd, mask_model, command):
    arguments = {"train": ["no.npz"], "info": ["no.npz"]}.get(command, [mask_model, "no.npz"])
    refused(tomograd(command, *arguments), "no.npz", "no such file")
    assert everything(here) == []


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_missing_model(here, tomograd, masks_npz, command):
    refused(tomograd(command, "no.safetensors", masks_npz), "no.safetensors", "no such file")
    assert everything(here) == []


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
@pytest.mark.parametrize("device", ["gpu", "cuda:", "tpu:0"])
def test_an_unknown_device(here, tomograd, mask_model, masks_npz, command, device):
    given = [masks_npz] if command == "train" else [mask_model, masks_npz]
    refused(tomograd(command, *given, "--device", device), f"--device '{device}'", "cpu, cuda or cuda:N")
    assert everything(here) == []


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_a_gpu_without_cupy(here, tomograd, mask_model, masks_npz, command):
    given = [masks_npz] if command == "train" else [mask_model, masks_npz]
    refused(tomograd(command, *given, "--device", "cuda"), "--device cuda", 'pip install "tomograd[cuda]"')
    assert everything(here) == []


def test_not_dicom(here, tomograd, mask_model):
    Path("scan.dcm").write_bytes(b"This is a letter to my aunt.\n" * 20)
    refused(tomograd("predict", mask_model, "scan.dcm"), "scan.dcm", "not a DICOM file")
    refused(tomograd("info", "scan.dcm"), "scan.dcm", "not a DICOM file")
    assert everything(here) == ["scan.dcm"]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_truncated_scan(here, tomograd, mask_model, scan, share):
    data = scan.read_bytes()
    Path("scan.dcm").write_bytes(data[: int(share * len(data))])
    refused(tomograd("predict", mask_model, "scan.dcm"), "scan.dcm")
    assert everything(here) == ["scan.dcm"]


def test_no_pixel_data(here, tomograd, mask_model, scan):
    import pydicom

    header = pydicom.dcmread(scan)
    del header.PixelData
    header.save_as("scan.dcm")
    refused(tomograd("predict", mask_model, "scan.dcm"), "scan.dcm", "no pixel data")
    assert everything(here) == ["scan.dcm"]


def test_an_empty_file_and_an_empty_folder(here, tomograd, mask_model):
    Path("scan.dcm").touch()
    Path("empty").mkdir()
    refused(tomograd("predict", mask_model, "scan.dcm"), "scan.dcm", "empty")
    refused(tomograd("predict", mask_model, "empty"), "empty", "no image files")
    refused(tomograd("train", "empty"), "empty", "is an empty folder")
    refused(tomograd("evaluate", mask_model, "empty"), "empty", "is an empty folder")
    refused(tomograd("info", "empty"), "empty", "is an empty folder")
    assert everything(here) == ["empty", "scan.dcm"]


def test_one_bad_file_among_good_ones_writes_no_mask(here, tomograd, mask_model, scan):
    shutil.copy(scan, "a.dcm")
    Path("b.dcm").write_bytes(b"no image" * 100)
    refused(tomograd("predict", mask_model, "a.dcm", "b.dcm"), "b.dcm")
    assert everything(here) == ["a.dcm", "b.dcm"]


def test_a_mask_of_another_size(here, tomograd):
    for name, side in (("image", 32), ("label", 31)):
        Path(name).mkdir()
        for number in range(6):
            imaging.write_png(Path(name) / f"{number}.png", np.zeros((side, side), np.uint8))
    before = everything(here)
    refused(tomograd("train", ".", "--output", "out"), "0.png", "31 × 31", "32 × 32")
    assert everything(here) == before


def test_a_class_number_out_of_range_in_a_mask(here, tomograd, mask_folder):
    shutil.copytree(mask_folder, "study")
    mask = np.zeros((32, 32), np.uint8)
    mask[3, 4] = 7
    imaging.write_png("study/label/5.png", mask)
    before = everything(here)
    refused(tomograd("train", "study", "--output", "out"), "5.png", "class number 7")
    assert everything(here) == before


def test_a_class_number_out_of_range_in_labels(here, tomograd):
    np.savez("data.npz", images=np.zeros((20, 8, 8), np.uint8), labels=np.arange(20) % 5)
    refused(tomograd("train", "data.npz", "--classes", "3", "--output", "out"), "data.npz", "class number", "3 classes")
    assert everything(here) == ["data.npz"]


def test_nan_pixels(here, tomograd, mask_model):
    images = np.zeros((20, 32, 32), np.float32)
    images[7, 3, 4] = np.nan
    np.savez("data.npz", images=images, masks=(images > 1).astype(np.uint8))
    refused(tomograd("train", "data.npz", "--output", "out"), "data.npz", "NaN")
    np.save("one.npy", images[7])
    refused(tomograd("predict", mask_model, "one.npy"), "one.npy", "NaN")
    assert everything(here) == ["data.npz", "one.npy"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_model(here, tomograd, mask_model, scan, share):
    data = mask_model.read_bytes()
    Path("model.safetensors").write_bytes(data[: int(share * len(data))])
    for arguments in (("predict", "model.safetensors", scan), ("info", "model.safetensors")):
        refused(tomograd(*arguments), "model.safetensors")
    assert everything(here) == ["model.safetensors"]


def test_a_file_that_is_no_model(here, tomograd, scan):
    Path("model.safetensors").write_bytes(b"\xff" * 1000)
    refused(tomograd("predict", "model.safetensors", scan), "model.safetensors")
    refused(tomograd("predict", here, scan), here, "is a folder")


def test_a_model_made_without_the_command_line(here, tomograd, scan):
    tg.models.UNet((None, None, 1), 1, base_filters=2, depth=1).save("model.safetensors")
    refused(tomograd("predict", "model.safetensors", scan), "model.safetensors", "not made by")


def test_another_programs_weights(here, tomograd, scan):
    from safetensors.numpy import save_file

    save_file({"conv1.weight": np.zeros((4, 4), np.float32)}, "model.safetensors")
    refused(tomograd("predict", "model.safetensors", scan), "model.safetensors", "not a model that tomograd saved")


def test_a_model_for_another_task(here, tomograd, mask_model, class_model, classes_npz, masks_npz):
    refused(tomograd("evaluate", mask_model, classes_npz), classes_npz.name)
    refused(tomograd("evaluate", class_model, masks_npz), masks_npz.name)
    assert everything(here) == []


def test_another_input_shape(here, tomograd, mask_model, class_model, scan):
    refused(tomograd("predict", class_model, scan), scan.name, "48 × 48", "12 × 12")
    imaging.write_png("colour.png", np.zeros((32, 32, 3), np.uint8))
    refused(tomograd("predict", mask_model, "colour.png"), "colour.png", "3 channel", "takes 1")
    imaging.write_png("tiny.png", np.zeros((3, 40), np.uint8))
    refused(tomograd("predict", mask_model, "tiny.png"), "tiny.png", "at least 4")
    assert everything(here) == ["colour.png", "tiny.png"]


def test_images_of_different_sizes_for_a_classifier(here, tomograd):
    for number, side in enumerate((20, 20, 24, 20)):
        folder = Path("data") / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        imaging.write_png(folder / f"{number}.png", np.zeros((side, side), np.uint8))
    refused(tomograd("train", "data", "--output", "out"), "data", "24 × 24", "20 × 20")


def test_an_existing_output_is_not_overwritten(here, tomograd, masks_npz, mask_model, scan):
    for name in ("tomograd-demo", "tomograd-model", "tomograd-evaluation"):
        Path(name).mkdir()
        (Path(name) / "precious.txt").write_text("mine")
    before = everything(here)
    refused(tomograd("demo"), "tomograd-demo", "--force")
    refused(tomograd("train", masks_npz), "tomograd-model", "--force")
    refused(tomograd("evaluate", mask_model, masks_npz), "tomograd-evaluation", "--force")
    Path("predictions").mkdir()
    (Path("predictions") / f"{scan.stem}_mask.npz").write_text("mine")
    refused(tomograd("predict", mask_model, scan), "exists already", "--force")
    assert everything(here) == sorted([*before, "predictions", f"predictions/{scan.stem}_mask.npz"])


def test_an_output_that_cannot_be_written(here, tomograd, masks_npz, mask_model, scan):
    Path("file").write_text("")
    for arguments in (
        ("demo", "--output", "file"),
        ("train", masks_npz, "--output", "file/out"),
        ("evaluate", mask_model, masks_npz, "--output", "file/out"),
        ("predict", mask_model, scan, "--output", "file"),
    ):
        refused(tomograd(*arguments), "file")
    assert everything(here) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission(here, tomograd, masks_npz):
    Path("locked").mkdir(mode=0o500)
    refused(tomograd("train", masks_npz, "--output", "locked/out"), "locked", "permission")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--task", "guess"], ["--task", "guess"]),
        (["--model", "vgg"], ["--model", "vgg"]),
        (["--model", "cnn"], ["--model cnn", "segment"]),
        (["--model", "densenet"], ["--model densenet", "segment"]),
        (["--epochs", "2", "--steps", "3"], ["--epochs", "--steps"]),
        (["--select-train", "0-x"], ["--select-train", "0-x"]),
        (["--select-train", "5-2"], ["--select-train", "5-2"]),
        (["--select-train", "0-99"], ["--select-train", "24"]),
        (["--select-train", "0-9", "--select-test", "9-12"], ["both name image 9"]),
        (["--select-train", "0-9", "--select-test", "10-12"], ["patient-3", "train", "test"]),
        (["--foreground", "12"], ["--foreground", "12"]),
        (["--window", "wide"], ["--window", "wide"]),
        (["--window", "40,0"], ["--window", "width"]),
        (["--learning-rate", "-1"], ["--learning-rate"]),
        (["--depth", "8"], ["32 × 32", "--depth"]),
        (["--resume"], ["no interrupted run"]),
    ],
)
def test_options_that_make_no_sense(here, tomograd, masks_npz, options, words):
    refused(tomograd("train", masks_npz, *options), *words)
    assert everything(here) == []


def test_nothing_to_learn(here, tomograd):
    np.savez("data.npz", images=np.zeros((20, 16, 16), np.uint8), masks=np.zeros((20, 16, 16), np.uint8))
    refused(tomograd("train", "data.npz", "--depth", "2"), "data.npz", "one class only")


def test_too_few_patients_to_split(here, tomograd):
    data = {"images": np.zeros((6, 16, 16), np.uint8), "masks": np.zeros((6, 16, 16), np.uint8)}
    np.savez("data.npz", patients=np.array(["a"] * 6), **data)
    refused(tomograd("train", "data.npz", "--depth", "2"), "data.npz", "patients")


def test_developers_see_the_traceback(here, tomograd, monkeypatch):
    from tomograd.failures import UserError

    monkeypatch.setenv("TOMOGRAD_TRACEBACK", "1")
    from tomograd.cli import app

    with pytest.raises(UserError):
        app(["info", "no-such-file"], prog_name="tomograd")


def test_a_bug_is_not_hidden(here, monkeypatch):
    from tomograd.cli import app, info

    def broken(file):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(info, "_file", broken)
    Path("x.png").touch()
    with pytest.raises(ZeroDivisionError):
        app(["info", "x.png"], prog_name="tomograd")


def test_ctrl_c_is_130_and_one_line(here, tomograd, monkeypatch):
    from tomograd.cli import info

    def interrupted(file):
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "_file", interrupted)
    Path("x.png").touch()
    result = tomograd("info", "x.png")
    assert result.code == 130 and result.err == "tomograd: interrupted\n"


class _InterruptedWhileItGoes:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals are the main thread's")
def test_ctrl_c_in_a_finalizer_is_not_forgotten():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt), guard.heard_everywhere():
            _InterruptedWhileItGoes()  # nobody holds it
            time.sleep(60)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_of_somebody_else_stays():
    def other(number, frame):
        pass

    before = signal.signal(signal.SIGINT, other)
    try:
        with guard.heard_everywhere():
            assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, before)
