"""Batch and group normalisation: bound by memory, so as few passes as there can be, and ReLU on the way.

Batch normalisation is group normalisation of one sample that has all positions, with a group for each channel: both
run through the same bodies. Statistics take one pass over memory: each chunk (see `channels`) is summed, and while it
is in the cache its squared distances from its own mean are; the chunks' means and squares are combined by the formula
of Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", in double precision. So a mean of
10⁴ at a standard deviation of 1 costs no digits.

Samples too small for that, as in layer normalisation, are worked on one by one while they are in the cache.
"""

import math

import numpy as np

from ..interface import twin_of
from ..memory import contiguous, empty, empty_like
from ..reference import normalization as reference
from .channels import Lines, channel_sums
from .launch import Constant, kernel, run, unpack, value
from .mathematics import like
from .simd import fma, load, select, store, vector_of
from .simd import lanes as width_of

SMALL = 4096  # numbers in a sample, up to which it is worked on as a whole
BLOCK = 32  # small samples that share one partial sum for gamma and beta

_REASSOCIATED = {"contract", "reassoc", "nsz"}


# ---- statistics ------------------------------------------------------------------------------------------------------


@kernel
def _chunk_statistics(begin, end, arguments):
    """For each chunk and channel: the mean, and Σ (x − mean)²."""
    lanes, chunk_rows, chunks, positions, channels, x, work, statistics = unpack(arguments)
    for chunk in range(begin, end):
        center, total, squares = 3 * chunk * lanes, (3 * chunk + 1) * lanes, (3 * chunk + 2) * lanes
        for j in range(center, center + 3 * lanes):
            work[j] = 0
        sample, place = chunk // chunks, (chunk % chunks) * chunk_rows
        rows = min(chunk_rows, positions - place)
        at = (sample * positions + place) * channels
        stop = at + rows * channels
        for line in range(at, stop, lanes):
            for j in range(min(lanes, stop - line)):
                work[total + j] += x[line + j]
        for c in range(channels):
            s = 0.0
            for j in range(c, lanes, channels):
                s += work[total + j]
            for j in range(c, lanes, channels):
                work[center + j] = s / rows
                work[total + j] = 0
        for line in range(at, stop, lanes):
            for j in range(min(lanes, stop - line)):
                distance = x[line + j] - work[center + j]
                work[total + j] += distance
                work[squares + j] += distance * distance
        for c in range(channels):  # the center was rounded: what is left of Σ (x − center) corrects it
            s, q = 0.0, 0.0
            for j in range(c, lanes, channels):
                s += work[total + j]
                q += work[squares + j]
            statistics[2 * chunk * channels + c] = work[center + c] + s / rows
            statistics[(2 * chunk + 1) * channels + c] = q - s * s / rows


@kernel
def _combine(begin, end, arguments):
    """Mean and variance of each group of each sample, from its chunks' (Chan, Golub and LeVeque)."""
    chunk_rows, chunks, positions, channels, groups, statistics, mean, variance = unpack(arguments)
    width = channels // groups
    for i in range(begin, end):  # i = sample · groups + group
        first = 2 * (i // groups) * chunks * channels + (i % groups) * width
        total = 0.0
        for chunk in range(chunks):
            rows = min(chunk_rows, positions - chunk * chunk_rows)
            for c in range(first + 2 * chunk * channels, first + 2 * chunk * channels + width):
                total += rows * statistics[c]
        center, squares = total / (positions * width), 0.0
        for chunk in range(chunks):
            rows = min(chunk_rows, positions - chunk * chunk_rows)
            for c in range(first + 2 * chunk * channels, first + 2 * chunk * channels + width):
                distance = statistics[c] - center
                squares += statistics[c + channels] + rows * distance * distance
        mean[i] = center
        variance[i] = squares / (positions * width)


def _statistics(lines: Lines, x: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance, (samples, groups) each."""
    mean, variance = (empty((lines.samples, groups), x.dtype) for _ in range(2))
    work = empty((lines.count, 3, lines.lanes), x.dtype)
    statistics = empty((lines.count, 2, lines.channels), np.float64)
    run(_chunk_statistics, lines.count, lines.grain, *lines.arguments, x, work, statistics)
    numbers = (lines.chunk_rows, lines.chunks, lines.positions, lines.channels, groups)
    run(_combine, mean.size, max(1, 4096 // max(lines.chunks, 1)), *numbers, statistics, mean, variance)
    return mean, variance


# ---- y = (x − center) · scale + shift --------------------------------------------------------------------------------


@kernel
def _normalize(begin, end, arguments):
    relu, lanes, chunk_rows, chunks, positions, channels, known, x, y = unpack(arguments)
    for chunk in range(begin, end):
        sample, place = chunk // chunks, (chunk % chunks) * chunk_rows
        center, scale, shift = 3 * sample * lanes, (3 * sample + 1) * lanes, (3 * sample + 2) * lanes
        at = (sample * positions + place) * channels
        stop = at + min(chunk_rows, positions - place) * channels
        for line in range(at, stop, lanes):
            for j in range(min(lanes, stop - line)):
                v = (x[line + j] - known[center + j]) * known[scale + j] + known[shift + j]
                if value(relu):
                    y[line + j] = like(v, 0.0) if v <= like(v, 0.0) else v  # NaN stays
                else:
                    y[line + j] = v


def _scale(gamma: np.ndarray, variance: np.ndarray, epsilon: float) -> np.ndarray:
    return gamma / np.sqrt(variance + epsilon, dtype=variance.dtype)


def _apply(lines: Lines, x, center, scale, shift, relu: bool) -> np.ndarray:
    y = empty_like(x)
    known = lines.repeated(center, scale, shift)
    run(_normalize, lines.count, lines.grain, Constant(relu), *lines.arguments, known, x, y)
    return y


def _is_relu(activation: str | None) -> bool:
    if activation not in (None, "relu"):
        raise ValueError(f'activation = {activation!r}: expected None or "relu"')
    return activation == "relu"


# ---- the gradient ----------------------------------------------------------------------------------------------------


@kernel
def _gradient_sums(begin, end, arguments):
    """For each chunk and lane: Σ g and Σ g·(x − center), g being dy where ReLU let it through."""
    vector, relu, lanes, chunk_rows, chunks, positions, channels, known, dy, x, sums = unpack(arguments)
    for chunk in range(begin, end):
        total, product = 2 * chunk * lanes, (2 * chunk + 1) * lanes
        for j in range(total, total + 2 * lanes):
            sums[j] = 0
        sample, place = chunk // chunks, (chunk % chunks) * chunk_rows
        center, scale, shift = 3 * sample * lanes, (3 * sample + 1) * lanes, (3 * sample + 2) * lanes
        at = (sample * positions + place) * channels
        stop = at + min(chunk_rows, positions - place) * channels
        for line in range(at, stop, lanes):
            length = min(lanes, stop - line)
            whole = length - length % width_of(vector)
            # Explicit vectors: with two results LLVM would need too many tests for overlap to vectorise the loop. And
            # the choice is made after the sums: made at once it becomes a masked load, which is slow on some
            # processors.
            for j in range(0, whole, width_of(vector)):
                g, distance = load(vector, dy, line + j), load(vector, x, line + j) - load(vector, known, center + j)
                before, product_before = load(vector, sums, total + j), load(vector, sums, product + j)
                after, product_after = before + g, fma(g, distance, product_before)
                if value(relu):
                    through = fma(distance, load(vector, known, scale + j), load(vector, known, shift + j)) > 0
                    after = select(through, after, before)
                    product_after = select(through, product_after, product_before)
                store(sums, total + j, after)
                store(sums, product + j, product_after)
            for j in range(whole, length):
                distance = x[line + j] - known[center + j]
                if value(relu) == 0 or distance * known[scale + j] + known[shift + j] > like(distance, 0.0):
                    sums[total + j] += dy[line + j]
                    sums[product + j] += dy[line + j] * distance


@kernel
def _gradient(begin, end, arguments):
    """dx = g·scale + (x − center)·tilt + offset."""
    relu, lanes, chunk_rows, chunks, positions, channels, known, dy, x, dx = unpack(arguments)
    for chunk in range(begin, end):
        sample, place = chunk // chunks, (chunk % chunks) * chunk_rows
        center, scale, shift = 5 * sample * lanes, (5 * sample + 1) * lanes, (5 * sample + 2) * lanes
        tilt, offset = (5 * sample + 3) * lanes, (5 * sample + 4) * lanes
        at = (sample * positions + place) * channels
        stop = at + min(chunk_rows, positions - place) * channels
        for line in range(at, stop, lanes):
            for j in range(min(lanes, stop - line)):
                distance = x[line + j] - known[center + j]
                cut = distance * known[tilt + j] + known[offset + j]
                whole = dy[line + j] * known[scale + j] + cut
                if value(relu):
                    dx[line + j] = whole if distance * known[scale + j] + known[shift + j] > like(cut, 0.0) else cut
                else:
                    dx[line + j] = whole


def _group_gradient(
    lines: Lines, dy, x, gamma, beta, mean, variance, epsilon: float, relu: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx, dgamma, dbeta for mean and variance (samples, groups)."""
    if not x.size:
        return empty_like(x), np.zeros_like(gamma), np.zeros_like(gamma)
    groups = mean.shape[1]
    width = lines.channels // groups

    def spread(of_group: np.ndarray) -> np.ndarray:
        return np.repeat(of_group, width, axis=1)

    def group_mean(of_channel: np.ndarray) -> np.ndarray:
        total = of_channel.reshape(lines.samples, groups, width).sum(-1)
        return spread(total) / (lines.positions * width)

    center, scale = spread(mean), _scale(gamma, spread(variance), epsilon)
    shift = np.broadcast_to(beta, center.shape)
    sums = empty((lines.count, 2, lines.lanes), x.dtype)
    of_lines, count, grain = (Constant(relu), *lines.arguments), lines.count, lines.grain
    run(_gradient_sums, count, grain, vector_of(x.dtype), *of_lines, lines.repeated(center, scale, shift), dy, x, sums)
    total, product = np.moveaxis(channel_sums(lines, sums), 1, 0)
    inverse = 1 / np.sqrt(spread(variance).astype(np.float64) + epsilon)
    tilt = -(inverse**3) * group_mean(gamma * product)
    offset = -inverse * group_mean(gamma * total)
    dx = empty_like(x)
    run(_gradient, count, grain, *of_lines, lines.repeated(center, scale, shift, tilt, offset), dy, x, dx)
    return dx, (product * inverse).sum(0).astype(x.dtype), total.sum(0).astype(x.dtype)


# ---- batch normalisation ---------------------------------------------------------------------------------------------


def _one_sample(x: np.ndarray) -> Lines:
    return Lines(1, math.prod(x.shape[:-1]), x.shape[-1], x.dtype)


@twin_of(reference.batch_norm)
def batch_norm(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float, activation: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, lines, relu = contiguous(x), _one_sample(x), _is_relu(activation)
    mean, variance = _statistics(lines, x, lines.channels)
    y = _apply(lines, x, mean, _scale(gamma, variance, epsilon), beta[None], relu)
    return y, mean[0], variance[0]


@twin_of(reference.batch_norm_gradient)
def batch_norm_gradient(
    dy: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
    activation: str | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dy, x, relu = contiguous(dy), contiguous(x), _is_relu(activation)
    return _group_gradient(_one_sample(x), dy, x, gamma, beta, mean[None], variance[None], epsilon, relu)


@twin_of(reference.batch_norm_inference)
def batch_norm_inference(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
    activation: str | None = None,
) -> np.ndarray:
    x, relu = contiguous(x), _is_relu(activation)
    return _apply(_one_sample(x), x, mean[None], _scale(gamma, variance[None], epsilon), beta[None], relu)


# ---- group normalisation ---------------------------------------------------------------------------------------------


@kernel(fastmath=_REASSOCIATED)
def _small_groups(begin, end, arguments):
    """Whole samples, each read once from memory: statistics, then y."""
    positions, channels, groups, x, gamma, beta, epsilon, y, mean, variance = unpack(arguments)
    width = channels // groups
    # The numbers of a group are `runs` runs of `length` numbers, `channels` apart.
    runs, length = (1, positions * channels) if groups == 1 else (positions, width)
    for i in range(begin * groups, end * groups):  # i = sample · groups + group
        group = i % groups
        first, of_group = (i // groups) * positions * channels + group * width, group * width
        total = like(x[0], 0.0)
        for run_start in range(first, first + runs * channels, channels):
            for j in range(run_start, run_start + length):
                total += x[j]
        center = like(total, total / (runs * length))
        rest, squares = like(total, 0.0), like(total, 0.0)
        for run_start in range(first, first + runs * channels, channels):
            for j in range(run_start, run_start + length):
                distance = x[j] - center
                rest += distance
                squares += distance * distance
        center = like(total, center + rest / (runs * length))
        spread = like(total, (squares - rest * rest / (runs * length)) / (runs * length))
        mean[i] = center
        variance[i] = spread
        inverse = like(total, 1.0) / like(total, math.sqrt(spread + epsilon))
        for run_start in range(first, first + positions * channels, channels):
            for c in range(width):
                y[run_start + c] = (x[run_start + c] - center) * (gamma[of_group + c] * inverse) + beta[of_group + c]


@kernel(fastmath=_REASSOCIATED)
def _small_groups_gradient(begin, end, arguments):
    """Blocks of whole samples: dx, and for each block the sums for gamma and beta."""
    samples, positions, channels, groups, dy, x, gamma, mean, variance, epsilon, dx, sums = unpack(arguments)
    width = channels // groups
    count = positions * width
    for block in range(begin, end):
        dgamma, dbeta = 2 * block * channels, (2 * block + 1) * channels
        for c in range(dgamma, dgamma + 2 * channels):
            sums[c] = 0
        for i in range(block * BLOCK * groups, min(samples, (block + 1) * BLOCK) * groups):
            of_group = (i % groups) * width
            first = (i // groups) * positions * channels + of_group
            center = mean[i]
            inverse = like(center, 1.0) / like(center, math.sqrt(variance[i] + epsilon))
            total, product = like(center, 0.0), like(center, 0.0)
            for run_start in range(first, first + positions * channels, channels):
                for c in range(width):
                    h = dy[run_start + c] * gamma[of_group + c]
                    total += h
                    product += h * ((x[run_start + c] - center) * inverse)
            total, product = like(center, total / count), like(center, product / count)
            for run_start in range(first, first + positions * channels, channels):
                for c in range(width):
                    normalized = (x[run_start + c] - center) * inverse
                    h = dy[run_start + c] * gamma[of_group + c]
                    dx[run_start + c] = ((h - total) - normalized * product) * inverse
                    sums[dgamma + of_group + c] += dy[run_start + c] * normalized
                    sums[dbeta + of_group + c] += dy[run_start + c]


def _samples(x: np.ndarray) -> Lines:
    return Lines(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1], x.dtype)


def _is_small(lines: Lines) -> bool:
    return 0 < lines.positions * lines.channels <= SMALL


@twin_of(reference.group_norm)
def group_norm(
    x: np.ndarray, groups: int, gamma: np.ndarray, beta: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, lines = contiguous(x), _samples(x)
    if _is_small(lines):
        y, (mean, variance) = empty_like(x), (empty((len(x), groups), x.dtype) for _ in range(2))
        numbers, grain = (lines.positions, lines.channels, groups), max(1, 8192 // (lines.positions * lines.channels))
        known = (contiguous(gamma), contiguous(beta), x.dtype.type(epsilon))
        run(_small_groups, len(x), grain, *numbers, x, *known, y, mean, variance)
        return y, mean, variance
    width = lines.channels // groups
    mean, variance = _statistics(lines, x, groups)
    scale = _scale(gamma, np.repeat(variance, width, axis=1), epsilon)
    y = _apply(lines, x, np.repeat(mean, width, axis=1), scale, np.broadcast_to(beta, scale.shape), False)
    return y, mean, variance


@twin_of(reference.group_norm_gradient)
def group_norm_gradient(
    dy: np.ndarray,
    x: np.ndarray,
    groups: int,
    gamma: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dy, x, lines = contiguous(dy), contiguous(x), _samples(x)
    if not _is_small(lines):
        return _group_gradient(lines, dy, x, gamma, np.zeros_like(gamma), mean, variance, epsilon, False)
    dx, blocks = empty_like(x), -(-len(x) // BLOCK)
    sums = empty((blocks, 2, lines.channels), x.dtype)
    numbers = (len(x), lines.positions, lines.channels, groups)
    known = (contiguous(gamma), contiguous(mean), contiguous(variance), x.dtype.type(epsilon))
    grain = max(1, 8192 // (BLOCK * lines.positions * lines.channels))
    run(_small_groups_gradient, blocks, grain, *numbers, dy, x, *known, dx, sums)
    dgamma, dbeta = sums.sum(0, dtype=np.float64).astype(x.dtype)
    return dx, dgamma, dbeta
