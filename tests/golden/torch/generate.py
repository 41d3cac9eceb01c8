"""Writes small PyTorch models' state dictionaries as safetensors, with what the models make of random inputs.

Run it with a Python that has torch and safetensors:  python tests/golden/torch/generate.py

NAME.safetensors is what a user of PyTorch would save; NAME.npz holds the input "x", the output "y" (channels last,
where they are images) and "names", the state dictionary's keys in its own order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent


class Classifier(nn.Module):
    """Convolutions with groups and slopes, a flattening of 3 × 2 × 6, batch normalisation before and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.PReLU(6), nn.Conv2d(6, 6, (1, 3), padding=(0, 1), bias=False),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.BatchNorm1d(36), nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


class UNet(nn.Module):
    """A piece of a U-Net, with names that are words: their order is not that of the alphabet."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 8, 3, padding=1)
        self.each = nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(16, 4, 2, stride=2)
        self.norm = nn.GroupNorm(2, 8)
        self.join = nn.Conv2d(8, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        down = torch.relu(self.down(x))
        deep = self.each(torch.relu(self.deep(nn.functional.max_pool2d(down, 2))))
        joined = self.join(self.norm(torch.cat([down, self.up(deep)], 1)))
        return self.head(self.last(torch.tanh(self.again(joined))))


class Sentences(nn.Module):
    """Embedding, an LSTM both ways, a GRU of two layers, a simple recurrent net, layer normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.lstm = nn.LSTM(4, 3, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(6, 3, num_layers=2, batch_first=True)
        self.norm = nn.LayerNorm(3)
        self.rnn = nn.RNN(3, 5, batch_first=True)
        self.out = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sequences = self.norm(self.gru(self.lstm(self.embedding(x))[0])[0])
        return self.out(self.rnn(sequences)[0][:, -1])


class Attention(nn.Module):
    """Attention to itself and to parts of itself, without biases, a separable convolution with a bias between its
    parts, and a linear layer with spectral normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.cross = nn.MultiheadAttention(8, 4, bias=False, kdim=5, vdim=6, batch_first=True)
        self.mix = nn.Sequential(nn.Conv1d(8, 16, 3, padding=1, groups=8), nn.Conv1d(16, 6, 1))
        self.out = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x + self.attend(x, x, x)[0])
        x = self.cross(x, x[..., :5], x[..., :6])[0]
        return self.out(self.mix(x.transpose(1, 2)).transpose(1, 2))


class Block(nn.Module):
    """A separable convolution as many write it; the keys of its 1×1 convolution come first."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = nn.Conv2d(4, 4, 1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.channels(self.depthwise(x))


class Separable(nn.Module):
    """Separable convolutions beside convolutions of the same shapes, and a convolution with spectral normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.spectral_norm(nn.Conv2d(3, 4, 3, padding=1))
        self.block = Block()
        self.plain = nn.Conv2d(4, 4, 1)
        self.rows = nn.Sequential(
            nn.Conv2d(4, 8, (1, 3), padding=(0, 1), groups=4), nn.Conv2d(8, 4, 1, bias=False), nn.ReLU(),
            nn.Conv2d(4, 8, (1, 3), padding=(0, 1), groups=4), nn.Conv2d(8, 4, 1, bias=False),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rows(self.plain(torch.relu(self.block(self.first(x)))))


class Stacked(nn.Module):
    """Recurrent nets of two layers both ways, without biases, and of one; a mean-square normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(6, 2, batch_first=True, bidirectional=True, bias=False)
        self.rnn = nn.RNN(4, 3, batch_first=True, bidirectional=True)
        self.scale = nn.RMSNorm(6, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale(self.rnn(self.gru(self.lstm(x)[0])[0])[0])


class Volumes(nn.Module):
    """Convolutions and transposed ones of one and of three dimensions, and batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv3d(1, 3, (3, 1, 3), padding=(1, 0, 1))
        self.norm = nn.BatchNorm3d(3)
        self.up = nn.ConvTranspose3d(3, 2, (1, 2, 2), stride=(1, 2, 2))
        self.line = nn.Conv1d(2 * 3 * 4, 3, 3, padding=1)
        self.longer = nn.ConvTranspose1d(3, 2, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.up(torch.relu(self.norm(self.deep(x))))  # (N, 2, 3, 4, 6)
        return self.longer(self.line(x.permute(0, 2, 3, 1, 4).flatten(1, 3))).transpose(1, 2)


def write(name: str, net: nn.Module, x: torch.Tensor) -> None:
    for key, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(tensor.abs() + 0.5 if "var" in key else 0.5 * torch.randn(tensor.shape))
    net.eval()
    y = net(x).detach()
    save_file(net.state_dict(), HERE / f"{name}.safetensors")
    last = lambda array: array.movedim(1, -1) if array.ndim > 3 else array  # noqa: E731
    arrays = {"x": last(x).numpy(), "y": last(y).numpy(), "names": np.array(list(net.state_dict()))}
    np.savez_compressed(HERE / f"{name}.npz", **arrays)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    write("classifier", Classifier(), torch.randn(3, 3, 6, 4))
    write("unet", UNet(), torch.randn(2, 1, 6, 8))
    write("sentences", Sentences(), torch.randint(0, 7, (3, 5)))
    write("attention", Attention(), torch.randn(2, 5, 8))
    write("separable", Separable(), torch.randn(2, 3, 5, 4))
    write("stacked", Stacked(), torch.randn(2, 5, 4))
    write("volumes", Volumes(), torch.randn(2, 1, 3, 2, 3))


if __name__ == "__main__":
    main()
