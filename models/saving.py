"""Models in files: weights as safetensors, class, configuration and compile settings as JSON in the file's metadata.

No code is in the file and none is run from it: classes are looked up by name among tomograd's layers and models and
those that the program registered.
"""

from __future__ import annotations

import importlib
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..engine import checkpoints, layers, optimizers, random
from ..engine.checkpoints import CheckpointError
from ..engine.config import Configurable, custom_class, registered
from ..engine.config import custom_objects as given_besides
from ..engine.layers.base import Layer
from ..engine.layers.nesting import read_layers_with
from ..engine.layers.symbolic import flatten
from ..kernels.half_precision import same_kind

if TYPE_CHECKING:
    from .model import Model

FORMAT = "tomograd model 1"
PREFIX = "tomograd."
OPTIMIZER = "optimizer/"  # before the names of the optimizer's arrays; those of weights have no slash

# Endings that promise another format than the one that is written, and what that is.
FOREIGN = {
    ".ckpt": "a checkpoint of TensorFlow's or PyTorch's",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".json": "JSON",
    ".keras": "a Keras archive",
    ".npz": "a NumPy archive",
    ".onnx": "ONNX",
    ".pb": "a TensorFlow graph",
    ".pickle": "a pickle",
    ".pkl": "a pickle",
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".tf": "a TensorFlow model",
    ".zip": "a zip archive",
}

Class = TypeVar("Class", bound=type)

# Models of this package: imported when a file or a configuration names them.
_OWN = {
    "CNN": ".cnn",
    "CropLike": ".blocks",
    "DenseNet": ".densenet",
    "Functional": ".functional",
    "RecurrentClassifier": ".recurrent",
    "ResNet": ".resnet",
    "Sequential": ".sequential",
    "UNet": ".unet",
}


def register(cls: Class) -> Class:
    """Make a subclass of Layer, Model, or of what they hold (Constraint, Regularizer, Initializer, Loss, …), known to
    `load_model`, under its name; a decorator.

    Raises TypeError for other classes, ValueError for a name that another class has.
    """
    if not (isinstance(cls, type) and issubclass(cls, Configurable)):
        raise TypeError(f"register: expected a subclass of Layer, Model, Constraint, Regularizer or such, got {cls!r}")
    for known in (_class_named(cls.__name__, None), *_own_classes(Configurable)):
        same = known is None or (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)
        if known is not None and not same and known.__name__ == cls.__name__:
            raise ValueError(f"register: a class named {cls.__name__!r} is known already: {known!r}")
    registered[cls.__name__] = cls
    return cls


def _own_classes(base: type) -> Iterator[type]:
    """The public classes of this package that are made from `base`."""
    cls: type
    for cls in base.__subclasses__():
        if cls.__module__.startswith(f"{__name__.partition('.')[0]}.") and not cls.__name__.startswith("_"):
            yield cls
        yield from _own_classes(cls)


def _class_named(name: Any, custom_objects: dict[str, type] | None) -> type | None:
    if name in _OWN:
        return getattr(importlib.import_module(_OWN[name], __package__), name)
    return (custom_objects or {}).get(name) or custom_class(name) or layers.CLASSES.get(name)


def layer_to_config(layer: Layer) -> dict[str, Any]:
    """{"class_name": …, "config": …}, from which `layer_from_config` makes an equal layer."""
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def layer_from_config(entry: dict[str, Any], custom_objects: dict[str, type] | None = None) -> Any:
    """The layer or model that `layer_to_config` described. ValueError for a class that is not known."""
    cls = _class_named(entry["class_name"], custom_objects)
    if cls is None:
        raise ValueError(
            f"the class {entry['class_name']!r} is not known: decorate it with @tg.models.register, or give it in "
            "custom_objects={name: class}"
        )
    from .model import Model

    with given_besides(custom_objects):  # for what is within the layer
        if issubclass(cls, Model):
            return cls.from_config(entry["config"], custom_objects)
        return cls.from_config(entry["config"])  # type: ignore[attr-defined]


read_layers_with(lambda config: layer_from_config(dict(config)))


# ---------------------------------------------------------------------------------------------------------------- files


def check_target(path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Whether models and weights can be saved under this name. ValueError for an ending of another format, and
    FileExistsError for a file that is there, unless overwrite (Keras asks at the keyboard)."""
    name = Path(path)
    if (kind := FOREIGN.get(name.suffix.lower())) is not None:
        raise ValueError(
            f"{os.fspath(path)}: {name.suffix} is the ending of {kind}, but models and weights are written as "
            f"safetensors: name the file {name.stem.removesuffix('.weights')}.safetensors"
        )
    if not overwrite and name.exists():
        raise FileExistsError(f"{os.fspath(path)} exists already; overwrite=True replaces it")


def save_model(
    model: Model,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    zipped: bool | None = None,
    metadata: dict[str, str] | None = None,
    include_optimizer: bool = True,
) -> None:
    """Write a built model into one safetensors file; see `Model.save`.

    Raises ValueError for a name with the ending of another format (.keras, .h5 …), a model that is not built, or
    metadata whose keys start with "tomograd."; FileExistsError for a file that is there unless overwrite; and
    NotImplementedError for a model with a part that cannot be written down, such as a Lambda. A loss or metric that is
    a function can not either: the model is then saved as one that is not compiled.
    """
    if zipped is not None:
        raise ValueError(f"zipped = {zipped!r} is not supported: a model is one safetensors file")
    check_target(filepath, overwrite)
    for key in metadata or {}:
        if key.startswith(PREFIX):
            raise ValueError(f"metadata: keys that start with {PREFIX!r} are the file format's own, not {key!r}")
    description = described(model)
    own = {key: value if isinstance(value, str) else json.dumps(value) for key, value in description.items()}
    own |= {"format": FORMAT, "dtype": str(model.dtype), "layers": json.dumps(_places(model))}
    arrays: dict[str, Any] = {name: weight.numpy() for name, weight in _built(model, "save").items()}
    if include_optimizer and description["compile"] is not None and model.optimizer.built:
        arrays |= {OPTIMIZER + key: array for key, array in model.optimizer.state().items()}
    checkpoints.save(filepath, arrays, {PREFIX + key: value for key, value in own.items()} | (metadata or {}))


def _built(model: Model, purpose: str) -> dict[str, Any]:
    """The named weights; ValueError before there are any."""
    if not model.built:
        how = "it has no weights to save: call it on an input" if purpose == "save" else "call it on an input, or build"
        raise ValueError(f"{model.name} is not built yet: {how} first")
    return model.named_weights()


def described(model: Model) -> dict[str, Any]:
    """A model in the types that JSON knows: class, configuration, what it was compiled with, and for which input it was
    built."""
    return {
        "class_name": type(model).__name__,
        "config": model.get_config(),
        "compile": _compile_config(model),
        "input_shape": _open_batch(model._notes.built_shape) if model.built else None,
    }


def made(description: dict[str, Any], custom_objects: dict[str, type] | None, compile: bool = True) -> Any:
    """The model that `described` told of, with new weights. Raises what its layers' constructors raise."""
    entry = {"class_name": description["class_name"], "config": description["config"]}
    model = layer_from_config(entry, custom_objects)
    if not model.built and description["input_shape"] is not None:
        model.build(description["input_shape"])
    if compile and description["compile"] is not None:
        with given_besides(custom_objects):
            model.compile(**description["compile"])
    return model


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: dict[str, type] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """The model in a file that `Model.save` wrote, with its weights, and compiled as it was if `compile`: training goes
    on with the optimizer's state, if that is in the file (with a new one, and a warning, where it is that of other
    weights: of a model whose `trainable` was changed after `compile`).

    custom_objects: {name: class} of the program's own classes that are not registered. safe_mode: both values mean the
    same, as no code is in the file. Nothing is drawn from `tg.random`.

    Raises CheckpointError (a ValueError), naming the file and the reason, for a file that is missing, truncated,
    damaged, or holds no model.
    """
    arrays, metadata = _loaded(filepath)
    own = _own_metadata(filepath, metadata)
    state = random.state()
    try:
        description = {key: json.loads(own[key]) for key in ("config", "compile", "input_shape")}
        model = made(description | {"class_name": own["class_name"]}, custom_objects, compile=False)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError) as error:
        raise CheckpointError(f"{os.fspath(filepath)}: the model in it cannot be made: {_reason(error)}") from error
    finally:
        random.set_state(state)
    weights, state = _parted(arrays)
    checkpoints.check_weights(weights, model, os.fspath(filepath))
    checkpoints.assign_weights(weights, model)
    if compile and description["compile"] is not None:
        with given_besides(custom_objects):
            model.compile(**description["compile"])
        if state:
            _resume_optimizer(model, state, description["compile"]["optimizer"], os.fspath(filepath))
    return model


def _parted(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The weights, and the optimizer's state."""
    state = {key.removeprefix(OPTIMIZER): array for key, array in arrays.items() if key.startswith(OPTIMIZER)}
    return {key: array for key, array in arrays.items() if not key.startswith(OPTIMIZER)}, state


def _resume_optimizer(model: Model, state: dict[str, np.ndarray], config: Any, source: str) -> None:
    model.optimizer.build(model._trained.weights(model))
    try:
        model.optimizer.load_state(state)
    except ValueError as error:
        model.optimizer = optimizers.get(config)
        warnings.warn(f"{source}: the optimizer begins anew: its state does not fit: {error}", stacklevel=3)


def _loaded(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """`checkpoints.load`, whose error says of a file of another format that it is one."""
    try:
        return checkpoints.load(path)
    except CheckpointError as error:
        kind = FOREIGN.get(Path(path).suffix.lower())
        if kind is None or not Path(path).is_file():
            raise
        hint = f"by its name it is {kind}; write its weights as safetensors with the program that made it"
        raise CheckpointError(f"{error} ({hint})") from None


def model_from_json(json_string: str, custom_objects: dict[str, type] | None = None) -> Any:
    """The model that `Model.to_json` described, with new weights, compiled as it was. ValueError for other text."""
    try:
        description = json.loads(json_string)
        description = {key: description[key] for key in ("class_name", "config", "compile", "input_shape")}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"model_from_json: not the description of a model: {_reason(error)}") from None
    return made(description, custom_objects)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The strings that `Model.save` was given as `metadata`. Raises CheckpointError as `load_model`."""
    metadata = checkpoints.read_metadata(path)
    _own_metadata(path, metadata)
    return {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}


def save_weights(
    model: Model, filepath: str | os.PathLike[str], overwrite: bool = True, max_shard_size: float | None = None
) -> None:
    """Write the weights alone, under their paths of attributes, with the names of the layers that they belong to."""
    if max_shard_size is not None:
        raise ValueError(f"max_shard_size = {max_shard_size!r} is not supported: weights are one file")
    check_target(filepath, overwrite)
    arrays = {name: weight.numpy() for name, weight in _built(model, "save").items()}
    checkpoints.save(filepath, arrays, {PREFIX + "layers": json.dumps(_places(model))})


def load_weights(
    model: Model, filepath: str | os.PathLike[str], skip_mismatch: bool = False, by_name: bool = False
) -> None:
    """Read weights; see `Model.load_weights`. Nothing is assigned if that raises.

    Raises CheckpointError for another file or another model's, unless skip_mismatch; then where nothing fits.
    """
    own = _built(model, "load")
    arrays, metadata = _loaded(filepath)
    arrays, _ = _parted(arrays)
    source = os.fspath(filepath)
    if not (skip_mismatch or by_name):
        checkpoints.check_weights(arrays, model, source)
        checkpoints.assign_weights(arrays, model)
        return
    places = _places(model)
    given = _given_by_name(arrays, metadata, source) if by_name else _given_by_path(arrays, places)
    chosen: dict[str, np.ndarray] = {}
    for layer, paths in places.items():
        if by_name and layer not in given:
            continue
        why = _mismatch(paths, own, given.get(layer, {}))
        if why is None:
            chosen |= {path: given[layer][short] for short, path in paths.items()}
        elif not skip_mismatch:
            raise CheckpointError(f"{source}: layer {layer!r} {why}")
        else:
            warnings.warn(f"{source}: layer {layer!r} {why}: left as it is", stacklevel=4)
    if not chosen:
        raise CheckpointError(f"{source}: none of its layers ({', '.join(given) or 'none'}) fits one of {model.name}")
    for path, array in chosen.items():
        own[path].assign(array)


def _places(model: Model) -> dict[str, dict[str, str]]:
    """{name of a layer of the model: {path of a weight in the layer: path of it in the model}}; the model's own weights
    stand under its own name."""
    paths = {id(weight): path for path, weight in model.named_weights().items()}
    places: dict[str, dict[str, str]] = {}
    for layer in model.layers:
        weights = {short: paths.pop(id(weight), None) for short, weight in layer.named_weights().items()}
        mine = {short: path for short, path in weights.items() if path is not None}
        if mine:
            places[_unused(layer.name, places)] = mine
    if paths:
        places[_unused(model.name, places)] = {path: path for path in paths.values()}
    return places


def _unused(name: str, taken: dict[str, Any]) -> str:
    """The name, numbered if another layer has it."""
    numbered = (f"{name}#{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in numbered if other not in taken)


Given = dict[str, dict[str, np.ndarray]]


def _given_by_name(arrays: dict[str, np.ndarray], metadata: dict[str, str], source: str) -> Given:
    if PREFIX + "layers" not in metadata:
        raise CheckpointError(f"{source}: holds no names of layers: by_name needs a file that this version wrote")
    places = json.loads(metadata[PREFIX + "layers"])
    return {layer: {short: arrays[path] for short, path in paths.items()} for layer, paths in places.items()}


def _given_by_path(arrays: dict[str, np.ndarray], places: dict[str, dict[str, str]]) -> Given:
    return {
        layer: {short: arrays[path] for short, path in paths.items() if path in arrays}
        for layer, paths in places.items()
    }


def _mismatch(paths: dict[str, str], own: dict[str, Any], given: dict[str, np.ndarray]) -> str | None:
    """Why a layer's weights are not those that are given for it; None if they are."""
    if set(paths) != set(given):
        return f"has the weights {sorted(paths)} here, {sorted(given)} there"
    for short, path in paths.items():
        here, there = own[path], given[short]
        if here.shape != there.shape:
            return f"has a weight {short} of shape {here.shape} here, {there.shape} there"
        if not same_kind(here.dtype, there.dtype):
            return f"has a weight {short} of type {here.dtype} here, {there.dtype} there"
    return None


def _own_metadata(path: Any, metadata: dict[str, str]) -> dict[str, str]:
    own = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
    if own.get("format") != FORMAT:
        held = f"its format is {own['format']!r}" if "format" in own else "it holds arrays, but no model's description"
        raise CheckpointError(f"{os.fspath(path)}: not a model that tomograd saved: {held}")
    return own


def _compile_config(model: Model) -> dict[str, Any] | None:
    try:
        return model.get_compile_config()
    except NotImplementedError:
        return None


def _open_batch(shape: Any) -> Any:
    """The shape (or structure of shapes) with an open batch, as JSON writes it."""
    if isinstance(shape, dict):
        return {key: _open_batch(entry) for key, entry in shape.items()}
    if all(size is None or isinstance(size, int) for size in flatten(shape)) and not isinstance(
        shape[0], (list, tuple)
    ):
        return [None, *shape[1:]]
    return [_open_batch(entry) for entry in shape]


def _reason(error: BaseException) -> str:
    return f"{error}" if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: {error}"
