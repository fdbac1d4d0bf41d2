"""Losses of similarities between many embeddings: one row each."""

import math

import numpy as np
from inputs import NAN

from cases._several import Corner, SeveralCase


def vectors(rng, shape, dtype, spread=0.3):
    """Rows near one of a few directions, of very different lengths, in the same order of directions."""
    directions = rng.standard_normal((3, shape[-1]))
    near = directions[np.arange(math.prod(shape[:-1])) % 3].reshape(shape) + spread * rng.standard_normal(shape)
    return (near * np.exp2(rng.uniform(-30, 30, (*shape[:-1], 1)))).astype(dtype)


def contrasted(rng, shape, dtype, parameters):
    """Queries, keys and negatives of every kind: a zero vector and equal ones among them."""
    wide = 1.0 if parameters.get("normalize", True) else 0.05
    query, key, negatives = (vectors(rng, shape, dtype) for _ in range(3))
    if wide != 1.0:
        query, key, negatives = (np.asarray(rng.standard_normal(shape) * wide, dtype) for _ in range(3))
    query[3] = 0
    key[4] = query[4]
    negatives[:2] = np.zeros(shape[-1]), key[1]
    return query, key, negatives[: len(negatives) // 2 + 2]


def contrasted_smooth(rng, shape, dtype, parameters):
    return tuple(rng.standard_normal(shape).astype(dtype) for _ in range(3))


def pairs(rng, shape, dtype, parameters):
    return contrasted(rng, shape, dtype, {})[:2]


def pairs_smooth(rng, shape, dtype, parameters):
    return contrasted_smooth(rng, shape, dtype, parameters)[:2]


def classified(rng, shape, dtype, parameters, classes=7):
    """Embeddings near their class's center, near another, opposite, exactly on it, and of length 0."""
    centers = vectors(rng, (classes, shape[-1]), dtype)
    target = rng.integers(0, classes, shape[:-1])
    x = vectors(rng, shape, dtype).reshape(-1, shape[-1])
    own = centers[target.ravel()]
    rows = np.arange(len(x)) % 7
    x[rows == 1] = own[rows == 1] * (1 + 1e-3 * rng.standard_normal(own.shape)).astype(dtype)[rows == 1]
    x[rows == 2] = -own[rows == 2] + x[rows == 2] * np.asarray(1e-2, dtype)
    x[rows == 3] = 2 * own[rows == 3]
    x[rows == 4] = 0
    return x.reshape(shape), centers, target


def classified_smooth(rng, shape, dtype, parameters):
    x, centers = (rng.standard_normal((n, shape[-1])).astype(dtype) for n in (math.prod(shape[:-1]), 7))
    return x.reshape(shape), centers, rng.integers(0, 7, shape[:-1])


def spoken(rng, shape, dtype, parameters):
    """Utterances near their speaker's direction, one of them of length 0, and one speaker who cancels."""
    x = rng.standard_normal((shape[0], 1, shape[2])) + 0.3 * rng.standard_normal(shape)
    x *= np.exp2(rng.uniform(-20, 20, (shape[0], 1, 1)))
    x[0, 0] = 0
    return (x.astype(dtype),)


def spoken_smooth(rng, shape, dtype, parameters):
    return (rng.standard_normal(shape).astype(dtype),)


LN2, SIXTH = math.log(2), math.pi / 6

CASES = (
    SeveralCase(
        "info_nce_loss",
        contrasted,
        contrasted_smooth,
        parameters=({}, {"temperature": 1.0}, {"normalize": False, "temperature": 0.5}),
        corners=(
            # zero vectors: cosine 0 and gradient 0
            Corner(([[0.0, 0.0]], [[1.0, 2.0]], [[3.0, 4.0]]), [LN2], ([[0, 0]], [[0, 0]], [[0, 0]])),
            # no negatives, and no dimensions
            Corner(([[1.0, 2.0]], [[0.0, 5.0]], np.zeros((0, 2))), [0], ([[0, 0]], [[0, 0]], np.zeros((0, 2)))),
            Corner((np.zeros((2, 0)), np.zeros((2, 0)), np.zeros((3, 0))), [math.log(4)] * 2),
            # q . k = 1 and q . n = 0: log(1 + 1/e), slope -1 / (e + 1)
            Corner(
                ([[1.0, 0.0]], [[1.0, 3.0]], [[0.0, 2.0]]),
                [0.31326168751822286],
                ([[-0.2689414213699951, -0.2689414213699951]], [[-0.2689414213699951, 0]], [[0.2689414213699951, 0]]),
                {"temperature": 1.0, "normalize": False},
            ),
            Corner(
                ([[NAN, 0.0], [1.0, 0.0]], [[1.0, 0.0]] * 2, [[0.0, 1.0]]),
                [NAN, math.log1p(math.exp(-1.0))],
                None,
                {"temperature": 1.0},
            ),
        ),
        separate=False,
        shapes=((6, 1), (7, 3), (30, 33), (9, 64), (20, 257)),
        many=(619, 23),
    ),
    SeveralCase(
        "multiple_negatives_ranking_loss",
        pairs,
        pairs_smooth,
        parameters=(
            {},
            {"scale": 1.0},
            {"symmetric": True},
            {"scale": 3.0, "symmetric": True, "group_ids": [3, 1, 3, 2, 1]},
            {"scale": 5.0, "symmetric": True},
        ),
        corners=(
            Corner(([[1.0, 2.0]], [[0.0, 5.0]]), [0], ([[0, 0]], [[0, 0]])),
            Corner(([[1.0, 2.0]], [[0.0, 5.0]]), [0], ([[0, 0]], [[0, 0]]), {"symmetric": True}),
            Corner(([[0.0, 0.0]] * 2, [[1.0, 0.0], [0.0, 1.0]]), [LN2, LN2], ([[0, 0]] * 2, [[0, 0]] * 2)),
            Corner(
                ([[1.0, 0.0]] * 2, [[1.0, 0.0], [0.0, 1.0]]),
                [0, 0],
                ([[0, 0]] * 2, [[0, 0]] * 2),
                {"group_ids": [7, 7]},
            ),
        ),
        separate=False,
        shapes=((5, 1), (5, 3), (5, 33), (5, 64), (5, 257)),  # as many rows as group_ids has
        many=(619, 23),
    ),
    SeveralCase(
        "arcface_loss",
        classified,
        classified_smooth,
        parameters=(
            {},
            {"margin": 0.0},
            {"scale": 4.0, "margin": 2.0},
            {"scale": 1.0, "class_weight": np.linspace(0.25, 2, 7)},
        ),
        corners=(
            # on the center: no tangent, and none towards an opposite center either
            Corner(([[2.0, 0.0]], [[1.0, 0.0]], [0]), [0], ([[0, 0]], [[0, 0]])),
            Corner(
                ([[1.0, 0.0]], [[5.0, 0.0], [-1.0, 0.0]], [0]),
                [math.log1p(math.exp(-1 - math.cos(0.5)))],
                ([[0, 0]], [[0, 0]] * 2),
                {"scale": 1.0},
            ),
            # opposite to it: the monotone branch
            Corner(
                ([[-1.0, 0.0]], [[5.0, 0.0], [-1.0, 0.0]], [0]),
                [math.log1p(math.exp(2 + 0.5 * math.sin(0.5)))],
                ([[0, 0]], [[0, 0]] * 2),
                {"scale": 1.0},
            ),
            # a zero vector: at right angles to everything
            Corner(
                ([[0.0, 0.0]], [[5.0, 0.0], [0.0, 1.0]], [0]),
                [math.log1p(math.exp(math.sin(0.5)))],
                ([[0, 0]], [[0, 0]] * 2),
                {"scale": 1.0},
            ),
            # at right angles, with a margin of 30 degrees: cos(120 degrees) = -1/2, slope -sin(120 degrees)
            Corner(([[3.0, 0.0]], [[0.0, 2.0]], [0]), [0], ([[0, 0]], [[0, 0]]), {"margin": SIXTH}),
            Corner(([[NAN, 0.0], [1.0, 0.0]], [[1.0, 0.0]], [-100, 0]), [0, 0], ([[0, 0]] * 2, [[0, 0]])),
        ),
        separate=False,
        shapes=((40, 1), (40, 3), (30, 33), (6, 5, 64), (9, 257)),
        many=(1201, 67),
    ),
    SeveralCase(
        "ge2e_loss",
        spoken,
        spoken_smooth,
        parameters=({}, {"variant": "contrast"}, {"w": 2.0, "b": 1.0}, {"w": 3.0, "b": -1.5, "variant": "contrast"}),
        corners=(
            Corner((np.ones((1, 2, 3)),), [[0, 0]], (np.zeros((1, 2, 3)), 0, 0)),
            Corner((np.zeros((3, 2, 4)),), np.full((3, 2), math.log(3)), (np.zeros((3, 2, 4)), 0, 0)),
            # a speaker whose utterances cancel has no centroid; equal speakers tie to the first
            Corner(
                ([[[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]],),
                [[math.log1p(math.exp(1.0))] * 2, [math.log1p(math.exp(-1.0))] * 2],
                None,
                {"w": 1.0},
            ),
        ),
        separate=False,
        shapes=((3, 4, 1), (3, 2, 3), (6, 5, 33), (4, 3, 64), (3, 2, 257)),
        many=(59, 31, 17),
    ),
)
