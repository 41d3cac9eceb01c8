"""The golden cases of what NumPy has too: arithmetic, elementwise functions, reductions, shaping, indexing, products.

Each case's name begins with its function's; see FunctionFamily in family.py.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from family import FunctionFamily, float32_numbers

# Numbers at the ends of float32's range and at corners, each of which float32 holds.
HARD = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 2.0**-149, -(2.0**-127), 2.0**-126, 2.0**127, -3e38, math.inf, -math.inf)
# The like for float64, for which float32 is too small.
HARD_DOUBLE = (0.0, -0.0, 1.0, -1.5, 5e-324, -2e-308, 1e-200, 1e200, -1.7e308)


def pairs(numbers) -> tuple[torch.Tensor, torch.Tensor]:
    """Each number against each."""
    first, second = np.meshgrid(numbers, numbers, indexing="ij")
    return torch.from_numpy(first.reshape(-1)), torch.from_numpy(second.reshape(-1))


def float32_pairs() -> dict[str, torch.Tensor]:
    first, second = pairs(HARD)
    return {"a": float32_numbers(first), "b": float32_numbers(second)}


def double_pairs() -> dict[str, torch.Tensor]:
    return dict(zip("ab", pairs(HARD_DOUBLE), strict=True))


def spread(family: FunctionFamily, *shape: int) -> torch.Tensor:
    """No two equal, and none a whole number or 0."""
    size = math.prod(shape)
    return float32_numbers((family.random.permutation(size) - size / 2 + 0.27) / 3).reshape(shape)


def numbers(*values) -> torch.Tensor:
    return float32_numbers(np.array(values))


# ---------------------------------------------------------------------------------------------------------- arithmetic


def arithmetic() -> FunctionFamily:
    family = FunctionFamily("arithmetic", seed=11)
    _sums_and_products(family)
    _powers(family)
    _choices(family)
    _divisions_with_remainder(family)
    return family


def _sums_and_products(family: FunctionFamily) -> None:
    both = {"add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "divide": torch.div}
    for name, function in both.items():
        divisor = spread(family, 4, 1)
        family.case(name, function, {"a": family.normal(2, 3), "b": spread(family, 2, 3)})
        family.case(f"{name}, broadcast", function, {"a": family.normal(2, 1, 3), "b": divisor})
        family.case(f"{name}, a scalar", function, {"a": family.normal(2, 2), "b": numbers(1.75).reshape(())})
        family.case(f"{name}, a number on the right", function, {"a": family.normal(3), "b": 1.7})
        family.case(f"{name}, a number on the left", function_of_number(function), {"a": 1.7, "b": spread(family, 3)})
        family.case(f"{name}, hard", function, float32_pairs(), order=0, each=True)
        family.case(f"{name}, hard, double", function, double_pairs(), order=1, each=True, float64=True)
    family.case("add, to itself", lambda a, b: a + b, {"a": family.normal(0, 2), "b": family.normal(2)})
    family.case("negative", torch.neg, {"a": family.normal(2, 3)})
    family.case("negative, hard", torch.neg, {"a": numbers(*HARD)}, order=1, each=True)
    a, b = family.normal(2, 3, scale=3), family.normal(2, 1, scale=3)
    family.case("logaddexp", torch.logaddexp, {"a": a, "b": b})
    far = numbers(0, 1e4, -1e4, 1e4, 88.5, -3e38, 7, 1e8), numbers(0, -1e4, -1e4, 1e4, -30, 0, 7, 1e8)
    family.case("logaddexp, far", torch.logaddexp, {"a": far[0], "b": far[1]}, order=1, each=True)
    infinite = numbers(-np.inf, 1, np.inf, -np.inf, 2), numbers(1, -np.inf, 2, np.inf, np.inf)
    family.case("logaddexp, infinite", torch.logaddexp, {"a": infinite[0], "b": infinite[1]}, order=1, each=True)
    both_infinite = numbers(-np.inf, np.inf)
    arguments = {"a": both_infinite, "b": both_infinite.clone()}
    family.case("logaddexp, both infinite", torch.logaddexp, arguments, order=0, each=True)


def function_of_number(function):
    """A function of two tensors, for a Python number and a tensor."""
    return lambda number, tensor: function(torch.tensor(number, dtype=torch.float64), tensor)


def _powers(family: FunctionFamily) -> None:
    positive = family.uniform(2, 3, low=0.4, high=2)
    family.case("power", torch.pow, {"a": positive, "b": family.normal(3)})
    for n in (-2, -1, 0, 1, 2, 3):
        family.case(f"power, to the {n}", torch.pow, {"a": spread(family, 5), "b": n})
    for exponent in (0.5, -1.5, 2.0, 0.0):
        family.case(f"power, to the {exponent}", torch.pow, {"a": family.uniform(4, low=0.4, high=2), "b": exponent})
    family.case("power, of 2", torch.pow, {"a": 2.0, "b": family.normal(4)})
    whole = numbers(-3, -2, -1, 0, 1, 2)
    a, b = (values.reshape(-1) for values in torch.meshgrid(whole, whole, indexing="ij"))
    family.case("power, whole numbers", torch.pow, {"a": a, "b": b}, order=0, each=True)
    for n in (0, 1, 2, 3, -1, 0.5):
        name = f"power, corners to the {n}"
        corners = numbers(0.0, 1.0, 4.0) if n == 0.5 else numbers(0.0, -1.0, 1.0, 4.0, -0.25)
        family.case(name, torch.pow, {"a": corners, "b": n}, order=1, each=True)
    at_zero = {"a": numbers(0, 0, 0, 0, 2), "b": numbers(0, 1, 2.5, 0.5, 0)}
    family.case("power, of 0", torch.pow, at_zero, order=1, each=True)
    at_negative = {"a": numbers(0, 0, 0), "b": numbers(-1, -2, -0.5)}
    family.case("power, of 0 to negative ones", torch.pow, at_negative, order=1, each=True)
    family.case("power, hard", torch.pow, float32_pairs(), order=0, each=True)


def _choices(family: FunctionFamily) -> None:
    for name, function in (("maximum", torch.maximum), ("minimum", torch.minimum)):
        family.case(name, function, {"a": family.normal(2, 3), "b": family.normal(3)})
        tied = {"a": numbers(1, 2, 2, -3, 0), "b": numbers(1, 3, 1, -3, 0)}
        family.case(f"{name}, ties", function, tied, order=2)
        family.case(f"{name}, hard", function, float32_pairs(), order=0, each=True)
        missing = {"a": numbers(np.nan, 1, np.nan), "b": numbers(1, np.nan, np.nan)}
        family.case(f"{name}, NaN", function, missing, order=0, each=True)
    mask = torch.tensor([[True, False, True], [False, False, True]])
    family.case("where", torch.where, {"condition": mask, "a": family.normal(2, 3), "b": family.normal(3)})
    family.case("where, a number", torch.where, {"condition": mask, "a": family.normal(3), "b": 0.0})
    column = torch.tensor([[True], [False]])
    infinite = {"condition": column, "a": numbers(1, np.nan, np.inf), "b": numbers(-np.inf, 2, -0.0)}
    family.case("where, infinite", torch.where, infinite, order=1, each=True)
    x = numbers(-2, -0.5, 0, 0.25, 0.5, 3)
    family.case("clip", lambda a: a.clamp(-0.7, 0.6), {"a": x}, {"a_min": -0.7, "a_max": 0.6})
    family.case("clip, at the bounds", lambda a: a.clamp(-0.5, 0.5), {"a": x}, {"a_min": -0.5, "a_max": 0.5})
    family.case("clip, from below", lambda a: a.clamp(min=0.25), {"a": x}, {"a_min": 0.25})
    family.case("clip, from above", lambda a: a.clamp(max=0.25), {"a": x}, {"a_max": 0.25})
    low, high = numbers(-3, -0.5, 0.5, 0.25, 0, 1), numbers(-2.5, 0, 1, 0.75, 0.25, 2)
    family.case("clip, to arrays", torch.clamp, {"a": x, "low": low, "high": high})
    infinite = numbers(-np.inf, np.inf, np.nan, -0.0, 2.0**-149)
    bounds = {"a_min": -1.0, "a_max": 1.0}
    family.case("clip, hard", lambda a: a.clamp(-1, 1), {"a": infinite}, bounds, order=0, each=True)


def _divisions_with_remainder(family: FunctionFamily) -> None:
    a, b = spread(family, 3, 3), numbers(0.7, -0.7, 1.9)
    family.case("remainder", torch.remainder, {"a": a, "b": b})
    family.case("remainder, by a number", torch.remainder, {"a": a, "b": -0.7})
    family.case("floor_divide", lambda a, b: torch.div(a, b, rounding_mode="floor"), {"a": a, "b": b})
    whole = numbers(-7, -6, -1, 0, 1, 6, 7)
    divisors = numbers(-3, -2, 2, 3)
    a, b = (values.reshape(-1) for values in torch.meshgrid(whole, divisors, indexing="ij"))
    for name, function in (("remainder", torch.remainder), ("floor_divide", torch.floor_divide)):
        family.case(f"{name}, whole numbers", function, {"a": a, "b": b}, order=0, each=True)
        integers = {"a": a.long(), "b": b.long()}
        family.case(f"{name}, integers", function, integers, order=0)
        family.case(f"{name}, hard", function, float32_pairs(), order=0, each=True)


# --------------------------------------------------------------------------------------------------------- elementwise


def elementwise() -> FunctionFamily:
    family = FunctionFamily("elementwise", seed=12)
    everywhere = {
        "exp": torch.exp, "expm1": torch.expm1, "square": torch.square, "abs": torch.abs, "sin": torch.sin,
        "cos": torch.cos, "tan": torch.tan, "sign": torch.sign, "floor": torch.floor, "ceil": torch.ceil,
        "round": torch.round,
    }  # fmt: skip
    above_zero = {"log": torch.log, "log1p": torch.log1p, "sqrt": torch.sqrt}
    for name, function in (everywhere | above_zero).items():
        domain = {"low": 0.1, "high": 5.0} if name in above_zero else {"low": -5.0, "high": 5.0}
        family.case(name, function, {"x": family.uniform(3, 5, **domain)})
        family.case(f"{name}, hard", function, {"x": numbers(*HARD, np.nan)}, order=0, each=True)
        family.case(f"{name}, corners", function, {"x": _corners(name)}, order=1, each=True)
    halves = numbers(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 8388607.5, -0.49999997, 0.49999997)
    family.case("round, halves", torch.round, {"x": halves}, order=0, each=True)
    near = numbers(*[sign * 2.0**-power for power in (1, 10, 20, 30, 100) for sign in (-1, 1)])
    for name in ("expm1", "log1p", "sin", "tan"):
        family.case(f"{name}, near 0", getattr(torch, name), {"x": near}, order=1, each=True)
    far = numbers(10, 1e3, 1e6, 1e10, 2.0**60, 3e38, -355, 1.5707964, 3.1415927)
    for name in ("sin", "cos", "tan"):
        family.case(f"{name}, far", getattr(torch, name), {"x": far}, order=0, each=True)
    family.case("exp, far", torch.exp, {"x": numbers(88.7, 89, -87.5, -103, -104, 700, -745)}, order=0, each=True)
    family.case("expm1, far", torch.expm1, {"x": numbers(88.7, 89, -17, -50, -1e4)}, order=0, each=True)
    family.case("zeros_like", torch.zeros_like, {"x": family.normal(2, 3)}, order=0)
    family.case("ones_like", torch.ones_like, {"x": family.normal(2, 3)}, order=0)
    return family


def _corners(name: str) -> torch.Tensor:
    """Where a function or its derivative begins or ends, as far as it is defined there."""
    if name in ("log", "sqrt"):
        return numbers(0.0, 2.0**-149, 2.0**-126, 1.0, 2.0**127, np.inf)
    if name == "log1p":
        return numbers(-1.0, -0.9999999, 0.0, -0.0, 2.0**127, np.inf)
    if name in ("exp", "expm1"):
        return numbers(0.0, -0.0, 1.0, 2.0**-149, -np.inf)
    return numbers(0.0, -0.0, 1.0, -1.0, 2.0, 2.0**-149)


# ---------------------------------------------------------------------------------------------------------- reductions

AXES = ((None, False), (None, True), (0, False), (-1, True), ((0, 2), False), ((2, 0), True))


def reduction() -> FunctionFamily:
    family = FunctionFamily("reduction", seed=13)
    _over_axes(family)
    _products(family)
    _extremes(family)
    _spreads(family)
    _logsumexps(family)
    whole = family.integers(3, 4, 2, low=0, high=2)
    for name, function in (("any", torch.any), ("all", torch.all)):
        for axis, keepdims in AXES:
            dims = {} if axis is None and not keepdims else {"dim": axis, "keepdim": keepdims}
            options = {"axis": axis, "keepdims": keepdims}
            family.case(
                f"{name}, axis {axis}, keepdims {keepdims}", bound(function, dims), {"x": whole}, options, order=0
            )
        hard = numbers(np.nan, 0.0, -0.0, 2.0**-149).reshape(2, 2)
        family.case(f"{name}, hard", bound(function, {"dim": 1}), {"x": hard}, {"axis": 1}, order=0)
    family.case("channel_sum", lambda x: x.sum((0, 1)), {"x": family.normal(3, 4, 5)})
    family.case("sum_to", lambda x: x.sum_to_size((3, 1)), {"x": family.normal(2, 3, 4)}, {"shape": (3, 1)})
    family.case("sum_to, a scalar", lambda x: x.sum_to_size(()), {"x": family.normal(2, 3)}, {"shape": ()})
    return family


def bound(function, options):
    return lambda *arguments: function(*arguments, **options)


def _over_axes(family: FunctionFamily) -> None:
    functions = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}
    for name, function in functions.items():
        for axis, keepdims in AXES:
            dims = {"dim": () if axis is None and name in ("max", "min") else axis, "keepdim": keepdims}
            options = {"axis": axis, "keepdims": keepdims}
            x = spread(family, 3, 4, 2)
            family.case(f"{name}, axis {axis}, keepdims {keepdims}", bound(function, dims), {"x": x}, options)
        ends = numbers(3e38, -3e38, 2.0**-149, 2.0**-149, np.inf, 1.0).reshape(3, 2)
        family.case(f"{name}, hard", bound(function, {"dim": 1}), {"x": ends}, {"axis": 1}, order=0, each=True)
    family.case("sum, of nothing", bound(torch.sum, {"dim": 0}), {"x": family.normal(0, 3)}, {"axis": 0})
    family.case("sum, of integers", torch.sum, {"x": torch.arange(5)}, order=0)
    family.case("sum, of booleans", torch.sum, {"x": torch.arange(5) > 2}, order=0)
    family.case("sum, far from 0", bound(torch.sum, {"dim": 0}), {"x": family.uniform(50, 2) + 1024}, {"axis": 0})


def _products(family: FunctionFamily) -> None:
    family.case("prod", torch.prod, {"x": family.normal(2, 3)})
    along = {"dim": 1, "keepdim": True}
    family.case("prod, axis 1", bound(torch.prod, along), {"x": family.normal(3, 5, 2)}, {"axis": 1, "keepdims": True})
    both = family.normal(2, 3, 2)
    family.case("prod, two axes", lambda x: x.transpose(1, 2).flatten(0, 1).prod(0), {"x": both}, {"axis": (0, 2)})
    zeros = numbers(*[0, 2, 3, 4], *[0, 2, 0, 4], *[1, 2, 3, 0], *[0, 0, 0, 4]).reshape(4, 4)
    family.case("prod, with zeros", bound(torch.prod, {"dim": 1}), {"x": zeros}, {"axis": 1})
    family.case("prod, with zeros, whole", torch.prod, {"x": numbers(3, 0, -1)})
    family.case("prod, of nothing", bound(torch.prod, {"dim": 0}), {"x": family.normal(0, 2)}, {"axis": 0}, order=0)
    ends = numbers(2.0**100, 2.0**100, 2.0**-100, 2.0**-100, np.inf, -1).reshape(3, 2)
    family.case("prod, hard", bound(torch.prod, {"dim": 1}), {"x": ends}, {"axis": 1}, order=0, each=True)


def _extremes(family: FunctionFamily) -> None:
    ties = numbers(*[1, 3, 3, 2], *[5, 5, 5, 5], *[-1, -2, -1, -2]).reshape(3, 4)
    missing = numbers(*[1, np.nan, 3], *[np.inf, 2, np.inf], *[0.0, -1, -np.inf]).reshape(3, 3)
    for name, function, position in (("max", torch.amax, torch.argmax), ("min", torch.amin, torch.argmin)):
        family.case(f"{name}, ties", bound(function, {"dim": 1}), {"x": ties}, {"axis": 1})
        family.case(f"{name}, ties, whole", bound(function, {"dim": ()}), {"x": ties})
        family.case(f"{name}, missing", bound(function, {"dim": 1}), {"x": missing}, {"axis": 1}, order=0, each=True)
        function = f"arg{name}"
        x = family.normal(3, 4, 2)
        family.case(function, position, {"x": x}, order=0)
        for axis, keepdims in ((0, False), (-1, True)):
            options = {"axis": axis, "keepdims": keepdims}
            dims = {"dim": axis, "keepdim": keepdims}
            family.case(f"{function}, axis {axis}", bound(position, dims), {"x": x}, options, order=0)
        family.case(f"{function}, ties", bound(position, {"dim": 1}), {"x": ties}, {"axis": 1}, order=0)
        family.case(f"{function}, missing", bound(position, {"dim": 1}), {"x": missing}, {"axis": 1}, order=0)


def _spreads(family: FunctionFamily) -> None:
    for name, function in (("var", torch.var), ("std", torch.std)):
        for ddof in (0, 1):
            for axis, keepdims in ((None, False), (-1, True), ((0, 2), False)):
                dims = {"dim": axis, "correction": ddof, "keepdim": keepdims}
                options = {"axis": axis, "ddof": ddof, "keepdims": keepdims}
                x = family.normal(3, 4, 2)
                family.case(f"{name}, axis {axis}, ddof {ddof}", bound(function, dims), {"x": x}, options)
        equal = numbers(2, 2, 2, 1, 2, 3).reshape(2, 3)
        dims = {"dim": 1, "correction": 0}
        family.case(f"{name}, of equal numbers", bound(function, dims), {"x": equal}, {"axis": 1}, order=1)
        far = float32_numbers(family.normal(2, 6).numpy() + 4096)
        family.case(f"{name}, far from 0", bound(function, dims), {"x": far}, {"axis": 1}, order=1, scale=4096.0)


def _logsumexps(family: FunctionFamily) -> None:
    for axis, keepdims in ((0, False), (1, True), ((2, 0), False), ((0, 1, 2), True)):
        dims = {"dim": axis, "keepdim": keepdims}
        options = {"axis": axis, "keepdims": keepdims}
        x = family.normal(3, 4, 2, scale=2)
        family.case(f"logsumexp, axis {axis}", bound(torch.logsumexp, dims), {"x": x}, options)
    ends = numbers(*[1e4, -1e4, 9999], *[-1e4, -1e4, -1e4], *[3e38, 0, -3e38], *[-np.inf, 1, 2]).reshape(4, 3)
    over = bound(torch.logsumexp, {"dim": 1})
    family.case("logsumexp, hard", over, {"x": ends}, {"axis": 1}, order=0, each=True)
    # PyTorch's gradient is e^(x − y), and as exact as y is.
    far = numbers(*[100, -1, 99], *[-100, -100, -100], *[-np.inf, 1, 2]).reshape(3, 3)
    family.case("logsumexp, far", over, {"x": far}, {"axis": 1}, order=1, scale=100.0)
    infinite = numbers(*[-np.inf, -np.inf], *[np.inf, 1], *[np.inf, -np.inf]).reshape(3, 2)
    family.case("logsumexp, infinite", over, {"x": infinite}, {"axis": 1}, order=0)


# ------------------------------------------------------------------------------------------------------------- shaping


def shaping() -> FunctionFamily:
    family = FunctionFamily("shaping", seed=14)
    _views(family)
    _repetitions(family)
    _pieces(family)
    _borders(family)
    x = numbers(-2.5, -0.75, 0.0, 0.75, 1e6)
    family.case("astype, to int64", lambda x: x.long(), {"x": x}, {"dtype": "int64"}, order=0)
    family.case("astype, to bool", lambda x: x.bool(), {"x": x}, {"dtype": "bool"}, order=0)
    family.case("astype, to float64", lambda x: x.double(), {"x": x}, {"dtype": "float64"}, order=1, result="float64")
    rounded = torch.tensor([0.1, 1 / 3, 1e-50, 16777217.0], dtype=torch.float64)
    single = {"float64": True, "result": "float32"}
    family.case(
        "astype, to float32", lambda x: x.float().double(), {"x": rounded}, {"dtype": "float32"}, order=0, **single
    )
    return family


def _views(family: FunctionFamily) -> None:
    x = family.normal(2, 3, 4)
    views = (
        ("reshape", lambda x: x.reshape(4, -1), {"shape": (4, -1)}),
        ("reshape, flat", lambda x: x.reshape(-1), {"shape": -1}),
        ("transpose", lambda x: x.permute(2, 1, 0), {}),
        ("transpose, axes", lambda x: x.permute(1, -1, 0), {"axes": (1, -1, 0)}),
        ("swapaxes", lambda x: x.swapaxes(0, -1), {"axis1": 0, "axis2": -1}),
        ("moveaxis", lambda x: x.moveaxis(0, -1), {"source": 0, "destination": -1}),
        ("moveaxis, two", lambda x: x.moveaxis((0, 1), (-1, 0)), {"source": (0, 1), "destination": (-1, 0)}),
        ("expand_dims", lambda x: x.unsqueeze(1), {"axis": 1}),
        ("expand_dims, two", lambda x: x.unsqueeze(0).unsqueeze(-1), {"axis": (0, -1)}),
        ("flip", lambda x: x.flip(0, 1, 2), {}),
        ("flip, axis -1", lambda x: x.flip(-1), {"axis": -1}),
        ("flip, two axes", lambda x: x.flip(0, 2), {"axis": (0, 2)}),
    )
    for name, function, options in views:
        family.case(name, function, {"x": x}, options)
    thin = family.normal(1, 3, 1)
    family.case("squeeze", torch.squeeze, {"x": thin})
    family.case("squeeze, axis 0", lambda x: x.squeeze(0), {"x": thin}, {"axis": 0})
    family.case("squeeze, two axes", lambda x: x.squeeze((0, 2)), {"x": thin}, {"axis": (0, -1)})


def _repetitions(family: FunctionFamily) -> None:
    x = family.normal(2, 1, 3)
    cases = (
        ("broadcast_to", lambda x: torch.broadcast_to(x, (4, 2, 5, 3)), {"shape": (4, 2, 5, 3)}),
        ("tile", lambda x: torch.tile(x, (2, 1, 3)), {"repetitions": (2, 1, 3)}),
        ("tile, fewer counts", lambda x: torch.tile(x, (2,)), {"repetitions": 2}),
        ("tile, more counts", lambda x: torch.tile(x, (2, 1, 1, 2)), {"repetitions": (2, 1, 1, 2)}),
        ("repeat", lambda x: torch.repeat_interleave(x, 2), {"repeats": 2}),
        ("repeat, axis 0", lambda x: torch.repeat_interleave(x, 3, 0), {"repeats": 3, "axis": 0}),
        ("repeat, axis -1", lambda x: torch.repeat_interleave(x, 2, -1), {"repeats": 2, "axis": -1}),
    )
    for name, function, options in cases:
        family.case(name, function, {"x": x}, options)
    family.case("broadcast_to, a scalar", lambda x: x.broadcast_to(2, 2), {"x": family.normal()}, {"shape": (2, 2)})


def _pieces(family: FunctionFamily) -> None:
    def joined(function, axis):
        return lambda *parts: function(parts, axis)

    parts = {"a": family.normal(2, 1), "b": family.normal(2, 3), "c": family.normal(2, 0)}
    family.case("concatenate, axis 1", joined(torch.cat, 1), parts, {"axis": 1})
    family.case("concatenate", joined(torch.cat, 0), {"a": family.normal(2, 3), "b": family.normal(1, 3)})
    for axis in (0, 1, -1):
        parts = {"a": family.normal(2, 3), "b": family.normal(2, 3)}
        family.case(f"stack, axis {axis}", joined(torch.stack, axis), parts, {"axis": axis})
    x = family.normal(2, 6)
    for part in range(3):
        family.case(
            f"split, part {part}",
            lambda x, part=part: torch.tensor_split(x, 3, 1)[part],
            {"x": x},
            {"sections": 3, "axis": 1, "part": part},
        )
        family.case(
            f"split, at places, part {part}",
            lambda x, part=part: torch.tensor_split(x, (1, 4), 1)[part],
            {"x": x},
            {"sections": (1, 4), "axis": -1, "part": part},
        )


def _borders(family: FunctionFamily) -> None:
    x = family.normal(2, 3, 4, 5)
    widths, torch_widths = ((0, 0), (0, 0), (1, 2), (3, 0)), (3, 0, 1, 2)
    for mode, torch_mode in (("edge", "replicate"), ("reflect", "reflect"), ("wrap", "circular")):
        for name, these, torch_these in (
            ("", widths, torch_widths),
            (", wide", ((0, 0),) * 3 + ((4, 4),), (4, 4, 0, 0)),
        ):
            family.case(
                f"pad, {mode}{name}",
                lambda x, mode=torch_mode, these=torch_these: F.pad(x, these, mode),
                {"x": x},
                {"pad_width": these, "mode": mode},
            )
    # PyTorch has no mode "symmetric".
    image = family.normal(2, 3)
    family.case("pad", lambda x: F.pad(x, (1, 1, 1, 1)), {"x": image}, {"pad_width": 1})
    family.case(
        "pad, constant",
        lambda x: F.pad(x, (2, 3, 1, 0), value=-1.5),
        {"x": image},
        {"pad_width": ((1, 0), (2, 3)), "constant_values": -1.5},
    )


# ------------------------------------------------------------------------------------------------------------ indexing


def indexing() -> FunctionFamily:
    family = FunctionFamily("indexing", seed=15)
    _indices(family)
    x = family.normal(3, 4, 2)
    places = torch.tensor([[0, 2], [2, 2]])
    family.case("take", lambda x, i: x[:, i], {"x": x, "indices": places}, {"axis": 1})
    family.case("take, axis -1", lambda x, i: x[..., i], {"x": x, "indices": torch.tensor([1, 1, 0])}, {"axis": -1})
    family.case("take, one", lambda x, i: x[i], {"x": x, "indices": torch.tensor(2)}, {"axis": 0})
    one = torch.argmax(x, 1, keepdim=True)
    family.case("take_along_axis", lambda x, i: torch.take_along_dim(x, i, 1), {"x": x, "indices": one}, {"axis": 1})
    many = torch.from_numpy(family.random.integers(0, 3, (5, 4, 2)))
    family.case(
        "take_along_axis, repeated", lambda x, i: torch.take_along_dim(x, i, 0), {"x": x, "indices": many}, {"axis": 0}
    )
    words = torch.tensor([[0, 2, 2], [4, 0, 2]])
    family.case("embedding", F.embedding, {"indices": words, "weight": family.normal(5, 3)})
    family.case("embedding, of nothing", F.embedding, {"indices": words[:0], "weight": family.normal(5, 3)}, order=1)
    family.case(
        "one_hot",
        lambda labels: F.one_hot(labels, 5).double(),
        {"labels": words},
        {"classes": 5},
        order=0,
        result="float32",
    )
    return family


def _indices(family: FunctionFamily) -> None:
    """`index` is written as in Python; names in it are arrays of the case."""
    x = family.normal(3, 4, 5)
    rows, columns = torch.tensor([2, 0, 2, -1]), torch.tensor([1, 1, 1, -2])
    grid = torch.tensor([[0, 1], [1, -1]])
    row_mask, mask = torch.tensor([True, False, True]), family.normal(3, 4) > 0
    cases = (
        ("1", lambda x: x[1], {}),
        ("-1, ..., 2", lambda x: x[-1, ..., 2], {}),
        ("1:, :-1, ::2", lambda x: x[1:, :-1, ::2], {}),
        ("..., None, 1", lambda x: x[..., None, 1], {}),
        ("::-1, :, 4:0:-2", lambda x: x.flip(0)[:, :, [4, 2]], {}),
        ("5:", lambda x: x[5:], {}),
        ("rows", lambda x, rows: x[rows], {"rows": rows}),
        (":, grid", lambda x, grid: x[:, grid], {"grid": grid}),
        ("rows, columns", lambda x, rows, columns: x[rows, columns], {"rows": rows, "columns": columns}),
        ("rows, :, columns", lambda x, rows, columns: x[rows, :, columns], {"rows": rows, "columns": columns}),
        ("rows, 1:3", lambda x, rows: x[rows, 1:3], {"rows": rows}),
        ("rows, 2", lambda x, rows: x[rows, 2], {"rows": rows}),
        ("1, :, columns", lambda x, columns: x[1, :, columns], {"columns": columns}),
        ("mask", lambda x, mask: x[mask], {"mask": mask}),
        ("row_mask, ..., 1", lambda x, row_mask: x[row_mask, ..., 1], {"row_mask": row_mask}),
    )
    for text, function, arrays in cases:
        order = 0 if text == "1, :, columns" else 2
        family.case(f"index, [{text}]", function, {"x": x, **arrays}, {"index": text}, order=order)


# ------------------------------------------------------------------------------------------------------ linear algebra


def linear_algebra() -> FunctionFamily:
    family = FunctionFamily("linear_algebra", seed=16)
    shapes = (
        ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 2, 3), (3, 2)), ((2, 2, 3), (2, 3, 1)),
        ((2, 1, 2, 3), (3, 3, 2)), ((3,), (2, 3, 2)), ((2, 2, 3), (3,)), ((5, 17), (17, 6)), ((2, 0), (0, 3)),
        ((0, 2), (2, 3)),
    )  # fmt: skip
    for a, b in shapes:
        family.case(f"matmul, {a} @ {b}", torch.matmul, {"a": family.normal(*a), "b": family.normal(*b)})
    integers = {"a": family.integers(2, 3).long(), "b": family.integers(3, 2).long()}
    family.case("matmul, integers", torch.matmul, integers, order=0)
    far = {"a": family.normal(3, 4, scale=1e15), "b": family.normal(4, 2, scale=1e-12)}
    family.case("matmul, far", torch.matmul, far, order=1)
    _dense_layers(family)
    factors = (
        ("ij,jk->ik", (2, 3), (3, 2)), ("ij,kj->ki", (2, 3), (4, 3)), ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
        ("i,j->ij", (3,), (4,)), ("i,j,k->", (2,), (3,), (2,)), ("ijk->kj", (2, 3, 2)), ("ijk->", (2, 3, 2)),
        ("abc,cd,db->a", (2, 3, 2), (2, 4), (4, 3)), ("ij,ij->i", (3, 4), (3, 4)), ("ij,k->ki", (2, 3), (4,)),
    )  # fmt: skip
    for subscripts, *shapes_of_factors in factors:
        tensors = {name: family.normal(*shape) for name, shape in zip("abc", shapes_of_factors, strict=False)}
        family.case(
            f"einsum, {subscripts}",
            lambda *parts, subscripts=subscripts: torch.einsum(subscripts, *parts),
            tensors,
            {"subscripts": subscripts},
        )
    return family


def _dense_layers(family: FunctionFamily) -> None:
    def dense(x, weight, bias=None):
        return F.linear(x, weight.T, bias)

    weight, bias = family.normal(3, 4), family.normal(4)
    for name, shape in (("", (5, 3)), (", a vector", (3,)), (", positions", (2, 2, 3)), (", of nothing", (0, 3))):
        family.case(f"dense{name}", dense, {"x": family.normal(*shape), "weight": weight, "bias": bias})
    family.case("dense, no bias", dense, {"x": family.normal(2, 3), "weight": weight})
    for activation in ("relu", "tanh", "softmax"):
        after = {"relu": F.relu, "tanh": torch.tanh, "softmax": lambda y: F.softmax(y, -1)}[activation]
        family.case(
            f"dense, {activation}",
            lambda *arguments, after=after: after(dense(*arguments)),
            {"x": family.normal(4, 3), "weight": weight, "bias": bias},
            {"activation": activation},
        )


FAMILIES = (arithmetic, elementwise, reduction, shaping, indexing, linear_algebra)
