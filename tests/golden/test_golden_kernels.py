"""Every backend computes what PyTorch computes: values, gradients, second derivatives where a kernel states them."""

import golden
import numpy as np
import pytest
from numerics import assert_close

FAMILIES = ("convolution", "conv_transpose", "pooling", "normalization", "activation", "loss", "resize")

pytestmark = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def each_case(family, select=lambda parameters: True):
    return pytest.mark.parametrize("case", [c for c in golden.cases(family) if select(c.parameters)], ids=str)


def of_kind(*kinds):
    return lambda parameters: parameters["kind"] in kinds


def compare(case, dtype, ulps=64, **results):
    """Each result has the given type and equals the golden array of its name."""
    for name, result in results.items():
        assert result.dtype == dtype, f"{name} is {result.dtype}"
        expected = case.array(name)
        assert_close(result, expected, ulps, scale=max(1.0, np.abs(expected).max(initial=0)))


@each_case("convolution")
def test_convolution(backend, case, dtype):
    p = case.parameters
    geometry = p["strides"], p["padding"], p["dilation_rate"], p["groups"]
    x, weight, bias, dy, vx, vweight, vbias = case.arrays(dtype, "x", "weight", "bias", "dy", "vx", "vweight", "vbias")
    size, kernel = x.shape[1:-1], weight.shape[:-2]
    y = backend.conv(x, weight, bias, *geometry)
    compare(
        case,
        dtype,
        y=y,
        dx=backend.conv_transpose(dy, weight, None, size, *geometry),
        dweight=backend.conv_weight_gradient(x, dy, kernel, *geometry),
        dbias=backend.channel_sum(dy),
        # convolution is bilinear, so its second derivatives are convolutions again
        s_dy=backend.conv(vx, weight, vbias, *geometry) + backend.conv(x, vweight, None, *geometry),
        s_x=backend.conv_transpose(dy, vweight, None, size, *geometry),
        s_weight=backend.conv_weight_gradient(vx, dy, kernel, *geometry),
    )
    np.testing.assert_array_equal(backend.conv(x, weight, bias, *geometry, "relu"), np.maximum(y, 0))


@each_case("conv_transpose")
def test_transposed_convolution(backend, case, dtype):
    p = case.parameters
    geometry = p["strides"], p["padding"], p["dilation_rate"], p["groups"]
    x, weight, bias, dy, vx, vweight, vbias = case.arrays(dtype, "x", "weight", "bias", "dy", "vx", "vweight", "vbias")
    size, kernel = p["output_size"], weight.shape[:-2]
    second = backend.conv_transpose(vx, weight, vbias, size, *geometry)
    compare(
        case,
        dtype,
        y=backend.conv_transpose(x, weight, bias, size, *geometry),
        dx=backend.conv(dy, weight, None, *geometry),
        dweight=backend.conv_weight_gradient(dy, x, kernel, *geometry),
        dbias=backend.channel_sum(dy),
        s_dy=second + backend.conv_transpose(x, vweight, None, size, *geometry),
        s_x=backend.conv(dy, vweight, None, *geometry),
        s_weight=backend.conv_weight_gradient(dy, vx, kernel, *geometry),
    )


@each_case("pooling", of_kind("max"))
def test_max_pooling(backend, case, dtype):
    p = case.parameters
    geometry = p["pool_size"], p["strides"], p["padding"], p["dilation_rate"]
    x, dy, vx = case.arrays(dtype, "x", "dy", "vx")
    y, choice = backend.max_pool(x, *geometry)
    dx = backend.max_pool_scatter(dy, choice, x.shape[1:-1], *geometry)
    compare(case, dtype, y=y, dx=dx, s_dy=backend.max_pool_gather(vx, choice, *geometry))


@each_case("pooling", of_kind("average"))
def test_average_pooling(backend, case, dtype):
    p = case.parameters
    geometry = p["pool_size"], p["strides"], p["padding"], p["count_include_pad"]
    x, dy, vx = case.arrays(dtype, "x", "dy", "vx")
    dx = backend.average_pool_gradient(dy, x.shape[1:-1], *geometry)
    compare(case, dtype, y=backend.average_pool(x, *geometry), dx=dx, s_dy=backend.average_pool(vx, *geometry))


@each_case("normalization", of_kind("batch"))
def test_batch_normalization(backend, case, dtype):
    epsilon = case.parameters["epsilon"]
    x, gamma, beta, dy = case.arrays(dtype, "x", "gamma", "beta", "dy")
    y, mean, variance = backend.batch_norm(x, gamma, beta, epsilon)
    dx, dgamma, dbeta = backend.batch_norm_gradient(dy, x, gamma, beta, mean, variance, epsilon)
    # float32 holds a mean of 100 to 4e-6 only
    ulps = 1024 if np.abs(mean).max() > 10 else 64
    compare(case, dtype, ulps, y=y, mean=mean, variance=variance, dx=dx, dgamma=dgamma, dbeta=dbeta)


@each_case("normalization", of_kind("inference"))
def test_batch_normalization_in_inference(backend, case, dtype):
    inputs = case.arrays(dtype, "x", "gamma", "beta", "mean", "variance")
    compare(case, dtype, y=backend.batch_norm_inference(*inputs, case.parameters["epsilon"]))


@each_case("normalization", of_kind("layer", "group", "instance"))
def test_group_normalization(backend, case, dtype):
    p = case.parameters
    x, gamma, beta, dy = case.arrays(dtype, "x", "gamma", "beta", "dy")
    shape, groups = x.shape, p.get("groups", 1)
    if p["kind"] == "layer":  # one group of all channels, for each position
        x, dy = x.reshape(-1, shape[-1]), dy.reshape(-1, shape[-1])
    elif p["kind"] == "instance":
        groups = shape[-1]
    y, mean, variance = backend.group_norm(x, groups, gamma, beta, p["epsilon"])
    dx, dgamma, dbeta = backend.group_norm_gradient(dy, x, groups, gamma, mean, variance, p["epsilon"])
    compare(case, dtype, y=y.reshape(shape), dx=dx.reshape(shape), dgamma=dgamma, dbeta=dbeta)


@each_case("activation", lambda parameters: "parameter" in parameters)
def test_activation(backend, case, dtype):
    name, parameter = case.parameters["name"], case.parameters["parameter"]
    x, dy, vx = case.arrays(dtype, "x", "dy", "vx")
    compare(
        case,
        dtype,
        y=backend.activation(x, name, parameter),
        dx=backend.activation_gradient(dy, x, name, parameter),
        s_dy=backend.activation_gradient(vx, x, name, parameter),
    )


@each_case("activation", lambda parameters: "parameter" not in parameters)
def test_softmax_family(backend, case, dtype):
    name = case.parameters["name"]
    x, dy, vx = case.arrays(dtype, "x", "dy", "vx")
    y = getattr(backend, name)(x)
    if name == "logsumexp":
        p = backend.softmax(x)
        compare(case, dtype, y=y, dx=dy[..., None] * p, s_dy=(vx * p).sum(-1))
    else:
        compare(case, dtype, y=y, dx=getattr(backend, f"{name}_gradient")(dy, y))


@each_case("loss")
def test_loss(backend, case, dtype):
    p = dict(case.parameters)
    kind = p.pop("kind")
    name = next(n for n in ("logits", "p", "prediction", "probabilities") if n in case.values)
    target = next(n for n in ("labels", "targets", "target") if n in case.values)
    inputs = case.arrays(dtype, name, target)
    y = getattr(backend, kind)(*inputs, **p)
    gradient = getattr(backend, f"{kind}_gradient")(case.array("dy", dtype), *inputs, **p)
    compare(case, dtype, y=y, **{f"d{name}": gradient})


@each_case("resize")
def test_resize(backend, case, dtype):
    p = case.parameters
    x, dy, vx = case.arrays(dtype, "x", "dy", "vx")
    compare(
        case,
        dtype,
        y=backend.resize(x, p["output_size"], p["method"]),
        dx=backend.resize_gradient(dy, x.shape[1:-1], p["method"]),
        s_dy=backend.resize(vx, p["output_size"], p["method"]),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_golden_files_say_who_made_them_and_hold_inputs_that_float32_holds(family, dtype):
    assert golden.torch_version(family)[0].isdigit()
    for case in golden.cases(family):
        outputs = {"y", "mean", "variance"} | {n for n in case.values if (n[0] == "d" and n != "dy") or n[:2] == "s_"}
        if case.parameters.get("kind") == "inference":
            outputs -= {"mean", "variance"}
        for name in case.values.keys() - outputs:
            np.testing.assert_array_equal(case.array(name, dtype), case.values[name])
