"""SwapEMAWeights: the running averages of the weights in their place, where a model is judged or saved."""

from __future__ import annotations

from typing import Any

from .base import Callback, Logs


class SwapEMAWeights(Callback):
    """Evaluate, validate and predict with the running averages of the weights, and train with the weights themselves.

    The optimizer keeps the averages: `Adam(use_ema=True)`. swap_on_epoch: let the averages also stand in the model from
    the end of an epoch to the beginning of the next, for the callbacks after this one: ModelCheckpoint then saves them.
    The trained model has the averages in the end (see the optimizers), however the training ended. (Keras leaves them
    in the model after a prediction, and loses them where swap_on_epoch meets an early stop.)

    Raises ValueError before the first step for an optimizer without use_ema.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = bool(swap_on_epoch)
        self._swapped = False

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        if not getattr(model.optimizer, "use_ema", False):
            raise ValueError("SwapEMAWeights: the model's optimizer keeps no averages: use_ema=True makes it")

    def take(self) -> None:
        """Put the averages into the model, unless they are there."""
        if not self._swapped:
            self.model.optimizer.swap_averages()
        self._swapped = True

    def put_back(self) -> None:
        """Put the weights themselves into the model, unless they are there."""
        if self._swapped:
            self.model.optimizer.swap_averages()
        self._swapped = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.put_back()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self.take()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._swapped = False

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self.take()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self.put_back()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self.take()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self.put_back()

    def state(self) -> dict[str, Any]:
        return {"swapped": self._swapped}

    def load_state(self, state: dict[str, Any]) -> None:
        self._swapped = state["swapped"]
