"""Losses, each fused with its softmax, sigmoid or clipping, and their gradients: one pass over the scores."""

import math

import numpy as np

from ..interface import twin_of
from ..memory import contiguous, empty, empty_like, zeros
from ..reference import losses as reference
from .channels import Lines, channel_sums
from .launch import kernel, run, scratch, unpack
from .mathematics import absolute, exp, function, like, log, log1p, log1p_unit, sigmoid
from .rows import (
    BLOCK,
    TILE,
    block,
    finish,
    grain,
    is_narrow,
    max_of_wide,
    partition,
    reduction,
    rows_at_once,
    shape_argument,
    softmax_of_narrow,
    sum_of,
    sum_of_exp,
)
from .simd import vector_of

GRAIN = 16384  # elements that are worth a thread


# ---- cross-entropy of a class index ----------------------------------------------------------------------------------


@kernel
def _sparse_cross_entropy(begin, end, arguments):
    vector, shape, width, logits, labels, loss = unpack(arguments)
    room, m, total = scratch(logits, TILE), scratch(logits, BLOCK), scratch(logits, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        tile, at = block(vector, shape, logits, first, rows, width, room)
        partition(vector, is_narrow(shape), tile, at, rows, width, m, total)
        for i in range(rows):
            total[i] = log(total[i])
        for i in range(rows):
            label = labels[first + i]
            known = (label >= 0) & (label < width)
            chosen = logits[(first + i) * width + label] if known else like(m[0], math.nan)
            loss[first + i] = total[i] - (chosen - m[i])


@kernel
def _sparse_cross_entropy_gradient(begin, end, arguments):
    vector, shape, width, dloss, logits, labels, dlogits = unpack(arguments)
    room, m, total = scratch(logits, TILE), scratch(logits, BLOCK), scratch(logits, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        _, at = block(vector, shape, logits, first, rows, width, room)
        if is_narrow(shape):
            softmax_of_narrow(room, rows, width, m, total)
            for i in range(rows):
                label = labels[first + i]
                if (label >= 0) & (label < width):
                    room[label * BLOCK + i] -= like(m[0], 1.0)
            for c in range(width):
                for i in range(rows):
                    room[c * BLOCK + i] *= dloss[first + i]
            finish(vector, shape, room, dlogits, first, rows, width)
        else:
            largest, label = max_of_wide(vector, logits, at, width), labels[first]
            share = like(largest, 1.0) / sum_of_exp(logits, at, width, largest)
            for j in range(at, at + width):
                dlogits[j] = dloss[first] * (exp(logits[j] - largest) * share)
            if (label >= 0) & (label < width):
                chosen = exp(logits[at + label] - largest) * share
                dlogits[at + label] = dloss[first] * (chosen - like(largest, 1.0))


@twin_of(reference.sparse_cross_entropy)
def sparse_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits, labels = contiguous(logits), _labels(labels)
    rows, width = logits.shape
    loss = empty(rows, logits.dtype)
    run(_sparse_cross_entropy, rows, grain(width), *_row_arguments(logits), logits, labels, loss)
    return loss


@twin_of(reference.sparse_cross_entropy_gradient)
def sparse_cross_entropy_gradient(dloss: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    dloss, logits, labels = contiguous(dloss), contiguous(logits), _labels(labels)
    rows, width = logits.shape
    dlogits = empty_like(logits)
    arguments = (dloss, logits, labels, dlogits)
    run(_sparse_cross_entropy_gradient, rows, grain(width), *_row_arguments(logits), *arguments)
    return dlogits


def _row_arguments(x: np.ndarray) -> tuple:
    return vector_of(x.dtype), shape_argument(x.shape[-1]), x.shape[-1]


def _labels(labels: np.ndarray) -> np.ndarray:
    return contiguous(labels.astype(np.int64, copy=False))


# ---- cross-entropy of target probabilities ---------------------------------------------------------------------------


@function
def cross_term(target, log_probability):
    """−t·log p, with 0·log 0 = 0."""
    return like(target, 0.0) if target == like(target, 0.0) else -target * log_probability


@reduction
def sum_of_cross_terms(logits, targets, at, width, m, log_total):
    total = like(m, 0.0)
    for j in range(at, at + width):
        total += cross_term(targets[j], (logits[j] - m) - log_total)
    return total


@kernel
def _cross_entropy(begin, end, arguments):
    vector, shape, width, logits, targets, loss = unpack(arguments)
    room, targets_room = scratch(logits, TILE), scratch(logits, TILE)
    m, total, result = scratch(logits, BLOCK), scratch(logits, BLOCK), scratch(logits, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        tile, at = block(vector, shape, logits, first, rows, width, room)
        block(vector, shape, targets, first, rows, width, targets_room)
        partition(vector, is_narrow(shape), tile, at, rows, width, m, total)
        for i in range(rows):
            total[i] = log(total[i])
        if is_narrow(shape):
            for i in range(rows):
                result[i] = 0
            for c in range(width):
                for i in range(rows):
                    j = c * BLOCK + i
                    result[i] += cross_term(targets_room[j], (room[j] - m[i]) - total[i])
            for i in range(rows):
                loss[first + i] = result[i]
        else:
            loss[first] = sum_of_cross_terms(logits, targets, at, width, m[0], total[0])


@kernel
def _cross_entropy_gradient(begin, end, arguments):
    vector, shape, width, dloss, logits, targets, dlogits = unpack(arguments)
    room, targets_room = scratch(logits, TILE), scratch(logits, TILE)
    m, total = scratch(logits, BLOCK), scratch(logits, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        _, at = block(vector, shape, logits, first, rows, width, room)
        block(vector, shape, targets, first, rows, width, targets_room)
        if is_narrow(shape):
            softmax_of_narrow(room, rows, width, m, total)
            for i in range(rows):
                total[i] = 0
            for c in range(width):
                for i in range(rows):
                    total[i] += targets_room[c * BLOCK + i]
            for c in range(width):
                for i in range(rows):
                    j = c * BLOCK + i
                    room[j] = dloss[first + i] * (room[j] * total[i] - targets_room[j])
            finish(vector, shape, room, dlogits, first, rows, width)
        else:
            largest = max_of_wide(vector, logits, at, width)
            share = sum_of(targets, at, width) / sum_of_exp(logits, at, width, largest)
            for j in range(at, at + width):
                dlogits[j] = dloss[first] * (exp(logits[j] - largest) * share - targets[j])


@twin_of(reference.cross_entropy)
def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    logits, targets = contiguous(logits), contiguous(targets)
    rows, width = logits.shape
    loss = empty(rows, logits.dtype)
    run(_cross_entropy, rows, grain(width), *_row_arguments(logits), logits, targets, loss)
    return loss


@twin_of(reference.cross_entropy_gradient)
def cross_entropy_gradient(dloss: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    dloss, logits, targets = contiguous(dloss), contiguous(logits), contiguous(targets)
    rows, width = logits.shape
    dlogits = empty_like(logits)
    run(_cross_entropy_gradient, rows, grain(width), *_row_arguments(logits), dloss, logits, targets, dlogits)
    return dlogits


# ---- elementwise losses ----------------------------------------------------------------------------------------------


@kernel
def _binary_cross_entropy(begin, end, arguments):
    logits, targets, loss = unpack(arguments)
    for i in range(begin, end):
        z = logits[i]
        positive = like(z, 0.0) if z < like(z, 0.0) else z
        loss[i] = (positive - z * targets[i]) + log1p_unit(exp(-absolute(z)))


@kernel
def _binary_cross_entropy_gradient(begin, end, arguments):
    dloss, logits, targets, dlogits = unpack(arguments)
    for i in range(begin, end):
        dlogits[i] = dloss[i] * (sigmoid(logits[i]) - targets[i])


@kernel
def _squared_error(begin, end, arguments):
    prediction, target, loss = unpack(arguments)
    for i in range(begin, end):
        difference = prediction[i] - target[i]
        loss[i] = difference * difference


@kernel
def _squared_error_gradient(begin, end, arguments):
    dloss, prediction, target, dprediction = unpack(arguments)
    for i in range(begin, end):
        difference = prediction[i] - target[i]
        dprediction[i] = dloss[i] * (difference + difference)


def _elementwise(body, *arrays_and_numbers) -> np.ndarray:
    """Runs an elementwise body on arrays of one shape, then numbers, then the result."""
    arguments = [contiguous(a) if isinstance(a, np.ndarray) else a for a in arrays_and_numbers]
    result = empty_like(arguments[0])
    run(body, result.size, GRAIN, *arguments, result)
    return result


@twin_of(reference.binary_cross_entropy)
def binary_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return _elementwise(_binary_cross_entropy, logits, targets)


@twin_of(reference.binary_cross_entropy_gradient)
def binary_cross_entropy_gradient(dloss: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return _elementwise(_binary_cross_entropy_gradient, dloss, logits, targets)


@twin_of(reference.squared_error)
def squared_error(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    return _elementwise(_squared_error, prediction, target)


@twin_of(reference.squared_error_gradient)
def squared_error_gradient(dloss: np.ndarray, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    return _elementwise(_squared_error_gradient, dloss, prediction, target)


# ---- from probabilities ----------------------------------------------------------------------------------------------


@function
def clip(p, low, high):
    q = low if p < low else p  # NaN stays
    return high if q > high else q


def _bounds(p: np.ndarray, epsilon: float) -> tuple:
    """ε and 1 − ε in the type of p."""
    return p.dtype.type(epsilon), p.dtype.type(1 - epsilon)


@kernel
def _sparse_from_probabilities(begin, end, arguments):
    width, p, labels, low, high, loss = unpack(arguments)
    for i in range(begin, end):
        label = labels[i]
        known = (label >= 0) & (label < width)
        loss[i] = -log(clip(p[i * width + label] if known else like(low, math.nan), low, high))


@kernel
def _sparse_from_probabilities_gradient(begin, end, arguments):
    width, dloss, p, labels, low, high, dp = unpack(arguments)
    for i in range(begin, end):
        label = labels[i]
        if (label >= 0) & (label < width):
            chosen = p[i * width + label]
            inside = (chosen >= low) & (chosen <= high)
            dp[i * width + label] = -dloss[i] / chosen if inside else like(low, 0.0)


@reduction
def sum_of_log_terms(p, targets, at, width, low, high):
    total = like(low, 0.0)
    for j in range(at, at + width):
        total -= targets[j] * log(clip(p[j], low, high))
    return total


@kernel
def _from_probabilities(begin, end, arguments):
    vector, shape, width, p, targets, low, high, loss = unpack(arguments)
    room, targets_room, result = scratch(p, TILE), scratch(p, TILE), scratch(p, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        block(vector, shape, targets, first, rows, width, targets_room)
        _, at = block(vector, shape, p, first, rows, width, room)
        if is_narrow(shape):
            for i in range(rows):
                result[i] = 0
            for c in range(width):
                for i in range(rows):
                    result[i] -= targets_room[c * BLOCK + i] * log(clip(room[c * BLOCK + i], low, high))
            for i in range(rows):
                loss[first + i] = result[i]
        else:
            loss[first] = sum_of_log_terms(p, targets, at, width, low, high)


@kernel
def _from_probabilities_gradient(begin, end, arguments):
    width, dloss, p, targets, low, high, dp = unpack(arguments)
    for i in range(begin, end):
        for j in range(i * width, (i + 1) * width):
            inside = (p[j] >= low) & (p[j] <= high)
            slope = dloss[i] * targets[j] / clip(p[j], low, high)
            dp[j] = -slope if inside else like(low, 0.0)


@kernel
def _binary_from_probabilities(begin, end, arguments):
    p, targets, low, high, loss = unpack(arguments)
    for i in range(begin, end):
        q, t = clip(p[i], low, high), targets[i]
        loss[i] = -t * log(q) - (like(t, 1.0) - t) * log1p(-q)


@kernel
def _binary_from_probabilities_gradient(begin, end, arguments):
    dloss, p, targets, low, high, dp = unpack(arguments)
    for i in range(begin, end):
        q, t = clip(p[i], low, high), targets[i]
        slope = dloss[i] * ((like(t, 1.0) - t) / (like(t, 1.0) - q) - t / q)
        dp[i] = slope if (p[i] >= low) & (p[i] <= high) else like(t, 0.0)


@twin_of(reference.sparse_cross_entropy_from_probabilities)
def sparse_cross_entropy_from_probabilities(p: np.ndarray, labels: np.ndarray, epsilon: float) -> np.ndarray:
    p, labels = contiguous(p), _labels(labels)
    loss = empty(len(p), p.dtype)
    run(_sparse_from_probabilities, len(p), GRAIN, p.shape[1], p, labels, *_bounds(p, epsilon), loss)
    return loss


@twin_of(reference.sparse_cross_entropy_from_probabilities_gradient)
def sparse_cross_entropy_from_probabilities_gradient(
    dloss: np.ndarray, p: np.ndarray, labels: np.ndarray, epsilon: float
) -> np.ndarray:
    dloss, p, labels = contiguous(dloss), contiguous(p), _labels(labels)
    dp = zeros(p.shape, p.dtype)
    arguments = (p.shape[1], dloss, p, labels, *_bounds(p, epsilon), dp)
    run(_sparse_from_probabilities_gradient, len(p), GRAIN, *arguments)
    return dp


@twin_of(reference.cross_entropy_from_probabilities)
def cross_entropy_from_probabilities(p: np.ndarray, targets: np.ndarray, epsilon: float) -> np.ndarray:
    p, targets = contiguous(p), contiguous(targets)
    rows, width = p.shape
    loss = empty(rows, p.dtype)
    run(_from_probabilities, rows, grain(width), *_row_arguments(p), p, targets, *_bounds(p, epsilon), loss)
    return loss


@twin_of(reference.cross_entropy_from_probabilities_gradient)
def cross_entropy_from_probabilities_gradient(
    dloss: np.ndarray, p: np.ndarray, targets: np.ndarray, epsilon: float
) -> np.ndarray:
    dloss, p, targets = contiguous(dloss), contiguous(p), contiguous(targets)
    rows, width = p.shape
    dp = empty_like(p)
    run(_from_probabilities_gradient, rows, grain(width), width, dloss, p, targets, *_bounds(p, epsilon), dp)
    return dp


@twin_of(reference.binary_cross_entropy_from_probabilities)
def binary_cross_entropy_from_probabilities(p: np.ndarray, targets: np.ndarray, epsilon: float) -> np.ndarray:
    return _elementwise(_binary_from_probabilities, p, targets, *_bounds(p, epsilon))


@twin_of(reference.binary_cross_entropy_from_probabilities_gradient)
def binary_cross_entropy_from_probabilities_gradient(
    dloss: np.ndarray, p: np.ndarray, targets: np.ndarray, epsilon: float
) -> np.ndarray:
    return _elementwise(_binary_from_probabilities_gradient, dloss, p, targets, *_bounds(p, epsilon))


# ---- Dice ------------------------------------------------------------------------------------------------------------


@kernel
def _dice_sums(begin, end, arguments):
    """For each chunk and lane: Σ p·t, Σ p, Σ t."""
    lanes, chunk_rows, chunks, positions, channels, p, t, sums = unpack(arguments)
    for chunk in range(begin, end):
        first = chunk * 3 * lanes
        for j in range(first, first + 3 * lanes):
            sums[j] = 0
        sample, place = chunk // chunks, (chunk % chunks) * chunk_rows
        at = (sample * positions + place) * channels
        stop = at + min(chunk_rows, positions - place) * channels
        for line in range(at, stop, lanes):
            length = min(lanes, stop - line)
            # Three loops: with three results LLVM would need too many tests for overlap, and not vectorise.
            for j in range(length):
                sums[first + j] += p[line + j] * t[line + j]
            for j in range(length):
                sums[first + lanes + j] += p[line + j]
            for j in range(length):
                sums[first + 2 * lanes + j] += t[line + j]


@kernel
def _dice_gradient(begin, end, arguments):
    lanes, chunk_rows, chunks, positions, channels, known, t, dp = unpack(arguments)
    for chunk in range(begin, end):
        sample, place = chunk // chunks, (chunk % chunks) * chunk_rows
        at = (sample * positions + place) * channels
        stop = at + min(chunk_rows, positions - place) * channels
        share, coefficient = 2 * sample * lanes, (2 * sample + 1) * lanes
        for line in range(at, stop, lanes):
            for j in range(min(lanes, stop - line)):
                two = t[line + j] + t[line + j]
                dp[line + j] = known[share + j] * (two - known[coefficient + j])


def _dice_fraction(p: np.ndarray, t: np.ndarray, smooth: float) -> tuple[Lines, np.ndarray, np.ndarray]:
    lines = Lines(*p.shape, p.dtype)
    sums = empty((lines.count, 3, lines.lanes), p.dtype)
    run(_dice_sums, lines.count, lines.grain, *lines.arguments, p, t, sums)
    both, of_p, of_t = np.moveaxis(channel_sums(lines, sums), 1, 0)
    return lines, 2 * both + smooth, of_p + of_t + smooth


@twin_of(reference.dice)
def dice(probabilities: np.ndarray, targets: np.ndarray, smooth: float) -> np.ndarray:
    p, t = contiguous(probabilities), contiguous(targets)
    _, numerator, denominator = _dice_fraction(p, t, smooth)
    coefficient = np.divide(numerator, denominator, out=np.ones_like(numerator), where=denominator != 0)
    return coefficient.astype(p.dtype)


@twin_of(reference.dice_gradient)
def dice_gradient(
    dcoefficient: np.ndarray, probabilities: np.ndarray, targets: np.ndarray, smooth: float
) -> np.ndarray:
    p, t = contiguous(probabilities), contiguous(targets)
    lines, numerator, denominator = _dice_fraction(p, t, smooth)
    coefficient = np.divide(numerator, denominator, out=np.ones_like(numerator), where=denominator != 0)
    share = np.divide(dcoefficient, denominator, out=np.zeros_like(denominator), where=denominator != 0)
    dp = empty_like(p)
    run(_dice_gradient, lines.count, lines.grain, *lines.arguments, lines.repeated(share, coefficient), t, dp)
    return dp
