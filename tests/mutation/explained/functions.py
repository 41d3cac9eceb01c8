"""Mutants that may live, of functions of values and shapes: module, statement before, statements after, why."""

from __future__ import annotations

ACTIVATIONS = "engine.functions.activations"
AFFINE = "engine.functions.affine"
ARGUMENTS = "engine.functions.arguments"
ARITHMETIC = "engine.functions.arithmetic"
ATTENTION = "engine.functions.attention"
BROADCASTING = "engine.functions.broadcasting"
CONVOLUTION = "engine.functions.convolution"
DROPOUT = "engine.functions.dropout"
INDEXING = "engine.functions.indexing"
RARER_ACTIVATIONS = "engine.functions.rarer_activations"
RECURRENCE = "engine.functions.recurrence"
SHAPING = "engine.functions.shaping"

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        ACTIVATIONS,
        "return where(x > 0, x, parameter * expm1(minimum(x, 0)))",
        ("return where(x > 0, x, parameter * expm1(minimum(x, 1)))",),
        "Where x is above 0 the other branch is taken, and this one only has to be finite.",
    ),
    (
        ACTIVATIONS,
        "near = clip(x, -1000, 1000)",
        (
            "near = clip(x, -1001, 1000)",
            "near = clip(x, -999, 1000)",
            "near = clip(x, -1000, 1001)",
            "near = clip(x, -1000, 999)",
        ),
        "So far out the sigmoid is 0 or 1 and its slope 0; the cube of the bound only must not overflow.",
    ),
    (
        ACTIVATIONS,
        "return logaddexp(x, 0)",
        ("return logaddexp(0, x)",),
        "It is symmetric, to the last bit.",
    ),
    (
        ACTIVATIONS,
        "if axis == x.ndim - 1:",
        ("if axis == x.ndim + 1:", "if axis == x.ndim - 0:"),
        "The last axis is exchanged with itself, which takes time and changes nothing.",
    ),
    (
        ACTIVATIONS,
        "return where(x > 0, x, alpha * minimum(x, 0))",
        ("return where(x > 0, x, alpha * minimum(x, 1))",),
        "Where x is above 0 the other branch is taken, and this one only has to be finite.",
    ),
    (
        ARITHMETIC,
        "return arrays.add(x, y)",
        ("return arrays.add(y, x)",),
        "A sum does not depend on the order of two numbers.",
    ),
    (
        ARITHMETIC,
        "return Add()(*operands(x, y))",
        ("return Add()(*operands(y, x))",),
        "A sum does not depend on the order of two numbers, nor does the type in which they meet.",
    ),
    (
        ARITHMETIC,
        "return Multiply()(*operands(x, y))",
        ("return Multiply()(*operands(y, x))",),
        "A product does not depend on the order of two numbers, nor does the type in which they meet.",
    ),
    (
        ARITHMETIC,
        "return LogAddExp()(*operands(x, y))",
        ("return LogAddExp()(*operands(y, x))",),
        "It is symmetric, to the last bit, and so is the type in which the two meet.",
    ),
    (
        ARITHMETIC,
        "return (-logaddexp(-x, 0)).exp()",
        ("return (-logaddexp(0, -x)).exp()",),
        "It is symmetric, to the last bit.",
    ),
    (
        ARITHMETIC,
        "dx = cotangent * y * power(x, where(zero, 1, y - 1))",
        ("dx = cotangent * y * power(x, where(zero, 2, y - 1))",),
        "It is 0 that is raised there: every positive power of it is 0.",
    ),
    (
        ATTENTION,
        "hidden = np.where(any_shown, x.dtype.type(-np.inf), x.dtype.type(0.0))",
        ("hidden = np.where(any_shown, x.dtype.type(-np.inf), x.dtype.type(0.001))",),
        "Where nothing is shown, the result is 0 whatever the softmax of these equal numbers is.",
    ),
    (
        BROADCASTING,
        "x = sum(x, (*range(new), *stretched), keepdims=True)",
        ("x = sum(x, (*range(new), *stretched), keepdims=False)",),
        "The sums get the shape that was asked for in the next line, whatever theirs is.",
    ),
    (
        BROADCASTING,
        "return reshape(spread, tuple([count * n for count, n in zip(counts, shape, strict=True)]))",
        ("return reshape(spread, tuple([count * n for count, n in zip(shape, counts, strict=True)]))",),
        "The two were given one length, and a product does not depend on the order.",
    ),
    (
        CONVOLUTION,
        "return kernels.of(x, weight).conv(x, weight, bias, **windows, activation=activation)",
        ("return kernels.of(weight, x).conv(x, weight, bias, **windows, activation=activation)",),
        "The arrays' backend does not depend on their order.",
    ),
    (
        CONVOLUTION,
        "return kernels.of(g, weight).conv_transpose(g, weight, bias, output_size, **windows)",
        ("return kernels.of(weight, g).conv_transpose(g, weight, bias, output_size, **windows)",),
        "The arrays' backend does not depend on their order.",
    ),
    (
        CONVOLUTION,
        "return kernels.of(x, g).conv_weight_gradient(x, g, kernel_size, **windows)",
        ("return kernels.of(g, x).conv_weight_gradient(x, g, kernel_size, **windows)",),
        "The arrays' backend does not depend on their order.",
    ),
    (
        SHAPING,
        "if part.ndim != parts[0].ndim or any((m != n for d, (m, n) in enumerate("
        "zip(part.shape, parts[0].shape, strict=True)) if d != axis)):",
        (
            "if part.ndim != parts[0].ndim or any((m != n for d, (m, n) in enumerate("
            "zip(parts[0].shape, part.shape, strict=True)) if d != axis)):",
        ),
        "Whether two numbers differ does not depend on their order; the ranks are compared before.",
    ),
    (
        INDEXING,
        "if indices.shape[axis] == 1:",
        ("if indices.shape[axis] == 0:",),
        "It spares time only: adding at the same places gives the same.",
    ),
    (
        INDEXING,
        "if indices.ndim != x.ndim or any((m != n for d, (m, n) in enumerate("
        "zip(indices.shape, x.shape, strict=True)) if d != axis)):",
        (
            "if indices.ndim != x.ndim or any((m != n for d, (m, n) in enumerate("
            "zip(x.shape, indices.shape, strict=True)) if d != axis)):",
        ),
        "Whether two numbers differ does not depend on their order; the ranks are compared before.",
    ),
    (
        SHAPING,
        "dtype = common_dtype(dtype, part.dtype)",
        ("dtype = common_dtype(part.dtype, dtype)",),
        "The type in which two arrays meet does not depend on their order.",
    ),
    (
        ARGUMENTS,
        "kept = lru_cache(maxsize=1024)(function)",
        ("kept = lru_cache(maxsize=1025)(function)", "kept = lru_cache(maxsize=1023)(function)"),
        "What is no longer kept is computed again.",
    ),
    (
        INDEXING,
        "return all((part is None or part is Ellipsis or (isinstance(part, _IN_BASIC) "
        "and (not isinstance(part, bool))) "
        "for part in parts))",
        (
            "return all((part is None and part is Ellipsis and (isinstance(part, _IN_BASIC) "
            "and (not isinstance(part, bool))) "
            "for part in parts))",
        ),
        "It spares time only: assigning to the same places gives the same.",
    ),
    (
        SHAPING,
        "known = math.prod([n for n in shape if n != -1])",
        ("known = math.prod([n for n in shape if n != +1])", "known = math.prod([n for n in shape if n != -2])"),
        "With the −1 in it the product divides the size as before; a −2 is rejected by itself.",
    ),
    (
        RARER_ACTIVATIONS,
        "return maximum(x, -3) * (clip(x + 3, 0, 6) / 6)",
        ("return maximum(x, -4) * (clip(x + 3, 0, 6) / 6)",),
        "Below −3 the other factor and its slope are 0: the bound only has to keep infinity out.",
    ),
    (
        RARER_ACTIVATIONS,
        "below, infinite = (x.array < 0, library_of(x.array).isinf(x.array))",
        (
            "below, infinite = (x.array <= 0, library_of(x.array).isinf(x.array))",
            "below, infinite = (x.array < 1, library_of(x.array).isinf(x.array))",
        ),
        "Around 0 both formulas hold, and differ by rounding alone.",
    ),
    (
        RARER_ACTIVATIONS,
        "left = where(below & ~infinite, x, 0.0)",
        ("left = where(below & ~infinite, x, 0.001)",),
        "Where the number is not taken, it only has to be finite.",
    ),
    (
        RARER_ACTIVATIONS,
        "right = where(below | infinite, 0.0, x)",
        ("right = where(below | infinite, 0.001, x)",),
        "Where the number is not taken, it only has to be finite.",
    ),
    (
        RECURRENCE,
        "states = (_initial(h0, x, recurrent_weight.shape[0]),)",
        ("states = (_initial(h0, x, recurrent_weight.shape[1]),)",),
        "A simple cell's recurrent weights are square, as was checked.",
    ),
    (
        AFFINE,
        "return y if x.ndim == 4 else reshape(y, x.shape)",
        ("return y if x.ndim == 5 else reshape(y, x.shape)",),
        "Several images have their shape already.",
    ),
    (
        RECURRENCE,
        "z = kernels.of(x, weight).matmul(_rows(x), weight, bias=bias)",
        ("z = kernels.of(weight, x).matmul(_rows(x), weight, bias=bias)",),
        "The arrays' backend does not depend on their order.",
    ),
    (
        RECURRENCE,
        "reset[~mask] = 0",
        ("reset[~mask] = 1",),
        "It meets a gradient of 0 there, and only has to be finite.",
    ),
    (
        RECURRENCE,
        "nothing = z[:, :, :units] + matmul(z[:, :, :units], recurrent_weight[:, :units])",
        ("nothing = z[:, :, :units] - matmul(z[:, :, :units], recurrent_weight[:, :units])",),
        "There are no numbers in it: it is the shape, and what depends on what, that counts.",
    ),
    (
        RECURRENCE,
        "nothing = nothing + expand_dims(state, 1)",
        ("nothing = nothing - expand_dims(state, 1)",),
        "There are no numbers in it: it is the shape, and what depends on what, that counts.",
    ),
]
