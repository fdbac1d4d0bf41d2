"""Losses of metric learning: one row each."""

import math

import numpy as np
from inputs import INF, NAN, residuals

from cases._several import Corner, SeveralCase, WorkedArrays

PAIRS_002 = ([[0.2, 0.3]] * 3, [[0.4, 0.5]] * 3, [1, 0, 1])
HUGE, SMALL = 2.0**1022, 2.0**-1070  # float64: their squares overflow and underflow


def ranked(rng, shape, dtype, parameters):
    """Two scores, some equal or a margin apart, and which should be larger."""
    x1, x2 = residuals(rng, shape, dtype, (0.0, parameters.get("margin", 0.0)))
    return x1, x2, rng.choice(np.asarray([-1, 1], dtype), shape)


def ranked_apart(rng, shape, dtype, parameters):
    """The same without ties."""
    x1, x2 = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    return x1, x2, rng.choice(np.asarray([-1, 1], dtype), shape)


def embeddings(rng, shape, dtype, spread=True):
    """Rows of many lengths, rows of zeros among them."""
    rows = (*shape[:-1], 1)
    limit = 0.45 * np.finfo(dtype).maxexp
    length = np.exp2(rng.uniform(-limit, limit, rows) * (rng.random(rows) < 0.3)) * (rng.random(rows) > 0.1)
    return (rng.standard_normal(shape) * (length if spread else 1)).astype(dtype)


def partner(rng, x):
    """Rows beside those of x: unrelated, equal, opposite, nearly equal, or of another length."""
    kind = rng.integers(0, 6, (*x.shape[:-1], 1))
    near = x * (1 + np.finfo(x.dtype).eps * rng.integers(-3, 4, x.shape)).astype(x.dtype)
    others = [x, -x, near, x / 2, embeddings(rng, x.shape, x.dtype)]
    return np.select([kind == k for k in range(5)], others, rng.standard_normal(x.shape).astype(x.dtype))


def pairs(labels):
    """Pairs of rows of every kind, and one label for each."""

    def inputs(rng, shape, dtype, parameters):
        x = embeddings(rng, shape, dtype)
        return x, partner(rng, x), rng.choice(np.asarray(labels), shape[:-1])

    return inputs


def ordinary_pairs(labels):
    """Pairs at all sides of the margin, none at it."""

    def inputs(rng, shape, dtype, parameters):
        x = embeddings(rng, shape, dtype, False)
        reach = rng.choice([0.1, 0.3, 1.0], (*shape[:-1], 1)) / math.sqrt(shape[-1])
        return x, (x + reach * rng.standard_normal(shape)).astype(dtype), rng.choice(np.asarray(labels), shape[:-1])

    return inputs


def triplets(rng, shape, dtype, parameters):
    """Rows of all lengths; the positive at different distances, or the anchor itself."""
    anchor = embeddings(rng, shape, dtype)
    reach = rng.choice([0.0, 0.5, 1.0, 3.0], (*shape[:-1], 1)).astype(dtype)
    return anchor, anchor + reach * embeddings(rng, shape, dtype), embeddings(rng, shape, dtype)


def ordinary_triplets(rng, shape, dtype, parameters):
    return tuple(embeddings(rng, shape, dtype, False) for _ in range(3))


def classes(rng, shape, dtype, parameters):
    """Embeddings of five of seven classes, some of them at their center."""
    centers = rng.standard_normal((7, shape[-1])).astype(dtype)
    target = rng.integers(0, 5, shape[:-1])
    away = rng.choice([0.0, 1e-3, 1.0, 100.0], (*shape[:-1], 1))
    return (centers[target] + away * rng.standard_normal(shape)).astype(dtype), centers, target


CASES = (
    SeveralCase(
        "contrastive_loss",
        pairs([0, 1]),
        ordinary_pairs([0, 1]),
        parameters=({}, {"margin": 0.0}, {"margin": 5.0, "similar_label": 0}, {"half": False}),
        corners=(
            Corner(([[1.0, 2.0]] * 2, [[1.0, 2.0]] * 2, [1, 0]), [0, 0.5], ([[0, 0]] * 2, [[0, 0]] * 2)),
            Corner(([[3.0, 4.0]], [[0.0, 0.0]], [0]), [0], ([[0, 0]], [[0, 0]]), {"margin": 5.0}),
            Corner(([[3.0, 4.0]], [[0.0, 0.0]], [0]), [0.5], ([[-0.6, -0.8]], [[0.6, 0.8]]), {"margin": 6.0}),
            Corner(([[3.0, 4.0]], [[0.0, 0.0]], [0]), [12.5], ([[3, 4]], [[-3, -4]]), {"similar_label": 0}),
            Corner(([[INF, 0.0]], [[0.0, 0.0]], [0]), [0], ([[0, 0]], [[0, 0]])),
            Corner(([[NAN, 0.0]], [[0.0, 0.0]], [0]), [NAN], ([[NAN, NAN]], [[NAN, NAN]])),
            Corner(([[3 * HUGE / 4, HUGE]], [[0.0, 0.0]], [0]), [0], ([[0, 0]], [[0, 0]]), dtype="float64"),
            Corner(
                ([[3 * SMALL, 4 * SMALL]], [[0.0, 0.0]], [0]), [0.5], ([[-0.6, -0.8]], [[0.6, 0.8]]), dtype="float64"
            ),
            Corner(([[3e-40, 4e-40]], [[0.0, 0.0]], [0]), [0.5], None, dtype="float32"),
        ),
        worked=(
            WorkedArrays("002, its program", PAIRS_002, 0.22477152501692066, {"half": False}),
            WorkedArrays("002, its formula", PAIRS_002, 0.11238576250846033),
        ),
    ),
    SeveralCase(
        "triplet_margin_loss",
        triplets,
        ordinary_triplets,
        parameters=(
            {},
            {"margin": 0.3, "squared": True},
            {"p": 1, "swap": True},
            {"p": math.inf, "squared": True},
            {"p": 3.5},
            {"swap": True, "margin": 2.0},
            {"p": 1.25, "swap": True, "squared": True},
        ),
        corners=(
            Corner(([[1.0, 2.0]],) * 3, [1], ([[0, 0]],) * 3),
            Corner(([[0.0, 0.0]], [[0.0, 0.0]], [[9.0, 0.0]]), [0], ([[0, 0]],) * 3),
            Corner(([[0.0, 0.0]], [[3.0, 4.0]], [[5.0, 0.0]]), [1], ([[0.4, -0.8]], [[0.6, 0.8]], [[-1, 0]])),
            Corner(([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 5.5]]), [2.5], ([[-1, 0]], [[1, 1]], [[0, -1]]), {"p": 1}),
            Corner(
                ([[0.0, 0.0]], [[3.0, 4.0]], [[5.0, 0.0]]),
                [26 - 25],
                ([[4, -8]], [[6, 8]], [[-10, 0]]),
                {"squared": True},
            ),
            Corner(([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 4.5]]), [0.5], ([[0, 0]], [[0, 1]], [[0, -1]]), {"p": math.inf}),
            Corner(([[0.0, 0.0]], [[4.0, 0.0]], [[5.0, 0.0]]), [4], ([[-1, 0]], [[2, 0]], [[-1, 0]]), {"swap": True}),
            Corner(([[0.0]], [[INF]], [[1.0]]), [INF], None),
            # Both distances overflow, their difference does not.
            Corner(
                ([[0.0] * 3], [[3.75 * HUGE] * 3], [[2.5 * HUGE] * 3]),
                [1.25 * math.sqrt(3) * HUGE],
                None,
                dtype="float64",
            ),
            Corner(([[0.0]], [[1.0]], [[INF]]), [0], ([[0]], [[0]], [[0]])),
            Corner(
                ([[0.0, 0.0]], [[3 * HUGE / 8, HUGE / 2]], [[HUGE / 4, 0.0]]),
                [3 * HUGE / 8],
                ([[0.4, -0.8]], [[0.6, 0.8]], [[-1, 0]]),
                dtype="float64",
            ),
            Corner(
                ([[0.0, 0.0]], [[3 * HUGE / 8, HUGE / 2]], [[HUGE, 0.0]]),
                [0],
                ([[0, 0]],) * 3,
                {"squared": True},
                dtype="float64",
            ),
            Corner(
                ([[0.0, 0.0]], [[HUGE / 2, HUGE / 2]], [[0.0, 0.0]]),
                [2 ** (1 / 3) * HUGE / 2],
                None,
                {"p": 3},
                dtype="float64",
            ),
        ),
    ),
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
    SeveralCase(
        "cosine_embedding_loss",
        pairs([-1, 1]),
        ordinary_pairs([-1, 1]),
        parameters=({}, {"margin": 0.3}, {"margin": 2.0}),
        corners=(
            Corner(([[1.0, 2.0]], [[1.0, 2.0]], [1]), [0], None),
            Corner(([[1.0, 2.0]], [[-1.0, -2.0]], [1]), [2], None),
            Corner(([[1.0, 2.0]], [[1.0, 2.0]], [-1]), [1], None),
            Corner(([[0.0, 0.0]] * 2, [[1.0, 2.0]] * 2, [1, -1]), [1, 0], ([[0, 0]] * 2, [[0, 0]] * 2)),
            Corner(([[1.0, 0.0]], [[0.0, 2.0]], [1]), [1], ([[0, -1]], [[-0.5, 0]])),
            Corner(([[1.0, 0.0]], [[0.0, 2.0]], [-1]), [0], ([[0, 0]], [[0, 0]])),
            Corner(([[1.0, 0.0]], [[0.0, -2.0]], [-1]), [0], ([[0, 0]], [[0, 0]]), {"margin": 0.5}),
            Corner(([[HUGE, HUGE]], [[0.0, SMALL]], [1]), [1 - math.sqrt(0.5)], None, dtype="float64"),
            Corner(([[3e38, 3e38]], [[0.0, 1e-45]], [1]), [1 - math.sqrt(0.5)], None, dtype="float32"),
            Corner(([[NAN, 1.0]], [[0.0, 1.0]], [1]), [NAN], ([[NAN, NAN]], [[NAN, NAN]])),
        ),
    ),
    SeveralCase(
        "center_loss",
        classes,
        classes,
        separate=False,
        corners=(
            Corner(([[3.0, 4.0]], [[1.0, 1.0], [3.0, 4.0]], [1]), [0], ([[0, 0]], [[0, 0], [0, 0]])),
            Corner(([[3.0], [5.0]], [[1.0], [0.0]], [0, 0]), [2, 8], ([[2], [4]], [[-6], [0]])),
            Corner(([[NAN], [5.0]], [[1.0], [2.0]], [0, 1]), [NAN, 4.5], ([[NAN], [3]], [[NAN], [-3]])),
        ),
    ),
)
