"""Metrics against scikit-learn, and what they do with nothing, with NaN and with bad shapes."""

import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd import Input, Sequential, layers
from tomograd.engine.config import serialize
from tomograd.models import metrics as M

SETTINGS = settings(deadline=None, max_examples=40)


@st.composite
def binary_samples(draw):
    """Truth, tied scores and weights of 2 to 40 samples, both classes present."""
    count = draw(st.integers(2, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = generator.random(count) < 0.4
    truth[:2] = [False, True]
    levels = draw(st.sampled_from([2, 5, 1000]))
    scores = (generator.integers(0, levels, count) / levels).astype(np.float32)
    weights = generator.random(count) + 0.1 if draw(st.booleans()) else None
    return truth.astype(draw(st.sampled_from([bool, np.int64, np.float32]))), scores, weights


@st.composite
def class_samples(draw):
    """Labels (N,), scores (N, C) and weights."""
    count, classes = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = generator.random(count) + 0.1 if draw(st.booleans()) else None
    return generator.integers(0, classes, count), generator.standard_normal((count, classes)), weights


def in_batches(metric, truth, scores, weights, size=7):
    for start in range(0, len(truth), size):
        part = slice(start, start + size)
        metric.update_state(truth[part], scores[part], None if weights is None else weights[part])
    return metric.result()


@SETTINGS
@given(binary_samples(), st.sampled_from([0.2, 0.5, 0.75]))
def test_thresholded_metrics_are_scikit_learns(samples, threshold):
    truth, scores, weights = samples
    found, labels = scores > threshold, truth.astype(bool)
    expected = {
        M.BinaryAccuracy(threshold=threshold): sk.accuracy_score(labels, found, sample_weight=weights),
        M.Precision(threshold): sk.precision_score(labels, found, sample_weight=weights, zero_division=0),
        M.Recall(threshold): sk.recall_score(labels, found, sample_weight=weights, zero_division=0),
        M.F1Score(threshold=threshold): sk.f1_score(labels, found, sample_weight=weights, zero_division=0),
        M.Specificity(threshold): sk.recall_score(~labels, ~found, sample_weight=weights, zero_division=0),
        M.FBetaScore(beta=0.5, threshold=threshold): sk.fbeta_score(
            labels, found, beta=0.5, sample_weight=weights, zero_division=0
        ),
        # Keras's: what equals the threshold is foreground.
        M.BinaryIoU([1], threshold): sk.jaccard_score(
            labels, scores >= threshold, sample_weight=weights, zero_division=1
        ),
    }
    for metric, value in expected.items():
        assert in_batches(metric, truth, scores, weights) == pytest.approx(value, abs=1e-12), metric


@SETTINGS
@given(binary_samples())
def test_areas_and_curves_are_scikit_learns(samples):
    truth, scores, weights = samples
    roc, pr = M.AUC(), M.AUC(curve="PR")
    expected = sk.roc_auc_score(truth, scores, sample_weight=weights)
    assert in_batches(roc, truth, scores, weights) == pytest.approx(expected)
    assert in_batches(pr, truth, scores, weights) == pytest.approx(
        sk.average_precision_score(truth, scores, sample_weight=weights)
    )
    assert M.roc_auc(truth, scores, weights) == pytest.approx(roc.result())
    assert M.average_precision(truth, scores, weights) == pytest.approx(pr.result())

    def theirs_of(truth, scores, weights, drop):
        return sk.roc_curve(truth, scores, sample_weight=weights, drop_intermediate=drop)

    for drop in (False, True):
        ours = M.roc_curve(truth, scores, weights, drop_intermediate=drop)
        for mine, theirs in zip(ours, theirs_of(truth, scores, weights, drop), strict=True):
            if weights is None:
                np.testing.assert_allclose(mine, theirs, atol=1e-12)
        assert np.trapezoid(ours[1], ours[0]) == pytest.approx(roc.result())


@SETTINGS
@given(class_samples(), st.booleans())
def test_class_metrics_are_scikit_learns(samples, one_hot):
    labels, scores, weights = samples
    classes, decision = scores.shape[1], scores.argmax(axis=1)
    truth = np.eye(classes)[labels] if one_hot else labels
    accuracy = M.CategoricalAccuracy() if one_hot else M.SparseCategoricalAccuracy()
    assert in_batches(accuracy, truth, scores, weights) == pytest.approx(
        sk.accuracy_score(labels, decision, sample_weight=weights)
    )
    known = {"labels": np.arange(classes), "sample_weight": weights, "zero_division": 0}
    for average in ("micro", "macro", "weighted"):
        for metric, peer in (
            (M.Precision(average=average), sk.precision_score),
            (M.Recall(average=average), sk.recall_score),
            (M.F1Score(average), sk.f1_score),
        ):
            expected = peer(labels, decision, average=average, **known)
            assert in_batches(metric, truth, scores, weights) == pytest.approx(expected, abs=1e-12), metric
    np.testing.assert_allclose(
        in_batches(M.F1Score(), truth, scores, weights), sk.f1_score(labels, decision, average=None, **known)
    )
    matrix = M.confusion_matrix(labels, decision, classes, weights)
    everything = {"labels": np.arange(classes), "sample_weight": weights}
    np.testing.assert_allclose(matrix, sk.confusion_matrix(labels, decision, **everything))
    present = sk.jaccard_score(labels, decision, average="macro", sample_weight=weights)
    assert in_batches(
        M.MeanIoU(classes, sparse_y_true=not one_hot, sparse_y_pred=False), truth, scores, weights
    ) == pytest.approx(present)


@SETTINGS
@given(binary_samples())
def test_logits_decide_as_their_probabilities(samples):
    truth, scores, _ = samples
    probabilities = scores.astype(np.float64) * 0.998 + 0.001
    logits = np.log(probabilities) - np.log1p(-probabilities)
    for make in (M.BinaryAccuracy, M.Precision, M.Recall, M.F1Score, M.Dice, M.BinaryIoU):
        # 0.3003 is no level of the scores: no tie is left to rounding.
        arguments = {"thresholds" if make in (M.Precision, M.Recall) else "threshold": 0.3003}
        assert make(from_logits=True, **arguments)(truth, logits) == make(**arguments)(truth, probabilities)


@pytest.mark.filterwarnings("ignore:A single label was found")
@SETTINGS
@given(class_samples(), st.booleans())
def test_measures_of_the_confusion_matrix_are_scikit_learns(samples, one_hot):
    labels, scores, weights = samples
    classes, decision = scores.shape[1], scores.argmax(axis=1)
    truth = np.eye(classes)[labels] if one_hot else labels
    known = {"sample_weight": weights}
    for normalize in (None, "true", "pred", "all"):
        expected = sk.confusion_matrix(labels, decision, labels=np.arange(classes), normalize=normalize, **known)
        np.testing.assert_allclose(in_batches(M.ConfusionMatrix(classes, normalize), truth, scores, weights), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, for a class that is found and does not occur
        for adjusted in (False, True):
            if not adjusted or len(np.unique(labels)) > 1:
                expected = sk.balanced_accuracy_score(labels, decision, adjusted=adjusted, **known)
                value = in_batches(M.BalancedAccuracy(adjusted=adjusted), truth, scores, weights)
                assert value == pytest.approx(expected, abs=1e-12)
    expected = sk.matthews_corrcoef(labels, decision, **known)
    assert in_batches(M.MatthewsCorrelation(), truth, scores, weights) == pytest.approx(expected, abs=1e-7)
    for kind in (None, "linear", "quadratic"):
        value = in_batches(M.CohenKappa(weights=kind), truth, scores, weights)
        if len(np.unique(np.r_[labels, decision])) == 1:
            assert np.isnan(value)
        else:
            every = {"labels": np.arange(classes)} if kind else {}  # the order of the classes counts
            expected = sk.cohen_kappa_score(labels, decision, weights=kind, **every, **known)
            assert value == pytest.approx(expected, abs=1e-12)
    indices = M.CohenKappa(classes)
    indices.update_state(labels, decision, weights)
    assert indices.result() == pytest.approx(in_batches(M.CohenKappa(), truth, scores, weights), nan_ok=True)


@SETTINGS
@given(class_samples())
def test_precisions_of_labels_are_scikit_learns(samples):
    labels, scores, weights = samples
    rows = np.eye(scores.shape[1])[labels]
    known = [index for index in range(scores.shape[1]) if 0 < rows[:, index].sum() < len(rows)]
    each = {i: sk.average_precision_score(rows[:, i], scores[:, i], sample_weight=weights) for i in known}
    values = in_batches(M.AveragePrecision(True, None), labels, scores, weights)
    for index, value in enumerate(values):
        assert value == pytest.approx(each[index]) if index in each else np.isnan(value)
    areas = {i: sk.roc_auc_score(rows[:, i], scores[:, i], sample_weight=weights) for i in known}
    if known:
        assert in_batches(M.AveragePrecision(True), labels, scores, weights) == pytest.approx(
            np.mean(list(each.values()))
        )
        support = [rows[:, i] @ (np.ones(len(rows)) if weights is None else weights) for i in known]
        weighted = in_batches(M.AveragePrecision(True, "weighted"), rows, scores, weights)
        assert weighted == pytest.approx(np.average(list(each.values()), weights=support))
        area = in_batches(M.AUC(multi_label=True), rows, scores, weights)
        assert area == pytest.approx(np.mean(list(areas.values())))


@SETTINGS
@given(binary_samples())
def test_many_thresholds_come_near_the_exact_value(samples):
    """Keras's values at so many thresholds that each lies between two scores."""
    truth, scores, weights = samples
    scores = 0.001 + 0.998 * scores.astype(np.float64)
    for curve in ("ROC", "PRGAIN"):
        exact = in_batches(M.AUC(curve=curve), truth, scores, weights)
        assert in_batches(M.AUC(4001, curve), truth, scores, weights) == pytest.approx(exact)
    for method, smaller in (("minoring", True), ("majoring", False)):
        for curve in ("ROC", "PR"):
            exact = in_batches(M.AUC(curve=curve, summation_method=method), truth, scores, weights)
            assert in_batches(M.AUC(4001, curve, method), truth, scores, weights) == pytest.approx(exact)
            between = in_batches(M.AUC(curve=curve), truth, scores, weights)
            assert exact <= between + 1e-12 if smaller else exact >= between - 1e-12
    for cls in (M.SensitivityAtSpecificity, M.SpecificityAtSensitivity, M.PrecisionAtRecall, M.RecallAtPrecision):
        for least in (0.0, 0.35, 0.7):
            exact = in_batches(cls(least), truth, scores, weights)
            assert in_batches(cls(least, 4001), truth, scores, weights) == pytest.approx(exact)


@SETTINGS
@given(binary_samples(), st.sampled_from([0.0, 0.3, 0.8, 1.0]))
def test_operating_points_are_those_of_the_curves(samples, least):
    truth, scores, weights = samples
    false_rate, true_rate, _ = M.roc_curve(truth, scores, weights, drop_intermediate=False)
    precision, recall, _ = M.precision_recall_curve(truth, scores, weights)
    found = {
        M.SensitivityAtSpecificity(least): (1 - false_rate, true_rate),
        M.SpecificityAtSensitivity(least): (true_rate, 1 - false_rate),
        M.PrecisionAtRecall(least): (recall, precision),
        M.RecallAtPrecision(least): (precision, recall),
    }
    for metric, (held, wanted) in found.items():
        value = in_batches(metric, truth, scores, weights)
        sure, perhaps = (np.max(wanted, initial=0, where=held >= least + slack) for slack in (1e-9, -1e-9))
        assert sure - 1e-9 <= value <= perhaps + 1e-9


@SETTINGS
@given(st.integers(2, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_r2_is_scikit_learns_also_far_from_0(count, seed, weighted):
    generator = np.random.default_rng(seed)
    truth = generator.standard_normal((count, 3)) + np.array([0.0, 1e6, -1e4])
    truth[:, 0] *= generator.integers(0, 2)  # perhaps constant
    found = truth + 0.3 * generator.standard_normal((count, 3))
    weights = generator.random(count) + 0.1 if weighted else None
    for ours, theirs in ((None, "raw_values"), ("uniform_average", "uniform_average"),
                         ("variance_weighted_average", "variance_weighted")):  # fmt: skip
        expected = sk.r2_score(truth, found, sample_weight=weights, multioutput=theirs)
        np.testing.assert_allclose(in_batches(M.R2Score(ours), truth, found, weights), expected, rtol=1e-7, atol=1e-7)


def test_r2_adjusted_by_hand():
    truth, found = np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 2.0, 4.0, 6.0])
    plain = 1 - 1 / 14
    assert M.R2Score()(truth, found) == pytest.approx(plain)
    assert M.R2Score(num_regressors=1)(truth, found) == pytest.approx(1 - (1 - plain) * 3 / 2)
    with pytest.warns(UserWarning, match="too few"):
        assert M.R2Score(num_regressors=3)(truth, found) == pytest.approx(plain)
    assert M.R2Score()([2.0, 2.0], [2.0, 2.0]) == 1
    assert M.R2Score()([2.0, 2.0], [2.0, 2.5]) == 0


def test_counts_and_top_classes_by_hand():
    truth, scores = [0, 1, 1, 0], [0.1, 0.4, 0.8, 0.6]
    assert [metric(truth, scores) for metric in (M.TruePositives(), M.FalsePositives(), M.TrueNegatives(),
                                                 M.FalseNegatives())] == [1, 1, 1, 1]  # fmt: skip
    np.testing.assert_array_equal(M.FalseNegatives([0.0, 0.4, 0.9])(truth, scores, [1, 2, 3, 4]), [0, 2, 5])
    assert M.Specificity(0.05)(truth, scores) == 0
    rows = np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1]])
    assert M.SparseTopKCategoricalAccuracy(2)([2, 3, 1], rows) == pytest.approx(3 / 3), "ties are among the first"
    assert M.SparseTopKCategoricalAccuracy(2)([0, 3, 0], rows) == pytest.approx(2 / 3)
    np.testing.assert_array_equal(M.sparse_top_k_categorical_accuracy([0, 3, 0], rows, 1), [0, 1, 1])
    # Of equal scores the first two count as found.
    assert M.Precision(top_k=2)(np.eye(4)[[3, 1, 0]], rows) == pytest.approx(3 / 6)
    assert M.Recall(top_k=2)([3, 3, 0], rows) == pytest.approx(2 / 3)
    # Several labels to a sample, of which the largest score finds one.
    assert M.F1Score("micro")(np.array([[1, 1, 0]]), np.array([[0.2, 0.9, 0.3]])) == pytest.approx(2 / 3)


def test_correlations_by_hand():
    truth, found = np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]), np.array([[3.0, 5.0, 7.0], [1.0, 2.0, 4.0]])
    np.testing.assert_allclose(M.pearson_correlation(truth, found), [1.0, 0.0])
    assert M.PearsonCorrelation()(truth, -found, [2, 1]) == pytest.approx(-2 / 3)
    # 2·(4/3) / (2/3 + 8/3 + 9)
    np.testing.assert_allclose(M.concordance_correlation(truth, found)[0], (8 / 3) / (10 / 3 + 9))
    np.testing.assert_allclose(M.concordance_correlation(truth, truth + 1e-13), [1.0, 0.0], atol=1e-9)
    np.testing.assert_array_equal(M.concordance_correlation(truth[1], truth[1]), 1.0)
    assert M.CosineSimilarity()([[1.0, 0.0], [0.0, 0.0]], [[2.0, 0.0], [1.0, 1.0]]) == 0.5


def test_class_by_class():
    labels, found = np.array([0, 0, 1, 255, 2]), np.array([0, 1, 1, 1, 0])
    metric = M.MeanIoU(4, ignore_class=255)
    assert metric(labels, found) == pytest.approx(np.mean([1 / 3, 1 / 2, 0]))
    np.testing.assert_allclose(metric.per_class(), [1 / 3, 1 / 2, 0, np.nan])
    with pytest.raises(ValueError, match="y_true holds class index 255"):
        M.MeanIoU(4)(labels, found)
    dice = M.Dice(average="pixels")
    dice(np.array([[0, 0, 1, 2]]), np.eye(3)[[[0, 1, 1, 2]]])
    np.testing.assert_allclose(dice.per_class(), [2 / 3, 2 / 3, 1.0])


@SETTINGS
@given(class_samples())
def test_classes_one_by_one_are_scikit_learns(samples):
    labels, scores, weights = samples
    known = {"labels": np.arange(scores.shape[1]), "sample_weight": weights, "zero_division": 0, "average": None}
    for metric, peer in (
        (M.Precision(average="macro"), sk.precision_score),
        (M.Recall(average="micro"), sk.recall_score),
        (M.F1Score("weighted"), sk.f1_score),
    ):
        in_batches(metric, labels, scores, weights)
        np.testing.assert_allclose(metric.per_class(), peer(labels, scores.argmax(1), **known))
    balanced = M.BalancedAccuracy()
    in_batches(balanced, labels, scores, weights)
    recalls = sk.recall_score(labels, scores.argmax(1), **known)
    occurs = np.isin(np.arange(scores.shape[1]), labels)
    np.testing.assert_allclose(balanced.per_class(), np.where(occurs, recalls, np.nan))


def test_no_classes_one_by_one():
    for metric in (M.Precision(), M.Recall([0.2, 0.5]), M.TruePositives([0.1, 0.2])):
        metric.update_state([0, 1], [0.2, 0.7])
        with pytest.raises(ValueError, match="tells no classes apart"):
            metric.per_class()
    for metric in (M.F1Score(), M.MeanIoU(2), M.Dice(), M.BalancedAccuracy(), M.HausdorffDistance()):
        with pytest.raises(ValueError, match="no samples"):
            metric.per_class()


def test_ignored_positions_do_not_count_without_weights_either():
    metric = M.SparseCategoricalCrossentropy(ignore_class=-1)
    assert metric([0, -1, -1], [[0.5, 0.5], [0.1, 0.9], [0.3, 0.7]]) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: M.AUC(1), "num_thresholds"),
        (lambda: M.AUC(curve="DET"), "curve"),
        (lambda: M.AUC(summation_method="simpson"), "summation_method"),
        (lambda: M.AUC(thresholds=[0.5, 1.5]), "thresholds"),
        (lambda: M.AUC(num_labels=3), "num_labels"),
        (lambda: M.AUC(multi_label=True, num_labels=2)(np.eye(3), np.eye(3)), "num_labels is 2"),
        (lambda: M.AUC(label_weights=[1, 2])(np.eye(3), np.eye(3)), "label_weights"),
        (lambda: M.AUC(10)([0, 1], [-1.0, 2.0]), "thresholds need probabilities"),
        (lambda: M.SensitivityAtSpecificity(1.5), "specificity = 1.5"),
        (lambda: M.RecallAtPrecision(0.5, 0), "num_thresholds"),
        (lambda: M.PrecisionAtRecall(0.5, class_id=3)(np.eye(3), np.eye(3)), "class_id 3"),
        (lambda: M.Precision(top_k=0), "top_k"),
        (lambda: M.Precision(top_k=4)(np.eye(3), np.eye(3)), "top_k 4"),
        (lambda: M.Recall(class_id=-1)(np.eye(3), np.eye(3)), "class_id -1"),
        (lambda: M.Precision(average="macro", top_k=1), "give no thresholds, top_k or class_id"),
        (lambda: M.FBetaScore(beta=0.0), "beta"),
        (lambda: M.TopKCategoricalAccuracy(k=0), "k = 0"),
        (lambda: M.TopKCategoricalAccuracy(k=5)(np.eye(3), np.eye(3)), "every prediction would be right"),
        (lambda: M.R2Score("mean"), "class_aggregation"),
        (lambda: M.R2Score(num_regressors=-1), "num_regressors"),
        (lambda: M.R2Score()(np.zeros((2, 2, 2)), np.zeros((2, 2, 2))), "expected"),
        (lambda: M.ConfusionMatrix(1), "num_classes"),
        (lambda: M.ConfusionMatrix(normalize="rows"), "normalize"),
        (lambda: M.ConfusionMatrix()([0, 1], [0, 1]), "give num_classes"),
        (lambda: M.ConfusionMatrix(4)([0, 1], np.ones((2, 3))), "3 classes, but there were 4"),
        (lambda: M.CohenKappa(weights="cubic"), "weights"),
        (lambda: M.AveragePrecision(average="micro"), "average"),
        (lambda: M.PearsonCorrelation(axis=2)(np.eye(2), np.eye(2)), "axis 2 is out of range"),
        (lambda: M.PearsonCorrelation(axis=None)(np.eye(2), np.eye(2)), "axis None"),
        (lambda: M.IoU(3, [0], sparse_y_pred=False, axis=1)([0, 1], np.ones((2, 4))), "3 classes along axis 1"),
        (lambda: M.Mean(dtype=object), "dtype"),
    ],
)
def test_arguments_are_checked(make, error):
    with pytest.raises(ValueError, match=error):
        make()


def test_a_metric_of_ones_own():
    class Largest(M.Metric):
        def clear(self):
            self.totals = {"largest": -np.inf}

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.totals["largest"] = max(self.totals["largest"], float(np.max(y_pred)))
            self.updates += 1

        def compute(self):
            return self.totals["largest"]

    metric = Largest()
    assert metric.name == "largest"
    assert metric([0], [3.0]) == metric([0], [1.0]) == 3.0
    assert type(M.deserialize("Largest", {"Largest": Largest})) is Largest


class KerasOwn(M.Metric):
    """As Keras's documentation writes a metric."""

    def __init__(self, name="positives", **kwargs):
        super().__init__(name=name, **kwargs)
        self.found = self.add_variable(shape=(), initializer="zeros", name="found")
        self.classes = self.add_weight(shape=(2,), name="classes")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.found.assign(self.found + np.sum(np.logical_and(y_true, y_pred)))
        self.classes.assign_add(np.bincount(np.asarray(y_true, int), minlength=2))

    def result(self):
        return float(self.found / np.sum(self.classes))


def test_a_metric_of_ones_own_as_keras_writes_it():
    metric = KerasOwn()
    assert metric([1, 0, 1], [1, 1, 0]) == pytest.approx(1 / 3)
    again = KerasOwn()
    again.load_state(metric.state())
    assert again([1, 1, 1], [1, 1, 1]) == metric([1, 1, 1], [1, 1, 1]) == pytest.approx(4 / 6)
    metric.reset_state()
    assert metric.found.numpy() == 0
    assert metric([1], [0]) == 0
    assert [variable.name for variable in metric.variables] == ["found", "classes"]
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        metric.classes.assign(3.0)
    with pytest.raises(ValueError, match="already"):
        metric.add_weight(name="found")
    with pytest.raises(ValueError, match="aggregation"):
        metric.add_variable((), "zeros", aggregation="mean")


class PlainOwn(M.Metric):
    """One that resets itself, keeps a plain number, and counts no updates."""

    def __init__(self, name="hits", **kwargs):
        super().__init__(name=name, **kwargs)
        self.found = self.add_weight(name="found")
        self.batches = 0

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.found.assign_add(np.sum(np.round(np.asarray(y_pred)) == np.asarray(y_true)))
        self.batches += 1

    def result(self):
        return self.found

    def reset_state(self):
        self.found.assign(0)
        self.batches = 0


def test_a_metric_of_ones_own_is_logged():
    x = np.random.default_rng(0).random((12, 2)).astype(np.float32)
    y = (x.sum(1, keepdims=True) > 1).astype(np.float32)
    metric = PlainOwn()
    assert metric.updates == 0
    model = Sequential([Input((2,)), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=[metric])
    history = model.fit(x, y, batch_size=4, epochs=2, validation_data=(x, y), verbose=0).history
    assert set(history) == {"loss", "hits", "val_loss", "val_hits"}
    hits = np.sum(np.round(model.predict(x)) == y)
    assert history["val_hits"][1] == hits == model.evaluate(x, y, verbose=0)[1]
    assert metric.batches == metric.updates == 1
    metric.reset_state()
    assert metric.updates == 0


def test_functions_are_named_as_keras_names_them():
    def DiceCoef(y_true, y_pred):
        return np.ones(len(y_true))

    for function, name in ((DiceCoef, "dice_coef"), (lambda a, b: np.ones(len(a)), "lambda"), (M.huber, "huber")):
        assert M.get(function).name == name
    with pytest.raises(ValueError, match=r"metric 'lambda': its function gave array\(None, dtype=object\)"):
        M.get(lambda a, b: None)([1.0], [1.0])


def test_functions_are_written_by_name_only_if_they_are_ours():
    metric = M.MeanMetricWrapper(M.huber, "far", delta=2.0)
    assert metric.get_config() == {"fn": "huber", "name": "far", "dtype": None, "delta": 2.0}
    with pytest.raises(NotImplementedError, match="a function"):
        M.MeanMetricWrapper(lambda a, b: a).get_config()


def test_precision_at_several_thresholds_and_for_one_class():
    truth, scores = [0, 1, 1, 0], [0.1, 0.4, 0.8, 0.6]
    np.testing.assert_allclose(M.Precision([0.3, 0.5, 0.9])(truth, scores), [2 / 3, 1 / 2, 0])
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert M.Recall(class_id=1)([0, 1, 1], rows) == 0.5
    assert M.Recall(class_id=1)(np.eye(2)[[0, 1, 1]], rows) == 0.5


def test_dice_by_hand():
    truth = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 0, 0]]])
    found = np.array([[[1.0, 0, 1, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]])
    # 2·1/(2+2); empty against empty; missed altogether
    assert M.Dice()(truth, found) == pytest.approx((0.5 + 1 + 0) / 3)
    assert M.Dice(average="pixels")(truth, found) == pytest.approx(2 * 1 / (3 + 2))
    assert M.Dice()(truth, found, [1, 0, 1]) == pytest.approx(0.25)
    assert M.Dice(average="pixels")(truth, found, [1, 1, 0]) == pytest.approx(2 * 1 / (2 + 2))
    assert M.Dice()(np.zeros((1, 3, 3)), np.zeros((1, 3, 3, 1))) == 1
    assert M.Dice()(np.zeros((1, 3, 3)), np.eye(3)[None]) == 0
    assert M.BinaryIoU([1])(np.zeros((1, 3)), np.zeros((1, 3))) == 1


@SETTINGS
@given(st.integers(1, 4), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_dice_of_classes_is_f1_of_pixels(images, classes, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, (images, 5, 4))
    scores = generator.standard_normal((images, 5, 4, classes))
    known = {"labels": np.arange(classes), "zero_division": 1}
    found = scores.argmax(-1)
    each = [sk.f1_score(labels[i].ravel(), found[i].ravel(), average=None, **known) for i in range(images)]
    assert M.Dice()(labels, scores) == pytest.approx(np.mean(each))
    one_hot = np.eye(classes)[labels]
    assert M.Dice(class_ids=[1])(one_hot, scores) == pytest.approx(np.mean(each, axis=0)[1])
    pooled = sk.f1_score(labels.ravel(), found.ravel(), average="macro", **known)
    assert M.Dice(average="pixels")(labels, scores) == pytest.approx(pooled)


@SETTINGS
@given(st.integers(1, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_errors_of_numbers_are_scikit_learns(count, seed, weighted):
    generator = np.random.default_rng(seed)
    truth, found = generator.standard_normal((2, count)).astype(np.float32)
    weights = generator.random(count) + 0.1 if weighted else None
    squared = sk.mean_squared_error(truth, found, sample_weight=weights)
    assert in_batches(M.MeanSquaredError(), truth, found, weights) == pytest.approx(squared)
    assert in_batches(M.RootMeanSquaredError(), truth, found, weights) == pytest.approx(np.sqrt(squared))
    absolute = sk.mean_absolute_error(truth, found, sample_weight=weights)
    assert in_batches(M.MeanAbsoluteError(), truth, found, weights) == pytest.approx(absolute)
    mean = M.Mean()
    mean.update_state(truth, weights)
    assert mean.result() == pytest.approx(np.average(truth.astype(float), weights=weights))


ALL = [
    M.Accuracy, M.BinaryAccuracy, M.Precision, M.Recall, M.F1Score, M.AUC, M.Dice, M.BinaryIoU, M.MeanSquaredError,
    M.MeanAbsoluteError, M.RootMeanSquaredError,
]  # fmt: skip


@pytest.mark.parametrize("make", ALL)
def test_nothing_seen_is_an_error_and_reset_forgets(make):
    metric = make()
    with pytest.raises(ValueError, match="no samples"):
        metric.result()
    metric.update_state(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="no samples"):
        metric.result()
    first = metric([0, 1, 1], [0.0, 1.0, 0.0])
    metric.update_state([1, 0], [0.0, 1.0])
    assert metric.result() != first
    metric.reset_state()
    assert metric([0, 1, 1], [0.0, 1.0, 0.0]) == first


@pytest.mark.parametrize("make", ALL)
def test_state_goes_on_where_it_was(make):
    generator = np.random.default_rng(3)
    truth, scores = generator.integers(0, 2, (2, 6)), generator.random((2, 6)).astype(np.float32)
    whole, first, second = make(), make(), make()
    for metric in (whole, first):
        metric.update_state(truth[0], scores[0])
    second.load_state(first.state())
    for metric in (whole, second):
        metric.update_state(truth[1], scores[1])
    assert second.result() == whole.result()


@pytest.mark.parametrize("make", ALL)
def test_bad_input_is_an_error(make):
    with pytest.raises(ValueError, match="NaN"):
        make()([0, 1], [0.1, np.nan])
    with pytest.raises(ValueError, match="shape"):
        make()(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="sample_weight"):
        make()(np.array([0, 1]), np.array([0.0, 1.0]), [1, 2, 3])
    with pytest.raises(ValueError, match="sample_weight"):
        make()(np.array([0, 1]), np.array([0.0, 1.0]), [1, -2])


@pytest.mark.parametrize("make", [M.BinaryAccuracy, M.Precision, M.Recall, M.F1Score, M.AUC, M.Dice, M.BinaryIoU])
def test_a_mask_of_255_is_an_error(make):
    with pytest.raises(ValueError, match="only 0 and 1, but holds 255"):
        make()(np.array([0, 255], np.uint8), [0.1, 0.9])


def test_a_class_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="class index 3: expected 0 to 2"):
        M.SparseCategoricalAccuracy()([0, 3], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="class index -1: expected 0 to 1"):
        M.MeanIoU(2)([0, -1], [0, 1])
    with pytest.raises(ValueError, match="threshold"):
        M.BinaryAccuracy(threshold=1.0, from_logits=True)
    with pytest.raises(ValueError, match="average"):
        M.F1Score("mean")


def test_one_class_has_no_area():
    assert np.isnan(M.AUC()([1, 1], [0.2, 0.3]))
    for function in (M.roc_auc, M.roc_curve, M.average_precision):
        with pytest.raises(ValueError, match="both classes"):
            function([1, 1], [0.2, 0.3])


def test_configuration_makes_an_equal_metric():
    made = [M.Precision([0.2, 0.4]), M.F1Score("macro"), M.AUC(curve="PR", name="pr"), M.Dice(0.4, True, "pixels", [1]),
            M.BinaryIoU([1], 0.3), M.MeanIoU(3, sparse_y_true=False), M.BinaryAccuracy(threshold=0.3)]  # fmt: skip
    for metric in made:
        again = M.get(serialize(metric))
        assert type(again) is type(metric)
        assert again.get_config() == metric.get_config()


def test_names():
    assert isinstance(M.get("auc"), M.AUC)
    assert M.get("precision", from_logits=True).from_logits
    assert M.get(lambda a, b: np.abs(a - b))(np.ones(2), np.zeros(2)) == 1
    with pytest.raises(ValueError, match="not known"):
        M.get("acuracy")
    with pytest.raises(ValueError, match="num_classes"):
        M.get("MeanIoU")


def test_bootstrap_covers_and_respects_clusters():
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(30), 20)
    values = generator.standard_normal(30)[patients]
    free = M.bootstrap_interval(np.mean, values, resamples=300)
    clustered = M.bootstrap_interval(np.mean, values, clusters=patients, resamples=300)
    assert clustered.clusters == 30
    assert free.clusters == 600
    # 20 equal values a patient: the true standard error is √20 times the free one.
    assert (clustered.high - clustered.low) / (free.high - free.low) == pytest.approx(np.sqrt(20), rel=0.25)
    assert clustered.low < clustered.value < clustered.high
    assert clustered == M.bootstrap_interval(np.mean, values, clusters=patients, resamples=300)
    covered = 0
    for _ in range(60):
        sample = generator.standard_normal(40)
        interval = M.bootstrap_interval(np.mean, sample, resamples=200, level=0.9)
        covered += interval.low <= 0 <= interval.high
    assert 45 <= covered <= 59


@pytest.mark.parametrize(
    "metric",
    [M.BinaryAccuracy(), M.F1Score(), M.Dice(), M.AUC(), M.AUC(20), M.CohenKappa(), M.MeanSquaredError(), M.R2Score()],
    ids=lambda metric: metric.name,
)
def test_an_interval_of_a_metric_is_that_of_its_value(metric):
    generator = np.random.default_rng(1)
    patients = generator.integers(0, 12, 60)
    truth = (generator.random(60) < 0.5).astype(float)
    scores = 0.3 * truth + 0.7 * generator.random(60)
    weights = generator.random(60) + 0.1
    before = metric.get_config()
    interval = M.metric_interval(metric, truth, scores, weights, clusters=patients, resamples=60, seed=3)

    def value(truth, scores, weights):
        return type(metric).from_config(before)(truth, scores, weights)

    expected = M.bootstrap_interval(value, truth, scores, weights, clusters=patients, resamples=60, seed=3)
    for name in ("value", "low", "high"):
        assert getattr(interval, name) == pytest.approx(getattr(expected, name), rel=1e-9)
    assert interval.clusters == len(np.unique(patients))
    assert metric.updates == 0
    assert interval.low < interval.value < interval.high


def test_resamples_of_nothing_that_counts_are_undefined():
    truth, found = np.full((4, 5), 255), np.zeros((4, 5), int)
    truth[:2] = 0
    interval = M.metric_interval(M.MeanIoU(2, ignore_class=255), truth, found, resamples=200)
    assert 0 < interval.undefined < 40  # about 200 / 2⁴
    assert interval.value == 1


def test_an_interval_is_of_one_number():
    with pytest.raises(ValueError, match="gives 3 numbers"):
        M.metric_interval(M.F1Score(), np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match="one length"):
        M.metric_interval(M.Mean(), np.ones(3), np.ones(2))


def test_bootstrap_errors_and_undefined_resamples():
    with pytest.raises(ValueError, match="at least 2"):
        M.bootstrap_interval(np.mean, np.ones(5), clusters=np.zeros(5))
    with pytest.raises(ValueError, match="one length"):
        M.bootstrap_interval(np.mean, np.ones(5), clusters=np.zeros(4))
    truth, scores = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8, 0.3])
    interval = M.bootstrap_interval(lambda t, s: M.AUC()(t, s), truth, scores, resamples=200)
    assert 0 < interval.undefined < 100
    with pytest.raises(ValueError, match="NaN on"):
        M.bootstrap_interval(lambda t: np.nan, truth)


def test_no_warning_is_given():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        M.Precision()([0, 0], [0.1, 0.2])
        M.Recall()([0, 0], [0.1, 0.2])
        M.F1Score()([0, 0], [0.1, 0.2])
        M.AUC()([0, 0], [0.1, 0.2])
