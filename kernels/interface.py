"""The names that every backend provides, and the decorator that gives a fast kernel its reference's docstring.

A backend is a module with one function for each name in `INTERFACE`. The signatures are those of `kernels.reference`:
a call written for one backend is a call for all. The arguments are already normalised by the caller (the engine):

- arrays are float32 or float64 (those of COPYING and ARITHMETIC: of any type; on a GPU those of CONVOLUTION and DENSE
  and of relu also float16 and bfloat16, summed in float32), all of one type in a call, which the result has too; they
  may be non-contiguous or read-only and are never modified (except by the optimizer steps, which work in place,
  recurrent cells, which leave their gates in z, and where there is an argument `destination`);
- activations have the layout (N, *spatial, C): the batch first, one to three spatial dimensions, the channels last;
- `strides`, `dilation_rate`, `pool_size`, `kernel_size`, `input_size`, `output_size` are tuples of one int for each
  spatial dimension, `padding` a tuple of (before, after) pairs; `kernels.geometry` makes them from what users write;
- shapes agree. Empty arrays (a batch of zero, no channels) are valid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

CONVOLUTION = ("conv", "conv_transpose", "conv_weight_gradient", "channel_sum")
POOLING = ("max_pool", "max_pool_scatter", "max_pool_gather", "average_pool", "average_pool_gradient")
DENSE = ("matmul",)
ACTIVATIONS = (
    "activation",
    "activation_gradient",
    "softmax",
    "softmax_gradient",
    "log_softmax",
    "log_softmax_gradient",
    "logsumexp",
)
NORMALIZATION = (
    "batch_norm",
    "batch_norm_gradient",
    "batch_norm_inference",
    "batch_norm_inference_gradient",
    "group_norm",
    "group_norm_gradient",
)
LOSSES = (
    "sparse_cross_entropy",
    "sparse_cross_entropy_gradient",
    "cross_entropy",
    "cross_entropy_gradient",
    "binary_cross_entropy",
    "binary_cross_entropy_gradient",
    "sparse_cross_entropy_from_probabilities",
    "sparse_cross_entropy_from_probabilities_gradient",
    "cross_entropy_from_probabilities",
    "cross_entropy_from_probabilities_gradient",
    "binary_cross_entropy_from_probabilities",
    "binary_cross_entropy_from_probabilities_gradient",
    "squared_error",
    "squared_error_gradient",
    "dice",
    "dice_gradient",
)
RECURRENCE = ("simple_rnn", "simple_rnn_gradient", "lstm", "lstm_gradient", "gru", "gru_gradient")
OPTIMIZERS = (
    "sgd_step",
    "adam_step",
    "adamax_step",
    "nadam_step",
    "lamb_step",
    "schedule_free_step",
    "adagrad_step",
    "adadelta_step",
    "rmsprop_step",
    "lion_step",
    "ftrl_step",
    "blend",
    "squared_norm",
    "limit_norm",
)
RESIZE = ("resize", "resize_gradient")
AFFINE = ("affine_transform", "affine_transform_gradient")
COPYING = ("copy", "concatenate", "split")
ARITHMETIC = ("add",)
INDEXING = ("add_rows",)

INTERFACE: tuple[str, ...] = (
    *CONVOLUTION,
    *POOLING,
    *DENSE,
    *ACTIVATIONS,
    *NORMALIZATION,
    *LOSSES,
    *RECURRENCE,
    *OPTIMIZERS,
    *RESIZE,
    *AFFINE,
    *COPYING,
    *ARITHMETIC,
    *INDEXING,
)

ACTIVATION_NAMES = (
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "sigmoid",
    "tanh",
    "softplus",
)

RECURRENT_ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "hard_sigmoid")  # that recurrent cells are fused with

Kernel = TypeVar("Kernel", bound=Callable)


def twin_of(reference: Callable) -> Callable[[Kernel], Kernel]:
    """Decorator for a fast kernel: it takes the docstring of its `reference`, so that shapes and formula stand in one
    place.

    Only `__doc__` is copied; the function keeps its own name, module and signature (a test compares the signatures).
    """

    def give_docstring(kernel: Kernel) -> Kernel:
        kernel.__doc__ = reference.__doc__
        return kernel

    return give_docstring
