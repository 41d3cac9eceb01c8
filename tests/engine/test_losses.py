"""Losses: worked numbers, independent NumPy formulas, reductions, weights, shapes that must not broadcast, errors."""

import inspect
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd import kernels
from tomograd.engine import Tensor, config, grad, losses
from tomograd.testing import gradcheck, gradgradcheck

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


def circle(x, gamma, margin):
    """Of the classes 1, 0, 1, 0, as the paper writes it."""
    cosines, values = x @ x.T, []
    for row in range(4):
        s_p, s_n = cosines[row, (row + 2) % 4], cosines[row, [(row + 1) % 4, (row + 3) % 4]]
        a_p, a_n = max(1 + margin - s_p, 0), np.maximum(s_n + margin, 0)
        n = np.exp(gamma * a_n * (s_n - margin)).sum()
        values.append(np.log1p(n * np.exp(-gamma * a_p * (s_p - (1 - margin)))))
    return np.array(values)


def alignments(labels, logits):
    """−log of the sum over all of them, one by one."""
    total, p = 0.0, softmax(logits)
    for path in itertools.product(range(p.shape[1]), repeat=len(p)):
        if [label for label, _ in itertools.groupby(path) if label] == list(labels):
            total += p[np.arange(len(p)), path].prod()
    return -np.log(total)


STEPS = RNG.standard_normal((4, 3, 3))
UNIT = Z / np.linalg.norm(Z, axis=-1, keepdims=True)

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
    "SparseCategoricalCrossentropy-smooth": (
        losses.SparseCategoricalCrossentropy(from_logits=True, label_smoothing=0.3), LABELS, Z,
        -((0.7 * np.eye(3)[LABELS] + 0.1) * np.log(softmax(Z))).sum(-1),
    ),
    "CategoricalFocalCrossentropy": (
        losses.CategoricalFocalCrossentropy(), ROWS, P,
        -(ROWS * 0.25 * (1 - P / P.sum(-1, keepdims=True)) ** 2 * np.log(P / P.sum(-1, keepdims=True))).sum(-1),
    ),
    "CategoricalFocalCrossentropy-logits": (
        losses.CategoricalFocalCrossentropy([0.2, 0.3, 0.5], 0.5, True, 0.3), ROWS, Z,
        -((0.7 * ROWS + 0.1) * [0.2, 0.3, 0.5] * (1 - softmax(Z)) ** 0.5 * np.log(softmax(Z))).sum(-1),
    ),
    "CategoricalGeneralizedCrossEntropy": (
        losses.CategoricalGeneralizedCrossEntropy(0.7), LABELS[:, None], P, (1 - P[np.arange(4), LABELS] ** 0.7) / 0.7,
    ),
    "MeanAbsolutePercentageError": (
        losses.MeanAbsolutePercentageError(), P - 0.5, Z, (100 * np.abs(P - 0.5 - Z) / np.abs(P - 0.5)).mean(-1),
    ),
    "MeanSquaredLogarithmicError": (
        losses.MeanSquaredLogarithmicError(), 9 * P, 1e-3 * P[::-1],
        ((np.log1p(9 * P) - np.log1p(1e-3 * P[::-1])) ** 2).mean(-1),
    ),
    "LogCosh": (losses.LogCosh(), P, Z, np.log(np.cosh(Z - P)).mean(-1)),
    "KLDivergence": (losses.KLDivergence(), ROWS, P, (ROWS * np.log(ROWS / P)).sum(-1)),
    "Poisson": (losses.Poisson(), 7 * T, 4 * P, (4 * P - 7 * T * np.log(4 * P + 1e-7)).mean(-1)),
    "CosineSimilarity": (losses.CosineSimilarity(), P, Z, -(P * Z).sum(-1) / np.sqrt(
        (P**2).sum(-1) * (Z**2).sum(-1))),
    "FocalTversky": (losses.FocalTversky(0.6, 0.5, 2.0, axis=1), T, P, np.sqrt(1 - (T * P).sum(-1) / (
        (T * P).sum(-1) + 0.6 * (T * (1 - P)).sum(-1) + 0.5 * ((1 - T) * P).sum(-1)))),
    "DiceCrossentropy": (
        losses.DiceCrossentropy(dice_weight=0.5, crossentropy_weight=2.0), T[:, :, None], Z[:, :, None],
        0.5 * (1 - (2 * (T * sigmoid(Z)).sum(-1) + 1) / (T.sum(-1) + sigmoid(Z).sum(-1) + 1))
        + 2 * bce(T, sigmoid(Z)).mean(-1),
    ),
    "DiceCrossentropy-ignoring": (
        losses.DiceCrossentropy(ignore_class=9), np.c_[T, np.full(4, 9.0)], np.c_[Z, np.full(4, 5.0)][..., None],
        1 - (2 * (T * sigmoid(Z)).sum(-1) + 1) / (T.sum(-1) + sigmoid(Z).sum(-1) + 1) + bce(T, sigmoid(Z)).mean(-1),
    ),
    "DiceCrossentropy-probabilities": (
        losses.DiceCrossentropy(False, smooth=0.0), T, P[..., None],
        1 - 2 * (T * P).sum(-1) / (T.sum(-1) + P.sum(-1)) + bce(T, P).mean(-1),
    ),
    "CTC": (losses.CTC(), np.array([[1, 2], [2, 2], [1, 0], [0, 0]]), STEPS,
            np.array([alignments(row, z) for row, z in zip(([1, 2], [2, 2], [1], []), STEPS, strict=True)])),
    "Circle": (losses.Circle(gamma=8.0, margin=0.3), np.array([1, 0, 1, 0]), UNIT, circle(UNIT, 8.0, 0.3)),
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


@pytest.mark.parametrize("name", CASES)
def test_the_reference_kernels_give_the_same(name):
    loss, y_true, y_pred, _ = CASES[name]
    value, gradient = value_and_gradient(loss, y_true, y_pred)
    with kernels.using("reference"):
        again = value_and_gradient(loss, y_true, y_pred)
    assert again[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(again[1], gradient, rtol=1e-9, atol=1e-14)


SMOOTH = [name for name in CASES if "Hinge" not in name and "Error" not in name and name not in ("CTC", "Circle")]


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives(name):
    loss, y_true, y_pred, _ = CASES[name]
    gradgradcheck(lambda prediction: loss(y_true, prediction), y_pred)


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


def value_and_gradient(loss, y_true, y_pred, dtype=np.float64):
    prediction = Tensor(np.array(y_pred, dtype), requires_grad=True)
    value = loss(np.array(y_true), prediction)
    value.backward()
    return value.item(), prediction.grad.numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_are_finite_and_right(dtype):
    """Logits of ±1e4, probabilities of 0 and 1, zeros and huge vectors: (loss, truth, prediction, value)."""
    clipped = -math.log(1e-7)
    cases = [
        (losses.CategoricalFocalCrossentropy(from_logits=True), [[1.0, 0.0]], [[-1e4, 1e4]], 0.25 * 2e4),
        (losses.CategoricalFocalCrossentropy(from_logits=True, gamma=0.5), [[0.0, 1.0]], [[-1e4, 1e4]], 0.0),
        (losses.CategoricalFocalCrossentropy(), [[1.0, 0.0]], [[0.0, 1.0]], 0.25 * clipped),
        (losses.CategoricalFocalCrossentropy(), [[1.0, 0.0]], [[0.0, 0.0]], 0.25 * clipped),
        (losses.CategoricalFocalCrossentropy(gamma=0.5), [[1.0, 0.0]], [[1.0, 0.0]], 0.0),
        (losses.BinaryFocalCrossentropy(gamma=0.5, from_logits=True), [[1.0, 0.0]], [[1e4, -1e4]], 0.0),
        (losses.BinaryFocalCrossentropy(gamma=0.0), [[1.0, 0.0]], [[1.0, 0.0]], 0.0),
        (losses.CategoricalGeneralizedCrossEntropy(), [0, 1], [[0.0, 1.0], [0.0, 1.0]], 1.0),
        (losses.KLDivergence(), [[0.0, 1.0]], [[0.0, 1.0]], 0.0),
        (losses.KLDivergence(), [[0.0, 1.0]], [[0.5, 0.5]], math.log(2)),
        (losses.KLDivergence(), [[1.0, 0.0]], [[0.0, 1.0]], clipped),
        (losses.Poisson(), [[0.0, 3.0]], [[0.0, 0.0]], 1.5 * clipped),
        (losses.CosineSimilarity(), [[0.0, 0.0]], [[1.0, 2.0]], 0.0),
        (losses.CosineSimilarity(), [[1.0, 2.0]], [[0.0, 0.0]], 0.0),
        (losses.CosineSimilarity(), [[1.0, 1.0]], [[1e30, 0.0]], -math.sqrt(0.5)),
        (losses.CosineSimilarity(), [[1e-30, 1e-30]], [[0.0, 1e-30]], -math.sqrt(0.5)),
        (losses.LogCosh(), [[0.0]], [[1e4]], 1e4 - math.log(2)),
        (losses.LogCosh(), [[0.0]], [[-1e-6]], 5e-13),
        (losses.MeanSquaredLogarithmicError(), [[0.0]], [[1e-6]], 1e-12),
        (losses.MeanSquaredLogarithmicError(), [[-5.0]], [[-7.0]], 0.0),
        (losses.MeanAbsolutePercentageError(), [[0.0, 1.0]], [[0.0, 2.0]], 50.0),
        (losses.FocalTversky(axis=1), [[1.0, 0.0]], [[1.0, 0.0]], 0.0),
        (losses.FocalTversky(axis=1), [[0.0, 0.0]], [[0.0, 0.0]], 0.0),
        (losses.FocalTversky(axis=1), [[1.0, 0.0]], [[0.0, 1.0]], 1.0),
        (losses.DiceCrossentropy(), [[1.0, 0.0]], [[[1e4], [-1e4]]], 0.0),
        (losses.DiceCrossentropy(), [[1.0, 1.0]], [[[-1e4], [-1e4]]], 1e4 + 2 / 3),
        (losses.DiceCrossentropy(smooth=0.0), [[0.0, 0.0]], [[[-1e4], [-1e4]]], 0.0),
        (losses.DiceCrossentropy(), [[0, 1]], [[[1e4, -1e4], [-1e4, 1e4]]], 0.0),
        (losses.DiceCrossentropy(from_logits=False), [[0, 1]], [[[1.0, 0.0], [0.0, 1.0]]], 0.0),
        (losses.Circle(), [0, 1], [[1.0, 0.0], [0.0, 1.0]], 0.0),
        (losses.Circle(), [0, 0], [[1.0, 0.0], [0.0, 1.0]], 0.0),
        (losses.Circle(gamma=1e4, margin=0.25), [0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]],
         (0.9375e4 * 2 + 0.9375e4 - 0.0625e4) / 2),
    ]  # fmt: skip
    for loss, y_true, y_pred, expected in cases:
        value, gradient = value_and_gradient(loss, y_true, y_pred, dtype)
        assert np.isfinite(gradient).all(), loss
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-6 if expected == 0 else 1e-18), loss


def test_the_gradient_of_a_cosine_does_not_depend_on_lengths():
    direction, target = np.array([[3.0, -4.0]]), np.array([[1.0, 1.0]])
    _, expected = value_and_gradient(losses.CosineSimilarity(), target, direction)
    for length in (1e-150, 1e150):
        _, gradient = value_and_gradient(losses.CosineSimilarity(), target, direction * length)
        np.testing.assert_allclose(gradient * length, expected, rtol=1e-12)
    assert (value_and_gradient(losses.CosineSimilarity(), target, 0 * direction)[1] == 0).all()


def test_log_cosh_has_its_slopes_at_0():
    x = Tensor(np.array([[0.0]]), requires_grad=True)
    (first,) = grad(losses.LogCosh()(np.zeros((1, 1)), x), x, create_graph=True)
    (second,) = grad(first.sum(), x)
    assert (first.item(), second.item()) == (0.0, 1.0)


def test_a_row_without_a_pair_does_not_enter_the_circle_loss():
    labels, embeddings = np.array([0, 0, 1]), np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    each = losses.circle(labels, embeddings, gamma=4.0).numpy()
    assert each[2] == 0
    assert losses.Circle(gamma=4.0)(labels, embeddings).item() == pytest.approx(each[:2].mean())
    _, gradient = value_and_gradient(losses.Circle(gamma=4.0), labels, embeddings)
    assert gradient[2].any(), "it is compared with the others"
    # The same as references beside the rows themselves.
    beside = losses.circle(labels, embeddings, labels, embeddings, gamma=4.0).numpy()
    np.testing.assert_allclose(beside, each)
    one = losses.circle(labels[:1], embeddings[:1], labels[1:], embeddings[1:], remove_diagonal=False, gamma=4.0)
    assert one.item() == pytest.approx(each[0])


@pytest.mark.parametrize("name", ["BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy",
                                  "CategoricalFocalCrossentropy", "CosineSimilarity"])  # fmt: skip
def test_an_axis_is_moved(name):
    t, p = ROWS.reshape(2, 2, 3), P.reshape(2, 2, 3)
    made = getattr(losses, name)
    expected = made(reduction=None)(t, p).numpy()
    for axis, place in ((1, (0, 2, 1)), (-3, (2, 0, 1))):
        moved = made(axis=axis, reduction=None)(t.transpose(place), p.transpose(place)).numpy()
        np.testing.assert_allclose(moved, expected, rtol=1e-14)
    if "Categorical" in name:
        smooth = made(axis=1, label_smoothing=0.2, reduction=None)(t.transpose(0, 2, 1), p.transpose(0, 2, 1))
        np.testing.assert_allclose(smooth.numpy(), made(label_smoothing=0.2, reduction=None)(t, p).numpy(), rtol=1e-14)
    with pytest.raises(ValueError, match="axis = 3 is out of range"):
        made(axis=3)(t, p)


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 3), st.integers(2, 3))
def test_ctc_is_the_sum_over_all_alignments(seed, steps, most, classes):
    rng = np.random.default_rng(seed)
    labels, logits = rng.integers(0, classes, (2, most)), 3 * rng.standard_normal((2, steps, classes))
    for row in labels:
        row[:] = np.r_[row[row > 0], row[row == 0]]
    needed = [np.count_nonzero(row) + np.count_nonzero((row[1:] == row[:-1]) & (row[1:] > 0)) for row in labels]
    if max(needed) > steps:
        with pytest.raises(ValueError, match=f"the labels of example {np.argmax(needed)} need {max(needed)} steps"):
            losses.CTC()(labels, logits)
        return
    expected = [alignments(row[row > 0], z) for row, z in zip(labels, logits, strict=True)]
    np.testing.assert_allclose(losses.ctc(labels, logits).numpy(), expected, rtol=1e-12, atol=1e-13)


@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from([np.nan, np.inf, 1e30]), st.booleans())
def test_dice_and_cross_entropy_of_what_is_not_ignored(seed, classes, there, whole):
    rng = np.random.default_rng(seed)
    logits, labels = rng.standard_normal((2, 7, classes)), rng.integers(0, max(classes, 2), (2, 7))
    ignored = rng.random((2, 7)) < 0.5
    ignored[1] |= whole
    logits[ignored], labels[ignored] = there, 255
    prediction = Tensor(logits, requires_grad=True)
    values = losses.dice_crossentropy(labels, prediction, ignore_class=255)
    for row in range(2):
        kept = ~ignored[row]
        if kept.any():
            expected = losses.dice_crossentropy(labels[row, kept][None], logits[row, kept][None]).item()
            assert values.numpy()[row] == pytest.approx(expected)
        else:
            assert values.numpy()[row] == 0
    gradient = grad(values.sum(), prediction).numpy()
    assert (gradient[ignored] == 0).all()
    assert gradient[~ignored].all()
    with pytest.raises(ValueError, match="ignore_class needs class indices" if classes > 1 else "y_true holds values"):
        losses.dice_crossentropy(np.full((2, 7, classes), 2.0), logits, ignore_class=255)


def test_ctc_in_the_extreme():
    labels, logits = np.array([[1, 1], [2, 0]]), np.full((2, 4, 3), -1e4)
    logits[0, [0, 1, 2, 3], [1, 0, 0, 1]] = 1e4
    logits[1, :, 0] = 1e4  # the label has nowhere a chance
    value, gradient = value_and_gradient(losses.CTC("sum"), labels, logits, np.float32)
    assert value == pytest.approx(2e4 - math.log(4))
    assert np.isfinite(gradient).all()
    with pytest.raises(ValueError, match="before a label"):
        losses.CTC()(np.array([[0, 1]]), logits[:1])
    with pytest.raises(ValueError, match="the label at position"):
        losses.CTC()(np.array([[3, 0]]), logits[:1])


def test_an_axis_of_classes_for_indices():
    labels, logits = LABELS.reshape(2, 2), Z.reshape(2, 2, 3)
    expected = losses.SparseCategoricalCrossentropy(True, reduction=None)(labels, logits).numpy()
    made = losses.SparseCategoricalCrossentropy(True, axis=1, reduction=None)
    for truth in (labels, labels[:, None]):
        np.testing.assert_allclose(made(truth, logits.transpose(0, 2, 1)).numpy(), expected, rtol=1e-14)
    with pytest.raises(ValueError, match="class index"):
        losses.SparseCategoricalCrossentropy(label_smoothing=0.1)(np.array([0, 3]), np.full((2, 3), 0.3))


@given(st.integers(0, 10_000), st.integers(1, 4), st.booleans())
def test_dice_and_cross_entropy_are_their_sum(seed, classes, background):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((2, 3, 5, classes))
    labels = rng.integers(0, max(classes, 2), (2, 3, 5))
    together = losses.DiceCrossentropy(dice_weight=0.3, crossentropy_weight=0.7, include_background=background)
    if classes == 1:
        dice = losses.Dice(axis=(1, 2, 3), smooth=1.0, reduction=None)(labels, sigmoid(logits)).numpy()
        entropy = losses.BinaryCrossentropy(True, reduction=None)(labels, logits).numpy().mean((1, 2))
        truths = [labels, labels[..., None].astype(float)]
    else:
        rows = np.eye(classes)[labels]
        each = losses.Dice(axis=(1, 2), smooth=1.0, reduction=None)(rows, softmax(logits)).numpy()
        dice = each[:, 0 if background else 1 :].mean(-1)
        entropy = losses.CategoricalCrossentropy(True, reduction=None)(rows, logits).numpy().mean((1, 2))
        truths = [labels, labels[..., None], rows]
    for truth in truths:
        values = with_reduction(together, None)(truth, logits, np.array([2.0, 0.5])).numpy()
        np.testing.assert_allclose(values, [2.0, 0.5] * (0.3 * dice + 0.7 * entropy), rtol=1e-12)


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
        ("categorical_generalized_cross_entropy", (4, 3), (4, 3)),
        ("circle", (4,), (3, 2)),
        ("circle", (4,), (4,)),
        ("circle", (4, 2), (4, 2)),
        ("cosine_similarity", (4, 2), (4, 3)),
        ("dice_crossentropy", (2, 8, 8), (2, 8, 9, 3)),
        ("dice_crossentropy", (2,), (2,)),
        ("dice_crossentropy", (2, 8, 8, 2), (2, 8, 8, 3)),
        ("ctc", (4, 2), (4, 3)),
        ("ctc", (4, 2), (3, 5, 3)),
        ("ctc", (4, 2), (4, 0, 3)),
        ("kld", (4, 2), (4, 3)),
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


@pytest.mark.parametrize(
    "name",
    [
        "binary_crossentropy",
        "binary_focal_crossentropy",
        "dice",
        "tversky",
        "kld",
        "dice_crossentropy",
        "focal_tversky",
    ],
)
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
        ("kld", losses.KLDivergence),
        ("KLD", losses.KLDivergence),
        ("kl_divergence", losses.KLDivergence),
        ("poisson", losses.Poisson),
        ("cosine_similarity", losses.CosineSimilarity),
        ("log_cosh", losses.LogCosh),
        ("logcosh", losses.LogCosh),
        ("mape", losses.MeanAbsolutePercentageError),
        ("MSLE", losses.MeanSquaredLogarithmicError),
        ("circle", losses.Circle),
        ("categorical_focal_crossentropy", losses.CategoricalFocalCrossentropy),
        ("focal_tversky", losses.FocalTversky),
        ("dice_crossentropy", losses.DiceCrossentropy),
    ],
)
def test_names(name, cls):
    assert type(losses.get(name)) is cls


def test_written_and_read():
    loss = losses.deserialize(losses.serialize(losses.CategoricalFocalCrossentropy([0.5, 0.5], axis=1)))
    assert loss.get_config() == losses.CategoricalFocalCrossentropy([0.5, 0.5], axis=1).get_config()

    class Own(losses.Hinge):
        pass

    assert type(losses.deserialize("Own", {"Own": Own})) is Own
    with pytest.raises(ValueError, match="not known"):
        losses.deserialize("Own")


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
        (lambda: losses.BinaryCrossentropy(axis=True), "axis = True: expected an integer"),
        (lambda: losses.SparseCategoricalCrossentropy(axis=0.5), "axis = 0.5: expected an integer"),
        (lambda: losses.CosineSimilarity(axis=(0, 1)), "axis = "),
        (lambda: losses.CategoricalFocalCrossentropy(gamma=-1.0), "gamma"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(q=1.0), "q = 1.0"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(q=0.0), "q = 0.0"),
        (lambda: losses.FocalTversky(gamma=0.0), "gamma"),
        (lambda: losses.DiceCrossentropy(dice_weight=-1.0), "dice_weight"),
        (lambda: losses.DiceCrossentropy(smooth=-1.0), "smooth"),
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
