"""Inputs of the losses, by domain: ordinary values mixed with those that break formulas. Seeded by the caller."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
INF, NAN = float("inf"), float("nan")


def nudged(rng: np.random.Generator, x: Array, most: int = 4) -> Array:
    """Every element moved by up to ``most`` units in the last place."""
    return x * (1 + np.finfo(x.dtype).eps * rng.integers(-most, most + 1, x.shape)).astype(x.dtype)


def scales(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, reach: float = 0.4) -> Array:
    """Numbers of both signs whose exponents spread evenly over ``reach`` of the type's range."""
    limit = reach * np.finfo(dtype).maxexp
    return (rng.choice([-1.0, 1.0], shape) * np.exp2(rng.uniform(-limit, limit, shape))).astype(dtype)


def mixed(rng: np.random.Generator, shape: tuple[int, ...], choices: list[tuple[float, Array]]) -> Array:
    """Element by element one of several arrays, with these probabilities."""
    pick = rng.choice(len(choices), shape, p=[p for p, _ in choices])
    return np.asarray(np.choose(pick, [np.broadcast_to(a, shape) for _, a in choices]), choices[0][1].dtype)


def residuals(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]) -> Any:
    """Regression: normal, equal or nearly equal, of all magnitudes, and with residuals at or beside a kink."""
    target = mixed(rng, shape, [(0.8, 3 * rng.standard_normal(shape).astype(dtype)), (0.2, np.zeros(shape, dtype))])
    kink = rng.choice(np.asarray(kinks), shape).astype(dtype)
    prediction = mixed(
        rng,
        shape,
        [
            (0.5, 3 * rng.standard_normal(shape).astype(dtype)),
            (0.15, scales(rng, shape, dtype)),
            (0.15, nudged(rng, target)),
            (0.2, target + nudged(rng, kink)),
        ],
    )
    return prediction, target


def labels_01(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Hard and soft labels in [0, 1]."""
    soft = rng.uniform(0, 1, shape).astype(dtype)
    hard = rng.integers(0, 2, shape).astype(dtype)
    return mixed(rng, shape, [(0.3, soft), (0.6, hard), (0.1, np.exp2(rng.uniform(-100, 0, shape)).astype(dtype))])


def probabilities(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]) -> Any:
    """Probabilities strictly inside (0, 1), near both ends too, and labels, some equal to them."""
    eps = float(np.finfo(dtype).eps)
    prediction = mixed(
        rng,
        shape,
        [
            (0.6, rng.uniform(0.001, 0.999, shape).astype(dtype)),
            (0.2, np.exp2(rng.uniform(-100, -1, shape)).astype(dtype)),
            (0.2, (1 - eps * np.exp2(rng.uniform(0, 12, shape))).astype(dtype)),
        ],
    )
    target = mixed(rng, shape, [(0.9, labels_01(rng, shape, dtype)), (0.1, prediction)])
    return prediction, target


def binary_logits(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]) -> Any:
    """Logits: normal, confident, tiny and large; labels hard and soft."""
    prediction = mixed(
        rng,
        shape,
        [
            (0.5, 3 * rng.standard_normal(shape).astype(dtype)),
            (0.3, rng.uniform(-90, 90, shape).astype(dtype)),
            (0.1, scales(rng, shape, dtype, 0.1)),
            (0.1, rng.uniform(-1000, 1000, shape).astype(dtype)),
        ],
    )
    return prediction, labels_01(rng, shape, dtype)


def log_means(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Logarithms of means: ordinary, large (also twice as large, e^x is still a number of the type), tiny."""
    return mixed(
        rng,
        shape,
        [
            (0.5, 2 * rng.standard_normal(shape).astype(dtype)),
            (0.2, rng.uniform(-20, 20, shape).astype(dtype)),
            (0.2, (rng.uniform(-0.3, 0.3, shape) * np.log(np.finfo(dtype).max)).astype(dtype)),
            (0.1, (rng.choice([-1, 1], shape) * np.exp2(rng.uniform(-100, 2, shape))).astype(dtype)),
        ],
    )


def counts(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]) -> Any:
    """Logarithms of means, and targets >= 0: small counts, many of them 0, amounts, and those near the mean."""
    prediction = log_means(rng, shape, dtype)
    target = mixed(
        rng,
        shape,
        [
            (0.4, np.floor(rng.gamma(0.5, 5.0, shape)).astype(dtype)),
            (0.3, rng.gamma(0.7, 4.0, shape).astype(dtype)),
            (0.2, nudged(rng, np.exp(np.minimum(prediction, 10)))),
            (0.1, np.abs(scales(rng, shape, dtype, 0.05))),
        ],
    )
    return prediction, target


def amounts(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]) -> Any:
    """The same with targets > 0."""
    prediction, target = counts(rng, shape, dtype, kinks)
    return prediction, np.maximum(target, np.asarray(2.0**-20, dtype))  # also in half precision


def signed_scores(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]) -> Any:
    """Scores of a margin loss, at and beside the margin too; labels -1 and +1."""
    target = rng.choice(np.asarray([-1, 1], dtype), shape)
    kink = rng.choice(np.asarray(kinks), shape).astype(dtype)
    prediction = mixed(
        rng,
        shape,
        [
            (0.6, 2 * rng.standard_normal(shape).astype(dtype)),
            (0.2, scales(rng, shape, dtype)),
            (0.2, target * nudged(rng, kink)),
        ],
    )
    return prediction, target


def logit_rows(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]) -> Any:
    """Rows of logits, spread out and nearly tied, far from 0, confident in the target or in another class."""
    rows, classes = shape[:-1], shape[-1]
    spread = rng.choice([0.0, 0.1, 1.0, 5.0, 20.0], (*rows, 1))
    offset = rng.choice([0.0, 0.0, 0.0, 50.0, -50.0, -300.0, 1e4], (*rows, 1))
    logits = spread * rng.standard_normal(shape)
    target = rng.integers(0, max(classes, 1), rows)
    boost = rng.choice([0.0, 0.0, 5.0, 18.0, 30.0, 100.0], (*rows, 1))
    favourite = np.where(rng.random(rows) < 0.7, target, rng.integers(0, max(classes, 1), rows))[..., None]
    return (logits + boost * (np.arange(classes) == favourite) + offset).astype(dtype), target


def soft_targets(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Class probabilities: most rows sum to 1, some do not, and a few elements are exactly 0."""
    y = rng.gamma(0.5, 1.0, shape) * (rng.random(shape) < 0.8)
    y /= np.maximum(y.sum(-1, keepdims=True), 1e-6)
    return (y * rng.choice([1.0, 1.0, 0.5, 1.7], (*shape[:-1], 1))).astype(dtype)


def score_rows(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]) -> Any:
    """Rows of scores: apart, nearly tied, at or beside the margin of the target's, of all magnitudes."""
    rows, classes = shape[:-1], shape[-1]
    target = rng.integers(0, max(classes, 1), rows)
    x = mixed(
        rng,
        shape,
        [(0.8, 2 * rng.standard_normal(shape).astype(dtype)), (0.2, scales(rng, shape, dtype, 0.2))],
    )
    if classes:
        own = np.take_along_axis(x, target[..., None], -1)
        at_margin = own - rng.choice(np.asarray(kinks), shape).astype(dtype)
        beside = nudged(rng, at_margin)
        hit = (rng.random(shape) < 0.15) & (np.arange(classes) != target[..., None])
        x = np.where(hit, beside, x)
    return x.astype(dtype), target


def distributions(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Rows of predicted probabilities: some far from 1 or 0, some next to it, some next to nothing."""
    logits, _ = logit_rows(rng, shape, dtype, ())
    x = np.exp(logits - logits.max(-1, keepdims=True, initial=-np.inf))
    x = x / x.sum(-1, keepdims=True)
    tiny = np.finfo(dtype).tiny
    return np.clip(x, tiny, 1 - np.finfo(dtype).eps * rng.integers(0, 3, shape)).astype(dtype)


def labelled_distributions(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]
) -> Any:
    """Predicted probabilities and class labels."""
    return distributions(rng, shape, dtype), rng.integers(0, max(shape[-1], 1), shape[:-1])


def pairs_of_distributions(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, kinks: tuple[float, ...]
) -> Any:
    """Predicted probabilities and target probabilities, some of them nearly the predicted ones, some equal to them."""
    target = soft_targets(rng, shape, dtype)
    near = np.maximum(nudged(rng, target, 1000), np.finfo(dtype).tiny)
    return mixed(
        rng,
        shape,
        [(0.7, distributions(rng, shape, dtype)), (0.2, np.minimum(near, 1)), (0.1, np.clip(target, 1e-30, 1))],
    ), target
