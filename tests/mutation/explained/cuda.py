"""Mutants that may live, of the GPU's launchers: module, statement before, statements after, why."""

from __future__ import annotations

LESS_ROOM = "The address sanitizer sees it, under which the cases run in the tests (`test_emulated.py`)."
MORE_ROOM = "Only how much memory there is: more than it takes."
SHARES = "Only how many threads or blocks share the work: each goes round as long as there is some."

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        "kernels.cuda.rows",
        "HELD = 4",
        ("HELD = 3",),
        "With fewer numbers a lane, only from which length on a row is a block's.",
    ),
    (
        "kernels.cuda.rows",
        "threads = min(max(_power_of_two(-(-columns // HELD)), LEAST_THREADS), MOST_THREADS)",
        ("threads = min(max(_power_of_two(-(-columns * HELD)), LEAST_THREADS), MOST_THREADS)",),
        SHARES,
    ),
    (
        "kernels.cuda.dice",
        "coefficient, share = _coefficient_and_share(p, t, smooth, contiguous(dcoefficient))",
        ("coefficient, share = _coefficient_and_share(t, p, smooth, contiguous(dcoefficient))",),
        "The coefficient of p and t is that of t and p.",
    ),
    (
        "kernels.cuda.dice",
        "partials = partial_sums(SOURCE('dice_sums', c_type(p.dtype), n), lines, 3, n, (p, t))",
        ("partials = partial_sums(SOURCE('dice_sums', c_type(p.dtype), n), lines, 4, n, (p, t))",),
        MORE_ROOM,
    ),
    (
        "kernels.cuda.layer_normalization",
        "LONGEST = 65536",
        ("LONGEST = 65535",),
        "From which length on several blocks have a row: the sums are taken in another order.",
    ),
    (
        "kernels.cuda.lines",
        "LINES = (16, 256)",
        ("LINES = (15, 256)",),
        "It is rounded up to whole groups of 8 lines.",
    ),
    (
        "kernels.cuda.lines",
        "return Lines(samples, size, channels, unit * (most // unit), 1, 1, 1, 0)",
        ("return Lines(samples, size, channels, unit * (most // unit), 1, 0, 1, 0)",),
        "How many chunks there are is set where lines are cut in chunks.",
    ),
    (
        "kernels.cuda.lines",
        "lanes = 1 << (min(max(columns, 1), 32) - 1).bit_length()",
        (
            "lanes = 1 << (min(max(columns, 2), 32) - 1).bit_length()",
            "lanes = 1 << (min(max(columns, 1), 32) - 0).bit_length()",
        ),
        "How many columns a block has: the sums are taken in another order.",
    ),
    (
        "kernels.cuda.losses",
        "launch(SOURCE(name, c_type(x.dtype), n), (x, target, loss, *parameters, x.size), -(-x.size // n))",
        ("launch(SOURCE(name, c_type(x.dtype), n), (x, target, loss, *parameters, x.size), -(-x.size * n))",),
        SHARES,
    ),
    (
        "kernels.cuda.optimizers",
        "MOST, KINDS, CHUNK = (64, 5, 4096)",
        ("MOST, KINDS, CHUNK = (64, 5, 4095)",),
        "A piece more, of no numbers. (With 4097 some are left out, and tests fail.)",
    ),
    (
        "kernels.cuda.pooling",
        "lanes = min(32, 1 << max(channels // n - 1, 0).bit_length())",
        ("lanes = min(32, 1 << max(channels // n + 1, 0).bit_length())",),
        SHARES,
    ),
    (
        "kernels.cuda.resize",
        "MANY = 128",
        ("MANY = 129",),
        "From where on the transpose goes axis by axis: the sums are taken in another order.",
    ),
    (
        "kernels.cuda.resize",
        "for axis in sorted(range(len(sizes)), key=lambda axis: input_size[axis] / max(sizes[axis], 1)):",
        ("for axis in sorted(range(len(sizes)), key=lambda axis: input_size[axis] / max(sizes[axis], 2)):",),
        "In which order the axes are gone through: the sums are taken in another order.",
    ),
    (
        "kernels.cuda.row_sums",
        "MOST_ACROSS = 64",
        ("MOST_ACROSS = 63",),
        SHARES,
    ),
    (
        "kernels.cuda.row_sums",
        "_launch('add_rows', c_type(x.dtype), -(-count // tile), wide, (x, rows, ranges, y, sizes), "
        "CHUNK * 4 + CHUNK // 8)",
        (
            "_launch('add_rows', c_type(x.dtype), -(-count // tile), wide, (x, rows, ranges, y, sizes), "
            "CHUNK * 3 + CHUNK // 8)",
        ),
        LESS_ROOM,
    ),
    (
        "kernels.cuda.row_sums",
        "blocks = min(blocks, max(1, current().resident_blocks(function, CHUNK, shared) // wide))",
        ("blocks = min(blocks, max(1, current().resident_blocks(function, CHUNK, shared) * wide))",),
        SHARES,
    ),
    (
        "kernels.cuda.affine",
        "n = pack_size(read, written)",
        ("n = pack_size(written, read)",),
        "The order of the arrays does not count.",
    ),
    (
        "kernels.cuda.elementwise",
        "n = pack_size(dy, x, dx)",
        ("n = pack_size(x, dy, dx)",),
        "The order of the arrays does not count.",
    ),
    (
        "kernels.cuda.channel_sum",
        "FEWEST_ROWS = 64",
        ("FEWEST_ROWS = 63",),
        "From how many rows on there is a part more: the sums are taken in another order.",
    ),
    (
        "kernels.cuda.channel_sum",
        "of_part = max(1, -(-rows // most))",
        ("of_part = max(1, -(-rows * most))",),
        "Everything is one part: the same sums, taken by too few blocks.",
    ),
    (
        "kernels.cuda.channel_sum",
        "least = n // gcd(channels, n)",
        ("least = n // gcd(n, channels)",),
        "The divisor that two numbers share.",
    ),
    (
        "kernels.cuda.dense",
        "STEPS = 3",
        ("STEPS = 4",),
        MORE_ROOM,
    ),
    (
        "kernels.cuda.dense",
        "sums = c if splits == 1 else empty((batch, splits, m, n), sum_type(c.dtype))",
        ("sums = c if splits == 0 else empty((batch, splits, m, n), sum_type(c.dtype))",),
        "Of sums that are not split, the kernel writes the result alone: only more memory.",
    ),
    (
        "kernels.cuda.depthwise",
        "BYTES_OF_TERMS = 16 * 24",
        ("BYTES_OF_TERMS = 17 * 24",),
        MORE_ROOM,
    ),
    (
        "kernels.cuda.few_channels",
        "across = -(-works[0].c_out // (ACROSS * channels)) if few_inputs else 1",
        ("across = -(-works[0].c_out // (ACROSS * channels)) if few_inputs else 2",),
        SHARES,
    ),
    (
        "kernels.cuda.output_tiles",
        "parts = 1 if len(works) > 1 else _parts(works[0], tile)",
        ("parts = 1 if len(works) >= 1 else _parts(works[0], tile)",),
        "Sums are never cut in parts: the same ones, taken by too few blocks.",
    ),
    (
        "kernels.cuda.output_tiles",
        "if tile == WIDE:",
        ("if not tile == WIDE:",),
        "Sums are never cut in parts: the same ones, taken by too few blocks.",
    ),
    (
        "kernels.cuda.output_tiles",
        "return -(-work.most_pixels // tile[0]) * -(-work.c_out // tile[1]) * work.groups * work.all_phases",
        ("return -(-work.most_pixels // tile[0]) * -(-work.c_out // tile[0]) * work.groups * work.all_phases",),
        SHARES,
    ),
    (
        "kernels.cuda.recurrence",
        "WARP, MOST_THREADS = (32, 256)",
        ("WARP, MOST_THREADS = (31, 256)",),
        "Blocks that are not whole warps: slower, and the same numbers.",
    ),
    (
        "kernels.cuda.launching",
        "function: Function, arguments: tuple[Any, ...], items: int, threads: int=THREADS, shared: int=0",
        ("function: Function, arguments: tuple[Any, ...], items: int, threads: int=THREADS, shared: int=1",),
        MORE_ROOM,
    ),
    (
        "kernels.cuda.weight_tiles",
        "return WIDE if packed and smaller > 64 else SMALL if smaller > 32 else NARROW",
        ("return WIDE if packed and smaller > 63 else SMALL if smaller > 32 else NARROW",),
        "Which tile is chosen: the sums are taken in another order.",
    ),
    (
        "kernels.cuda.weight_tiles",
        "most = max(1, min(ENOUGH // threads, pixels // FEWEST_PIXELS))",
        ("most = max(1, min(ENOUGH * threads, pixels // FEWEST_PIXELS))",),
        "In how many parts the pixels are cut: the sums are taken in another order.",
    ),
    (
        "kernels.cuda.convolution_tensor_cores",
        "launch_blocks(SOURCE('correlate', arithmetic_for(x.dtype, precision), m, n, transposed), "
        "(x, weight, bias, y, sums, y.size, work, "
        "Tiling(down, across, splits, depth, *aligned, relu)), (blocks * splits, 1, 1), (THREADS, 1, 1), "
        "m * CORNER_BYTES + 3 * (m + n) * STEP_BYTES)",
        (
            "launch_blocks(SOURCE('correlate', arithmetic_for(x.dtype, precision), m, n, transposed), "
            "(x, weight, bias, y, sums, y.size, work, "
            "Tiling(down, across, splits, depth, *aligned, relu)), (blocks * splits, 2, 1), (THREADS, 1, 1), "
            "m * CORNER_BYTES + 3 * (m + n) * STEP_BYTES)",
        ),
        "Everything is computed twice, and the same.",
    ),
]
