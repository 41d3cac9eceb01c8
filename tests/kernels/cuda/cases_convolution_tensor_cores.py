"""Convolution and its two transposes on the tensor cores against the reference: all geometries, numbers of 16 bits,
float32 rounded to TF32 and bfloat16, channels that fill 16 bytes and that do not, split sums."""

import ml_dtypes
import numpy as np
import pytest
from halves import HALVES, require_one_rounding
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels import precision, reference
from tomograd.kernels.geometry import conv_output_size
from tomograd.testing import compare
from tomograd.testing.strategies import conv_cases

DIGITS = {"tf32": 10, "bfloat16": 7}
PLAIN = (1, 1), ((1, 1), (1, 1)), (1, 1), 1  # as most layers are
ARITHMETICS = [("tf32", np.float32), ("bfloat16", np.float32), *(("float32", dtype) for dtype in HALVES)]
arithmetics = st.sampled_from(ARITHMETICS)


def check_all(cuda, name, x, weight, bias, dy, geometry, activation=None):
    """The three of small whole numbers are the reference's, but for the last rounding of halves."""
    wide = [None if a is None else a.astype(np.float64) for a in (x, weight, bias, dy)]
    with precision(name):
        y = cuda.conv(x, weight, bias, *geometry, activation)
        dx = cuda.conv_transpose(dy, weight, None, x.shape[1:-1], *geometry)
        offset = np.arange(x.shape[-1]).astype(x.dtype)
        shifted = cuda.conv_transpose(dy, weight, offset, x.shape[1:-1], *geometry)
        dw = cuda.conv_weight_gradient(x, dy, weight.shape[:-2], *geometry)
    expected = reference.conv(*wide[:3], *geometry, activation)
    np.testing.assert_array_equal(y, expected.astype(x.dtype))
    expected = reference.conv_transpose(wide[3], wide[1], None, x.shape[1:-1], *geometry)
    np.testing.assert_array_equal(dx, expected.astype(x.dtype))
    np.testing.assert_array_equal(shifted, (expected + offset).astype(x.dtype))
    expected = reference.conv_weight_gradient(wide[0], wide[3], weight.shape[:-2], *geometry)
    np.testing.assert_array_equal(dw, expected.astype(x.dtype))
    assert dw.dtype == x.dtype and dw.flags.c_contiguous
    assert y.dtype == dx.dtype == x.dtype and y.flags.c_contiguous and dx.flags.c_contiguous


def check_layer(cuda, arithmetic, batch, input_size, kernel_size, channels, *geometry, activation=None):
    """`check_all` for the layer of these sizes; channels are those in and out, of all groups."""
    name, dtype = arithmetic
    output_size = conv_output_size(input_size, kernel_size, *geometry[:3])
    weights = (*kernel_size, channels[0] // geometry[3], channels[1])
    shapes = (batch, *input_size, channels[0]), weights, (channels[1],), (batch, *output_size, channels[1])
    rng = np.random.default_rng(len(weights))
    check_all(cuda, name, *[rng.integers(-4, 5, shape).astype(dtype) for shape in shapes], geometry, activation)


@given(
    case=conv_cases(max_channels=9, max_output=3, max_batch=1),
    activation=st.sampled_from([None, "relu"]),
    dtype=st.sampled_from(HALVES),
)
@settings(max_examples=15)
def test_halves_of_any_channels(cuda, case, activation, dtype):
    x, weight, dy = (each.astype(dtype) for each in (case.x, case.weight, case.dy))
    bias = None if case.bias is None else case.bias.astype(dtype)
    check_all(cuda, "float32", x, weight, bias, dy, case.geometry, activation)


@given(case=conv_cases(max_channels=2, max_output=3, max_batch=2, max_groups=2), arithmetic=arithmetics)
@settings(max_examples=15)
def test_channels_of_16_bytes_in_all_geometries(cuda, case, arithmetic):
    name, dtype = arithmetic
    rng = np.random.default_rng(0)
    shapes = [(*a.shape[:-1], 8 * a.shape[-1]) for a in (case.x, case.dy)]
    weights = (*case.weight.shape[:-2], 8 * case.weight.shape[-2], 8 * case.weight.shape[-1])
    x, dy, weight = (rng.integers(-4, 5, shape).astype(dtype) for shape in (*shapes, weights))
    check_all(cuda, name, x, weight, None, dy, case.geometry)


@pytest.mark.parametrize("channels", [(4, 32), (16, 16), (20, 36), (8, 68), (64, 8), (12, 132), (36, 9)])
@pytest.mark.parametrize("arithmetic", ARITHMETICS, ids=str)
def test_channels_that_tiles_fit_and_do_not(cuda, arithmetic, channels):
    check_layer(cuda, arithmetic, 1, (7, 9), (3, 3), channels, *PLAIN, activation="relu")


def test_every_tile_of_every_arithmetic(cuda, on_gpu):
    one, three, no = (1, 1), (3, 3), ((0, 0), (0, 0))
    for arithmetic in ARITHMETICS:
        for size, kernel_size, channels in (
            ((5, 6), one, (8, 128)),
            ((5, 6), one, (128, 8)),
            ((5, 6), one, (64, 64)),
            ((10, 13), one, (32, 32)),
            ((6, 5), three, (28, 32)),
        ):
            check_layer(cuda, arithmetic, 2, size, kernel_size, channels, one, no, one, 1)
    if not on_gpu:
        from tomograd.kernels.cuda import convolution_tensor_cores, runtime, weight_tensor_cores

        launched = set(runtime.current().launched)
        assert launched >= {*convolution_tensor_cores.SOURCE, *weight_tensor_cores.SOURCE}


@pytest.mark.parametrize("images", [(2, 21, 29), (1, 18, 16), (1, 25, 25)])
def test_gradients_of_weights_over_many_pixels(cuda, images):
    """Sums in parts (also in two: of float32, and of halves), which add up to whole numbers that float32 holds; halves
    are rounded at the end."""
    rng = np.random.default_rng(4)
    x, dy = (rng.integers(-1, 2, (*images, channels)) for channels in (16, 24))
    expected = reference.conv_weight_gradient(x.astype(float), dy.astype(float), (3, 3), *PLAIN)
    for name, dtype in (("tf32", np.float32), *(("float32", dtype) for dtype in HALVES)):
        with precision(name):
            dw = cuda.conv_weight_gradient(x.astype(dtype), dy.astype(dtype), (3, 3), *PLAIN)
        np.testing.assert_array_equal(dw, expected.astype(dtype))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("channels", [(24, 40, 1), (7, 5, 1), (10, 15, 5), (3, 64, 1), (12, 2, 1), (6, 6, 6)])
def test_halves_are_summed_in_float32_and_rounded_once(cuda, dtype, channels):
    c_in, c_out, groups = channels
    rng = np.random.default_rng(5)
    shapes = (2, 7, 6, c_in), (3, 3, c_in // groups, c_out), (2, 4, 6, c_out), (c_out,), (c_in,)
    x, w, dy, bias, offset = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    geometry = (2, 1), ((1, 1), (2, 2)), (1, 2), groups

    def check(function, terms, *arguments):
        wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
        sizes = [np.abs(a) if isinstance(a, np.ndarray) else a for a in wide]
        twin = getattr(reference, function.__name__)
        require_one_rounding(function(*arguments), twin(*wide), twin(*sizes), dtype, terms)

    check(cuda.conv, 9 * c_in // groups + 1, x, w, bias, *geometry)
    check(cuda.conv_transpose, 9 * c_out // groups + 1, dy, w, offset, x.shape[1:-1], *geometry)
    check(cuda.conv_weight_gradient, 2 * 4 * 6, x, dy, (3, 3), *geometry)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_halves_that_begin_in_the_middle_of_sixteen_bytes(cuda, dtype):
    rng = np.random.default_rng(6)
    shapes = (1, 5, 6, 16), (3, 3, 16, 8), (8,), (1, 5, 6, 8)
    shifted = []
    for shape in shapes:
        room = np.zeros(np.prod(shape) + 1, dtype)
        room[1:] = rng.integers(-4, 5, room.size - 1)
        shifted.append(room[1:].reshape(shape))
    check_all(cuda, "float32", *shifted, PLAIN)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_halves_beyond_the_largest_and_not_a_number(cuda, dtype):
    largest = float(ml_dtypes.finfo(dtype).max)
    x = np.full((1, 1, 6, 16), largest, dtype)
    x[0, 0, 3], x[0, 0, 5] = 0, np.nan
    w = np.zeros((1, 1, 16, 8), dtype)
    w[..., :2, :], w[..., 2, 1] = 1, -2
    y = cuda.conv(x, w, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1).astype(np.float32)[0, 0]
    np.testing.assert_array_equal(y[0], [np.inf, 0, *[np.inf] * 6])
    np.testing.assert_array_equal(y[3], 0)
    assert np.isnan(y[5]).all()


def test_strides_of_more_phases_than_a_launch_takes(cuda):
    check_layer(cuda, ("tf32", np.float32), 1, (23,), (3,), (8, 8), (9,), ((0, 0),), (1,), 1)


@pytest.mark.parametrize("name", DIGITS)
def test_the_factors_are_rounded_and_nothing_else(cuda, name):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((1, 5, 6, 24)).astype(np.float32), rng.standard_normal((3, 3, 24, 40)).astype(np.float32)

    def rounded(a):
        fraction, exponent = np.frexp(a)
        return np.rint(fraction * 2 ** (DIGITS[name] + 1)) * 2.0 ** (exponent - DIGITS[name] - 1)

    def expected(x, w, *others):
        return reference.conv(rounded(x), rounded(w), *others)

    def expected_gradient(x, dy, *others):
        return reference.conv_weight_gradient(rounded(x), rounded(dy), *others)

    with precision(name):
        compare(cuda.conv, expected, x, w, None, *PLAIN, terms=9 * 24)
        dy = rng.standard_normal((1, 5, 6, 40)).astype(np.float32)
        compare(cuda.conv_weight_gradient, expected_gradient, x, dy, (3, 3), *PLAIN, terms=30)


def test_float32_stays_exact_unless_asked_for_less(cuda):
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((1, 5, 6, 8)).astype(np.float32), rng.standard_normal((3, 3, 8, 8)).astype(np.float32)
    compare(cuda.conv, reference.conv, x, w, None, *PLAIN, terms=9 * 8)
    with precision("tf32"):
        compare(cuda.conv, reference.conv, x.astype(float), w.astype(float), None, *PLAIN, terms=9 * 8)


@pytest.mark.parametrize("name", DIGITS)
def test_not_a_number_stays_where_it_is_seen(cuda, name):
    x = np.ones((1, 5, 30, 16), np.float32)
    x[0, 2, 20], x[0, 4, 29] = np.nan, np.inf
    arguments = x, np.ones((3, 5, 16, 12), np.float32), None, (1, 1), ((1, 1), (2, 2)), (1, 1), 1
    with precision(name):
        np.testing.assert_array_equal(cuda.conv(*arguments), reference.conv(*arguments))


def test_the_same_bits_in_any_order(cuda, on_gpu):
    if on_gpu:
        return
    from emulated import Emulated

    from tomograd.kernels.cuda import runtime

    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((1, 4, 5, 64)).astype(np.float32), rng.standard_normal((3, 3, 64, 8)).astype(np.float32)
    images = rng.standard_normal((1, 20, 20, 8)).astype(np.float32)
    results, gradients = set(), set()
    for order, blocks in ((0, 3), (1, 1), (2, 7)):
        with runtime.use(Emulated(order, blocks)), precision("tf32"):
            results.add(cuda.conv(x, w, None, *PLAIN).tobytes())
            gradients.add(cuda.conv_weight_gradient(images, images, (3, 3), *PLAIN).tobytes())
    assert len(results) == len(gradients) == 1
