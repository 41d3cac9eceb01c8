"""The cases on tomograd."""

import tomograd as tg

from .cases import Convolution, Network, Run, convolution_arrays, network_batch


def convolution(shape: Convolution, which: str) -> Run:
    """One pass of a convolution on the CPU kernels."""
    from tomograd.kernels import cpu

    x, weight, bias, dy = convolution_arrays(shape)
    geometry = ((shape.stride,) * 2, ((shape.padding, shape.padding),) * 2, (1, 1), 1)
    return {
        "forward": lambda: cpu.conv(x, weight, bias, *geometry),
        "input gradient": lambda: cpu.conv_transpose(dy, weight, None, (shape.height, shape.width), *geometry),
        "weight gradient": lambda: cpu.conv_weight_gradient(x, dy, (shape.kernel,) * 2, *geometry),
    }[which]


def build(network: Network) -> tg.Model:
    """The compiled model of a case."""
    tg.random.seed(0)
    if network.base_filters:
        unet = tg.models.UNet(network.input_shape, network.classes, base_filters=network.base_filters)
        unet.compile("adam", tg.losses.BinaryCrossentropy(from_logits=True))
        return unet
    cnn = tg.models.CNN(network.input_shape, network.classes, filters=(32, 64, 64), dense=64)
    cnn.compile("adam", tg.losses.SparseCategoricalCrossentropy(from_logits=True))
    return cnn


def training_step(network: Network) -> Run:
    """Forward, loss, backward and Adam on one batch."""
    model = build(network)
    x, y = network_batch(network)
    return lambda: model.train_on_batch(x, y)


def inference(network: Network) -> Run:
    """The forward pass alone."""
    model = build(network)
    x, _ = network_batch(network)
    return lambda: model.predict_on_batch(x)
