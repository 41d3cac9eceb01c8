"""Every layer of the catalogue on a device: its values, gradients and states are those of main memory."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pretended_device import reference_device

from tomograd.engine import Tensor, grad
from tomograd.engine.layers.symbolic import flatten, map_structure

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from test_layers_catalogue import CATALOGUE, inputs_for, made


@pytest.fixture
def cupy():
    """CuPy's stand-in, installed."""
    with reference_device() as module:
        yield module


def results(layer, inputs, move, training):
    """The outputs, the gradients in inputs and weights, and the weights after the call."""
    for generator in layer.generators():
        generator.seed(0)
    tensors = map_structure(lambda array: Tensor(move(array), requires_grad=array.dtype.kind == "f"), inputs)
    outputs = flatten(layer(tensors, training=training))
    sources = [tensor for tensor in flatten(tensors) if tensor.requires_grad] + layer.trainable_weights
    rng = np.random.default_rng(1)
    cotangents = [Tensor(move(rng.standard_normal(output.shape))) for output in outputs]
    return [*outputs, *grad(outputs, sources, cotangents, allow_unused=True), *layer.weights]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CATALOGUE)
def test_it_gives_the_same_there(cupy, name, training):
    inputs = inputs_for(name, "float64")
    layer, other = made(name, "float64"), made(name, "float64").to("cuda")
    here = results(layer, inputs, lambda array: array, training)
    there = results(other, inputs, cupy.asarray, training)
    for one, found in zip(here, there, strict=True):
        assert (one is None) == (found is None)
        if one is not None:
            assert isinstance(found.array, cupy.ndarray), type(found.array)
            np.testing.assert_allclose(found.array.get(), one.array, rtol=1e-9, atol=1e-12)
