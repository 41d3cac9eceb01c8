"""The cases on PyTorch, the peer: as its own documentation would write them, in either memory layout."""

import torch

from .cases import Convolution, Network, Run, convolution_arrays, network_batch

LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}


def convolution(shape: Convolution, which: str, layout: str) -> Run:
    """One pass of a convolution; `layout` is a key of LAYOUTS."""
    form = LAYOUTS[layout]
    x, weight, bias, dy = (torch.from_numpy(array) for array in convolution_arrays(shape))
    x, dy = (array.permute(0, 3, 1, 2).contiguous(memory_format=form) for array in (x, dy))
    weight = weight.permute(3, 2, 0, 1).contiguous(memory_format=form)

    def gradient(wanted: list[bool]) -> object:
        return torch.ops.aten.convolution_backward(
            dy, x, weight, None, [shape.stride] * 2, [shape.padding] * 2, [1, 1], False, [0, 0], 1, wanted
        )

    return {
        "forward": lambda: torch.nn.functional.conv2d(x, weight, bias, shape.stride, shape.padding),
        "input gradient": lambda: gradient([True, False, False]),
        "weight gradient": lambda: gradient([False, True, False]),
    }[which]


class DoubleConvolution(torch.nn.Sequential):
    """Two 3×3 convolutions, each with batch normalisation and ReLU."""

    def __init__(self, channels: int, filters: int):
        layers = []
        for inputs in (channels, filters):
            layers += [
                torch.nn.Conv2d(inputs, filters, 3, padding=1, bias=False),
                torch.nn.BatchNorm2d(filters),
                torch.nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UNet(torch.nn.Module):
    """The twin of tomograd.models.UNet: depth 4, batch normalisation, transposed convolutions."""

    def __init__(self, channels: int, classes: int, base: int, depth: int = 4):
        super().__init__()
        widths = [base * 2**level for level in range(depth + 1)]
        self.down = torch.nn.ModuleList(
            DoubleConvolution(before, after) for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.up = torch.nn.ModuleList(torch.nn.ConvTranspose2d(2 * width, width, 2, 2) for width in widths[:-1])
        self.merge = torch.nn.ModuleList(DoubleConvolution(2 * width, width) for width in widths[:-1])
        self.last = torch.nn.Conv2d(base, classes, 1)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.down):
            x = block(torch.nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = self.merge[level](torch.cat([skips[level], self.up[level](x)], 1))
        return self.last(x)


def build(network: Network) -> torch.nn.Module:
    """The network of a case."""
    torch.manual_seed(0)
    if network.base_filters:
        return UNet(network.input_shape[-1], network.classes, network.base_filters)
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1024, 64),
        nn.ReLU(),
        nn.Linear(64, network.classes),
    )


def _prepared(network: Network, layout: str):
    form = LAYOUTS[layout]
    x, y = (torch.from_numpy(array) for array in network_batch(network))
    x = x.permute(0, 3, 1, 2).contiguous(memory_format=form)
    return build(network).to(memory_format=form), x, y.permute(0, 3, 1, 2) if network.base_filters else y


def training_step(network: Network, layout: str) -> Run:
    """Forward, loss, backward and Adam on one batch."""
    model, x, y = _prepared(network, layout)
    optimizer = torch.optim.Adam(model.parameters())
    loss = torch.nn.BCEWithLogitsLoss() if network.base_filters else torch.nn.CrossEntropyLoss()

    def step() -> float:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def inference(network: Network, layout: str) -> Run:
    """The forward pass alone."""
    model, x, _ = _prepared(network, layout)
    model.eval()

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return model(x)

    return run
