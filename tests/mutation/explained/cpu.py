"""Mutants that may live, of the CPU's kernels: module, statement before, statements after, why."""

from __future__ import annotations

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        "kernels.cpu.arithmetic",
        "grain = SMALL // (2 * CHUNK * x.itemsize)",
        ("grain = SMALL // (3 * CHUNK * x.itemsize)",),
        "Only how much work a thread is given at once.",
    ),
    (
        "kernels.cpu.arithmetic",
        "SMALL = 512 * 1024",
        ("SMALL = 511 * 1024",),
        "Only from where on threads are faster than NumPy; the sums are the same.",
    ),
    (
        "kernels.cpu.tiling",
        "line = LINE_CYCLES if wide * lanes >= channels else 3 * LINE_CYCLES",
        ("line = LINE_CYCLES if wide * lanes > channels else 3 * LINE_CYCLES",),
        "What a tile is taken to cost: another may be chosen, which takes the sums in another order.",
    ),
    (
        "kernels.cpu.tiling",
        "return (tiles * (cycles + loads / 32 + 0.5), -rows * width * wide)",
        ("return (tiles * (cycles + loads / 32 + 0.5), +rows * width * wide)",),
        "Which of two tiles that are taken to cost the same is chosen: one takes the sums in another order.",
    ),
    (
        "kernels.cpu.dense",
        "transpose_b = bool(transpose_b) or n == 1",
        ("transpose_b = bool(transpose_b) or n == 0",),
        "A single column is the same memory as a row, as which it is read faster: the sums are taken in another order.",
    ),
    (
        "kernels.cpu.average_pooling",
        "alike = count_include_pad or not any(map(any, padding))",
        ("alike = count_include_pad and (not any(map(any, padding)))",),
        "Fewer gradients take the faster of two ways: the same sums, taken in another order.",
    ),
    (
        "kernels.cpu.caches",
        "COMMON_SIZE = 32 * 1024 ** 2",
        ("COMMON_SIZE = 31 * 1024 ** 2",),
        "A guess at a cache's size, by which only the way to store is chosen.",
    ),
    (
        "kernels.cpu.correlation",
        (
            "return Correlation(1, (1, 1, pixels), (1, 1, pixels), (1, 1, 1), (1, 1, 1), (1, 1, 1), (0, 0, 0), "
            "groups, channels_in, channels_out, x_strides=(0, 0, 0, channels_in, pixels * channels_in), "
            "y_strides=(0, 0, 0, channels_out, pixels * channels_out), weight_strides=(0, 0, 0, *weight_strides, "
            "channels_in * channels_out))"
        ),
        (
            (
                "return Correlation(1, (1, 1, pixels), (1, 1, pixels), (1, 1, 1), (0, 1, 1), (1, 1, 1), (0, 0, 0), "
                "groups, channels_in, channels_out, x_strides=(0, 0, 0, channels_in, pixels * channels_in), "
                "y_strides=(0, 0, 0, channels_out, pixels * channels_out), weight_strides=(0, 0, 0, *weight_strides, "
                "channels_in * channels_out))"
            ),
        ),
        "Along an axis with one output its stride is multiplied by 0.",
    ),
    (
        "kernels.cpu.correlation",
        (
            "return Correlation(1, (1, 1, pixels), (1, 1, pixels), (1, 1, 1), (1, 1, 1), (1, 1, 1), (0, 0, 0), "
            "groups, channels_in, channels_out, x_strides=(0, 0, 0, channels_in, pixels * channels_in), "
            "y_strides=(0, 0, 0, channels_out, pixels * channels_out), weight_strides=(0, 0, 0, *weight_strides, "
            "channels_in * channels_out))"
        ),
        (
            (
                "return Correlation(1, (1, 1, pixels), (1, 1, pixels), (1, 1, 1), (1, 1, 1), (1, 1, 1), (0, 0, 0), "
                "groups, channels_in, channels_out, x_strides=(0, 0, 0, channels_in, pixels * channels_in), "
                "y_strides=(0, 0, 0, channels_out, pixels * channels_out), weight_strides=(0, 1, 0, *weight_strides, "
                "channels_in * channels_out))"
            ),
        ),
        "Along an axis with one tap the weights' stride is multiplied by 0.",
    ),
    (
        "kernels.cpu.convolution",
        "if groups > 1 or strides[-1] == 1 or dilation_rate[-1] > 1:",
        ("if groups > 1 or strides[-0] == 1 or dilation_rate[-1] > 1:",),
        "Only whether phases are joined where that is faster: long sums are taken in another order.",
    ),
    (
        "kernels.cpu.recording",
        "ALONE_SECONDS = 0.0001",
        ("ALONE_SECONDS = 0.0001001",),
        "From how long on other threads are woken: the results are the same.",
    ),
    (
        "kernels.cpu.recording",
        "self._table = np.zeros((len(every), ENTRY), np.int64)",
        ("self._table = np.ones((len(every), ENTRY), np.int64)",),
        "Every number of the table is written right after.",
    ),
    (
        "kernels.cpu.recording",
        "self._code.pack(self._arguments, 0, 0, 0, 1, address_of_array(self._table), 0, shared)",
        ("self._code.pack(self._arguments, 0, 1, 0, 1, address_of_array(self._table), 0, shared)",),
        "The call passes the arguments alone: nothing reads the header before them.",
    ),
    (
        "kernels.cpu.recording",
        "self._code.pack(self._arguments, 0, 0, 0, 1, address_of_array(self._table), 0, shared)",
        ("self._code.pack(self._arguments, 0, 0, 0, 2, address_of_array(self._table), 0, shared)",),
        "The call passes the arguments alone: nothing reads the header before them.",
    ),
    (
        "kernels.cpu.team",
        (
            "_PAUSE = {'x86_64': ('llvm.x86.sse2.pause', ()), 'aarch64': ('llvm.aarch64.hint', "
            "(ir.Constant(ir.IntType(32), 1),)), 'arm64': ('llvm.aarch64.hint', (ir.Constant(ir.IntType(32), "
            "1),))}"
        ),
        (
            (
                "_PAUSE = {'x86_64': ('llvm.x86.sse2.pause', ()), 'aarch64': ('llvm.aarch64.hint', "
                "(ir.Constant(ir.IntType(32), 2),)), 'arm64': ('llvm.aarch64.hint', (ir.Constant(ir.IntType(32), "
                "1),))}"
            ),
        ),
        "A hint to processors of another kind, about how to wait: it changes no result.",
    ),
    (
        "kernels.cpu.team",
        "add(words, GENERATION, 1)",
        ("add(words, GENERATION, 2)",),
        "A count that is only compared with what it was before.",
    ),
    (
        "kernels.cpu.streams",
        "SMALL = 1024 ** 2",
        ("SMALL = 1025 ** 2",),
        "From which size on results pass the caches by: they are the same.",
    ),
    (
        "kernels.cpu.few_rows",
        "LEAST_DEPTH = 64",
        ("LEAST_DEPTH = 65",),
        "From how many rows on the weights are cut in pieces: the sums are taken in another order.",
    ),
    (
        "kernels.cpu.few_rows",
        "layout[[AHEAD_ROW, AHEAD_COLUMN]] = (vector.lanes, ROWS) if block == n else (n, 1)",
        ("layout[[AHEAD_ROW, AHEAD_COLUMN]] = (vector.lanes, ROWS) if block == n else (n, 2)",),
        "Which memory is asked for ahead: that changes no result.",
    ),
    (
        "kernels.cpu.channel_sum",
        "WORK = 50000",
        ("WORK = 50001",),
        "How many numbers are worth a thread: the sums are taken in another order.",
    ),
    (
        "kernels.cpu.channels",
        "return max(1, CHUNK // 2 // max(min(self.positions, self.chunk_rows) * self.channels, 1))",
        ("return min(1, CHUNK // 2 // max(min(self.positions, self.chunk_rows) * self.channels, 1))",),
        "Only how much work a thread is given at once.",
    ),
    (
        "kernels.cpu.channels",
        "return max(1, CHUNK // 2 // max(min(self.positions, self.chunk_rows) * self.channels, 1))",
        ("return max(1, CHUNK // 2 // max(min(self.positions, self.chunk_rows) * self.channels, 2))",),
        "Only how much work a thread is given at once.",
    ),
    (
        "kernels.cpu.winograd_deep_gradient",
        "parts = -(-channels // tile[1]) * -(-vectors // tile[2])",
        ("parts = -(-channels // tile[1]) * +(-vectors // tile[2])",),
        "What a way is taken to cost: another may be chosen, which takes the sums in another order.",
    ),
    (
        "kernels.cpu.winograd",
        "edges = tiles_at_edges(c, outputs) * EDGE_CYCLES * points ** 2",
        ("edges = tiles_at_edges(c, outputs) * EDGE_CYCLES * (points * 2)",),
        "What a way is taken to cost: another may be chosen, which takes the sums in another order.",
    ),
    (
        "kernels.cpu.winograd",
        "reads = reading_cycles(own * weights, workers) if own * weights + inputs > 2 * NEAR_BYTES else 0",
        ("reads = 0 if own * weights + inputs > 2 * NEAR_BYTES else reading_cycles(own * weights, workers)",),
        "What a way is taken to cost: another may be chosen, which takes the sums in another order.",
    ),
    (
        "kernels.cpu.lane_maps",
        "run = (~want | (here - base[:, None] == np.arange(width))).all(1)",
        ("run = (~want | (here - base[:, None] == np.arange(width))).any(1)",),
        "Only where a window of the input begins: each lane finds its number in either.",
    ),
    (
        "kernels.cpu.lane_maps",
        "room = empty(2 * vector.lanes, array.dtype)",
        ("room = empty(3 * vector.lanes, array.dtype)",),
        "Only how many zeros lie behind a short array.",
    ),
    (
        "kernels.cpu.rows",
        "kind, count, width = (VectorType(vector.element, vector.lanes), vector.lanes, _known_width(shape) or 1)",
        ("kind, count, width = (VectorType(vector.element, vector.lanes), vector.lanes, _known_width(shape) or 0)",),
        "Where the width is not known, what this makes is never run.",
    ),
    (
        "kernels.cpu.rows",
        "ask_ahead(shape, x, at + start + j)",
        ("ask_ahead(shape, x, at - start + j)",),
        "Which memory is asked for ahead: that changes no result.",
    ),
    (
        "kernels.cpu.normalization",
        "grain = max(1, 8192 // (BLOCK * lines.positions * lines.channels))",
        ("grain = max(1, 8191 // (BLOCK * lines.positions * lines.channels))",),
        "Only how much work a thread is given at once.",
    ),
    (
        "kernels.cpu.mathematics",
        (
            "_log1p_unit_tail = polynomial([0.6666664033669923, 0.40007560644911205, 0.2823661980531048, "
            "0.2685149802283715], [2 / (2 * k + 1) for k in range(1, 17)])"
        ),
        (
            (
                "_log1p_unit_tail = polynomial([0.6666664033669923, 0.40007560644911205, 0.2823661980531048, "
                "0.26878349520859984], [2 / (2 * k + 1) for k in range(1, 17)])"
            ),
        ),
        "The logarithm changes by less than a hundredth of a rounding.",
    ),
    (
        "kernels.cpu.simd",
        (
            "LEVELS = {level.name: level for level in [Level('avx512', 64, 32), Level('avx2', 32, 16), Level('sse', "
            "16, 16), Level('neon', 16, 32), Level('scalar', 0, 16)]}"
        ),
        (
            (
                "LEVELS = {level.name: level for level in [Level('avx512', 64, 32), Level('avx2', 32, 16), "
                "Level('sse', 16, 15), Level('neon', 16, 32), Level('scalar', 0, 16)]}"
            ),
        ),
        "How many registers tiles are made for: another may be chosen, which takes the sums in another order.",
    ),
    (
        "kernels.cpu.output_tiles",
        "chunk = min(CHUNK_CYCLES / tile_cycles, 256, -(-tiles * blocks // (8 * parts)))",
        ("chunk = min(CHUNK_CYCLES / tile_cycles, 256, -(+tiles * blocks // (8 * parts)))",),
        "Only how many tiles are computed before the next block of weights: their sums are the same.",
    ),
    (
        "kernels.cpu.output_tiles",
        "calls = min(kw - 1, -(-max(c.before[2], 1) // c.dilation[2]))",
        ("calls = min(kw - 1, -(-max(c.before[2], 1) // c.dilation[1]))",),
        "What a way is taken to cost: another may be chosen, which takes the sums in another order.",
    ),
    (
        "kernels.cpu.weight_tiles",
        "return (rows if share > 0 else 0, -(-share // (rows * pixels)))",
        ("return (rows if share > 0 else 0, +(-share // (rows * pixels)))",),
        "Which memory is asked for ahead: that changes no result.",
    ),
    (
        "kernels.cpu.weight_tiles",
        "added = 2 * by_pixels * sums_bytes if by_pixels > 1 else 0",
        ("added = 2 * by_pixels * sums_bytes if by_pixels >= 1 else 0",),
        "What a way is taken to cost: another may be chosen, which takes the sums in another order.",
    ),
    (
        "kernels.cpu.gradient_tiles",
        "right = (size - 1 - span - origin) // stride + 1 if size > span + origin else 0",
        ("right = (size - 2 - span - origin) // stride + 1 if size > span + origin else 0",),
        "One pixel more may be added by itself: the sums are taken in another order.",
    ),
    (
        "kernels.cpu.tile_kernel",
        "following = table[3 * t + 3]",
        ("following = table[3 * t + 2]",),
        "Which memory is asked for ahead: that changes no result.",
    ),
    (
        "kernels.cpu.winograd_filters",
        "q, target = (first, (channel - start) // width * block + (channel - start) % width)",
        ("q, target = (first, (channel - start) // width * block + (channel + start) % width)",),
        "The first channel is a multiple of the width, so the remainder is the same.",
    ),
    (
        "kernels.cpu.depthwise",
        "return across * down * each + at_edge * EDGE_CYCLES * places",
        ("return across * down * each - at_edge * EDGE_CYCLES * places",),
        "What a way is taken to cost: another may be chosen, which takes the sums in another order.",
    ),
    (
        "kernels.cpu.depthwise",
        "room = rounded_up(max(channels, lanes), LINE_BYTES // dtype.itemsize)",
        ("room = rounded_up(max(channels, lanes), LINE_BYTES * dtype.itemsize)",),
        "Only how much memory a part has: more than it needs.",
    ),
    (
        "kernels.cpu.bodies",
        "self.count, self.seconds, self.announced = (0, 0.0, bool(os.environ.get('TOMOGRAD_QUIET')))",
        ("self.count, self.seconds, self.announced = (0, 0.001, bool(os.environ.get('TOMOGRAD_QUIET')))",),
        "That kernels take long to compile is said a thousandth of a second earlier.",
    ),
    (
        "kernels.cpu.compiling",
        "llvm.ffi.lib.LLVMPY_LoadLibraryPermanently(None, _error)",
        ("pass",),
        "LLVM does the same when an engine for machine code is made, which comes first.",
    ),
    (
        "kernels.cpu.separable",
        "if (number == 1) & (not some):",
        ("if (number == 2) & (not some):",),
        "Called for two rows or more, so that no row is alone unless others were added before.",
    ),
    (
        "kernels.cpu.lane_maps",
        (
            "return (np.zeros(0, int), np.zeros(0, int), np.zeros((0, width), int), np.zeros((0, width)), "
            "np.zeros(0, bool))"
        ),
        (
            (
                "return (np.zeros(0, int), np.zeros(1, int), np.zeros((0, width), int), np.zeros((0, width)), "
                "np.zeros(0, bool))"
            ),
        ),
        "No axis is without entries: each window has a position of the image, each pixel a neighbour.",
    ),
    (
        "kernels.cpu.row_sums",
        "parts = max(1, min(threads(), (x.size + y.size) // GRAIN))",
        (
            "parts = max(1, max(threads(), (x.size + y.size) // GRAIN))",
            "parts = max(1, min(threads(), (x.size + y.size) * GRAIN))",
        ),
        "Into how many parts the result is cut changes none of its sums: only the time.",
    ),
    (
        "kernels.cpu.recurrent_products",
        "ALL_SLOTS = SLOTS + 4",
        ("ALL_SLOTS = SLOTS + 5",),
        "Room on the stack for a number that nobody writes or reads.",
    ),
    (
        "kernels.cpu.recurrent_products",
        "run(_pack_transposed, items, 4, weight, packed, depth, columns, first, units, width, chunk)",
        ("run(_pack_transposed, items, 3, weight, packed, depth, columns, first, units, width, chunk)",),
        "From how many items on a second thread takes part: it changes no result.",
    ),
]
