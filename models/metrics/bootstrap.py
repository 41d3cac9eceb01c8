"""Confidence intervals by the bootstrap, over patients (clusters) rather than over pixels or slices.

B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals); for clusters
C. Field and A. Welsh, Bootstrapping clustered data, J. R. Statist. Soc. B 69, 2007.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


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
