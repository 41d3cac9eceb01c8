"""`tomograd evaluate`: a model judged on images with known masks or classes, as a report."""

import time
from pathlib import Path
from typing import Annotated

import typer

from tomograd.cli.options import Data, Device, Force, Output, Seed, SelectTest, check_device, numbers


def command(
    model: Annotated[Path, typer.Argument(help="A model file, model.safetensors, written by demo or train.")],
    data: Data,
    output: Output = Path("tomograd-evaluation"),
    select_test: SelectTest = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Judge on all images, also where the data bring a test part.")
    ] = False,
    seed: Seed = 0,
    device: Device = "cpu",
    force: Force = False,
) -> None:
    """Judge a model on images with known answers, beside a constant prediction and a classical baseline.

    Judged are the images of --select-test; else the test part: that of the training where these are the same data, or
    the one that the data bring; else all images. Images of patients that the model was trained on are never among
    them, unless --all is given.
    """
    started = time.time()
    from tomograd import report
    from tomograd.pipeline import experiment
    from tomograd.pipeline import recipe as recipes
    from tomograd.pipeline import study as studies
    from tomograd.pipeline.evaluation import evaluate
    from tomograd.report.folder import check_output, written_folder

    report.check_libraries()
    check_output(output, force)
    chosen = numbers(select_test, "--select-test")
    clock = time.perf_counter()
    check_device(device)
    network, recipe = recipes.load(model)
    network.to(device)
    study = studies.load(data, recipe.task, recipe.invert_masks, recipe.classes)
    parts = studies.for_evaluation(study, recipe.data, chosen, everything)
    times = {"reading model and data": time.perf_counter() - clock}
    print(studies.announcement(study, parts))
    name = experiment.name_of(network)
    clock = time.perf_counter()
    result = evaluate(network, recipe, study, parts["test"], name, seed, training=parts.get("train"))
    times["evaluation"] = time.perf_counter() - clock
    times["of which the model's predictions"] = result.seconds
    document = report.document(
        title=f"{study.label}: evaluation of {model.name}",
        summary=experiment.summary(study, parts, result, name),
        evaluation=result,
        task=study.task,
        data=study.summary(parts),
        model={**experiment.model_facts(network, recipe, name, model), "trained on": recipe.data.get("source")},
        training=None,
        limits=experiment.common_limits(study, parts, result),
        run=report.run_facts(seed, started),
        times=times,
    )
    with written_folder(output, force) as folder:
        report.write(folder, document, result, recipe.classes)
    print("\n" + experiment.closing_table(result, study.task))
    if recipe.task == "classify" and len(result.results) < 3:
        print("no classical baseline: " + _missing(parts))
    print(f"\nreport: {output / 'index.html'}")


def _missing(parts: dict) -> str:
    """Why the logistic regression is not in the table."""
    if "train" not in parts:
        return "these data have no training part to fit one on"
    return "scikit-learn is not installed"
