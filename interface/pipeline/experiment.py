"""Train, evaluate, report: what `demo` and `train` do once they have a study and its split."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tomograd import report
from tomograd.pipeline import recipe as recipes
from tomograd.pipeline.evaluation import Evaluation, evaluate
from tomograd.pipeline.settings import Settings
from tomograd.pipeline.study import Study, counted
from tomograd.pipeline.training import Trained, train

MODEL_FILE = "model.safetensors"
NAMES = {"unet": "U-Net", "cnn": "CNN", "resnet": "ResNet", "densenet": "DenseNet"}


def name_of(model: Any) -> str:
    """What reports call a model's architecture."""
    return NAMES.get(type(model).__name__.lower(), type(model).__name__)


def run(
    study: Study,
    parts: Mapping[str, np.ndarray],
    settings: Settings,
    folder: Path,
    title: str,
    started: float,
    times: dict[str, float],
    limits: Sequence[str] = (),
    backup: Path | None = None,
) -> tuple[dict[str, Any], Evaluation]:
    """Train on parts["train"], judge on parts["test"], write model and report into `folder`.

    started: seconds since 1970 when the command began. times: seconds already spent, by name; added to.
    backup: a folder for the state of the run, from which it goes on if there is one.
    """
    trained = train(study, parts, settings, backup)
    times["training"] = trained.seconds
    recipes.save(trained.model, trained.recipe, folder / MODEL_FILE)
    name = name_of(trained.model)
    clock = time.perf_counter()
    evaluation = evaluate(
        trained.model, trained.recipe, study, parts["test"], name, settings.seed, training=parts["train"]
    )
    times["evaluation"] = time.perf_counter() - clock
    times["total until the report"] = time.time() - started
    document = report.document(
        title=title,
        summary=summary(study, parts, evaluation, name),
        evaluation=evaluation,
        task=study.task,
        data=study.summary(parts),
        model=model_facts(trained.model, trained.recipe, name, folder / MODEL_FILE),
        training=_training_facts(trained, settings),
        limits=[*limits, *common_limits(study, parts, evaluation)],
        run=report.run_facts(settings.seed, started),
        times=times,
    )
    report.write(folder, document, evaluation, trained.recipe.classes)
    return document, evaluation


def summary(study: Study, parts: Mapping[str, np.ndarray], evaluation: Evaluation, name: str) -> str:
    """The result in a sentence or two."""
    unit = study.unit
    units = len({study.groups[i] for i in parts["test"]})
    where = counted(evaluation.images, "test image") + ("" if unit == "image" else f" of {counted(units, unit)}")
    unseen = "that training has not seen" if "train" in parts else "given to it"
    if study.task == "segment":
        value = evaluation.results[0]["measures"]["dice"]
        text = f"On {where} {unseen}, the {name}'s masks reach a Dice of {value['value']:.3f}"
    else:
        value = evaluation.results[0]["measures"]["accuracy"]
        text = f"On {where} {unseen}, the {name} names the right class of {100 * value['value']:.1f}%"
    if value["low"] is not None:
        scale, form = (1, ".3f") if study.task == "segment" else (100, ".1f")
        text += f" (95% interval {scale * value['low']:{form}} to {scale * value['high']:{form}})"
    return f"{text}; {_others(evaluation, 'dice' if study.task == 'segment' else 'accuracy')}."


def _others(evaluation: Evaluation, measure: str) -> str:
    """What the baselines reach, as half a sentence."""
    values = [
        (result["name"].replace(":", ",").lower(), result["measures"][measure]["value"])
        for result in evaluation.results[1:]
    ]
    shown = [f"{report.number(v)} ({name})" if measure == "dice" else f"{100 * v:.1f}% ({name})" for name, v in values]
    return "the baselines reach " + ", ".join(shown)


def model_facts(model: Any, recipe: recipes.Recipe, name: str, path: Path) -> dict[str, Any]:
    """What the report says of the model."""
    return {
        "architecture": name,
        "parameters": int(model.count_params()),
        "input": "any size" if recipe.size is None else f"{recipe.size[0]} × {recipe.size[1]} pixels",
        "channels": recipe.channels,
        "classes": recipe.classes,
        "pixels": recipe.normalization.description,
        "threshold": recipe.threshold if recipe.outputs == 1 else None,
        "file": path.name,
        "normalization": recipe.normalization.config(),
    }


def _training_facts(trained: Trained, settings: Settings) -> dict[str, Any]:
    return {
        "loss": trained.loss,
        "optimizer": trained.optimizer,
        "epochs": trained.epochs,
        "steps": trained.steps,
        **{name: value for name, value in settings.config().items() if name not in ("epochs", "steps", "architecture")},
        "history": trained.history,
    }


def common_limits(study: Study, parts: Mapping[str, np.ndarray], evaluation: Evaluation) -> list[str]:
    """What the numbers do not say, from the data at hand."""
    limits = []
    unit = study.unit
    groups = len(evaluation.counts.groups)
    if unit == "image":
        limits.append(
            "No patient is known for these images: images of one patient or specimen may be both in the training and "
            "in the test part, and the intervals take every image for an independent one. Both flatter the result."
        )
    if groups < 30:
        limits.append(
            f"The test part is small ({counted(groups, unit)}): another choice of {unit}s would give other numbers."
        )
    limits.append(
        "All images come from one source. On another scanner, protocol or population the results can be far worse."
    )
    limits.append("One training run with one seed: the spread between seeds is not in the intervals.")
    limits.append(
        "Pixel accuracy and AUC look high wherever one class is rare: see what the constant predictions get."
        if study.task == "segment"
        else "Accuracy means little without what the constant prediction gets beside it."
    )
    return limits


def closing_table(evaluation: Evaluation, task: str) -> str:
    """The results as a few lines of text, 80 columns at most."""
    names = ["dice", "iou", "precision", "recall", "auc"] if task == "segment" else ["accuracy", "f1", "precision"]
    names += [] if task == "segment" else ["recall", "auc"]
    headings = [report.MEASURES[name] for name in names]
    width = max(len(result["name"]) for result in evaluation.results)
    lines = [" " * width + "".join(f"{heading:>11}" for heading in headings)]
    for result in evaluation.results:
        values = [result["measures"][name]["value"] for name in names]
        lines.append(f"{result['name']:<{width}}" + "".join(f"{report.number(value):>11}" for value in values))
    interval = evaluation.results[0]["measures"][names[0]]
    if interval["low"] is not None:
        lines.append(
            f"{headings[0]} {interval['value']:.3f}, 95% interval {interval['low']:.3f} to {interval['high']:.3f} "
        )
    return "\n".join(line.rstrip() for line in lines)
