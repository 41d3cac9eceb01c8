"""tg.utils: one-hot rows, norms, seeds."""

import random as python_random

import numpy as np
import pytest

import tomograd as tg


def test_one_hot_rows():
    np.testing.assert_array_equal(tg.utils.to_categorical([0, 2, 1]), np.eye(3)[[0, 2, 1]])
    rows = tg.utils.to_categorical(np.array([[1], [0]]), num_classes=4)
    assert rows.shape == (2, 4) and rows.dtype == np.float64
    assert tg.utils.to_categorical(np.zeros((2, 3), np.uint8), 2).shape == (2, 3, 2)
    assert tg.utils.to_categorical(tg.Tensor(np.array([1.0, 0.0]))).tolist() == [[0, 1], [1, 0]]
    assert tg.utils.to_categorical([], num_classes=3).shape == (0, 3)
    assert tg.utils.to_categorical(2).tolist() == [0, 0, 1]
    for wrong, classes, message in (
        ([0, -1], None, "0 … 0, but they lie in -1"),
        ([0, 5], 3, "0 … 2, but"),
        ([0.5], None, "whole class indices"),
        ([], None, "num_classes is needed"),
        (["a"], None, "whole class indices"),
    ):
        with pytest.raises(ValueError, match=message):
            tg.utils.to_categorical(wrong, classes)


def test_norms():
    x = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, -1.0]])
    np.testing.assert_allclose(tg.utils.normalize(x), [[0.6, 0.8], [0, 0], [0.5**0.5, -(0.5**0.5)]])
    np.testing.assert_allclose(tg.utils.normalize(x, order=1)[0], [3 / 7, 4 / 7])
    np.testing.assert_allclose(tg.utils.normalize(x, axis=0)[:, 0], x[:, 0] / 10**0.5)
    assert np.linalg.norm(tg.utils.normalize(x, axis=None)) == pytest.approx(1)
    assert tg.utils.normalize(x.astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(tg.utils.normalize(np.zeros((2, 2)), axis=None), np.zeros((2, 2)))


def test_one_seed_for_all():
    drawn = []
    for _ in range(2):
        tg.utils.set_random_seed(7)
        drawn.append((python_random.random(), np.random.rand(), tg.random.generator().uniform().item()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
    for wrong in (-1, 2**32, 1.5, True):
        with pytest.raises(ValueError, match="seed"):
            tg.utils.set_random_seed(wrong)


def test_sequences_of_different_lengths():
    rows = [[1], [2, 3], [4, 5, 6]]
    assert tg.utils.pad_sequences(rows).tolist() == [[0, 0, 1], [0, 2, 3], [4, 5, 6]]
    assert tg.utils.pad_sequences(rows, 2).tolist() == [[0, 1], [2, 3], [5, 6]]
    post = tg.utils.pad_sequences(rows, 2, "float32", "post", "post", -1.0)
    assert post.tolist() == [[1, -1], [2, 3], [4, 5]] and post.dtype == np.float32
    assert tg.utils.pad_sequences([np.ones((1, 2)), np.zeros((0, 2)), np.ones((3, 2))]).shape == (3, 3, 2)
    assert tg.utils.pad_sequences([], 4).shape == (0, 4)
    for arguments, message in (
        ({"padding": "both"}, "padding"),
        ({"truncating": "x"}, "truncating"),
        ({"sequences": [1, 2]}, "single values"),
        ({"sequences": [np.ones((1, 2)), np.ones((1, 3))]}, "different shapes"),
    ):
        with pytest.raises(ValueError, match=message):
            tg.utils.pad_sequences(**{"sequences": rows} | arguments)


def test_batches():
    for batch in ((1, 2, 3), (1, 2), (1,)):
        packed = tg.utils.pack_x_y_sample_weight(*batch)
        assert tg.utils.unpack_x_y_sample_weight(packed) == (*batch, None, None)[:3]
    assert tg.utils.pack_x_y_sample_weight([1]) == ([1],)
    assert tg.utils.unpack_x_y_sample_weight([1, 2]) == (1, 2, None)
    with pytest.raises(ValueError, match="got 4"):
        tg.utils.unpack_x_y_sample_weight((1, 2, 3, 4))


def test_names():
    assert tg.utils.Sequence is tg.utils.PyDataset
    with pytest.raises(AttributeError, match=r"keras\.utils\.get_file is not in tomograd"):
        tg.utils.get_file  # noqa: B018


def test_a_cleared_session_gives_names_from_the_beginning():
    for _ in range(2):
        tg.utils.clear_session()
        model = tg.Sequential([tg.Input((2,)), tg.layers.Dense(3), tg.layers.Dense(1)])
        assert [model.name, *[layer.name for layer in model.layers]] == ["sequential", "dense", "dense_1"]
    np.ones(1) + tg.Tensor(np.ones(10**6))
    tg.utils.clear_session(free_memory=False)
    tg.utils.clear_session()
    assert tg.memory.summary().cached == 0
