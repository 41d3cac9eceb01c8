"""The commands on tiny data, from first to last: what they write, what they say, and that a killed run goes on."""

import contextlib
import errno
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

import tomograd as tg
from tomograd import imaging
from tomograd.engine import checkpoints
from tomograd.pipeline import experiment, training
from tomograd.pipeline.settings import Settings

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
REPORT = {"index.html", "metrics.json", "test_images.png", "roc.png"}
TINY = ("--patients", 6, "--slices", 4, "--size", 48, "--epochs", 2)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder):
    return {path.name for path in Path(folder).iterdir()}


def read_metrics(folder):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)


def hear_interrupts():
    """For a new process: a shell's background jobs ignore Ctrl-C, and so would what the tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command_line(*arguments, **options):
    """`python -m tomograd` in a process of its own."""
    if os.name == "posix":
        options["preexec_fn"] = hear_interrupts
    return subprocess.Popen(
        [sys.executable, "-m", "tomograd", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def stored_spacing(scan):
    """The pixel spacing in mm in a DICOM file's header."""
    import pydicom

    return float(pydicom.dcmread(scan).PixelSpacing[0])


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A tiny demo, run once: the folder that it ran in, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    process = command_line("demo", *TINY, cwd=folder)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder, out, err


def test_demo(demo):
    folder, out, _ = demo
    assert names(folder / "tomograd-demo") >= REPORT | {"model.safetensors", "training_curves.png", "study"}
    assert names(folder) == {"tomograd-demo"}
    report = read_metrics(folder / "tomograd-demo")
    kinds = [row["name"] for row in report["results"]]
    assert kinds == ["U-Net", "Threshold on brightness", "Constant: nothing", "Constant: everything"]
    parts = report["data"]["split"]
    patients = [set(parts[name]["groups"]) for name in ("train", "validation", "test")]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 6
    assert report["run"]["seed"] == 0 and report["times"]["training"] > 0
    assert len(report["training"]["history"]["loss"]) == report["training"]["epochs"] == 2
    for shown in ("Dice", "AUC", "Threshold on brightness", str(Path("tomograd-demo/index.html")), "predict"):
        assert shown in out
    assert ".partial" not in (folder / "tomograd-demo" / "index.html").read_text(encoding="utf-8")


def test_a_log_file_holds_lines_and_no_control_characters(demo):
    _, out, err = demo
    # Kernels may have to be compiled, which is said once.
    said = [line for line in err.splitlines() if not line.startswith("tomograd: compiling")]
    assert said == [] and "epoch 1/2" in out and "epoch 2/2" in out
    assert not CONTROL.search(out)
    assert max(map(len, out.splitlines())) < 200


def test_the_same_seed_gives_the_same_demo(demo, here, tomograd):
    assert tomograd("demo", *TINY).code == 0
    first, again = read_metrics(demo[0] / "tomograd-demo"), read_metrics("tomograd-demo")
    assert first["results"] == again["results"]
    assert first["training"]["history"] == again["training"]["history"]
    weights = [load_file(folder / "tomograd-demo" / "model.safetensors") for folder in (demo[0], here)]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_force_replaces_an_earlier_demo(here, tomograd):
    Path("tomograd-demo").mkdir()
    Path("tomograd-demo/old").touch()
    tiny = ("--patients", 5, "--slices", 2, "--size", 48, "--epochs", 1)
    assert tomograd("demo", *tiny).code == 2
    assert tomograd("demo", "--force", *tiny).code == 0
    assert "old" not in names("tomograd-demo") and names(".") == {"tomograd-demo"}


def test_what_the_demo_suggests_works(demo, tomograd, monkeypatch):
    folder, out, _ = demo
    monkeypatch.chdir(folder)
    suggested = re.search(r"tomograd (predict .*)", out).group(1).split()
    result = tomograd(*suggested, "--output", "elsewhere")
    assert result.code == 0 and any(name.endswith("_mask.png") for name in names("elsewhere"))
    shutil.rmtree("elsewhere")


def test_train_on_npz_by_patient(mask_model):
    report = read_metrics(mask_model.parent)
    assert names(mask_model.parent) >= REPORT | {"model.safetensors", "training_curves.png", "settings.json"}
    assert report["data"]["unit"] == "patient" and report["task"] == "segment"
    assert not (mask_model.parent / "backup").exists()


def test_train_a_classifier(class_model):
    report = read_metrics(class_model.parent)
    assert names(class_model.parent) >= REPORT | {"confusion.png"}
    kinds = [row["name"].split(":")[0] for row in report["results"]]
    assert kinds == ["CNN", "Logistic regression", "Constant"]
    assert report["results"][1]["measures"]["accuracy"]["value"] > 0.9  # shades are easy to tell apart
    assert report["data"]["split"]["test"]["images"] == 15
    assert np.sum(report["confusion_matrix"]) == 15


def test_classify_by_another_network(here, tomograd, classes_npz):
    options = ("--epochs", 1, "--base-filters", 2, "--depth", 1, "--batch-size", 8)
    result = tomograd("train", classes_npz, "--model", "densenet", *options, "--output", "out")
    assert result.code == 0, result.err
    report = read_metrics("out")
    assert report["model"]["architecture"] == "DenseNet" and "DenseNet" in report["title"]
    result = tomograd("evaluate", "out/model.safetensors", classes_npz, "--output", "again")
    assert result.code == 0, result.err
    again = read_metrics("again")
    assert again["model"]["architecture"] == "DenseNet"
    assert again["results"] == report["results"]  # the same images, judged by the model as it was saved


@pytest.mark.parametrize(("side", "stem"), [(28, "small"), (160, "large")])
@pytest.mark.parametrize("architecture", ["cnn", "resnet", "densenet"])
def test_what_networks_are_built(architecture, side, stem):
    settings = Settings(architecture, 1, None, 8, None, 3, 2, 0.1, False, None, 0)
    size = SimpleNamespace(size=(side, side), channels=2, outputs=3)
    model = training.build(size, settings)
    assert experiment.name_of(model).lower() == architecture
    assert model.output_shape == (None, 3) and model.input_shape == (None, side, side, 2)
    assert model.get_config().get("stem", stem) == stem
    first = {"cnn": 3, "resnet": 3, "densenet": 2 * 3}[architecture]
    assert next(layer for layer in model.layers if "conv" in layer.name).filters == first


def test_train_on_a_folder_with_chosen_images(here, tomograd, mask_folder):
    options = ("--foreground", 0, "--select-train", "0-7", "--select-test", "8-11", "--steps", 7, "--crop", 16)
    result = tomograd("train", mask_folder, *options, "--base-filters", 4, "--depth", 2, "--output", "out")
    assert result.code == 0, result.err
    report = read_metrics("out")
    assert report["data"]["split"]["test"]["groups"] == ["8", "9", "10", "11"]
    assert report["data"]["split"]["train"]["images"] == 8
    assert 4 <= report["training"]["steps"] <= 7
    share = float(re.search(r"foreground \((.*)%\)", " ".join(report["data"]["classes"])).group(1))
    assert 3 < share < 25  # the discs, not what is around them


def test_train_and_evaluate_on_dicom(here, tomograd):
    imaging.write_study("study", patients=5, slices=3, size=48, seed=3)
    options = ("--epochs", 1, "--base-filters", 4, "--depth", 2)
    assert tomograd("train", "study", *options, "--output", "out").code == 0
    report = read_metrics("out")
    pixel = stored_spacing("study/images/SYNTHETIC-0001/slice-000.dcm")
    assert report["data"]["values"] == "HU" and report["data"]["pixel"] == f"{pixel:.3g} × {pixel:.3g} mm"
    assert "HU" in report["model"]["pixels"]
    result = tomograd("evaluate", "out/model.safetensors", "study", "--output", "again")
    assert result.code == 0, result.err
    again = read_metrics("again")
    assert again["results"] == report["results"]  # the same images, judged by the model as it was saved
    imaging.write_study("other", patients=3, slices=2, size=48, seed=4)
    result = tomograd("evaluate", "out/model.safetensors", "other", "--output", "others", "--all")
    assert result.code == 0 and read_metrics("others")["data"]["split"]["test"]["images"] == 6


def test_patients_of_the_training_are_left_out(here, tomograd):
    imaging.write_study("study", patients=5, slices=3, size=48, seed=3)
    tomograd("train", "study", "--epochs", 1, "--base-filters", 4, "--depth", 2, "--output", "out")
    trained_on = {p for part in ("train", "validation") for p in read_metrics("out")["data"]["split"][part]["groups"]}
    imaging.write_study("more", patients=7, slices=2, size=48, seed=5)
    result = tomograd("evaluate", "out/model.safetensors", "more", "--output", "judged")
    assert result.code == 0 and "left out" in result.err
    judged = set(read_metrics("judged")["data"]["split"]["test"]["groups"])
    assert judged and not judged & trained_on


def test_evaluate_a_classifier(here, tomograd, class_model, classes_npz):
    result = tomograd("evaluate", class_model, classes_npz)
    assert result.code == 0 and not CONTROL.search(result.out)
    assert read_metrics("tomograd-evaluation")["results"] == read_metrics(class_model.parent)["results"]


def test_predict_masks(here, tomograd, mask_model, masks_npz):
    image = np.load(masks_npz)["images"][0]
    imaging.write_png("scan.png", image)
    result = tomograd("predict", mask_model, "scan.png")
    assert result.code == 0 and "predict" in result.out and "load" in result.out and "compile" in result.out
    assert names("predictions") == {"scan_mask.png", "scan_mask.npz", "scan_overlay.png"}
    stored = np.load("predictions/scan_mask.npz")
    assert stored["mask"].shape == image.shape and stored["mask"].dtype == np.uint8
    assert stored["probability"].shape == (*image.shape, 1)
    assert np.array_equal(stored["mask"], stored["probability"][..., 0] >= 0.5)
    assert np.array_equal(imaging.read("predictions/scan_mask.png").pixels, 255.0 * stored["mask"])
    assert names(".") == {"scan.png", "predictions"}


def test_predict_does_what_training_did(here, tomograd, mask_model, masks_npz):
    """The masks of `predict` are those on which the report's numbers rest."""
    report = read_metrics(mask_model.parent)
    data = np.load(masks_npz)
    patients = {row["name"]: row for row in report["per_group"]}
    for number, patient in enumerate(data["patients"]):
        if patient in patients:
            imaging.write_png(f"{number}.png", data["images"][number])
    files = sorted(here.glob("*.png"))
    assert tomograd("predict", mask_model, *files).code == 0
    for patient, row in patients.items():
        chosen = np.flatnonzero(data["patients"] == patient)
        found = np.stack([np.load(f"predictions/{i}_mask.npz")["mask"] for i in chosen]).astype(bool)
        truth = data["masks"][chosen].astype(bool)
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) == pytest.approx(row["dice"])


def test_predict_a_folder_and_a_volume(here, tomograd, mask_model):
    generator = np.random.default_rng(0)
    for name in ("a/1.png", "b/1.png"):
        Path(name).parent.mkdir()
        imaging.write_png(name, generator.integers(0, 255, (20, 24), np.uint8, endpoint=True))
    np.save("b/volume.npy", generator.integers(0, 255, (3, 20, 24), np.uint8, endpoint=True))
    result = tomograd("predict", mask_model, ".", "--output", "masks")
    assert result.code == 0, result.err
    found = {str(path.relative_to("masks")) for path in Path("masks").rglob("*.npz")}
    assert found == {"a/1_mask.npz", "b/1_mask.npz", "b/volume_mask.npz"}
    assert np.load("masks/b/volume_mask.npz")["mask"].shape == (3, 20, 24)
    assert Path("masks/b/volume_mask_002.png").exists()


def test_predict_counts_a_file_that_is_named_twice_once(here, tomograd, mask_model, masks_npz):
    np.save("one.npy", np.load(masks_npz)["images"][0])
    result = tomograd("predict", mask_model, "one.npy", here / "one.npy")
    assert result.code == 0, result.err
    assert "masks of 1 file in predictions" in result.out
    assert result.out.count("one.npy:") == 1


def test_predict_dicom_keeps_the_geometry(here, tomograd, mask_model):
    scan = imaging.write_study("study", patients=1, slices=1, size=48, seed=0).images[0]
    result = tomograd("predict", mask_model, scan)
    assert result.code == 0
    stored = np.load(f"predictions/{scan.stem}_mask.npz")
    assert stored["spacing"].tolist() == [stored_spacing(scan)] * 2 and stored["affine"].shape == (4, 4)


def test_predict_says_when_an_image_is_of_another_kind(here, tomograd):
    study = imaging.write_study("study", patients=5, slices=2, size=48, seed=3)
    tomograd("train", "study", "--epochs", 1, "--base-filters", 2, "--depth", 1, "--output", "out")
    imaging.write_png("photo.png", np.zeros((48, 48), np.uint8))
    assert "not known to be HU" in tomograd("predict", "out/model.safetensors", "photo.png").err
    fine = imaging.write_study("fine", patients=1, slices=1, size=96, seed=0).images[0]
    said = tomograd("predict", "out/model.safetensors", fine, "--force").err
    assert f"{stored_spacing(fine):.2f} mm" in said and "2.0 times as large" in said
    assert tomograd("predict", "out/model.safetensors", study.images[0], "--force").err == ""


def test_predict_classes(here, tomograd, class_model, classes_npz):
    data = np.load(classes_npz)
    imaging.write_png("bright.png", data["images"][2])
    result = tomograd("predict", class_model, "bright.png")
    assert result.code == 0 and result.out.startswith("bright.png: ")
    shares = [float(value) for value in re.findall(r"(?:dark|middle|bright) (\d\.\d+)", result.out)]
    assert len(shares) == 3 and sum(shares) == pytest.approx(1, abs=0.01) and shares == sorted(shares, reverse=True)
    assert not Path("predictions").exists()


def test_info(here, tomograd, mask_model, masks_npz, mask_folder):
    scan = imaging.write_study("study", patients=1, slices=3, size=48, seed=0).images[0]
    pixel = f"{stored_spacing(scan):.4g} × {stored_spacing(scan):.4g} mm"
    for file, words in {
        scan: ["DICOM", "48 × 48", "HU", pixel, "CT", "level -600, width 1500"],
        scan.parent: ["3 dicom", "3 × 48 × 48", f"5 × {pixel}"],
        masks_npz: ["npz, 3 arrays", "uint8 24 × 32 × 32"],
        mask_folder / "image" / "0.png": ["png", "32 × 32"],
        mask_folder: ["24 png"],
        mask_model: ["UNet", "draws masks", "background, foreground", "any"],
    }.items():
        result = tomograd("info", file)
        assert result.code == 0, result.err
        for word in words:
            assert word in result.out, file


def test_info_of_what_the_command_line_did_not_write(here, tomograd):
    """Models and weights of Python's, and the idx files that `train` reads."""
    model = tg.Sequential([tg.Input((2,)), tg.layers.Dense(3)])
    model.save("own.safetensors")
    model.save_weights("weights.safetensors")
    Path("digits").mkdir()
    header = b"\0\0\x08\x01\0\0\0\x02"
    Path("digits/labels").write_bytes(header + b"\1\2")
    Path("digits/labels.gz").write_bytes(gzip.compress(header + b"\1\2"))
    Path("digits/notes.gz").write_bytes(gzip.compress(b"notes"))
    shutil.copy("own.safetensors", "digits")
    for file, words in {
        "own.safetensors": ["tomograd model, Sequential", "parameters  9"],
        "weights.safetensors": ["safetensors, 2 arrays", "layers.0.kernel", "float32 2 × 3"],
        "digits": ["2 idx", "1 other", "1 safetensors"],
    }.items():
        result = tomograd("info", file)
        assert result.code == 0, result.err
        for word in words:
            assert word in result.out, (file, result.out)


def test_version_and_help(tomograd):
    import tomograd as tg

    assert tomograd("--version").out == f"tomograd {tg.__version__}\n"
    shown = tomograd("--help").out
    assert all(command in shown for command in ("demo", "train", "evaluate", "predict", "info"))
    assert max(map(len, shown.splitlines())) <= 80


def test_the_module_runs_as_a_program(here):
    process = command_line("info", "nothing.dcm")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and out == "" and err == "tomograd: error: nothing.dcm: no such file or folder\n"


def test_a_killed_training_goes_on_to_the_same_numbers(here, tomograd, masks_npz):
    options = (masks_npz, "--epochs", 12, "--base-filters", 4, "--depth", 2)
    assert tomograd("train", *options, "--output", "unbroken").code == 0
    process = command_line("train", *options, "--output", "broken")
    backup = here / "broken.partial" / "backup" / "backup.safetensors"
    waited = time.monotonic() + 240
    while not backup.exists() and process.poll() is None and time.monotonic() < waited:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    assert not (here / "broken").exists()
    refused = tomograd("train", *options, "--output", "broken")
    assert refused.code == 2 and "--resume" in refused.err
    refused = tomograd("train", *options, "--output", "broken", "--resume", "--seed", 1)
    assert refused.code == 2 and backup.exists()
    assert tomograd("train", *options, "--output", "broken", "--resume").code == 0
    unbroken, resumed = read_metrics("unbroken"), read_metrics("broken")
    assert resumed["results"] == unbroken["results"]
    assert resumed["training"]["history"] == unbroken["training"]["history"]
    assert names(".") == {"unbroken", "broken"}


def test_a_run_goes_on_when_there_is_room_and_does_not_train_again_what_it_has(here, tomograd, masks_npz, monkeypatch):
    options = (masks_npz, "--epochs", 3, "--base-filters", 4, "--depth", 2)
    assert tomograd("train", *options, "--output", "unbroken").code == 0
    save = checkpoints.save

    def limited(path, *arguments):
        if (path.parent / "backup-previous.safetensors").exists():
            raise OSError(errno.ENOSPC, NO_ROOM, str(path))
        save(path, *arguments)

    def full(*arguments):
        raise OSError(errno.ENOSPC, NO_ROOM)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", limited)
        in_training = tomograd("train", *options, "--output", "broken")
    assert in_training.code == 2 and in_training.err.endswith(f"backup.safetensors: {NO_ROOM}\n")
    assert len(in_training.err.splitlines()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(tg.Model, "predict_step", full)
        after_it = tomograd("train", *options, "--output", "broken", "--resume")
    assert after_it.code == 2 and after_it.err == f"tomograd: error: {here / 'broken'}: cannot be written: {NO_ROOM}\n"
    assert names(".") == {"unbroken", "broken.partial"}
    with monkeypatch.context() as patch:
        patch.setattr(tg.Model, "train_step", None)
        assert tomograd("train", *options, "--output", "broken", "--resume").code == 0
    assert read_metrics("broken")["results"] == read_metrics("unbroken")["results"]
    assert names("broken") == names("unbroken")
    same_weights(here / "broken", here / "unbroken")


def test_a_run_that_broke_off_before_its_first_backup_begins_anew(here, tomograd, masks_npz):
    options = (masks_npz, "--steps", 1, "--base-filters", 4, "--depth", 2, "--output", "out")
    (here / "out.partial").mkdir()  # as a kill leaves it
    (here / "out.partial" / "settings.json").write_text("{")
    begun = tomograd("train", *options, "--resume")
    assert begun.code == 0 and "interrupted within its first epoch" in begun.out
    (here / "other.partial").mkdir()
    (here / "other.partial" / "thesis.txt").write_text("mine")
    refused = tomograd("train", *options[:-1], "other")
    assert refused.code == 2 and "no training left it there" in refused.err
    assert (here / "other.partial" / "thesis.txt").exists()


NO_ROOM = os.strerror(errno.ENOSPC)


def same_weights(first, second):
    a, b = (checkpoints.load(folder / "model.safetensors")[0] for folder in (first, second))
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_training_killed_again_and_again_ends_with_the_same_weights(here, masks_npz):
    options = (masks_npz, "--epochs", 60, "--base-filters", 4, "--depth", 2)
    began = time.monotonic()
    with command_line("train", *options, "--output", "unbroken") as process:
        assert process.wait(200) == 0
    taken = time.monotonic() - began
    generator = np.random.default_rng(8)
    kills = 0
    while not (here / "broken").exists():
        resume = ["--resume"] if (here / "broken.partial").exists() else []
        process = command_line("train", *options, "--output", "broken", *resume)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(generator.uniform(0.2, 0.6) * taken if kills < 8 else 200)
        process.kill()
        _, err = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), err
        kills += process.returncode != 0
    assert kills >= 3
    assert read_metrics("broken")["results"] == read_metrics("unbroken")["results"]
    assert read_metrics("broken")["training"]["history"] == read_metrics("unbroken")["training"]["history"]
    same_weights(here / "broken", here / "unbroken")
    assert names("broken") == names("unbroken")


def test_ctrl_c_ends_a_training_with_one_line_and_it_can_go_on(here, tomograd, masks_npz):
    options = (masks_npz, "--epochs", 200, "--base-filters", 4, "--depth", 2, "--output", "out")
    process = command_line("train", *options)
    backup = here / "out.partial" / "backup" / "backup.safetensors"
    waited = time.monotonic() + 240
    while not backup.exists() and process.poll() is None and time.monotonic() < waited:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err.splitlines()[-1].startswith("tomograd: interrupted")
    assert "Traceback" not in err and backup.exists() and names(".") == {"out.partial"}
