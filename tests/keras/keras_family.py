"""A family of golden cases that Keras computes, on its PyTorch backend, in float64: layers, losses, metrics, and what
else a family keeps by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "golden"))

import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from family import Family, float32_numbers  # noqa: E402
from keras.src.backend.common import dtypes  # noqa: E402

# Keras computes in float32 what is given in float64, outside of TensorFlow, whatever floatx says: not for us.
dtypes.BIT64_TO_BIT32_DTYPE.update({"float64": "float64", "int64": "int64"})
keras.config.set_floatx("float64")


class KerasFamily(Family):
    """The cases of one file of tests/keras/golden."""

    folder = HERE / "golden"

    def layer(
        self,
        case: str,
        cls: str,
        config: dict[str, Any],
        inputs: torch.Tensor | Sequence[torch.Tensor],
        *,
        training: bool = False,
        call: dict[str, Any] | None = None,
        masks: dict[str, torch.Tensor] | None = None,
        make: Callable[[], Any] | None = None,
        order: int = 1,
        **parameters: Any,
    ) -> None:
        """keras.layers.<cls>(**config) on the inputs (one, or several as a list), with random weights.

        Kept are the inputs "x0", …, the weights "w0", … as they were before the call, "w0_after", … where it changed
        them (moving averages), the outputs "y0", …, random cotangents "dy0", … and the gradients "d_x0", "d_w0", …
        `call`: further arguments of the call that are plain data; masks: those that are arrays. `make`: gives the layer
        where plain data cannot describe it (a wrapper of another layer); the test then builds its own. order = 0:
        no gradients.
        """
        several = not isinstance(inputs, torch.Tensor)
        xs = [x.clone() for x in (inputs if several else [inputs])]
        layer = make() if make else getattr(keras.layers, cls)(**config, dtype="float64")
        arguments = {**(call or {}), **(masks or {})}
        if _knows_training(layer):
            arguments["training"] = training
        layer(xs if several else xs[0], **arguments)  # builds it
        before = self._random_weights(layer.weights)
        floats = [x for x in xs if x.is_floating_point()]
        for x in floats if order else []:
            x.requires_grad_()
        outputs = layer(xs if several else xs[0], **arguments)
        ys = [y for y in _leaves(outputs) if isinstance(y, torch.Tensor)]
        named = {f"x{i}": x for i, x in enumerate(xs)} | {f"w{i}": w for i, w in enumerate(before)} | (masks or {})
        after = [weight.value.detach() for weight in layer.weights]
        named |= {f"w{i}_after": w for i, (w, old) in enumerate(zip(after, before, strict=True)) if not w.equal(old)}
        named |= {f"y{i}": y for i, y in enumerate(ys)}
        if order:
            named |= self._gradients(ys, {f"x{i}": x for i, x in enumerate(xs) if x.is_floating_point()}, layer)
        self.keep(
            case, named, cls=cls, config=config, call=call or {}, several=several, training=training, **parameters
        )

    def _random_weights(self, weights: Sequence[Any]) -> list[torch.Tensor]:
        """Random numbers put into all weights (positive ones into variances), and copies of them."""
        copies = []
        for weight in weights:
            values = self.normal(*weight.shape, scale=0.5)
            if "variance" in weight.path:
                values = float32_numbers(values.abs() + 0.5)
            if weight.dtype == "float64":
                weight.assign(values)
            copies.append(weight.value.detach().clone())
        return copies

    def _gradients(self, ys: list[torch.Tensor], xs: dict[str, torch.Tensor], layer: Any) -> dict[str, torch.Tensor]:
        trained = [weight.value for weight in layer.weights if weight.trainable]
        differentiable = [y for y in ys if y.requires_grad]
        dys = [self.normal(*y.shape) for y in ys]
        chosen = [dy for y, dy in zip(ys, dys, strict=True) if y.requires_grad]
        gradients = torch.autograd.grad(differentiable, [*xs.values(), *trained], chosen, allow_unused=True)
        names = [*xs, *[f"w{i}" for i, weight in enumerate(layer.weights) if weight.trainable]]
        named = {f"dy{i}": dy for i, dy in enumerate(dys)}
        for name, gradient, of in zip(names, gradients, [*xs.values(), *trained], strict=True):
            named[f"d_{name}"] = torch.zeros_like(of) if gradient is None else gradient
        return named

    def loss(
        self,
        case: str,
        cls: str,
        config: dict[str, Any],
        y_true: torch.Tensor,
        y_pred: torch.Tensor,
        sample_weight: torch.Tensor | None = None,
        **parameters: Any,
    ) -> None:
        """keras.losses.<cls>(**config): "y_true", "y_pred", "sample_weight" if given, "y", "dy" and "d_y_pred"."""
        y_pred = y_pred.clone().requires_grad_()
        given = None if sample_weight is None else sample_weight.clone()  # Keras writes the loss's mask into it
        y = getattr(keras.losses, cls)(**config)(y_true, y_pred, given)
        dy = self.normal(*y.shape)
        (gradient,) = torch.autograd.grad(y, y_pred, dy)
        named = {"y_true": y_true, "y_pred": y_pred, "y": y, "dy": dy, "d_y_pred": gradient}
        if sample_weight is not None:
            named["sample_weight"] = sample_weight
        self.keep(case, named, cls=cls, config=config, **parameters)

    def metric(
        self, case: str, cls: str, config: dict[str, Any], batches: Sequence[Sequence[torch.Tensor]], **parameters: Any
    ) -> None:
        """keras.metrics.<cls>(**config) over batches (y_true, y_pred) or (y_true, y_pred, sample_weight): "b0_0", …
        are the arrays, "y0", … the results after each batch."""
        metric = getattr(keras.metrics, cls)(**config)
        named = {}
        for number, batch in enumerate(batches):
            metric.update_state(*batch)
            named |= {f"b{number}_{i}": array for i, array in enumerate(batch)}
            named[f"y{number}"] = torch.as_tensor(np.asarray(keras.ops.convert_to_numpy(metric.result())))
        self.keep(case, named, cls=cls, config=config, batches=[len(batch) for batch in batches], **parameters)


def _knows_training(layer: Any) -> bool:
    return getattr(layer, "_call_has_training_arg", False)


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, (list, tuple)):
        return [leaf for entry in structure for leaf in _leaves(entry)]
    return (
        [leaf for entry in structure.values() for leaf in _leaves(entry)]
        if isinstance(structure, dict)
        else [structure]
    )
