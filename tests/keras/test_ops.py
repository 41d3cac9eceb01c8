"""The functions of tg.ops give what those of keras.ops give, with the same gradients; and so they do on symbols."""

import keras_oracle
import numpy as np
import pytest
from ops_calls import CALLS

import tomograd as tg
from tomograd import ops
from tomograd.engine import ops as engine_ops
from tomograd.engine.absent import ABSENT

CASES = {case.name: case for case in keras_oracle.cases("ops")}
TENSORS = ("x", "z", "p")
# What is counted is int64 here, and symbols have no values: these make no node of a graph.
OF_VALUES = (
    *("argsort", "sort", "top_k", "isclose", "allclose", "isnan", "isinf", "isfinite", "logical", "greater", "less"),
    *("equal", "not_equal", "count_nonzero", "where", "cast of", "copy", "stop_gradient", "size", "ndim", "shape"),
    *("is_tensor", "convert_to_numpy", "zeros", "ones", "full", "arange", "linspace", "eye", "identity", "one_hot"),
    *("roll", "floor_divide", "inner", "unstack", "mean of whole"),
)


def results(call, tensors):
    ys = call(ops, **tensors)
    return list(ys) if isinstance(ys, (list, tuple)) else [ys]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name, dtype):
    case = CASES[name]
    tensors = {key: tg.Tensor(case.array(key, dtype), requires_grad=True) for key in TENSORS}
    ys = results(CALLS[name], tensors)
    assert len(ys) == case.parameters["results"]
    for number, y in enumerate(ys):
        wanted = case.array(f"y{number}")
        got = np.asarray(y.numpy() if isinstance(y, tg.Tensor) else y)
        assert got.shape == wanted.shape
        assert [got.dtype.kind == kind for kind in "fb"] == [wanted.dtype.kind == kind for kind in "fb"]
        if got.dtype.kind == "f":  # what is made here is float32 (in the golden values float64)
            keras_oracle.close(got.astype(dtype), case.array(f"y{number}", dtype), dtype, f"result {number}")
        else:
            np.testing.assert_array_equal(got, wanted)
    if "dy0" in case.values:
        gradients = tg.grad(ys[0], list(tensors.values()), tg.Tensor(case.array("dy0", dtype)), allow_unused=True)
        for key, gradient in zip(tensors, gradients, strict=True):
            got = np.zeros((3, 4), dtype) if gradient is None else gradient.numpy()
            keras_oracle.close(got, case.array(f"d_{key}", dtype), dtype, f"gradient of {key}")
    elif isinstance(ys[0], tg.Tensor):
        assert not ys[0].requires_grad or not any(
            np.any(gradient.numpy())
            for gradient in tg.grad(tg.functional.sum(ys[0]), list(tensors.values()), allow_unused=True)
            if gradient is not None
        )


@pytest.mark.parametrize("name", [name for name in CALLS if not name.startswith(OF_VALUES)])
def test_symbols_make_a_graph_of_the_same_values(name):
    arrays = {key: np.array(CASES[name].array(key, "float32")) for key in TENSORS}
    symbols = {key: tg.Input(batch_shape=(3, 4), name=key) for key in TENSORS}
    outputs = results(CALLS[name], symbols)
    model = tg.Model([symbols[key] for key in TENSORS], outputs)
    got = model([arrays[key] for key in TENSORS])
    wanted = results(CALLS[name], {key: tg.Tensor(array) for key, array in arrays.items()})
    for one, other in zip(got if isinstance(got, (list, tuple)) else [got], wanted, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_every_function_is_called():
    called = {name.replace("equal_nan", "isclose").partition(",")[0].split(" ")[0] for name in CALLS}
    others = {"sparsemax", "hard_sigmoid", "convert_to_tensor"}  # tests/keras/test_activations.py
    assert set(engine_ops.__all__) - others <= called | {"broadcast", "numbers"}
    assert not set(engine_ops.__all__) & set(ABSENT["ops"])


def test_what_keras_computes_otherwise_on_pytorch_is_as_numpy_has_it():
    generator = np.random.default_rng(3)
    x, y, weights = generator.random((3, 4)), generator.random((2, 4, 5)), generator.random((3, 4))
    np.testing.assert_allclose(ops.dot(x, y).numpy(), np.dot(x, y))
    np.testing.assert_allclose(ops.inner(x, y.swapaxes(1, 2)).numpy(), np.inner(x, y.swapaxes(1, 2)))
    for axis in (None, 0, 1):
        np.testing.assert_allclose(ops.average(x, axis, weights).numpy(), np.average(x, axis, weights))
    np.testing.assert_allclose(ops.average(x, 0, weights[:, 0]).numpy(), np.average(x, 0, weights[:, 0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.norm(np.ones((2, 2)), ord="nuc"), "norm: ord = 'nuc' over 2 axes"),
        (lambda: ops.norm(np.ones(2), ord=-1), "norm: ord = -1"),
        (lambda: ops.normalize(np.ones(2), order=0), "normalize: order = 0"),
        (lambda: ops.top_k(np.ones((2, 3)), 4), r"top_k: k = 4 of x of shape \(2, 3\)"),
        (lambda: ops.unstack(np.ones((2, 3)), num=3), "unstack: num = 3"),
        (lambda: ops.slice(np.ones((2, 3)), [1, 0], [2, 3]), r"slice: shape \(2, 3\) from \(1, 0\)"),
        (lambda: ops.slice(np.ones((2, 3)), [1], [1]), "slice: shape"),
        (lambda: ops.where(np.ones(2)), "x1 and x2 are missing"),
        (lambda: ops.conv(np.ones((1, 4, 3)), np.ones((2, 2, 2))), "inputs have 3 channels, and the kernel takes 2"),
        (lambda: ops.conv(np.ones((1, 4, 2)), np.ones((2, 2, 2)), data_format="channels_first"), "channels_last"),
        (lambda: ops.depthwise_conv(np.ones((1, 4, 3)), np.ones((2, 2, 2))), "3 channels, the kernel 2"),
        (lambda: ops.convert_to_tensor([1.0], sparse=True), "sparse = True is not supported"),
        (lambda: ops.one_hot([1], 3, sparse=True), "sparse = True is not supported"),
        (lambda: ops.one_hot([3], 3), "the class index at position 0 is 3"),
        (lambda: ops.pad(np.ones(2), 1, "edge", 2.0), "constant_values = 2.0 beside mode = 'edge'"),
        (lambda: ops.average(np.ones((2, 2)), weights=np.ones(2)), "give one axis"),
        (lambda: ops.roll(np.ones((2, 2)), (1, 2, 3), (0, 1)), "differ in length"),
        (lambda: ops.triu(np.ones(3)), "a triangle of shape"),
    ],
)
def test_what_cannot_be_computed_is_an_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
