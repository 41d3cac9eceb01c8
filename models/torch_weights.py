"""Weights of PyTorch models, from state dictionaries saved as safetensors, in the layers' layouts.

    # with PyTorch:    safetensors.torch.save_file(net.state_dict(), "net.safetensors")
    load_torch_weights(model, "net.safetensors")

A *module* is what has parameters of its own there: "features.0" with the entries "features.0.weight" and
"features.0.bias". Which module belongs to which layer is found by names, by shapes and by order; where that leaves a
choice it is an error, not a guess. What each class of layers takes stands in `_CONVERTERS`.
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
from ..engine.layers.base import Layer
from ..engine.variable import Variable
from .flattening import AmbiguousOrder, Flattening

if TYPE_CHECKING:
    from .model import Model

Tensors = dict[str, np.ndarray]

_IGNORED = ("num_batches_tracked",)
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
    modules of a bidirectional layer). flattened: {name of a layer: (height, width, channels)} of what was flattened
    before it, () for nothing: for models whose own code calls the layers, where it cannot be seen.

    What is no weight is not in the file: a BatchNormalization needs epsilon=1e-5 to be PyTorch's (there is a warning),
    a GELU and paddings must be the same. strict=False: layers and modules that find no other are left.

    Raises CheckpointError, naming layers, modules and shapes, for another file, what has no counterpart, what does not
    fit or is not clear. Then nothing was changed.
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
        self.modules, self.source, self.ordered = modules, source, ordered
        self.layers = [layer for layer in model.all_layers() if _weights_of(layer)]
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
        taken = set(self.chosen.values())
        return [one for one in self.layers if one not in self.chosen], [m for m in self.modules if m not in taken]

    def by_mapping(self, names: Mapping[str, str]) -> None:
        for name, module in names.items():
            found = [layer for layer, own in self.called.items() if own == name]
            if len(found) != 1:
                known = _listed(self.called.values())
                raise self._wrong(f"names: {len(found)} layers with weights are called {name!r}; they are {known}")
            if module not in self.modules:
                raise self._wrong(f"names: there is no module {module!r}; there are {', '.join(self.modules)}")
            if module in self.chosen.values():
                raise self._wrong(f"names: the module {module!r} is given to two layers")
            reason = self._misfit(found[0], module)
            if reason is not None:
                raise self._wrong(f"module {module!r} does not fit layer {name!r}: {reason}")
            self.chosen[found[0]] = module

    def by_own_name(self) -> None:
        layers, modules = self._left()
        called = {re.sub(r"\W", "_", module): module for module in modules}
        for layer in layers:
            module = called.get(re.sub(r"\W", "_", self.called[layer]))
            if module is not None and self._misfit(layer, module) is None:
                self.chosen[layer] = module

    def by_shape(self) -> None:
        """Those of one kind and shape among each other, in order. Fitting is an equivalence: the groups are apart."""
        layers, modules = self._left()
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


def _weights_of(layer: Layer) -> dict[str, Variable]:
    """A layer's own weights; not the states that a stateful recurrent layer keeps between batches."""
    return {path: variable for path, variable in layer._own(Variable) if not path.startswith("states")}


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", name.removesuffix("_reverse"))


def _shapes(layer: Layer) -> str:
    return ", ".join(f"{path} {variable.shape}" for path, variable in _weights_of(layer).items())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


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
    weight = _take(tensors, "weight", layer.kernel.ndim)
    channels, multiplier = layer.kernel.shape[-2:]
    if weight.shape[:2] != (channels * multiplier, 1):
        raise _Misfit(f"its weight has shape {weight.shape}, expected ({channels * multiplier}, 1, …)")
    kernel = weight[:, 0].reshape(channels, multiplier, *weight.shape[2:])
    return _with_bias(layer, tensors, np.moveaxis(kernel, (0, 1), (-2, -1)))


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
    "PReLU": _prelu,
    "RMSNormalization": _rms_normalization,
    "SimpleRNNCell": _recurrent((0,), separate=False),
}
_OF_FEATURES = ("Dense", "BatchNormalization")  # whose rows count what was flattened before them
_EPSILON = ("BatchNormalization", "GroupNormalization", "LayerNormalization")
