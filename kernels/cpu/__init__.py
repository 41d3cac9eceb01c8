"""Kernels for the CPU: Numba, explicit SIMD, threads. Functions and signatures as in `kernels.reference`.

- `launch` runs kernel bodies on threads, `compiling` makes machine code of them, `cache` keeps it on disk;
- `simd` and `mathematics` are the vocabulary of the bodies: vectors as values, and exp, log, tanh … that become SIMD;
- `tiles` and what stands on it, `elementwise`, `rows`, `channels`, `separable`, `windows` and `lane_maps` are the ways
  to walk through arrays that several kernels share;
- `recording` repeats a row of launches without Python, `streams` stores past the caches what these cannot hold;
- the other modules hold the kernels.

Results repeat bit for bit at a fixed number of threads. Importing this package compiles nothing.
"""

from . import recording as recording  # beside the kernels: their launches, to be repeated
from .activations import (
    activation,
    activation_gradient,
    log_softmax,
    log_softmax_gradient,
    logsumexp,
    softmax,
    softmax_gradient,
)
from .affine import affine_transform, affine_transform_gradient
from .arithmetic import add
from .average_pooling import average_pool, average_pool_gradient
from .channel_sum import channel_sum
from .convolution import conv, conv_transpose, conv_weight_gradient
from .copying import concatenate, copy, split
from .dense import matmul
from .gated_recurrence import gru, gru_gradient
from .losses import (
    binary_cross_entropy,
    binary_cross_entropy_from_probabilities,
    binary_cross_entropy_from_probabilities_gradient,
    binary_cross_entropy_gradient,
    cross_entropy,
    cross_entropy_from_probabilities,
    cross_entropy_from_probabilities_gradient,
    cross_entropy_gradient,
    dice,
    dice_gradient,
    sparse_cross_entropy,
    sparse_cross_entropy_from_probabilities,
    sparse_cross_entropy_from_probabilities_gradient,
    sparse_cross_entropy_gradient,
    squared_error,
    squared_error_gradient,
)
from .max_pool_gradient import max_pool_scatter
from .max_pooling import max_pool, max_pool_gather
from .normalization import (
    batch_norm,
    batch_norm_gradient,
    batch_norm_inference,
    batch_norm_inference_gradient,
    group_norm,
    group_norm_gradient,
)
from .optimizers import (
    adadelta_step,
    adagrad_step,
    adam_step,
    adamax_step,
    blend,
    ftrl_step,
    lamb_step,
    limit_norm,
    lion_step,
    nadam_step,
    rmsprop_step,
    schedule_free_step,
    sgd_step,
    squared_norm,
)
from .recurrence import lstm, lstm_gradient, simple_rnn, simple_rnn_gradient
from .resize import resize, resize_gradient
from .row_sums import add_rows

__all__ = [
    "activation",
    "activation_gradient",
    "adadelta_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "add",
    "add_rows",
    "affine_transform",
    "affine_transform_gradient",
    "average_pool",
    "average_pool_gradient",
    "batch_norm",
    "batch_norm_gradient",
    "batch_norm_inference",
    "batch_norm_inference_gradient",
    "binary_cross_entropy",
    "binary_cross_entropy_from_probabilities",
    "binary_cross_entropy_from_probabilities_gradient",
    "binary_cross_entropy_gradient",
    "blend",
    "channel_sum",
    "concatenate",
    "conv",
    "conv_transpose",
    "conv_weight_gradient",
    "copy",
    "cross_entropy",
    "cross_entropy_from_probabilities",
    "cross_entropy_from_probabilities_gradient",
    "cross_entropy_gradient",
    "dice",
    "dice_gradient",
    "ftrl_step",
    "group_norm",
    "group_norm_gradient",
    "gru",
    "gru_gradient",
    "lamb_step",
    "limit_norm",
    "lion_step",
    "log_softmax",
    "log_softmax_gradient",
    "logsumexp",
    "lstm",
    "lstm_gradient",
    "matmul",
    "max_pool",
    "max_pool_gather",
    "max_pool_scatter",
    "nadam_step",
    "resize",
    "resize_gradient",
    "rmsprop_step",
    "schedule_free_step",
    "sgd_step",
    "simple_rnn",
    "simple_rnn_gradient",
    "softmax",
    "softmax_gradient",
    "sparse_cross_entropy",
    "sparse_cross_entropy_from_probabilities",
    "sparse_cross_entropy_from_probabilities_gradient",
    "sparse_cross_entropy_gradient",
    "split",
    "squared_error",
    "squared_error_gradient",
    "squared_norm",
]
