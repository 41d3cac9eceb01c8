"""Mutants that may live, of reference kernels, geometry and memory: module, statement before, statements after, why."""

from __future__ import annotations

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        "kernels.reference.windows",
        "under = (slice(t * d, t * d + o * s, s) for t, d, o, s in zip(tap, dilation_rate, output_size, strides, "
        "strict=True))",
        (
            "under = (slice(t * d, t * d + o * s, s) for t, d, o, s in zip(dilation_rate, tap, output_size, strides, "
            "strict=True))",
        ),
        "t and d are only multiplied with each other.",
    ),
    (
        "kernels.reference.sums",
        "return x.sum(axis, dtype=np.result_type(x, np.float64)).astype(x.dtype)",
        ("return x.sum(axis, dtype=np.result_type(np.float64, x)).astype(x.dtype)",),
        "The type of two is the same in either order.",
    ),
    (
        "kernels.reference.sums",
        "wide = np.result_type(x, np.float64)",
        ("wide = np.result_type(np.float64, x)",),
        "The type of two is the same in either order.",
    ),
    (
        "kernels.reference.arithmetic",
        "return np.add(x, y, out=destination)",
        ("return np.add(y, x, out=destination)",),
        "x + y = y + x, also as floating-point numbers.",
    ),
    (
        "kernels.reference.resize",
        "return [(lower, 1 - fraction), (np.minimum(lower + 1, n - 1), fraction)]",
        ("return [(lower, 1 - fraction), (np.minimum(n - 1, lower + 1), fraction)]",),
        "The smaller of two is the same in either order.",
    ),
    (
        "kernels.reference.normalization",
        "m = max(math.prod(x.shape[:-1]), 1)",
        ("m = max(1, math.prod(x.shape[:-1]))",),
        "The larger of two is the same in either order.",
    ),
    (
        "kernels.reference.normalization",
        "m = max(h.shape[1] * h.shape[3], 1)",
        ("m = max(1, h.shape[1] * h.shape[3])",),
        "The larger of two is the same in either order.",
    ),
    (
        "kernels.reference.losses",
        "return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))",
        ("return np.maximum(0, logits) - logits * targets + np.log1p(np.exp(-np.abs(logits)))",),
        "The larger of two is the same in either order, and a zero's sign is lost in the sum.",
    ),
    (
        "kernels.reference.losses",
        "numerator, denominator = _dice_fraction(probabilities, targets, smooth)",
        ("numerator, denominator = _dice_fraction(targets, probabilities, smooth)",),
        "Products and sums of p and t are those of t and p.",
    ),
    (
        "kernels.reference.losses",
        "_, denominator = _dice_fraction(probabilities, targets, smooth)",
        ("_, denominator = _dice_fraction(targets, probabilities, smooth)",),
        "Sums of p and t are those of t and p.",
    ),
    (
        "kernels.reference.losses",
        "coefficient = dice(probabilities, targets, smooth)[:, None]",
        ("coefficient = dice(targets, probabilities, smooth)[:, None]",),
        "The coefficient of p and t is that of t and p.",
    ),
    (
        "kernels.reference.activations",
        "return np.maximum(y, 0)",
        ("return np.maximum(0, y)",),
        "The larger of two is the same in either order.",
    ),
    (
        "kernels.reference.activations",
        "m = np.where(np.isinf(m), np.zeros_like(m), m)",
        ("m = np.where(np.isinf(m), np.ones_like(m), m)",),
        "Of a row whose largest is infinite that is the result, whatever finite number is subtracted.",
    ),
    (
        "kernels.reference.activations",
        "return np.where(x >= 0, 1 / (1 + e), e / (1 + e))",
        ("return np.where(x > 0, 1 / (1 + e), e / (1 + e))",),
        "At 0 both forms are 1/2.",
    ),
    (
        "kernels.reference.activations",
        "return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))",
        ("return np.maximum(0, x) + np.log1p(np.exp(-np.abs(x)))",),
        "The larger of two is the same in either order.",
    ),
    (
        "kernels.reference.activations",
        "return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))",
        ("return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))",),
        "At 0 both are 0.",
    ),
    (
        "kernels.reference.activations",
        "return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))",
        ("return np.where(x > 0, x, alpha * np.expm1(np.minimum(0, x)))",),
        "The smaller of two is the same in either order.",
    ),
    (
        "kernels.reference.activations",
        "return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))",
        ("return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 1)))",),
        "The exponential counts where x is at most 0; the bound only keeps it finite elsewhere.",
    ),
    (
        "kernels.reference.activations",
        "return np.where(x > 0, np.ones_like(x), alpha * np.exp(np.minimum(x, 0)))",
        ("return np.where(x > 0, np.ones_like(x), alpha * np.exp(np.minimum(0, x)))",),
        "The smaller of two is the same in either order.",
    ),
    (
        "kernels.reference.activations",
        "return np.where(x > 0, np.ones_like(x), alpha * np.exp(np.minimum(x, 0)))",
        ("return np.where(x > 0, np.ones_like(x), alpha * np.exp(np.minimum(x, 1)))",),
        "The exponential counts where x is at most 0; the bound only keeps it finite elsewhere.",
    ),
    (
        "kernels.reference.activations",
        "return x.clip(-200, 200)",
        (
            "return x.clip(-201, 200)",
            "return x.clip(-199, 200)",
            "return x.clip(-200, 201)",
            "return x.clip(-200, 199)",
        ),
        "At 199 already the density is 0 and tanh is 1 in every type.",
    ),
    (
        "kernels.reference.activations",
        "return np.where(np.isneginf(x), np.zeros_like(x), x)",
        ("return np.where(np.isneginf(x), np.ones_like(x), x)",),
        "The other factor is 0 there.",
    ),
    (
        "kernels.reference.activations",
        "finite = np.where(np.isinf(x), np.zeros_like(x), x)",
        ("finite = np.where(np.isinf(x), np.ones_like(x), x)",),
        "The other factor is 0 there.",
    ),
    (
        "kernels.geometry",
        "if any((k > i for k, i in zip(extent, padded, strict=True))):",
        ("if any((k > i for k, i in zip(extent, padded, strict=False))):",),
        "The next zip of the two refuses other lengths as well.",
    ),
    (
        "kernels.geometry",
        "for axis, (i, k, s, pair, d, o) in enumerate(zip(input_size, pool_size, strides, padding_pairs, "
        "dilation_rate, output_size, strict=True)):",
        (
            "for axis, (i, k, s, pair, d, o) in enumerate(zip(input_size, pool_size, strides, padding_pairs, "
            "dilation_rate, output_size, strict=False)):",
        ),
        "pool_output_size has refused other lengths.",
    ),
    (
        "kernels.geometry",
        "totals = [2 * (k // 2) - op for k, op in zip(extent, extra, strict=True)]",
        ("totals = [2 * (k // 2) - op for k, op in zip(extent, extra, strict=False)]",),
        "The span has refused other lengths.",
    ),
    (
        "kernels.geometry",
        "extra = tuple((max(s - k, 0) if word == 'valid' else 0 for s, k in zip(strides, extent, strict=True)))",
        ("extra = tuple((max(s - k, 0) if word == 'valid' else 0 for s, k in zip(strides, extent, strict=False)))",),
        "The span has refused other lengths.",
    ),
    (
        "kernels.geometry",
        "output_size = tuple((n - sum(pair) + op for n, pair, op in zip(span, pairs, extra, strict=True)))",
        ("output_size = tuple((n - sum(pair) + op for n, pair, op in zip(span, pairs, extra, strict=False)))",),
        "All three have as many as the input has dimensions.",
    ),
    (
        "kernels.geometry",
        "if not all((0 <= op < s for op, s in zip(sizes, strides, strict=True))):",
        ("if not all((0 <= op < s for op, s in zip(sizes, strides, strict=False))):",),
        "The span refuses other lengths next.",
    ),
    (
        "kernels.geometry",
        "extra = tuple((max(s - k, 0) if word == 'valid' else 0 for s, k in zip(strides, extent, strict=True)))",
        ("extra = tuple((max(0, s - k) if word == 'valid' else 0 for s, k in zip(strides, extent, strict=True)))",),
        "The larger of two is the same in either order.",
    ),
    (
        "kernels.geometry",
        "total = max(total, 0)",
        ("total = max(0, total)",),
        "The larger of two is the same in either order.",
    ),
    (
        "kernels.geometry",
        "windows = (0, o - 1) if d == 1 else range(o)",
        ("windows = (0, o - 1) if d == 0 else range(o)",),
        "All windows are tried, not only the two that can miss the input.",
    ),
    (
        "kernels.memory",
        "LENT_FROM = 1024 ** 2",
        ("LENT_FROM = 1023 ** 2",),
        "No size class lies between the two.",
    ),
    (
        "kernels.memory",
        "self.peak = max(self.peak, self.in_use)",
        ("self.peak = max(self.in_use, self.peak)",),
        "The larger of two is the same in either order.",
    ),
    (
        "kernels.memory",
        "self._shrink(0)",
        ("self._shrink(1)",),
        "No block is as small as a byte.",
    ),
    (
        "kernels.memory",
        "offset, arrays = (object.__basicsize__, [np.zeros(size) for size in (1, 2, 3)])",
        (
            "offset, arrays = (object.__basicsize__, [np.ones(size) for size in (1, 2, 3)])",
            "offset, arrays = (object.__basicsize__, [np.zeros(size) for size in (2, 2, 3)])",
            "offset, arrays = (object.__basicsize__, [np.zeros(size) for size in (0, 2, 3)])",
            "offset, arrays = (object.__basicsize__, [np.zeros(size) for size in (1, 3, 3)])",
            "offset, arrays = (object.__basicsize__, [np.zeros(size) for size in (1, 1, 3)])",
            "offset, arrays = (object.__basicsize__, [np.zeros(size) for size in (1, 2, 4)])",
            "offset, arrays = (object.__basicsize__, [np.zeros(size) for size in (1, 2, 2)])",
        ),
        "Any three arrays tell.",
    ),
    (
        "kernels.memory",
        "step = max((1 << size.bit_length() - 1) // CLASSES_PER_DOUBLING, mmap.PAGESIZE)",
        ("step = max(mmap.PAGESIZE, (1 << size.bit_length() - 1) // CLASSES_PER_DOUBLING)",),
        "The larger of two is the same in either order.",
    ),
]
