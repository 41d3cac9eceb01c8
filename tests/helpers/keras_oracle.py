"""Compares layers, losses and metrics with what Keras gave: tests/keras/generate.py wrote it, and says what it holds.

@pytest.mark.parametrize("case", keras_oracle.cases("core"), ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients(case, dtype):
    keras_oracle.check_layer(case, dtype)
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import golden
import numpy as np

import tomograd as tg
from tomograd.engine.layers.symbolic import flatten

FOLDER = Path(__file__).parents[1] / "keras" / "golden"

# What float32 may differ by, relative to the largest element: sums of some hundred terms and a few functions of them.
CLOSE = {"float32": 3e-5, "float64": 1e-11}


def cases(family: str) -> list[golden.Case]:
    """All cases of tests/keras/golden/<family>.npz."""
    return golden.cases(family, FOLDER)


@cache
def signatures() -> dict[str, Any]:
    """subject → name → [[parameter, default], …]: see tests/keras/generate.py."""
    return json.loads((FOLDER / "signatures.json").read_text(encoding="utf-8"))["subjects"]


@cache
def names_at_top() -> list[str]:
    """The names of the module keras itself."""
    return json.loads((FOLDER / "signatures.json").read_text(encoding="utf-8"))["top"]


def version() -> str:
    """The version of Keras that wrote them."""
    return json.loads((FOLDER / "signatures.json").read_text(encoding="utf-8"))["keras"]


def numbered(case: golden.Case, stem: str, dtype: str) -> list[np.ndarray]:
    """The case's arrays "x0", "x1", … of a stem."""
    found = []
    while f"{stem}{len(found)}" in case.values:
        found.append(case.array(f"{stem}{len(found)}", dtype))
    return found


def made(case: golden.Case, dtype: str) -> Any:
    """The case's layer, lists where JSON had them as Keras took them."""
    return getattr(tg.layers, case.parameters["cls"])(**case.parameters["config"], dtype=dtype)


def check_layer(
    case: golden.Case, dtype: str, layer: Any = None, masks: dict[str, str] | None = None, least: float = 1e-3
) -> None:
    """Outputs, changed weights and gradients of the case's layer (or the one given) are those that Keras gave.

    masks: which arrays of the case are given to the call, {argument: name of the array}; by default those that are
    named "mask", "query_mask", …. least: what the largest element counts for at least, where arrays should be 0 and
    are made of numbers of this size.
    """
    layer = layer or made(case, dtype)
    xs, weights = numbered(case, "x", dtype), numbered(case, "w", dtype)
    masks = {name: name for name in case.values if name.endswith("mask")} if masks is None else masks
    arguments = case.parameters["call"] | {argument: case.array(name) for argument, name in masks.items()}
    several = case.parameters["several"]
    layer(xs if several else xs[0], **arguments)  # builds it
    layer.set_weights(weights)
    inputs = [tg.Tensor(x, requires_grad=x.dtype.kind == "f" and "dy0" in case.values) for x in xs]
    outputs = layer(inputs if several else inputs[0], training=case.parameters["training"], **arguments)
    ys = [y for y in flatten(outputs) if y is not None]
    expected = numbered(case, "y", dtype)
    assert len(ys) == len(expected)
    for y, wanted in zip(ys, expected, strict=True):
        close(y.numpy(), wanted, dtype, "output", least)
    for index, weight in enumerate(layer.weights):
        wanted = case.array(f"w{index}_after" if f"w{index}_after" in case.values else f"w{index}", dtype)
        close(weight.numpy(), wanted, dtype, f"weight {weight.name} after the call", least)
    if "dy0" in case.values:
        _check_gradients(case, dtype, layer, inputs, ys, least)


def _check_gradients(case: golden.Case, dtype: str, layer: Any, inputs: list[Any], ys: list[Any], least: float) -> None:
    cotangents = numbered(case, "dy", dtype)
    total = sum(tg.functional.sum(y * dy) for y, dy in zip(ys, cotangents, strict=True) if y.requires_grad)
    wanted = {f"x{i}": x for i, x in enumerate(inputs)} | {f"w{i}": w for i, w in enumerate(layer.weights)}
    wanted = {name: tensor for name, tensor in wanted.items() if f"d_{name}" in case.values}
    given = {name for name in case.values if name.startswith("d_")}
    assert given == {f"d_{name}" for name in wanted}
    gradients = tg.grad(total, list(wanted.values()), allow_unused=True)
    for name, tensor, gradient in zip(wanted, wanted.values(), gradients, strict=True):
        own = np.zeros(tensor.shape, dtype) if gradient is None else gradient.numpy()
        close(own, case.array(f"d_{name}", dtype), dtype, f"gradient of {name}", least)


def check_loss(case: golden.Case, dtype: str, tolerance: float | None = None) -> None:
    """The case's loss and its gradient are those that Keras gave, or as near as `tolerance`."""
    loss = getattr(tg.losses, case.parameters["cls"])(**case.parameters["config"])
    y_pred = tg.Tensor(case.array("y_pred", dtype), requires_grad=True)
    weight = case.array("sample_weight", dtype) if "sample_weight" in case.values else None
    y = loss(case.array("y_true", dtype), y_pred, weight)
    close(y.numpy(), case.array("y", dtype), dtype, "loss", tolerance=tolerance)
    (gradient,) = tg.grad([y], [y_pred], [tg.Tensor(case.array("dy", dtype))])
    close(gradient.numpy(), case.array("d_y_pred", dtype), dtype, "gradient", tolerance=tolerance)


def check_metric(case: golden.Case, tolerance: float = 1e-6) -> None:
    """The case's metric is after each batch what Keras gave."""
    metric = getattr(tg.metrics, case.parameters["cls"])(**case.parameters["config"])
    for number, length in enumerate(case.parameters["batches"]):
        metric.update_state(*[case.array(f"b{number}_{i}") for i in range(length)])
        result = np.asarray(metric.result())
        np.testing.assert_allclose(result, case.array(f"y{number}"), rtol=tolerance, atol=tolerance)


def close(
    actual: np.ndarray,
    expected: np.ndarray,
    dtype: str,
    what: str,
    least: float = 1e-3,
    tolerance: float | None = None,
) -> None:
    """`actual` has the expected shape and type, and is close, relative to the largest element or `least`: within
    `tolerance`, or what its type may differ by."""
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, Keras has {expected.shape}"
    assert actual.dtype.kind != "f" or actual.dtype == dtype, f"{what}: {actual.dtype}"
    largest = float(np.abs(expected, where=np.isfinite(expected), out=np.zeros(expected.shape)).max(initial=0))
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=(tolerance or CLOSE[dtype]) * max(largest, least), err_msg=what
    )
