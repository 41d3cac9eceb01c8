"""CNN: the plain convolutional classifier: convolutions and poolings, then dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine import initializers, layers, regularizers
from ..engine.config import as_plain
from .sequential import Sequential


class CNN(Sequential):
    """Convolution (relu) and max pooling for each entry of `filters`, then Flatten, dense layers (relu), the classes.

    CNN((224, 224, 3), 1, activation="sigmoid")      # conv 32, pool, conv 64, pool, dense 128, dense 1
    CNN((32, 32, 3), 10, filters=(32, 64, 64), dense=64, pool_last=False)

    input_shape: (*spatial, channels), one to three spatial sizes, all known: the dense layers need them.
    classes: outputs; 1 for two classes told apart by one number. The output are logits unless an `activation`
        ("sigmoid", "softmax") is given: train with a loss that says from_logits=True.
    filters: of each convolution. dense: units of the layer before the last, or several, or () for none.
    kernel_size, padding ("valid" | "same"): of the convolutions. kernel_initializer, kernel_regularizer: of these and
        of the dense layers. pool_size: of the poolings; pool_last: whether one follows the last convolution.
    normalization: "batch" for one between each convolution (then without bias) and its relu.
    dropout: the rate before the last layer.

    Raises ValueError for an argument out of range, or an input too small for so many convolutions and poolings.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int = 1,
        filters: int | Sequence[int] = (32, 64),
        dense: int | Sequence[int] = 128,
        dropout: float = 0.0,
        activation: Any = None,
        kernel_size: int | Sequence[int] = 3,
        padding: str = "valid",
        pool_size: int | Sequence[int] = 2,
        pool_last: bool = True,
        normalization: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        shape = tuple(input_shape)
        if not 2 <= len(shape) <= 4 or None in shape:
            raise ValueError(f"CNN: input_shape {shape} must be (*spatial, channels): one to three sizes, all known")
        if not filters:
            raise ValueError("CNN: filters is empty: at least one convolution is needed")
        if normalization not in ("batch", None):
            raise ValueError(f"CNN: normalization {normalization!r} must be 'batch' or None")
        filters = (filters,) if isinstance(filters, int) else tuple(filters)
        units = (dense,) if isinstance(dense, int) else tuple(dense)
        self._arguments = {
            "input_shape": shape, "classes": classes, "filters": filters, "dense": units, "dropout": dropout,
            "activation": activation, "kernel_size": kernel_size, "padding": padding, "pool_size": pool_size,
            "pool_last": pool_last, "normalization": normalization,
            "kernel_initializer": initializers.get(kernel_initializer),
            "kernel_regularizer": regularizers.get(kernel_regularizer),
        }  # fmt: skip
        super().__init__(name=name or layers.auto_name("Cnn"))
        self._dtype = dtype
        self.add(layers.Input(shape, dtype=dtype))
        try:
            self._add_trunk(len(shape) - 1)
        except ValueError as error:
            if "window" not in str(error):
                raise
            raise ValueError(
                f"CNN: input_shape {shape} is too small for {len(filters)} convolutions: {error}"
            ) from None
        self._add_head(units)
        if not trainable:
            self.trainable = False

    def _add_trunk(self, dimensions: int) -> None:
        """The convolutions and poolings."""
        given = self._arguments
        convolution = getattr(layers, f"Conv{dimensions}D")
        pooling = getattr(layers, f"MaxPooling{dimensions}D")
        batch = given["normalization"] == "batch"
        for number, filters in enumerate(given["filters"], 1):
            self.add(
                convolution(
                    filters, given["kernel_size"], padding=given["padding"], use_bias=not batch,
                    activation=None if batch else "relu", kernel_initializer=given["kernel_initializer"],
                    kernel_regularizer=given["kernel_regularizer"], name=f"conv_{number}", dtype=self._dtype,
                )
            )  # fmt: skip
            if batch:
                self.add(layers.BatchNormalization(activation="relu", name=f"norm_{number}", dtype=self._dtype))
            if number < len(given["filters"]) or given["pool_last"]:
                self.add(pooling(given["pool_size"], name=f"pool_{number}", dtype=self._dtype))

    def _add_head(self, units: tuple[int, ...]) -> None:
        """Flatten, the dense layers, the classes."""
        given = self._arguments
        shared = {"kernel_initializer": given["kernel_initializer"], "kernel_regularizer": given["kernel_regularizer"]}
        self.add(layers.Flatten(name="flatten", dtype=self._dtype))
        for number, size in enumerate(units, 1):
            self.add(layers.Dense(size, activation="relu", name=f"dense_{number}", dtype=self._dtype, **shared))
        if given["dropout"]:
            self.add(layers.Dropout(given["dropout"], name="dropout", dtype=self._dtype))
        self.add(
            layers.Dense(given["classes"], activation=given["activation"], name="classes", dtype=self._dtype, **shared)
        )

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self._trainable, "dtype": str(self.dtype)} | as_plain(self._arguments)
