"""The report's figures: training curves, outlines over images, ROC curves, confusion matrices, as PNG files.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), which colour-blind readers can tell apart; curves differ
in dash as well as in colour, so that a grey print still reads. matplotlib is imported when the first figure is drawn,
and draws without a display (Agg), on figures of its own: a user's pyplot state is never touched.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tomograd.pipeline.evaluation import Example

BLUE, ORANGE, GREEN, VERMILION, SKY, YELLOW = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#F0E442"
INK, PALE = "#1d2733", "#d5dbe1"
LARGE = 128
"""Pixels: an image of at least this size is worth a closer look, also where no single object stands out."""
_CURVES = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (ORANGE, ":"))
_STYLE: dict[str, Any] = {
    "font.size": 10.0,
    "axes.edgecolor": "#8a96a3",
    "axes.labelcolor": INK,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6eaee",
    "lines.linewidth": 2.0,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.facecolor": "white",
}


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """A figure of width × height inches, written to `path` at the end."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: Any = {**matplotlib.rcParamsDefault, "backend": "Agg", **_STYLE}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        figure.savefig(path)


def training_curves(history: Mapping[str, Sequence[float]], path: Path, primary: str | None = None) -> None:
    """Loss and metrics over the epochs: one panel for the loss, one for the metric, training and validation in each.

    history: {"loss": […], "val_loss": […], metric: […], …}, one value an epoch (None or NaN where an epoch has none).
    primary: the metric to draw; by default the first that is not the loss or the learning rate.
    """
    names = [name for name in history if not name.startswith("val_") and name not in ("loss", "learning_rate")]
    metric = primary if primary in history else (names[0] if names else None)
    panels = ["loss"] + ([metric] if metric else [])
    with _figure(path, 4.4 * len(panels), 3.2) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, name in zip(axes, panels, strict=True):
            for key, label, (colour, dash) in (
                (name, "training", _CURVES[0]),
                (f"val_{name}", "validation", _CURVES[1]),
            ):
                values = np.array([np.nan if v is None else v for v in history.get(key, [])], dtype=float)
                if np.isfinite(values).any():
                    marker = "o" if len(values) <= 40 else None
                    epochs = np.arange(1, len(values) + 1)
                    axis.plot(epochs, values, dash, color=colour, label=label, marker=marker, markersize=3.5)
            axis.set_title(name.replace("_", " ").capitalize())
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            if name != "loss":
                axis.set_ylim(top=1.0)
            axis.legend()


def roc(curves: Sequence[tuple[str, np.ndarray, np.ndarray, float]], path: Path, unit: str = "pixels") -> None:
    """ROC curves: (label, false-positive rates, true-positive rates, area) each; the diagonal is a constant's curve."""
    with _figure(path, 4.6, 4.4) as figure:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1.2, linestyle=(0, (1, 2)), label="constant, AUC 0.500")
        for (label, false_rate, true_rate, area), (colour, dash) in zip(curves, _CURVES, strict=False):
            axis.plot(false_rate, true_rate, dash, color=colour, label=f"{label}, AUC {area:.3f}")
        axis.set(xlim=(-0.01, 1.0), ylim=(0.0, 1.01), aspect="equal")
        axis.set_xlabel(f"false-positive rate (share of negative {unit})")
        axis.set_ylabel("true-positive rate (recall)")
        axis.set_title("ROC on the test images")
        axis.legend(loc="lower right")


def confusion(matrix: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """The confusion matrix: rows the true class, columns the predicted one; colour is the share of the row."""
    count = len(classes)
    size = max(3.6, 0.55 * count + 1.6)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    with _figure(path, size + 0.6, size) as figure:
        axis = figure.subplots()
        axis.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
        for row in range(count):
            for column in range(count):
                colour = "white" if share[row, column] > 0.55 else INK
                axis.text(column, row, f"{matrix[row, column]:,}", ha="center", va="center", color=colour, fontsize=8)
        axis.set_xticks(range(count), classes, rotation=45 if max(map(len, classes)) > 3 else 0, ha="right")
        axis.set_yticks(range(count), classes)
        axis.set(xlabel="predicted", ylabel="true")
        axis.set_title("Confusion matrix, test images")
        axis.grid(False)


def outlines(examples: Sequence[Example], path: Path, measure: str = "Dice") -> bool:
    """Test images with the true outline (orange, solid) and the predicted one (blue, dashed).

    One column an example: above the whole image with a frame, below what is inside the frame, enlarged, so that a small
    object's outline can be judged. Returns whether there is such a second row: small images that their objects fill do
    without.
    """
    frames = [_frame(example) for example in examples]
    zoomed = any(frame is not None for frame in frames)
    columns, rows = max(len(examples), 1), 2 if zoomed else 1
    with _figure(path, 2.3 * columns, 2.3 * rows + 1.0) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for column, (example, frame) in enumerate(zip(examples, frames, strict=True)):
            _picture(grid[0, column], example, title=f"{example.name}\n{measure} {example.score:.2f}")
            if zoomed:
                _picture(grid[1, column], example, frame=frame)
                if frame is not None:
                    _draw_frame(grid[0, column], frame)
        figure.legend(handles=_outline_legend(), loc="outside lower center", ncols=2, fontsize=10)
    return zoomed


def labelled_images(examples: Sequence[Example], path: Path) -> None:
    """Test images of a classifier with the true and the predicted class; wrong ones stand out in vermilion."""
    columns = min(max(len(examples), 1), 6)
    rows = -(-max(len(examples), 1) // columns)
    with _figure(path, 1.75 * columns, 2.2 * rows) as figure:
        for index, axis in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
            axis.set_axis_off()
            if index < len(examples):
                example = examples[index]
                right = example.truth == example.predicted
                axis.imshow(example.image, cmap="gray", vmin=0.0, vmax=1.0)
                text = f"{example.predicted} ({example.score:.2f})" + ("" if right else f"\ntrue: {example.truth}")
                axis.set_title(text, fontsize=8.5, color=INK if right else VERMILION, loc="center")


def _picture(axis: Any, example: Example, title: str = "", frame: tuple[int, int, int, int] | None = None) -> None:
    """The image of `example` on `axis` with both outlines; only the part inside `frame` if one is given."""
    axis.set_axis_off()
    if title:
        axis.set_title(title, fontsize=9, loc="center", fontweight="normal")
    axis.imshow(example.image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    width = 1.1 if frame is None else 1.9
    for mask, colour, dash in ((example.truth, ORANGE, "solid"), (example.predicted, SKY, (0, (2.2, 1.4)))):
        for value in np.unique(mask[mask > 0]):
            padded = np.pad((mask == value).astype(float), 1)  # so that outlines close at the image's border
            axes = [np.arange(-1, n + 1) for n in mask.shape]
            axis.contour(axes[1], axes[0], padded, levels=[0.5], colors=[colour], linewidths=width, linestyles=[dash])
    height, length = example.truth.shape
    top, bottom, left, right = frame or (0, height, 0, length)
    axis.set(xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))


def _frame(example: Example) -> tuple[int, int, int, int] | None:
    """(top, bottom, left, right) of a square around the largest object; of the middle of a large image that it fills.

    None where nothing would be gained: a small image with a large object.
    """
    present = (example.truth > 0) if (example.truth > 0).any() else (example.predicted > 0)
    if not present.any():
        return None
    height, width = present.shape
    rows, columns = _largest_object(present)
    side = int(max(rows.max() - rows.min(), columns.max() - columns.min()) + 1)
    side = min(max(2 * side + 4, 20), height, width)
    if side > 0.7 * min(height, width):
        return _middle(height, width) if min(height, width) >= LARGE else None
    top = int(np.clip((rows.min() + rows.max() + 1 - side) // 2, 0, height - side))
    left = int(np.clip((columns.min() + columns.max() + 1 - side) // 2, 0, width - side))
    return top, top + side, left, left + side


def _middle(height: int, width: int) -> tuple[int, int, int, int]:
    """A square in the middle, a quarter of the image's smaller side wide."""
    side = min(height, width) // 4
    top, left = (height - side) // 2, (width - side) // 2
    return top, top + side, left, left + side


def _largest_object(present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels of the largest 8-connected object."""
    from scipy.ndimage import label

    labels, _ = label(present, structure=np.ones((3, 3)))
    rows, columns = np.nonzero(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))
    return rows, columns


def _draw_frame(axis: Any, frame: tuple[int, int, int, int]) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    top, bottom, left, right = frame
    corner, shade = (left - 0.5, top - 0.5), [withStroke(linewidth=2.6, foreground="black")]
    axis.add_patch(
        Rectangle(corner, right - left, bottom - top, fill=False, edgecolor="white", linewidth=1.2, path_effects=shade)
    )


def _outline_legend() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=ORANGE, label="true outline"),
        Line2D([], [], color=SKY, linestyle=(0, (2.2, 1.4)), label="predicted outline"),
    ]
