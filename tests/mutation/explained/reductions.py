"""Mutants that may live, of reductions, losses, products, …: module, statement before, statements after, why."""

from __future__ import annotations

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        "engine.functions.reductions",
        "return (total(wide, axis, keepdims) / wide.dtype.type(self.count)).astype(x.dtype, copy=False)",
        ("return (total(wide, axis, keepdims) / wide.dtype.type(self.count)).astype(x.dtype, copy=True)",),
        "a copy of the result takes time and nothing else",
    ),
    (
        "engine.functions.reductions",
        "return (square / number(count - ddof)).astype(x.dtype, copy=False)",
        ("return (square / number(count - ddof)).astype(x.dtype, copy=True)",),
        "a copy of the result takes time and nothing else",
    ),
    (
        "engine.functions.reductions",
        "slope = cotangent * varied / (s * (_count(x.shape, axis) - ddof) + (1 - varied))",
        ("slope = cotangent * varied / (s * (_count(x.shape, axis) - ddof) - (1 - varied))",),
        "where the deviation is 0 the slope is 0/−1 instead of 0/1: 0 all the same",
    ),
    (
        "engine.functions.reductions",
        "factors = concatenate([product, factors[..., 2 * half:]], axis=-1) if count % 2 else product",
        ("factors = concatenate([product, factors[..., 2 * half:]], axis=-1) if count // 2 else product",),
        "an even count leaves no factor over: nothing is appended",
    ),
    (
        "engine.functions.losses",
        "return kernels.of(prediction).squared_error(prediction, target)",
        ("return kernels.of(prediction).squared_error(target, prediction)",),
        "the square of a difference is that of its negative",
    ),
    (
        "engine.functions.losses",
        "return kernels.of(probabilities).dice(probabilities, targets, smooth)",
        ("return kernels.of(probabilities).dice(targets, probabilities, smooth)",),
        "the coefficient is symmetric in the two",
    ),
    (
        "engine.functions.losses",
        "return overlap / (total + empty) * (1 - empty) + empty",
        ("return overlap / (total - empty) * (1 - empty) + empty",),
        "the quotient that is 0/1 or 0/−1 counts nothing",
    ),
    (
        "engine.functions.losses",
        "labels_of_rows = labels.ravel().astype(np.int64, copy=False)",
        ("labels_of_rows = labels.ravel().astype(np.int64, copy=True)",),
        "a copy of the labels takes time and nothing else",
    ),
    (
        "engine.functions.normalization",
        "if moving[0] is not None:",
        ("if moving[1] is not None:",),
        "both moving averages are given, or neither",
    ),
    (
        "engine.functions.normalization",
        "if moving[0] is None:",
        ("if moving[1] is None:",),
        "both moving averages are given, or neither",
    ),
    (
        "engine.functions.normalization",
        "return group_norm(x, x.shape[-1] if x.ndim and x.shape[-1] else 1, gamma, beta, epsilon)",
        ("return group_norm(x, x.shape[-1] if x.ndim and x.shape[-1] else 2, gamma, beta, epsilon)",),
        "without dimensions or channels group_norm fails, with the same words",
    ),
    (
        "engine.functions.linear_algebra",
        "return kernels.of(a, b).matmul(a, b, transpose_a, transpose_b)",
        ("return kernels.of(b, a).matmul(a, b, transpose_a, transpose_b)",),
        "the backend of two arrays is the same in either order",
    ),
    (
        "engine.functions.linear_algebra",
        "y = kernels.of(x, weight).matmul(x, weight, bias=bias, activation=activation)",
        ("y = kernels.of(weight, x).matmul(x, weight, bias=bias, activation=activation)",),
        "the backend of two arrays is the same in either order",
    ),
    (
        "engine.functions.linear_algebra",
        "stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])",
        ("stack = np.broadcast_shapes(b.shape[:-2], a.shape[:-2])",),
        "broadcasting is symmetric",
    ),
    (
        "engine.functions.linear_algebra",
        "return np.einsum(f\"{','.join(inputs)}->{output}\", *factors, optimize=True)",
        ("return np.einsum(f\"{','.join(inputs)}->{output}\", *factors, optimize=False)",),
        "the same sums in another order take other time",
    ),
    (
        "engine.functions.linear_algebra",
        "dtype = common_dtype(dtype, tensor.dtype)",
        ("dtype = common_dtype(tensor.dtype, dtype)",),
        "the type common to two is the same in either order",
    ),
]
