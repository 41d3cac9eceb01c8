"""Packing of weights: the copy, in blocks of a tile's width, that register tiles read in order."""

from .bodies import helper, kernel, unpack
from .simd import pointer_at

PACKING_CYCLES = 1  # to pack a weight
TRANSPOSING_CYCLES = 2  # and if an input channel's weights lie apart
PACKING_GRAIN = 20_000  # weights that make a second thread worth its while

# What packing finds where, for each correlation: `Correlation.weight_numbers`, and then
(
    PACK_WIDTH, PACK_BLOCKS, PACK_LAST, PACK_LANES, PACK_RUN, PACK_TAP, PACK_START, PACK_END, PACK_SIZE,
) = range(18, 27)  # fmt: skip


@helper
def _pack_columns(weight, packed, source, target, columns, c_in, si, so, width, lanes, first):
    """`columns` output channels of a tap: the input channels are the positions `first` … of the run at `target`."""
    if lanes > 1:
        for j in range(columns):
            for c in range(c_in):
                i = first + c
                packed[target + (i // lanes * width + j) * lanes + i % lanes] = weight[source + c * si + j * so]
    elif so == 1:
        for c in range(c_in):
            for j in range(columns):
                packed[target + (first + c) * width + j] = weight[source + c * si + j]
    else:  # a transposition: many lines are asked for at once
        for c in range(c_in):
            for j in range(columns):
                packed[target + (first + c) * width + j] = weight[source + c * si + j * so]


@helper
def _clear_columns(packed, target, columns, c_in, width, lanes, first):
    """The same for weights that do not exist: zeros."""
    for i in range(first, first + c_in):
        for j in range(columns):
            packed[target + (i // lanes * width + j) * lanes + i % lanes] = 0


@kernel
def pack(begin, end, arguments):
    """weight → packed (group, block, row of taps, position in the run, block width), zeros beyond the last output
    channel; with lanes over the input (…, vector of the run, block width, lanes)."""
    weight, packed, every = unpack(arguments)
    phase = 0
    for item in range(begin, end):  # a tap of a block of a group, of one correlation after the other
        while item >= every[phase * PACK_SIZE + PACK_END]:
            phase += 1
        n = pointer_at(every, phase * PACK_SIZE)
        kh, kw, c_in, lanes, width = n[1], n[2], n[3], n[PACK_LANES], n[PACK_WIDTH]
        index = item - (n[PACK_END] - n[0] * kh * kw * n[PACK_BLOCKS] * n[5])
        tap, outer = index % (n[0] * kh * kw), index // (n[0] * kh * kw)
        block, group = outer % n[PACK_BLOCKS], outer // n[PACK_BLOCKS]
        in_run = n[PACK_RUN] // c_in
        target = n[PACK_START] + (outer * (n[0] * kh * kw // in_run) + tap // in_run) * n[PACK_TAP]
        first, channel = tap % in_run * c_in, min(block * width, n[PACK_LAST])
        columns = min(width, n[4] - channel)
        source = n[12] + group * n[11] + tap // (kh * kw) * n[6] + tap // kw % kh * n[7] + tap % kw * n[8]
        done = 0
        while done < columns:  # output pixel by output pixel, if channels are those of several
            pixel, k = (channel + done) // n[14], (channel + done) % n[14]
            count = min(n[14] - k, columns - done)
            weight_tap, there = n[15] - tap % kw * n[13] + pixel, target + done * lanes
            if n[13] == 1 or 0 <= weight_tap < n[16]:
                here = source + pixel * n[17] + k * n[10]
                _pack_columns(weight, packed, here, there, count, c_in, n[9], n[10], width, lanes, first)
            else:
                _clear_columns(packed, there, count, c_in, width, lanes, first)
            done += count
        _clear_columns(packed, target + columns * lanes, width - columns, c_in, width, lanes, first)
