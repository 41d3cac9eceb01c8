"""Losses: worked numbers, independent NumPy formulas, reductions, weights, shapes that must not broadcast, errors."""

import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.engine import Tensor, config, losses
from tomograd.testing import gradcheck

RNG = np.random.default_rng(0)
P = RNG.uniform(0.05, 0.95, (4, 3))
Z = 3 * RNG.standard_normal((4, 3))
T = (RNG.random((4, 3)) < 0.5).astype(float)
ROWS = T * 0 + RNG.uniform(0.1, 1.0, (4, 3))
ROWS /= ROWS.sum(-1, keepdims=True)
LABELS = np.array([0, 2, 1, 2])


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def bce(t, p):
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


def focal(t, p, gamma):
    return (1 - (t * p + (1 - t) * (1 - p))) ** gamma * bce(t, p)


def huber(e, delta):
    return np.where(np.abs(e) <= delta, e**2 / 2, delta * np.abs(e) - delta**2 / 2)


# (loss, y_true, y_pred, the loss of each example)
CASES = {
    "BinaryCrossentropy": (losses.BinaryCrossentropy(), T, P, bce(T, P).mean(-1)),
    "BinaryCrossentropy-logits": (losses.BinaryCrossentropy(from_logits=True), T, Z, bce(T, sigmoid(Z)).mean(-1)),
    "BinaryCrossentropy-smooth": (
        losses.BinaryCrossentropy(label_smoothing=0.2), T, P, bce(0.8 * T + 0.1, P).mean(-1),
    ),
    "BinaryFocalCrossentropy": (losses.BinaryFocalCrossentropy(), T, P, focal(T, P, 2).mean(-1)),
    "BinaryFocalCrossentropy-balanced": (
        losses.BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.3, gamma=1.5, from_logits=True), T, Z,
        ((0.3 * T + 0.7 * (1 - T)) * focal(T, sigmoid(Z), 1.5)).mean(-1),
    ),
    "CategoricalCrossentropy": (losses.CategoricalCrossentropy(), ROWS, 2 * P,
                                -(ROWS * np.log(P / P.sum(-1, keepdims=True))).sum(-1)),
    "CategoricalCrossentropy-logits": (
        losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3), ROWS, Z,
        -((0.7 * ROWS + 0.1) * np.log(softmax(Z))).sum(-1),
    ),
    "SparseCategoricalCrossentropy": (losses.SparseCategoricalCrossentropy(), LABELS, 2 * P,
                                      -np.log((P / P.sum(-1, keepdims=True))[np.arange(4), LABELS])),
    "SparseCategoricalCrossentropy-logits": (
        losses.SparseCategoricalCrossentropy(from_logits=True), LABELS[:, None], Z,
        -np.log(softmax(Z)[np.arange(4), LABELS]),
    ),
    "MeanSquaredError": (losses.MeanSquaredError(), P, Z, ((P - Z) ** 2).mean(-1)),
    "MeanAbsoluteError": (losses.MeanAbsoluteError(), P, Z, np.abs(P - Z).mean(-1)),
    "Huber": (losses.Huber(delta=0.7), P, Z, huber(Z - P, 0.7).mean(-1)),
    "Hinge": (losses.Hinge(), T, Z, np.maximum(1 - (2 * T - 1) * Z, 0).mean(-1)),
    "SquaredHinge": (losses.SquaredHinge(), 2 * T - 1, Z, (np.maximum(1 - (2 * T - 1) * Z, 0) ** 2).mean(-1)),
    "CategoricalHinge": (losses.CategoricalHinge(), np.eye(3)[LABELS], Z,
                         np.maximum(1 + np.where(np.eye(3)[LABELS] == 1, 0, Z).max(-1) - Z[np.arange(4), LABELS], 0)),
    "Dice": (losses.Dice(axis=1), T, P, 1 - 2 * (T * P).sum(-1) / (T.sum(-1) + P.sum(-1))),
    "Dice-smooth": (losses.Dice(axis=-1, smooth=1.0), T, P,
                    1 - (2 * (T * P).sum(-1) + 1) / (T.sum(-1) + P.sum(-1) + 1)),
    "Tversky": (losses.Tversky(alpha=0.3, beta=0.7, axis=1), T, P, 1 - (T * P).sum(-1) / (
        (T * P).sum(-1) + 0.3 * (T * (1 - P)).sum(-1) + 0.7 * ((1 - T) * P).sum(-1))),
}  # fmt: skip


def with_reduction(loss, reduction):
    return type(loss).from_config({**loss.get_config(), "reduction": reduction})


# ----------------------------------------------------------------------------------------------------- worked numbers


def test_worked_numbers():
    assert losses.MeanSquaredError()([[1.0, 2.0]], [[1.0, 4.0]]).item() == 2.0
    assert losses.BinaryCrossentropy()([[1.0]], [[0.5]]).item() == pytest.approx(math.log(2))
    assert losses.SparseCategoricalCrossentropy()([1], [[0.25, 0.75]]).item() == pytest.approx(-math.log(0.75))
    assert losses.CategoricalCrossentropy(from_logits=True)([[0.0, 1.0]], [[0.0, 0.0]]).item() == pytest.approx(
        math.log(2)
    )
    # Two of three true pixels found, one found wrongly: 1 − 2·2/(3 + 3).
    assert losses.Dice()([[1.0, 1.0, 1.0, 0.0]], [[1.0, 1.0, 0.0, 1.0]]).item() == pytest.approx(1 / 3)


# ----------------------------------------------------------------------------------------------------------- formulas


@pytest.mark.parametrize("name", CASES)
def test_each_example(name):
    loss, y_true, y_pred, expected = CASES[name]
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        values = with_reduction(loss, None)(y_true, y_pred.astype(dtype))
        assert values.dtype == dtype
        np.testing.assert_allclose(values.numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_reductions_and_weights(name):
    loss, y_true, y_pred, each = CASES[name]
    weights = np.array([0.5, 2.0, 0.0, 1.5])
    expected = {
        "sum_over_batch_size": (each.mean(), (weights * each).mean()),
        "mean": (each.mean(), (weights * each).mean()),
        "sum": (each.sum(), (weights * each).sum()),
        "mean_with_sample_weight": (each.mean(), (weights * each).sum() / 4.0),
        "none": (each, weights * each),
    }
    for reduction, (plain, weighted) in expected.items():
        made = with_reduction(loss, reduction)
        np.testing.assert_allclose(made(y_true, y_pred).numpy(), plain, rtol=1e-12)
        np.testing.assert_allclose(made(y_true, y_pred, sample_weight=weights).numpy(), weighted, rtol=1e-12)
        np.testing.assert_allclose(made(y_true, y_pred, weights[:, None]).numpy(), weighted, rtol=1e-12)
        np.testing.assert_allclose(made(y_true, y_pred, 3.0).numpy(), plain * (3 if "with" not in reduction else 1))


@pytest.mark.parametrize("name", CASES)
def test_gradients(name):
    loss, y_true, y_pred, _ = CASES[name]
    weights = np.array([0.5, 2.0, 1.0, 1.5])
    report = gradcheck(lambda prediction: loss(y_true, prediction, weights), y_pred)
    assert report.inputs[0].compared == 2 * y_pred.size  # the loss is one number, with and without a cotangent


@pytest.mark.parametrize("name", [name for name in CASES if name != "Dice-smooth"])
def test_the_function_of_the_same_name_gives_each_examples_loss(name):
    loss, y_true, y_pred, expected = CASES[name]
    function = getattr(losses, loss.name.removesuffix("_loss"))
    taken = inspect.signature(function).parameters
    arguments = {key: value for key, value in loss.get_config().items() if key in taken}
    np.testing.assert_allclose(function(y_true, y_pred, **arguments).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_are_finite(logit):
    for loss, y_true, y_pred in (
        (losses.BinaryCrossentropy(from_logits=True), [[0.0], [1.0]], [[logit], [logit]]),
        (losses.BinaryFocalCrossentropy(from_logits=True), [[0.0], [1.0]], [[logit], [logit]]),
        (losses.SparseCategoricalCrossentropy(from_logits=True), [0, 1], [[logit, 0.0], [logit, 0.0]]),
        (losses.CategoricalCrossentropy(from_logits=True), [[1.0, 0.0]], [[logit, 0.0]]),
    ):
        prediction = Tensor(np.array(y_pred, np.float32), requires_grad=True)
        value = loss(np.array(y_true), prediction)
        value.backward()
        assert np.isfinite(value.item())
        assert np.isfinite(prediction.grad.numpy()).all()
    assert losses.BinaryCrossentropy(from_logits=True)([[0.0]], [[1e4]]).item() == 1e4


def test_probabilities_of_0_and_1_are_kept_away_from_infinity():
    value = losses.BinaryCrossentropy()([[1.0], [0.0]], [[0.0], [1.0]]).item()
    assert value == pytest.approx(-math.log(1e-7), rel=0.02)


# ----------------------------------------------------------------------------------------------- shapes and broadcasts


@pytest.mark.parametrize("cls", [losses.MeanSquaredError, losses.BinaryCrossentropy, losses.Huber, losses.Hinge])
def test_a_column_against_a_row_of_labels_does_not_broadcast(cls):
    t, p = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.6, 0.7])
    expected = cls()(t[:, None], p[:, None]).item()
    assert cls()(t, p[:, None]).item() == pytest.approx(expected)
    assert cls()(t[:, None], p).item() == pytest.approx(expected)
    assert cls()(t, p).item() == pytest.approx(expected)
    weights = np.array([1.0, 0.0, 2.0])
    assert cls()(t, p, weights).item() == pytest.approx(cls()(t[:, None], p[:, None], weights).item())


def test_masks_with_and_without_a_channel():
    t, p = (RNG.random((2, 3, 3)) < 0.5).astype(float), RNG.random((2, 3, 3, 1))
    with_channel = losses.BinaryCrossentropy(reduction=None)(t[..., None], p)
    without = losses.BinaryCrossentropy(reduction=None)(t, p)
    assert without.shape == (2, 3, 3)
    np.testing.assert_array_equal(without.numpy(), with_channel.numpy())


@pytest.mark.parametrize(
    ("name", "y_true", "y_pred"),
    [
        ("mse", (4, 3), (4, 2)),
        ("mse", (4,), (3, 1)),
        ("mse", (4, 1), (4, 3)),
        ("mse", (4, 1, 3), (4, 3)),
        ("mse", (1, 3), (4, 3)),
        ("binary_crossentropy", (4, 8, 8), (4, 8, 8, 2)),
        ("dice", (2, 8, 8), (2, 8, 9)),
        ("categorical_crossentropy", (4,), (4, 3)),
        ("categorical_crossentropy", (4, 1), (4, 1)),
        ("sparse_categorical_crossentropy", (4, 2), (4, 3)),
        ("sparse_categorical_crossentropy", (3,), (4, 3)),
        ("sparse_categorical_crossentropy", (2, 8, 8), (2, 8, 9, 3)),
        ("sparse_categorical_crossentropy", (4,), (4,)),
        ("mse", (), ()),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, y_true, y_pred):
    with pytest.raises(ValueError, match="shape"):
        losses.get(name)(np.zeros(y_true), np.ones(y_pred))


@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 1, 1), (2, 3), (2, 3, 1), (2, 3, 4), (2, 3, 4, 1), (1, 3, 1), ()])
def test_weights_match_the_leading_axes(shape):
    t, p = RNG.random((2, 3, 4, 5)), RNG.random((2, 3, 4, 5))
    weights = RNG.random(shape)
    values = losses.MeanSquaredError(reduction=None)(t, p, weights).numpy()
    expanded = weights.reshape((shape + (1, 1, 1))[:3])
    np.testing.assert_allclose(values, ((t - p) ** 2).mean(-1) * expanded, rtol=1e-12)
    mean = losses.MeanSquaredError(reduction="mean_with_sample_weight")(t, p, weights).item()
    assert mean == pytest.approx(np.average(((t - p) ** 2).mean(-1), weights=np.broadcast_to(expanded, (2, 3, 4))))


@pytest.mark.parametrize("shape", [(3,), (2, 4), (4,), (2, 3, 4, 5), (2, 3, 4, 1, 1)])
def test_weights_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="sample_weight of shape"):
        losses.MeanSquaredError()(np.zeros((2, 3, 4, 5)), np.ones((2, 3, 4, 5)), np.ones(shape))


# ------------------------------------------------------------------------------------------------------- class indices


@pytest.mark.parametrize("wrong", [-1, 3, 100])
def test_a_class_index_out_of_range(wrong):
    with pytest.raises(ValueError, match=str(wrong)):
        losses.SparseCategoricalCrossentropy(from_logits=True)(np.array([0, wrong]), np.zeros((2, 3)))


@pytest.mark.parametrize("wrong", [0.5, np.nan, np.inf])
def test_a_class_index_must_be_whole(wrong):
    with pytest.raises(ValueError, match="whole numbers"):
        losses.SparseCategoricalCrossentropy(from_logits=True)(np.array([0, wrong]), np.zeros((2, 3)))


@given(st.integers(0, 10_000), st.sampled_from([0, 2, -1, 255]), st.sampled_from([np.nan, -np.inf, 1e30, 0.5]))
def test_ignored_positions_count_for_nothing(seed, ignored, there):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, ignored], (2, 3, 3))
    logits = rng.standard_normal((2, 3, 3, 3))
    kept = labels != ignored
    logits[~kept] = there
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=ignored)
    prediction = Tensor(logits, requires_grad=True)
    value = loss(labels, prediction)
    value.backward()
    gradient = prediction.grad.numpy()
    assert (gradient[~kept] == 0).all()
    if kept.any():
        expected = losses.SparseCategoricalCrossentropy(from_logits=True)(labels[kept], logits[kept]).item()
        assert value.item() == pytest.approx(expected)
        weights = rng.random((2, 3, 3)) + 0.1
        weighted = losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=ignored, reduction="mean_with_sample_weight"
        )(labels, logits, weights)
        each = losses.SparseCategoricalCrossentropy(True, reduction=None)(labels[kept], logits[kept]).numpy()
        assert weighted.item() == pytest.approx(np.average(each, weights=weights[kept]))
    else:
        assert value.item() == 0.0


# ------------------------------------------------------------------------------------------------------ overlap losses


def test_empty_against_empty_is_no_loss():
    empty = np.zeros((2, 4, 4, 1))
    assert losses.Dice(axis=(1, 2, 3))(empty, empty).item() == 0.0
    assert losses.Tversky(axis=(1, 2, 3))(empty, empty).item() == 0.0
    one = empty.copy()
    one[0, 0, 0] = 1.0
    assert losses.Dice(axis=(1, 2, 3), reduction=None)(empty, one).tolist() == [1.0, 0.0]
    prediction = Tensor(empty, requires_grad=True)
    losses.Tversky(axis=(1, 2, 3))(empty, prediction).backward()
    assert np.isfinite(prediction.grad.numpy()).all()


@pytest.mark.parametrize("axis", [None, 0, -1, (1, 2), (1, 2, 3), (0, 2), [0, 1, 2]])
def test_dice_over_any_axes(axis):
    t, p = (RNG.random((2, 3, 4, 2)) < 0.4).astype(float), RNG.random((2, 3, 4, 2))
    axes = tuple(axis) if isinstance(axis, list) else axis
    expected = 1 - 2 * (t * p).sum(axes) / (t.sum(axes) + p.sum(axes))
    values = losses.Dice(axis=axis, reduction=None)(t, p)
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-12)
    half = losses.Tversky(axis=axis, reduction=None)(t, p)
    np.testing.assert_allclose(half.numpy(), expected, rtol=1e-12, err_msg="alpha = beta = 0.5 is Dice")


def test_an_axis_out_of_range():
    with pytest.raises(ValueError, match="axis = 4 is out of range"):
        losses.Dice(axis=4)(np.zeros((2, 3)), np.zeros((2, 3)))


@pytest.mark.parametrize("name", ["binary_crossentropy", "binary_focal_crossentropy", "dice", "tversky"])
@pytest.mark.parametrize("wrong", [255.0, -1.0, np.nan])
def test_targets_of_fractions_are_checked(name, wrong):
    with pytest.raises(ValueError, match="y_true holds values from"):
        losses.get(name)(np.array([[0.0], [wrong]]), np.array([[0.5], [0.5]]))


def test_hinge_targets_are_of_one_kind():
    with pytest.raises(ValueError, match="0 and 1, or -1 and 1"):
        losses.Hinge()(np.array([[0.0], [-1.0]]), np.array([[0.5], [0.5]]))


# --------------------------------------------------------------------------------------------- names and configurations


@pytest.mark.parametrize("name", CASES)
def test_configurations(name):
    loss, y_true, y_pred, _ = CASES[name]
    written = json.loads(json.dumps(config.serialize(loss)))
    again = losses.get(written)
    assert type(again) is type(loss)
    assert again(y_true, y_pred).item() == loss(y_true, y_pred).item()


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("mse", losses.MeanSquaredError),
        ("mean_squared_error", losses.MeanSquaredError),
        ("MeanSquaredError", losses.MeanSquaredError),
        ("mae", losses.MeanAbsoluteError),
        ("bce", losses.BinaryCrossentropy),
        ("binary_crossentropy", losses.BinaryCrossentropy),
        ("sparse_categorical_crossentropy", losses.SparseCategoricalCrossentropy),
        ("huber", losses.Huber),
        ("dice", losses.Dice),
    ],
)
def test_names(name, cls):
    assert type(losses.get(name)) is cls


def test_identifiers():
    loss = losses.Hinge()
    assert losses.get(loss) is loss
    assert losses.get(None) is None
    assert losses.get(abs) is abs
    assert type(losses.get(losses.Hinge)) is losses.Hinge
    assert losses.Hinge().name == "hinge"
    with pytest.raises(ValueError, match="loss 'crossentropy' is not known"):
        losses.get("crossentropy")
    with pytest.raises(TypeError, match="loss = 3"):
        losses.get(3)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: losses.MeanSquaredError(reduction="average"), "reduction"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=2.0), "label_smoothing"),
        (lambda: losses.BinaryCrossentropy(axis=1), "axis = 1 is not supported"),
        (lambda: losses.SparseCategoricalCrossentropy(axis=1), "axis = 1 is not supported"),
        (lambda: losses.MeanSquaredError(dtype="float16"), "dtype"),
        (lambda: losses.Huber(delta=0.0), "delta"),
        (lambda: losses.Dice(smooth=-1.0), "smooth"),
    ],
)
def test_arguments_are_checked(make, error):
    with pytest.raises(ValueError, match=error):
        make()


def test_a_mean_over_nothing_is_an_error():
    with pytest.raises(ValueError, match="y_pred is empty"):
        losses.MeanSquaredError()(np.zeros((0, 3)), np.zeros((0, 3)))
    assert losses.MeanSquaredError(reduction="sum")(np.zeros((0, 3)), np.zeros((0, 3))).item() == 0.0


def test_a_type_for_the_computation():
    assert losses.MeanSquaredError(dtype="float64")([[1.0]], np.ones((1, 1), np.float32)).dtype == np.float64
    assert losses.MeanSquaredError()([[1]], np.ones((1, 1), np.int64)).dtype == np.float32


def test_nan_predictions_give_a_nan_loss():
    assert math.isnan(losses.MeanSquaredError()([[1.0]], [[np.nan]]).item())
    assert math.isnan(losses.BinaryCrossentropy(from_logits=True)([[1.0]], [[np.nan]]).item())


def test_a_loss_of_ones_own():
    class Cubed(losses.Loss):
        def call(self, y_true, y_pred):
            return ((y_pred - y_true) ** 3).mean(-1)

    assert Cubed()([[1.0]], [[3.0]]).item() == 8.0
    assert Cubed(reduction="sum")([[1.0], [1.0]], [[3.0], [3.0]]).item() == 16.0


def test_what_shapes_fit_is_ones_own_affair():
    class Margin(losses.Loss):
        """The score of class 0 less that of the right class."""

        def call(self, y_true, y_pred):
            return y_pred[:, 0] - y_pred[np.arange(len(y_true)), y_true.numpy()]

    assert Margin("margin", None)(np.array([2, 0]), np.array([[5.0, 0.0, 1.0], [3.0, 0.0, 0.0]])).tolist() == [4.0, 0.0]
