"""`tomograd train`: from a folder of images to a model file and a report."""

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from tomograd.cli.options import Data, Device, Force, Output, Seed, SelectTest, check_device, numbers, window
from tomograd.failures import UserError

BACKUP = "backup"
SETTINGS = "settings.json"
EPOCHS = {"segment": 40, "classify": 5}
BATCH_SIZE = {"segment": 4, "classify": 64}
LEARNING_RATE = {"segment": 2e-3, "classify": 2e-3}
BASE_FILTERS = {"unet": 16, "cnn": 32, "resnet": 16, "densenet": 12}
DEPTH = {"unet": 4, "cnn": 2, "resnet": 3, "densenet": 3}
MODELS = {"segment": ("unet",), "classify": ("cnn", "resnet", "densenet")}  # the first if nothing is said


def command(
    data: Data,
    output: Output = Path("tomograd-model"),
    task: Annotated[str | None, typer.Option(help="segment or classify; told from the data if left out.")] = None,
    model: Annotated[
        str | None, typer.Option(help="unet (masks); cnn, resnet or densenet (classes); by the task if left out.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.", min=1)] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps in all, instead of --epochs.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images, or crops, a step.", min=1)] = None,
    crop: Annotated[
        int | None, typer.Option(help="Side of the squares cut from images for training; 0 for whole images.", min=0)
    ] = 256,
    base_filters: Annotated[
        int | None,
        typer.Option(help="Filters of the first level; doubled at each. What a densenet's layers add.", min=1),
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Levels of halving.", min=1, max=8)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest; rises, then falls as a cosine.")] = None,
    seed: Seed = 0,
    select_train: Annotated[str | None, typer.Option(help="Images to train on, by number: 0-23.")] = None,
    select_test: SelectTest = None,
    foreground: Annotated[
        int | None, typer.Option(help="Value of the object in masks of two values: 0, or (if left out) 255 or 1.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="How many classes there are, or their names: 4 or benign,malignant.")
    ] = None,
    window_: Annotated[
        str | None, typer.Option("--window", help="CT window LEVEL,WIDTH; by the data if left out.")
    ] = None,
    augment: Annotated[
        bool | None, typer.Option("--augment/--no-augment", help="Flips, turns, scalings; on for masks if left out.")
    ] = None,
    device: Device = "cpu",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same options.")
    ] = False,
    force: Force = False,
) -> None:
    """Train a model, judge it on held-out images, write model and report.

    Without --select-train and --select-test the split is the one that the data bring (train and test folders or
    arrays), else by patient, drawn by the seed: 64% train, 16% validation, 20% test.
    """
    started = time.time()
    from tomograd import report
    from tomograd.report.folder import check_output, partial, written_folder

    report.check_libraries()
    check_output(output, force)
    _check_resume(partial(output), resume, force)
    _check(task, ("segment", "classify"), "--task")
    _check(model, tuple(BASE_FILTERS), "--model")
    if epochs is not None and steps is not None:
        raise UserError(None, "--epochs and --steps exclude one another")
    if learning_rate is not None and not 0 < learning_rate < 10:
        raise UserError(None, f"--learning-rate {learning_rate} must lie between 0 and 10")
    check_device(device)
    chosen = numbers(select_train, "--select-train"), numbers(select_test, "--select-test")
    if foreground not in (None, 0, 1, 255):
        raise UserError(None, f"--foreground {foreground} is not 0, 1 or 255")
    from tomograd.pipeline import study as studies
    from tomograd.pipeline.experiment import NAMES, closing_table, run
    from tomograd.pipeline.settings import Settings, remember

    clock = time.perf_counter()
    names = None if classes is None or classes.isdecimal() else [name.strip() for name in classes.split(",")]
    count = int(classes) if classes is not None and classes.isdecimal() else None
    study = studies.load(data, task, foreground == 0, names, count)
    architecture = model or MODELS[study.task][0]
    _check_pair(study.task, architecture)
    parts = studies.split(study, *chosen, seed=seed)
    times = {"reading the data": time.perf_counter() - clock}
    print(studies.announcement(study, parts))
    settings = Settings(
        architecture=architecture,
        epochs=epochs if epochs or steps else EPOCHS[study.task],
        steps=steps,
        batch_size=batch_size or BATCH_SIZE[study.task],
        crop=crop or None,
        base_filters=base_filters or BASE_FILTERS[architecture],
        depth=depth or DEPTH[architecture],
        learning_rate=learning_rate or LEARNING_RATE[study.task],
        augment=augment if augment is not None else study.task == "segment",
        window=window(window_),
        seed=seed,
        device=device,
    )
    with written_folder(output, force, keep=_holds_run) as folder:
        remember(folder / SETTINGS, settings, studies.identity(study, parts), resume)
        title = f"{study.label}: {'masks' if study.task == 'segment' else 'classes'} by a {NAMES[architecture]}"
        _, evaluation = run(study, parts, settings, folder, title, started, times, backup=folder / BACKUP)
    shutil.rmtree(output / BACKUP)  # only now: until the report is there, a killed run goes on from it
    print("\n" + closing_table(evaluation, study.task))
    print(f"\nreport: {output / 'index.html'}\nmodel:  {output / 'model.safetensors'}")


def _check(value: str | None, known: tuple[str, ...], option: str) -> None:
    if value is not None and value not in known:
        raise UserError(None, f"{option} {value!r} is unknown; it is one of {', '.join(known)}")


def _check_pair(task: str, architecture: str) -> None:
    if architecture not in MODELS[task]:
        others = ", ".join(MODELS["classify"])
        raise UserError(None, f"--model {architecture} cannot {task}: unet draws masks; {others} name classes")


def _holds_run(work: Path) -> bool:
    """Whether the folder holds the state of a run from which it can go on."""
    return any((work / BACKUP).glob("*.safetensors"))


def _check_resume(work: Path, resume: bool, force: bool) -> None:
    """Raise UserError where an interrupted run lies about and it is not said what to do with it, or none is there.

    A run that was killed before its first epoch was over has nothing to go on from, and begins anew.
    """
    if resume and not work.exists():
        raise UserError(work, "holds no interrupted run to resume")
    if not resume and _holds_run(work) and not force:
        raise UserError(work, "holds an interrupted run; go on with it by --resume, or drop it by --force")
    if work.exists() and any(work.iterdir()) and not (work / SETTINGS).exists():
        raise UserError(work, "is in the way, and no training left it there; remove it, or choose another --output")
    if work.exists() and not (resume and _holds_run(work)):
        if resume:
            print(f"{work}: the run was interrupted within its first epoch; it begins anew")
        shutil.rmtree(work)
