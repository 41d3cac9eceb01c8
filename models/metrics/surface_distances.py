"""How far apart the surfaces of two masks are, in millimetres: Hausdorff's distance and the average.

A mask's surface are its pixels (voxels) of which a neighbour across an edge (a face) is outside it; beyond the image
all is outside. Distances are those between the centres of pixels, exact, for any spacing.

The definitions are those of L. Maier-Hein et al., Metrics reloaded: recommendations for image analysis validation,
2024, and of MONAI.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def hausdorff_distance(
    y_true: ArrayLike, y_pred: ArrayLike, spacing: float | Sequence[float] = 1.0, percentile: float = 100.0
) -> float:
    """max(P(d(s, S')), P(d(s', S))) of the surfaces S, S' of two masks of one shape (*spatial), in the spacing's unit.

    d(s, S') are the distances of the points of one surface to the nearest of the other, P their percentile: 100, the
    maximum, is Hausdorff's distance; 95 the robust one ("HD95"). (It is the larger of the two percentiles; that of all
    distances together, which some use, is smaller where the surfaces differ in size.)

    Two empty masks: 0. One empty: infinite. spacing: a pixel's size, one number or one for each axis, in mm say.
    Raises ValueError for masks of other values than 0 and 1, different shapes, and a percentile outside 0 … 100.
    """
    if not 0 <= percentile <= 100:
        raise ValueError(f"hausdorff_distance: percentile = {percentile!r}: expected 0 to 100")
    there, back = surface_distances(y_true, y_pred, spacing)
    if not there.size or not back.size:
        return 0.0 if there.size == back.size else np.inf
    return float(max(np.percentile(there, percentile), np.percentile(back, percentile)))


def average_surface_distance(y_true: ArrayLike, y_pred: ArrayLike, spacing: float | Sequence[float] = 1.0) -> float:
    """(Σ d(s, S') + Σ d(s', S)) / (|S| + |S'|): the average symmetric surface distance (ASSD).

    Arguments, empty masks and errors as in `hausdorff_distance`.
    """
    there, back = surface_distances(y_true, y_pred, spacing)
    if not there.size or not back.size:
        return 0.0 if there.size == back.size else np.inf
    return float((there.sum() + back.sum()) / (there.size + back.size))


def surface_distances(
    y_true: ArrayLike, y_pred: ArrayLike, spacing: float | Sequence[float] = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each point of the first mask's surface to the second's, and the other way round; a distance to
    an empty mask is infinite. Arguments and errors as in `hausdorff_distance`."""
    first, second = _mask("y_true", y_true), _mask("y_pred", y_pred)
    if first.shape != second.shape or not first.ndim:
        raise ValueError(f"surface_distances: masks of {first.shape} and {second.shape}: expected one shape")
    steps = checked_spacing("surface_distances", spacing, first.ndim)
    where = np.nonzero(first | second)
    box = tuple([slice(int(axis.min()), int(axis.max()) + 1) for axis in where]) if where[0].size else ()
    # Cut down to both masks: what is outside the box is outside them as well.
    surfaces = [surface(mask[box]) for mask in (first, second)]
    return tuple(  # type: ignore[return-value]
        np.sqrt(squared_distances(other, steps)[own]) for own, other in (surfaces, surfaces[::-1])
    )


def surface(mask: np.ndarray) -> np.ndarray:
    """Which points of a mask (bool) have a neighbour, one step along an axis, outside it or outside the image."""
    inside = mask.copy()
    for axis in range(mask.ndim):
        kept, whole = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        kept[1:] &= whole[:-1]
        kept[:-1] &= whole[1:]
        kept[:1] = kept[-1:] = False
    return mask & ~inside


def squared_distances(targets: np.ndarray, steps: Sequence[float]) -> np.ndarray:
    """The squared distance of every point to the nearest target (bool); infinite where there is none.

    Exact, one axis after the other: min over y' of (distance along the axes before)² + (step·(y − y'))² (Saito and
    Toriwaki, New algorithms for Euclidean distance transformation, 1994). Differences y − y' are tried while a point
    could still gain by them, so that masks near one another, as they mostly are, take a few.
    """
    longest = int(np.argmax(targets.shape))
    squares = (_along_lines(targets, longest) * steps[longest]) ** 2
    for axis in [axis for axis in range(targets.ndim) if axis != longest]:
        lines = np.moveaxis(squares, axis, 0)
        nearest = lines.copy()
        for apart in range(1, len(lines)):
            reach = (apart * steps[axis]) ** 2
            if not reach < nearest.max():
                break
            np.minimum(nearest[apart:], lines[:-apart] + reach, out=nearest[apart:])
            np.minimum(nearest[:-apart], lines[apart:] + reach, out=nearest[:-apart])
        squares = np.moveaxis(nearest, 0, axis)
    return squares


def _along_lines(targets: np.ndarray, axis: int) -> np.ndarray:
    """How many steps along one axis the nearest target is away; infinite on lines without one."""
    lines = np.moveaxis(targets, axis, 0)
    place = np.arange(len(lines), dtype=np.float64).reshape(-1, *(1,) * (targets.ndim - 1))
    before = np.maximum.accumulate(np.where(lines, place, -np.inf), axis=0)
    after = np.minimum.accumulate(np.where(lines, place, np.inf)[::-1], axis=0)[::-1]
    return np.moveaxis(np.minimum(place - before, after - place), 0, axis)


def checked_spacing(owner: str, spacing: float | Sequence[float], axes: int) -> tuple[float, ...]:
    """A step for each axis. Raises ValueError for another number of them, and for steps that are not positive."""
    steps = np.asarray(spacing, np.float64)
    if steps.ndim > 1 or (steps.ndim == 1 and steps.size != axes):
        raise ValueError(f"{owner}: spacing = {spacing!r}: expected a number, or one for each of {axes} spatial axes")
    if not (np.isfinite(steps) & (steps > 0)).all():
        raise ValueError(f"{owner}: spacing = {spacing!r}: expected positive numbers")
    return tuple(np.broadcast_to(steps, axes).tolist())


def _mask(argument: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values.numpy() if hasattr(values, "numpy") else values)
    mask = array == 1
    if array.dtype != bool and not (mask | (array == 0)).all():
        raise ValueError(f"surface_distances: {argument} must hold only 0 and 1")
    return mask
