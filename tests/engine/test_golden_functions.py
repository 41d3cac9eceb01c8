"""Every differentiable function computes what PyTorch computes: values, first and second derivatives; and so do losses,
optimizers and schedules, as far as PyTorch has them. Where tomograd decided otherwise, OURS says what and why."""

import re
from pathlib import Path

import golden
import numpy as np
import pytest
from numerics import assert_close

from tomograd import kernels
from tomograd.engine import Tensor, Variable, grad, losses, optimizers, schedules
from tomograd.engine import functional as F

LAYERS = ("convolution", "conv_transpose", "pooling", "normalization", "activation", "loss", "resize")
FUNCTIONS = (
    "arithmetic", "elementwise", "reduction", "shaping", "indexing", "linear_algebra",
    "further_activation", "rarer_activation", "attention", "further_normalization", "further_loss", "loss_class",
    "recurrence",
)  # fmt: skip
OTHERS = ("optimizer", "schedule")
CASES = [(family, case) for family in (*LAYERS, *FUNCTIONS) for case in golden.cases(family)]

# The functions of tomograd.functional without a golden case, and why.
WITHOUT = {
    "activation_function": "computes nothing: it finds a function by its name",
    "affine_transform": "PyTorch's grid_sample has other coordinates and edges: compared with SciPy's, and with Keras",
    "attention_weights": "compared with the plain formula in tests/engine/functions/test_attention.py",
    "dropout": "random: PyTorch draws other numbers",
    "masked_softmax": "compared with the plain formula in tests/engine/functions/test_attention.py",
    "to_device": "computes nothing: it copies to another device",
}

# ------------------------------------------------------------------------------------------- where we differ on purpose


def first_of_two(better):
    """A tie is the first argument's: its gradient there is all of the cotangent, PyTorch's is one half."""

    def first(c, a, b):
        return np.where(better(c["a"], c["b"]), a, b)

    return {
        "da": lambda c: first(c, c["dy"], 0),
        "db": lambda c: first(c, 0, c["dy"]),
        "s_dy": lambda c: first(c, c["va"], c["vb"]),
    }


def first_of_row(position, axis):
    """The first extreme element takes all of the gradient, PyTorch spreads it evenly over the tied ones."""

    def chosen(c):
        x = c["x"] if axis is not None else c["x"].reshape(1, -1)
        return (np.arange(x.shape[1]) == position(x, axis=1)[:, None]).reshape(c["x"].shape)

    return {
        "dx": lambda c: chosen(c) * (c["dy"][:, None] if axis is not None else c["dy"]),
        "s_dy": lambda c: (chosen(c) * c["vx"]).sum(axis),
    }


def zero_like_divisor(c):
    """A remainder has the divisor's sign, as in Python, if it is 0 too; PyTorch's has the dividend's."""
    return np.where(c["y"] == 0, np.copysign(0, c["b"]), c["y"])


OURS = {
    ("arithmetic", "maximum, ties"): first_of_two(np.greater_equal),
    ("arithmetic", "minimum, ties"): first_of_two(np.less_equal),
    ("reduction", "max, ties"): first_of_row(np.argmax, 1),
    ("reduction", "max, ties, whole"): first_of_row(np.argmax, None),
    ("reduction", "min, ties"): first_of_row(np.argmin, 1),
    ("reduction", "min, ties, whole"): first_of_row(np.argmin, None),
    ("arithmetic", "remainder, hard"): {"y": zero_like_divisor},
    ("arithmetic", "remainder, whole numbers"): {"y": zero_like_divisor},
    # NumPy's sign of NaN is NaN, PyTorch's is 0.
    ("elementwise", "sign, hard"): {"y": lambda c: np.sign(c["x"])},
    # At their corners derivatives are the ones from the left.
    ("further_activation", "relu6, at 6"): {"dx": lambda c: c["dy"]},
    ("further_activation", "hard_sigmoid, at its corners"): {"dx": lambda c: c["dy"] * [0, 1 / 6]},
    # Huber's loss is a square where |e| ≤ delta; PyTorch's second derivative is that of the square where |e| < delta.
    ("loss_class", "Huber, at delta"): {"s_y_pred": lambda c: c["dy"] * c["vy_pred"] / c["y_pred"].size},
    # NumPy's rule: a number beside an array, with a slice between them, counts as an array; their axis comes first.
    ("indexing", "index, [1, :, columns]"): {"y": lambda c: c["y"].T},
}


# ------------------------------------------------------------------------------ the calls: (function, inputs, of them)


def convolution(case, p, dtype):
    return "conv", ("x", "weight", "bias"), lambda x, w, b: F.conv(x, w, b, **p)


def conv_transpose(case, p, dtype):
    options = {name: p[name] for name in ("strides", "dilation_rate", "groups")}
    options |= {"padding": p["user_padding"], "output_padding": p["user_output_padding"]}
    return "conv_transpose", ("x", "weight", "bias"), lambda x, w, b: F.conv_transpose(x, w, b, **options)


def pooling(case, p, dtype):
    name = {"max": "max_pool", "average": "average_pool"}[p.pop("kind")]
    return name, ("x",), lambda x: getattr(F, name)(x, **p)


def normalization(case, p, dtype):
    kind, options = p["kind"], {"epsilon": p["epsilon"]}
    if kind == "inference":
        moving = [Tensor(array) for array in case.arrays(dtype, "mean", "variance")]
        options |= {"moving_mean": moving[0], "moving_variance": moving[1], "training": False}
    if kind == "group":
        options["groups"] = p["groups"]
    name = f"{kind}_norm" if kind in ("group", "layer", "instance") else "batch_norm"
    return name, ("x", "gamma", "beta"), lambda x, g, b: getattr(F, name)(x, gamma=g, beta=b, **options)


def activation(case, p, dtype):
    name, parameter = p["name"], p.get("parameter")
    if name == "gelu_tanh":
        return "gelu", ("x",), lambda x: F.gelu(x, approximate=True)
    if parameter:
        return name, ("x",), lambda x: getattr(F, name)(x, parameter)
    return name, ("x",), getattr(F, name)


def loss(case, p, dtype):
    kind = p.pop("kind")
    given = next(n for n in ("logits", "p", "prediction", "probabilities") if n in case.values)
    target = case.array(next(n for n in ("labels", "targets", "target") if n in case.values), dtype)
    if "cross_entropy" in kind:
        p["from_logits"] = given == "logits"
    name = kind.removesuffix("_from_probabilities")
    return name, (given,), lambda prediction: getattr(F, name)(prediction, target, **p)


def resize(case, p, dtype):
    return "resize", ("x",), lambda x: F.resize(x, p["output_size"], p["method"])


# Functions that are not called as function(*arrays, **options).
def all_states(function, states):
    """A cell's outputs and last states in one tensor (N, T + states, H); an LSTM's initial states come one by one."""

    def call(x, weight, recurrent_weight, bias, *given, **options):
        initial, mask = given[:states], given[states:]
        initial = None if initial[0] is None else initial if states > 1 else initial[0]
        y, *last = function(x, weight, recurrent_weight, bias, initial, *mask, return_state=True, **options)
        return F.concatenate([y, *[F.expand_dims(state, 1) for state in last]], 1)

    return call


CALLS = {
    "simple_rnn": all_states(F.simple_rnn, 1),
    "lstm": all_states(F.lstm, 2),
    "gru": all_states(F.gru, 1),
    "concatenate": lambda *parts, **options: F.concatenate(parts, **options),
    "stack": lambda *parts, **options: F.stack(parts, **options),
    "split": lambda x, part, **options: F.split(x, **options)[part],
    "einsum": lambda *factors, subscripts: F.einsum(subscripts, *factors),
    "index": lambda x, *arrays, index: F.index(x, golden.index_of(index, arrays)),
}


def by_name(case, p, dtype):
    """A case of FunctionFamily, which says itself what is called."""
    name, arguments, options = p["function"], p["arguments"], p["options"]
    inputs = tuple(a for a in arguments if f"d{a}" in case.values)
    given = [Tensor(case.array(a, dtype)) if isinstance(a, str) else a for a in arguments]
    if name.startswith("losses."):
        function = getattr(losses, name.removeprefix("losses."))(**options)
        options = {}
    else:
        function = CALLS.get(name, getattr(F, name))

    def call(*tensors):
        of_inputs = dict(zip(inputs, tensors, strict=True))
        return function(*[of_inputs.get(a, value) for a, value in zip(arguments, given, strict=True)], **options)

    return name, inputs, call


def call_of(family, case, dtype):
    make = globals()[family] if family in LAYERS else by_name
    return make(case, dict(case.parameters), dtype)


# ----------------------------------------------------------------------------------------------------------- the tests


def evaluate(family, case, dtype, order):
    """(names of the inputs, their tensors, dy, y, the gradients) as far as the order asks for."""
    _, names, function = call_of(family, case, dtype)
    tensors = [Tensor(array, requires_grad=True) for array in case.arrays(dtype, *names)]
    y = function(*tensors)
    if not order or "dy" not in case.values:
        return (), [], None, y, ()
    dy = Tensor(case.array("dy", y.dtype), requires_grad=True)
    return names, tensors, dy, y, grad(y, tensors, dy, create_graph=order > 1)


def expected_of(family, case, name):
    ours = OURS.get((family, case.name), {})
    return ours[name](case.values) if name in ours else case.values[name]


def compare(family, case, name, actual, ulps=64):
    expected, p = expected_of(family, case, name), case.parameters
    assert actual.shape == expected.shape
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual.array, expected, strict=True)
    elif p.get("each"):
        # a gradient may be the result of 1 + y, and y near −1: it is as exact as 1 is
        least = p.get("least", 0.0) if name == "y" else 1.0
        signs = name == "y" and family in ("arithmetic", "elementwise")
        golden.assert_each_close(actual.array, expected, ulps, least, signs)
    else:
        finite = np.abs(expected[np.isfinite(expected)])
        assert_close(actual.array, expected, ulps, scale=max(1.0, p.get("scale", 0.0), finite.max(initial=0)))


def types_of(case):
    return [np.float64] if case.parameters.get("float64") else [np.float32, np.float64]


@pytest.mark.parametrize(
    ("family", "case", "dtype"),
    [pytest.param(f, c, dtype, id=f"{f}: {c}-{dtype.__name__}") for f, c in CASES for dtype in types_of(c)],
)
def test_values_and_gradients(backend, family, case, dtype):
    far = case.name == "batch, far mean" and dtype == np.float32  # float32 holds a mean of 100 to 4e-6 only
    with kernels.using(backend.__name__.rpartition(".")[2]), np.errstate(all="ignore"):
        names, _, _, y, gradients = evaluate(family, case, dtype, order=1)
    value = case.values["y"]
    assert y.dtype == case.parameters.get("result", dtype if value.dtype.kind == "f" else value.dtype)
    compare(family, case, "y", y, 1024 if far else 64)
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient.dtype == dtype
        compare(family, case, f"d{name}", gradient, 1024 if far else 64)


@pytest.mark.parametrize(
    ("family", "case"), [pytest.param(f, c, id=f"{f}: {c}") for f, c in CASES if "s_dy" in c.values]
)
def test_second_derivatives(backend, family, case):
    """S = Σ ⟨v, gradient⟩ over the inputs, differentiated in the cotangent and in the inputs."""
    with kernels.using(backend.__name__.rpartition(".")[2]), np.errstate(all="ignore"):
        names, tensors, dy, _, gradients = evaluate(family, case, np.float64, order=2)
        s = Tensor(0.0, dtype=np.float64)
        for name, gradient in zip(names, gradients, strict=True):
            compare(family, case, f"d{name}", gradient)
            s = s + (gradient * case.array(f"v{name}")).sum()
        variables = [dy, *tensors]
        second = grad(s, variables, allow_unused=True) if s.requires_grad else [None] * len(variables)
    for name, found, variable in zip(["dy", *names], second, variables, strict=True):
        found = Tensor(np.zeros(variable.shape)) if found is None else found
        # PyTorch adds 1e-12 to a denominator in this one: its second derivative is off by 1e-11
        compare(
            family, case, f"s_{name}", found, 2**20 if case.name == "binary_cross_entropy_from_probabilities" else 4096
        )


@pytest.mark.parametrize(
    ("family", "case", "dtype"),
    [
        pytest.param(f, c, dtype, id=f"{f}: {c}-{dtype.__name__}")
        for f, c in CASES
        if f.startswith("further") and "dy" in c.values
        for dtype in types_of(c)
    ],
)
def test_recorded_gradients_at_corners_and_far_ends(family, case, dtype):
    """A gradient that is itself recorded comes from a composition, and not from a kernel: it is no worse."""
    with np.errstate(all="ignore"):
        names, _, _, _, gradients = evaluate(family, case, dtype, order=2)
    for name, gradient in zip(names, gradients, strict=True):
        compare(family, case, f"d{name}", gradient, 256)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moving_averages(backend, dtype):
    """PyTorch averages the variance over n − 1, with which it does not normalise; tomograd, as Keras, over n."""
    case = next(c for c in golden.cases("further_normalization") if c.name == "batch_norm, moving averages")
    x, gamma, beta, mean, variance = [Tensor(a) for a in case.arrays(dtype, *case.parameters["arguments"])]
    with kernels.using(backend.__name__.rpartition(".")[2]):
        F.batch_norm(x, gamma, beta, mean, variance, **case.parameters["options"])
    share, n = 1 - case.parameters["options"]["momentum"], x.size // x.shape[-1]
    assert_close(mean.array, case.values["new_mean"], 16)
    assert_close(variance.array, case.values["new_variance"] - share * case.values["x"].var((0, 1), ddof=1) / n, 16)


@pytest.mark.parametrize(("family", "name"), OURS)
def test_where_we_differ_pytorch_still_does(family, name):
    case = next(c for f, c in CASES if (f, c.name) == (family, name))
    for array, ours in OURS[family, name].items():
        assert case.values[array].tobytes() != ours(case.values).tobytes(), array  # bytes: zeros have a sign


def test_every_function_has_golden_values_or_a_reason_why_not():
    covered = {call_of(family, case, np.float64)[0] for family, case in CASES}
    functions = {name for name in covered if not name.startswith("losses.")}
    assert functions | WITHOUT.keys() == set(F.__all__)
    assert not functions & WITHOUT.keys()


def test_every_golden_file_is_read_and_all_of_one_pytorch():
    assert {*LAYERS, *FUNCTIONS, *OTHERS} == set(golden.families())
    versions = {golden.torch_version(family) for family in golden.families()}
    assert len(versions) == 1
    assert re.match(r"\d+\.\d+", versions.pop())
    assert sum(path.stat().st_size for path in Path(golden.FOLDER).glob("*.npz")) < 1_000_000


# ------------------------------------------------------------------------------------------ optimizers and schedules


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", golden.cases("optimizer"), ids=str)
def test_optimizers(backend, case, dtype):
    optimizer = getattr(optimizers, case.parameters["optimizer"])(**case.parameters["options"])
    count = sum(name[0] == "w" for name in case.values)
    weights = [Variable(case.array(f"w{i}", dtype)) for i in range(count)]
    gradients = [case.array(f"g{i}", dtype) for i in range(count)]
    with kernels.using(backend.__name__.rpartition(".")[2]):
        for step in range(len(gradients[0])):
            optimizer.apply([gradient[step] for gradient in gradients], weights)
            for i, weight in enumerate(weights):
                assert weight.dtype == dtype
                expected = case.values[f"y{i}"][step]
                assert_close(weight.array, expected, 64, scale=max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("case", golden.cases("schedule"), ids=str)
def test_schedules(case):
    schedule = getattr(schedules, case.parameters["schedule"])(**case.parameters["options"])
    rates = np.array([schedule(int(step)) for step in case.values["steps"]])
    assert_close(rates, case.values["y"], 64, scale=0.1)
