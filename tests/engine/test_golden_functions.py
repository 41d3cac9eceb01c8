"""Every differentiable function computes what PyTorch computes: values, first and second derivatives."""

import golden
import numpy as np
import pytest
from numerics import assert_close

from tomograd import kernels
from tomograd.engine import Tensor, grad
from tomograd.engine import functional as F

FAMILIES = ("convolution", "conv_transpose", "pooling", "normalization", "activation", "loss", "resize")
CASES = [pytest.param(family, case, id=f"{family}: {case}") for family in FAMILIES for case in golden.cases(family)]


def convolution(case, p, dtype):
    return ("x", "weight", "bias"), lambda x, w, b: F.conv(x, w, b, **p)


def conv_transpose(case, p, dtype):
    options = {name: p[name] for name in ("strides", "dilation_rate", "groups")}
    options |= {"padding": p["user_padding"], "output_padding": p["user_output_padding"]}
    return ("x", "weight", "bias"), lambda x, w, b: F.conv_transpose(x, w, b, **options)


def pooling(case, p, dtype):
    function = {"max": F.max_pool, "average": F.average_pool}[p.pop("kind")]
    return ("x",), lambda x: function(x, **p)


def normalization(case, p, dtype):
    kind, options = p["kind"], {"epsilon": p["epsilon"]}
    if kind == "inference":
        moving = [Tensor(array) for array in case.arrays(dtype, "mean", "variance")]
        options |= {"moving_mean": moving[0], "moving_variance": moving[1], "training": False}
    if kind == "group":
        options["groups"] = p["groups"]
    function = {"group": F.group_norm, "layer": F.layer_norm, "instance": F.instance_norm}.get(kind, F.batch_norm)
    return ("x", "gamma", "beta"), lambda x, g, b: function(x, gamma=g, beta=b, **options)


def activation(case, p, dtype):
    name, parameter = p["name"], p.get("parameter")
    if name == "gelu_tanh":
        return ("x",), lambda x: F.gelu(x, approximate=True)
    if parameter:
        return ("x",), lambda x: getattr(F, name)(x, parameter)
    return ("x",), getattr(F, name)


def loss(case, p, dtype):
    kind = p.pop("kind")
    given = next(n for n in ("logits", "p", "prediction", "probabilities") if n in case.values)
    target = case.array(next(n for n in ("labels", "targets", "target") if n in case.values), dtype)
    if "cross_entropy" in kind:
        p["from_logits"] = given == "logits"
    function = getattr(F, kind.removesuffix("_from_probabilities"))
    return (given,), lambda prediction: function(prediction, target, **p)


def resize(case, p, dtype):
    return ("x",), lambda x: F.resize(x, p["output_size"], p["method"])


def evaluate(family, case, dtype, create_graph):
    names, function = globals()[family](case, dict(case.parameters), dtype)
    tensors = [Tensor(array, requires_grad=True) for array in case.arrays(dtype, *names)]
    dy = Tensor(case.array("dy", dtype), requires_grad=True)
    y = function(*tensors)
    return names, tensors, dy, y, grad(y, tensors, dy, create_graph=create_graph)


def compare(case, name, actual, dtype):
    expected = case.array(name)
    far = case.name == "batch, far mean" and dtype == np.float32  # float32 holds a mean of 100 to 4e-6 only
    assert actual.dtype == dtype
    assert_close(actual.array, expected, 1024 if far else 64, scale=max(1.0, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize(("family", "case"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_gradients(backend, family, case, dtype):
    with kernels.using(backend.__name__.rpartition(".")[2]):
        names, _, _, y, gradients = evaluate(family, case, dtype, create_graph=False)
    compare(case, "y", y, dtype)
    for name, gradient in zip(names, gradients, strict=True):
        compare(case, f"d{name}", gradient, dtype)


@pytest.mark.parametrize(("family", "case"), CASES)
def test_second_derivatives(backend, family, case):
    """S = Σ ⟨v, gradient⟩ over the inputs, differentiated in the cotangent and in the inputs."""
    dtype = np.float64
    with kernels.using(backend.__name__.rpartition(".")[2]):
        names, tensors, dy, _, gradients = evaluate(family, case, dtype, create_graph=True)
        s = 0.0
        for name, gradient in zip(names, gradients, strict=True):
            compare(case, f"d{name}", gradient, dtype)
            s = s + (gradient * case.array(f"v{name}")).sum()
        second = grad(s, [dy, *tensors], allow_unused=True)
    for name, found in zip(["dy", *names], second, strict=True):
        expected = case.array(f"s_{name}")
        found = Tensor(np.zeros_like(expected)) if found is None else found
        scale = max(1.0, np.abs(expected).max(initial=0))
        # PyTorch adds 1e-12 to a denominator in this one: its second derivative is off by 1e-11
        ulps = 2**20 if case.name == "binary_cross_entropy_from_probabilities" else 4096
        assert_close(found.array, expected, ulps, scale=scale)
