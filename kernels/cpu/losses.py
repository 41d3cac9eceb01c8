"""Losses, each fused with its softmax, sigmoid or clipping, and their gradients: one pass over the scores."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..interface import twin_of
from ..memory import empty, empty_like
from ..reference import losses as reference
from .bodies import kernel, scratch, unpack, value
from .channels import add_chunks, chunk_at, lines_of, strip_of
from .copying import contiguous
from .elementwise import elementwise, formula, number_if_repeated
from .launch import run
from .mathematics import exp_bounded, function, like, log, log1p, log1p_unit, sigmoid
from .rows import (
    BLOCK,
    TILE,
    ask_ahead,
    block,
    finish,
    is_narrow,
    keep_sum,
    known,
    logarithms,
    map_rows,
    only_last,
    partition,
    scale_block,
    softmax_of_block,
    strip_size,
    strips_of,
    sums,
    target,
    within,
)
from .simd import (
    absolute,
    finish_streams,
    fma,
    lanes,
    load,
    load_part,
    maximum,
    minimum,
    select,
    splat,
    store,
    store_part,
    vector_of,
)
from .streams import THROUGH_CACHES, past_caches, put

# ---- cross-entropy of a class index ----------------------------------------------------------------------------------


@function
def columns_of_labels(labels, first, rows, width, column):
    """column[i] = labels[first + i] as a float, or −1 if it names no column."""
    for i in range(rows):
        label = labels[first + i]
        column[i] = label if (label >= 0) & (label < width) else -1


@function
def score_at(vector, x, start, size, label):
    """x[i, label[i]] for each row i of a strip, or NaN."""
    chosen, column = splat(vector, math.nan), splat(vector, 0)
    for j in range(0, size, lanes(vector)):
        chosen = select(label == column, load(vector, x, start + j), chosen)
        column = column + 1
    return chosen


@function
def subtract_labels(vector, y, start, size, share, slope, label):
    """y[i, c] ← slope[i] · (share[i] · y[i, c] − 1 at c = label[i]) for the rows of a strip."""
    column = splat(vector, 0)
    for j in range(0, size, lanes(vector)):
        right = select(label == column, splat(vector, 1), splat(vector, 0))
        store(y, start + j, slope * fma(share, load(vector, y, start + j), -right))
        column = column + 1


@formula
def _sparse_cross_entropy(vector, shape, width, first, rows, operands):
    logits, labels, loss = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    room = scratch(logits, TILE)
    m, total, column = scratch(logits, BLOCK), scratch(logits, BLOCK), scratch(logits, BLOCK)
    numbers, at = block(vector, shape, logits, first, rows, width, room)
    partition(vector, shape, numbers, at, size, strips, m, total)
    if is_narrow(shape):
        columns_of_labels(labels, first, rows, width, column)
        for i in range(0, rows, lanes(vector)):
            chosen = score_at(vector, numbers, i * width, size, load(vector, column, i))
            store(m, i, load(vector, m, i) - chosen)
    else:
        for i in range(rows):
            label = labels[first + i]
            known_label = (label >= 0) & (label < width)
            m[i] -= logits[(first + i) * width + label] if known_label else like(m[i], math.nan)
    for i in range(0, rows, lanes(vector)):
        store_part(loss, first + i, log(load(vector, total, i)) + load(vector, m, i), rows - i)


@formula
def _sparse_cross_entropy_gradient(vector, shape, width, first, rows, operands):
    logits, dloss, labels, dlogits = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    room = scratch(logits, TILE)
    m, total, column = scratch(logits, BLOCK), scratch(logits, BLOCK), scratch(logits, BLOCK)
    numbers, at = block(vector, shape, logits, first, rows, width, room)
    results, to = target(vector, shape, dlogits, first, rows, width, room)
    softmax_of_block(vector, shape, numbers, at, results, to, size, strips, rows, m, total)
    if is_narrow(shape):
        columns_of_labels(labels, first, rows, width, column)
        for i in range(0, rows, lanes(vector)):
            share, slope = load(vector, total, i), load_part(vector, dloss, first + i, rows - i)
            subtract_labels(vector, results, i * width, size, share, slope, load(vector, column, i))
    else:
        for i in range(rows):  # e − Σe at the label becomes softmax − 1
            label = labels[first + i]
            if (label >= 0) & (label < width):
                results[to + i * width + label] -= like(m[i], 1.0) / total[i]
        for i in range(0, rows, lanes(vector)):
            store(total, i, load(vector, total, i) * load_part(vector, dloss, first + i, rows - i))
        scale_block(vector, shape, results, to, size, strips, total)
    finish(vector, shape, room, dlogits, first, rows, width)


@twin_of(reference.sparse_cross_entropy)
def sparse_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = contiguous(logits)
    return map_rows(_sparse_cross_entropy, empty(len(logits), logits.dtype), logits, _labels(labels))


@twin_of(reference.sparse_cross_entropy_gradient)
def sparse_cross_entropy_gradient(dloss: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = contiguous(logits)
    return map_rows(_sparse_cross_entropy_gradient, empty_like(logits), logits, dloss, _labels(labels))


def _labels(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.int64, copy=False)


# ---- cross-entropy of target probabilities ---------------------------------------------------------------------------


@function
def cross_term(target, log_probability):
    """t·log p, with 0·log 0 = 0."""
    return select(target == like(target, 0.0), target, target * log_probability)


@formula
def _cross_entropy(vector, shape, width, first, rows, operands):
    logits, targets, loss = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    room, targets_room = scratch(logits, TILE), scratch(logits, TILE)
    m, total = scratch(logits, BLOCK), scratch(logits, BLOCK)
    numbers, at = block(vector, shape, logits, first, rows, width, room)
    truth, _ = block(vector, shape, targets, first, rows, width, targets_room)
    partition(vector, shape, numbers, at, size, strips, m, total)
    logarithms(vector, rows, total)
    for strip in range(strips):
        shift, log_total = known(vector, shape, m, strip), known(vector, shape, total, strip)
        start, terms, j = at + strip * size, splat(vector, 0), 0
        while j + lanes(vector) <= size:
            ask_ahead(shape, truth, start + j)
            log_probability = (load(vector, numbers, start + j) - shift) - log_total
            terms = terms + cross_term(load(vector, truth, start + j), log_probability)
            j += lanes(vector)
        if not is_narrow(shape) and j < size:
            last = start + size - lanes(vector)
            log_probability = (load(vector, numbers, last) - shift) - log_total
            term = cross_term(load(vector, truth, last), log_probability)
            terms = terms + only_last(vector, term, size - j)
        keep_sum(vector, shape, -terms, m, strip)
    for i in range(0, rows, lanes(vector)):
        store_part(loss, first + i, load(vector, m, i), rows - i)


@formula
def _cross_entropy_gradient(vector, shape, width, first, rows, operands):
    logits, dloss, targets, dlogits = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    room, targets_room = scratch(logits, TILE), scratch(logits, TILE)
    m, total, slope = scratch(logits, BLOCK), scratch(logits, BLOCK), scratch(logits, BLOCK)
    numbers, at = block(vector, shape, logits, first, rows, width, room)
    truth, _ = block(vector, shape, targets, first, rows, width, targets_room)
    results, to = target(vector, shape, dlogits, first, rows, width, room)
    partition(vector, shape, numbers, at, size, strips, m, total)
    sums(vector, shape, truth, at, size, strips, slope)
    for i in range(0, rows, lanes(vector)):
        store(total, i, load(vector, slope, i) / load(vector, total, i))
        store(slope, i, load_part(vector, dloss, first + i, rows - i))
    for strip in range(strips):
        shift, share = known(vector, shape, m, strip), known(vector, shape, total, strip)
        scale = known(vector, shape, slope, strip)
        for place in range(0, size, lanes(vector)):
            j = strip * size + within(vector, shape, place, size)
            ask_ahead(shape, truth, at + j)
            e = exp_bounded(load(vector, numbers, at + j) - shift)
            store(results, to + j, scale * fma(e, share, -load(vector, truth, at + j)))
    finish(vector, shape, room, dlogits, first, rows, width)


@twin_of(reference.cross_entropy)
def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    logits = contiguous(logits)
    return map_rows(_cross_entropy, empty(len(logits), logits.dtype), logits, targets)


@twin_of(reference.cross_entropy_gradient)
def cross_entropy_gradient(dloss: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    logits = contiguous(logits)
    return map_rows(_cross_entropy_gradient, empty_like(logits), logits, dloss, targets)


# ---- elementwise losses ----------------------------------------------------------------------------------------------


@formula
def logistic_loss(z, target):
    positive = maximum(like(z, 0.0), z)
    return (positive - z * target) + log1p_unit(exp_bounded(-absolute(z)))


@formula
def logistic_loss_gradient(dloss, z, target):
    return dloss * (sigmoid(z) - target)


@formula
def square(prediction, target):
    difference = prediction - target
    return difference * difference


@formula
def square_gradient(dloss, prediction, target):
    difference = prediction - target
    return dloss * (difference + difference)


@twin_of(reference.binary_cross_entropy)
def binary_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return elementwise(logistic_loss, logits, targets)


@twin_of(reference.binary_cross_entropy_gradient)
def binary_cross_entropy_gradient(dloss: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return elementwise(logistic_loss_gradient, number_if_repeated(dloss), logits, targets)


@twin_of(reference.squared_error)
def squared_error(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    return elementwise(square, prediction, target)


@twin_of(reference.squared_error_gradient)
def squared_error_gradient(dloss: np.ndarray, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    return elementwise(square_gradient, number_if_repeated(dloss), prediction, target)


# ---- from probabilities ----------------------------------------------------------------------------------------------


@function
def clip(p, low, high):
    """p between two numbers; NaN stays."""
    return minimum(like(p, high), maximum(like(p, low), p))


@function
def unclipped(p, low, high):
    """Where p lies between two numbers: elsewhere the gradient is 0."""
    return (p >= low) & (p <= high)


def _bounds(p: np.ndarray, epsilon: float) -> tuple:
    """ε and 1 − ε in the type of p."""
    return p.dtype.type(epsilon), p.dtype.type(1 - epsilon)


@formula
def _sparse_from_probabilities(vector, shape, width, first, rows, operands):
    p, labels, low, high, loss = operands
    chosen = scratch(p, BLOCK)
    for i in range(rows):
        label = labels[first + i]
        known_label = (label >= 0) & (label < width)
        chosen[i] = p[(first + i) * width + label] if known_label else like(low, math.nan)
    for i in range(0, rows, lanes(vector)):
        store_part(loss, first + i, -log(clip(load(vector, chosen, i), low, high)), rows - i)


@formula
def _sparse_from_probabilities_gradient(vector, shape, width, first, rows, operands):
    p, dloss, labels, low, high, dp = operands
    last = first + rows  # so few rows that their zeros are still in the cache
    for j in range(first * width, last * width):
        dp[j] = 0
    for i in range(first, last):
        label = labels[i]
        if (label >= 0) & (label < width):
            chosen = p[i * width + label]
            if unclipped(chosen, low, high):
                dp[i * width + label] = -dloss[i] / chosen


@formula
def _from_probabilities(vector, shape, width, first, rows, operands):
    p, targets, low, high, loss = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    room, targets_room, total = scratch(p, TILE), scratch(p, TILE), scratch(p, BLOCK)
    numbers, at = block(vector, shape, p, first, rows, width, room)
    truth, _ = block(vector, shape, targets, first, rows, width, targets_room)
    for strip in range(strips):
        start, terms, j = at + strip * size, splat(vector, 0), 0
        while j + lanes(vector) <= size:
            logarithm = log(clip(load(vector, numbers, start + j), low, high))
            terms = fma(load(vector, truth, start + j), logarithm, terms)
            j += lanes(vector)
        if not is_narrow(shape) and j < size:
            last = start + size - lanes(vector)
            logarithm = log(clip(load(vector, numbers, last), low, high))
            terms = terms + only_last(vector, load(vector, truth, last) * logarithm, size - j)
        keep_sum(vector, shape, -terms, total, strip)
    for i in range(0, rows, lanes(vector)):
        store_part(loss, first + i, load(vector, total, i), rows - i)


@function
def slope_of_log(scale, p, target, low, high):
    """−scale·t/p, or 0 where p is clipped."""
    slope = scale * target / clip(p, low, high)
    return select(unclipped(p, low, high), -slope, like(p, 0.0))


@formula
def _from_probabilities_gradient(vector, shape, width, first, rows, operands):
    p, dloss, targets, low, high, dp = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    room, repeated = scratch(p, TILE), scratch(p, TILE)
    at = first * width
    if is_narrow(shape):  # dloss repeated along the rows; the rest is elementwise
        for strip in range(strips):
            there = strip * lanes(vector)
            slopes = load_part(vector, dloss, first + there, rows - there)
            for j in range(strip * size, (strip + 1) * size, lanes(vector)):
                store(room, j, slopes)
        finish(vector, shape, room, repeated, 0, rows, width)
        j = 0
        while j + lanes(vector) <= rows * width:
            numbers, truth = load(vector, p, at + j), load(vector, targets, at + j)
            store(dp, at + j, slope_of_log(load(vector, repeated, j), numbers, truth, low, high))
            j += lanes(vector)
        if j < rows * width:
            rest = rows * width - j
            numbers, truth = load_part(vector, p, at + j, rest), load_part(vector, targets, at + j, rest)
            store_part(dp, at + j, slope_of_log(load(vector, repeated, j), numbers, truth, low, high), rest)
    else:
        for i in range(rows):
            slope = splat(vector, dloss[first + i])
            for place in range(0, size, lanes(vector)):
                j = at + i * size + within(vector, shape, place, size)
                numbers, truth = load(vector, p, j), load(vector, targets, j)
                store(dp, j, slope_of_log(slope, numbers, truth, low, high))


@formula
def binary_from_probabilities(p, target, low, high):
    q = clip(p, low, high)
    return -target * log(q) - (like(p, 1.0) - target) * log1p(-q)


@formula
def binary_from_probabilities_gradient(dloss, p, target, low, high):
    q = clip(p, low, high)
    slope = dloss * (q - target) / (q * (like(p, 1.0) - q))  # (1 − t)/(1 − q) − t/q
    return select(unclipped(p, low, high), slope, like(p, 0.0))


@twin_of(reference.sparse_cross_entropy_from_probabilities)
def sparse_cross_entropy_from_probabilities(p: np.ndarray, labels: np.ndarray, epsilon: float) -> np.ndarray:
    p = contiguous(p)
    return map_rows(_sparse_from_probabilities, empty(len(p), p.dtype), p, _labels(labels), *_bounds(p, epsilon))


@twin_of(reference.sparse_cross_entropy_from_probabilities_gradient)
def sparse_cross_entropy_from_probabilities_gradient(
    dloss: np.ndarray, p: np.ndarray, labels: np.ndarray, epsilon: float
) -> np.ndarray:
    p, labels = contiguous(p), _labels(labels)
    return map_rows(_sparse_from_probabilities_gradient, empty_like(p), p, dloss, labels, *_bounds(p, epsilon))


@twin_of(reference.cross_entropy_from_probabilities)
def cross_entropy_from_probabilities(p: np.ndarray, targets: np.ndarray, epsilon: float) -> np.ndarray:
    p = contiguous(p)
    return map_rows(_from_probabilities, empty(len(p), p.dtype), p, targets, *_bounds(p, epsilon))


@twin_of(reference.cross_entropy_from_probabilities_gradient)
def cross_entropy_from_probabilities_gradient(
    dloss: np.ndarray, p: np.ndarray, targets: np.ndarray, epsilon: float
) -> np.ndarray:
    p = contiguous(p)
    return map_rows(_from_probabilities_gradient, empty_like(p), p, dloss, targets, *_bounds(p, epsilon))


@twin_of(reference.binary_cross_entropy_from_probabilities)
def binary_cross_entropy_from_probabilities(p: np.ndarray, targets: np.ndarray, epsilon: float) -> np.ndarray:
    return elementwise(binary_from_probabilities, p, targets, *_bounds(p, epsilon))


@twin_of(reference.binary_cross_entropy_from_probabilities_gradient)
def binary_cross_entropy_from_probabilities_gradient(
    dloss: np.ndarray, p: np.ndarray, targets: np.ndarray, epsilon: float
) -> np.ndarray:
    bounds = _bounds(p, epsilon)
    return elementwise(binary_from_probabilities_gradient, number_if_repeated(dloss), p, targets, *bounds)


# ---- Dice ------------------------------------------------------------------------------------------------------------


@kernel
def _dice_sums(begin, end, arguments):
    """For each chunk and place in a line: Σ p·t, Σ p, Σ t. A strip of the lines at a time, so that the sums stay in
    registers."""
    strip, pitch, chunk_rows, chunks, positions, channels, p, t, sums = unpack(arguments)
    for chunk in range(begin, end):
        _, at, rows = chunk_at(chunk, chunk_rows, chunks, positions, channels)
        numbers, kept = rows * channels, 3 * chunk * pitch
        whole = numbers - numbers % pitch
        for j in range(0, pitch, lanes(strip)):
            columns, i = pitch - j, at + j
            both, of_p, of_t = splat(strip, 0), splat(strip, 0), splat(strip, 0)
            while columns >= lanes(strip) and i < at + whole:
                x, y = load(strip, p, i), load(strip, t, i)
                both, of_p, of_t = fma(x, y, both), of_p + x, of_t + y
                i += pitch
            while i < at + numbers:  # lines of fewer numbers; lanes beyond them add zeros
                x = load_part(strip, p, i, min(columns, at + numbers - i))
                y = load_part(strip, t, i, min(columns, at + numbers - i))
                both, of_p, of_t = fma(x, y, both), of_p + x, of_t + y
                i += pitch
            store_part(sums, kept + j, both, columns)
            store_part(sums, kept + pitch + j, of_p, columns)
            store_part(sums, kept + 2 * pitch + j, of_t, columns)


@kernel
def _dice_gradient(begin, end, arguments):
    """dp = share · (2t − coefficient), the chunks from the last to the first: the sums have read the last one last."""
    strip, past, last, pitch, chunk_rows, chunks, positions, channels, known, t, dp = unpack(arguments)
    for k in range(begin, end):
        sample, line, rows = chunk_at(last - k, chunk_rows, chunks, positions, channels)
        share, coefficient = 2 * sample * pitch, (2 * sample + 1) * pitch
        stop = line + rows * channels
        while line < stop:
            length, j = min(pitch, stop - line), 0
            while j + lanes(strip) <= length:
                two = load(strip, t, line + j) * 2
                put(past, dp, line + j, load(strip, known, share + j) * (two - load(strip, known, coefficient + j)))
                j += lanes(strip)
            if j < length:
                factor = load_part(strip, known, share + j, length - j)
                two = load_part(strip, t, line + j, length - j) * 2
                difference = two - load_part(strip, known, coefficient + j, length - j)
                store_part(dp, line + j, factor * difference, length - j)
            line += pitch
    if value(past):
        finish_streams()


@function
def _dice_fraction(totals, at, channels, smooth):
    """2·Σ p·t + smooth and Σ p + Σ t + smooth, of the three sums of a channel."""
    return 2 * totals[at] + smooth, totals[at + channels] + totals[at + 2 * channels] + smooth


@kernel
def _dice_coefficients(begin, end, arguments):
    vector, pitch, chunks, channels, smooth, sums, totals, coefficients = unpack(arguments)
    for sample in range(begin, end):
        add_chunks(vector, pitch, chunks, channels, 3, sums, sample, totals)
        for c in range(channels):
            numerator, denominator = _dice_fraction(totals, 3 * sample * channels + c, channels, smooth)
            coefficients[sample * channels + c] = numerator / denominator if denominator != 0 else 1.0


@kernel
def _dice_constants(begin, end, arguments):
    """For each sample the lines share = dcoefficient / denominator and coefficient. A share beyond the largest number
    of the type is this number: it will be multiplied by 0 where masks are empty."""
    vector, pitch, chunks, channels, smooth, largest, sums, totals, slopes, known = unpack(arguments)
    for sample in range(begin, end):
        add_chunks(vector, pitch, chunks, channels, 3, sums, sample, totals)
        share, coefficient = 2 * sample * pitch, (2 * sample + 1) * pitch
        for c in range(channels):
            numerator, denominator = _dice_fraction(totals, 3 * sample * channels + c, channels, smooth)
            slope = slopes[sample * channels + c] / denominator if denominator != 0 else 0.0
            known[share + c] = min(max(slope, -largest), largest) if abs(slope) > largest else slope  # NaN stays
            known[coefficient + c] = numerator / denominator if denominator != 0 else 1.0
        for j in range(channels, pitch):
            known[share + j], known[coefficient + j] = known[share + j - channels], known[coefficient + j - channels]


def _of_samples(body: Callable, p: np.ndarray, t: np.ndarray, *numbers: float, arrays: Sequence[np.ndarray]) -> None:
    """Takes the sums, and runs a body that makes of them, and of numbers, what is known of the samples."""
    lines = lines_of(*p.shape, p.dtype, strip_of(p.dtype).lanes)
    sums, totals = empty((lines.count, 3, lines.lanes), p.dtype), empty((lines.samples, 3, lines.channels), np.float64)
    run(_dice_sums, lines.count, lines.grain, strip_of(p.dtype), *lines.arguments, p, t, sums)
    grain = max(1, 4096 // max(lines.chunks * lines.lanes, 1))
    sizes = (vector_of(p.dtype), lines.lanes, lines.chunks, lines.channels)
    run(body, lines.samples, grain, *sizes, *numbers, sums, totals, *arrays)


@twin_of(reference.dice)
def dice(probabilities: np.ndarray, targets: np.ndarray, smooth: float) -> np.ndarray:
    p, t = contiguous(probabilities), contiguous(targets)
    coefficients = empty((p.shape[0], p.shape[2]), p.dtype)
    _of_samples(_dice_coefficients, p, t, float(smooth), arrays=[coefficients])
    return coefficients


@twin_of(reference.dice_gradient)
def dice_gradient(
    dcoefficient: np.ndarray, probabilities: np.ndarray, targets: np.ndarray, smooth: float
) -> np.ndarray:
    p, t, dp = contiguous(probabilities), contiguous(targets), empty_like(probabilities)
    lines = lines_of(*p.shape, p.dtype, strip_of(p.dtype).lanes)
    known = empty((lines.samples, 2, lines.lanes), p.dtype)
    largest = float(np.finfo(p.dtype).max)
    _of_samples(_dice_constants, p, t, float(smooth), largest, arrays=[contiguous(dcoefficient), known])
    past = past_caches(dp, p, t) if lines.aligned else THROUGH_CACHES
    arguments = (strip_of(p.dtype), past, lines.count - 1, *lines.arguments, known, t, dp)
    run(_dice_gradient, lines.count, lines.grain, *arguments)
    return dp
