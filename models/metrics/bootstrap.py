"""Confidence intervals by the bootstrap, over patients (clusters) rather than over pixels or slices.

B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals); for clusters
C. Field and A. Welsh, Bootstrapping clustered data, J. R. Statist. Soc. B 69, 2007.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base import Metric, to_array


@dataclass(frozen=True)
class Interval:
    """A statistic and its confidence interval."""

    value: float
    low: float
    high: float
    level: float
    clusters: int
    undefined: int
    """Resamples on which the statistic was NaN (an AUC where one class was not drawn); they are left out of the
    interval, and counted here."""

    def __str__(self) -> str:
        return f"{self.value:.3f} ({100 * self.level:g}% interval {self.low:.3f} to {self.high:.3f})"


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The percentile bootstrap interval of `statistic(*arrays)`.

    The arrays have one equal leading axis of samples. `clusters`, one label a sample (the patient), says what belongs
    together: whole clusters are drawn with replacement, since slices of one patient are no independent samples; None
    draws single samples. The same seed gives the same interval.

    Raises ValueError for arrays of different lengths, fewer than two clusters, a `level` outside (0, 1), or a
    statistic that is NaN on more than half of the resamples.
    """
    data = [np.asarray(array) for array in arrays]
    members = _members(data, clusters)
    if not 0 < level < 1:
        raise ValueError(f"bootstrap_interval: level {level!r} must lie in (0, 1)")
    if resamples < 2:
        raise ValueError(f"bootstrap_interval: resamples {resamples!r} must be at least 2")
    generator = np.random.default_rng(seed)
    values = np.empty(resamples)
    for i in range(resamples):
        drawn = np.concatenate([members[j] for j in generator.integers(len(members), size=len(members))])
        values[i] = statistic(*(array[drawn] for array in data))
    undefined = int(np.isnan(values).sum())
    if undefined > resamples // 2:
        raise ValueError(f"bootstrap_interval: the statistic is NaN on {undefined} of {resamples} resamples")
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(*data)), float(low), float(high), level, len(members), undefined)


def metric_interval(
    metric: Metric,
    y_true: Any,
    y_pred: Any,
    sample_weight: Any = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The percentile bootstrap interval of a metric over samples (N, …): `bootstrap_interval` of its value.

    The metric is not changed. Where its totals add up, as counts and sums do, each cluster is looked at once, and
    resamples are sums of their totals: distances between surfaces are not computed a thousand times. Others, such as an
    exact AUC, are computed on each resample.

    Raises ValueError as `bootstrap_interval` does, and for a metric whose result is not one number.
    """
    data = [to_array(y_true), to_array(y_pred)]
    data += [] if sample_weight is None else [to_array(sample_weight)]
    options = {"level": level, "resamples": resamples, "seed": seed}
    if not metric.additive:

        def over_samples(*arrays: np.ndarray) -> float:
            return _one_number(metric, _anew(metric, arrays).result())

        return bootstrap_interval(over_samples, *data, clusters=clusters, **options)  # type: ignore[arg-type]

    parts = [_anew(metric, [array[rows] for array in data]) for rows in _members(data, clusters)]
    names = parts[0].totals
    totals = {name: np.array([np.asarray(part.totals[name], np.float64) for part in parts]) for name in names}
    updates = np.array([part.updates for part in parts])

    def over_clusters(drawn: np.ndarray) -> float:
        times = np.bincount(drawn, minlength=len(parts))
        whole = copy.copy(metric)
        whole.updates = int(times @ updates)
        whole.totals = {name: np.tensordot(times, each, 1) for name, each in totals.items()}
        return _one_number(metric, whole.result()) if whole.updates else np.nan

    return bootstrap_interval(over_clusters, np.arange(len(parts)), **options)  # type: ignore[arg-type]


def _anew(metric: Metric, arrays: Any) -> Metric:
    """A metric of the same kind that has seen these samples alone."""
    fresh = copy.deepcopy(metric)
    fresh.reset_state()
    fresh.update_state(*arrays)
    return fresh


def _one_number(metric: Metric, value: Any) -> float:
    if np.ndim(value):
        raise metric.fail(f"gives {np.size(value)} numbers: an interval is of one; choose an average or a class")
    return float(value)


def _members(data: list[np.ndarray], clusters: ArrayLike | None) -> list[np.ndarray]:
    """The sample indices of each cluster."""
    lengths = {len(array) for array in data} | ({len(np.asarray(clusters))} if clusters is not None else set())
    if len(lengths) != 1:
        raise ValueError(f"bootstrap_interval: the arrays (and clusters) must have one length, not {sorted(lengths)}")
    count = lengths.pop()
    if clusters is None:
        members = list(np.arange(count).reshape(-1, 1))
    else:
        _, index = np.unique(np.asarray(clusters), return_inverse=True)
        order = np.argsort(index, kind="stable")
        members = np.split(order, np.cumsum(np.bincount(index))[:-1])
    if len(members) < 2:
        raise ValueError(f"bootstrap_interval: {len(members)} cluster(s) given; at least 2 are needed")
    return members
