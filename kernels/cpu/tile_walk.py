"""The walk over register tiles of outputs: which tile comes when, what its kernel is handed, and how tiles are computed
that reach beyond the ends of a row (see `output_tiles`, which plans it)."""

from .bodies import address_of, helper, kernel, unpack
from .correlation import BEFORE, DILATION, INPUT, KERNEL, NUMBERS, OUTPUT, STRIDES, X, Y
from .simd import finish_streams, pointer_at
from .tile_kernel import (
    COLUMNS,
    FLAGS,
    OUT,
    OUT_STEP,
    SLOTS,
    START,
    START_ROW,
    START_TILE,
    STEP,
    TABLE,
    W_ADVANCE,
    W_POINTER,
    W_STEP,
    X_POINTER,
    call_tile_kernel,
)

NOWHERE = 1 << 32  # no number of rows

# What the driver finds where in the layout of each correlation, after `Correlation.numbers`.
(
    TILE_KERNEL, TILE_ROWS, TILE_WIDTH, APART, CHANNELS, PITCH, TAPS_W, WEIGHT_ADVANCE, WEIGHT_STEP, WEIGHT_TAP,
    WEIGHT_BLOCK, LAST_WEIGHT, WEIGHT_GROUP, WEIGHT_START, BIAS_BLOCK, BIAS_START, BLOCKS, LAST_CHANNEL, GROUPS,
    CHANNELS_OUT, TILES_PER_ROW, TILES, CHUNK, RUN, PIECE, ITEMS, PARTS, END_PART, PATCH_WIDTH, PATCH_SIZE,
    SCRATCH_SIZE, SLOTS_SIZE, FINISH, Y_START, WEIGHT_COLUMN, MOVES, SUMS_SIZE, SUMS_COLUMNS, ITEM_BYTES, NEXT_ROW,
    READ_D, READ_H, READ_W, STAGED_ROWS, STAGED_WIDTH, LAYOUT_SIZE,
) = range(NUMBERS, NUMBERS + 46)  # fmt: skip


@helper
def first_tap(origin, dilation):
    """The first k ≥ 0 with origin + k·dilation ≥ 0."""
    return 0 if origin >= 0 else (dilation - 1 - origin) // dilation


@helper
def end_tap(origin, dilation, taps, size):
    """The first k ≤ taps with origin + k·dilation ≥ size."""
    return 0 if origin >= size else min(taps, (size - origin + dilation - 1) // dilation)


@helper
def kernel_rows_inside(numbers, origin_d, origin_h):
    """(kd_begin, kd_end, kh_begin, kh_end): the kernel's rows that meet the input when the kernel starts at the
    origin."""
    return (
        first_tap(origin_d, numbers[DILATION]),
        end_tap(origin_d, numbers[DILATION], numbers[KERNEL], numbers[INPUT]),
        first_tap(origin_h, numbers[DILATION + 1]),
        end_tap(origin_h, numbers[DILATION + 1], numbers[KERNEL + 1], numbers[INPUT + 1]),
    )


@helper
def row_position(numbers, row):
    """(n, od, oh) of a row of output pixels."""
    row, oh = row // numbers[OUTPUT + 1], row % numbers[OUTPUT + 1]
    return row // numbers[OUTPUT], row % numbers[OUTPUT], oh


@helper
def _table_of(layout, columns):
    """Where in the slots the table for so many of the kernel's columns stands, behind those for fewer."""
    tables = columns - 1
    entries = tables if layout[TAPS_W] == 1 else columns * tables // 2
    return SLOTS + layout[KERNEL + 2] + 3 * (entries * layout[KERNEL] * layout[KERNEL + 1] + tables)


@helper
def _list_taps(table, layout, kernel_rows, columns, count, x_d, x_h, x_w):
    """Fills the table with the first columns of some kernel rows, `count` numbers each: those of a row together, if
    they are one run. x_d, x_h, x_w lead from tap to tap in the input. Returns how many entries."""
    kd_begin, kd_end, kh_begin, kh_end = kernel_rows
    in_row, taps = 1 if layout[TAPS_W] == 1 else columns, 0
    for kd in range(kd_begin, kd_end):
        for kh in range(kh_begin, kh_end):
            row = (kd * layout[KERNEL + 1] + kh) * layout[TAPS_W]
            for kw in range(in_row):
                table[3 * taps] = kd * x_d + kh * x_h + kw * x_w
                table[3 * taps + 1] = row * layout[WEIGHT_TAP] + kw * layout[WEIGHT_COLUMN]
                table[3 * taps + 2] = count
                taps += 1
    table[3 * taps] = table[0]  # what comes next, until someone knows
    return taps


@helper
def _list_tables(slots, layout, kernel_rows, piece):
    """Fills the tables for all columns of the kernel: in the input, in a copy of its windows, and if tiles are moved
    those for fewer columns. Returns how many kernel rows they hold."""
    x_d, x_h = layout[READ_D], layout[READ_H] * layout[DILATION + 1]
    x_w, columns = layout[READ_W] * layout[DILATION + 2], layout[KERNEL + 2]
    if layout[MOVES]:
        for some in range(1, columns):
            count = layout[PITCH] * (some if layout[TAPS_W] == 1 else 1)
            _list_taps(pointer_at(slots, _table_of(layout, some)), layout, kernel_rows, some, count, x_d, x_h, x_w)
    if layout[PATCH_SIZE]:
        table, x_h_copied = pointer_at(slots, _table_of(layout, columns + 1)), layout[PATCH_WIDTH] * layout[PITCH]
        x_d_copied, x_w_copied = layout[KERNEL + 1] * x_h_copied, layout[DILATION + 2] * layout[PITCH]
        _list_taps(table, layout, kernel_rows, columns, piece, x_d_copied, x_h_copied, x_w_copied)
    table = pointer_at(slots, _table_of(layout, columns))
    return _list_taps(table, layout, kernel_rows, columns, piece, x_d, x_h, x_w) // layout[TAPS_W]


@helper
def _copy_row(x, row, numbers, origin, copy, width, pitch, channels):
    """The pixels origin … origin + width of a row of x, zeros where there is no input."""
    pixel = numbers[X + 3]
    left = min(max(-origin, 0), width)
    right = max(min(numbers[INPUT + 2] - origin, width), left)
    for i in range(left * pitch):
        copy[i] = 0
    if pixel == channels and pitch == channels:
        for i in range(left * pitch, right * pitch):
            copy[i] = x[row + i]
    else:
        for p in range(left, right):
            for c in range(channels):
                copy[p * pitch + c] = x[row + p * pixel + c]
    for i in range(right * pitch, width * pitch):
        copy[i] = 0


@helper
def copy_windows(x, source, numbers, kernel_rows, origin, patch, patch_width, pitch, channels):
    """The input pixels origin … origin + patch_width of each kernel row of a tile, zeros where there is no input."""
    kd_begin, kd_end, kh_begin, kh_end = kernel_rows
    for kd in range(kd_begin, kd_end):
        for kh in range(kh_begin, kh_end):
            row = source + kd * numbers[DILATION] * numbers[X + 1] + kh * numbers[DILATION + 1] * numbers[X + 2]
            copy = pointer_at(patch, (kd * numbers[KERNEL + 1] + kh) * patch_width * pitch)
            _copy_row(x, row, numbers, origin, copy, patch_width, pitch, channels)


@helper
def _stage_rows(x, source, layout, kernel_rows, origin_h, rows, staged):
    """Copies all rows of the input, with the padding beside them, that so many rows of outputs read, for those rows of
    the kernel's depth that meet the input: then no tile has to look where a row ends. `source`: where the first row
    would begin in x."""
    width, pitch = layout[STAGED_WIDTH], layout[PITCH]
    count = (rows - 1) * layout[STRIDES + 1] + (layout[KERNEL + 1] - 1) * layout[DILATION + 1] + 1
    for kd in range(kernel_rows[0], kernel_rows[1]):
        plane = source + kd * layout[DILATION] * layout[X + 1] - layout[BEFORE + 2] * layout[X + 3]
        for row in range(max(0, -origin_h), min(count, layout[INPUT + 1] - origin_h)):
            copy = pointer_at(staged, (kd * layout[STAGED_ROWS] + row) * width * pitch)
            _copy_row(x, plane + row * layout[X + 2], layout, -layout[BEFORE + 2], copy, width, pitch, pitch)


@helper
def _find_shifts(shifts, layout, origin):
    """By how many rows the tile at an end of a row must move for each tap, so that all its rows meet the input there;
    NOWHERE for taps that no row meets. False if for some tap it cannot move, or for none it may stay."""
    stride, rows, size = layout[STRIDES + 2], layout[TILE_ROWS], layout[INPUT + 2]
    can_move, can_stay = True, False
    for kw in range(layout[KERNEL + 2]):
        pixel = origin + kw * layout[DILATION + 2]
        first, end = max(-pixel, 0), min(size - pixel, rows)
        if stride > 1:  # divisions take long
            first, end = first_tap(pixel, stride), end_tap(pixel, stride, rows, size)
        shift = first if first > 0 else end - rows
        pixel += shift * stride
        if first >= end:
            shift = NOWHERE
        else:
            can_move &= (first == 0 or end == rows) and pixel >= 0 and pixel + (rows - 1) * stride < size
            can_stay |= shift == 0
        shifts[kw] = shift
    return can_move and can_stay


@helper
def _repeat_bias(sums, bias, first, end, width):
    """Rows first … end of a tile start from the bias."""
    for row in range(first, end):
        for j in range(width):
            sums[row * width + j] = bias[j]


@helper
def _sum_columns(x, source, weights, slots, layout, kernel_rows, first, end):
    """Runs the tile's kernel for some columns of some rows of its own kernel; x and weights: those of column 0."""
    columns = end - first
    slots[X_POINTER] = address_of(x, source + first * layout[DILATION + 2] * layout[X + 3])
    slots[W_POINTER] = weights + first * layout[WEIGHT_COLUMN] * layout[ITEM_BYTES]
    slots[TABLE] = address_of(slots, _table_of(layout, columns))
    call_tile_kernel(layout[TILE_KERNEL], kernel_rows if layout[TAPS_W] == 1 else kernel_rows * columns, slots)


@helper
def _output_moved(x, source, bias, sums, shifts, slots, layout, kernel_rows):
    """A tile at an end of a row, whose slots are filled but for the input and the table. Windows are not copied: taps
    that some of the tile's rows miss are added to all rows of a tile some pixels further on, of which the last or the
    first are then nobody's."""
    start, out, flags, out_step, columns = slots[START], slots[OUT], slots[FLAGS], slots[OUT_STEP], slots[COLUMNS]
    width, rows, weights = layout[TILE_WIDTH], layout[TILE_ROWS], slots[W_POINTER]
    own, pixel = pointer_at(sums, rows * width), layout[STRIDES + 2] * layout[X + 3]
    slots[OUT_STEP], slots[COLUMNS], slots[FLAGS] = width, layout[SUMS_COLUMNS], START_ROW
    first, end, whole, end_whole = 0, 0, 0, 0
    while first < layout[KERNEL + 2]:
        shift = shifts[first]
        while end < layout[KERNEL + 2] and shifts[end] == shift:
            end += 1
        if shift == 0:
            whole, end_whole = first, end
        elif shift != NOWHERE:
            slots[OUT] = address_of(own, shift * width)
            if slots[FLAGS] == START_TILE:
                slots[START] = slots[OUT]
            _sum_columns(x, source + shift * pixel, weights, slots, layout, kernel_rows, first, end)
            if slots[FLAGS] == START_ROW:
                _repeat_bias(own, bias, 0, shift, width)
                _repeat_bias(own, bias, rows + min(shift, 0), rows, width)
                slots[FLAGS] = START_TILE
        first = end
    slots[OUT], slots[OUT_STEP], slots[COLUMNS] = out, out_step, columns
    if slots[FLAGS] == START_TILE:
        slots[START], slots[FLAGS] = address_of(own, 0), flags + START_TILE - START_ROW
    else:
        slots[FLAGS] = flags
    _sum_columns(x, source, weights, slots, layout, kernel_rows, whole, end_whole)
    slots[START], slots[FLAGS], slots[W_POINTER] = start, flags, weights
    slots[TABLE] = address_of(slots, _table_of(layout, layout[KERNEL + 2]))


@helper
def _output_copied(x, source, patch, slots, layout, kernel_rows, listed, origin, begin):
    """A tile at an end of a row, whose slots are filled but for the input and the table, from a copy of its windows."""
    channels, step, table = layout[PITCH], slots[STEP], slots[TABLE]
    copy_windows(x, source, layout, kernel_rows, origin, patch, layout[PATCH_WIDTH], channels, channels)
    slots[X_POINTER], slots[STEP] = address_of(patch, begin), layout[STRIDES + 2] * channels
    slots[TABLE] = address_of(slots, _table_of(layout, layout[KERNEL + 2] + 1))
    call_tile_kernel(layout[TILE_KERNEL], listed * layout[TAPS_W], slots)
    slots[STEP], slots[TABLE] = step, table


@helper
def _output_row(x, x_row, y, y_row, bias, scratch, waiting, slots, layout, kernel_rows, listed, begin, column, count):
    """`count` tiles of a row from the tile `column`, for the piece of the depth that starts at `begin`. The tables list
    so many kernel rows. Between pieces, sums are `waiting`."""
    tile_rows, tile_size = layout[TILE_ROWS], layout[TILE_ROWS] * layout[TILE_WIDTH]
    is_last = begin + layout[PIECE] >= layout[RUN]
    start, columns, stride = slots[START], slots[COLUMNS], layout[STRIDES + 2]
    slots[FLAGS] = (START_TILE if begin else START_ROW) | (layout[FINISH] if is_last else 0)
    slots[OUT_STEP] = layout[Y + 3] if is_last else layout[TILE_WIDTH]
    slots[COLUMNS] = columns if is_last else layout[TILE_WIDTH]
    slots[STEP] = stride * layout[READ_W]
    table, taps = _table_of(layout, layout[KERNEL + 2]), listed * layout[TAPS_W]
    slots[TABLE], slots[table + 3 * taps] = address_of(slots, table), slots[table] + tile_rows * slots[STEP]
    for i in range(count):
        ow = min((column + i) * tile_rows, layout[OUTPUT + 2] - tile_rows)
        origin = ow * stride - layout[BEFORE + 2]
        source = x_row + origin * layout[READ_W]
        if begin:
            slots[START] = address_of(waiting, i * tile_size)
        slots[OUT] = address_of(y, y_row + ow * layout[Y + 3]) if is_last else address_of(waiting, i * tile_size)
        if layout[STAGED_ROWS] or (origin >= 0 and origin + layout[PATCH_WIDTH] <= layout[INPUT + 2]):
            if i + 1 == count:
                slots[table + 3 * taps] = slots[table] + layout[NEXT_ROW] - source + x_row
            slots[X_POINTER] = address_of(x, source + begin)
            call_tile_kernel(layout[TILE_KERNEL], taps, slots)
        elif layout[MOVES] and _find_shifts(pointer_at(slots, SLOTS), layout, origin):
            sums, shifts = pointer_at(scratch, layout[PATCH_SIZE]), pointer_at(slots, SLOTS)
            _output_moved(x, source, bias, sums, shifts, slots, layout, listed)
        else:
            _output_copied(x, source, scratch, slots, layout, kernel_rows, listed, origin, begin)
    slots[START], slots[COLUMNS] = start, columns


@helper
def _output_piece(x, x_block, y, y_block, bias, scratch, slots, layout, first, last, begin):
    """The tiles first … last of a block, row after row, for the piece of the depth that starts at `begin`."""
    waiting = pointer_at(scratch, layout[PATCH_SIZE] + layout[SUMS_SIZE])
    piece = min(layout[PIECE], layout[RUN] - begin)
    row, column, done = first // layout[TILES_PER_ROW], first % layout[TILES_PER_ROW], first
    listed, rows_listed, first_staged, end_staged = (-1, 0, 0, 0), 0, 0, 0
    while done < last:
        n, od, oh = row_position(layout, row)
        origin_d = od * layout[STRIDES] - layout[BEFORE]
        origin_h = oh * layout[STRIDES + 1] - layout[BEFORE + 1]
        kernel_rows = kernel_rows_inside(layout, origin_d, origin_h)
        if kernel_rows != listed:
            listed, rows_listed = kernel_rows, _list_tables(slots, layout, kernel_rows, piece)
        here, x_row = x, x_block + n * layout[X] + origin_d * layout[X + 1] + origin_h * layout[X + 2]
        if layout[STAGED_ROWS]:
            if row >= end_staged:
                rows = min(layout[OUTPUT + 1] - oh, (last - 1) // layout[TILES_PER_ROW] + 1 - row)
                _stage_rows(x, x_row, layout, kernel_rows, origin_h, rows, scratch)
                end_staged, first_staged = row + rows, origin_h
            here, x_row = scratch, (origin_h - first_staged) * layout[READ_H] + layout[BEFORE + 2] * layout[READ_W]
        y_row = y_block + n * layout[Y] + od * layout[Y + 1] + oh * layout[Y + 2]
        own = pointer_at(waiting, (done - first) * layout[TILE_ROWS] * layout[TILE_WIDTH])
        count = min(layout[TILES_PER_ROW] - column, last - done)
        _output_row(
            here, x_row, y, y_row, bias, scratch, own, slots, layout, kernel_rows, rows_listed, begin, column, count
        )
        row, column, done = row + 1, 0, done + count


@helper
def _output_chunk(x, w, bias, y, scratch, slots, layout, item):
    """A block of output channels of a group for a chunk of tiles."""
    block, group = item % layout[BLOCKS], item // layout[BLOCKS] % layout[GROUPS]
    chunk = item // layout[BLOCKS] // layout[GROUPS]
    first, last = chunk * layout[CHUNK], min((chunk + 1) * layout[CHUNK], layout[TILES])
    channel = min(block * layout[TILE_WIDTH], layout[LAST_CHANNEL])
    x_block = group * layout[X + 4] + (channel // layout[APART] * layout[CHANNELS] if layout[APART] else 0)
    y_block = layout[Y_START] + group * layout[Y + 4] + channel
    w_block = min(block * layout[WEIGHT_BLOCK], layout[LAST_WEIGHT])
    w_block += layout[WEIGHT_START] + group * layout[WEIGHT_GROUP]
    slots[COLUMNS] = min(layout[TILE_WIDTH], layout[CHANNELS_OUT] - channel)
    own_bias = pointer_at(bias, layout[BIAS_START] + (group * layout[BLOCKS] + block) * layout[BIAS_BLOCK])
    slots[START] = address_of(own_bias, 0)
    slots[W_ADVANCE], slots[W_STEP] = layout[WEIGHT_ADVANCE], layout[WEIGHT_STEP]
    begin = 0
    while begin < layout[RUN]:  # not a range: that would allow for a negative step
        slots[W_POINTER] = address_of(w, w_block + begin * layout[WEIGHT_ADVANCE])
        _output_piece(x, x_block, y, y_block, own_bias, scratch, slots, layout, first, last, begin)
        begin += layout[PIECE]


@kernel
def correlate(begin, end, arguments):
    """y = bias + Σ x · w over all taps, then maybe ReLU, for the parts begin … end of the work, one correlation after
    the other."""
    x, w, bias, y, scratch, slots, every = unpack(arguments)
    phase = 0
    for part in range(begin, end):
        while part >= every[phase * LAYOUT_SIZE + END_PART]:
            phase += 1
        layout = pointer_at(every, phase * LAYOUT_SIZE)
        own, own_slots = pointer_at(scratch, part * layout[SCRATCH_SIZE]), pointer_at(slots, part * layout[SLOTS_SIZE])
        share = part - layout[END_PART] + layout[PARTS]
        for item in range(share * layout[ITEMS] // layout[PARTS], (share + 1) * layout[ITEMS] // layout[PARTS]):
            _output_chunk(x, w, bias, y, own, own_slots, layout, item)
    finish_streams()
