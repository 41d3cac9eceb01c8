"""What holds for every metric: batches add up, weights are repetitions, states go on, configurations make it again."""

import inspect
import json
import warnings

import numpy as np
import pytest

from tomograd import models
from tomograd.engine.config import serialize
from tomograd.models import metrics as M

RNG = np.random.default_rng(5)
N, C = 12, 4
LABELS = RNG.integers(0, C, N)
LABELS[:C] = np.arange(C)
SCORES = RNG.dirichlet(np.ones(C), N)
BINARY = (np.arange(N) % 3 == 0).astype(float)
ONE = RNG.random(N)
NUMBERS = RNG.random((2, N, 3)) + 0.1
MASKS = RNG.random((N, 5, 6, 1)) < 0.4, RNG.random((N, 5, 6, 1))
ROWS = np.eye(C)[LABELS]

binary, classes, rows, numbers = (BINARY, ONE), (LABELS, SCORES), (ROWS, SCORES), tuple(NUMBERS)
# (what it is made of, (y_true, y_pred))
CASES = [
    (M.Accuracy(), (LABELS, SCORES.argmax(1))),
    (M.BinaryAccuracy(threshold=0.4), binary),
    (M.CategoricalAccuracy(), rows),
    (M.SparseCategoricalAccuracy(), classes),
    (M.TopKCategoricalAccuracy(2), rows),
    (M.SparseTopKCategoricalAccuracy(3), classes),
    (M.SparseTopKCategoricalAccuracy(2, from_sorted_ids=True), (LABELS, np.argsort(-SCORES, axis=1))),
    (M.BinaryCrossentropy(label_smoothing=0.1), binary),
    (M.CategoricalCrossentropy(), rows),
    (M.SparseCategoricalCrossentropy(ignore_class=1), classes),
    (M.KLDivergence(), (SCORES[::-1], SCORES)),
    (M.Poisson(), numbers),
    (M.Hinge(), binary),
    (M.SquaredHinge(), binary),
    (M.CategoricalHinge(), rows),
    (M.LogCoshError(), numbers),
    (M.MeanAbsolutePercentageError(), numbers),
    (M.MeanSquaredLogarithmicError(), numbers),
    (M.MeanSquaredError(), numbers),
    (M.MeanAbsoluteError(), numbers),
    (M.RootMeanSquaredError(), numbers),
    (M.R2Score(), numbers),
    (M.R2Score(None), numbers),
    (M.CosineSimilarity(), numbers),
    (M.PearsonCorrelation(), numbers),
    (M.ConcordanceCorrelation(), numbers),
    (M.MeanMetricWrapper(M.huber, delta=0.3), numbers),
    (M.TruePositives(), binary),
    (M.FalsePositives([0.2, 0.6]), binary),
    (M.TrueNegatives(), binary),
    (M.FalseNegatives(), binary),
    (M.Precision([0.3, 0.5]), binary),
    (M.Precision(top_k=2), rows),
    (M.Recall(top_k=2, class_id=1), classes),
    (M.Recall(average="macro"), classes),
    (M.Specificity(), binary),
    (M.Specificity(average="macro"), classes),
    (M.F1Score(), rows),
    (M.FBetaScore("weighted", 2.0), rows),
    (M.AUC(), binary),
    (M.AUC(50), binary),
    (M.AUC(curve="PR"), binary),
    (M.AUC(curve="PRGAIN", summation_method="minoring"), binary),
    (M.AUC(30, "PR", multi_label=True, num_labels=C, label_weights=[1, 2, 0, 1]), rows),
    (M.AUC(multi_label=True), classes),
    (M.AUC(thresholds=[0.2, 0.7]), binary),
    (M.AveragePrecision(), binary),
    (M.AveragePrecision(True, None), classes),
    (M.SensitivityAtSpecificity(0.6), binary),
    (M.SpecificityAtSensitivity(0.6, 20), binary),
    (M.PrecisionAtRecall(0.5, class_id=2), classes),
    (M.RecallAtPrecision(0.4, class_id=2), rows),
    (M.ConfusionMatrix(), classes),
    (M.ConfusionMatrix(C, "true"), rows),
    (M.BalancedAccuracy(), classes),
    (M.CohenKappa(weights="quadratic"), classes),
    (M.MatthewsCorrelation(), binary),
    (M.IoU(C, [1, 2], sparse_y_pred=False), classes),
    (M.MeanIoU(C, sparse_y_pred=False, ignore_class=1), classes),
    (M.BinaryIoU(), binary),
    (M.OneHotIoU(C, [0, 3]), rows),
    (M.OneHotMeanIoU(C), rows),
    (M.Dice(), MASKS),
    (M.Dice(average="pixels"), MASKS),
    (M.HausdorffDistance(95, (2.0, 0.5)), MASKS),
    (M.AverageSurfaceDistance(), MASKS),
]
IDS = [f"{type(metric).__name__}-{index}" for index, (metric, _) in enumerate(CASES)]
every = pytest.mark.parametrize(("metric", "data"), CASES, ids=IDS)


@pytest.fixture(autouse=True)
def _empty():
    for metric, _ in CASES:
        metric.reset_state()


def test_every_metric_stands_here():
    listed = {type(metric).__name__ for metric, _ in CASES} | {"Mean", "Sum", "Metric"}
    public = {
        name for name in M.__all__ if inspect.isclass(getattr(M, name)) and issubclass(getattr(M, name), M.Metric)
    }
    assert listed == public


@every
def test_batches_add_up(metric, data):
    whole = metric(*data)
    metric.reset_state()
    for part in (slice(0, 5), slice(5, 5), slice(5, 6), slice(6, N)):
        metric.update_state(*[array[part] for array in data])
    np.testing.assert_allclose(metric.result(), whole, rtol=1e-12, atol=1e-14)


@every
def test_totals_add_up_where_they_are_said_to(metric, data):
    states = []
    for part in (slice(0, 7), slice(7, N), slice(0, N)):
        metric.reset_state()
        metric.update_state(*[array[part] for array in data])
        states.append({name: np.array(value) for name, value in metric.totals.items()})
    if metric.additive:
        for name, value in states[2].items():
            np.testing.assert_allclose(states[0][name] + states[1][name], value, rtol=1e-12)
    else:
        assert isinstance(metric, (M.R2Score, M.AUC, M.AveragePrecision)) or "At" in type(metric).__name__


@every
def test_a_weight_of_2_is_the_sample_twice(metric, data):
    weights = RNG.integers(0, 3, N)
    weights[:C] = 1
    weighted = metric(*data, weights.astype(np.float32))
    metric.reset_state()
    repeated = metric(*[np.repeat(array, weights, axis=0) for array in data])
    np.testing.assert_allclose(weighted, repeated, rtol=1e-9, atol=1e-12)


@every
def test_a_state_goes_on(metric, data):
    first, second = ([array[part] for array in data] for part in (slice(0, 7), slice(7, N)))
    whole = metric(*data)
    metric.reset_state()
    metric.update_state(*first)
    state = metric.state()
    assert all(isinstance(value, np.ndarray) for value in state.values())
    again = type(metric).from_config(metric.get_config())
    again.load_state(state)
    again.update_state(*second)
    metric.update_state(*second)
    np.testing.assert_array_equal(again.result(), metric.result())
    np.testing.assert_allclose(again.result(), whole, rtol=1e-12, atol=1e-14)


@every
def test_a_configuration_makes_it_again(metric, data):
    again = M.deserialize(json.loads(json.dumps(serialize(metric))))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()
    assert again.name == metric.name
    np.testing.assert_array_equal(again(*data), metric(*data))


@every
def test_tensors_float32_and_a_type_of_the_result(metric, data):
    from tomograd import Tensor

    config = metric.get_config() | {"dtype": "float32"}
    rounded = type(metric).from_config(config)(data[0], Tensor(np.array(data[1])))
    exact = np.asarray(metric(*data))
    np.testing.assert_array_equal(np.asarray(rounded), exact.astype(np.float32))
    with pytest.raises(ValueError, match="dtype = 'int'"):
        type(metric).from_config(config | {"dtype": "int"})


@every
def test_nothing_seen_nan_and_shapes_are_errors(metric, data):
    with pytest.raises(ValueError, match="no samples"):
        metric.result()
    metric.update_state(*[array[:0] for array in data])
    with pytest.raises(ValueError, match="no samples"):
        metric.result()
    if data[1].dtype.kind == "f":
        with pytest.raises(ValueError, match="NaN"):
            metric(data[0], np.where(np.arange(data[1].size).reshape(data[1].shape) == 3, np.nan, data[1]))
    with pytest.raises(ValueError, match=r"shape|class indices"):
        metric(data[0][:-1], data[1])
    with pytest.raises(ValueError, match="sample_weight"):
        metric(*data, np.ones(N + 1))


@every
def test_no_warning_is_given(metric, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric(*data)
        metric.reset_state()
        metric(*[array[:1] for array in data])


def test_names_as_keras_gives_them():
    for name, cls in {
        "bce": M.BinaryCrossentropy, "MAPE": M.MeanAbsolutePercentageError, "msle": M.MeanSquaredLogarithmicError,
        "mean_io_u": M.MeanIoU, "binary_io_u": M.BinaryIoU, "true_positives": M.TruePositives, "AUC": M.AUC,
        "top_k_categorical_accuracy": M.TopKCategoricalAccuracy, "log_cosh_error": M.LogCoshError,
        "f_beta_score": M.FBetaScore, "kl_divergence": M.KLDivergence, "hausdorff_distance": M.HausdorffDistance,
        "r2_score": M.R2Score, "cohen_kappa": M.CohenKappa,
    }.items():  # fmt: skip
        if cls is M.MeanIoU:
            with pytest.raises(ValueError, match="num_classes"):
                M.get(name)
        else:
            made = M.get(name)
            assert type(made) is cls
            assert made.name == name, "a metric from a name is logged under it"
    for made, name in ((M.MeanIoU(3), "mean_io_u"), (M.AUC(), "auc"), (M.TruePositives(), "true_positives"),
                       (M.Precision(), "precision"), (M.LogCoshError(), "logcosh")):  # fmt: skip
        assert made.name == name


def test_metrics_by_name_in_a_model():
    from tomograd import layers

    model = models.Sequential([layers.Input((3,)), layers.Dense(C)])
    loss = "sparse_categorical_crossentropy"
    model.compile("sgd", loss, metrics=["accuracy", "ce", "balanced_accuracy", "cohen_kappa"])
    logs = model.fit(NUMBERS[0].astype(np.float32), LABELS, epochs=1, verbose=0).history
    assert {"loss", "accuracy", "ce", "balanced_accuracy", "cohen_kappa"} <= set(logs)
    model.compile("sgd", loss, metrics=[M.MeanMetricWrapper(M.sparse_top_k_categorical_accuracy, name="top", k=2)])
    assert 0 <= model.evaluate(NUMBERS[0].astype(np.float32), LABELS, verbose=0, return_dict=True)["top"] <= 1
