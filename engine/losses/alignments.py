"""Connectionist temporal classification: a sequence of labels against more steps of scores, of unknown alignment.

A. Graves, S. Fernández, F. Gomez and J. Schmidhuber, Connectionist temporal classification: labelling unsegmented
sequence data with recurrent neural networks, 2006.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functions as F
from ..capture import check_input, constant
from ..functions.arguments import require_in_range
from ..functions.indexing import TakeAlongAxis
from ..tensor import Array, Tensor, as_tensor
from .base import Loss
from .cross_entropies import whole_numbers

_NEVER = -1e30  # the logarithm of a probability of 0, with which arithmetic stays finite


class CTC(Loss):
    """−log Σ over all alignments of Π_t p(t, label of step t), one value for each sequence: (N,).

    y_true: class indices (N, L), filled up at the end with 0, which is the blank and no class. y_pred: logits
    (N, T, C). An alignment gives each of the T steps a class or the blank, such that without repetitions, and then
    without blanks, the labels are left: a repeated label needs a blank between. The sum runs over the T steps, in
    logarithms, as a composition of differentiable functions, eight of (N, 2L + 1) numbers for each step: it is meant
    for some hundreds of steps.

    Raises ValueError for other shapes, labels that are no classes, a 0 before a label, and for labels that do not fit
    into T steps (whose loss is infinite in Keras).
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "ctc", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        if y_true.ndim != 2 or y_pred.ndim != 3 or y_true.shape[0] != y_pred.shape[0] or not y_pred.shape[1]:
            raise ValueError(
                f"{self.name}: y_true has shape {y_true.shape}, y_pred {y_pred.shape}: expected labels (N, L) and "
                "logits (N, T, C)"
            )
        labels = whole_numbers(self.name, y_true.array)
        require_in_range(self.name, "the label", labels, y_pred.shape[2], "classes, the blank 0 among them")
        steps = y_pred.shape[1]
        if not check_input(labels, lambda host: self._require_room(host, steps)):
            self._require_room(labels, steps)
        return as_tensor(labels), y_pred

    def _require_room(self, labels: Array, steps: int) -> None:
        """Raise ValueError for labels behind a blank, and for more of them than so many steps can say."""
        if ((labels[:, 1:] != 0) & (labels[:, :-1] == 0)).any():
            raise ValueError(f"{self.name}: y_true holds a 0, the blank, before a label: it may only fill up the end")
        repeated = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] > 0)
        needed = (labels > 0).sum(axis=1) + repeated.sum(axis=1)
        if needed.size and int(needed.max()) > steps:
            row = int(needed.argmax())
            raise ValueError(
                f"{self.name}: the labels of example {row} need {int(needed[row])} steps (a repeated one a blank "
                f"before it), but y_pred has {steps}"
            )

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        labels, steps = y_true.array, y_pred.shape[1]
        places = np.zeros_like(labels, shape=(len(labels), 2 * labels.shape[1] + 1))  # a blank around each label
        places[:, 1::2] = labels
        # A label may follow another one with no blank between, if they differ.
        may_skip = np.zeros_like(places, dtype=bool)
        may_skip[:, 2:] = places[:, 2:] != places[:, :-2]  # of blanks, two are alike
        count = places.shape[1]
        at_places = np.broadcast_to(places[:, None], (len(labels), steps, count))
        log_p = _steps(TakeAlongAxis()(F.log_softmax(y_pred), indices=at_places, axis=2))
        starts = constant(np.arange(count) < 2, y_pred.array)
        alpha = F.where(starts, log_p[0], _NEVER)
        for of_step in log_p[1:]:
            before = F.pad(alpha, ((0, 0), (2, 0)), constant_values=_NEVER)
            stay_or_go = F.logaddexp(alpha, before[:, 1:-1])
            alpha = F.logaddexp(stay_or_go, F.where(may_skip, before[:, :-2], _NEVER)) + of_step
        length = (labels > 0).sum(axis=1)[:, None]
        ends = [TakeAlongAxis()(alpha, indices=place, axis=1) for place in (2 * length, abs(2 * length - 1))]
        return -F.squeeze(F.logaddexp(ends[0], F.where(length > 0, ends[1], _NEVER)), 1)


def _steps(x: Tensor) -> list[Tensor]:
    """(N, T, S) as T tensors (N, S). Cut into halves, and these again: the gradient of a part is a tensor of zeros as
    large as the whole, of which there would be T."""
    steps = x.shape[1]
    if steps == 1:
        return [F.squeeze(x, 1)]
    return [*_steps(x[:, : steps // 2]), *_steps(x[:, steps // 2 :])]
