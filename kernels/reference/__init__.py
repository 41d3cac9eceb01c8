"""The mathematics as written: every kernel in plain NumPy, in any float type, to be read beside its formula.

The results are what the fast backends are tested against. A result has the type of its arguments. Loops run over the
few positions of a window, the classes of an activation or the axes of an image; NumPy does the rest.
"""

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
from .convolution import channel_sum, conv, conv_transpose, conv_weight_gradient
from .copying import concatenate, copy, split
from .dense import matmul
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
    lion_step,
    nadam_step,
    rmsprop_step,
    sgd_step,
    squared_norm,
)
from .pooling import average_pool, average_pool_gradient, max_pool, max_pool_gather, max_pool_scatter
from .recurrence import gru, gru_gradient, lstm, lstm_gradient, simple_rnn, simple_rnn_gradient
from .resize import resize, resize_gradient
from .rows import add_rows

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
