"""Inputs that every kernel is checked on, drawn from the domains that loss objects state. Not here: what is true."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

import fastloss as fl
from fastloss._arguments import Array
from fastloss.check._case import Real

SEED = 20240229

# Tried on every parameter of a loss; those it refuses are outside its domain. An integer for the sake of indices.
NUMBERS: tuple[float, ...] = (1, 0.0, 0.1, 3.0, False, True)

# The same for parameters that are words: what any loss knows.
WORDS = ("taylor", "crammer-singer", "classes")

# The same for the coefficients of a polynomial.
COEFFICIENTS = (0.5, -1.0, 0.0, 2.0)

# Parameters that say where classes are, not what the formula is.
LAYOUT = ("axis",)


def generator(*key: int) -> np.random.Generator:
    """A generator of its own for every use, so that inputs don't depend on which kernels are checked."""
    return np.random.default_rng((SEED, *key))


# ---- Numbers ----


def log_uniform(rng: np.random.Generator, n: int, real: Real) -> Array:
    """Numbers of either sign over all magnitudes of the type, subnormal to largest."""
    info = np.finfo(real)
    exponents = rng.uniform(info.minexp - info.nmant, info.maxexp - 1, n)
    with np.errstate(under="ignore"):
        return np.asarray((rng.choice([-1.0, 1.0], n) * np.exp2(exponents)).astype(real))


def special_numbers(real: Real) -> Array:
    """Zeros, subnormals, kinks, powers of two and their neighbours, where exp saturates, the largest, inf, NaN."""
    info = np.finfo(real)
    tiny, eps = float(info.smallest_subnormal), float(info.eps)
    small = [0.0, tiny, 3 * tiny, float(info.tiny) - tiny, float(info.tiny), eps * eps, eps, 1e-3]
    middle = [0.1, 0.5, np.log(2), 0.75, 1 - eps / 2, 1.0, 1 + eps, 1.5, 2.0, 3.0, 10.0]
    saturation = [15.0, 17.0, 18.0, 40.0, 87.3, 88.7, 88.8, 103.9, 104.1, 709.7, 709.8, 745.1, 745.2, 1e4]
    huge = [float(np.sqrt(info.max)), float(info.max) / 4, float(info.max), np.inf]
    positive = np.array([x for x in (*small, *middle, *saturation, *huge) if x <= info.max or np.isinf(x)], real)
    return np.concatenate([positive, -positive, np.array([np.nan], real)])


def special_probabilities(real: Real) -> Array:
    """Both ends of [0, 1] and what lies next to them."""
    info = np.finfo(real)
    tiny, eps = float(info.smallest_subnormal), float(info.eps)
    return np.array([0, tiny, 5 * tiny, info.tiny, eps, 0.1, 0.5, 0.9, 1 - eps, 1 - eps / 2, 1, np.nan], real)


def special_labels(real: Real) -> Array:
    """The same of labels; no subnormal ones, as their product with a weight has few digits left."""
    p = special_probabilities(real)
    return np.asarray(p[~((p > 0) & (p < np.finfo(real).eps ** 2))])


def random_values(domain: str, rng: np.random.Generator, n: int, real: Real) -> Array:
    """Ordinary members of a domain."""
    if domain == "sign":
        return np.asarray(rng.choice([-1.0, 1.0], n).astype(real))
    if domain == "unit interval":
        soft, near = rng.uniform(size=n), np.exp2(-rng.uniform(0, 40, n))
        return np.asarray(np.choose(rng.integers(0, 4, n), [soft, near, 1 - near, rng.integers(0, 2, n)]).astype(real))
    if domain in ("non-negative", "positive"):
        smooth = rng.gamma(0.7, 4.0, n) + float(np.finfo(real).tiny)
        counts = np.floor(smooth) if domain == "non-negative" else np.ceil(smooth)
        return np.asarray(np.where(rng.uniform(size=n) < 0.5, smooth, counts).astype(real))
    return np.asarray((4 * rng.standard_normal(n)).astype(real))


def domains(loss: Any, parameters: dict[str, Any]) -> tuple[str, str]:
    """Where predictions and targets of a loss of single elements lie, at these parameters."""
    signature = inspect.signature(loss.value_and_grad).parameters
    names = [name for name in loss._parameter_names if name != loss._array_parameter]
    found: tuple[str, str] = loss._domains(tuple(parameters.get(k, signature[k].default) for k in names))
    return found


def special_values(domain: str, real: Real, label: bool = False) -> Array:
    """The members of a domain that are most likely to go wrong."""
    if domain == "sign":
        return np.array([-1, 1], real)
    if domain == "unit interval":
        return special_labels(real) if label else special_probabilities(real)
    x = special_numbers(real)
    if domain == "any":
        return x
    return x[inside(x, domain) & ~(np.isinf(x) & label)]  # two infinities may have any difference


def neighbours(x: Array, steps: int = 2) -> Array:
    """The numbers and those up to two places beside them."""
    found, up, down = [x], x, x
    with np.errstate(all="ignore"):
        for _ in range(steps):
            up, down = np.nextafter(up, x.dtype.type(np.inf)), np.nextafter(down, x.dtype.type(-np.inf))
            found += [up, down]
    return np.concatenate(found)


def inside(x: Array, domain: str) -> Array:
    """Which elements a prediction or target of this domain may have."""
    if domain == "sign":
        return np.asarray(np.abs(x) == 1)
    if domain in ("non-negative", "positive"):
        return ~(x < 0 if domain == "non-negative" else x <= 0)
    return ~((x < 0) | (x > 1)) if domain == "unit interval" else np.ones(x.shape, bool)


# ---- Parameters ----


def parameter_sets(loss: Any, arrays: tuple[Array, Array]) -> list[dict[str, Any]]:
    """The defaults, every parameter at every value that the loss accepts, and all of them changed at once.

    ``arrays`` is a valid prediction and target with the class (or column) axis last.
    """
    columns = arrays[0].shape[-1]
    per_column = np.linspace(0.25, 2.0, columns)
    defaults = inspect.signature(loss.value_and_grad).parameters
    sets: list[dict[str, Any]] = [{}]
    everything: dict[str, Any] = {}
    for name in loss._parameter_names:
        if name in LAYOUT:
            continue
        default = defaults[name].default
        tried = WORDS if isinstance(default, str) else (not default,) if isinstance(default, bool) else NUMBERS
        for value in (*tried, COEFFICIENTS if isinstance(default, tuple) else per_column):
            if _equal(value, defaults[name].default) or not _accepts(loss, arrays, {name: value}):
                continue
            sets.append({name: value})
            everything[name] = value
    return [*sets, everything] if len(everything) > 1 else sets


def _equal(value: Any, default: Any) -> bool:
    return default is not None and bool(np.array_equal(value, default))


def _accepts(loss: Any, arrays: tuple[Array, Array], parameters: dict[str, Any]) -> bool:
    try:
        loss(*arrays, **parameters)
    except (TypeError, ValueError):
        return False
    return True


def kinks(parameters: dict[str, Any]) -> list[float]:
    """Residuals and margins at which a formula may change: the parameters themselves."""
    return [0.0, 1.0, *(float(v) for v in parameters.values() if isinstance(v, int | float))]


# ---- Pairs of prediction and target ----


def pointwise_inputs(loss: Any, parameters: dict[str, Any], real: Real, n: int) -> Iterator[tuple[str, Array, Array]]:
    """Named predictions and targets for a loss of single elements, in two dimensions."""
    rng = generator(1, n)
    x_domain, t_domain = domains(loss, parameters)

    def shaped(x: Array, t: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            # Where the residual of finite numbers overflows, so may what it should be scaled down to.
            overflows = np.isinf(x - t) & np.isfinite(x) & np.isfinite(t)
        keep = inside(x, x_domain) & inside(t, t_domain) & ~overflows
        x, t = x[keep], t[keep]
        whole = len(x) // 8 * 8
        return x[:whole].reshape(-1, 8), t[:whole].reshape(-1, 8)

    yield "random", *shaped(random_values(x_domain, rng, n, real), random_values(t_domain, rng, n, real))
    scattered = log_uniform(rng, n, real)
    if x_domain == "unit interval":
        scattered = np.minimum(np.abs(scattered), real.type(1))
    if x_domain == "non-negative":
        scattered = np.abs(scattered)
    yield "all magnitudes", *shaped(scattered, random_values(t_domain, rng, n, real))
    special = np.meshgrid(special_values(x_domain, real), special_values(t_domain, real, label=True))
    yield "extreme", *shaped(*(np.append(a.ravel(), a.ravel()[:7]) for a in special))
    targets = random_values(t_domain, rng, 64, real)
    pairs = [(f, t) for k in kinks(parameters) for t in targets for f in (t + k, t - k, t * k)]
    x, t = (np.array(side, real) for side in zip(*pairs, strict=True))
    near = neighbours(x)
    yield "kinks", *shaped(near, np.tile(t, len(near) // len(x)))


def row_inputs(real: Real, n_rows: int, classes: int, adversarial: bool) -> Array:
    """Logits of every kind in turn, so that neighbouring rows differ."""
    rng = generator(2, n_rows, classes, adversarial)
    x = rng.standard_normal((n_rows, classes)).astype(real)
    rows = np.arange(n_rows)
    x[rows % 3 == 1] *= real.type(10)
    x[rows % 3 == 2] *= real.type(100)
    if not adversarial:
        return x
    info = np.finfo(real)
    winner = rng.integers(0, classes, n_rows)
    kind = rows % 10
    confident = rows[kind == 0]
    x[confident] = x[confident] % 1
    x[confident, winner[confident]] += np.linspace(10, 120, len(confident), dtype=real)
    x[kind == 1] = 1 + info.eps * rng.integers(0, 4, (int((kind == 1).sum()), classes))  # near ties
    x[kind == 2] *= info.tiny
    x[kind == 3] *= info.max / 1000
    x[kind == 4] += real.type(-2000)
    masked = (kind == 5)[:, None] & (rng.uniform(size=x.shape) < 0.5)
    x[masked] = -np.inf
    for k, value in ((6, np.inf), (7, np.nan)):
        some = rows[kind == k]
        x[some, winner[some]] = value
    x[rows[(kind == 8) & (rows % 20 == 8)]] = -np.inf
    return x


def labels(logits: Array, seed: int = 0) -> Array:
    """Class indices: the largest logit in half of the rows (so that confident rows are confidently right)."""
    rng = generator(3, seed, *logits.shape)
    best = np.argmax(logits, axis=-1)
    return np.where(rng.uniform(size=len(best)) < 0.5, best, rng.integers(0, logits.shape[-1], len(best)))


def row_predictions(loss: Any, logits: Array, parameters: dict[str, Any]) -> Array:
    """What a row loss with these parameters predicts with: the logits, or their softmax."""
    defaults = {name: p.default for name, p in inspect.signature(loss.value_and_grad).parameters.items()}
    if loss._row_domains({**defaults, **parameters})[0] == "any":
        return logits
    p = np.asarray(fl.reference.softmax(logits))
    least = float(np.finfo(logits.dtype).tiny) ** 0.25  # so that 1 / p^2 times a weight does not overflow on the way
    return np.where(p > 0, np.maximum(p, least), p).astype(logits.dtype)


def row_targets(loss: Any, logits: Array) -> list[tuple[str, Array]]:
    """The targets that a row loss takes, named."""
    kinds = [("labels", labels), ("probabilities", probabilities)]
    return [(kind, make(logits)) for kind, make in kinds if loss._targets in (kind, "either")]


def probabilities(logits: Array) -> Array:
    """Class probabilities: random ones, one-hot rows and rows of zeros."""
    rng = generator(4, *logits.shape)
    p = rng.uniform(size=logits.shape)
    p /= p.sum(axis=-1, keepdims=True)
    rows = np.arange(len(p))
    p[rows % 4 == 1] = np.arange(logits.shape[-1]) == rng.integers(0, logits.shape[-1], (int((rows % 4 == 1).sum()), 1))
    p[rows % 16 == 3] = 0
    return p.astype(logits.dtype)
