"""RecurrentClassifier: features of each frame, a recurrent net over the frames, the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine import initializers, layers, regularizers
from ..engine.config import as_plain
from .cnn import CNN
from .sequential import Sequential

CELLS = {"simple_rnn": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}


class RecurrentClassifier(Sequential):
    """A class for each sequence: of images (a video, the slices of a series), or of vectors.

    RecurrentClassifier((16, 64, 64, 1), 3, "gru", bidirectional=True)     # 16 frames of 64 × 64 pixels
    RecurrentClassifier((28, 28), 10, units=128)                           # 28 rows of 28 pixels, one after the other

    input_shape: (steps, *spatial, channels) for images of one to three spatial sizes, which must be known, or
        (steps, channels); None for sequences of any length.
    classes: outputs; 1 for two classes told apart by one number. The output are logits unless an `activation`
        ("sigmoid", "softmax") is given: train with a loss that says from_logits=True.
    cell: "simple_rnn", "lstm" or "gru". units: of the recurrent layer, or several, each over all outputs of the one
        before. bidirectional: each runs from both ends, and its outputs stand side by side.
    filters: of the convolutions on each image (relu, with a max pooling after each; see CNN), and features: the units
        of a dense layer (relu) after them: what the recurrent net sees of an image. Of no use for vectors.
    dense: units of layers between the last state and the classes, or () for none. dropout: the rate before the last
        layer, and before each recurrent layer but the first.
    mask_value: steps whose values are all this number (0 where short sequences are filled up) are skipped.
    kernel_size, padding, pool_size, normalization: of the convolutions, as in CNN. kernel_initializer,
        kernel_regularizer: of all layers; recurrent kernels are orthogonal.

    Raises ValueError for an argument out of range, or images too small for so many convolutions and poolings.
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        classes: int = 1,
        cell: str = "lstm",
        units: int | Sequence[int] = 64,
        bidirectional: bool = False,
        filters: int | Sequence[int] = (32, 64),
        features: int = 64,
        dense: int | Sequence[int] = (),
        dropout: float = 0.0,
        activation: Any = None,
        mask_value: float | None = None,
        kernel_size: int | Sequence[int] = 3,
        padding: str = "valid",
        pool_size: int | Sequence[int] = 2,
        normalization: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        shape = tuple(input_shape)
        if not 2 <= len(shape) <= 5 or None in shape[1:]:
            raise ValueError(
                f"RecurrentClassifier: input_shape {shape} must be (steps, channels) or (steps, *spatial, channels), "
                "all but the steps known"
            )
        if cell not in CELLS:
            raise ValueError(f"RecurrentClassifier: cell {cell!r} must be one of {', '.join(map(repr, CELLS))}")
        units = (units,) if isinstance(units, int) else tuple(units)
        if not units:
            raise ValueError("RecurrentClassifier: units is empty: at least one recurrent layer is needed")
        self._arguments = {
            "input_shape": shape, "classes": classes, "cell": cell, "units": units,
            "bidirectional": bool(bidirectional),
            "filters": (filters,) if isinstance(filters, int) else tuple(filters), "features": features,
            "dense": (dense,) if isinstance(dense, int) else tuple(dense), "dropout": dropout,
            "activation": activation, "mask_value": mask_value, "kernel_size": kernel_size, "padding": padding,
            "pool_size": pool_size, "normalization": normalization,
            "kernel_initializer": initializers.get(kernel_initializer),
            "kernel_regularizer": regularizers.get(kernel_regularizer),
        }  # fmt: skip
        super().__init__(name=name or layers.auto_name("RecurrentClassifier"))
        self._dtype = dtype
        self.add(layers.Input(shape, dtype=dtype))
        if mask_value is not None:
            self.add(layers.Masking(mask_value, step_axes=len(shape) - 1, name="masking", dtype=dtype))
        if len(shape) > 2:
            self._add_frames(shape[1:])
        self._add_recurrence()
        self._add_head()
        if not trainable:
            self.trainable = False

    def _add_frames(self, shape: Sequence[Any]) -> None:
        """A CNN on each image, whose outputs are features."""
        given = self._arguments
        shared = ("filters", "kernel_size", "padding", "pool_size", "normalization")
        frame = CNN(
            shape, given["features"], dense=(), activation="relu", name="frame", dtype=self._dtype,
            **{argument: given[argument] for argument in shared}, **self._kernels(),
        )  # fmt: skip
        self.add(layers.TimeDistributed(frame, name="frames"))

    def _add_recurrence(self) -> None:
        given, cell = self._arguments, CELLS[self._arguments["cell"]]
        for number, units in enumerate(given["units"], 1):
            if number > 1 and given["dropout"]:
                self.add(layers.Dropout(given["dropout"], name=f"dropout_{number - 1}", dtype=self._dtype))
            whole = number < len(given["units"])
            name = f"{given['cell']}_{number}"
            layer = cell(units, return_sequences=whole, name=name, dtype=self._dtype, **self._kernels())
            self.add(layers.Bidirectional(layer, name=f"both_{name}") if given["bidirectional"] else layer)

    def _add_head(self) -> None:
        given = self._arguments
        for number, size in enumerate(given["dense"], 1):
            self.add(
                layers.Dense(size, activation="relu", name=f"dense_{number}", dtype=self._dtype, **self._kernels())
            )
        if given["dropout"]:
            self.add(layers.Dropout(given["dropout"], name="dropout", dtype=self._dtype))
        self.add(
            layers.Dense(given["classes"], given["activation"], name="classes", dtype=self._dtype, **self._kernels())
        )

    def _kernels(self) -> dict[str, Any]:
        return {key: self._arguments[key] for key in ("kernel_initializer", "kernel_regularizer")}

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self._trainable, "dtype": str(self.dtype)} | as_plain(self._arguments)
