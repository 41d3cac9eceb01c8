"""Layers and losses in graphs: in training each gives, launch by launch, the bits that it gives without."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pretended_device import reference_device

import tomograd as tg
from tomograd.engine import Tensor, capture, grad, losses
from tomograd.engine.layers.symbolic import flatten, map_structure

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
sys.path.insert(0, str(Path(__file__).parent))
from test_layers_catalogue import CATALOGUE, inputs_for, made
from test_losses_on_device import CASES


@pytest.fixture
def cupy():
    with reference_device() as module:
        yield module


def training_of(layer, inputs, cupy):
    """(the inputs on the device, a function of outputs, gradients and weights)."""
    tg.random.seed(3)
    for generator in layer.generators():
        generator.seed(0)
    tensors = map_structure(lambda array: Tensor(cupy.asarray(array), requires_grad=array.dtype.kind == "f"), inputs)

    def train():
        outputs = flatten(layer(tensors, training=True))
        sources = [tensor for tensor in flatten(tensors) if tensor.requires_grad] + layer.trainable_weights
        roots = [output for output in outputs if output.requires_grad]
        found = list(grad([root.sum() for root in roots], sources, allow_unused=True)) if roots and sources else []
        return [each for each in (*outputs, *found, *layer.weights) if each is not None]

    return [tensor.array for tensor in flatten(tensors)], train


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_layer_in_training(cupy, name):
    inputs = inputs_for(name, "float32")
    layer, other = made(name, "float32").to("cuda"), made(name, "float32").to("cuda")
    arrays, train = training_of(layer, inputs, cupy)
    train()
    graph = capture.Graph(train, arrays)
    launched = []
    for _ in range(2):
        graph.launch([array.get() for array in arrays])
        launched.append([found.array.get() for found in graph.result])
    _, train = training_of(other, inputs, cupy)
    train()
    for ours in launched:
        for one, found in zip(ours, train(), strict=True):
            np.testing.assert_array_equal(one, found.array.get())


@pytest.mark.parametrize(("loss", "y_true", "y_pred"), CASES, ids=lambda value: getattr(value, "name", ""))
@pytest.mark.parametrize("kind", [None, np.float32, np.int32])
def test_a_loss(cupy, loss, y_true, y_pred, kind):
    """Of labels as they are, and in another type; where sample weights count, they are those of a mean."""
    if kind is not None and not (y_true == y_true.astype(kind)).all():
        kind = np.float32
    y_true = y_true if kind is None else y_true.astype(kind)
    truth, prediction = Tensor(cupy.asarray(y_true)), Tensor(cupy.asarray(y_pred), requires_grad=True)

    def train():
        value = loss(truth, prediction)
        return value, grad(value, prediction)

    arrays = [truth.array, prediction.array]
    graph = capture.Graph(train, arrays)
    for factor in (1.0, 0.75):
        prediction.assign(y_pred * factor)
        graph.launch([y_true, y_pred])
        for one, other in zip(graph.result, train(), strict=True):
            np.testing.assert_array_equal(one.array.get(), other.array.get())


@pytest.mark.parametrize(
    ("loss", "right", "wrong", "classes", "error"),
    [
        (losses.BinaryCrossentropy(), [[0], [1]], [[0], [255]], 1, "y_true holds values from 0 to 255"),
        (losses.DiceCrossentropy(), [[0], [1]], [[0], [3]], 1, "y_true holds values from 0 to 3"),
        (losses.DiceCrossentropy(), [0, 2], [0, 3], 3, "class index at position .* is 3, but there are 3 classes"),
        (losses.SparseCategoricalCrossentropy(True), [0.0, 1.0], [0.0, 0.5], 3, "y_true holds 0.5: expected whole"),
        (losses.SparseCategoricalCrossentropy(True), [0.0, 1.0], [0.0, np.nan], 3, "y_true holds nan: expected whole"),
        (losses.SparseCategoricalCrossentropy(True), [0.0, 1.0], [0.0, 3.0], 3, "is 3, but there are 3 classes"),
        (losses.SparseCategoricalCrossentropy(True, 7), [7, 1], [7, 8], 3, "is 8, but there are 3 classes"),
        (losses.DiceCrossentropy(ignore_class=9), [[0], [9]], [[2], [9]], 1, "y_true holds values from 0 to 2"),
        (losses.Hinge(), [[0.0], [1.0]], [[-1.0], [0.0]], 1, "must hold 0 and 1, or -1 and 1, and nothing else"),
    ],
)
def test_wrong_labels_are_told_before_a_launch(cupy, loss, right, wrong, classes, error):
    truth, prediction = Tensor(cupy.asarray(np.array(right))), Tensor(cupy.asarray(np.full((2, classes), 0.5)))
    graph = capture.Graph(lambda: loss(truth, prediction), [truth.array])
    graph.launch([np.array(right)])
    assert graph.result.item() == loss(truth, prediction).item()
    with pytest.raises(ValueError, match=error):
        graph.launch([np.array(wrong)])


def test_labels_that_no_path_fits_are_told_before_a_launch(cupy):
    loss, right = losses.CTC(), np.array([[1, 2], [1, 0]])
    truth, prediction = Tensor(cupy.asarray(right)), Tensor(cupy.asarray(np.zeros((2, 2, 3))))
    graph = capture.Graph(lambda: loss(truth, prediction), [truth.array])
    graph.launch([right])
    for wrong, error in (([[1, 1], [1, 0]], "example 0 need 3 steps"), ([[1, 2], [0, 1]], "before a label")):
        with pytest.raises(ValueError, match=error):
            graph.launch([np.array(wrong)])


@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 2.0]])
def test_what_counts_is_counted_on_the_device(cupy, weights):
    """A mean over the labels that are not ignored, some or none, or over weights: without reading the count."""
    loss = losses.SparseCategoricalCrossentropy(True, ignore_class=7, reduction="mean_with_sample_weight")
    labels, scores = np.array([7, 1, 2]), np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    truth, prediction = Tensor(cupy.asarray(labels)), Tensor(cupy.asarray(scores))
    given = None if weights is None else Tensor(cupy.asarray(np.array(weights)))
    graph = capture.Graph(lambda: loss(truth, prediction, given), [truth.array])
    for others in (labels, np.array([0, 1, 7]), np.full(3, 7)):
        truth.assign(others)
        graph.launch([others])
        expected = loss(others, scores, weights).item()
        assert graph.result.item() == loss(truth, prediction, given).item() == pytest.approx(expected, rel=1e-6)


def test_draws_of_layers_follow_each_other_as_without_a_graph(cupy):
    """All from one generator: images turned, then dropout, contrast and noise."""

    def model(jit_compile):
        tg.random.seed(1)
        net = tg.models.Sequential(
            [
                tg.layers.Input((6, 5, 2)),
                tg.layers.RandomFlip(),
                tg.layers.RandomRotation(0.2),
                tg.layers.SpatialDropout2D(0.3),
                tg.layers.RandomContrast(0.3, value_range=(-9, 9)),
                tg.layers.AlphaDropout(0.2),
                tg.layers.GaussianNoise(0.3),
                tg.layers.Flatten(),
                tg.layers.Dense(2),
            ]
        )
        net.compile("sgd", "mse", jit_compile=jit_compile)
        return net

    images = np.random.default_rng(0).standard_normal((6, 6, 5, 2))
    net, other = model(True), model(False)
    histories = []
    for each in (net, other):
        tg.random.seed(2)
        histories.append(each.fit(images, images[:, 0, 0], 3, 4, verbose=0, device="cuda"))
    found, expected = histories
    assert found.history == expected.history
    assert net._captured.reason is None
    assert any(graph is not None for graph in net._captured._graphs.values())


def test_masks_are_turned_with_their_images(cupy):
    images, masks = np.random.default_rng(0).standard_normal((3, 6, 5, 2)), np.arange(90).reshape(3, 6, 5)
    given = {"images": Tensor(cupy.asarray(images)), "segmentation_masks": Tensor(cupy.asarray(masks))}
    layers = [tg.layers.RandomRotation(0.3, seed=0), tg.layers.RandomFlip(seed=1), tg.layers.RandomCrop(3, 4, seed=2)]

    def train():
        return layers[2](layers[1](layers[0](given, training=True), training=True), training=True)

    graph = capture.Graph(train, [tensor.array for tensor in given.values()])
    launched = []
    for _ in range(2):
        graph.launch([images, masks])
        launched.append({key: tensor.numpy() for key, tensor in graph.result.items()})
    for seed, layer in enumerate(layers):
        layer.generator.seed(seed)
    for ours in launched:
        for key, tensor in train().items():
            np.testing.assert_array_equal(ours[key], tensor.numpy())


def test_a_draw_that_is_no_array_is_refused(cupy):
    generator = tg.random.Generator(0)
    state = generator.state()
    with pytest.raises(capture.CaptureError, match=r"random numbers decide on 0\.85.*, which is no array"):
        capture.Graph(lambda: capture.drawn(lambda: {"factor": float(generator.uniform())}, generator), [])
    assert generator.state() == state


def test_a_layer_of_the_users_own_that_draws_is_refused(cupy):
    class Shifted(tg.layers.RandomBrightness):
        def get_random_transformation(self, data, training=True):
            return {"rgb_delta": super().get_random_transformation(data)["rgb_delta"] + data["images"].numpy().mean()}

    layer, images = Shifted(0.1), Tensor(cupy.asarray(np.ones((2, 3, 3, 1), np.float32)))
    layer({"images": images}, training=True)
    with pytest.raises(capture.CaptureError, match="random numbers are drawn in main memory"):
        capture.Graph(lambda: layer({"images": images}, training=True), [images.array])
