"""Kernels for NVIDIA GPUs: CUDA C, launched through CuPy. Functions and signatures as in `kernels.reference`.

- `sources/` holds the CUDA C, `functions` names the instances of its templates;
- `runtime` says where kernels run, `device` is CuPy's GPU, `launching` what every launcher does;
- the other modules are the launchers, one for each family of kernels.

Results repeat bit for bit: no kernel adds with atomics. Importing this package needs neither CuPy nor a GPU.
"""

from . import affine as _affine
from . import channel_sum as _channel_sum
from . import convolution_tensor_cores as _convolution_tensor_cores
from . import copying as _copying
from . import cross_entropy as _cross_entropy
from . import dense as _dense
from . import depthwise as _depthwise
from . import dice as _dice
from . import elementwise as _elementwise
from . import few_channels as _few_channels
from . import layer_normalization as _layer_normalization
from . import losses as _losses
from . import normalization as _normalization
from . import optimizers as _optimizers
from . import output_tiles as _output_tiles
from . import pooling as _pooling
from . import recurrence as _recurrence
from . import resize as _resize
from . import row_sums as _row_sums
from . import softmax as _softmax
from . import weight_tensor_cores as _weight_tensor_cores
from . import weight_tiles as _weight_tiles
from .affine import affine_transform, affine_transform_gradient
from .channel_sum import channel_sum
from .convolution import conv, conv_transpose, conv_weight_gradient
from .copying import concatenate, copy, split
from .cross_entropy import (
    cross_entropy,
    cross_entropy_from_probabilities,
    cross_entropy_from_probabilities_gradient,
    cross_entropy_gradient,
    sparse_cross_entropy,
    sparse_cross_entropy_from_probabilities,
    sparse_cross_entropy_from_probabilities_gradient,
    sparse_cross_entropy_gradient,
)
from .dense import matmul
from .dice import dice, dice_gradient
from .elementwise import activation, activation_gradient, add
from .losses import (
    binary_cross_entropy,
    binary_cross_entropy_from_probabilities,
    binary_cross_entropy_from_probabilities_gradient,
    binary_cross_entropy_gradient,
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
    limit_norm,
    lion_step,
    nadam_step,
    rmsprop_step,
    schedule_free_step,
    sgd_step,
    squared_norm,
)
from .pooling import average_pool, average_pool_gradient, max_pool, max_pool_gather, max_pool_scatter
from .recurrence import gru, gru_gradient, lstm, lstm_gradient, simple_rnn, simple_rnn_gradient
from .resize import resize, resize_gradient
from .row_sums import add_rows
from .softmax import log_softmax, log_softmax_gradient, logsumexp, softmax, softmax_gradient

SOURCES = (
    _affine.SOURCE,
    _channel_sum.SOURCE,
    _convolution_tensor_cores.SOURCE,
    _copying.SOURCE,
    _cross_entropy.SOURCE,
    _dense.SOURCE,
    _depthwise.SOURCE,
    _dice.SOURCE,
    _elementwise.SOURCE,
    _few_channels.SOURCE,
    _layer_normalization.SOURCE,
    _losses.SOURCE,
    _normalization.SOURCE,
    _optimizers.SOURCE,
    _output_tiles.SOURCE,
    _pooling.SOURCE,
    _recurrence.SOURCE,
    _resize.SOURCE,
    _row_sums.SOURCE,
    _softmax.SOURCE,
    _weight_tensor_cores.SOURCE,
    _weight_tiles.SOURCE,
)

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
