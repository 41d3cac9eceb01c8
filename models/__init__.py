"""Models, their training, their files, metrics and callbacks; `tg.models`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..engine.checkpoints import CheckpointError
    from ..engine.layers import Input
    from . import callbacks, metrics
    from .cloning import clone_model
    from .cnn import CNN
    from .densenet import DenseNet
    from .functional import Functional
    from .model import Model
    from .nonfinite import NonFiniteLossError
    from .prefetching import using_prefetch
    from .recurrent import RecurrentClassifier
    from .resnet import ResNet
    from .saving import load_model, model_from_json, read_metadata, register, save_model
    from .sequential import Sequential
    from .sliding import predict_tiled
    from .torch_weights import load_torch_weights
    from .unet import UNet

# Looked up when first used: metrics alone do not load the layers.
_HOMES = {
    "CNN": ".cnn",
    "CheckpointError": "..engine.checkpoints",
    "DenseNet": ".densenet",
    "Functional": ".functional",
    "Input": "..engine.layers",
    "Model": ".model",
    "NonFiniteLossError": ".nonfinite",
    "RecurrentClassifier": ".recurrent",
    "ResNet": ".resnet",
    "Sequential": ".sequential",
    "UNet": ".unet",
    "clone_model": ".cloning",
    "load_model": ".saving",
    "load_torch_weights": ".torch_weights",
    "model_from_json": ".saving",
    "predict_tiled": ".sliding",
    "read_metadata": ".saving",
    "register": ".saving",
    "save_model": ".saving",
    "using_prefetch": ".prefetching",
}

__all__ = [
    "CNN",
    "CheckpointError",
    "DenseNet",
    "Functional",
    "Input",
    "Model",
    "NonFiniteLossError",
    "RecurrentClassifier",
    "ResNet",
    "Sequential",
    "UNet",
    "callbacks",
    "clone_model",
    "load_model",
    "load_torch_weights",
    "metrics",
    "model_from_json",
    "predict_tiled",
    "read_metadata",
    "register",
    "save_model",
    "using_prefetch",
]


def __getattr__(name: str) -> Any:
    if name in ("callbacks", "metrics"):
        return import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
