"""The golden cases of what layers and losses take from the functions, beyond those of layer_families.py, which kernels
have too: other axes, other options, corners and far ends, gradients in the targets.

Each case's name begins with its function's; see FunctionFamily in family.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from array_families import bound, numbers, spread
from family import FunctionFamily, float32_numbers
from layer_families import channels_first, channels_last

FAR = (-np.inf, -3e38, -1e4, -104.0, -88.0, -30.0, -(2.0**-149), 2.0**-149, 30.0, 88.0, 1e4, 3e38, np.inf)


def further_activation() -> FunctionFamily:
    family = FunctionFamily("further_activation", seed=21)
    simple = {
        "relu": F.relu, "relu6": F.relu6, "elu": F.elu, "selu": F.selu, "gelu": F.gelu, "silu": F.silu,
        "sigmoid": torch.sigmoid, "hard_sigmoid": hard_sigmoid, "tanh": torch.tanh, "softsign": F.softsign,
        "softplus": lambda x: F.softplus(x, threshold=40), "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    }  # fmt: skip
    for name, function in simple.items():
        family.case(f"{name}, at 0", function, {"x": numbers(0.0, -0.0)}, order=1, each=True)
        # PyTorch has NaN for x·Φ(x) or x·σ(x) at an infinity, and its Φ is exact beside 1 only.
        far = FAR[1:-1] if name in ("gelu", "silu") else FAR
        least = {"least": 1.0} if name == "gelu" else {}
        family.case(f"{name}, far", function, {"x": numbers(*far)}, order=1, each=True, **least)
    for name in ("relu6", "hard_sigmoid", "softsign"):
        family.case(name, simple[name], {"x": spread(family, 7, 6)})
    family.case("relu6, at 6", F.relu6, {"x": numbers(6.0)}, order=1)
    family.case("hard_sigmoid, at its corners", hard_sigmoid, {"x": numbers(-3.0, 3.0)}, order=1)
    approximate = {"approximate": True}
    far, gelu_tanh = numbers(*FAR[1:-1]), bound(F.gelu, {"approximate": "tanh"})
    family.case("gelu, approximate, far", gelu_tanh, {"x": far}, approximate, order=1, each=True, least=1.0)
    _softmaxes(family)
    _prelus(family)
    return family


def rarer_activation() -> FunctionFamily:
    """PyTorch has neither squareplus nor the sparse ones: there stands the formula."""
    family = FunctionFamily("rarer_activation", seed=25)
    simple = {
        "celu": F.celu, "hard_shrink": F.hardshrink, "hard_silu": hard_silu, "hard_tanh": F.hardtanh,
        "log_sigmoid": F.logsigmoid, "mish": F.mish, "soft_shrink": F.softshrink, "tanh_shrink": F.tanhshrink,
        "sparse_sigmoid": lambda x: (x.clamp(-1, 1) + 1) / 2,
        "sparse_plus": lambda x: torch.where(x > 1, x, (x.clamp(-1, 1) + 1) ** 2 / 4),
        "squareplus": lambda x: (x + (x**2 + 4).sqrt()) / 2,
    }  # fmt: skip
    for name, function in simple.items():
        family.case(name, function, {"x": spread(family, 7, 6)})
    # PyTorch rounds 1/0.3 to float32, in float64 too.
    of_formula = lambda x: torch.where(x > 0, x, 0.3 * torch.expm1(x / 0.3))  # noqa: E731
    family.case("celu, 0.3", of_formula, {"x": spread(family, 9)}, {"alpha": 0.3})
    for name in ("hard_shrink", "soft_shrink"):
        option = {"threshold": 1.5}
        family.case(f"{name}, 1.5", lambda x, f=simple[name]: f(x, 1.5), {"x": spread(family, 9)}, option)
    family.case("squareplus, 0.5", lambda x: (x + (x**2 + 0.5).sqrt()) / 2, {"x": spread(family, 9)}, {"b": 0.5})
    options = {"threshold": 0.25, "default_value": -2.0}
    family.case("threshold", lambda x: F.threshold(x, 0.25, -2.0), {"x": spread(family, 9)}, options)
    for axis in (0, -1):
        option = {"axis": axis}
        family.case(f"glu, axis {axis}", lambda x, a=axis: F.glu(x, a), {"x": family.normal(4, 3, 6)}, option)
        family.case(f"sparsemax, axis {axis}", lambda x, a=axis: sparsemax(x, a), {"x": family.normal(5, 4)}, option)
    return family


def attention() -> FunctionFamily:
    family = FunctionFamily("attention", seed=26)
    attend = F.scaled_dot_product_attention

    def case(name: str, mask: torch.Tensor | None = None, **options: Any) -> None:
        q, k, v = (family.normal(2, rows, depth) for rows, depth in ((3, 4), (5, 4), (5, 2)))
        arrays = {"query": q, "key": k, "value": v}
        masks = {} if mask is None else {"mask": mask}

        def of_inputs(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *masks: torch.Tensor) -> torch.Tensor:
            return attend(q, k, v, *masks, **options)

        family.case(name, of_inputs, arrays | masks, options, constants=("mask",))

    case("scaled_dot_product_attention")
    case("scaled_dot_product_attention, scaled", scale=0.3)
    case("scaled_dot_product_attention, causal", is_causal=True)
    shown = torch.tensor(family.random.random((2, 3, 5)) < 0.6)
    shown[..., 0] = True  # of a query that sees nothing, PyTorch's result is NaN
    case("scaled_dot_product_attention, masked", shown)
    return family


def hard_silu(x: torch.Tensor) -> torch.Tensor:
    """PyTorch's own has no second derivative."""
    return x * hard_sigmoid(x)


def sparsemax(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Martins & Astudillo's algorithm 1, line by line."""
    z = x.movedim(axis, -1)
    ordered = z.sort(-1, descending=True).values
    k = torch.arange(1, z.shape[-1] + 1)
    support = (1 + k * ordered > ordered.cumsum(-1)).sum(-1, keepdim=True)
    tau = (ordered.cumsum(-1).gather(-1, support - 1) - 1) / support
    return (z - tau).clamp(min=0).movedim(-1, axis)


def hard_sigmoid(x: torch.Tensor) -> torch.Tensor:
    """PyTorch's own multiplies with 1/6 as float32 has it, in float64 too, and has no second derivative."""
    return F.relu6(x + 3) / 6


def _softmaxes(family: FunctionFamily) -> None:
    for name, function in (("softmax", torch.softmax), ("log_softmax", torch.log_softmax)):
        for axis in (0, 1, -1):
            x = family.normal(3, 4, 5, scale=2)
            family.case(f"{name}, axis {axis}", lambda x, f=function, a=axis: f(x, a), {"x": x}, {"axis": axis})
        far = numbers(*[1e4, -1e4, 0], *[-1e4, -1e4, -1e4], *[1e38, -1e38, 1e38], *[2.0**-149, 0, 1]).reshape(4, 3)
        family.case(f"{name}, far", lambda x, f=function: f(x, -1), {"x": far}, order=1)
        masked = numbers(*[-np.inf, 1, 2], *[-np.inf, -np.inf, 0], *[0.5, -np.inf, -1e4]).reshape(3, 3)
        family.case(f"{name}, masked", lambda x, f=function: f(x, -1), {"x": masked}, order=1)


def _prelus(family: FunctionFamily) -> None:
    def prelu(x, alpha):
        return channels_last(F.prelu(channels_first(x), alpha))

    x, alpha = spread(family, 2, 4, 3), family.uniform(3)
    family.case("prelu", prelu, {"x": x, "alpha": alpha})
    family.case("prelu, one slope", prelu, {"x": x, "alpha": family.uniform(1)})
    family.case("prelu, at 0", prelu, {"x": numbers(0.0, -0.0, 0.0).reshape(1, 1, 3), "alpha": alpha}, order=1)


def further_normalization() -> FunctionFamily:
    family = FunctionFamily("further_normalization", seed=22)
    for name, function in (
        ("batch_norm", lambda x: F.batch_norm(x, None, None, training=True, eps=1e-3)),
        ("instance_norm", lambda x: F.instance_norm(x, eps=1e-3)),
        ("group_norm", lambda x: F.group_norm(x, 2, eps=1e-3)),
    ):
        options = {"epsilon": 1e-3} | ({"groups": 2} if name == "group_norm" else {})
        x = family.normal(3, 5, 4)
        family.case(
            f"{name}, nothing else", lambda x, f=function: channels_last(f(channels_first(x))), {"x": x}, options
        )
    family.case("layer_norm, nothing else", lambda x: F.layer_norm(x, (5,), eps=1e-3), {"x": family.normal(3, 5)})
    family.case(
        "layer_norm, two axes",
        lambda x, gamma, beta: F.layer_norm(x, (3, 4), gamma, beta, eps=1e-5),
        {"x": family.normal(2, 3, 4), "gamma": family.uniform(3, 4), "beta": family.normal(3, 4)},
        {"axis": (-2, -1), "epsilon": 1e-5},
    )
    family.case(
        "layer_norm, a middle axis",
        lambda x, gamma, beta: F.layer_norm(x.swapaxes(1, 2), (3,), gamma, beta, eps=1e-3).swapaxes(1, 2),
        {"x": family.normal(2, 3, 4), "gamma": family.uniform(3), "beta": family.normal(3)},
        {"axis": 1},
    )
    _moving_averages(family)
    equal = float32_numbers(np.full((2, 4, 3), 2.0))
    family.case(
        "batch_norm, of equal numbers",
        lambda x: channels_last(F.batch_norm(channels_first(x), None, None, training=True, eps=1e-3)),
        {"x": equal},
        order=1,
    )
    return family


def _moving_averages(family: FunctionFamily) -> None:
    """The case also has `new_mean` and `new_variance`, the averages afterwards. PyTorch's momentum is 1 − ours."""
    mean, variance = family.normal(4), family.uniform(4, low=0.5, high=2)
    ones, zeros = torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    kept = {}

    def batch_norm(x, gamma, beta, mean, variance):
        kept["new_mean"], kept["new_variance"] = mean.clone(), variance.clone()
        given = channels_first(x), kept["new_mean"], kept["new_variance"], gamma, beta
        return channels_last(F.batch_norm(*given, training=True, momentum=0.25, eps=1e-3))

    family.case(
        "batch_norm, moving averages",
        batch_norm,
        {"x": family.normal(3, 2, 4), "gamma": ones, "beta": zeros, "mean": mean, "variance": variance},
        {"momentum": 0.75},
        order=1,
        constants=["mean", "variance"],
    )
    family.arrays["batch_norm, moving averages"] |= {name: array.numpy() for name, array in kept.items()}


def further_loss() -> FunctionFamily:
    """The functions of tomograd.functional, with gradients in the targets, and at their corners."""
    family = FunctionFamily("further_loss", seed=23)
    _functions(family)
    _corners(family)
    return family


def _functions(family: FunctionFamily) -> None:
    def each_row(function):
        return lambda z, t: function(z, t, reduction="none")

    logits, targets = family.normal(3, 2, 4, scale=2), family.uniform(3, 2, 4)
    labels = torch.from_numpy(family.random.integers(0, 4, (3, 2)))

    def by_class(logits, targets):
        t = targets if targets.is_floating_point() is False else channels_first(targets)
        return F.cross_entropy(channels_first(logits), t, reduction="none")

    family.case("sparse_cross_entropy, positions", by_class, {"logits": logits, "labels": labels})
    family.case("cross_entropy, positions", by_class, {"logits": logits, "targets": targets})
    binary = each_row(F.binary_cross_entropy_with_logits)
    family.case("binary_cross_entropy", binary, {"logits": logits, "targets": targets})
    family.case("squared_error", each_row(F.mse_loss), {"prediction": logits, "target": family.normal(3, 2, 4)})
    p, from_p = family.uniform(5, 3, low=0.05, high=0.95), {"from_logits": False}
    t = family.uniform(5, 3, low=0.05, high=0.95)
    # PyTorch has no gradient in the targets of its binary cross-entropy from probabilities.
    chosen = torch.tensor([0, 2, 1, 1, 0])
    family.case(
        "sparse_cross_entropy, from p", lambda p, l: each_row(F.nll_loss)(p.log(), l), {"p": p, "l": chosen}, from_p
    )
    family.case("cross_entropy, from p", lambda p, t: -(t * p.log()).sum(-1), {"p": p, "t": t}, from_p)
    bce = each_row(F.binary_cross_entropy)
    family.case("binary_cross_entropy, from p", bce, {"p": p, "t": t}, from_p, order=1, constants=["t"])

    def dice(p, t):
        return 2 * (p * t).sum(1) / (p.sum(1) + t.sum(1))

    family.case("dice", dice, {"p": family.uniform(2, 5, 3), "t": family.uniform(2, 5, 3)})


def _corners(family: FunctionFamily) -> None:
    far = numbers(*[1e4, -1e4, 0], *[-1e4, 1e4, 1e4], *[3e38, 0, -3e38], *[88, -104, 2.0**-149]).reshape(4, 3)
    labels = torch.tensor([1, 0, 2, 0])
    one_hot = F.one_hot(labels, 3).double()

    def each_row(function):
        return lambda z, t: function(z, t, reduction="none")

    cross_entropy = each_row(F.cross_entropy)
    family.case("sparse_cross_entropy, far", cross_entropy, {"z": far, "l": labels}, order=1, each=True)
    family.case("cross_entropy, far", cross_entropy, {"z": far, "t": one_hot}, order=1, constants=["t"], each=True)
    binary = each_row(F.binary_cross_entropy_with_logits)
    ends = numbers(1e4, -1e4, 3e38, -3e38, 0.0, -0.0, 104, -104)
    for target in (0.0, 0.25, 1.0):
        arguments = {"z": ends, "t": torch.full_like(ends, target)}
        family.case(
            f"binary_cross_entropy, far, {target}", binary, arguments, order=1, constants=["t"], each=True, least=1.0
        )
    masked = numbers(*[0.5, -np.inf, 1], *[-np.inf, -np.inf, 0]).reshape(2, 3)
    chosen = torch.tensor([2, 2])
    family.case("sparse_cross_entropy, masked", cross_entropy, {"z": masked, "l": chosen}, order=1)


FAMILIES = (rarer_activation, attention, further_activation, further_normalization, further_loss)
