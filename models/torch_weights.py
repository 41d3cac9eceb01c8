"""Weights of PyTorch models, from state dictionaries saved as safetensors, in the layers' layouts.

    # with PyTorch:    safetensors.torch.save_file(net.state_dict(), "net.safetensors")
    load_torch_weights(model, "net.safetensors")

A *module* is what has parameters of its own there: "features.0" with the entries "features.0.weight" and
"features.0.bias". Which module belongs to which layer is found by names, by shapes and by order; where that leaves a
choice it is an error, not a guess. What each class of layers takes stands in `_CONVERTERS`. A layer that holds others
may be one with them (`_WHOLE`), and takes what PyTorch has in one module; a separable convolution, which PyTorch has
not, takes two.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import checkpoints
from ..engine.checkpoints import CheckpointError
from ..engine.layers import MultiHeadAttention, SpectralNormalization
from ..engine.layers.base import Layer
from ..engine.layers.convolution import SeparableConv
from ..engine.variable import Variable
from .flattening import AmbiguousOrder, Flattening

if TYPE_CHECKING:
    from .model import Model

Tensors = dict[str, np.ndarray]

_IGNORED = ("num_batches_tracked",)
# Modules that belong to the one around them, where that has one of these keys.
_WITHIN = {
    "out_proj": ("in_proj_weight", "q_proj_weight"),
    "parametrizations.weight": ("parametrizations.weight.original",),
    "parametrizations.weight.0": ("parametrizations.weight.original",),
}
_RECURRENT = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)_(l\d+(?:_reverse)?)")


def load_torch_weights(
    model: Model,
    filepath: str | os.PathLike[str],
    names: Mapping[str, str] | Iterable[str] | None = None,
    strict: bool = True,
    flattened: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, str]:
    """Give a built model the weights of a PyTorch model; returns {name of a layer: name of its module}.

    names: {name of a layer: name of its module}, for some layers or all; or the state dictionary's keys in PyTorch's
    order, `list(net.state_dict())`, which a safetensors file does not keep. Layers that it does not name get the module
    of their own name, if there is one ("features_0" for "features.0"); the others those of their class and shape, in
    order where several have one shape. That order is known from a list of names, or from modules whose names differ in
    their numbers alone; else it is an error that asks for names.

    Layouts: kernels of convolutions (O, I, kh, kw) → (kh, kw, I, O), transposed (I, O, kh, kw) → (kh, kw, O, I),
    depthwise (C·m, 1, kh, kw) → (kh, kw, C, m); linear (O, I) → (I, O), with its rows in another order where it reads
    flattened images, which PyTorch flattens channels first; moving averages of batch normalisation; embeddings; the
    gates of LSTM and GRU in Keras's order, both biases of an LSTM added up ("lstm.l0", "lstm.l0_reverse" are the
    modules of a bidirectional layer, "lstm.l1" that of a second one). A MultiHeadAttention takes a
    nn.MultiheadAttention, whose number of heads has to be the same; a SpectralNormalization the divided weight of a
    module with PyTorch's spectral_norm, old or new, and its u. A separable convolution takes a depthwise one and the
    1×1 one behind it within the same module: "block.0 + block.1"; what is added between goes into the bias.
    flattened: {name of a layer: (height, width, channels)} of what was flattened before it, () for nothing: for models
    whose own code calls the layers, where it cannot be seen.

    What is no weight is not in the file: a BatchNormalization needs epsilon=1e-5 to be PyTorch's (there is a warning),
    a GELU and paddings must be the same. strict=False: layers and modules that find no other are left.

    Raises CheckpointError, naming layers, modules and shapes, for another file, what does not fit or is not clear, and
    what has no counterpart: EinsumDense, Normalization and the scales of Attention and AdditiveAttention never have.
    Then nothing was changed.
    """
    if not model.built:
        raise ValueError(f"{model.name} is not built yet: call it on an input, or build(input_shape), first")
    arrays, _ = checkpoints.load(filepath)
    source = os.fspath(filepath)
    order = None if names is None or isinstance(names, Mapping) else list(names)
    modules = _modules(arrays, order, source)
    fitting = _Fitting(model, modules, source, flattened or {}, ordered=order is not None)
    fitting.by_mapping(names if isinstance(names, Mapping) else {})
    fitting.by_own_name()
    fitting.by_shape()
    fitting.check_left(strict)
    fitting.assign()
    return {fitting.called[layer]: module for layer, module in fitting.chosen.items()}


def _modules(arrays: Tensors, order: list[str] | None, source: str) -> dict[str, Tensors]:
    """The modules with their tensors, in the given order of keys, else by names with their numbers as numbers."""
    keys = sorted(arrays, key=_natural)
    if order is not None:
        missing = [key for key in order if key not in arrays and key.rpartition(".")[2] not in _IGNORED]
        if missing:
            raise CheckpointError(f"{source}: has no {missing[0]!r}, which is among the names")
        keys = [key for key in order if key in arrays] + [key for key in keys if key not in set(order)]
    modules: dict[str, Tensors] = {}
    for key in keys:
        module, _, tensor = key.rpartition(".")
        if tensor in _IGNORED:
            continue
        for within, besides in _WITHIN.items():
            around = f".{module}".removesuffix(f".{within}").lstrip(".")
            if around != module and any(f"{around}.{name}".lstrip(".") in arrays for name in besides):
                module, tensor = around, f"{within}.{tensor}"
        recurrent = _RECURRENT.fullmatch(tensor)
        if recurrent:
            tensor, module = recurrent[1], f"{module}.{recurrent[2]}".lstrip(".")
        modules.setdefault(module, {})[tensor] = arrays[key]
    return modules


def _natural(name: str) -> list[Any]:
    """A key to sort by in which 2 comes before 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


class _Fitting:
    """Which module each layer gets."""

    def __init__(
        self,
        model: Model,
        modules: dict[str, Tensors],
        source: str,
        flattened: Mapping[str, Sequence[int]],
        ordered: bool,
    ) -> None:
        self.source, self.ordered = source, ordered
        self.layers = _layers_of(model)
        separable = any(isinstance(layer, SeparableConv) for layer in self.layers)
        self.pairs = _pairs(modules) if separable else {}
        self.modules = modules | {pair: _of_pair(modules, *both) for pair, both in self.pairs.items()}
        self.called = _names_of(model, self.layers)
        self.flattening = Flattening(model, flattened)
        self.chosen: dict[Layer, str] = {}
        self.values: list[tuple[Variable, np.ndarray]] = []
        for name in flattened:
            if name not in self.called.values():
                raise self._wrong(f"flattened: there is no layer {name!r} with weights")

    def _wrong(self, text: str) -> CheckpointError:
        return CheckpointError(f"{self.source}: {text}")

    def _left(self) -> tuple[list[Layer], list[str]]:
        """The layers and the modules that have found no other."""
        taken = {part for module in self.chosen.values() for part in self._parts(module)}
        free = [module for module in self.modules if taken.isdisjoint(self._parts(module))]
        return [one for one in self.layers if one not in self.chosen], free

    def _parts(self, module: str) -> tuple[str, ...]:
        """The modules that are one: two for a separable convolution."""
        return self.pairs.get(module, (module,))

    def by_mapping(self, names: Mapping[str, str]) -> None:
        for name, module in names.items():
            found = [layer for layer, own in self.called.items() if own == name]
            if len(found) != 1:
                known = _listed(self.called.values())
                raise self._wrong(f"names: {len(found)} layers with weights are called {name!r}; they are {known}")
            if module not in self.modules:
                raise self._wrong(f"names: there is no module {module!r}; there are {', '.join(self.modules)}")
            if not set(self._parts(module)).isdisjoint(p for one in self.chosen.values() for p in self._parts(one)):
                raise self._wrong(f"names: the module {module!r} is given to two layers")
            reason = self._misfit(found[0], module)
            if reason is not None:
                raise self._wrong(f"module {module!r} does not fit layer {name!r}: {reason}")
            self.chosen[found[0]] = module

    def by_own_name(self) -> None:
        layers, modules = self._left()
        called = {re.sub(r"\W", "_", module): module for module in modules if module not in self.pairs}
        inside = [(self._parts(pair)[0].rpartition(".")[0], pair) for pair in modules if pair in self.pairs]
        for parent, pair in inside:  # a pair is called as what holds it, and nothing but it
            if parent and [other for other, _ in inside].count(parent) == 1:
                called[re.sub(r"\W", "_", parent)] = pair
        for layer in layers:
            module = called.get(re.sub(r"\W", "_", self.called[layer]))
            if module is not None and self._misfit(layer, module) is None:
                self.chosen[layer] = module

    def by_shape(self) -> None:
        """Those of one kind and shape among each other, in order. Fitting is an equivalence: the groups are apart, once
        the pairs are made of which other layers could take one."""
        for pairs in (True, False):
            layers, modules = self._left()
            self._by_shape(
                [layer for layer in layers if isinstance(layer, SeparableConv) is pairs],
                [module for module in modules if (module in self.pairs) is pairs],
            )

    def _by_shape(self, layers: list[Layer], modules: list[str]) -> None:
        groups: dict[tuple[str, ...], list[Layer]] = {}
        for layer in layers:
            groups.setdefault(tuple(m for m in modules if self._misfit(layer, m) is None), []).append(layer)
        for fitting, group in groups.items():
            if len(fitting) != len(group):
                continue  # some are left, and said to be
            if len(group) > 1 and not self.ordered and len({_without_numbers(module) for module in fitting}) > 1:
                raise self._wrong(
                    f"the layers {_listed(self.called[layer] for layer in group)} have the shapes of the modules "
                    f"{_listed(fitting)}, whose names do not tell their order: give names={{layer: module}}, or "
                    "names=list(net.state_dict())"
                )
            self.chosen.update(zip(group, fitting, strict=True))

    def check_left(self, strict: bool) -> None:
        layers, modules = self._left()
        if not self.chosen:
            raise self._wrong("none of its modules fits a layer: " + "; ".join(map(self._told, modules)))
        if strict and (layers or modules):
            modules = [module for module in modules if module not in self.pairs]
            texts = [f"layer {self.called[layer]!r} ({type(layer).__name__}, {_shapes(layer)})" for layer in layers]
            raise self._wrong(
                "without counterpart are " + "; ".join([*texts, *map(self._told, modules)]) + ". Give names, or "
                "strict=False to leave them"
            )

    def _told(self, module: str) -> str:
        listed = ", ".join(f"{name} {tensor.shape}" for name, tensor in self.modules[module].items())
        return f"module {module!r} ({listed})"

    def assign(self) -> None:
        """Convert all, then assign all."""
        values = []
        for layer, module in self.chosen.items():
            try:
                values += self._converted(layer, module)
            except AmbiguousOrder as error:
                raise self._wrong(f"layer {self.called[layer]!r}: {error}") from None
        self._warn_of_epsilon()
        for variable, array in values:
            variable.assign(array.astype(variable.dtype))

    def _warn_of_epsilon(self) -> None:
        norms = [
            layer.name
            for layer in self.chosen
            if type(layer).__name__ in _EPSILON and layer.epsilon != 1e-5  # type: ignore[attr-defined]
        ]
        if norms:
            warnings.warn(
                f"{_listed(norms)}: epsilon is not the 1e-5 that PyTorch's layers have if they are given none",
                stacklevel=4,
            )

    def _misfit(self, layer: Layer, module: str) -> str | None:
        """Why a module's weights are not those of a layer; None if they can be. (Their order is looked at later.)"""
        try:
            self._converted(layer, module, order=False)
        except _Misfit as error:
            return str(error)
        return None

    def _converted(self, layer: Layer, module: str, order: bool = True) -> list[tuple[Variable, np.ndarray]]:
        convert = _CONVERTERS.get(type(layer).__name__)
        if convert is None:
            raise _Misfit(f"nothing is known of weights for {type(layer).__name__}")
        tensors = dict(self.modules[module])
        pairs = []
        own = _weights_of(layer)
        for name, array in convert(layer, tensors).items():
            if name not in own:
                raise _Misfit(f"the layer has no {name}")
            variable = own.pop(name)
            if order:
                array = self._in_our_order(layer, name, array)
            if array.shape != variable.shape:
                raise _Misfit(f"{name} has shape {variable.shape}, the module's gives {array.shape}")
            pairs.append((variable, array))
        if own or tensors:
            raise _Misfit(f"the layer has further weights {sorted(own)}, the module further tensors {sorted(tensors)}")
        return pairs

    def _in_our_order(self, layer: Layer, name: str, array: np.ndarray) -> np.ndarray:
        """Rows that count what was flattened channels first, in the order in which channels come last."""
        if isinstance(layer, SpectralNormalization):
            return array if name == "vector_u" else self._in_our_order(layer.layer, name, array)
        if type(layer).__name__ not in _OF_FEATURES or name == "bias":
            return array
        shape = self.flattening.before(layer)
        if not shape:
            return array
        if np.prod(shape) != array.shape[0]:
            raise AmbiguousOrder(f"it reads {array.shape[0]} numbers, but {tuple(shape)} was flattened before it")
        grid = array.reshape(shape[-1], *shape[:-1], *array.shape[1:])
        return np.moveaxis(grid, 0, len(shape) - 1).reshape(array.shape)


def _names_of(model: Model, layers: list[Layer]) -> dict[Layer, str]:
    """What the layers are called: by their names; a cell by that of its recurrent layer; where several are called the
    same, by the paths of attributes that lead to them."""
    names = {layer: layer.name for layer in layers}
    for layer in model.all_layers():
        if getattr(layer, "cell", None) in names:
            names[layer.cell] = layer.name  # type: ignore[attr-defined]
    paths = {id(weight): path.rpartition(".")[0] for path, weight in model.named_weights().items()}
    for name in [name for name in set(names.values()) if list(names.values()).count(name) > 1]:
        for layer in [layer for layer in layers if names[layer] == name]:
            names[layer] = paths[id(next(iter(_weights_of(layer).values())))]
    return names


def _layers_of(model: Model) -> list[Layer]:
    """The layers with weights; those within a layer that is one with them are no layers of their own."""
    layers = model.all_layers()
    within = {inner for layer in layers if isinstance(layer, _WHOLE) for inner in layer.all_layers()[1:]}
    return [layer for layer in layers if layer not in within and _weights_of(layer)]


def _weights_of(layer: Layer) -> dict[str, Variable]:
    """A layer's own weights; not the states that a stateful recurrent layer keeps between batches."""
    if isinstance(layer, _WHOLE):
        return {path.removeprefix("layer."): variable for path, variable in layer.named_weights().items()}
    return {path: variable for path, variable in layer._own(Variable) if not path.startswith("states")}


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", name.removesuffix("_reverse"))


def _shapes(layer: Layer) -> str:
    return ", ".join(f"{path} {variable.shape}" for path, variable in _weights_of(layer).items())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _pairs(modules: dict[str, Tensors]) -> dict[str, tuple[str, str]]:
    """The modules that can be a separable convolution together: a depthwise convolution, and within the same module the
    next 1×1 convolution that takes its channels, or the only one."""
    found = {}
    names = list(modules)
    for place, first in enumerate(names):
        weight = modules[first].get("weight")
        if weight is None or weight.ndim < 3 or weight.shape[1] != 1:
            continue
        fitting = [
            other
            for other in names
            if other != first
            and other.rpartition(".")[0] == first.rpartition(".")[0]
            and (behind := modules[other].get("weight")) is not None
            and behind.ndim == weight.ndim
            and behind.shape[1:] == (len(weight), *(1,) * (weight.ndim - 2))
        ]
        after = [other for other in fitting if names.index(other) > place]
        if after or len(fitting) == 1:
            second = (after or fitting)[0]
            found[f"{first} + {second}"] = first, second
    return found


def _of_pair(modules: dict[str, Tensors], first: str, second: str) -> Tensors:
    parts = {"depthwise": modules[first], "pointwise": modules[second]}
    return {f"{part}.{name}": array for part, tensors in parts.items() for name, array in tensors.items()}


# ------------------------------------------------------------------------------------------------------- conversions


class _Misfit(ValueError):
    """A module's tensors are not what a layer has."""


def _take(tensors: Tensors, name: str, rank: int | None = None) -> np.ndarray:
    if name not in tensors:
        raise _Misfit(f"the module has no {name}")
    array = tensors.pop(name)
    if rank is not None and array.ndim != rank:
        raise _Misfit(f"its {name} has {array.ndim} dimensions, expected {rank}")
    return array


def _with_bias(layer: Any, tensors: Tensors, kernel: np.ndarray) -> Tensors:
    return {"kernel": kernel} if layer.bias is None else {"kernel": kernel, "bias": _take(tensors, "bias")}


def _conv(layer: Any, tensors: Tensors) -> Tensors:
    """(O, I, *k) → (*k, I, O); transposed (I, O, *k) → (*k, O, I)."""
    weight = _take(tensors, "weight", layer.kernel.ndim)
    return _with_bias(layer, tensors, np.moveaxis(weight, (0, 1), (-1, -2)))


def _depthwise(layer: Any, tensors: Tensors) -> Tensors:
    """(C·m, 1, *k) → (*k, C, m)."""
    return _with_bias(layer, tensors, _depthwise_kernel(_take(tensors, "weight"), layer.kernel))


def _depthwise_kernel(weight: np.ndarray, ours: Variable) -> np.ndarray:
    if weight.ndim != ours.ndim:
        raise _Misfit(f"its weight has {weight.ndim} dimensions, expected {ours.ndim}")
    channels, multiplier = ours.shape[-2:]
    if weight.shape[:2] != (channels * multiplier, 1):
        raise _Misfit(f"its weight has shape {weight.shape}, expected ({channels * multiplier}, 1, …)")
    kernel = weight[:, 0].reshape(channels, multiplier, *weight.shape[2:])
    return np.moveaxis(kernel, (0, 1), (-2, -1))


def _separable(layer: Any, tensors: Tensors) -> Tensors:
    """The depthwise kernel, and (F, C·m, 1, …) → (1, …, C·m, F). The depthwise bias goes through the 1×1 kernel."""
    weight, mixing = _take(tensors, "depthwise.weight"), _take(tensors, "pointwise.weight")
    own = {name: tensors.pop(name, None) for name in ("depthwise.bias", "pointwise.bias")}
    found = _depthwise_kernel(weight, layer.depthwise_kernel)
    bias = own["pointwise.bias"]
    if own["depthwise.bias"] is not None:
        through = mixing.reshape(mixing.shape[:2]).astype(np.float64) @ own["depthwise.bias"]
        bias = through if bias is None else bias + through
    kernels = {"depthwise_kernel": found, "pointwise_kernel": np.moveaxis(mixing, (0, 1), (-1, -2))}
    if layer.bias is None and bias is not None:
        raise _Misfit("its modules have a bias, the layer has none")
    if layer.bias is not None and bias is None:
        raise _Misfit("its modules have no bias")
    return kernels if bias is None else kernels | {"bias": bias}


def _attention(layer: Any, tensors: Tensors) -> Tensors:
    """in_proj_weight (3·E, E), or three weights, and out_proj.weight (E, E), for E = heads·size of a head; biases."""
    if layer.use_gate:
        raise _Misfit("a gate is nothing that PyTorch has")
    parts = ("query", "key", "value")
    if "in_proj_weight" in tensors:
        weights = np.split(_whole_parts(_take(tensors, "in_proj_weight", 2), 3), 3)
    else:
        weights = [_take(tensors, f"{part[0]}_proj_weight", 2) for part in parts]
    found = {f"{part}_dense.kernel": weight.T for part, weight in zip(parts, weights, strict=True)}
    found["output_dense.kernel"] = _take(tensors, "out_proj.weight", 2).T
    if layer.use_bias:
        biases = np.split(_whole_parts(_take(tensors, "in_proj_bias", 1), 3), 3)
        found |= {f"{part}_dense.bias": bias for part, bias in zip(parts, biases, strict=True)}
        found["output_dense.bias"] = _take(tensors, "out_proj.bias", 1)
    own = _weights_of(layer)
    return {name: _by_heads(name, array, own[name].shape) for name, array in found.items()}


def _by_heads(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A matrix or row in the layer's shape, in which features are heads and what each of them has."""
    rows = 2 if name == "output_dense.kernel" else 1
    flat = (
        (int(np.prod(shape[:rows])), int(np.prod(shape[rows:]))) if name.endswith("kernel") else (int(np.prod(shape)),)
    )
    if array.shape != flat:
        raise _Misfit(f"{name} has shape {shape}, the module's gives {array.shape}")
    return array.reshape(shape)


def _whole_parts(array: np.ndarray, count: int) -> np.ndarray:
    if len(array) % count:
        raise _Misfit(f"its projections have {len(array)} rows, which are no {count} parts")
    return array


def _spectral(layer: Any, tensors: Tensors) -> Tensors:
    """What the layer within takes, its weight divided by σ = u·W·v, and u. W is the weight as a matrix with the outputs
    in front, as both of PyTorch's spectral_norm have it."""
    old = "weight_orig" in tensors
    names = ("weight_orig", "weight_u", "weight_v") if old else (
        "parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"
    )  # fmt: skip
    weight, u, v = (_take(tensors, name) for name in names)
    if type(layer.layer).__name__.endswith("Transpose"):
        raise _Misfit("a transposed convolution's weight is another matrix in PyTorch: divide it there")
    if weight.size != u.size * v.size or len(weight) != u.size:
        raise _Misfit(f"its weight of shape {weight.shape} does not fit u and v of {u.size} and {v.size} numbers")
    tensors["weight"] = weight / (u @ weight.reshape(u.size, v.size) @ v)
    convert = _CONVERTERS.get(type(layer.layer).__name__)
    if convert is None or "embeddings" in _weights_of(layer.layer):
        raise _Misfit(f"nothing is known of spectral_norm for {type(layer.layer).__name__}")
    return convert(layer.layer, tensors) | {"vector_u": u[None]}


def _dense(layer: Any, tensors: Tensors) -> Tensors:
    return _with_bias(layer, tensors, _take(tensors, "weight", 2).T)


def _normalization(layer: Any, tensors: Tensors) -> Tensors:
    """gamma and beta; those of several axes (C, *sizes) → (*sizes, C)."""
    named = {"gamma": "weight", "beta": "bias"}
    found = {ours: _take(tensors, theirs) for ours, theirs in named.items() if getattr(layer, ours) is not None}
    return {name: np.moveaxis(array, 0, -1) for name, array in found.items()}


def _batch_normalization(layer: Any, tensors: Tensors) -> Tensors:
    return _normalization(layer, tensors) | {
        "moving_mean": _take(tensors, "running_mean", 1),
        "moving_variance": _take(tensors, "running_var", 1),
    }


def _embedding(layer: Any, tensors: Tensors) -> Tensors:
    return {"embeddings": _take(tensors, "weight", 2)}


def _prelu(layer: Any, tensors: Tensors) -> Tensors:
    """One slope, or one for each channel."""
    weight, shape = _take(tensors, "weight", 1), layer.alpha.shape
    if weight.size != layer.alpha.size or (weight.size > 1 and shape[-1] != weight.size):
        raise _Misfit(f"alpha has shape {shape}, its weight has {weight.size} slopes: share the other axes")
    return {"alpha": weight.reshape(shape)}


def _rms_normalization(layer: Any, tensors: Tensors) -> Tensors:
    return {"scale": _take(tensors, "weight")}


def _gates(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """(gates·units, …) with the gates in another order."""
    parts = np.split(array, len(order))
    return np.concatenate([parts[gate] for gate in order])


def _recurrent(order: Sequence[int], separate: bool) -> Callable[[Any, Tensors], Tensors]:
    """weight_ih (gates·units, C), weight_hh (gates·units, units) and two biases, which are added up or kept apart."""

    def convert(layer: Any, tensors: Tensors) -> Tensors:
        if separate and not layer.reset_after:
            raise _Misfit("PyTorch's GRU resets after its product: the layer needs reset_after=True")
        kernels = [_take(tensors, name, 2) for name in ("weight_ih", "weight_hh")]
        if any(len(kernel) % len(order) for kernel in kernels):
            raise _Misfit(f"its weights have {len(kernels[0])} rows, which are no {len(order)} gates")
        found = dict(zip(("kernel", "recurrent_kernel"), (_gates(kernel, order).T for kernel in kernels), strict=True))
        if layer.bias is not None:
            biases = [_gates(_take(tensors, name, 1), order) for name in ("bias_ih", "bias_hh")]
            found["bias"] = np.stack(biases) if separate else biases[0] + biases[1]
        return found

    return convert


_CONVERTERS: dict[str, Callable[[Any, Tensors], Tensors]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), _conv),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _conv),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("LayerNormalization", "GroupNormalization"), _normalization),
    "BatchNormalization": _batch_normalization,
    "Dense": _dense,
    "Embedding": _embedding,
    "GRUCell": _recurrent((1, 0, 2), separate=True),  # reset, update, new → update, reset, new
    "LSTMCell": _recurrent((0, 1, 2, 3), separate=False),
    "MultiHeadAttention": _attention,
    "PReLU": _prelu,
    "RMSNormalization": _rms_normalization,
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
    "SimpleRNNCell": _recurrent((0,), separate=False),
    "SpectralNormalization": _spectral,
}
_WHOLE = (MultiHeadAttention, SpectralNormalization)
_OF_FEATURES = ("Dense", "BatchNormalization")  # whose rows count what was flattened before them
_EPSILON = ("BatchNormalization", "GroupNormalization", "LayerNormalization")
