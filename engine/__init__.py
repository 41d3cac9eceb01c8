"""The engine: tensors that record what is computed with them, and everything that is trained by gradients.

`Tensor` is an array with a gradient, `functions` (also `functional`) what can be done with it, `Function` how a new
differentiable function is made, `Variable` a weight.
"""

from . import functions, random
from . import functions as functional
from .device import DeviceError
from .tape import Function, Fused, GradientError, enable_grad, grad, no_grad, recording
from .tensor import Tensor, as_tensor
from .variable import Variable

__all__ = [
    "DeviceError",
    "Function",
    "Fused",
    "GradientError",
    "Tensor",
    "Variable",
    "as_tensor",
    "enable_grad",
    "functional",
    "functions",
    "grad",
    "no_grad",
    "random",
    "recording",
]
