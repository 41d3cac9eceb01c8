"""Batch and group normalisation: bound by memory, so as few passes as there can be, and ReLU on the way.

Batch normalisation is group normalisation of one sample that has all positions, with a group for each channel: both
run through the same bodies. Statistics take one pass over memory: of each chunk (see `channels`) the distances from a
center guessed from some of its positions are summed, and their squares. A guess so bad that it costs digits shows in
the sums, and the chunk is summed once more around its mean, while it is in the cache. The chunks' means and squares are
combined by the formula of Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", in double
precision. So a mean of 10⁴ at a standard deviation of 1 costs no digits.

Samples too small for that, as in layer normalisation, are worked on one by one while they are in the cache.
"""

import math

import numpy as np

from ..interface import twin_of
from ..memory import empty, empty_like
from ..reference import normalization as reference
from .bodies import Constant, kernel, unpack, value
from .channels import Lines, add_chunks, chunk_at, lines_of, strip_of
from .copying import contiguous
from .launch import run
from .layer_normalization import LONGEST, added_blocks, layer_norm, layer_norm_gradient
from .mathematics import function, like
from .simd import (
    apart,
    finish_streams,
    first_lanes,
    fma,
    load,
    load_part,
    maximum,
    select,
    splat,
    store_part,
    vector_of,
)
from .simd import lanes as width_of
from .streams import THROUGH_CACHES, past_caches, put

SMALL = 4096  # numbers in a sample, up to which it is worked on as a whole
BLOCK = 32  # small samples that share one partial sum for gamma and beta

GUESSED = 8  # positions of a chunk from which its mean is guessed
FAR = 8  # squared distances of a guess from the mean, in variances, that still cost no digits to speak of

_REASSOCIATED = {"contract", "reassoc", "nsz"}


# ---- statistics ------------------------------------------------------------------------------------------------------


@function
def _guess(x, at, rows, channels, work, center, lanes):
    """A center for each channel, repeated along a line: the mean of some positions spread over a chunk."""
    count = min(rows, GUESSED)
    for c in range(channels):
        work[center + c] = 0
    for k in range(count):
        row = at + k * rows // count * channels
        for c in range(channels):
            work[center + c] += x[row + c]
    for c in range(channels):
        work[center + c] /= like(x[0], count)
    for j in range(channels, lanes):
        work[center + j] = work[center + j - channels]


@function
def _distances(strip, x, at, numbers, lanes, work, center):
    """Σ (x − center) and Σ (x − center)² of a chunk, lane by lane: the lines after work[center]. A strip of the lines
    at a time, so that the sums stay in registers."""
    whole = numbers - numbers % lanes
    for j in range(0, lanes, width_of(strip)):
        columns, i = lanes - j, at + j
        k = load_part(strip, work, center + j, columns)
        total = k - k
        squares = total
        if columns >= width_of(strip):
            while i < at + whole:
                distance = load(strip, x, i) - k
                total, squares = total + distance, fma(distance, distance, squares)
                i += lanes
        else:
            while i < at + whole:
                distance = load_part(strip, x, i, columns) - k
                total, squares = total + distance, fma(distance, distance, squares)
                i += lanes
        columns = min(columns, numbers - whole - j)
        if columns > 0:
            distance = load_part(strip, x, at + whole + j, columns) - k
            among = first_lanes(strip, columns)
            total = select(among, total + distance, total)
            squares = select(among, fma(distance, distance, squares), squares)
        store_part(work, center + lanes + j, total, lanes - j)
        store_part(work, center + 2 * lanes + j, squares, lanes - j)


@function
def _settle(rows, channels, lanes, work, center, statistics, to):
    """Mean and Σ (x − mean)² of each channel of a chunk, from its distances. True if a center was so far off a mean
    that the squares have lost digits."""
    far = False
    for c in range(channels):
        total, squares, j = 0.0, 0.0, center + lanes + c
        while j < center + 2 * lanes:
            total += work[j]
            squares += work[j + lanes]
            j += channels
        lost = total * total / rows
        statistics[to + c] = work[center + c] + total / rows
        statistics[to + channels + c] = squares - lost
        far = far or lost > FAR * (squares - lost)
    return far


@kernel
def _chunk_statistics(begin, end, arguments):
    """For each chunk and channel: the mean, and Σ (x − mean)²."""
    strip, lanes, chunk_rows, chunks, positions, channels, x, work, statistics = unpack(arguments)
    for chunk in range(begin, end):
        _, at, rows = chunk_at(chunk, chunk_rows, chunks, positions, channels)
        center, to = 3 * chunk * lanes, 2 * chunk * channels
        _guess(x, at, rows, channels, work, center, lanes)
        _distances(strip, x, at, rows * channels, lanes, work, center)
        if _settle(rows, channels, lanes, work, center, statistics, to):
            for c in range(channels):
                work[center + c] = statistics[to + c]
            for j in range(channels, lanes):
                work[center + j] = work[center + j - channels]
            _distances(strip, x, at, rows * channels, lanes, work, center)
            _settle(rows, channels, lanes, work, center, statistics, to)


@function
def _constants(sample, lanes, channels, groups, mean, variance, gamma, beta, epsilon, known):
    """Three lines: center, scale = γ/√(σ² + ε) and shift, repeated for the positions of a line."""
    center, scale, shift = 3 * sample * lanes, (3 * sample + 1) * lanes, (3 * sample + 2) * lanes
    width = channels // groups
    for group in range(groups):
        of_group = mean[sample * groups + group]
        spread = like(epsilon, math.sqrt(variance[sample * groups + group] + epsilon))
        for c in range(group * width, (group + 1) * width):
            known[center + c], known[scale + c], known[shift + c] = of_group, gamma[c] / spread, beta[c]
    for j in range(channels, lanes):
        known[center + j] = known[center + j - channels]
        known[scale + j] = known[scale + j - channels]
        known[shift + j] = known[shift + j - channels]


@function
def _combine_chunks(double, statistics, first, channels, counts, totals, total):
    """For a vector of channels: Σ rows · (mean − mean of the first chunk) into totals, and what the chunks' sums of
    squares come to around that mean."""
    (number, chunk_rows, chunks, positions), at = counts, first
    center, squares = load_part(double, statistics, at, number), load_part(double, statistics, at + channels, number)
    off = splat(double, 0)
    for chunk in range(1, chunks):
        at += 2 * channels
        rows = splat(double, min(chunk_rows, positions - chunk * chunk_rows))
        distance = load_part(double, statistics, at, number) - center
        off = fma(rows, distance, off)
        squares = fma(rows * distance, distance, squares + load_part(double, statistics, at + channels, number))
    store_part(totals, total, off, number)
    store_part(statistics, first + channels, squares, number)


@kernel
def _combine(begin, end, arguments):
    """Mean and variance of each group of each sample, from its chunks' (Chan, Golub and LeVeque), and the lines that
    `_constants` makes of them. The chunks' means are taken around the first one's: double precision has digits to
    spare for what that is off. The first chunk's statistics are overwritten."""
    given = unpack(arguments)
    double, lanes, chunk_rows, chunks, positions, channels, groups = given[:7]
    statistics, totals, mean, variance, gamma, beta, epsilon, known = given[7:]
    width = channels // groups
    for sample in range(begin, end):
        first, total = 2 * sample * chunks * channels, sample * channels
        for c in range(0, channels, width_of(double)):
            counts = channels - c, chunk_rows, chunks, positions
            _combine_chunks(double, statistics, first + c, channels, counts, totals, total + c)
        for group in range(groups):
            center, squares = 0.0, 0.0
            for c in range(group * width, (group + 1) * width):
                center += (statistics[first + c] + totals[total + c] / positions) / width
            for c in range(group * width, (group + 1) * width):
                off = totals[total + c] / positions
                distance = statistics[first + c] + off - center
                squares += statistics[first + channels + c] + positions * (distance * distance - off * off)
            mean[sample * groups + group] = center
            variance[sample * groups + group] = 0.0 if squares < 0.0 else squares / (positions * width)  # NaN stays
        _constants(sample, lanes, channels, groups, mean, variance, gamma, beta, epsilon, known)


def _statistics(
    lines: Lines, x: np.ndarray, groups: int, gamma: np.ndarray, beta: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and biased variance, (samples, groups) each, and the lines that `_constants` makes of them."""
    mean, variance = (empty((lines.samples, groups), x.dtype) for _ in range(2))
    known = empty((lines.samples, 3, lines.lanes), x.dtype)
    if not x.size:
        mean.fill(np.nan)
        variance.fill(np.nan)
        return mean, variance, known
    work = empty((lines.count, 3, lines.lanes), x.dtype)
    statistics = empty((lines.count, 2, lines.channels), np.float64)
    run(_chunk_statistics, lines.count, lines.grain, strip_of(x.dtype), *lines.arguments, x, work, statistics)
    numbers = (vector_of(statistics.dtype), *lines.arguments, groups)
    arrays = (statistics, empty((lines.samples, lines.channels), np.float64), mean, variance)
    affine = (contiguous(gamma), contiguous(beta), x.dtype.type(epsilon), known)
    run(_combine, lines.samples, max(1, 4096 // (lines.chunks * lines.channels)), *numbers, *arrays, *affine)
    return mean, variance, known


# ---- y = (x − center) · scale + shift --------------------------------------------------------------------------------


@kernel
def _constants_of_samples(begin, end, arguments):
    lanes, channels, groups, mean, variance, gamma, beta, epsilon, known = unpack(arguments)
    for sample in range(begin, end):
        _constants(sample, lanes, channels, groups, mean, variance, gamma, beta, epsilon, known)


def _known(lines: Lines, gamma, beta, mean, variance, epsilon: float) -> np.ndarray:
    """What `_constants` writes, for mean and variance (samples, groups): (samples, 3, lanes)."""
    known = empty((lines.samples, 3, lines.lanes), lines.dtype)
    if known.size:
        arrays = [contiguous(array) for array in (mean, variance, gamma, beta)]
        numbers = (lines.lanes, lines.channels, mean.shape[1])
        grain = max(1, 4096 // lines.lanes)
        run(_constants_of_samples, lines.samples, grain, *numbers, *arrays, lines.dtype.type(epsilon), known)
    return known


@function
def _normalized(relu, x, center, scale, shift):
    y = fma(x - center, scale, shift)
    return maximum(y - y, y) if value(relu) else y


@kernel
def _normalize(begin, end, arguments):
    """y of each chunk, from the last to the first: the statistics have read the last one last."""
    strip, relu, past, last, lanes, chunk_rows, chunks, positions, channels, known, x, y = unpack(arguments)
    for i in range(begin, end):
        sample, at, rows = chunk_at(last - i, chunk_rows, chunks, positions, channels)
        center, scale, shift = 3 * sample * lanes, (3 * sample + 1) * lanes, (3 * sample + 2) * lanes
        stop = at + rows * channels
        if lanes == width_of(strip):  # what is known stays in registers
            m, s, b = load(strip, known, center), load(strip, known, scale), load(strip, known, shift)
            while at + lanes <= stop:
                put(past, y, at, _normalized(relu, load(strip, x, at), m, s, b))
                at += lanes
        while at < stop:
            for j in range(0, min(lanes, stop - at), width_of(strip)):
                columns = min(lanes, stop - at) - j
                if columns >= width_of(strip):
                    m, s, b = (
                        load(strip, known, center + j),
                        load(strip, known, scale + j),
                        load(strip, known, shift + j),
                    )
                    put(past, y, at + j, _normalized(relu, load(strip, x, at + j), m, s, b))
                else:
                    m, s = load_part(strip, known, center + j, columns), load_part(strip, known, scale + j, columns)
                    b, v = load_part(strip, known, shift + j, columns), load_part(strip, x, at + j, columns)
                    store_part(y, at + j, _normalized(relu, v, m, s, b), columns)
            at += lanes
    if value(past):
        finish_streams()


def _apply(lines: Lines, x: np.ndarray, known: np.ndarray, relu: bool) -> np.ndarray:
    y = empty_like(x)
    kinds = (strip_of(x.dtype), Constant(relu), past_caches(y, x) if lines.aligned else THROUGH_CACHES)
    run(_normalize, lines.count, lines.grain, *kinds, lines.count - 1, *lines.arguments, known, x, y)
    return y


def _is_relu(activation: str | None) -> bool:
    if activation not in (None, "relu"):
        raise ValueError(f'activation = {activation!r}: expected None or "relu"')
    return activation == "relu"


# ---- the gradient ----------------------------------------------------------------------------------------------------


@function
def _add_gradients(relu, g, x, center, scale, shift, total, product):
    """(total + g, product + g·(x − center)) where ReLU let g through. The choice comes after the sums: made at once it
    becomes a masked load, which is slow on some processors."""
    distance = x - center
    after, product_after = total + g, fma(g, distance, product)
    if value(relu):
        through = fma(distance, scale, shift) > 0
        return select(through, after, total), select(through, product_after, product)
    return after, product_after


@kernel
def _gradient_sums(begin, end, arguments):
    """For each chunk and lane: Σ g and Σ g·(x − center), g being dy where ReLU let it through."""
    strip, relu, lanes, chunk_rows, chunks, positions, channels, known, dy, x, sums = unpack(arguments)
    for chunk in range(begin, end):
        sample, at, rows = chunk_at(chunk, chunk_rows, chunks, positions, channels)
        center, scale, shift = 3 * sample * lanes, (3 * sample + 1) * lanes, (3 * sample + 2) * lanes
        numbers = rows * channels
        whole = numbers - numbers % lanes
        for j in range(0, lanes, width_of(strip)):
            columns, i = lanes - j, at + j
            m, s = load_part(strip, known, center + j, columns), load_part(strip, known, scale + j, columns)
            b, total = load_part(strip, known, shift + j, columns), splat(strip, 0)
            product = total
            if columns >= width_of(strip):
                while i < at + whole:
                    g, v = load(strip, dy, i), load(strip, x, i)
                    total, product = _add_gradients(relu, g, v, m, s, b, total, product)
                    i += lanes
            else:
                while i < at + whole:
                    g, v = load_part(strip, dy, i, columns), load_part(strip, x, i, columns)
                    total, product = _add_gradients(relu, g, v, m, s, b, total, product)
                    i += lanes
            columns = min(columns, numbers - whole - j)
            if columns > 0:
                i = at + whole + j
                g, v = load_part(strip, dy, i, columns), load_part(strip, x, i, columns)
                later, product_later = _add_gradients(relu, g, v, m, s, b, total, product)
                among = first_lanes(strip, columns)
                total, product = select(among, later, total), select(among, product_later, product)
            store_part(sums, 2 * chunk * lanes + j, total, lanes - j)
            store_part(sums, (2 * chunk + 1) * lanes + j, product, lanes - j)


@kernel
def _gradient_constants(begin, end, arguments):
    """For each sample: the lines center, scale, shift (as `_constants` has them), tilt and offset; and what the sample
    gives to dγ and dβ. sums and totals hold Σ g and Σ g·(x − center), of the places in each chunk and of each
    channel."""
    given = unpack(arguments)
    vector, lanes, chunks, positions, channels, groups = given[:6]
    known, sums, totals, variance, gamma, epsilon, lines, shares = given[6:]
    width = channels // groups
    for sample in range(begin, end):
        add_chunks(vector, lanes, chunks, channels, 2, sums, sample, totals)
        old, new, total = 3 * sample * lanes, 5 * sample * lanes, 2 * sample * channels
        for j in range(3 * lanes):
            lines[new + j] = known[old + j]
        tilt, offset = new + 3 * lanes, new + 4 * lanes
        for group in range(groups):
            inverse = 1 / math.sqrt(variance[sample * groups + group] + epsilon)
            of_total, of_product = 0.0, 0.0
            for c in range(group * width, (group + 1) * width):
                of_total += gamma[c] * totals[total + c]
                of_product += gamma[c] * totals[total + channels + c]
            for c in range(group * width, (group + 1) * width):
                lines[tilt + c] = -(inverse * inverse * inverse) * (of_product / (positions * width))
                lines[offset + c] = -inverse * (of_total / (positions * width))
                shares[total + c] = totals[total + channels + c] * inverse
                shares[total + channels + c] = totals[total + c]
        for j in range(channels, lanes):
            lines[tilt + j], lines[offset + j] = lines[tilt + j - channels], lines[offset + j - channels]


@function
def _gradient_of(relu, fixed, g, x, center, scale, shift, tilt, offset):
    """dx = g·scale + (x − center)·tilt + offset, g being 0 where ReLU did not let it through. The last two come from
    mean and variance, if these are not fixed."""
    g, distance = apart(g), x - center
    cut = scale - scale if value(fixed) else fma(distance, tilt, offset)
    whole = g * scale if value(fixed) else fma(g, scale, cut)
    return select(fma(distance, scale, shift) > 0, whole, cut) if value(relu) else whole


@kernel
def _gradient(begin, end, arguments):
    """dx of each chunk, from the last to the first: the sums have read the last one last."""
    strip, relu, fixed, past, last, lanes, chunk_rows, chunks, positions, channels, known, dy, x, dx = unpack(arguments)
    for k in range(begin, end):
        sample, at, rows = chunk_at(last - k, chunk_rows, chunks, positions, channels)
        center, scale, shift = 5 * sample * lanes, (5 * sample + 1) * lanes, (5 * sample + 2) * lanes
        tilt, offset = (5 * sample + 3) * lanes, (5 * sample + 4) * lanes
        stop = at + rows * channels
        if lanes == width_of(strip):  # what is known stays in registers
            m, s, b = load(strip, known, center), load(strip, known, scale), load(strip, known, shift)
            t, o = load(strip, known, tilt), load(strip, known, offset)
            while at + lanes <= stop:
                put(past, dx, at, _gradient_of(relu, fixed, load(strip, dy, at), load(strip, x, at), m, s, b, t, o))
                at += lanes
        while at < stop:
            for j in range(0, min(lanes, stop - at), width_of(strip)):
                columns, i = min(lanes, stop - at) - j, at + j
                if columns >= width_of(strip):
                    m, s, b = (
                        load(strip, known, center + j),
                        load(strip, known, scale + j),
                        load(strip, known, shift + j),
                    )
                    t, o = load(strip, known, tilt + j), load(strip, known, offset + j)
                    put(past, dx, i, _gradient_of(relu, fixed, load(strip, dy, i), load(strip, x, i), m, s, b, t, o))
                else:
                    m, s = load_part(strip, known, center + j, columns), load_part(strip, known, scale + j, columns)
                    b, t = load_part(strip, known, shift + j, columns), load_part(strip, known, tilt + j, columns)
                    o, g = load_part(strip, known, offset + j, columns), load_part(strip, dy, i, columns)
                    v = load_part(strip, x, i, columns)
                    store_part(dx, i, _gradient_of(relu, fixed, g, v, m, s, b, t, o), columns)
            at += lanes
    if value(past):
        finish_streams()


def _group_gradient(
    lines: Lines, dy, x, gamma, beta, mean, variance, epsilon: float, relu: bool, fixed: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx, dgamma, dbeta for mean and variance (samples, groups); `fixed`: these do not depend on x."""
    dx = empty_like(x)
    if not x.size:
        return dx, np.zeros_like(gamma), np.zeros_like(gamma)
    known = _known(lines, gamma, beta, mean, variance, epsilon)
    sums = empty((lines.count, 2, lines.lanes), x.dtype)
    kinds, count, grain = (strip_of(x.dtype), Constant(relu)), lines.count, lines.grain
    run(_gradient_sums, count, grain, *kinds, *lines.arguments, known, dy, x, sums)
    totals, shares = empty((2, lines.samples, 2, lines.channels), np.float64)
    constants = empty((lines.samples, 5, lines.lanes), x.dtype)
    sizes = (lines.lanes, lines.chunks, lines.positions, lines.channels, mean.shape[1])
    numbers = (vector_of(x.dtype), *sizes)
    arrays = (known, sums, totals, contiguous(variance), contiguous(gamma), float(epsilon), constants, shares)
    run(_gradient_constants, lines.samples, max(1, 4096 // (lines.chunks * lines.lanes)), *numbers, *arrays)
    past = past_caches(dx, dy, x) if lines.aligned else THROUGH_CACHES
    run(_gradient, count, grain, *kinds, Constant(fixed), past, count - 1, *lines.arguments, constants, dy, x, dx)
    dgamma, dbeta = shares.sum(0).astype(x.dtype)
    return dx, dgamma, dbeta


# ---- batch normalisation ---------------------------------------------------------------------------------------------


def _one_sample(x: np.ndarray) -> Lines:
    return lines_of(1, math.prod(x.shape[:-1]), x.shape[-1], x.dtype, strip_of(x.dtype).lanes)


@twin_of(reference.batch_norm)
def batch_norm(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float, activation: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, lines, relu = contiguous(x), _one_sample(x), _is_relu(activation)
    mean, variance, known = _statistics(lines, x, lines.channels, gamma, beta, epsilon)
    return _apply(lines, x, known, relu), mean[0], variance[0]


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
    x, lines, relu = contiguous(x), _one_sample(x), _is_relu(activation)
    return _apply(lines, x, _known(lines, gamma, beta, mean[None], variance[None], epsilon), relu)


@twin_of(reference.batch_norm_inference_gradient)
def batch_norm_inference_gradient(
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
    return _group_gradient(_one_sample(x), dy, x, gamma, beta, mean[None], variance[None], epsilon, relu, fixed=True)


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
        for r in range(runs):
            for j in range(first + r * channels, first + r * channels + length):
                total += x[j]
        center = like(total, total / (runs * length))
        rest, squares = like(total, 0.0), like(total, 0.0)
        for r in range(runs):
            for j in range(first + r * channels, first + r * channels + length):
                distance = x[j] - center
                rest += distance
                squares += distance * distance
        center = like(total, center + rest / (runs * length))
        spread = like(total, (squares - rest * rest / (runs * length)) / (runs * length))
        mean[i] = center
        variance[i] = spread
        inverse = like(total, 1.0) / like(total, math.sqrt(spread + epsilon))
        for position in range(positions):
            run_start = first + position * channels
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
            for position in range(positions):
                run_start = first + position * channels
                for c in range(width):
                    h = dy[run_start + c] * gamma[of_group + c]
                    total += h
                    product += h * ((x[run_start + c] - center) * inverse)
            total, product = like(center, total / count), like(center, product / count)
            for position in range(positions):
                run_start = first + position * channels
                for c in range(width):
                    normalized = (x[run_start + c] - center) * inverse
                    h = dy[run_start + c] * gamma[of_group + c]
                    dx[run_start + c] = ((h - total) - normalized * product) * inverse
                    sums[dgamma + of_group + c] += dy[run_start + c] * normalized
                    sums[dbeta + of_group + c] += dy[run_start + c]


def _samples(x: np.ndarray) -> Lines:
    return lines_of(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1], x.dtype, strip_of(x.dtype).lanes)


def _is_small(lines: Lines) -> bool:
    return 0 < lines.positions * lines.channels <= SMALL


def _is_row(lines: Lines, groups: int) -> bool:
    """Whether each sample is one row, normalised as a whole."""
    return lines.samples > 0 and lines.positions == groups == 1 and 0 < lines.channels <= LONGEST


@twin_of(reference.group_norm)
def group_norm(
    x: np.ndarray, groups: int, gamma: np.ndarray, beta: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, lines = contiguous(x), _samples(x)
    if _is_row(lines, groups):
        rows = x.reshape(lines.samples, lines.channels)
        y, mean, variance = layer_norm(rows, contiguous(gamma), contiguous(beta), epsilon)
        return y.reshape(x.shape), mean[:, None], variance[:, None]
    if _is_small(lines):
        y, (mean, variance) = empty_like(x), (empty((len(x), groups), x.dtype) for _ in range(2))
        numbers, grain = (lines.positions, lines.channels, groups), max(1, 8192 // (lines.positions * lines.channels))
        known = (contiguous(gamma), contiguous(beta), x.dtype.type(epsilon))
        run(_small_groups, len(x), grain, *numbers, x, *known, y, mean, variance)
        return y, mean, variance
    mean, variance, known = _statistics(lines, x, groups, gamma, beta, epsilon)
    return _apply(lines, x, known, False), mean, variance


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
    if _is_row(lines, groups):
        rows, slopes = (array.reshape(lines.samples, lines.channels) for array in (x, dy))
        statistics = contiguous(mean)[:, 0], contiguous(variance)[:, 0]
        dx, dgamma, dbeta = layer_norm_gradient(slopes, rows, contiguous(gamma), *statistics, epsilon)
        return dx.reshape(x.shape), dgamma, dbeta
    if not _is_small(lines):
        return _group_gradient(lines, dy, x, gamma, np.zeros_like(gamma), mean, variance, epsilon, False)
    dx, blocks = empty_like(x), -(-len(x) // BLOCK)
    sums = empty((blocks, 2, lines.channels), x.dtype)
    numbers = (len(x), lines.positions, lines.channels, groups)
    known = (contiguous(gamma), contiguous(mean), contiguous(variance), x.dtype.type(epsilon))
    grain = max(1, 8192 // (BLOCK * lines.positions * lines.channels))
    run(_small_groups_gradient, blocks, grain, *numbers, dy, x, *known, dx, sums)
    dgamma, dbeta = added_blocks(sums).astype(x.dtype)
    return dx, dgamma, dbeta
