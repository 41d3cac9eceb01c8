"""Cases of keras.ops: each function with its arguments as the calls in `ops_calls` have them."""

from __future__ import annotations

import keras
import torch
from keras_family import KerasFamily
from ops_calls import CALLS


def ops() -> KerasFamily:
    """ "y0", … what a call gives, of any type; "dy0" and "d_x", "d_z", "d_p" where the first of it has a gradient."""
    family = KerasFamily("ops", seed=500)
    tensors = {
        "x": family.normal(3, 4),
        "z": family.normal(3, 4),
        "p": family.normal(3, 4).abs() + 0.5,
    }
    tensors = {name: tensor.to(torch.float32).to(torch.float64).requires_grad_() for name, tensor in tensors.items()}
    for words, call in CALLS.items():
        ys = call(keras.ops, **tensors)
        ys = [torch.as_tensor(y) for y in (ys if isinstance(ys, (list, tuple)) else [ys])]
        named = {name: tensor.detach() for name, tensor in tensors.items()}
        named |= {f"y{number}": _plain(y) for number, y in enumerate(ys)}
        if ys[0].requires_grad:
            dy = family.normal(*ys[0].shape)
            gradients = torch.autograd.grad(ys[0], list(tensors.values()), dy, allow_unused=True)
            named["dy0"] = dy
            for (name, tensor), gradient in zip(tensors.items(), gradients, strict=True):
                named[f"d_{name}"] = torch.zeros_like(tensor) if gradient is None else gradient
        family.keep(words, named, results=len(ys))
    return family


def _plain(y: torch.Tensor) -> torch.Tensor:
    """Its values, integers of one type."""
    return y.detach() if y.is_floating_point() or y.dtype == torch.bool else y.long()


FAMILIES = [ops]
