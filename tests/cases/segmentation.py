"""Losses of segmentation: one row each."""

import numpy as np
from inputs import NAN

from cases._several import Corner, SeveralCase


def masks(rng, shape, dtype, parameters):
    """Probabilities, nearly right ones among them, and hard masks, some rows of either empty."""
    rows = (shape[0], *[1] * (len(shape) - 1))
    g = (rng.random(shape) < 0.4) * (rng.random(rows) > 0.2)
    near = np.abs(g - 1e-6 * rng.random(shape))
    p = np.where(rng.random(rows) < 0.3, near, rng.random(shape)) * (rng.random(rows) > 0.2)
    return p.astype(dtype), g.astype(dtype)


def ordinary_masks(rng, shape, dtype, parameters):
    return rng.uniform(0.05, 0.95, shape).astype(dtype), (rng.random(shape) < 0.5).astype(dtype)


CASES = (
    SeveralCase(
        "dice_loss",
        masks,
        ordinary_masks,
        parameters=(
            {},
            {"axis": -1},
            {"axis": 0, "squared": False},
            {"smooth": 1.0},
            {"axis": (0, -1), "squared": False, "smooth": 0.5},
        ),
        separate=False,
        many=(37, 5003),
        corners=(
            Corner(([0.0, 0.0], [0, 0]), 0, ([0, 0],)),
            Corner(([0.0, 0.0], [0, 0]), 0, ([0, 0],), {"squared": False}),
            Corner(([0.0, 0.0], [0, 1]), 1, ([0, -2],)),
            Corner(([0.0, 1.0], [0, 1]), 0, ([0, 0],)),
            Corner(([0.0, 1.0], [1, 0]), 1, None),
            Corner(([0.0, 0.0], [0, 0]), 0, ([0, 0],), {"smooth": 1.0}),
            Corner(([0.5, 1.0, 0.0], [1, 1, 0]), 1 / 13, None),
            Corner(([0.5, 1.0, 0.0], [1, 1, 0]), 1 / 7, None, {"squared": False}),
            Corner(([[NAN, 1.0], [0.0, 1.0]], [[1, 1], [0, 1]]), [NAN, 0], ([[NAN, NAN], [0, 0]],), {"axis": 1}),
            Corner(([1.0 - 2.0**-20], [1]), 2.0**-40 / ((1 - 2.0**-20) ** 2 + 1), None),
        ),
    ),
)
