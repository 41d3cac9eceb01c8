"""The golden cases of convolution, pooling, normalisation, activations, losses and resizing, for kernels and functions.

Inputs and parameters of each family:

- convolution: x, weight, bias; strides, padding (pairs), dilation_rate, groups
- conv_transpose: x, weight, bias; strides, padding (pairs, of the convolution back), dilation_rate, groups,
  output_size; and what a user writes for it: user_padding, user_output_padding
- pooling: x; kind "max" or "average", pool_size, strides, padding (pairs), then dilation_rate or count_include_pad
- normalization: x, gamma, beta; kind "batch", "layer" (over the last axis), "group" or "instance", groups (group
  only), epsilon; of kind "batch" also `mean` and (biased) `variance`; kind "inference" has inputs x, gamma, beta and
  constants mean, variance
- activation: x; name (as kernels.activation), parameter; or name "softmax", "log_softmax", "logsumexp" over the last
  axis
- loss: inputs logits, p, prediction or probabilities by kind (the kernel's name), the constant targets, target or
  labels; epsilon, smooth; y is the loss of each row or element
- resize: x; output_size, method
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from family import Family, float32_numbers


def channels_first(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-1, 1).contiguous()


def channels_last(y: torch.Tensor) -> torch.Tensor:
    return y.movedim(1, -1)


def torch_weight(weight: torch.Tensor) -> torch.Tensor:
    """(*kernel, A, B) to PyTorch's (B, A, *kernel), for convolutions and transposed ones alike."""
    return weight.movedim((-1, -2), (0, 1)).contiguous()


def pad(x: torch.Tensor, pairs, value: float = 0.0) -> torch.Tensor:
    """Channels-first x with (before, after) pairs of padding; F.pad takes the last dimension first."""
    return F.pad(x, [size for pair in reversed(pairs) for size in pair], value=value)


def convolution() -> Family:
    family = Family("convolution", seed=1)

    def case(name, size, kernel, c_in, c_out, strides=1, padding=0, dilation_rate=1, groups=1, batch=2):
        d = len(size)
        strides, dilation_rate = each(strides, d), each(dilation_rate, d)
        pairs = padding if isinstance(padding, tuple) else ((padding, padding),) * d

        def function(x, weight, bias):
            convolve = (F.conv1d, F.conv2d, F.conv3d)[d - 1]
            padded = pad(channels_first(x), pairs)
            return channels_last(convolve(padded, torch_weight(weight), bias, strides, 0, dilation_rate, groups))

        inputs = {
            "x": family.normal(batch, *size, c_in),
            "weight": family.normal(*kernel, c_in // groups, c_out),
            "bias": family.normal(c_out),
        }
        arguments = {"strides": strides, "padding": pairs, "dilation_rate": dilation_rate, "groups": groups}
        family.add(name, function, inputs, **arguments)

    case("1d", (9,), (3,), 3, 4)
    case("1d strided", (11,), (4,), 2, 5, strides=2, padding=1)
    case("1d causal dilated", (8,), (3,), 2, 3, padding=((4, 0),), dilation_rate=2)
    case("1d groups", (7,), (2,), 6, 3, groups=3)
    case("2d", (6, 5), (3, 3), 3, 4)
    case("2d same", (5, 7), (3, 3), 2, 3, padding=1)
    case("2d one channel in, seventeen out", (5, 4), (3, 3), 1, 17, padding=1, batch=1)
    case("2d seventeen channels in, one out", (4, 4), (3, 3), 17, 1, padding=1, batch=1)
    case("2d pointwise", (3, 4), (1, 1), 5, 6)
    case("2d strided", (7, 6), (3, 3), 2, 3, strides=2, padding=1)
    case("2d stride larger than kernel", (8, 7), (2, 1), 2, 2, strides=3)
    case("2d rectangular, padded on one side", (6, 5), (2, 4), 2, 3, strides=(2, 1), padding=((0, 1), (2, 1)))
    case("2d dilated", (8, 7), (3, 2), 2, 2, padding=1, dilation_rate=(2, 3))
    case("2d dilated and strided", (9, 8), (3, 3), 2, 2, strides=(2, 3), padding=2, dilation_rate=2)
    case("2d groups", (5, 5), (3, 3), 4, 6, padding=1, groups=2)
    case("2d depthwise", (5, 6), (3, 3), 5, 5, padding=1, groups=5)
    case("2d depthwise with multiplier", (5, 5), (3, 3), 3, 6, strides=2, groups=3)
    case("2d window as large as the image", (4, 3), (4, 3), 2, 5)
    case("3d", (4, 5, 3), (3, 3, 3), 2, 2, padding=1, batch=1)
    case("3d strided", (5, 4, 6), (2, 3, 2), 1, 3, strides=(2, 1, 2), padding=((0, 1), (1, 1), (1, 0)), batch=1)
    case("3d dilated groups", (5, 4, 4), (3, 2, 2), 2, 4, dilation_rate=(2, 1, 2), groups=2, batch=1)
    return family


def conv_transpose() -> Family:
    family = Family("conv_transpose", seed=2)

    def case(name, size, kernel, c_in, c_out, strides, output_size, pairs, user, dilation_rate=1, groups=1):
        d = len(size)
        strides, dilation_rate = each(strides, d), each(dilation_rate, d)

        def function(x, weight, bias):
            # the whole transposed convolution, without padding, then cut (or filled up with zeros) to the output
            convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[d - 1]
            whole = convolve(
                channels_first(x), torch_weight(weight), None, strides, 0, 0, groups=groups, dilation=dilation_rate
            )
            cuts = [(-b, o + b - n) for (b, _), o, n in zip(pairs, output_size, whole.shape[2:], strict=True)]
            return channels_last(pad(whole, cuts)) + bias

        inputs = {
            "x": family.normal(2, *size, c_in),
            "weight": family.normal(*kernel, c_out // groups, c_in),
            "bias": family.normal(c_out),
        }
        arguments = {
            "strides": strides,
            "padding": pairs,
            "dilation_rate": dilation_rate,
            "groups": groups,
            "output_size": output_size,
            "user_padding": user[0],
            "user_output_padding": user[1],
        }
        family.add(name, function, inputs, **arguments)

    case("1d valid", (4,), (3,), 2, 3, 2, (9,), ((0, 0),), ("valid", None))
    case("1d same", (4,), (3,), 2, 3, 2, (8,), ((0, 1),), ("same", None))
    case("1d stride larger than kernel", (3,), (2,), 2, 2, 3, (9,), ((0, 0),), ("valid", None))
    case("2d up by two", (3, 4), (2, 2), 3, 2, 2, (6, 8), ((0, 0),) * 2, ("valid", None))
    case("2d same", (3, 2), (4, 4), 2, 3, 2, (6, 4), ((1, 1),) * 2, ("same", None))
    case("2d padded", (4, 3), (3, 3), 2, 2, 2, (7, 5), ((1, 1),) * 2, (1, None))
    case("2d output padding", (4, 3), (3, 3), 2, 2, 2, (8, 6), ((1, 1),) * 2, (1, 1))
    case("2d dilated", (3, 3), (2, 3), 2, 2, (1, 2), (5, 9), ((0, 0),) * 2, ("valid", None), dilation_rate=2)
    case("2d groups", (3, 3), (3, 3), 4, 6, 1, (5, 5), ((0, 0),) * 2, ("valid", None), groups=2)
    case("2d depthwise", (3, 4), (2, 2), 3, 3, 2, (6, 8), ((0, 0),) * 2, ("valid", None), groups=3)
    case("3d up by two", (2, 3, 2), (2, 2, 2), 2, 2, 2, (4, 6, 4), ((0, 0),) * 3, ("valid", None))
    case("3d same", (2, 2, 3), (3, 3, 3), 1, 2, (1, 2, 1), (2, 4, 3), ((1, 1), (0, 1), (1, 1)), ("same", None))

    # the cut whole is PyTorch's own padded form
    arrays = family.arrays["2d output padding"]
    x, weight, bias = (torch.from_numpy(arrays[name]) for name in ("x", "weight", "bias"))
    own = F.conv_transpose2d(channels_first(x), torch_weight(weight), bias, 2, 1, output_padding=1)
    np.testing.assert_allclose(channels_last(own).numpy(), arrays["y"])
    return family


def pooling() -> Family:
    family = Family("pooling", seed=3)

    def max_case(name, x, pool_size, strides, pairs, dilation_rate=1):
        d = len(pool_size)
        strides, dilation_rate = each(strides, d), each(dilation_rate, d)

        def function(x):
            pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[d - 1]
            padded = pad(channels_first(x), pairs, -np.inf)
            return channels_last(pool(padded, pool_size, strides, 0, dilation_rate))

        arguments = {"pool_size": pool_size, "strides": strides, "padding": pairs, "dilation_rate": dilation_rate}
        family.add(name, function, {"x": x}, kind="max", **arguments)

    def average_case(name, x, pool_size, strides, padding, count_include_pad):
        d = len(pool_size)
        strides, padding = each(strides, d), each(padding, d)

        def function(x):
            pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[d - 1]
            y = pool(channels_first(x), pool_size, strides, padding, count_include_pad=count_include_pad)
            return channels_last(y)

        pairs = tuple((p, p) for p in padding)
        arguments = {"pool_size": pool_size, "strides": strides, "padding": pairs}
        family.add(name, function, {"x": x}, kind="average", count_include_pad=count_include_pad, **arguments)

    max_case("max 1d", family.normal(2, 9, 3), (3,), 2, ((1, 1),))
    max_case("max 2d", family.normal(2, 6, 8, 3), (2, 2), 2, ((0, 0),) * 2)
    max_case("max 2d with a remainder", family.normal(1, 7, 5, 2), (2, 2), 2, ((0, 0),) * 2)
    max_case("max 2d overlapping", family.normal(2, 6, 5, 2), (3, 3), 1, ((1, 1),) * 2)
    max_case("max 2d same, padded after", family.normal(2, 7, 5, 2), (2, 2), 2, ((0, 1),) * 2)
    max_case("max 2d dilated", family.normal(1, 7, 8, 2), (2, 3), (1, 2), ((1, 1), (0, 1)), (2, 2))
    max_case("max 2d of ties", family.integers(2, 6, 6, 3, low=0, high=2), (3, 3), 2, ((1, 1),) * 2)
    max_case("max 3d", family.normal(1, 4, 5, 4, 2), (2, 3, 2), 2, ((0, 0), (1, 1), (0, 0)))
    average_case("average 1d", family.normal(2, 9, 3), (3,), 2, 1, False)
    average_case("average 2d", family.normal(2, 6, 8, 3), (2, 2), 2, 0, False)
    average_case("average 2d padded", family.normal(2, 5, 6, 2), (3, 3), 2, 1, False)
    average_case("average 2d counting the padding", family.normal(2, 5, 6, 2), (3, 2), (1, 2), 1, True)
    average_case("average 3d", family.normal(1, 4, 5, 4, 2), (2, 3, 2), 2, (0, 1, 1), False)
    return family


def normalization() -> Family:
    family = Family("normalization", seed=4)

    def affine(channels):
        return {"gamma": family.uniform(channels, low=0.5, high=2), "beta": family.normal(channels)}

    for name, shape, offset in (
        ("batch", (5, 3), 0),
        ("batch 2d", (2, 3, 4, 5), 0),
        ("batch, far mean", (3, 4, 4, 2), 100),
    ):
        x = float32_numbers((family.normal(*shape) + offset).numpy())
        axes = tuple(range(len(shape) - 1))
        family.add(
            name,
            lambda x, gamma, beta: channels_last(
                F.batch_norm(channels_first(x), None, None, gamma, beta, training=True, eps=1e-3)
            ),
            {"x": x, **affine(shape[-1])},
            {"mean": x.mean(axes), "variance": x.var(axes, unbiased=False)},
            kind="batch",
            epsilon=1e-3,
        )
    statistics = {"mean": family.normal(4), "variance": family.uniform(4, low=0.5, high=2)}
    family.add(
        "batch inference",
        lambda x, gamma, beta: channels_last(
            F.batch_norm(channels_first(x), statistics["mean"], statistics["variance"], gamma, beta, eps=1e-5)
        ),
        {"x": family.normal(2, 3, 3, 4), **affine(4)},
        statistics,
        kind="inference",
        epsilon=1e-5,
    )
    family.add(
        "layer",
        lambda x, gamma, beta: F.layer_norm(x, gamma.shape, gamma, beta, 1e-3),
        {"x": family.normal(2, 3, 7), **affine(7)},
        kind="layer",
        epsilon=1e-3,
    )
    for groups in (1, 2, 6):
        family.add(
            f"group {groups}",
            lambda x, gamma, beta, groups=groups: channels_last(
                F.group_norm(channels_first(x), groups, gamma, beta, 1e-3)
            ),
            {"x": family.normal(2, 3, 4, 6), **affine(6)},
            kind="group",
            groups=groups,
            epsilon=1e-3,
        )
    family.add(
        "instance",
        lambda x, gamma, beta: channels_last(F.instance_norm(channels_first(x), None, None, gamma, beta, eps=1e-3)),
        {"x": family.normal(2, 4, 5, 3), **affine(3)},
        kind="instance",
        epsilon=1e-3,
    )
    return family


def activation() -> Family:
    family = Family("activation", seed=5)
    functions = {
        "relu": (F.relu, 0.0),
        "leaky_relu": (lambda x: F.leaky_relu(x, 0.3), 0.3),
        "elu": (lambda x: F.elu(x, 0.75), 0.75),
        "selu": (F.selu, 0.0),
        "gelu": (F.gelu, 0.0),
        "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), 0.0),
        "silu": (F.silu, 0.0),
        "sigmoid": (torch.sigmoid, 0.0),
        "tanh": (torch.tanh, 0.0),
        "softplus": (lambda x: F.softplus(x, threshold=1000), 0.0),
    }
    # powers of two far out and near 0; corners are further_activation's
    grid = [sign * 2.0**power for power in range(-8, 8) for sign in (-1, 1)]
    for name, (function, parameter) in functions.items():
        x = torch.cat([float32_numbers(np.array(grid)), family.normal(28, scale=3)]).reshape(6, 10)
        family.add(name, function, {"x": x}, name=name, parameter=parameter)
    for name in ("softmax", "log_softmax", "logsumexp"):
        function = getattr(torch, name)
        for case, x in {
            name: family.normal(5, 4),
            f"{name}, one class": family.normal(3, 1),
            f"{name}, 2d, seventeen classes": family.normal(2, 2, 2, 17, scale=3),
            f"{name}, extreme": family.normal(4, 3, scale=1e4),
        }.items():
            family.add(case, lambda x, function=function: function(x, -1), {"x": x}, name=name)
    return family


def loss() -> Family:
    family = Family("loss", seed=6)

    def case(kind, function, input_name, tensor, target_name, target, suffix="", **parameters):
        name = kind + suffix
        family.add(
            name, lambda z: function(z, target), {input_name: tensor}, {target_name: target}, kind=kind, **parameters
        )

    def each_row(function):
        return lambda z, t: function(z, t, reduction="none")

    for suffix, rows, classes, scale in (("", 6, 4, 2), (", seventeen classes", 3, 17, 2), (", extreme", 8, 3, 1e4)):
        logits, targets = family.normal(rows, classes, scale=scale), family.uniform(rows, classes)
        chosen = torch.from_numpy(family.random.integers(0, classes, rows))
        binary = each_row(F.binary_cross_entropy_with_logits)
        case("sparse_cross_entropy", each_row(F.cross_entropy), "logits", logits, "labels", chosen, suffix)
        case("cross_entropy", each_row(F.cross_entropy), "logits", logits, "targets", targets, suffix)
        case("binary_cross_entropy", binary, "logits", logits, "targets", targets, suffix)

    epsilon = 2.0**-20
    p = family.uniform(6, 4)
    p[0, 0], p[1, 1], p[2, 2] = 0, 1, epsilon / 2  # these are clipped
    targets, chosen = family.uniform(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])

    def clip(p):
        return p.clamp(epsilon, 1 - epsilon)

    def sparse(p, labels):
        return F.nll_loss(clip(p).log(), labels, reduction="none")

    def dense(p, targets):
        return -(targets * clip(p).log()).sum(-1)

    def binary_from_p(p, targets):
        return F.binary_cross_entropy(clip(p), targets, reduction="none")

    case("sparse_cross_entropy_from_probabilities", sparse, "p", p, "labels", chosen, epsilon=epsilon)
    case("cross_entropy_from_probabilities", dense, "p", p, "targets", targets, epsilon=epsilon)
    case("binary_cross_entropy_from_probabilities", binary_from_p, "p", p, "targets", targets, epsilon=epsilon)
    case("squared_error", each_row(F.mse_loss), "prediction", family.normal(5, 3), "target", family.normal(5, 3))

    for smooth in (0.0, 1.0):

        def dice(p, t, smooth=smooth):
            return (2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth)

        p, t = family.uniform(2, 9, 3), family.integers(2, 9, 3, low=0, high=2)
        case("dice", dice, "probabilities", p, "targets", t, f", smooth {smooth}", smooth=smooth)
    return family


def resize() -> Family:
    family = Family("resize", seed=7)
    cases = [((5,), (8,)), ((3, 4), (6, 8)), ((6, 8), (3, 4)), ((5, 7), (3, 9)), ((2, 3, 4), (4, 5, 3))]
    for size, output_size in cases:
        for method in ("nearest", "bilinear"):
            mode = "nearest-exact" if method == "nearest" else ("linear", "bilinear", "trilinear")[len(size) - 1]
            corners = {} if method == "nearest" else {"align_corners": False}
            family.add(
                f"{method} {size} to {output_size}",
                lambda x, o=output_size, m=mode, c=corners: channels_last(
                    F.interpolate(channels_first(x), o, mode=m, **c)
                ),
                {"x": family.normal(2, *size, 3)},
                output_size=output_size,
                method=method,
            )
    return family


def each(value, dimensions: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * dimensions


FAMILIES = (convolution, conv_transpose, pooling, normalization, activation, loss, resize)
