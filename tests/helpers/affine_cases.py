"""Affine maps for the kernels' tests: tables of places as `affine_transform` takes them."""

import numpy as np

from tomograd.kernels import reference
from tomograd.testing import compare

INTERPOLATIONS = ("nearest", "bilinear")
FILL_MODES = ("constant", "nearest", "reflect", "wrap")


def tables(rng, images, output, size):
    """(rows, columns) of random maps: in general position, along the axes, singular, by whole pixels, or halves."""
    rows, columns = np.empty((images, output[0], 2)), np.empty((images, output[1], 2))
    for n in range(images):
        matrix = rng.uniform(-1.5, 1.5, (2, 2))
        kind = rng.integers(6)
        if kind == 1:
            matrix *= np.eye(2)
        elif kind == 2:
            matrix[:, 1] = matrix[:, 0] * rng.uniform(-1, 1)
        elif kind == 3:
            matrix = rng.integers(-2, 3, (2, 2)) / 2
        elif kind == 4:
            matrix *= 1e-3
        elif kind == 5:
            matrix = np.eye(2)[:: rng.choice([1, -1])] * rng.choice([1.0, -1.0], 2)
        middle = (np.array(size) - 1) / 2 + rng.uniform(-1, 1, 2) * np.array(size)
        if kind in (3, 5):
            middle = np.round(2 * middle) / 2
        rows[n] = matrix[:, 0] * (np.arange(output[0])[:, None] - (output[0] - 1) / 2) + middle
        columns[n] = matrix[:, 1] * (np.arange(output[1])[:, None] - (output[1] - 1) / 2)
    return rows, columns


def require_equal_up_to_rounding(backend, x, dy, rows, columns, interpolation, fill_mode):
    """Both kernels of a backend give what the reference gives; a share has some roundings, too."""
    (height, width), shares = x.shape[1:3], 6

    def forward(kernels):
        return lambda x: kernels.affine_transform(x, rows, columns, interpolation, fill_mode, 0.7)

    def transpose(kernels):
        return lambda dy: kernels.affine_transform_gradient(
            dy, rows, columns, (height, width), interpolation, fill_mode
        )

    compare(forward(backend), forward(reference), x, terms=4 + shares)
    compare(transpose(backend), transpose(reference), dy, terms=4 * rows.shape[1] * columns.shape[1] + shares)
