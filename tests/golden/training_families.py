"""The golden cases of training: losses as classes, optimizers' steps, learning rates that follow a schedule.

- loss_class: as FunctionFamily in family.py; function "losses.<class>", its options are those of the class
  (PyTorch has no hinge loss for −1 and 1, no focal loss, and no loss of overlaps)
- optimizer: w0, w1, … the weights before, g0, g1, … their gradients at each step (steps, *shape), y0, y1, … the weights
  after each step; optimizer (the class), options
- schedule: steps and y, the learning rate of each step; schedule (the class), options
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from array_families import bound, numbers, spread
from family import Family, FunctionFamily

SHAPES = ((3, 2), (19,), ())
STEPS = 6


# -------------------------------------------------------------------------------------------------------------- losses


def loss_class() -> FunctionFamily:
    """Called with (y_true, y_pred, sample_weight); differentiated in y_pred."""
    family = FunctionFamily("loss_class", seed=31)
    _distances(family)
    _cross_entropies(family)
    return family


def case(
    family: FunctionFamily, name: str, function: Callable, arguments: dict[str, Any], options=None, **others
) -> None:
    """`name` begins with the class; y_true and sample_weight are constants."""
    cls = name.split(",")[0]
    constants = ("y_true", "sample_weight")
    family.case(name, function, arguments, options, function=f"losses.{cls}", constants=constants, **others)


def _distances(family: FunctionFamily) -> None:
    functions = {"MeanSquaredError": F.mse_loss, "MeanAbsoluteError": F.l1_loss, "Huber": F.huber_loss}
    for name, function in functions.items():
        arguments = {"y_true": family.normal(4, 3), "y_pred": spread(family, 4, 3)}
        case(family, name, lambda t, p, f=function: f(p, t), arguments)
        for ours, theirs in (("sum", "sum"), (None, "none")):

            def reduced(t, p, function=function, theirs=theirs):
                y = function(p, t, reduction="none").mean(-1)  # tomograd's values are means over the last axis
                return y.sum() if theirs == "sum" else y

            case(family, f"{name}, {theirs}", reduced, arguments, {"reduction": ours})
        weights = family.uniform(4)

        def weighted(t, p, w, function=function):
            return (function(p, t, reduction="none") * w[:, None]).mean()

        case(family, f"{name}, weighted", weighted, {**arguments, "sample_weight": weights})
        equal = {"y_true": numbers(1, -2, 0, 3).reshape(2, 2), "y_pred": numbers(1, -2, -0.0, 2).reshape(2, 2)}
        case(family, f"{name}, where equal", lambda t, p, f=function: f(p, t), equal, order=1)
    for delta in (0.25, 3.0):
        arguments = {"y_true": family.normal(4, 3), "y_pred": family.normal(4, 3, scale=3)}
        huber = lambda t, p, delta=delta: F.huber_loss(p, t, delta=delta)  # noqa: E731
        case(family, f"Huber, delta {delta}", huber, arguments, {"delta": delta})
    at_delta = {"y_true": numbers(0, 0, 0).reshape(1, 3), "y_pred": numbers(1, -1, 0.5).reshape(1, 3)}
    case(family, "Huber, at delta", lambda t, p: F.huber_loss(p, t), at_delta)


def _cross_entropies(family: FunctionFamily) -> None:
    z, labels = family.normal(5, 4, scale=2), torch.tensor([3, 0, 2, 2, 1])
    p = torch.softmax(family.normal(5, 4), -1).float().double()
    from_logits, weights = {"from_logits": True}, family.uniform(5)
    name = "SparseCategoricalCrossentropy"
    whole = {"y_true": labels, "y_pred": z}
    case(family, name, lambda t, z: F.cross_entropy(z, t), whole, from_logits)
    case(
        family,
        f"{name}, from p",
        lambda t, p: F.nll_loss((p / p.sum(-1, keepdim=True)).log(), t),
        {"y_true": labels, "y_pred": p},
    )
    ignoring = from_logits | {"ignore_class": 2}
    case(family, f"{name}, ignore_class", lambda t, z: F.cross_entropy(z, t, ignore_index=2), whole, ignoring)
    case(
        family,
        f"{name}, ignore_class, not reduced",
        lambda t, z: F.cross_entropy(z, t, ignore_index=2, reduction="none"),
        whole,
        ignoring | {"reduction": None},
    )
    case(
        family,
        f"{name}, weighted",
        lambda t, z, w: (F.cross_entropy(z, t, reduction="none") * w).mean(),
        {**whole, "sample_weight": weights},
        from_logits,
    )
    image = {"y_true": torch.tensor([[1, 0, 3], [2, 2, 0]]), "y_pred": family.normal(2, 3, 4)}
    case(family, f"{name}, positions", lambda t, z: F.cross_entropy(z.movedim(-1, 1), t), image, from_logits)
    _dense_cross_entropies(family, z, labels)


def _dense_cross_entropies(family: FunctionFamily, z: torch.Tensor, labels: torch.Tensor) -> None:
    one_hot, shares = F.one_hot(labels, 4).double(), torch.softmax(family.normal(5, 4), -1).float().double()
    name = "CategoricalCrossentropy"
    for smoothing in (0.0, 0.125, 1.0):
        options = {"from_logits": True, "label_smoothing": smoothing}
        for kind, targets in (("one-hot", one_hot), ("shares", shares)):
            case(
                family,
                f"{name}, {kind}, smoothing {smoothing}",
                lambda t, z, s=smoothing: F.cross_entropy(z, t, label_smoothing=s),
                {"y_true": targets, "y_pred": z},
                options,
            )
    name = "BinaryCrossentropy"
    bits, logits = (family.normal(5, 3) > 0).double(), family.normal(5, 3, scale=3)
    case(
        family,
        name,
        lambda t, z: F.binary_cross_entropy_with_logits(z, t),
        {"y_true": bits, "y_pred": logits},
        {"from_logits": True},
    )
    p = family.uniform(5, 3, low=0.05, high=0.95)
    case(family, f"{name}, from p", lambda t, p: F.binary_cross_entropy(p, t), {"y_true": bits, "y_pred": p}, order=1)
    weights = family.uniform(5)
    case(
        family,
        f"{name}, weighted",
        lambda t, z, w: F.binary_cross_entropy_with_logits(z, t, weight=w[:, None]),
        {"y_true": bits, "y_pred": logits, "sample_weight": weights},
        {"from_logits": True},
    )


# ---------------------------------------------------------------------------------------------------------- optimizers


def optimizer() -> Family:
    """Where PyTorch's formulas are tomograd's (Keras's), or become them by something done before each step.

    Not the same are RMSprop's and Adagrad's epsilon, inside the root in tomograd, Adamax's, and momentum while the
    learning rate changes: tomograd's velocity has been multiplied with the rate, PyTorch's will be.
    """
    family = Family("optimizer", seed=32)
    _sgds(family)
    _adams(family)
    _rmsprops(family)
    _others(family)
    return family


def _sgds(family: Family) -> None:
    def sgd(w, **options):
        return torch.optim.SGD(w, lr=0.1, **options)

    rate = {"learning_rate": 0.1}
    steps(family, "SGD", sgd, rate)
    for name, options in {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.8, "nesterov": True}}.items():
        steps(family, f"SGD, {name}", bound(sgd, options), rate | options)
        decayed = rate | options | {"weight_decay": 0.05}
        steps(family, f"SGD, {name}, weight decay", bound(sgd, options), decayed, bound(_shrink, {"factor": 0.995}))
    # Without momentum, decay that is added to the gradient is the same as decay of the weight.
    decay = {"weight_decay": 0.05}
    steps(family, "SGD, weight decay", bound(sgd, decay), rate | decay)
    by_value = bound(torch.nn.utils.clip_grad_value_, {"clip_value": 0.4})
    steps(family, "SGD, clipvalue", sgd, rate | {"clipvalue": 0.4}, by_value)
    together = bound(_clip, {"largest": 2.0})
    steps(family, "SGD, global_clipnorm", sgd, rate | {"global_clipnorm": 2.0}, together)
    steps(family, "SGD, clipnorm", sgd, rate | {"clipnorm": 0.5}, lambda w: [_clip([one], 0.5) for one in w])


def _adams(family: Family) -> None:
    def adam(w, **options):
        return torch.optim.Adam(w, lr=0.01, betas=(0.8, 0.95), **options)

    options = {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95}
    steps(family, "Adam, epsilon 0", lambda w: adam(w, eps=0.0), options | {"epsilon": 0.0})
    for epsilon in (1e-7, 0.125):
        steps(family, f"Adam, epsilon {epsilon}", adam, options | {"epsilon": epsilon})
    decayed = options | {"epsilon": 1e-7, "weight_decay": 0.1}

    def adamw(w):
        return torch.optim.AdamW(w, lr=0.01, betas=(0.8, 0.95), weight_decay=0.1)

    steps(family, "AdamW", adamw, decayed)
    steps(family, "Adam, weight decay", adamw, decayed)  # tomograd's decay is decoupled in Adam too
    defaults = {"learning_rate": 0.001, "weight_decay": 0.004, "epsilon": 1e-7}
    steps(family, "AdamW, defaults", lambda w: torch.optim.AdamW(w, weight_decay=0.004), defaults)


def _rmsprops(family: Family) -> None:
    def rmsprop(w, **options):
        return torch.optim.RMSprop(w, lr=0.01, alpha=0.8, eps=0.0, **options)

    plain = {"learning_rate": 0.01, "rho": 0.8, "epsilon": 0.0}
    momentum, centered = {"momentum": 0.7}, {"centered": True}
    steps(family, "RMSprop", rmsprop, plain)
    for name, options in {
        "momentum": momentum, "centered": centered, "centered, momentum": centered | momentum
    }.items():  # fmt: skip
        steps(family, f"RMSprop, {name}", bound(rmsprop, options), plain | options)
    decayed = plain | momentum | {"weight_decay": 0.5}
    steps(family, "RMSprop, weight decay", bound(rmsprop, momentum), decayed, bound(_shrink, {"factor": 0.995}))


def _others(family: Family) -> None:
    def amsgrad(w):
        return torch.optim.Adam(w, lr=0.01, betas=(0.8, 0.5), amsgrad=True)

    options = {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.5, "epsilon": 1e-7}
    steps(family, "Adam, amsgrad", amsgrad, options | {"amsgrad": True})
    betas = {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95}
    steps(
        family, "Adamax", lambda w: torch.optim.Adamax(w, lr=0.01, betas=(0.8, 0.95), eps=0.0), betas | {"epsilon": 0.0}
    )
    torch.set_default_dtype(torch.float64)  # of the product of momenta
    for epsilon in (1e-7, 0.125):  # with a decay of 1 its momenta are those of the paper and of tomograd
        steps(
            family,
            f"Nadam, epsilon {epsilon}",
            lambda w, e=epsilon: torch.optim.NAdam(w, lr=0.01, betas=(0.8, 0.95), eps=e, momentum_decay=1.0),
            betas | {"epsilon": epsilon},
        )
    torch.set_default_dtype(torch.float32)
    started = {"learning_rate": 0.1, "initial_accumulator_value": 0.5, "epsilon": 0.0}
    steps(family, "Adagrad", lambda w: torch.optim.Adagrad(w, lr=0.1, initial_accumulator_value=0.5, eps=0.0), started)
    delta = {"learning_rate": 0.5, "rho": 0.8, "epsilon": 0.01}
    steps(family, "Adadelta", lambda w: torch.optim.Adadelta(w, lr=0.5, rho=0.8, eps=0.01), delta)


def steps(family: Family, name: str, make: Callable, options: dict[str, Any], before: Callable | None = None) -> None:
    """`before` may change the weights and their gradients, and is called before each step.

    tomograd (and Keras) add epsilon to Adam's root before its bias is corrected, PyTorch afterwards: there it has to
    be divided by √(1 − β₂ᵗ), which is done at each step.
    """
    weights = [family.normal(*shape).requires_grad_() for shape in SHAPES]
    arrays = {f"w{i}": weight.detach().clone() for i, weight in enumerate(weights)}
    gradients = [family.normal(STEPS, *shape) for shape in SHAPES]
    optimizer = make(weights)
    after: list[list[torch.Tensor]] = [[] for _ in weights]
    for step in range(STEPS):
        if isinstance(optimizer, torch.optim.Adam):
            group = optimizer.param_groups[0]
            group["eps"] = options["epsilon"] / math.sqrt(1 - group["betas"][1] ** (step + 1))
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient[step].clone()
        if before:
            before(weights)
        optimizer.step()
        for values, weight in zip(after, weights, strict=True):
            values.append(weight.detach().clone())
    for i, (gradient, values) in enumerate(zip(gradients, after, strict=True)):
        arrays |= {f"g{i}": gradient, f"y{i}": torch.stack(values)}
    family.keep(name, arrays, optimizer=name.split(",")[0], options=options)


def _shrink(weights: list[torch.Tensor], factor: float) -> None:
    """tomograd's weight decay, decoupled from the gradient in all optimizers; PyTorch's is so in AdamW."""
    with torch.no_grad():
        for weight in weights:
            weight *= factor


def _clip(weights: list[torch.Tensor], largest: float) -> None:
    """To the largest norm; without the 1e-6 that PyTorch adds to the norm before it divides by it."""
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights])
    torch.nn.utils.clip_grads_with_norm_(weights, largest, norm - 1e-6)


# ----------------------------------------------------------------------------------------------------------- schedules


def schedule() -> Family:
    family = Family("schedule", seed=33)
    rates = torch.optim.lr_scheduler
    exponential = {"initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5}
    learning_rates(family, "ExponentialDecay", lambda o: rates.ExponentialLR(o, 0.5**0.25), exponential, 13)
    staircase = exponential | {"staircase": True}
    learning_rates(family, "ExponentialDecay, staircase", lambda o: rates.StepLR(o, 4, 0.5), staircase, 13)
    # PyTorch's cosine rises again after its end, tomograd's rate stays: compared until there.
    cosine = {"initial_learning_rate": 0.1, "decay_steps": 10}
    learning_rates(family, "CosineDecay", lambda o: rates.CosineAnnealingLR(o, 10), cosine, 11)
    above_zero = cosine | {"alpha": 0.25}
    learning_rates(family, "CosineDecay, alpha", lambda o: rates.CosineAnnealingLR(o, 10, 0.025), above_zero, 11)

    def warmed_up(optimizer):
        rising = rates.LinearLR(optimizer, 0.2, 1.0, total_iters=5)
        return rates.SequentialLR(optimizer, [rising, rates.CosineAnnealingLR(optimizer, 10)], [5])

    options = {"initial_learning_rate": 0.02, "warmup_target": 0.1, "warmup_steps": 5, "decay_steps": 10}
    learning_rates(family, "CosineDecay, warmup", warmed_up, options, 16)
    # A rate of PyTorch's ends before its milestone, one of tomograd's (Keras's) with its boundary.
    pieces = {"boundaries": [2, 6], "values": [0.1, 0.05, 0.025]}
    learning_rates(family, "PiecewiseConstantDecay", lambda o: rates.MultiStepLR(o, [3, 7], 0.5), pieces, 10)
    restarts = {"initial_learning_rate": 0.1, "first_decay_steps": 5, "alpha": 0.25}
    for factor in (1, 2):
        learning_rates(
            family,
            f"CosineDecayRestarts, times {factor}",
            lambda o, t=factor: rates.CosineAnnealingWarmRestarts(o, 5, t, 0.025),
            restarts | {"t_mul": factor},
            36,
        )
    power = {"initial_learning_rate": 0.1, "decay_steps": 8, "end_learning_rate": 0.0, "power": 0.5}
    learning_rates(family, "PolynomialDecay", lambda o: rates.PolynomialLR(o, 8, 0.5), power, 12)
    for name, kinds in {
        "one cycle": {},
        "evenly": {"anneal_strategy": "linear", "pct_start": 0.25},
        "three phases": {"three_phase": True, "div_factor": 10.0, "final_div_factor": 100.0},
        "at once": {"pct_start": 0.0},
    }.items():
        learning_rates(
            family,
            f"OneCycle, {name}",
            lambda o, k=kinds: rates.OneCycleLR(o, 0.1, 20, cycle_momentum=False, **k),
            {"max_learning_rate": 0.1, "total_steps": 20, **kinds},
            20,
        )
    return family


def learning_rates(family: Family, name: str, make: Callable, options: dict[str, Any], count: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(())], lr=0.1)
    scheduler, rates = make(optimizer), []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    arrays = {"steps": torch.arange(count), "y": torch.tensor(rates, dtype=torch.float64)}
    family.keep(name, arrays, schedule=name.split(",")[0], options=options)


FAMILIES = (loss_class, optimizer, schedule)
