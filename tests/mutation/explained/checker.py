"""Mutants that may live, of the checker itself: module, statement before, statements after, why."""

from __future__ import annotations

TUNED = "How far a bound, or a step, is chosen: near by it serves as well."

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        "testing.compare",
        "if dtype is not None and dtype.itemsize > 8:",
        ("if dtype is not None and dtype.itemsize > 9:",),
        "No type of numbers has 9 bytes.",
    ),
    (
        "testing.compare",
        "if worst.share > 1:",
        ("if worst.share >= 1:",),
        "A number right at its bound.",
    ),
    (
        "testing.compare",
        "return np.broadcast_shapes(array.shape, shape) == shape",
        ("return np.broadcast_shapes(shape, array.shape) == shape",),
        "The order of the shapes does not count.",
    ),
    (
        "testing.differences",
        "OTHER_STEPS = (2.0 ** (-6), 2.0 ** (-12), 2.0 ** (-18), 2.0 ** 4)",
        ("OTHER_STEPS = (2.0 ** (-6), 2.0 ** (-12), 2.0 ** (-18), 2.0 * 4)",),
        TUNED,
    ),
    (
        "testing.differences",
        "CLOSEST = 2.0 ** (-30)",
        ("CLOSEST = 2.0 ** (-31)",),
        TUNED,
    ),
    (
        "testing.differences",
        "NOISE_STEPS, NOISE_POINTS = ((2.0 ** (-34), 2.0 ** (-18)), 13)",
        ("NOISE_STEPS, NOISE_POINTS = ((2.0 ** (-34), 2.0 ** (-18)), 12)",),
        TUNED,
    ),
    (
        "testing.differences",
        "ROUNDING = 16",
        ("ROUNDING = 17",),
        TUNED,
    ),
    (
        "testing.differences",
        "values = np.stack([line(k * step) for k in range(1, NOISE_POINTS + 1)])",
        ("values = np.stack([line(k * step) for k in range(1, NOISE_POINTS + 2)])",),
        TUNED,
    ),
    (
        "testing.differences",
        "near, middle, far = (difference / (t * step) for t, difference in zip((1, 2, 4), second, strict=True))",
        ("near, middle, far = (difference / (t * step) for t, difference in zip((1, 2, 5), second, strict=True))",),
        "Only where a function is looked at for kinks more closely.",
    ),
    (
        "testing.differences",
        "is_bent = (np.abs(one) > 16 * rounding / step) & (np.abs(one - other) < 0.75 * np.abs(one))",
        ("is_bent = (np.abs(one) > 17 * rounding / step) & (np.abs(one - other) < 0.75 * np.abs(one))",),
        TUNED,
    ),
    (
        "testing.differences",
        "return found if is_visible and abs(right - left - apart) < abs(apart) / 4 else None",
        ("return found if is_visible and abs(right - left - apart) < abs(apart) / 3 else None",),
        TUNED,
    ),
    (
        "testing.gradcheck",
        "ROUGH = 2.0 ** (-32)",
        ("ROUGH = 2.002 ** (-32)",),
        TUNED,
    ),
    (
        "testing.gradcheck",
        "function: Callable[..., Any] | Differentiable, inputs: Sequence[Any] | Any, *, "
        "without_gradient: Collection[int]=(), seed: int=0, **options: Any",
        (
            "function: Callable[..., Any] | Differentiable, inputs: Sequence[Any] | Any, *, "
            "without_gradient: Collection[int]=(), seed: int=1, **options: Any",
        ),
        "Every seed serves as well.",
    ),
    (
        "testing.gradcheck",
        "self.unit = 1.0 if linear else min(1.0, float(np.abs(self.array).max(initial=0)) or 1.0)",
        ("self.unit = 1.001 if linear else min(1.0, float(np.abs(self.array).max(initial=0)) or 1.0)",),
        TUNED,
    ),
    (
        "testing.gradcheck",
        "self.scales = _scales(self.array, self.unit)",
        ("self.scales = _scales(self.unit, self.array)",),
        "A step that is too small to change anything shows as roughness, after which the step is chosen anew.",
    ),
    (
        "testing.gradcheck",
        "relative = ROUNDING * EPSILON * np.sqrt(self.array.size) if self.linear else self.tolerance",
        ("relative = ROUNDING * EPSILON / np.sqrt(self.array.size) if self.linear else self.tolerance",),
        "The error of the differences, which is allowed as well, grows with the root already.",
    ),
    (
        "testing.gradcheck",
        "size = float(np.vdot(weights, np.abs(self.check.output)) + np.vdot(np.abs(self.gradient), "
        "np.abs(self.array)))",
        (
            "size = float(np.vdot(weights, np.abs(self.check.output)) + np.vdot(np.abs(self.array), "
            "np.abs(self.gradient)))",
        ),
        "The factors of a product.",
    ),
    (
        "testing.gradcheck",
        "passing = [comparison for comparison, _ in judged if comparison.excess <= 1]",
        ("passing = [comparison for comparison, _ in judged if comparison.excess < 1]",),
        "A number right at its bound.",
    ),
    (
        "testing.gradcheck",
        "if comparison.excess <= 1:",
        ("if comparison.excess < 1:",),
        "A number right at its bound.",
    ),
    (
        "testing.gradcheck",
        "if closer.excess > 1:",
        ("if closer.excess > 2:",),
        "It is the worst in the end, and fails there.",
    ),
    (
        "testing.gradcheck",
        "numbers = (c.numeric * scale, (c.tolerance - allowed) * scale, 0.0)",
        ("numbers = (c.numeric / scale, (c.tolerance - allowed) * scale, 0.0)",),
        "Differences at other steps are sharper.",
    ),
    (
        "testing.gradcheck",
        "if closer.excess <= 1 or (found := kink(line, rounding)) is None:",
        ("if closer.excess <= 0 or (found := kink(line, rounding)) is None:",),
        "Where it passes there is no kink.",
    ),
    (
        "testing.rules",
        "AGREEMENT = 1e-09",
        ("AGREEMENT = 1.001e-09",),
        TUNED,
    ),
    (
        "testing.rules",
        "LARGEST = float(np.finfo(np.float64).max) / 8",
        ("LARGEST = float(np.finfo(np.float64).max) / 7",),
        TUNED,
    ),
    (
        "testing.rules",
        "self.cotangent = np.zeros(0)",
        ("self.cotangent = np.ones(0)",),
        "It has no elements.",
    ),
    (
        "testing.rules",
        "self.function.gradients(others, np.ones_like(output), self.wanted, self.function.paths[0])",
        ("self.function.gradients(others, np.zeros_like(output), self.wanted, self.function.paths[0])",),
        "Whatever the cotangent of the first call, which nobody looks at.",
    ),
    (
        "testing.rules",
        "_require_close(output, plain, allowed, 'the value depends on the memory layout of the inputs')",
        ("_require_close(plain, output, allowed, 'the value depends on the memory layout of the inputs')",),
        "Which of two that differ is named first.",
    ),
    (
        "testing.rules",
        "largest = max(float(np.abs(one).max(initial=0)), float(np.abs(other).max(initial=0)))",
        ("largest = max(float(np.abs(one).max(initial=0)), float(np.abs(other).min(initial=0)))",),
        "The larger of two numbers that are to be equal.",
    ),
    (
        "testing.rules",
        "_require_determined(one, again, f'the {what}' + f' in input {position}' * (what != 'value'))",
        ("_require_determined(again, one, f'the {what}' + f' in input {position}' * (what != 'value'))",),
        "Which of two that differ is named first.",
    ),
    (
        "testing.rules",
        "return results[0]",
        ("return results[1]",),
        "They have the same bits.",
    ),
    (
        "testing.rules",
        "kept = [None, 0, cotangent.ndim - 1] if cotangent.ndim > 1 else [None] * cotangent.ndim",
        ("kept = [None, 0, cotangent.ndim - 1] if cotangent.ndim >= 1 else [None] * cotangent.ndim",),
        "Of one axis, the cotangent as it is, once more.",
    ),
    (
        "testing.reports",
        "if self.left is not None and self.right is not None:",
        ("if self.left is not None or self.right is not None:",),
        "The one is None where the other is, which a type checker cannot see.",
    ),
    (
        "testing.differentiable",
        "OTHER = 1 - 2.0 ** (-6)",
        ("OTHER = 1 - 2.0 ** (-5)",),
        "Any inputs that are not the same serve.",
    ),
    (
        "testing.differentiable",
        "return functional.concatenate([Tensor(np.zeros(0)), *rows], 0)",
        ("return functional.concatenate([Tensor(np.ones(0)), *rows], 0)",),
        "It has no elements.",
    ),
    (
        "testing.differentiable",
        "if isinstance(node, Function) and node not in seen:",
        ("if isinstance(node, Function) or node not in seen:",),
        "What is watched twice raises as well.",
    ),
    (
        "testing.differentiable",
        "if path == INTERLEAVED:",
        ("if not path == INTERLEAVED:",),
        "Of a pair's two ways, which are to agree, the other is the one with a call in between.",
    ),
]
