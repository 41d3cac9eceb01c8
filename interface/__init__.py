"""tomograd: a deep-learning engine from scratch for medical images.

    import tomograd as tg

    x = tg.Tensor(array, requires_grad=True)
    model = tg.models.UNet((256, 256, 1), classes=1, base_filters=16)

Every name below is looked up when it is first used (PEP 562), so that `import tomograd` costs a few milliseconds: a
program that reads one DICOM file never loads the kernels.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see; at run time __getattr__ finds the same names
    from tomograd import (
        activations,
        callbacks,
        constraints,
        engine,
        functional,
        imaging,
        initializers,
        kernels,
        layers,
        losses,
        memory,
        metrics,
        models,
        ops,
        optimizers,
        random,
        regularizers,
        testing,
        utils,
    )
    from tomograd.engine import Tensor, Variable, enable_grad, grad, no_grad
    from tomograd.initializers import Initializer
    from tomograd.layers import Layer
    from tomograd.losses import Loss
    from tomograd.metrics import Metric
    from tomograd.models import Input, Model, Sequential
    from tomograd.optimizers import Optimizer
    from tomograd.regularizers import Regularizer

    __version__: str

_MODULES = (
    "activations",
    "callbacks",
    "constraints",
    "engine",
    "functional",
    "imaging",
    "initializers",
    "kernels",
    "layers",
    "losses",
    "memory",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "testing",
    "utils",
)
_NAMES = {
    "Tensor": "tomograd.engine",
    "Variable": "tomograd.engine",
    "grad": "tomograd.engine",
    "no_grad": "tomograd.engine",
    "enable_grad": "tomograd.engine",
    "Model": "tomograd.models",
    "Sequential": "tomograd.models",
    "Input": "tomograd.models",
    "Initializer": "tomograd.initializers",
    "Layer": "tomograd.layers",
    "Loss": "tomograd.losses",
    "Metric": "tomograd.metrics",
    "Optimizer": "tomograd.optimizers",
    "Regularizer": "tomograd.regularizers",
}

__all__ = [
    "Initializer",
    "Input",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "Tensor",
    "Variable",
    "__version__",
    "activations",
    "callbacks",
    "constraints",
    "enable_grad",
    "engine",
    "functional",
    "grad",
    "imaging",
    "initializers",
    "kernels",
    "layers",
    "losses",
    "memory",
    "metrics",
    "models",
    "no_grad",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "testing",
    "utils",
]


def __getattr__(name: str) -> Any:
    """The public name `name`, imported now and kept."""
    value: Any
    if name in _MODULES:
        value = import_module(f"tomograd.{name}")
    elif name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
    elif name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value = version("tomograd")
        except PackageNotFoundError:  # used from a checkout
            value = "not installed"
    else:
        from tomograd.engine.absent import ABSENT_AT_TOP

        why = f"keras.{name} is not in tomograd: {ABSENT_AT_TOP[name]}" if name in ABSENT_AT_TOP else None
        raise AttributeError(why or f"module 'tomograd' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
