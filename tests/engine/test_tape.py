"""The tape: backward passes, their errors, their memory, their depth, and threads."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import tomograd.engine as tg
from tomograd.engine import Function, GradientError, Tensor, grad
from tomograd.engine import functional as F

rng = np.random.default_rng(0)


def leaf(*shape, dtype=np.float64):
    return Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True)


def chain(length, step):
    x = Tensor(np.ones(1), requires_grad=True)
    y = x
    for _ in range(length):
        y = step(y)
    return x, y


STEPS = {
    "add": lambda y: y + 1.0,
    "multiply": lambda y: y * 1.0,
    "view": lambda y: y.reshape(1, 1)[0],
}


class TestDepth:
    DEPTH = 100_000

    @pytest.mark.parametrize("step", [STEPS["add"], STEPS["view"]], ids=["add", "view"])
    def test_backward(self, step):
        x, y = chain(self.DEPTH, step)
        y.backward()
        assert x.grad.array == 1

    def test_values_survive_depth(self):
        x, y = chain(self.DEPTH, lambda y: y * 1.00001)
        y.backward(np.array([2.0]))
        np.testing.assert_allclose(y.array, 1.00001**self.DEPTH)
        np.testing.assert_allclose(x.grad.array, 2 * 1.00001**self.DEPTH)

    @pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
    def test_a_deep_graph_is_deleted_on_a_small_stack(self, step):
        """Each object's end is the end of the one before it: nested in C, 100,000 of them would overflow the stack.
        (CPython postpones such ends, in 3.13 only after some thousands: an eighth of the usual 8 MiB must do.)"""
        done = []

        def work():
            x, y = chain(self.DEPTH, step)
            first = weakref.ref(x)
            del x, y
            done.append(first() is None)

        _in_thread_of_stack(2**20, work)
        assert done == [True]

    def test_the_garbage_collector_takes_a_deep_graph(self):
        x, y = chain(self.DEPTH, STEPS["multiply"])
        y.node.knot = y
        first = weakref.ref(x)
        del x, y
        gc.collect()
        assert first() is None

    def test_second_derivatives_of_a_deep_graph(self):
        x, y = chain(20_000, STEPS["multiply"])
        (slope,) = grad(y * y, [x], create_graph=True)
        np.testing.assert_allclose(grad(slope, x).array, [2.0])


def _in_thread_of_stack(size, function):
    before = threading.stack_size(size)
    try:
        thread = threading.Thread(target=function)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()


class TestBackward:
    def test_one_number_needs_no_gradient(self):
        x = leaf(3)
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad.array, 2 * x.array)

    def test_several_numbers_need_one(self):
        x = leaf(3)
        with pytest.raises(GradientError, match=r"shape \(3,\) is not a single number: give gradient"):
            (x * 2).backward()

    @pytest.mark.parametrize("gradient", [np.ones(2), np.ones((3, 1)), Tensor(np.ones(3, np.float32))])
    def test_its_shape_and_type_are_checked(self, gradient):
        with pytest.raises(ValueError, match=r"gradient has shape .* but the output has shape \(3,\) and type float64"):
            (leaf(3) * 2).backward(gradient)

    def test_lists_take_the_output_s_type(self):
        x = leaf(2, dtype=np.float32)
        (x * 2).backward([1.0, 3.0])
        np.testing.assert_array_equal(x.grad.array, [2, 6])
        assert x.grad.dtype == np.float32

    def test_gradients_add_up_over_passes_and_paths(self):
        x = leaf(3)
        for _ in range(3):
            (x * x + x).sum().backward()
        np.testing.assert_allclose(x.grad.array, 3 * (2 * x.array + 1))

    def test_of_a_leaf_itself(self):
        x = leaf(2)
        x.backward(np.array([1.0, 2.0]))
        np.testing.assert_array_equal(x.grad.array, [1, 2])

    def test_a_shared_part_is_visited_once(self):
        """y doubles the paths at each step: 2⁵⁰ paths, 50 visits."""
        x = leaf()
        y = x
        for _ in range(50):
            y = y + y
        y.backward()
        assert x.grad.item() == 2.0**50

    def test_nothing_recorded(self):
        with pytest.raises(GradientError, match="requires no gradient"):
            Tensor(1.0).backward()
        x = leaf()
        with tg.no_grad():
            y = x * 2
        assert not y.requires_grad
        with pytest.raises(GradientError, match="requires no gradient"):
            y.backward()

    def test_gradients_nobody_needs_are_not_computed(self):
        seen = []

        class Watch(Function):
            def forward(self, x, y):
                return x * y

            def backward(self, cotangent):
                seen.append(self.needs)
                return tuple(cotangent if need else None for need in self.needs)

        x, y, c = leaf(2), leaf(2), Tensor(np.ones(2))
        Watch()(x, c).backward(np.ones(2))
        grad(Watch()(x, y), y, np.ones(2))
        z = x * 2  # z does not lead to y: Watch is not asked for its gradient, Multiply not visited
        grad(Watch()(z, y), [y], np.ones(2))
        assert seen == [(True, False), (False, True), (False, True)]

    def test_order_is_that_of_creation_not_of_arguments(self):
        """A result used long before and long after others: its function runs once, after all its users."""
        x = leaf()
        a = x * 2
        b = a * a
        for _ in range(5):
            b = b + 1
        (b * a).backward()
        np.testing.assert_allclose(x.grad.item(), 8 * 3 * x.item() ** 2 + 10)


class TestMemory:
    def test_saved_arrays_are_freed_as_the_pass_goes(self):
        alive, freed = [], []

        class Watch(Function):
            def forward(self, x):
                kept = np.ones(1000)
                alive.append(weakref.ref(kept))
                self.save(kept)
                return x + 0

            def backward(self, cotangent):
                freed.append([ref() is None for ref in alive])
                return (cotangent,)

        x = leaf(2)
        y = Watch()(Watch()(Watch()(x)))
        y.backward(np.ones(2))
        assert freed == [[False, False, False], [False, False, True], [False, True, True]]

    def test_reference_counts_alone_free_the_graph(self):
        """exp keeps its own result: no knot that would leave arrays to the garbage collector."""
        gc.disable()
        try:
            x = leaf(2)
            y = F.exp(x).sum()
            inner = weakref.ref(y.node)
            del y
            assert inner() is None
        finally:
            gc.enable()

    def test_no_copy_of_a_gradient_made_for_the_leaf(self):
        made = []

        class Twice(Function):
            def forward(self, x):
                return x * 2

            def backward(self, cotangent):
                gradient = cotangent * 2
                made.append(gradient.array)
                return (gradient,)

        x = leaf(3)
        Twice()(x).backward(np.ones(3))
        assert x.grad.array is made[0]

    @pytest.mark.parametrize(
        "function",
        [
            lambda x, y: x + y,
            lambda x, y: x.reshape(1, 3) + y,
            lambda x, y: F.concatenate([x, y]),
            lambda x, y: x * Tensor(np.ones(3)) + y,
            lambda x, y: F.stack([x, y]).sum(0),
            lambda x, y: x - y,
            lambda x, y: F.where(np.array([True, False, True]), x, y),
        ],
    )
    def test_no_leaf_s_gradient_is_somebody_else_s_memory(self, function):
        x, y = leaf(3), leaf(3)
        z = function(x, y)
        gradient = np.ones(z.shape)
        z.backward(gradient)
        assert not np.shares_memory(x.grad.array, y.grad.array)
        for tensor in (x, y):
            assert not np.shares_memory(tensor.grad.array, gradient)
            assert tensor.grad.array.flags.c_contiguous and tensor.grad.array.flags.writeable
        given = grad(function(x, y), [x, y], gradient)
        assert not np.shares_memory(given[0].array, given[1].array)
        assert not any(np.shares_memory(g.array, gradient) for g in given)

    def test_a_saved_array_given_as_gradient_is_copied(self):
        class Linear(Function):
            """⟨w, x⟩ for a cotangent of 1: its gradients are its inputs themselves."""

            def forward(self, x, w):
                self.save(x, w)
                return np.dot(x, w)

            def backward(self, cotangent):
                x, w = self.saved
                return w, x

        x, w = leaf(3), leaf(3)
        Linear()(x, w).backward()
        assert not np.shares_memory(x.grad.array, w.array)
        assert not np.shares_memory(w.grad.array, x.array)
        twice = Linear()(x, w) + Linear()(x, w)
        before = w.array.copy()
        twice.backward()
        np.testing.assert_array_equal(w.array, before)
        np.testing.assert_allclose(x.grad.array, 3 * w.array)

    def test_a_gradient_of_which_a_sibling_is_a_view_is_not_written_to(self):
        class Both(Function):
            """The gradient in the second input is a view of the gradient in the first."""

            def forward(self, x, y):
                return x + y.reshape(x.shape)

            def backward(self, cotangent):
                gradient = cotangent * 2
                return gradient, gradient.reshape(2, 2)

        x, y = leaf(4), leaf(2, 2)
        total = Both()(x, y) + x * 5  # x gets a second contribution after its first is shared with y
        (total + x * 7).backward(np.ones(4))
        np.testing.assert_array_equal(y.grad.array, np.full((2, 2), 2.0))
        np.testing.assert_array_equal(x.grad.array, np.full(4, 14.0))
        assert not np.shares_memory(x.grad.array, y.grad.array)

    def test_contributions_are_added_in_place_where_that_is_allowed(self):
        made = []

        class Twice(Function):
            def forward(self, x):
                return x * 2

            def backward(self, cotangent):
                gradient = cotangent * 2
                made.append(gradient.array)
                return (gradient,)

        x = leaf(3)
        (Twice()(x) + Twice()(x) + x).backward(np.ones(3))
        assert any(x.grad.array is array for array in made)
        np.testing.assert_array_equal(x.grad.array, [5, 5, 5])

    def test_earlier_gradients_are_not_overwritten(self):
        x = leaf(3)
        (x * 2).sum().backward()
        first = x.grad
        (x * 2).sum().backward()
        np.testing.assert_array_equal(first.array, [2, 2, 2])
        np.testing.assert_array_equal(x.grad.array, [4, 4, 4])

    def test_the_caller_s_gradient_is_not_written_to(self):
        x = leaf(2)
        gradient = np.ones(2)
        y = x * 1
        z = y + y + y
        z.backward(gradient)
        np.testing.assert_array_equal(gradient, [1, 1])
        np.testing.assert_array_equal(x.grad.array, [3, 3])


class TestFreedGraph:
    def test_a_second_pass_names_the_function(self):
        y = F.exp(leaf(2)).sum()
        y.backward()
        with pytest.raises(GradientError, match=r"graph through Sum was freed .* retain_graph=True"):
            y.backward()

    def test_a_new_graph_on_a_freed_one(self):
        y = F.exp(leaf(2))
        y.sum().backward()
        with pytest.raises(GradientError, match="graph through Exp was freed"):
            (y * 2).sum().backward()

    def test_what_lies_behind_the_inputs_may_be_freed(self):
        x = leaf(2)
        y = F.exp(x)
        y.sum().backward()
        np.testing.assert_array_equal(grad((y * y).sum(), y).array, 2 * y.array)

    def test_retain_graph(self):
        x = leaf(2)
        y = F.exp(x).sum()
        y.backward(retain_graph=True)
        y.backward()
        np.testing.assert_allclose(x.grad.array, 2 * np.exp(x.array))

    def test_create_graph_retains(self):
        x = leaf(2)
        y = (x * x * x).sum()
        (slope,) = grad(y, [x], create_graph=True)
        np.testing.assert_allclose(grad(slope.sum(), x, retain_graph=True).array, 6 * x.array)
        y.backward()
        np.testing.assert_allclose(x.grad.array, 3 * x.array**2)


class TestChangedInPlace:
    def test_an_argument(self):
        x, w = leaf(2), tg.Variable(np.ones(2), "w")
        y = x * w
        w.assign(np.zeros(2))
        with pytest.raises(GradientError, match=r"Multiply needs its argument 'y' .* changed in place 1 time"):
            y.backward(np.ones(2))

    def test_through_a_view_and_a_detached_twin(self):
        w = leaf(2, 2)
        y = w.T * 2 * w.reshape(4)[1:3]
        w.detach()[0] = 5.0
        with pytest.raises(GradientError, match="Multiply needs its argument"):
            y.backward(np.ones((2, 2)))

    def test_the_result(self):
        y = F.exp(leaf(2))
        y.detach().assign(np.zeros(2))
        with pytest.raises(GradientError, match="Exp needs its result"):
            y.backward(np.ones(2))

    def test_by_a_kernel_that_says_so(self):
        w = leaf(2)
        y = w * w
        w.array[...] = 0
        w.changed()
        with pytest.raises(GradientError, match="Multiply needs its argument 'x'"):
            y.backward(np.ones(2))

    def test_what_is_not_saved_may_change(self):
        x, w = leaf(2), leaf(2)
        y = x + w
        w.assign(np.zeros(2))
        y.backward(np.ones(2))
        np.testing.assert_array_equal(w.grad.array, [1, 1])

    def test_a_copy_does_not_share_the_count(self):
        x = leaf(3)
        y = x[[0, 2]] * 2.0  # integer arrays make copies
        z = y * y
        x.assign(np.zeros(3))
        z.backward(np.ones(2))
        assert np.isfinite(x.grad.array).all()

    def test_a_computed_tensor_refuses(self):
        with pytest.raises(RuntimeError, match="computed by Exp cannot be changed in place"):
            F.exp(leaf(2)).assign(np.zeros(2))

    def test_a_gradient_is_not_silently_cut_off(self):
        x = Tensor(np.zeros(2))
        with pytest.raises(RuntimeError, match="requires a gradient"):
            x[0] = leaf()


class TestWrongFunctions:
    @staticmethod
    def function(result):
        class Wrong(Function):
            def forward(self, first, second):
                return first + second

            def backward(self, cotangent):
                return result(cotangent)

        return Wrong()(leaf(2), leaf(2))

    def test_a_missing_gradient_is_named(self):
        y = self.function(lambda c: (c, None))
        with pytest.raises(GradientError, match=r"missing gradient: Wrong.* None for its argument 'second'"):
            y.backward(np.ones(2))

    @pytest.mark.parametrize(
        ("result", "said"),
        [
            (lambda c: (c, c.sum()), r"shape \(\) and type float64 for its argument 'second', which has shape \(2,\)"),
            (lambda c: (c.astype(np.float32), c), "type float32 for its argument 'first'"),
            (lambda c: (c.array, c), "returned a ndarray for its argument 'first'"),
            (lambda c: (c,), "must return a tuple of 2 gradients, one for each input, but returned a tuple of 1"),
            (lambda c: c, "must return a tuple of 2 gradients"),
        ],
    )
    def test_a_wrong_gradient_is_named(self, result, said):
        with pytest.raises(GradientError, match=said):
            self.function(result).backward(np.ones(2))

    def test_variadic_arguments_are_numbered(self):
        class Wrong(Function):
            def forward(self, *tensors, axis):
                return np.concatenate(tensors, axis)

            def backward(self, cotangent):
                return cotangent[:2], None

        with pytest.raises(GradientError, match=r"argument 'tensors\[1\]'"):
            Wrong()(leaf(2), leaf(2), axis=0).backward(np.ones(4))


class TestGrad:
    def test_one_input_one_gradient_several_a_tuple(self):
        x, y = leaf(2), leaf(2)
        one = grad((x * y).sum(), x)
        np.testing.assert_array_equal(one.array, y.array)
        both = grad((x * y).sum(), [x, y])
        assert isinstance(both, tuple) and len(both) == 2
        assert x.grad is None and y.grad is None

    def test_several_outputs_with_cotangents(self):
        x = leaf(3)
        u, v = rng.standard_normal((2, 3))
        found = grad([x * 2, F.exp(x)], x, [u, v])
        np.testing.assert_allclose(found.array, 2 * u + v * np.exp(x.array))

    def test_intermediate_inputs(self):
        x = leaf(2)
        y = x * x
        z = F.exp(y)
        gy, gx = grad(z, [y, x], np.ones(2))
        np.testing.assert_allclose(gy.array, z.array)
        np.testing.assert_allclose(gx.array, 2 * x.array * z.array)

    def test_an_output_as_input(self):
        y = leaf(2) * 2
        np.testing.assert_array_equal(grad(y, y, [3.0, 4.0]).array, [3, 4])

    def test_unused_input(self):
        x, y = leaf(2), leaf(5)
        with pytest.raises(GradientError, match=r"inputs\[1\] \(shape \(5,\)\) was not used"):
            grad((x * 2).sum(), [x, y])
        gx, gy = grad((x * 2).sum(), [x, y], allow_unused=True)
        assert gy is None and gx.shape == (2,)

    def test_inputs_that_require_no_gradient(self):
        x = leaf(2)
        with pytest.raises(GradientError, match=r"inputs\[0\] requires no gradient"):
            grad((x * 2).sum(), [Tensor(np.zeros(2))])
        with pytest.raises(TypeError, match=r"inputs\[0\] must be a Tensor, not a ndarray"):
            grad((x * 2).sum(), [np.zeros(2)])

    def test_number_of_cotangents(self):
        x = leaf(2)
        with pytest.raises(ValueError, match="grad_outputs has 1 entries for 2 outputs"):
            grad([x * 2, x * 3], x, [np.ones(2)])

    def test_mixed_second_derivatives(self):
        """f = x²y³: f_xy = 6xy², the same in either order."""
        x, y = leaf(), leaf()
        f = x * x * y * y * y
        fx, fy = grad(f, [x, y], create_graph=True)
        expected = 6 * x.item() * y.item() ** 2
        np.testing.assert_allclose(grad(fx, y, retain_graph=True).item(), expected)
        np.testing.assert_allclose(grad(fy, x).item(), expected)

    def test_gradient_penalty(self):
        """A gradient inside a loss: d/dw Σ (∂/∂x Σ (wx)³)² with backward."""
        x, w = leaf(3), leaf(3)
        slope = grad(((w * x) * (w * x) * (w * x)).sum(), x, create_graph=True)
        (slope * slope).sum().backward()
        # slope = 3 w³x², so Σ slope² = 9 w⁶x⁴ and its derivative in w is 54 w⁵x⁴
        np.testing.assert_allclose(w.grad.array, 54 * w.array**5 * x.array**4)

    def test_backward_with_create_graph(self):
        x = leaf(2)
        (x * x * x).sum().backward(create_graph=True)
        slope, x.grad = x.grad, None
        slope.sum().backward()
        np.testing.assert_allclose(x.grad.array, 6 * x.array)

    @pytest.mark.parametrize("order", range(1, 7))
    def test_any_order(self, order):
        x = leaf(2)
        y = F.exp(2 * x)
        for _ in range(order):
            y = grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.array, 2.0**order * np.exp(2 * x.array))


class TestFusedDerivatives:
    """Inputs of a fused function that depend on each other, or are one tensor."""

    def test_one_tensor_twice(self):
        p = Tensor(rng.uniform(0.2, 0.8, (1, 4, 2)), requires_grad=True)
        with _reference():
            fused = grad(F.dice(p, p, smooth=1.0).sum(), p)
            recorded = grad(F.dice(p, p, smooth=1.0).sum(), p, create_graph=True)
        np.testing.assert_allclose(recorded.array, fused.array)

    def test_one_input_computed_from_another(self):
        x = leaf(4, 3)
        with _reference():
            gamma = F.exp(x.mean(0))
            weight = rng.standard_normal((4, 3))
            fused = grad((F.batch_norm(x, gamma) * weight).sum(), x, retain_graph=True)
            recorded = grad((F.batch_norm(x, gamma) * weight).sum(), x, create_graph=True)
        np.testing.assert_allclose(recorded.array, fused.array, atol=1e-12)

    def test_a_gradient_the_kernel_does_not_cover_comes_from_the_composition(self):
        z, t = leaf(3), Tensor(np.full(3, 0.25), requires_grad=True)
        with _reference():
            gz, gt = grad(F.binary_cross_entropy(z, t).sum(), [z, t])
        np.testing.assert_allclose(gt.array, -z.array)
        np.testing.assert_allclose(gz.array, 1 / (1 + np.exp(-z.array)) - 0.25)


def _reference():
    from tomograd import kernels

    return kernels.using("reference")


class TestModes:
    def test_no_grad_and_enable_grad_nest(self):
        assert tg.recording()
        with tg.no_grad():
            assert not tg.recording()
            with tg.enable_grad():
                assert tg.recording()
            assert not tg.recording()
        assert tg.recording()

    def test_restored_after_an_exception(self):
        with pytest.raises(KeyError), tg.no_grad():
            raise KeyError
        assert tg.recording()

    def test_as_decorators(self):
        @tg.no_grad()
        def outer(depth):
            assert not tg.recording()
            return outer(depth - 1) if depth else "done"

        assert outer(3) == "done"
        assert tg.recording()

    def test_detach_stops_the_gradient(self):
        x = leaf(2)
        y = (x.detach() * x).sum()
        y.backward()
        np.testing.assert_array_equal(x.grad.array, x.array)

    def test_the_mode_belongs_to_the_thread(self):
        seen = []
        with tg.no_grad():
            thread = threading.Thread(target=lambda: seen.append(tg.recording()))
            thread.start()
            thread.join()
        assert seen == [True]


class TestThreads:
    def test_independent_passes_do_not_interfere(self):
        """Eight threads with graphs of their own, half of them under no_grad for a while; one leaf is shared."""
        shared = Tensor(np.ones(4), requires_grad=True)
        errors, rounds, threads = [], 30, 8
        start = threading.Barrier(threads)

        def work(number):
            try:
                own = Tensor(np.full(4, float(number + 1)), requires_grad=True)
                start.wait()
                for _ in range(rounds):
                    own.grad = None
                    if number % 2:
                        with tg.no_grad():
                            assert not (own * 2).requires_grad
                    y = own
                    for _ in range(20):
                        y = y * 1.0 + 0.0
                    (y * y + shared).sum().backward()
                    np.testing.assert_array_equal(own.grad.array, np.full(4, 2.0 * (number + 1)))
            except Exception as error:
                errors.append(error)

        workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not errors
        np.testing.assert_array_equal(shared.grad.array, np.full(4, float(threads * rounds)))


def test_a_backward_pass_inside_backward():
    """A function whose backward runs a pass of its own."""

    class Inner(Function):
        def forward(self, x):
            self.save(x)
            return x**3

        def backward(self, cotangent):
            (x,) = self.saved
            with tg.enable_grad():
                again = Tensor(x.array, requires_grad=True)
                slope = grad((again**3).sum(), again)
            return (cotangent * slope,)

    x = leaf(3)
    (Inner()(x * 2)).sum().backward()
    np.testing.assert_allclose(x.grad.array, 24 * x.array**2)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_leaves(duplicate):
    x = leaf(2)
    (x * 2).sum().backward()
    for original in (x, F.exp(x), tg.Variable(np.ones(2), "v", trainable=False)):
        twin = duplicate(original)
        assert type(twin) is type(original) and twin.is_leaf and twin.grad is None
        assert twin.requires_grad == original.requires_grad
        assert not np.shares_memory(twin.array, original.array)
        np.testing.assert_array_equal(twin.array, original.array)
    assert duplicate(tg.Variable(np.ones(2), "v")).name == "v"
