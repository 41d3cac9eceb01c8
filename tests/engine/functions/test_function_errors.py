"""What each function says when its arguments do not fit: the function, the argument, what was given and expected."""

import numpy as np
import pytest

from tomograd.engine import functional as F

IMAGE = np.zeros((1, 4, 4, 2), np.float32)
KERNEL = np.zeros((3, 3, 2, 5), np.float32)
ROWS = np.zeros((2, 3), np.float32)

ERRORS = [
    # convolution
    (lambda: F.conv(ROWS, KERNEL), ValueError, r"conv: x has shape \(2, 3\): expected \(N, \*spatial, C\)"),
    (lambda: F.conv(IMAGE, KERNEL[0]), ValueError, r"conv: weight has shape \(3, 2, 5\).* expected a weight of 4 dim"),
    (lambda: F.conv(IMAGE, KERNEL[:, :, :1]), ValueError, r"weight has shape \(3, 3, 1, 5\), but x has 2 channels"),
    (lambda: F.conv(IMAGE, KERNEL[:0]), ValueError, "its kernel is empty"),
    (lambda: F.conv(IMAGE, KERNEL, np.zeros(4, np.float32)), ValueError, r"bias has shape \(4,\), expected \(5,\)"),
    (lambda: F.conv(IMAGE, KERNEL, groups=2), ValueError, "groups = 2 does not divide the 5 output channels"),
    (lambda: F.conv(IMAGE, KERNEL, groups=3), ValueError, "groups = 3 does not divide the 2 input channels"),
    (lambda: F.conv(IMAGE, KERNEL, groups=0), ValueError, "groups = 0: expected a positive integer"),
    (lambda: F.conv(IMAGE, KERNEL, groups=1.0), ValueError, r"groups = 1\.0: expected a positive integer"),
    (lambda: F.conv(IMAGE, KERNEL, padding="full"), ValueError, "padding = 'full'"),
    (lambda: F.conv(IMAGE, KERNEL, padding=-1), ValueError, "padding = -1"),
    (lambda: F.conv(IMAGE, KERNEL, strides=0), ValueError, "strides = 0"),
    (lambda: F.conv(IMAGE, KERNEL, strides=(1, 1, 1)), ValueError, "strides"),
    (lambda: F.conv(IMAGE, KERNEL, dilation_rate=1.5), TypeError, "dilation_rate"),
    (
        lambda: F.conv(IMAGE, KERNEL, dilation_rate=2),
        ValueError,
        r"window of size \(3, 3\).* is larger than the padded",
    ),
    (lambda: F.conv(IMAGE, KERNEL, activation="rule"), ValueError, "activation = 'rule': expected a function, None or"),
    (lambda: F.conv(IMAGE, KERNEL.astype(np.float64)), TypeError, "conv: weight is float64 but x is float32"),
    (lambda: F.conv(IMAGE.astype(np.uint8), KERNEL), TypeError, "conv: x must be float32 or float64, not uint8"),
    (lambda: F.conv(IMAGE.astype(np.float16), KERNEL), TypeError, "not float16"),
    (lambda: F.conv_transpose(IMAGE, KERNEL), ValueError, r"expected \(\*kernel, C_out/groups, 2\)"),
    (
        lambda: F.conv_transpose(IMAGE, KERNEL.swapaxes(2, 3), np.zeros(2, np.float32)),
        ValueError,
        r"conv_transpose: bias has shape \(2,\), expected \(5,\)",
    ),
    (lambda: F.conv_transpose(IMAGE, KERNEL.swapaxes(2, 3), output_padding=1), ValueError, "output_padding"),
    # pooling
    (lambda: F.max_pool(ROWS, 2), ValueError, "max_pool: x has shape"),
    (lambda: F.max_pool(IMAGE, 5), ValueError, r"window of size \(5, 5\) is larger"),
    (lambda: F.max_pool(IMAGE, 0), ValueError, "pool_size = 0"),
    (lambda: F.max_pool(IMAGE, 2, padding=2), ValueError, "holds nothing of the input"),
    (lambda: F.average_pool(IMAGE, 2, padding=2), ValueError, "holds nothing of the input"),
    (lambda: F.average_pool(IMAGE.astype(int), 2), TypeError, "average_pool: x must be float32 or float64"),
    # dense and matmul
    (lambda: F.dense(ROWS, np.zeros((2, 4), np.float32)), ValueError, r"dense: weight has shape \(2, 4\), x has shape"),
    (
        lambda: F.dense(ROWS, np.zeros((3, 4), np.float32), ROWS),
        ValueError,
        r"bias has shape \(2, 3\), expected \(4,\)",
    ),
    (lambda: F.dense(ROWS, np.zeros((3, 4))), TypeError, "dense: weight is float64 but x is float32"),
    (lambda: F.matmul(ROWS, ROWS), ValueError, "matmul: .* 3 columns on the left, 2 rows on the right"),
    (lambda: F.matmul(1.0, ROWS), ValueError, "each factor needs at least one dimension"),
    (lambda: F.einsum("ij,jk", ROWS, ROWS), ValueError, "einsum: subscripts = 'ij,jk'"),
    (lambda: F.einsum("ii->i", ROWS), ValueError, "expected plain labels"),
    (lambda: F.einsum("ij,jk->ik", ROWS), ValueError, "names 2 factors, 1 were given"),
    (lambda: F.einsum("ij,jk->ik", ROWS, ROWS), ValueError, "label 'j' stands for sizes 3 and 2"),
    (lambda: F.einsum("i->i", ROWS), ValueError, "'i' names 1 axes"),
    # normalisation
    (lambda: F.batch_norm(ROWS, np.ones(2, np.float32)), ValueError, r"gamma has shape \(2,\), expected \(3,\)"),
    (lambda: F.batch_norm(ROWS[:0]), ValueError, "has no mean"),
    (lambda: F.batch_norm(ROWS, training=False), ValueError, "moving_mean and moving_variance must be given"),
    (lambda: F.batch_norm(ROWS, moving_mean=np.zeros(3, np.float32)), ValueError, "must be given together"),
    (lambda: F.group_norm(IMAGE, 3), ValueError, "groups = 3 does not divide the 2 channels"),
    (lambda: F.group_norm(ROWS[0], 1), ValueError, r"expected \(N, …, C\)"),
    (lambda: F.instance_norm(IMAGE[:, :0]), ValueError, "have no mean"),
    (lambda: F.layer_norm(ROWS, np.ones(2, np.float32)), ValueError, r"gamma has shape \(2,\), expected \(3,\)"),
    (lambda: F.layer_norm(ROWS[:, :0]), ValueError, "have no mean"),
    # losses
    (
        lambda: F.sparse_cross_entropy(ROWS, [0, 3]),
        ValueError,
        "the class index at position 1 is 3, but there are 3 classes: expected 0 to 2",
    ),
    (
        lambda: F.sparse_cross_entropy(np.zeros((2, 2, 3)), [[0, 1], [-1, 7]]),
        ValueError,
        r"the class index at position \(1, 0\) is -1, but there are 3 classes",
    ),
    (lambda: F.sparse_cross_entropy(ROWS, [0.0, 1.0]), TypeError, "labels must hold integers, not float32"),
    (lambda: F.sparse_cross_entropy(ROWS, [0]), ValueError, r"labels have shape \(1,\), predictions \(2, 3\)"),
    (lambda: F.cross_entropy(ROWS, ROWS[0]), ValueError, r"predictions has shape \(2, 3\), targets has shape \(3,\)"),
    (lambda: F.cross_entropy(1.0, 1.0), ValueError, r"expected \(…, C\)"),
    (lambda: F.binary_cross_entropy(ROWS, ROWS[:, :1]), ValueError, "expected the same"),
    (lambda: F.squared_error(ROWS, ROWS[:1]), ValueError, "squared_error: prediction has shape"),
    (lambda: F.dice(ROWS[0], ROWS[0]), ValueError, r"expected \(N, \*positions, C\)"),
    # the rest
    (lambda: F.resize(IMAGE, 0), ValueError, "size = 0"),
    (lambda: F.resize(IMAGE, 2, "cubic"), ValueError, "method = 'cubic': expected one of 'nearest', 'bilinear'"),
    (lambda: F.resize(IMAGE[:, :0], 2), ValueError, "there are no pixels to resize"),
    (lambda: F.dropout(ROWS, 1.0), ValueError, r"rate = 1\.0: expected 0 ≤ rate < 1"),
    (lambda: F.dropout(ROWS, -0.1), ValueError, r"rate = -0\.1"),
    (lambda: F.dropout(ROWS, 0.5, noise_shape=(2, 2)), ValueError, r"noise_shape = \(2, 2\) does not broadcast"),
    (lambda: F.embedding([0, 2], ROWS), ValueError, "the index at position 1 is 2, but there are 2 rows in weight"),
    (lambda: F.embedding([0.0], ROWS), TypeError, "indices must hold integers"),
    (lambda: F.embedding([0], ROWS[0]), ValueError, r"expected \(V, D\)"),
    (lambda: F.one_hot([0, 5], 3), ValueError, "the class index at position 1 is 5, but there are 3 classes"),
    (lambda: F.where(ROWS, 1.0, 0.0), TypeError, "where: condition must hold booleans, not float32"),
    (lambda: F.clip(ROWS, 1.0, 0.0), ValueError, r"clip: a_min = 1\.0 is larger than a_max = 0\.0"),
    (lambda: F.reshape(ROWS, (4, 2)), ValueError, r"shape \(2, 3\) of 6 elements does not fit into \(4, 2\)"),
    (lambda: F.reshape(ROWS, (-1, -1)), ValueError, "does not fit into"),
    (lambda: F.reshape(ROWS, (-2, -3)), ValueError, "does not fit into"),
    (lambda: F.reshape(ROWS[:0], (-1, 0)), ValueError, "does not fit into"),
    (lambda: F.transpose(ROWS, (0,)), ValueError, "must name each of the 2 axes once"),
    (lambda: F.moveaxis(ROWS, (0, 1), 0), ValueError, "differ in length"),
    (lambda: F.squeeze(ROWS, 0), ValueError, "has a size other than 1"),
    (lambda: F.concatenate([]), ValueError, "there is nothing to join"),
    (lambda: F.concatenate([ROWS, ROWS[:, :2]]), ValueError, r"tensors\[1\] has shape \(2, 2\), tensors\[0\] has"),
    (lambda: F.stack([ROWS, ROWS[0]]), ValueError, r"tensors\[1\] has shape \(3,\)"),
    (lambda: F.split(ROWS, 2, 1), ValueError, "axis 1 of size 3 cannot be cut into 2 equal parts"),
    (lambda: F.pad(ROWS, -1), ValueError, "expected non-negative integers"),
    (lambda: F.pad(ROWS, (1, 2, 3)), ValueError, "expected an int, a pair, or a pair for each of 2 axes"),
    (lambda: F.pad(ROWS, 1, "mirror"), ValueError, "mode = 'mirror': expected"),
    (lambda: F.pad(ROWS[:0], 1, "edge"), ValueError, "axis 0 is empty"),
    (lambda: F.take_along_axis(ROWS, [[3], [0]], 1), ValueError, "is 3, but there are 3 elements along the axis"),
    (lambda: F.take_along_axis(ROWS, [0], 1), ValueError, "they may differ along axis 1 only"),
    (lambda: F.take(ROWS, [0.5], 0), TypeError, "indices must hold integers"),
    (lambda: F.relu(np.zeros(2, int)), TypeError, "relu: x must be float32 or float64, not int64"),
    (lambda: F.softmax(1.0), ValueError, "out of range for 0 dimensions"),
    (lambda: F.prelu(ROWS, np.zeros(3)), TypeError, "alpha is float64 but x is float32"),
]


@pytest.mark.parametrize(("call", "error", "said"), ERRORS, ids=range(len(ERRORS)))
def test_errors(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize("wrong", [{"strides": (1.0, 1)}, {"dilation_rate": (True, 1)}, {"groups": True}])
def test_what_only_equals_an_int_is_an_error_after_a_right_call_as_well(wrong):
    F.conv(IMAGE, KERNEL, strides=(1, 1), dilation_rate=(1, 1), groups=1)
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(wrong))} = .*expected"):
        F.conv(IMAGE, KERNEL, **({"strides": (1, 1), "dilation_rate": (1, 1)} | wrong))


def test_windows_may_be_lists_that_change():
    padding = [[1, 1], [1, 1]]
    assert F.conv(IMAGE, KERNEL, padding=padding).shape == (1, 4, 4, 5)
    padding[0][0] = 2
    assert F.conv(IMAGE, KERNEL, padding=padding).shape == (1, 5, 4, 5)
