"""Models in files: weights as safetensors, class, configuration and compile settings as JSON in the file's metadata.

No code is in the file and none is run from it: classes are looked up by name among tomograd's layers and models and
those that the program registered.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import TYPE_CHECKING, Any, TypeVar

from ..engine import checkpoints, layers, random
from ..engine.checkpoints import CheckpointError
from ..engine.layers.base import Layer
from ..engine.layers.symbolic import flatten

if TYPE_CHECKING:
    from .model import Model

FORMAT = "tomograd model 1"
PREFIX = "tomograd."

Class = TypeVar("Class", bound=type)

_registered: dict[str, type] = {}
# Models of this package: imported when a file or a configuration names them.
_OWN = {"CNN": ".cnn", "CropLike": ".unet", "Functional": ".functional", "Sequential": ".sequential", "UNet": ".unet"}


def register(cls: Class) -> Class:
    """Make a Layer or Model subclass known to `load_model`, under its name; a decorator.

    Raises TypeError for other classes, ValueError for a name that another class has.
    """
    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        raise TypeError(f"register: expected a subclass of Layer or Model, got {cls!r}")
    known = _class_named(cls.__name__, None)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"register: a class named {cls.__name__!r} is known already: {known!r}")
    _registered[cls.__name__] = cls
    return cls


def _class_named(name: Any, custom_objects: dict[str, type] | None) -> type | None:
    if name in _OWN:
        return getattr(importlib.import_module(_OWN[name], __package__), name)
    return (custom_objects or {}).get(name) or _registered.get(name) or layers.CLASSES.get(name)


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

    if issubclass(cls, Model):
        return cls.from_config(entry["config"], custom_objects)
    return cls.from_config(entry["config"])  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------------------------- files


def save_model(model: Model, path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
    """Write a built model; see `Model.save`.

    Raises ValueError for a model that is not built or metadata whose keys start with "tomograd.", and
    NotImplementedError for one with a part that cannot be written down, such as a Lambda. A loss or metric that is a
    function can not either: the model is then saved as one that is not compiled.
    """
    if not model.built:
        raise ValueError(f"{model.name} is not built yet, it has no weights to save: call it on an input first")
    for key in metadata or {}:
        if key.startswith(PREFIX):
            raise ValueError(f"metadata: keys that start with {PREFIX!r} are the file format's own, not {key!r}")
    own = {
        "format": FORMAT,
        "class_name": type(model).__name__,
        "config": json.dumps(model.get_config()),
        "compile": json.dumps(_compile_config(model)),
        "input_shape": json.dumps(_open_batch(model._notes.built_shape)),
        "dtype": str(model.dtype),
    }
    arrays = {name: weight.numpy() for name, weight in model.named_weights().items()}
    checkpoints.save(path, arrays, {PREFIX + key: value for key, value in own.items()} | (metadata or {}))


def load_model(
    path: str | os.PathLike[str], custom_objects: dict[str, type] | None = None, compile: bool = True
) -> Any:
    """The model in a file that `Model.save` wrote, with its weights, and compiled as it was if `compile`.

    custom_objects: {name: class} of Layer and Model subclasses that are not registered. Nothing is drawn from
    `tg.random`.

    Raises CheckpointError (a ValueError), naming the file and the reason, for a file that is missing, truncated,
    damaged, or holds no model.
    """
    arrays, metadata = checkpoints.load(path)
    own = _own_metadata(path, metadata)
    state = random.state()
    try:
        model = layer_from_config(
            {"class_name": own["class_name"], "config": json.loads(own["config"])}, custom_objects
        )
        if not model.built:
            model.build(json.loads(own["input_shape"]))
        compile_config = json.loads(own["compile"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError) as error:
        raise CheckpointError(f"{os.fspath(path)}: the model in it cannot be made: {_reason(error)}") from error
    finally:
        random.set_state(state)
    checkpoints.check_weights(arrays, model, os.fspath(path))
    checkpoints.assign_weights(arrays, model)
    if compile and compile_config is not None:
        model.compile(**compile_config)
    return model


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The strings that `Model.save` was given as `metadata`. Raises CheckpointError as `load_model`."""
    metadata = checkpoints.read_metadata(path)
    _own_metadata(path, metadata)
    return {key: value for key, value in metadata.items() if not key.startswith(PREFIX)}


def save_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the weights alone, under their paths of attributes."""
    if not model.built:
        raise ValueError(f"{model.name} is not built yet, it has no weights to save: call it on an input first")
    checkpoints.save(path, {name: weight.numpy() for name, weight in model.named_weights().items()})


def load_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Read weights of a model of the same structure. Raises CheckpointError for another file or another model's."""
    if not model.built:
        raise ValueError(f"{model.name} is not built yet: call it on an input, or build(input_shape), first")
    arrays, _ = checkpoints.load(path)
    checkpoints.check_weights(arrays, model, os.fspath(path))
    checkpoints.assign_weights(arrays, model)


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
