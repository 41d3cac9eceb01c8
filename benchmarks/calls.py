"""What a call of each differentiable function costs beside its arithmetic: the registry's samples, of a few numbers.

The list is `tomograd.testing.registry`'s: a function that is new there is measured here. A network of many small
functions spends its time like this; large arrays are the kernels' matter.
"""

from dataclasses import dataclass

from tomograd.testing import registry
from tomograd.testing.registry import Sample

from .convolutions import FORWARD

WITH_GRADIENT = "forward and gradient"


@dataclass(frozen=True)
class Call:
    """The plain call of one function: its first sample, in float32."""

    name: str
    group: str
    sample: Sample
    passes: tuple[str, ...]

    @property
    def label(self) -> str:
        shapes = ", ".join("×".join(map(str, array.shape)) or "a number" for array in self.sample.arrays)
        return f"{self.sample.label}, {shapes}"


def calls() -> list[Call]:
    """Every function of the registry that has a sample; constants forward only."""
    return [
        Call(entry.name, family, entry.samples[0], (FORWARD,) if entry.constant else (FORWARD, WITH_GRADIENT))
        for family, entries in registry.FAMILIES.items()
        for entry in entries
        if entry.samples
    ]
