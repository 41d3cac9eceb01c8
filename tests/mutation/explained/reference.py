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
        "position = np.clip(((2 * o + 1) * n - m) / (2 * m), 0, n - 1)",
        ("position = np.clip(0, ((2 * o + 1) * n - m) / (2 * m), n - 1)",),
        "The larger of two, then the smaller of that and a third: the order of the two is all the same.",
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
        "kernels.reference.losses",
        "share = np.clip(share, -largest, largest)",
        ("share = np.clip(-largest, share, largest)",),
        "The larger of two, then the smaller of that and a third: the order of the two is all the same.",
    ),
]
