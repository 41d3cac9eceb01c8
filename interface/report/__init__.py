"""The report of a training or an evaluation: a folder with metrics.json, figures, and index.html that shows them."""

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tomograd.failures import UserError
from tomograd.pipeline.evaluation import Evaluation
from tomograd.pipeline.scores import LEVEL, mean_over_groups, method, per_group, resamples
from tomograd.report import figures
from tomograd.report.page import MEASURES, number, page

__all__ = ["MEASURES", "check_libraries", "document", "number", "page", "plain", "run_facts", "write"]

FORMAT = "tomograd-report-1"
MOST_CLASSES_DRAWN = 20


def check_libraries() -> None:
    """Raise UserError where the figures cannot be drawn, before hours of training are spent."""
    try:
        import matplotlib  # noqa: F401
        import scipy.ndimage  # noqa: F401
    except ImportError as error:
        raise UserError(
            None, f'the report\'s figures need the package {error.name}: pip install "tomograd[imaging]"'
        ) from error


def run_facts(seed: int, started: float) -> dict[str, Any]:
    """What is needed to repeat a run: command, versions, machine, seed. started: seconds since 1970."""
    import tomograd

    return {
        "command": shlex.join(["tomograd", *sys.argv[1:]]),
        "seed": seed,
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        "tomograd": tomograd.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }


def document(
    title: str,
    summary: str,
    evaluation: Evaluation,
    task: str,
    data: Mapping[str, Any],
    model: Mapping[str, Any],
    training: Mapping[str, Any] | None,
    limits: Sequence[str],
    run: Mapping[str, Any],
    times: Mapping[str, float],
) -> dict[str, Any]:
    """All that a report holds, as one dictionary of plain values: what metrics.json is and index.html shows.

    data must hold "unit" ("patient" or "image") and "split"; see `tomograd.pipeline.study.Study.summary`.
    """
    counts = evaluation.counts
    return {
        "format": FORMAT,
        "title": title,
        "summary": summary,
        "task": task,
        "results": evaluation.results,
        "confidence_interval": {
            "level": LEVEL,
            "resamples": resamples(len(counts.groups)),
            "unit": data["unit"],
            "groups": len(counts.groups),
            "method": method(counts, data["unit"]),
        },
        "per_group": per_group(counts, task),
        "mean_over_groups": mean_over_groups(per_group(counts, task)),
        "confusion_matrix": counts.confusion.sum(axis=0).tolist(),
        "data": dict(data),
        "model": dict(model),
        "training": dict(training or {}),
        "limits": list(limits),
        "run": dict(run),
        "times": dict(times),
        "figures": [],
    }


def write(folder: Path, report: dict[str, Any], evaluation: Evaluation, classes: Sequence[str]) -> None:
    """Draw the figures into `folder`, then write metrics.json and index.html there; fills report["figures"]."""
    report["figures"] = list(_draw(folder, report, evaluation, classes))
    text = json.dumps(plain(report), indent=1, allow_nan=False, ensure_ascii=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    (folder / "index.html").write_text(page(report), encoding="utf-8")


def plain(value: Any) -> Any:
    """The same with only JSON's types; NaN and infinities become None, since strict JSON has no such numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value if value is None else str(value)


def _draw(
    folder: Path, report: Mapping[str, Any], evaluation: Evaluation, classes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Draw each figure and yield its file name, its caption and its width on the page in CSS pixels."""
    segments = report["task"] == "segment"
    if segments:
        enlarged = figures.outlines(evaluation.examples, folder / "test_images.png")
        caption = (
            "Images of the test part, from the best Dice (left) to the worst (right), with the true and the predicted "
            "outline" + ("; below, enlarged, what is inside the white frame." if enlarged else ".")
        )
    else:
        figures.labelled_images(evaluation.examples, folder / "test_images.png")
        caption = (
            "Images of the test part with the predicted class and its probability: drawn at random, then some of the "
            "mistakes, in orange with the true class."
        )
    yield {"file": "test_images.png", "caption": caption, "width": 190 * min(len(evaluation.examples), 5)}
    curves = _curves(evaluation, classes, segments)
    if curves:
        figures.roc(curves, folder / "roc.png", unit="pixels" if segments else "images")
        caption = (
            "Receiver operating characteristic on the test part: the share of positives found against the share of "
            "negatives wrongly called positive, over all thresholds."
        )
        if len(classes) > 2:
            caption += " Each class against the rest, for the classes that are told apart worst."
        yield {"file": "roc.png", "caption": caption, "width": 460}
    history = report["training"].get("history")
    if history:
        figures.training_curves(history, folder / "training_curves.png", "dice" if segments else "accuracy")
        caption = "Loss and metric over the epochs of training."
        yield {"file": "training_curves.png", "caption": caption, "width": 860}
    if not segments and len(classes) <= MOST_CLASSES_DRAWN:
        figures.confusion(np.asarray(report["confusion_matrix"]), classes, folder / "confusion.png")
        caption = "How many images of each class (row) were given which class (column)."
        yield {"file": "confusion.png", "caption": caption, "width": 330 + 40 * len(classes)}


def _curves(evaluation: Evaluation, classes: Sequence[str], segments: bool) -> list[tuple[str, Any, Any, float]]:
    """The ROC curves to draw: of two classes each predictor's; of more the model's, for its four weakest classes."""
    if len(classes) == 2:
        pairs = [(name, curve.curves[0]) for name, curve in evaluation.curves]
    else:
        names = classes[1:] if segments else classes
        pairs = list(zip(names, evaluation.curves[0][1].curves, strict=True))
        pairs = sorted((p for p in pairs if p[1] is not None), key=lambda pair: pair[1][2])[:4]  # type: ignore[index]
    return [(name, *curve) for name, curve in pairs if curve is not None]
