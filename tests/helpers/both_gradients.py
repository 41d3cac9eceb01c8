"""A function's gradients by both ways of the engine: the kernels' ("fused"), and recorded on the tape."""

from __future__ import annotations

import numpy as np

from tomograd.engine import Tensor, grad


def fused_and_recorded(function, *arrays, cotangent=None) -> list[list[np.ndarray]]:
    """[fused, recorded]: the gradients in all arrays, under a cotangent of ones unless one is given."""
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    y = function(*tensors)
    cotangent = np.ones(y.shape, y.dtype) if cotangent is None else cotangent
    recorded = grad(y, tensors, cotangent, create_graph=True)
    fused = grad(y, tensors, cotangent)
    return [[gradient.numpy() for gradient in found] for found in (fused, recorded)]
