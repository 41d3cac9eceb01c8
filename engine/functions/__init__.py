"""Differentiable functions, by subject; `tg.functional`.

Each takes tensors, arrays or numbers and returns a tensor. Names and arguments are NumPy's where NumPy has the
function, and the field's standard ones elsewhere. Layout is channels last: (N, *spatial, C). Called on symbols
(`Input`), all but NOT_OF_SYMBOLS note a node of the graph, in place of computing.
"""

from ..deferred import noting as _noting
from ..tensor import Tensor as _Tensor
from .activations import (
    BY_NAME as _BY_NAME,
)
from .activations import (
    activation_function,
    elu,
    gelu,
    hard_sigmoid,
    leaky_relu,
    log_softmax,
    logsumexp,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
)
from .affine import affine_transform
from .arithmetic import (
    add,
    clip,
    divide,
    floor_divide,
    logaddexp,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    remainder,
    subtract,
    where,
)
from .attention import attention_weights, masked_softmax, scaled_dot_product_attention
from .broadcasting import broadcast_to, repeat, sum, sum_to, tile
from .convolution import conv, conv_transpose
from .dropout import dropout
from .elementwise import (
    abs,
    ceil,
    cos,
    exp,
    expm1,
    floor,
    log,
    log1p,
    ones_like,
    round,
    sign,
    sin,
    sqrt,
    square,
    tan,
    zeros_like,
)
from .embedding import embedding, one_hot
from .indexing import index, take, take_along_axis
from .linear_algebra import channel_sum, dense, einsum, matmul
from .losses import binary_cross_entropy, cross_entropy, dice, sparse_cross_entropy, squared_error
from .normalization import batch_norm, group_norm, instance_norm, layer_norm
from .pooling import average_pool, max_pool
from .rarer_activations import (
    celu,
    glu,
    hard_shrink,
    hard_silu,
    hard_tanh,
    log_sigmoid,
    mish,
    soft_shrink,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh_shrink,
    threshold,
)
from .recurrence import gru, lstm, simple_rnn
from .reductions import all, any, argmax, argmin, max, mean, min, prod, std, var
from .resizing import resize
from .shaping import (
    astype,
    concatenate,
    expand_dims,
    flip,
    moveaxis,
    pad,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    to_device,
    transpose,
)

__all__ = [
    "abs",
    "activation_function",
    "add",
    "affine_transform",
    "all",
    "any",
    "argmax",
    "argmin",
    "astype",
    "attention_weights",
    "average_pool",
    "batch_norm",
    "binary_cross_entropy",
    "broadcast_to",
    "ceil",
    "celu",
    "channel_sum",
    "clip",
    "concatenate",
    "conv",
    "conv_transpose",
    "cos",
    "cross_entropy",
    "dense",
    "dice",
    "divide",
    "dropout",
    "einsum",
    "elu",
    "embedding",
    "exp",
    "expand_dims",
    "expm1",
    "flip",
    "floor",
    "floor_divide",
    "gelu",
    "glu",
    "group_norm",
    "gru",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "index",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "log",
    "log1p",
    "log_sigmoid",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "lstm",
    "masked_softmax",
    "matmul",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mish",
    "moveaxis",
    "multiply",
    "negative",
    "one_hot",
    "ones_like",
    "pad",
    "power",
    "prelu",
    "prod",
    "relu",
    "relu6",
    "remainder",
    "repeat",
    "reshape",
    "resize",
    "round",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "simple_rnn",
    "sin",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_cross_entropy",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "split",
    "sqrt",
    "square",
    "squared_error",
    "squareplus",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "sum_to",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tanh_shrink",
    "threshold",
    "tile",
    "to_device",
    "transpose",
    "var",
    "where",
    "zeros_like",
]

# What has no place in a graph of layers: what gives no tensor, moves one, or draws or keeps something at each call,
# which are a layer's to do (Dropout, BatchNormalization).
NOT_OF_SYMBOLS = frozenset({"activation_function", "batch_norm", "dropout", "to_device"})

_plain = {name: globals()[name] for name in __all__ if name not in NOT_OF_SYMBOLS}
_noted = {function: _noting(function, __name__, name) for name, function in _plain.items()}
globals().update({name: _noted[function] for name, function in _plain.items()})
_BY_NAME.update({name: _noted[function] for name, function in _BY_NAME.items() if function in _noted})

for _name, _function in _plain.items():  # help(x.sum) is help(tg.functional.sum)
    _method = vars(_Tensor).get(_name)
    if _method is not None and not _method.__doc__:
        _method.__doc__ = _function.__doc__
