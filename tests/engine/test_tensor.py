"""Tensor: construction, types, NumPy's semantics, changes in place."""

import inspect
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tomograd.engine as tg
from tomograd import kernels
from tomograd.engine import Tensor, Variable, as_tensor, grad
from tomograd.engine import functional as F
from tomograd.testing.strategies import LAYOUTS, laid_out


@pytest.fixture(autouse=True)
def reference_kernels():
    with kernels.using("reference"):
        yield


rng = np.random.default_rng(1)


class TestConstruction:
    def test_copies(self):
        array = np.ones(3)
        for tensor in (Tensor(array), Tensor(Tensor(array)), Tensor(array[::-1]), Tensor(array, dtype=np.float64)):
            assert not np.shares_memory(tensor.array, array)
            assert tensor.array.flags.c_contiguous and tensor.array.flags.writeable

    def test_as_tensor_does_not(self):
        array = np.ones(3)
        assert as_tensor(array).array is array
        tensor = Tensor(array)
        assert as_tensor(tensor) is tensor

    @pytest.mark.parametrize(
        ("data", "dtype"),
        [
            (1.5, np.float32),
            ([1.5, 2], np.float32),
            ([[1.0], [2.0]], np.float32),
            ([], np.float32),
            (3, np.int64),
            ([1, 2], np.int64),
            (True, np.bool_),
            (np.float64(1.5), np.float64),
            (np.float32(1.5), np.float32),
            ([np.zeros(2), np.ones(2)], np.float64),
            (np.zeros(2, np.float32), np.float32),
            (np.zeros(2, np.float64), np.float64),
            (np.zeros(2, np.uint8), np.uint8),
            (np.zeros(2, ">f4"), np.float32),
            (np.zeros(2, ">i2"), np.int16),
            (np.ma.masked_array([1.0, 2.0]), np.float64),
        ],
    )
    def test_types(self, data, dtype):
        tensor = Tensor(data)
        assert tensor.dtype == dtype and tensor.dtype.isnative
        assert type(tensor.array) is np.ndarray
        np.testing.assert_array_equal(tensor.array, np.asarray(data))

    def test_dtype_converts(self):
        assert Tensor([1, 2], dtype="float64").dtype == np.float64
        assert as_tensor(np.ones(2), np.float32).dtype == np.float32

    @pytest.mark.parametrize("data", ["text", None, [1, "a"], np.array([1j]), object(), {"a": 1}])
    def test_not_numbers(self, data):
        with pytest.raises(TypeError, match="a tensor holds floating, integer or boolean numbers"):
            Tensor(data)

    @pytest.mark.parametrize("data", [1, [True], np.zeros(2, np.uint8)])
    def test_only_floating_tensors_require_gradients(self, data):
        with pytest.raises(TypeError, match="cannot require a gradient: only floating types can"):
            Tensor(data, requires_grad=True)

    def test_attributes(self):
        x = Tensor(np.zeros((2, 3), np.float32), requires_grad=True)
        assert (x.shape, x.dtype, x.ndim, x.size, x.device, len(x)) == ((2, 3), np.float32, 2, 6, "cpu", 2)
        assert x.requires_grad and x.grad is None and x.is_leaf
        assert not (x * 2).is_leaf

    def test_requires_grad_of_a_computed_tensor_stays(self):
        y = Tensor(1.0, requires_grad=True) * 2
        with pytest.raises(RuntimeError, match="use detach"):
            y.requires_grad = False

    def test_grad_is_checked(self):
        x = Tensor(np.zeros(2, np.float32), requires_grad=True)
        x.grad = Tensor(np.ones(2, np.float32))
        x.grad = None
        with pytest.raises(ValueError, match=r"grad has shape \(3,\) .* the tensor has shape \(2,\)"):
            x.grad = np.ones(3, np.float32)


class TestConversions:
    def test_numpy_is_a_read_only_view(self):
        x = Tensor([1.0, 2.0])
        view = x.numpy()
        assert np.shares_memory(view, x.array) and x.array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 5

    def test_asarray(self):
        x = Tensor([1.0, 2.0])
        np.testing.assert_array_equal(np.asarray(x), [1, 2])
        assert np.asarray(x, np.float64).dtype == np.float64
        assert not np.shares_memory(np.array(x), x.array)

    def test_ufuncs_do_not_swallow_tensors(self):
        with pytest.raises(TypeError, match="ufunc"):
            np.exp(Tensor([1.0]))

    def test_numpys_functions_give_tensors_where_there_is_one_of_the_name(self):
        x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
        for ours, theirs in (
            (np.sum(x, axis=1), [3, 12]),
            (np.mean(x, axis=(0, 1), keepdims=True), [[2.5]]),
            (np.max(x), 5),
            (np.concatenate([x, x], axis=0)[2:], x.array),
            (np.where(x.array > 3, x, 0.0), [[0, 0, 0], [0, 4, 5]]),
            (np.clip(x, 1, 4), np.clip(x.array, 1, 4)),
        ):
            assert isinstance(ours, Tensor) and ours.requires_grad
            np.testing.assert_array_equal(ours.array, theirs)

    def test_other_functions_of_numpy_see_arrays(self):
        x = Tensor([[1.0, 2.0]])
        assert np.shape(x) == (1, 2) and np.allclose(x, x.array) and np.array_equal(x, x)
        assert type(np.amax(x)) is np.float32 and type(np.vstack([x, x])) is np.ndarray

    def test_format(self):
        assert f"{Tensor(0.25):.3f} {Tensor([[7]]):>3}" == "0.250   7"
        assert f"{Tensor([1.0, 2.0])}" == "Tensor([1., 2.], dtype=float32)"
        with pytest.raises(ValueError, match="one element"):
            f"{Tensor([1.0, 2.0]):.3f}"

    def test_numbers(self):
        assert (float(Tensor(1.5)), int(Tensor(2)), Tensor([[3]]).item()) == (1.5, 2, 3)
        assert [10, 20, 30][Tensor(1)] == 20
        assert bool(Tensor([True])) and not Tensor(0.0)
        assert Tensor([[1, 2]]).tolist() == [[1, 2]]

    @pytest.mark.parametrize("convert", [float, int, Tensor.item])
    def test_only_one_element_is_a_number(self, convert):
        with pytest.raises(ValueError, match=r"item\(\) needs a tensor of one element, this one has shape \(2,\)"):
            convert(Tensor([1.0, 2.0]))

    def test_truth_of_several_is_ambiguous(self):
        with pytest.raises(ValueError, match="ambiguous"):
            bool(Tensor([1.0, 2.0]) == Tensor([1.0, 2.0]))

    @pytest.mark.parametrize("not_an_index", [Tensor(1.0), Tensor([1]), Tensor(True)])
    def test_not_an_index(self, not_an_index):
        with pytest.raises(TypeError, match="only an integer tensor of no dimensions is an index"):
            operator.index(not_an_index)

    def test_iteration(self):
        x = Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
        rows = list(x)
        assert [row.shape for row in rows] == [(2,)] * 3
        (rows[2] * 5).sum().backward()
        np.testing.assert_array_equal(x.grad.array, [[0, 0], [0, 0], [5, 5]])
        for loop in (iter, len):
            with pytest.raises(TypeError):
                loop(Tensor(1.0))

    def test_repr(self):
        assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.], dtype=float32)"
        x = Tensor([1.0], requires_grad=True)
        assert repr(x) == "Tensor([1.], dtype=float32, requires_grad=True)"
        assert repr(x * 2) == "Tensor([2.], dtype=float32, function=Multiply)"

    def test_hash_is_identity(self):
        x, y = Tensor([1.0]), Tensor([1.0])
        assert len({x, y, x}) == 2

    def test_devices(self):
        x = Tensor([1.0])
        assert x.to("cpu") is x
        with pytest.raises(ValueError, match='device = \'gpu\': expected "cpu", "cuda" or "cuda:N"'):
            x.to("gpu")

    def test_cuda_without_cupy(self):
        if "cupy" in _installed():
            pytest.skip("CuPy is installed here")
        with pytest.raises(ImportError, match=r'pip install "tomograd\[cuda\]"'):
            Tensor([1.0]).to("cuda")


def _installed():
    from importlib.metadata import packages_distributions

    return packages_distributions()


OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


class TestArithmetic:
    @pytest.mark.parametrize("op", OPERATORS)
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("other", [2, 2.5, "array", "tensor"])
    def test_as_numpy_from_both_sides(self, op, dtype, other):
        x = rng.uniform(0.5, 2, (2, 3)).astype(dtype)
        right = rng.uniform(0.5, 2, (3,)).astype(dtype) if isinstance(other, str) else other
        theirs = Tensor(right) if other == "tensor" else right
        for result, expected in (
            (op(Tensor(x), theirs), op(x, dtype(right))),
            (op(theirs, Tensor(x)), op(dtype(right), x)),
        ):
            assert type(result) is Tensor and result.dtype == dtype
            np.testing.assert_allclose(result.array, expected, rtol=1e-6 if dtype == np.float32 else 1e-13)

    def test_unary(self):
        x = Tensor([-1.5, 2.0])
        np.testing.assert_array_equal((-x).array, [1.5, -2])
        np.testing.assert_array_equal((+x).array, [-1.5, 2])
        np.testing.assert_array_equal(abs(x).array, [1.5, 2])
        np.testing.assert_array_equal((~Tensor([True, False])).array, [False, True])

    def test_logic(self):
        a, b = Tensor([True, True, False]), Tensor([True, False, False])
        np.testing.assert_array_equal((a & b).array, [True, False, False])
        np.testing.assert_array_equal((a | b).array, [True, True, False])
        np.testing.assert_array_equal((a ^ b).array, [False, True, False])
        np.testing.assert_array_equal((np.array([False, True, True]) & a).array, [False, True, False])

    @pytest.mark.parametrize("op", COMPARISONS)
    @pytest.mark.parametrize("other", [1.0, 1, np.array([0.0, 1.0, 2.0]), Tensor([0.0, 1.0, 2.0]), [0.0, 1.0, 2.0]])
    def test_comparisons_are_boolean_constants(self, op, other):
        x = Tensor([1.0, 1.0, 1.0], requires_grad=True)
        result = op(x, other)
        assert result.dtype == np.bool_ and not result.requires_grad
        right = other.array if isinstance(other, Tensor) else other
        np.testing.assert_array_equal(result.array, op(x.array, right))
        np.testing.assert_array_equal(op(np.array([0.0, 1.0, 2.0]), x).array, op(np.array([0.0, 1.0, 2.0]), x.array))

    def test_comparison_with_something_else(self):
        x = Tensor([1.0])
        assert (x == None) is False and (x != "a") is True  # noqa: E711
        with pytest.raises(TypeError):
            _ = x < None

    def test_augmented_assignment_makes_a_new_tensor(self):
        x = Tensor([1.0], requires_grad=True)
        y = x
        y += 1
        assert y is not x and x.item() == 1

    def test_boolean_subtraction(self):
        with pytest.raises(TypeError, match="boolean tensors cannot be subtracted"):
            Tensor([True]) - Tensor([False])

    def test_shapes_that_do_not_broadcast(self):
        with pytest.raises(ValueError, match="broadcast"):
            Tensor([1.0, 2.0]) + Tensor([1.0, 2.0, 3.0])

    def test_a_tensor_and_something_that_is_no_number(self):
        with pytest.raises(TypeError, match="not object"):
            Tensor([1.0]) * {"a": 1}


F32, F64, I64, U8, B = (np.zeros(1, t) for t in (np.float32, np.float64, np.int64, np.uint8, np.bool_))


class TestTypes:
    @pytest.mark.parametrize(
        ("x", "y", "dtype"),
        [
            (F32, 1, np.float32),
            (F32, 1.5, np.float32),
            (F32, True, np.float32),
            (F32, np.float64(1.5), np.float32),
            (F64, 1.5, np.float64),
            (F32, F64, np.float64),
            (F32, I64, np.float32),
            (F32, U8, np.float32),
            (F32, B, np.float32),
            (F64, I64, np.float64),
            (I64, 2, np.int64),
            (I64, 1.5, np.float32),
            (I64, I64, np.int64),
            (U8, 3, np.uint8),
            (U8, I64, np.int64),
            (B, 1.5, np.float32),
            (B, 2, np.int64),
            (B, I64, np.int64),
        ],
    )
    def test_promotion(self, x, y, dtype):
        typed = y if isinstance(y, np.ndarray) else None
        for result in (Tensor(x) * y, y * Tensor(x)):
            assert result.dtype == dtype
        if typed is not None:
            assert (x * Tensor(typed)).dtype == dtype

    def test_two_integers_divide_to_float32(self):
        assert (Tensor([3]) / Tensor([2])).dtype == np.float32
        assert (Tensor([3]) / 2).item() == 1.5
        assert Tensor([1, 2]).mean().dtype == np.float32

    def test_sums_of_integers(self):
        assert Tensor(np.array([200, 200], np.uint8)).sum().item() == 400

    def test_gradients_have_their_leaf_s_type(self):
        x = Tensor(np.ones(2, np.float32), requires_grad=True)
        y = Tensor(np.ones(2, np.float64), requires_grad=True)
        z = x * y + x * Tensor([1, 2])
        assert z.dtype == np.float64
        z.sum().backward()
        assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64

    def test_float32_stays_float32_through_everything(self):
        x = Tensor(rng.uniform(0.5, 2, (2, 4)).astype(np.float32), requires_grad=True)
        for name in ("exp", "log", "sqrt", "square", "abs", "sin", "relu", "sigmoid", "gelu", "softmax", "softplus"):
            y = getattr(F, name)(x)
            assert y.dtype == np.float32, name
            assert grad((y * 0.5).mean(), x, create_graph=True).dtype == np.float32, name
            assert grad((y * 0.5).mean(), x).dtype == np.float32, name
        for name in ("sum", "mean", "var", "std", "max", "min", "prod"):
            y = getattr(F, name)(x, axis=0)
            assert y.dtype == np.float32, name
            assert grad(y.sum(), x, create_graph=True).dtype == np.float32, name

    def test_astype(self):
        x = Tensor(np.array([1.7, -2.2]), requires_grad=True)
        y = x.astype(np.float32)
        assert y.dtype == np.float32 and y.requires_grad
        y.sum().backward()
        assert x.grad.dtype == np.float64
        assert x.astype(np.float64) is x
        rounded = x.astype(np.int64)
        assert rounded.tolist() == [1, -2] and not rounded.requires_grad
        with pytest.raises(TypeError, match="not complex128"):
            x.astype(np.complex128)


shape_pairs = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0)


@given(shape_pairs, st.sampled_from([F.add, F.subtract, F.multiply, F.divide, F.maximum, F.logaddexp]), st.data())
def test_broadcasting_sums_gradients_back(shapes, function, data):
    """The gradient in a broadcast operand is the sum of the gradients in its copies."""
    (a, b), shape = shapes.input_shapes, shapes.result_shape
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    x, y = (Tensor(rng.uniform(0.5, 2, s), requires_grad=True) for s in (a, b))
    cotangent = rng.standard_normal(shape)
    z = function(x, y)
    assert z.shape == shape
    gx, gy = grad(z, [x, y], cotangent)
    big_x, big_y = (Tensor(np.broadcast_to(t.array, shape), requires_grad=True) for t in (x, y))
    copies = grad(function(big_x, big_y), [big_x, big_y], cotangent)
    for own, copy, small in ((gx, copies[0], a), (gy, copies[1], b)):
        assert own.shape == small
        axes = tuple(i for i in range(len(shape)) if i < len(shape) - len(small) or small[i - len(shape)] == 1)
        np.testing.assert_allclose(own.array, copy.array.sum(axes).reshape(small), atol=1e-12)


@given(st.data())
def test_basic_indexing_as_numpy(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    _check_indexing(shape, index)


@given(st.data())
def test_integer_indexing_as_numpy(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    _check_indexing(shape, data.draw(hnp.integer_array_indices(shape)))


@given(st.data())
def test_boolean_indexing_as_numpy(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    count = data.draw(st.integers(1, len(shape)))
    _check_indexing(shape, data.draw(hnp.arrays(np.bool_, shape[:count])))


def _check_indexing(shape, index):
    rng = np.random.default_rng(3)
    array = rng.standard_normal(shape)
    x = Tensor(array, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.array, array[index])
    cotangent = rng.standard_normal(y.shape)
    y.backward(cotangent)
    expected = np.zeros(shape)
    np.add.at(expected, index, cotangent)
    np.testing.assert_array_equal(x.grad.array, expected)


class TestIndexing:
    def test_repeated_indices_add_up_the_same_way_each_time(self):
        x = Tensor(np.zeros(3, np.float32), requires_grad=True)
        indices = rng.integers(0, 3, 10_000)
        cotangent = rng.standard_normal(10_000).astype(np.float32)
        runs = {grad(x[indices], x, cotangent).array.tobytes() for _ in range(3)}
        assert len(runs) == 1
        exact = np.bincount(indices, cotangent.astype(np.float64))
        np.testing.assert_allclose(grad(x[indices], x, cotangent).array, exact, atol=1e-3)

    def test_tensors_and_lists_as_indices(self):
        x = Tensor(np.arange(12.0).reshape(3, 4))
        np.testing.assert_array_equal(x[Tensor([2, 0])].array, x.array[[2, 0]])
        np.testing.assert_array_equal(x[[0, 1], Tensor([1, 3])].array, x.array[[0, 1], [1, 3]])
        np.testing.assert_array_equal(x[x > 5].array, x.array[x.array > 5])
        assert x[[]].shape == (0, 4)

    def test_wrong_indices(self):
        x = Tensor(np.zeros((2, 3)))
        with pytest.raises(IndexError):
            x[2]
        with pytest.raises(IndexError):
            x[0, 0, 0]
        with pytest.raises(TypeError, match="an index must hold integers or booleans, not float32"):
            x[Tensor([0.0])]

    def test_slices_are_views(self):
        x = Tensor(np.zeros((2, 3)))
        assert np.shares_memory(x[:, 1:].array, x.array)


class TestChangesInPlace:
    def test_assign_writes_into_the_same_memory(self):
        x = Variable(np.zeros((2, 2), np.float32), "x")
        before = x.array
        x.assign([[1.0, 2.0], [3.0, 4.0]])
        assert x.array is before and x.dtype == np.float32
        np.testing.assert_array_equal(before, [[1, 2], [3, 4]])

    def test_assign_checks(self):
        x = Tensor(np.zeros(2, np.int64))
        with pytest.raises(ValueError, match=r"cannot assign values of shape \(1,\) to a tensor of shape \(2,\)"):
            x.assign([1])
        with pytest.raises(TypeError, match="cannot assign values of type float64 to a tensor of type int64"):
            x.assign(np.zeros(2))

    def test_setitem(self):
        x = Tensor(np.zeros((2, 2)))
        x[0] = 1
        x[Tensor([1]), 0] = np.array([5.0])
        x[x == 5] = Tensor(7.0)
        np.testing.assert_array_equal(x.array, [[1, 1], [7, 0]])
        assert x.version == [3]


class TestVariable:
    def test_is_a_leaf_with_a_name(self):
        w = Variable([1.0, 2.0], "dense/kernel")
        assert w.trainable and w.requires_grad and w.is_leaf and w.name == "dense/kernel"
        assert repr(w) == "<Variable dense/kernel: shape (2,), float32>"
        (w * w).sum().backward()
        np.testing.assert_array_equal(w.grad.array, [2, 4])

    def test_not_trainable(self):
        w = Variable([1.0], "mean", trainable=False)
        assert not (w * 2).requires_grad
        w.trainable = True
        assert (w * 2).requires_grad
        assert "not trainable" in repr(Variable([1], "count", trainable=False))

    def test_integers_are_not_trainable(self):
        with pytest.raises(TypeError, match="int64"):
            Variable([1], "count")


class TestMemoryLayouts:
    """Any layout of the same numbers gives the same results; no input is written to."""

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_same_value_and_gradient(self, layout):
        base = rng.standard_normal((4, 6, 6, 2))
        weight = rng.standard_normal((3, 3, 2, 2))
        kept = base.copy()

        def run(array):
            x = as_tensor(array)
            x.requires_grad = True
            y = F.max_pool(F.conv(x, weight, padding="same", activation="relu"), 2)
            z = (F.softmax(F.batch_norm(y).reshape(4, -1)) * x.mean((1, 2, 3), keepdims=False).reshape(4, 1)).sum(0)
            return z, grad(z, x, np.arange(float(z.size)))

        z, gradient = run(laid_out(base, layout))
        expected, expected_gradient = run(base)
        np.testing.assert_allclose(z.array, expected.array, rtol=1e-12)
        np.testing.assert_allclose(gradient.array, expected_gradient.array, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(base, kept)


class TestLargeArrays:
    """Results above the allocator's threshold live in its memory and are the same numbers."""

    @pytest.mark.parametrize(
        ("function", "shapes"),
        [
            (lambda x, y: x + y, [(300, 100), (100,)]),
            (lambda x, y: x * y, [(100,), (300, 100)]),
            (lambda x, y: x / y, [(300, 1), (1, 100)]),
            (lambda x, y: F.concatenate([x, y], 1), [(300, 100), (300, 7)]),
            (lambda x: F.pad(x, 2, constant_values=3.0), [(300, 100)]),
            (lambda x: F.exp(x.T), [(300, 100)]),
            (lambda x: x[5:], [(40_000,)]),
            (lambda x: x * 2 + x * 3 + x, [(40_000,)]),
        ],
    )
    def test_same_numbers_reused_memory(self, function, shapes):
        from tomograd.kernels import memory

        arrays = [rng.uniform(0.5, 2, shape) for shape in shapes]
        tensors = [Tensor(array, requires_grad=True) for array in arrays]
        before = memory.summary()
        with kernels.using("cpu"):  # the reference's arrays are NumPy's own
            y = function(*tensors)
            cotangent = rng.standard_normal(y.shape)
            found = grad(y, tensors, cotangent)
        after = memory.summary()
        assert after.hits + after.misses > before.hits + before.misses
        expected = function(*[Tensor(array.astype(np.longdouble)) for array in arrays])
        np.testing.assert_allclose(y.array, expected.array.astype(np.float64), rtol=1e-14)
        for tensor, gradient in zip(tensors, found, strict=True):
            step = rng.standard_normal(tensor.shape) * 1e-6
            moved = function(*[Tensor(t.array + step) if t is tensor else t for t in tensors])
            back = function(*[Tensor(t.array - step) if t is tensor else t for t in tensors])
            slope = ((moved.array - back.array) * cotangent).sum()
            np.testing.assert_allclose(slope, 2 * (gradient.array * step).sum(), rtol=1e-5, atol=1e-8)


class TestEmpty:
    def test_elementwise_and_sums(self):
        x = Tensor(np.zeros((0, 3)), requires_grad=True)
        y = (x * 2 + 1).exp().sum()
        y.backward()
        assert y.item() == 0 and x.grad.shape == (0, 3)
        assert x.prod().item() == 1

    def test_sum_over_an_empty_axis(self):
        x = Tensor(np.zeros((2, 0)), requires_grad=True)
        y = x.sum(1)
        np.testing.assert_array_equal(y.array, [0, 0])
        y.backward(np.ones(2))
        assert x.grad.shape == (2, 0)

    @pytest.mark.parametrize("name", ["mean", "var", "std", "max", "min", "argmax", "argmin"])
    def test_no_mean_and_no_maximum_of_nothing(self, name):
        with pytest.raises(ValueError, match=rf"{name}: shape \(2, 0\) reduced over axes \(1,\) leaves 0 elements"):
            getattr(Tensor(np.zeros((2, 0))), name)(1)

    def test_kernels_take_an_empty_batch(self):
        x = Tensor(np.zeros((0, 4, 4, 2)), requires_grad=True)
        w = Tensor(np.ones((3, 3, 2, 5)), requires_grad=True)
        y = F.max_pool(F.conv(x, w, padding="same", activation="relu"), 2)
        assert y.shape == (0, 2, 2, 5)
        y.sum().backward()
        assert x.grad.shape == x.shape and not w.grad.array.any()
        assert F.dense(np.zeros((0, 3)), np.zeros((3, 2))).shape == (0, 2)
        assert F.matmul(np.zeros((0, 2, 3)), np.zeros((3, 4))).shape == (0, 2, 4)


@pytest.mark.parametrize(
    "method", ["sum", "mean", "var", "std", "prod", "max", "min", "argmax", "argmin", "any", "all"]
)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_as_numpy(method, axis, keepdims):
    if method.startswith("arg") and isinstance(axis, tuple):
        with pytest.raises(TypeError, match="axis must be an int"):
            getattr(Tensor(np.zeros((1, 1, 1))), method)(axis)
        return
    array = rng.standard_normal((2, 3, 4))
    if method in ("any", "all"):
        array = array > 0
    for requires_grad in (False, True):
        if requires_grad and array.dtype == np.bool_:
            continue
        result = getattr(Tensor(array, requires_grad=requires_grad), method)(axis=axis, keepdims=keepdims)
        np.testing.assert_allclose(result.array, getattr(array, method)(axis=axis, keepdims=keepdims), rtol=1e-12)


def test_axes_are_checked():
    x = Tensor(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="axis = 2 is out of range for 2 dimensions"):
        x.sum(2)
    with pytest.raises(ValueError, match=r"axis = \(0, -2\) names an axis twice"):
        x.sum((0, -2))
    with pytest.raises(TypeError, match=r"axis must be an int, not 1\.5"):
        x.mean(1.5)


def test_importing_the_engine_loads_no_numba():
    import subprocess
    import sys

    script = "import sys, tomograd.engine; print(sorted(set(sys.modules) & {'numba', 'scipy', 'matplotlib'}))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


class TestRandom:
    def test_a_seed_fixes_the_draws(self):
        tg.random.seed(5)
        first = tg.random.generator().normal(shape=(3,))
        tg.random.seed(5)
        np.testing.assert_array_equal(tg.random.generator().normal(shape=(3,)), first)
        tg.random.seed(6)
        assert (tg.random.generator().normal(shape=(3,)) != first).any()

    def test_state_goes_through_json(self):
        import json

        tg.random.seed(1)
        generator = tg.random.generator()
        generator.uniform(shape=7, dtype=np.float32)  # an odd number of 32-bit draws: half a word is left over
        state = json.loads(json.dumps(tg.random.state()))
        after = [generator.uniform(shape=5), generator.integers(0, 100, 5), generator.permutation(9)]
        tg.random.set_state(state)
        again = [generator.uniform(shape=5), generator.integers(0, 100, 5), generator.permutation(9)]
        for one, other in zip(after, again, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_saved_state_does_not_move_on(self):
        state = tg.random.state()
        tg.random.generator().normal()
        before = tg.random.generator().normal(shape=3)
        tg.random.set_state(state)
        tg.random.generator().normal()
        np.testing.assert_array_equal(tg.random.generator().normal(shape=3), before)

    def test_spawned_generators_are_their_own(self):
        a, b = (tg.random.Generator(3).spawn() for _ in range(2))
        np.testing.assert_array_equal(a.normal(shape=4), b.normal(shape=4))
        parent = tg.random.Generator(3)
        assert (parent.spawn().normal(shape=4) != parent.spawn().normal(shape=4)).all()

    def test_ranges_and_types(self):
        generator = tg.random.Generator(0)
        u = generator.uniform(-2, 3, (1000,), np.float64)
        assert u.dtype == np.float64 and -2 <= u.min() < -1.9 and 2.9 < u.max() < 3
        n = generator.normal(5.0, 0.5, (4000,))
        assert n.dtype == np.float32 and abs(n.mean() - 5) < 0.05 and abs(n.std() - 0.5) < 0.05
        assert set(generator.integers(0, 3, 100).tolist()) == {0, 1, 2}

    @pytest.mark.parametrize("seed", [-1, 1.5, "a", True])
    def test_wrong_seeds(self, seed):
        with pytest.raises(ValueError, match="a seed is a non-negative integer or None"):
            tg.random.seed(seed)

    def test_wrong_states(self):
        with pytest.raises(ValueError, match="not a state of a PCG64 generator"):
            tg.random.set_state({"bit_generator": "MT19937"})


def test_every_method_and_property_is_explained():
    for name in dir(Tensor):
        entry = inspect.getattr_static(Tensor, name)
        if not name.startswith("_") and (callable(entry) or isinstance(entry, property)):
            assert inspect.getdoc(getattr(Tensor, name)), name
    assert inspect.getdoc(Tensor.sum) == inspect.getdoc(F.sum)
