"""The cases on PyTorch, the peer: as its own documentation would write them, in either memory layout, or compiled.

Variants, which follow the engine's name after colons: "nchw" or "channels_last", the layout; "compile", torch.compile
of the network with its loss, in channels_last; "fused", Adam as one fused kernel instead of PyTorch's default. "cuda",
on the GPU, and there: "captured", steps in channels_last as they are written, captured into a CUDA graph; "graphs",
compiled into CUDA graphs (mode="reduce-overhead"); and a precision: "tf32", products of float32 numbers rounded to TF32
(PyTorch's default for convolutions), exact ones without it; "bfloat16", arrays of that type, in networks by autocast;
"float16", arrays of that type. ("tuned", the allocator, is the process's environment.)
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from . import engine_torch_gpu, gpu
from .built import Built, NotApplicable
from .convolutions import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Convolution
from .networks import SINGLE, TRAINING, Classifier, Network, Segmenter
from .operations import GRADIENT, INFERENCE, STEP, Dense, Operation
from .recurrences import GATES, Recurrence

EPSILON, SMOOTH, RATE = 1e-5, 1.0, 1e-3
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # by the number of dimensions
NAMES = {1: "1d", 2: "2d", 3: "3d"}


def facts(variants: list[str]) -> dict[str, Any]:
    """What a report says of this engine: threads, instruction set; of the GPU, where that is measured."""
    if gpu.CUDA in variants:
        return engine_torch_gpu.facts()
    return {"threads": torch.get_num_threads(), "simd": torch.backends.cpu.get_cpu_capability()}


def on_gpu(variants: list[str]) -> engine_torch_gpu.OnGPU:
    """How its work is timed."""
    engine_torch_gpu.set_up(variants)
    return engine_torch_gpu.OnGPU()


release, taken = engine_torch_gpu.release, engine_torch_gpu.taken


def build(case: Any, which: str, variants: list[str]) -> Built:
    """The case ready to run in a variant. Raises NotApplicable."""
    whole = bool({"compile", "graphs", "captured"} & set(variants))
    if not isinstance(case, (Classifier, Segmenter)) and whole:
        raise NotApplicable("torch.compile and CUDA graphs are measured on networks only")
    channels_last = "channels_last" in variants or whole
    dtype = next((dtype for name, dtype in engine_torch_gpu.TYPES.items() if name in variants), torch.float32)
    if isinstance(case, Convolution):
        return convolution(case, which, channels_last, dtype)
    if isinstance(case, Dense | Operation | Recurrence) and channels_last and not case.has_layout:
        raise NotApplicable("the same in both layouts")
    if isinstance(case, Dense):
        return dense(case, which, dtype)
    if isinstance(case, Recurrence):
        return recurrence(case, which)
    if isinstance(case, Operation):
        return operation(case, which, channels_last)
    return network(case, which, variants, channels_last)


def arrays_of(case: Any) -> dict[str, np.ndarray]:
    """The arrays of a case; on a GPU, which has copies of them, the same for all its passes."""
    return case.arrays() if torch.get_default_device().type == "cpu" else gpu.drawn(case)


def given(array: np.ndarray) -> torch.Tensor:
    """An array as a tensor, on the GPU where that is measured."""
    return torch.from_numpy(array).to(torch.get_default_device())


def tensor(array: np.ndarray, channels_last: bool) -> torch.Tensor:
    """An array of tomograd's layout, (N, *spatial, C), as PyTorch's (N, C, *spatial), in one of its two layouts."""
    numbers = given(array)
    if numbers.ndim < 3:
        return numbers
    return in_layout(numbers.movedim(-1, 1), channels_last)


def in_layout(numbers: torch.Tensor, channels_last: bool) -> torch.Tensor:
    if not channels_last:
        return numbers.contiguous()
    if numbers.ndim not in CHANNELS_LAST:
        raise NotApplicable("PyTorch has no channels-last layout of one dimension")
    return numbers.contiguous(memory_format=CHANNELS_LAST[numbers.ndim])


def array(result: Any) -> np.ndarray:
    """A result in tomograd's layout; of several results the first."""
    result = result[0] if isinstance(result, tuple) else result
    return as_it_is(result.movedim(1, -1) if result.ndim > 2 else result)


def as_it_is(result: torch.Tensor) -> np.ndarray:
    """A result in its own layout. (NumPy has no bfloat16.)"""
    result = result.detach().cpu()
    return (result.float() if result.dtype == torch.bfloat16 else result).numpy()


# ---- convolutions and matrix products --------------------------------------------------------------------------------


def convolution(case: Convolution, which: str, channels_last: bool, dtype: torch.dtype = torch.float32) -> Built:
    """One pass of a convolution or of a transposed one."""
    arrays, d = arrays_of(case), case.dimensions
    x, dy = (tensor(arrays[name], channels_last).to(dtype) for name in ("x", "dy"))
    weight, bias = given(arrays["weight"]).movedim((-1, -2), (0, 1)).to(dtype), given(arrays["bias"]).to(dtype)
    weight = in_layout(weight, channels_last)
    geometry = [case.stride] * d, [case.padding] * d, [case.dilation] * d, case.transposed, [0] * d, case.groups

    def gradient(wanted: list[bool], position: int) -> Callable:
        backward = torch.ops.aten.convolution_backward
        return lambda: backward(dy, x, weight, None, *geometry, wanted)[position]

    run = {
        FORWARD: lambda: torch.convolution(x, weight, bias, *geometry),
        INPUT_GRADIENT: gradient([True, False, False], 0),
        WEIGHT_GRADIENT: gradient([False, True, False], 1),
    }[which]
    if which == WEIGHT_GRADIENT:
        return Built(run, lambda result: as_it_is(result.movedim((0, 1), (-1, -2))))
    return Built(run, array)


def dense(case: Dense, which: str, dtype: torch.dtype = torch.float32) -> Built:
    """One pass of a dense layer; PyTorch keeps its weight as (units, inputs)."""
    arrays = arrays_of(case)
    x, weight, bias, dy = (given(arrays[name]).to(dtype) for name in ("x", "weight", "bias", "dy"))
    weight = weight.t().contiguous()
    run = {
        FORWARD: lambda: F.linear(x, weight, bias),
        INPUT_GRADIENT: lambda: dy @ weight,
        WEIGHT_GRADIENT: lambda: dy.t() @ x,
    }[which]
    return Built(run, (lambda result: as_it_is(result.t())) if which == WEIGHT_GRADIENT else array)


# ---- recurrent cells -------------------------------------------------------------------------------------------------

CELLS = {"simple_rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
ORDERS = {"simple_rnn": (0,), "lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}  # of PyTorch's gates among Keras's


def recurrence(case: Recurrence, which: str) -> Built:
    """PyTorch's layer with the same weights: its gates lie in the rows, and every cell has two biases."""
    arrays = arrays_of(case)
    layer = CELLS[case.cell](case.channels, case.units, batch_first=True, device=torch.get_default_device())

    def in_rows(array: np.ndarray) -> torch.Tensor:
        parts = np.split(array, GATES[case.cell], -1)
        return given(np.ascontiguousarray(np.concatenate([parts[gate] for gate in ORDERS[case.cell]], -1).T))

    biases = arrays["bias"] if arrays["bias"].ndim == 2 else [arrays["bias"], np.zeros_like(arrays["bias"])]
    weights = [arrays["weight"], arrays["recurrent_weight"], *biases]
    with torch.no_grad():
        for parameter, array in zip(layer.parameters(), weights, strict=True):
            parameter.copy_(in_rows(array))
    x, dy = given(arrays["x"]), given(arrays["dy"])
    if which == FORWARD:
        return Built(torch.no_grad()(lambda: layer(x)[0]), as_it_is)
    inputs = [x.requires_grad_(), *layer.parameters()]
    return Built(lambda: torch.autograd.grad(layer(x)[0], inputs, dy), lambda gradients: as_it_is(gradients[0]))


# ---- the other kernels -----------------------------------------------------------------------------------------------

Tensors = dict[str, torch.Tensor]
ACTIVATIONS: dict[str, Callable] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
}


def operation(case: Operation, which: str, channels_last: bool) -> Built:
    """Forward as autograd would run it in training, the gradient as autograd runs it, again and again."""
    arrays = arrays_of(case)
    tensors = {name: tensor(numbers, channels_last) for name, numbers in arrays.items()}
    if which == STEP:
        return optimizer(case, tensors)
    if case.kind == "dice":  # tomograd's layout suits this composition: the sum goes over adjacent numbers
        tensors = {name: given(numbers) for name, numbers in arrays.items()}
    forward = FORWARDS[case.kind](case, tensors, which)
    x = tensors["x"]
    if which != GRADIENT:
        return Built(_without_tape(forward, x), array)
    x.requires_grad_(True)
    wanted = [x, *(tensors[name].requires_grad_(True) for name in ("gamma", "beta") if case.kind.endswith("_norm"))]
    y = forward(x)
    dy = in_layout(tensors["dy"], channels_last) if y.ndim > 2 and case.kind != "dice" else tensors["dy"]

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(y, wanted, dy, retain_graph=True)[0]

    return Built(gradient, as_it_is if case.kind == "dice" else array)


def _without_tape(forward: Callable, x: torch.Tensor) -> Callable:
    def run() -> torch.Tensor:
        with torch.no_grad():
            return forward(x)

    return run


def _pool(case: Operation, tensors: Tensors, which: str) -> Callable:
    d = NAMES[len(case.shape) - 2]
    window, stride, padding = (case.options[name] for name in ("window", "stride", "padding"))
    if case.kind == "max_pool":  # with the choice, which training needs
        pool = getattr(F, f"max_pool{d}_with_indices")
        return lambda x: pool(x, window, stride, padding)[0]
    pool = getattr(F, f"avg_pool{d}")
    return lambda x: pool(x, window, stride, padding)


def _resize(case: Operation, tensors: Tensors, which: str) -> Callable:
    return lambda x: F.interpolate(x, scale_factor=case.options["factor"], mode=case.options["method"])


def _affine_transform(case: Operation, tensors: Tensors, which: str) -> Callable:
    """A rotation about the middle of square images; the places are made once."""
    x, angle = tensors["x"], math.radians(case.options["degrees"])
    turned = [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]
    maps = torch.tensor(turned, device=x.device).expand(len(x), 2, 3)
    places = F.affine_grid(maps, list(x.shape), align_corners=True)
    return lambda x: F.grid_sample(x, places, align_corners=True)


def _batch_norm(case: Operation, tensors: Tensors, which: str) -> Callable:
    x, gamma, beta = tensors["x"], tensors["gamma"], tensors["beta"]
    axes = [0, *range(2, x.ndim)]
    mean, variance = (x.mean(axes), x.var(axes, correction=0)) if which == INFERENCE else (None, None)
    relu = case.options.get("activation") == "relu"

    def forward(x: torch.Tensor) -> torch.Tensor:
        y = F.batch_norm(x, mean, variance, gamma, beta, which != INFERENCE, 0.1, EPSILON)
        return F.relu_(y) if relu else y

    return forward


def _sparse_cross_entropy(case: Operation, tensors: Tensors, which: str) -> Callable:
    return lambda x: F.cross_entropy(x, tensors["labels"], reduction="none")


def _binary_cross_entropy(case: Operation, tensors: Tensors, which: str) -> Callable:
    return lambda x: F.binary_cross_entropy_with_logits(x, tensors["t"], reduction="none")


def _dice(case: Operation, tensors: Tensors, which: str) -> Callable:
    t = tensors["t"]
    return lambda p: (2 * (p * t).sum(1) + SMOOTH) / (p.sum(1) + t.sum(1) + SMOOTH)


FORWARDS: dict[str, Callable[[Operation, Tensors, str], Callable]] = {
    "max_pool": _pool,
    "average_pool": _pool,
    "global_average_pool": lambda case, tensors, which: lambda x: x.mean((2, 3)),
    "resize": _resize,
    "affine_transform": _affine_transform,
    "batch_norm": _batch_norm,
    "group_norm": lambda case, tensors, which: (
        lambda x: F.group_norm(x, case.options["groups"], tensors["gamma"], tensors["beta"], EPSILON)
    ),
    "layer_norm": lambda case, tensors, which: (
        lambda x: F.layer_norm(x, x.shape[-1:], tensors["gamma"], tensors["beta"], EPSILON)
    ),
    "activation": lambda case, tensors, which: ACTIVATIONS[case.options["name"]],
    "softmax": lambda case, tensors, which: lambda x: F.softmax(x, -1),
    "log_softmax": lambda case, tensors, which: lambda x: F.log_softmax(x, -1),
    "sparse_cross_entropy": _sparse_cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "dice": _dice,
    "embedding": lambda case, tensors, which: lambda x: F.embedding(tensors["labels"], x),
}


RULES: dict[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]] = {
    "adam": lambda weights: torch.optim.Adam(weights, RATE, fused=True),
    "adamax": lambda weights: torch.optim.Adamax(weights, RATE, foreach=True),
    "nadam": lambda weights: torch.optim.NAdam(weights, RATE, momentum_decay=1.0, foreach=True),
    "adagrad": lambda weights: torch.optim.Adagrad(weights, RATE, initial_accumulator_value=0.1, fused=True),
    "adadelta": lambda weights: torch.optim.Adadelta(weights, RATE, foreach=True),
    "rmsprop": lambda weights: torch.optim.RMSprop(weights, RATE, eps=0.0, foreach=True),
    "sgd": lambda weights: torch.optim.SGD(weights, RATE, momentum=0.9, fused=True),
}


def optimizer(case: Operation, tensors: Tensors) -> Built:
    """A step on one weight, by the fused kernel if there is one: the fastest that PyTorch has."""
    weight = torch.nn.Parameter(tensors["x"])
    weight.grad = tensors["dy"]
    rule = RULES[case.kind]([weight])

    def run() -> torch.Tensor:
        rule.step()
        return weight

    return Built(run, array)


# ---- networks --------------------------------------------------------------------------------------------------------


class DoubleConvolution(torch.nn.Sequential):
    """Two convolutions of side 3, each with batch normalisation and ReLU."""

    def __init__(self, dimensions: str, channels: int, filters: int):
        convolution = getattr(torch.nn, f"Conv{dimensions}")
        normalization = getattr(torch.nn, f"BatchNorm{dimensions}")
        layers = []
        for inputs in (channels, filters):
            layers += [
                convolution(inputs, filters, 3, padding=1, bias=False),
                normalization(filters),
                torch.nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UNet(torch.nn.Module):
    """The twin of tomograd.models.UNet: batch normalisation, transposed convolutions."""

    def __init__(self, case: Segmenter):
        super().__init__()
        nn, d = torch.nn, NAMES[len(case.input_shape) - 1]
        widths = [case.base_filters * 2**level for level in range(case.depth + 1)]
        self.down = nn.ModuleList(
            DoubleConvolution(d, before, after)
            for before, after in zip([case.input_shape[-1], *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            getattr(nn, f"ConvTranspose{d}")(2 * width, width, 2, 2, bias=True) for width in widths[:-1]
        )
        self.merge = nn.ModuleList(DoubleConvolution(d, 2 * width, width) for width in widths[:-1])
        self.last = getattr(nn, f"Conv{d}")(case.base_filters, 1, 1)
        self.pool = getattr(nn, f"MaxPool{d}")(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = self.merge[level](torch.cat([skips[level], self.up[level](x)], 1))
        return self.last(x)


def classifier(case: Classifier) -> torch.nn.Module:
    """The twin of tomograd.models.CNN."""
    nn, d = torch.nn, NAMES[len(case.input_shape) - 1]
    layers: list[torch.nn.Module] = []
    channels = (case.input_shape[-1], *case.filters)
    for number, (before, after) in enumerate(pairwise(channels), 1):
        layers += [getattr(nn, f"Conv{d}")(before, after, 3), nn.ReLU()]
        if number < len(case.filters) or case.pool_last:
            layers.append(getattr(nn, f"MaxPool{d}")(2))
    dense = [nn.Flatten(), nn.Linear(case.features, case.dense), nn.ReLU(), nn.Linear(case.dense, case.classes)]
    return nn.Sequential(*layers, *dense)


def network(case: Network, which: str, variants: list[str], channels_last: bool) -> Built:
    """Forward, loss, backward and Adam on one batch; or the forward pass alone."""
    torch.manual_seed(0)
    made = classifier(case) if isinstance(case, Classifier) else UNet(case)
    x, y = case.batch_arrays()
    batch, targets = tensor(x, channels_last), tensor(y, channels_last)
    if channels_last:
        made = made.to(memory_format=CHANNELS_LAST[batch.ndim])
    parameters = sum(weight.numel() for weight in made.parameters())
    if which == TRAINING:
        return Built(training_step(case, made, batch, targets, variants), parameters=parameters)
    batch = in_layout(batch[:1], channels_last) if which == SINGLE else batch
    return Built(inference(made, batch, variants), parameters=parameters)


def compiled_as(function: Callable, variants: list[str]) -> Callable:
    """The function as the variant compiles it; as it is in others."""
    if "graphs" in variants:
        return torch.compile(function, dynamic=False, mode="reduce-overhead")
    return torch.compile(function, dynamic=False) if "compile" in variants else function


def training_step(
    case: Network, made: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, variants: list[str]
) -> Callable[[], float]:
    """Compiled are the network, its loss and their gradient; the optimizer runs as it is. Captured is all of it."""
    captured = "captured" in variants
    adam = torch.optim.Adam(made.parameters(), fused=True if "fused" in variants else None, capturable=captured)
    many = isinstance(case, Classifier) and case.classes > 1
    criterion = torch.nn.CrossEntropyLoss() if many else torch.nn.BCEWithLogitsLoss()

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with engine_torch_gpu.autocast(variants):
            return criterion(made(x), y)

    compiled = compiled_as(loss_of, variants)

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        adam.zero_grad()
        loss = compiled(x, y)
        loss.backward()
        adam.step()
        return loss.detach()

    if not captured:
        return lambda: step(x, y).item()
    rooms = x.clone(), y.clone()  # a batch is copied to where the graph reads it, as tomograd's is
    launch = engine_torch_gpu.captured(lambda: step(*rooms), adam.zero_grad)

    def captured_step() -> float:
        for room, batch in zip(rooms, (x, y), strict=True):
            room.copy_(batch)
        return launch().item()

    return captured_step


def inference(made: torch.nn.Module, x: torch.Tensor, variants: list[str]) -> Callable[[], torch.Tensor]:
    """The forward pass in evaluation mode, without a tape."""
    made.eval()
    compiled = compiled_as(made, variants)

    def run() -> torch.Tensor:
        with torch.inference_mode(), engine_torch_gpu.autocast(variants):
            return compiled(x)

    return engine_torch_gpu.captured(run) if "captured" in variants else run
