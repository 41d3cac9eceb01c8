"""Mutants that all tests let live, and why they may: they do the same as the module, or differ only in time."""

from __future__ import annotations

from dataclasses import dataclass

from . import checker, cpu, cuda, functions, reductions, reference


@dataclass(frozen=True)
class Explained:
    """The mutants of one statement that share a reason."""

    module: str  # below tomograd
    before: str  # the statement, in one line, as survivors.py prints it
    after: tuple[str, ...]  # the same, of each mutant
    why: str


# The parts are by who looks at them together: shape and value functions, reductions and losses, …
PARTS = {
    "functions": functions,
    "reductions": reductions,
    "reference": reference,
    "cpu": cpu,
    "cuda": cuda,
    "checker": checker,
}
EXPLAINED = [Explained(*entry) for part in PARTS.values() for entry in part.ENTRIES]


# Modules of kernels/cpu of which a sample was tried: `survivors.py MODULE --sample 8`.
SAMPLED = [
    "activations",
    "affine",
    "arithmetic",
    "atomics",
    "average_pooling",
    "bodies",
    "cache",
    "caches",
    "channel_sum",
    "channels",
    "compiling",
    "convolution",
    "copying",
    "correlation",
    "covering",
    "dense",
    "depthwise",
    "depthwise_tiles",
    "doubling",
    "elementwise",
    "few_rows",
    "gradient_tiles",
    "lane_maps",
    "launch",
    "layer_normalization",
    "losses",
    "mathematics",
    "max_pool_gradient",
    "max_pooling",
    "normalization",
    "optimizers",
    "output_tiles",
    "packing",
    "recording",
    "recurrence",
    "recurrent_products",
    "recurrent_steps",
    "resize",
    "row_sums",
    "rows",
    "separable",
    "simd",
    "streams",
    "team",
    "tile_kernel",
    "tile_walk",
    "tiles",
    "tiling",
    "weight_tiles",
    "windows",
    "winograd",
    "winograd_deep_gradient",
    "winograd_filters",
    "winograd_gradient",
    "winograd_tiles",
    "winograd_transforms",
    "workspaces",
]

# Modules of kernels/cuda of which a sample was tried, on the emulated cases: `survivors.py MODULE --sample 6`.
SAMPLED_LAUNCHERS = [
    "affine",
    "channel_sum",
    "convolution",
    "convolution_tensor_cores",
    "copying",
    "correlation",
    "cross_entropy",
    "dense",
    "depthwise",
    "dice",
    "elementwise",
    "few_channels",
    "launching",
    "layer_normalization",
    "lines",
    "losses",
    "normalization",
    "optimizers",
    "output_tiles",
    "pooling",
    "recurrence",
    "resize",
    "row_sums",
    "rows",
    "softmax",
    "weight_tensor_cores",
    "weight_tiles",
]


def why(module: str, before: str, after: str) -> str | None:
    """The reason why a mutant may live; None if none is known."""
    found = (each.why for each in EXPLAINED if (each.module, each.before) == (module, before) and after in each.after)
    return next(found, None)
