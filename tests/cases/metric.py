"""Losses of metric learning: one row each."""

import numpy as np
from inputs import INF, NAN, residuals

from cases._several import Corner, SeveralCase


def ranked(rng, shape, dtype, parameters):
    """Two scores, some equal or a margin apart, and which should be larger."""
    x1, x2 = residuals(rng, shape, dtype, (0.0, parameters.get("margin", 0.0)))
    return x1, x2, rng.choice(np.asarray([-1, 1], dtype), shape)


def ranked_apart(rng, shape, dtype, parameters):
    x1, x2 = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    return x1, x2, rng.choice(np.asarray([-1, 1], dtype), shape)


CASES = (
    SeveralCase(
        "margin_ranking_loss",
        ranked,
        ranked_apart,
        ulps=2,
        parameters=({}, {"margin": 0.1}, {"margin": 7.0}),
        corners=(
            Corner(([1.0], [1.0], [1]), [0], ([0], [0])),
            Corner(([1.0], [0.5], [1]), [0], ([0], [0]), {"margin": 0.5}),
            Corner(([1.0], [3.0], [1]), [2], ([-1], [1])),
            Corner(([1.0, NAN], [3.0, 1.0], [-1, 1]), [0, NAN], ([0, NAN], [0, NAN])),
            Corner(([-INF, INF], [3.0, 3.0], [1, 1]), [INF, 0], ([-1, 0], [1, 0])),
            Corner(([INF], [INF], [1]), [NAN], ([NAN], [NAN])),
        ),
    ),
)
