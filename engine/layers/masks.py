"""How masks get from layer to layer: found on inputs, given to `call`, put on outputs. See `engine.masks`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..masks import mask_of, with_mask
from ..tensor import Tensor
from .symbolic import flatten, map_structure

__all__ = ["mask_arguments", "masked_outputs", "masks_of", "with_masks"]


def masks_of(structure: Any) -> Any:
    """The masks of a tensor, or of a list, tuple or dict of tensors in the same structure; None if none has one."""
    if not isinstance(structure, (list, tuple, dict)):
        return mask_of(structure)
    masks = map_structure(mask_of, structure)
    return masks if any(mask is not None for mask in flatten(masks)) else None


def mask_arguments(call: Callable[..., Any], masks: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The masks that a layer's `call` asks for and was not given: `mask` is that of the first input, and NAME_mask that
    of the input NAME. `masks`: those of the first input."""
    found = {}
    for name, owner in _mask_names(call):
        if arguments.get(name) is None:
            mask = masks if owner is None else masks_of(arguments.get(owner))
            if mask is not None:
                found[name] = mask
    return found


@functools.cache
def _mask_names(call: Callable[..., Any]) -> list[tuple[str, str | None]]:
    """For each argument of `call` that is a mask, the argument that it belongs to; None for the first input."""
    names = list(inspect.signature(call).parameters)
    owners = {f"{name}_mask": None if index == 1 else name for index, name in enumerate(names)}
    return [(name, owners.get(name)) for name in names[2:] if name == "mask" or name in owners]


def with_masks(structure: Any, masks: Any) -> Any:
    """Tensors with the masks that stand in the same places of `masks`; where there is none they stay as they are."""
    if masks is None:
        return structure
    if isinstance(structure, Tensor):
        return with_mask(structure, masks[0] if isinstance(masks, (list, tuple)) and len(masks) == 1 else masks)
    left = iter(flatten(masks))
    count = len(flatten(structure))
    if len(flatten(masks)) != count:
        raise ValueError(f"expected {count} masks, one for each tensor (None for those without), got {masks!r}")

    def put(tensor: Any) -> Any:
        mask = next(left)
        return tensor if mask is None else with_mask(tensor, mask)

    return map_structure(put, structure)


def masked_outputs(outputs: Any, masks: Any) -> Any:
    """A layer's outputs with the masks that its `compute_mask` gave, but for those that `call` itself gave one."""
    found = iter(flatten(masks))

    def put(output: Any) -> Any:
        mask = next(found, None)
        if mask is None or not isinstance(output, Tensor) or mask_of(output) is not None:
            return output
        return with_mask(output, mask)

    return map_structure(put, outputs)
