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
        "return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))",
        ("return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))",),
        "At 0 both are 0.",
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
        "if self.in_use > self.limit:",
        ("if self.in_use >= self.limit:",),
        "At the limit itself nothing has to go back: the block is counted now or by the next call.",
    ),
    (
        "kernels.memory",
        "size = math.prod(sizes) * dtype.itemsize",
        ("size = math.prod(sizes) / dtype.itemsize",),
        "A quotient is no int, so that the size is computed again as for NumPy's numbers.",
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
        "kernels.reference.recurrence",
        "if inner is None or dm is None:",
        ("if inner is None and dm is None:",),
        "The one is None where the other is, which a type checker cannot see.",
    ),
    (
        "kernels.reference.affine",
        "for a, b, share, inside in corners(rows, columns, x.shape[1:3], interpolation, fill_mode):",
        ("for a, b, share, inside in corners(rows, columns, x.shape[1:4], interpolation, fill_mode):",),
        "Only the first two sizes are asked for.",
    ),
    (
        "kernels.reference.affine",
        "y += share * np.where(share != 0, pixels, 0)",
        ("y += share * np.where(share != 0, pixels, 1)",),
        "It is multiplied with a share of 0 there.",
    ),
    (
        "kernels.reference.optimizers",
        "p[...] = (np.clip(z, -l1, l1) - z) / (risen / learning_rate + (2 * l2 + beta / learning_rate))",
        ("p[...] = (np.clip(-l1, z, l1) - z) / (risen / learning_rate + (2 * l2 + beta / learning_rate))",),
        "The larger of z and −l1 does not depend on which of them is named first.",
    ),
]
