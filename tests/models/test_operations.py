"""Operators and functions of symbols: they note what they would compute, with the right shapes; models of them train,
are saved and loaded, and compute what the same functions give on tensors."""

import copy
import json
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tomograd as tg
from tomograd import layers
from tomograd.engine.layers import Operation, Symbol
from tomograd.models import constants

F = tg.functional
RNG = np.random.default_rng(11)
ROW = RNG.uniform(0.5, 2.0, 4).astype(np.float32)

# What is noted: a function of x (None, 3, 4), which has the same meaning for a tensor.
EXPRESSIONS = {
    "sum": lambda x: x + x,
    "number": lambda x: 2 - x * 3,
    "division": lambda x: 1.5 / (x / 2 + 4),
    "array": lambda x: ROW * x - ROW,
    "tensor": lambda x: tg.Tensor(ROW) + x @ tg.Tensor(np.ones((4, 4), np.float32)),
    "row that broadcasts": lambda x: x[:, :1] * x,
    "power": lambda x: (x**2 + 1) ** 0.5 + 2 ** (-x),
    "floor and remainder": lambda x: x // 0.3 + x % 0.7 + 5 // (x + 9) + 5 % (x + 9),
    "signs": lambda x: abs(-x) + +x,
    "matmul": lambda x: x @ np.ones((4, 2), np.float32),
    "matmul from the left": lambda x: np.ones((5, 3), np.float32) @ x,
    "index": lambda x: x[:, 0],
    "index in steps": lambda x: x[:, ::-1, 1:3],
    "index with new axes": lambda x: x[..., None, [2, 0]],
    "relu": lambda x: F.relu(x),
    "softmax": lambda x: F.softmax(x, axis=1),
    "concatenate": lambda x: F.concatenate([x, x[:, :, :2]], axis=-1),
    "stack": lambda x: F.stack((x, x * 2), axis=1),
    "split": lambda x: F.split(x, 2, axis=2)[1],
    "reshape": lambda x: F.reshape(x, (-1, 6, 2)),
    "reshape into more examples": lambda x: F.reshape(x, (-1, 4)),
    "transpose": lambda x: F.transpose(x, (0, 2, 1)),
    "mean": lambda x: F.mean(x, axis=(1, 2), keepdims=True) + F.var(x, axis=1, keepdims=True),
    "sum of all": lambda x: F.sum(x) * x,
    "clip": lambda x: F.clip(x, -0.5, a_max=0.5),
    "where": lambda x: F.where(np.array([True, False, True, False]), x, 0.0),
    "maximum": lambda x: F.maximum(x, ROW),
    "pad": lambda x: F.pad(x, ((0, 0), (1, 2), (0, 0)), mode="edge"),
    "astype": lambda x: F.astype(F.astype(x * 3, np.int64), "float32"),
    "einsum": lambda x: F.einsum("bij,bkj->bik", x, x),
    "dense": lambda x: F.dense(x, np.ones((4, 3), np.float32), activation="relu"),
    "dense with a function": lambda x: F.dense(x, np.ones((4, 3), np.float32), activation=F.tanh),
    "layer norm": lambda x: F.layer_norm(x, None, None, axis=-1),
    "pooling": lambda x: F.max_pool(x, 2),
    "activation": lambda x: tg.activations.relu(x, max_value=1.0) + tg.activations.linear(x),
    "composed": lambda x: F.exp(-((x - F.mean(x, axis=1, keepdims=True)) ** 2)),
}


def model_of(expression, shape=(3, 4)):
    x = layers.Input(shape)
    return tg.Model(x, expression(x))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_model_gives_what_the_functions_give(name, tmp_path):
    expression = EXPRESSIONS[name]
    model = model_of(expression)
    for batch in (1, 5):
        x = RNG.standard_normal((batch, 3, 4)).astype(np.float32)
        expected = expression(tg.Tensor(x)).numpy()
        found = model(x)
        assert found.numpy().dtype == expected.dtype == model.outputs[0].dtype
        np.testing.assert_array_equal(found.numpy(), expected)
        promised = model.outputs[0].shape
        assert len(promised) == expected.ndim
        assert all(p in (None, n) for p, n in zip(promised, expected.shape, strict=True))
    if name != "reshape into more examples":
        assert promised[1:] == expected.shape[1:]  # all but the batch is known
    assert model.compute_output_shape((7, 3, 4)) == expression(tg.Tensor(np.ones((7, 3, 4), np.float32))).shape
    model.save(tmp_path / "m.safetensors")
    for again in (tg.models.load_model(tmp_path / "m.safetensors"), copy.deepcopy(model)):
        np.testing.assert_array_equal(again(x).numpy(), expected)
    assert "(Operation)" in "\n".join(tg.models.summary.summarize(model, 100)) or name == "activation"


@pytest.mark.parametrize("name", ["division", "power", "concatenate", "composed", "matmul from the left", "einsum"])
def test_gradients_flow(name):
    expression = EXPRESSIONS[name]
    model = model_of(expression)
    x = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    cotangent = RNG.standard_normal(expression(tg.Tensor(x)).shape).astype(np.float32)
    gradients = []
    for function in (model, expression):
        tensor = tg.Tensor(x, requires_grad=True)
        gradients.append(tg.grad(function(tensor), [tensor], tg.Tensor(cotangent))[0].numpy())
    np.testing.assert_array_equal(*gradients)


def test_a_model_of_layers_and_operations_trains_and_is_loaded(tmp_path):
    tg.random.seed(2)
    x = layers.Input((6,))
    hidden = layers.Dense(8)(x)
    gate = F.sigmoid(layers.Dense(8)(x))
    model = tg.Model(x, layers.Dense(1)(hidden * gate + 0.1 * F.tanh(hidden)))
    model.compile(tg.optimizers.Adam(0.02), "mse")
    inputs = RNG.standard_normal((64, 6)).astype(np.float32)
    targets = (inputs[:, :1] * inputs[:, 1:2]).astype(np.float32)
    first = model.evaluate(inputs, targets, verbose=0)
    model.fit(inputs, targets, epochs=40, batch_size=16, verbose=0)
    assert model.evaluate(inputs, targets, verbose=0) < 0.3 * first
    model.save(tmp_path / "m.safetensors")
    again = tg.models.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(inputs, verbose=0), model.predict(inputs, verbose=0))
    again.fit(inputs, targets, epochs=1, batch_size=16, verbose=0)


OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
OTHERS = {
    "number": 2.0,
    "list": [1.0, 2.0, 3.0],
    "array": np.array([1.0, 2.0, 3.0], np.float32),
    "float64 array": np.array([[1.0], [2.0]]),
    "tensor": tg.Tensor(np.array([1, 2, 3])),
    "numpy number": np.float32(1.5),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_from_both_sides(name, other):
    apply, value = getattr(operator, name), OTHERS[other]
    x = RNG.uniform(1.0, 3.0, (2, 3)).astype(np.float32)
    start = layers.Input((3,), batch_size=2)
    for one, expected in (
        (apply(start, value), apply(tg.Tensor(x), value)),
        (apply(value, start), apply(value, tg.Tensor(x))),
    ):
        assert isinstance(one, Symbol)
        assert one.shape == expected.shape
        if other != "numpy number":  # which is taken for one of Python's
            assert one.dtype == expected.dtype
        np.testing.assert_array_equal(tg.Model(start, one)(x).numpy(), expected.numpy().astype(one.dtype))


@given(
    one=st.lists(st.sampled_from([None, 1, 3]), max_size=3),
    other=st.lists(st.sampled_from([1, 3]), max_size=3),
    batch=st.sampled_from([1, 3]),
)
def test_shapes_broadcast(one, other, batch):
    a, b = layers.Input(tuple(one)), layers.Input(tuple(other), batch_size=1)
    sizes = [batch if size is None else size for size in (None, *one)]
    result = a + b
    actual = np.broadcast_shapes(tuple(sizes), b.shape)
    assert len(result.shape) == len(actual)
    assert all(promised in (None, size) for promised, size in zip(result.shape, actual, strict=True))
    known = [axis for axis, size in enumerate((None, *one)) if size not in (None,)]
    offset = len(actual) - len(a.shape)
    assert all(result.shape[offset + axis] is not None for axis in known)


def test_open_sizes():
    x = layers.Input((None, None, 3))
    assert (x * 2 + F.relu(x)).shape == (None, None, None, 3)
    assert F.mean(x, axis=(1, 2)).shape == (None, 3)
    assert x[:, 5:7, 2].shape == (None, 2, 3)
    assert F.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0))).shape == (None, None, None, 3)
    assert F.conv(x, np.ones((5, 5, 3, 2), np.float32)).shape == (None, None, None, 2)
    assert (x + np.ones((7, 1), np.float32)).shape == (None, None, 7, 3)
    model = tg.Model(x, F.max_pool(x, 2) - 1)
    assert model(np.ones((2, 6, 8, 3))).shape == (2, 3, 4, 3)
    assert model.compute_output_shape((5, 10, 4, 3)) == (5, 5, 2, 3)


def test_functions_and_what_holds_them_can_be_pickled():
    for function in (F.relu, F.silu, F.exp, F.concatenate, F.dropout):
        assert pickle.loads(pickle.dumps(function)) is function
    layer = layers.Dense(2, activation="tanh")
    layer.build((None, 3))
    assert pickle.loads(pickle.dumps(layer)).activation is layer.activation is F.tanh
    model = model_of(EXPRESSIONS["composed"])
    x = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model))(x).numpy(), model(x).numpy())


def test_symbols_among_keywords_and_indices():
    x, rows = layers.Input((4,)), layers.Input((), dtype="int64")
    picked = F.take(x, axis=0, indices=rows)
    limited = F.clip(x, a_min=x[:, :1], a_max=None)
    model = tg.Model([x, rows], [picked, limited, x[rows]])
    values, wanted = RNG.standard_normal((3, 4)).astype(np.float32), np.array([2, 0, 0])
    taken, clipped, indexed = model([values, wanted])
    np.testing.assert_array_equal(taken.numpy(), values[wanted])
    np.testing.assert_array_equal(indexed.numpy(), values[wanted])
    np.testing.assert_array_equal(clipped.numpy(), np.maximum(values, values[:, :1]))
    again = type(model).from_config(model.get_config())
    np.testing.assert_array_equal(again([values, wanted])[1].numpy(), clipped.numpy())


def test_constants_are_copied():
    row = ROW.copy()
    model = model_of(lambda x: x + row)
    row[:] = 0
    np.testing.assert_array_equal(model(np.zeros((1, 3, 4))).numpy()[0, 0], ROW)


def test_names_and_nodes():
    x = layers.Input((4,))
    y = x * 2
    assert y.node.layer.name.startswith("multiply")
    assert y.node.layer.function == "multiply"
    assert (x * 2).node.layer.name != y.node.layer.name
    assert Operation("tanh", name="squash").get_config() == {
        "name": "squash", "trainable": True, "dtype": "float32", "function": "tanh",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_types(kind):
    x = layers.Input((3,), dtype=kind)
    model = tg.Model(x, F.exp(x / 2))
    assert model.dtype == kind
    assert model(np.ones((2, 3), kind)).dtype == kind
    whole = layers.Input((3,), dtype="int64")
    assert (whole / 2).dtype == np.float32
    assert (whole + 1).dtype == np.int64


# ------------------------------------------------------------------------------------------------------------- errors


def test_what_cannot_be_noted():
    x = layers.Input((3,))
    with pytest.raises(TypeError, match="neither trained nor saved"):
        x * tg.Variable(np.ones(3))
    with pytest.raises(ValueError, match="do not broadcast"):
        x + np.ones(4, np.float32)
    with pytest.raises(ValueError, match=r"reshape of symbols of shapes \[\(None, 3\)\]: .*does not fit"):
        F.reshape(x, (7, 11))
    with pytest.raises(ValueError, match="index"):
        x[:, 3]
    with pytest.raises(TypeError, match="holds no values to go through"):
        list(x)
    with pytest.raises(TypeError):
        x < 1  # noqa: B015
    assert x == x
    with pytest.raises(ValueError, match="function = 'dropout'"):
        Operation("dropout")
    with pytest.raises(TypeError, match="holds no values"):
        F.dropout(x, 0.5)
    with pytest.raises(ValueError, match="function = 'os'"):
        Operation.from_config({"function": "os"})
    with pytest.raises(TypeError, match="in one list"):
        Operation("add")(x, x)


def test_what_cannot_be_written_down():
    x = layers.Input((3,))
    model = tg.Model(x, F.dense(x, np.ones((3, 2), np.float32), activation=lambda y: y))
    with pytest.raises(NotImplementedError, match="cannot be written"):
        model.get_config()
    with pytest.raises(NotImplementedError, match="of type set"):
        constants.written_constant({1})


@pytest.mark.parametrize(
    "value", [np.array([[np.nan, np.inf], [-0.0, 1e-45]], np.float32), np.zeros((0, 3)), np.array(3)]
)
def test_arrays_come_back_as_they_were(value):
    ((kind, data),) = json.loads(json.dumps(constants.written_constant(tg.Tensor(value)))).items()
    again = constants.CONSTANTS[kind](data).numpy()
    assert (again.dtype, again.shape) == (value.dtype, value.shape)
    assert again.tobytes() == value.tobytes()
