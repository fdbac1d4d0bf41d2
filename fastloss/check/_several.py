"""The cases of losses of several arrays. What arrays a loss takes is said here, once, by its name: ``ARRAYS``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import fastloss as fl
from fastloss import _backend
from fastloss._arguments import Array
from fastloss.check import _inputs as inputs
from fastloss.check._bounds import DOCUMENT_BOUND, WEIGHTED_EXTRA
from fastloss.check._case import Case, Real, Results, Truth
from fastloss.check._documents import WORKED_SEVERAL

Arrays = tuple[Array, ...]

# Rows of so many columns: tails of every length, and more than a block.
COLUMNS = (1, 2, 3, 8, 33, 257, 5003)
QUICK_COLUMNS = (1, 3, 33, 1000)

# Rows and columns that are shared out to threads.
MANY = (2_003, 67)


# ---- Arrays ----


def embeddings(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Array:
    """Ordinary rows, and among them rows of zeros, tiny and large ones, and one each with a NaN and an infinity."""
    x = rng.standard_normal((rows, columns))
    kind = np.arange(rows) % 11
    info = np.finfo(real)
    x[kind == 3] = 0
    x[kind == 5] *= float(info.tiny) * 8
    x[kind == 7] *= float(info.max) / 64
    x = x.astype(real)
    if rows > 40:
        x[20, rng.integers(columns)] = np.nan
        x[31, rng.integers(columns)] = np.inf
    return x


def beside(rng: np.random.Generator, x: Array) -> Array:
    """Rows as they may lie to those of ``x``: unrelated, equal, opposite, nearly equal, twice as long."""
    kind = (np.arange(len(x)) // 2 % 5)[:, None]
    with np.errstate(all="ignore"):
        near = x * (1 + 4 * np.finfo(x.dtype).eps * rng.integers(-2, 3, x.shape)).astype(x.dtype)
        other = embeddings(rng, x.shape[0], x.shape[1], x.dtype)
        return np.asarray(np.select([kind == 1, kind == 2, kind == 3, kind == 4], [x, -x, near, x / 2], other), x.dtype)


def _tamed(arrays: Arrays) -> Arrays:
    """The arrays with ordinary numbers in the place of NaN, infinities and large ones."""
    return tuple(np.clip(np.nan_to_num(a), -8, 8) if a.dtype.kind == "f" else a for a in arrays)


def _signs(rng: np.random.Generator, shape: tuple[int, ...], real: Real) -> Array:
    return np.asarray(rng.choice([-1.0, 1.0], shape).astype(real))


def _ranked_scores(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    x = embeddings(rng, rows, columns, real)
    y = beside(rng, x)
    with np.errstate(all="ignore"):
        y = np.where(np.isinf(x - y) & np.isfinite(x) & np.isfinite(y), x, y)  # the difference overflows
    return x, y, _signs(rng, (rows, columns), real)


def _labelled_pairs(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    x = embeddings(rng, rows, columns, real)
    return x, beside(rng, x), rng.integers(0, 2, rows)


def _signed_pairs(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    x = embeddings(rng, rows, columns, real)
    return x, beside(rng, x), _signs(rng, (rows,), real)


def _triplets(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    """Distances that are far from equal: where their difference is the margin by rounding alone, gradients jump."""
    x = embeddings(rng, rows, columns, real)
    with np.errstate(all="ignore"):
        scale = real.type(1.5) * rng.choice(np.array([0.0, 0.5, 1.0, 3.0], real), (rows, 1))
        positive = x + np.nan_to_num(scale * embeddings(rng, rows, columns, real), nan=0.5, posinf=1, neginf=-1)
    return x, np.where(np.isfinite(positive), positive, x), embeddings(rng, rows, columns, real)


def _classes(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    x = embeddings(rng, rows, columns, real)
    centers = np.clip(np.nan_to_num(embeddings(rng, 7, columns, real)), -9, 9)
    return np.where(np.abs(x) > 1e15, real.type(3), x), centers, rng.integers(0, 6, rows)


def _masks(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    p = rng.uniform(size=(rows, columns))
    kind = np.arange(rows) % 5
    g = (rng.uniform(size=p.shape) < 0.3).astype(float)
    p[kind == 1] = g[kind == 1] * (1 - 1e-4 * p[kind == 1])
    p[kind == 2] = 0
    g[kind % 4 == 2] *= rng.integers(0, 2)
    return p.astype(real), g.astype(real)


def _directions(rng: np.random.Generator, shape: tuple[int, ...], real: Real) -> Array:
    """Rows of ordinary lengths, whose products are neither all nearly 0 nor saturate, a few of them 0."""
    x = rng.standard_normal(shape) / np.sqrt(shape[-1]) + rng.standard_normal(shape[-1]) / np.sqrt(shape[-1])
    x *= np.exp2(rng.uniform(-2, 1, (*shape[:-1], 1))) * (rng.random((*shape[:-1], 1)) > 0.05)
    return np.asarray(x.astype(real))


def _in_batch(rows: int) -> int:
    """How many rows are compared with each other: enough for several threads where many are asked for."""
    return 601 if rows > 1000 else min(rows, 90)


def _contrasted(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    """Queries and keys; with some numbers of columns negatives too, shared or each row's own."""
    rows = _in_batch(rows)
    query, key = (_directions(rng, (rows, columns), real) for _ in range(2))
    shape = ((3 * rows // 2, columns), (rows, 5, columns))[columns % 2]
    return (query, key) if columns % 3 == 1 else (query, key, _directions(rng, shape, real))


def _pairs(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    rows = _in_batch(rows)
    return _directions(rng, (rows, columns), real), _directions(rng, (rows, columns), real)


def _classified(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    """Embeddings and centers; some embeddings next to their own center or opposite to it."""
    classes = 257 if rows > 1000 else 17
    x, centers = _directions(rng, (rows, columns), real), _directions(rng, (classes, columns), real)
    target = rng.integers(0, classes, rows)
    side = rng.choice([-1.0, 1.0], (rows, 1)).astype(real)
    near = np.arange(rows) % 4 == 1
    x[near] = (side * centers[target] + x * real.type(1e-3))[near]
    return x, centers, target


def _spoken(rng: np.random.Generator, rows: int, columns: int, real: Real) -> Arrays:
    return (_directions(rng, (max(2, rows // 5), 5, columns), real),)


ARRAYS: dict[str, Callable[[np.random.Generator, int, int, Real], Arrays]] = {
    "center_loss": _classes,
    "contrastive_loss": _labelled_pairs,
    "cosine_embedding_loss": _signed_pairs,
    "dice_loss": _masks,
    "margin_ranking_loss": _ranked_scores,
    "triplet_margin_loss": _triplets,
    "info_nce_loss": _contrasted,
    "multiple_negatives_ranking_loss": _pairs,
    "arcface_loss": _classified,
    "ge2e_loss": _spoken,
}


# ---- Cases ----


def several_cases(loss: Any, real: Real, quick: bool) -> Iterator[Case]:
    """Rows of every length, some of them with every parameter; weights, many rows, worked numbers."""
    if loss._name not in ARRAYS:
        raise NotImplementedError(f"no arrays are known for {loss._name}")
    make = ARRAYS[loss._name]
    for columns in QUICK_COLUMNS if quick else COLUMNS:
        rows = min(max(10_000 // columns, 44), 220)
        arrays = make(inputs.generator(7, columns), rows, columns, real)
        sets = _parameter_sets(loss, make(inputs.generator(8, columns), 3, columns, real))
        for parameters in sets if columns in (3, 33) else sets[:1]:
            yield _unreduced(loss, f"{rows} x {columns}{_shown(parameters)}", arrays, parameters)
        yield _weighted(loss, f"{rows} x {columns}", arrays)
    many = make(inputs.generator(9), *MANY, real)
    yield _reduced(loss, _tamed(many))
    yield from _documents(loss, real)


def _parameter_sets(loss: Any, arrays: Arrays) -> list[dict[str, Any]]:
    """The defaults, every parameter at every value that the loss accepts, and all of them changed at once."""
    defaults = inspect.signature(loss).parameters
    sets: list[dict[str, Any]] = [{}]
    everything: dict[str, Any] = {}
    for name, check in loss._checks.items():
        default = defaults[name].default
        candidates: list[Any] = [1, 0.0, 0.1, 3.0, *getattr(check, "choices", ())]
        for value in [not default] if isinstance(default, bool) else candidates:
            if value != default and _accepts(loss, arrays, {name: value}):
                sets.append({name: value})
                everything[name] = value
    return [*sets, everything] if len(everything) > 1 else sets


def _accepts(loss: Any, arrays: Arrays, parameters: dict[str, Any]) -> bool:
    try:
        loss(*arrays, **parameters)
    except (TypeError, ValueError):
        return False
    return True


def _shown(parameters: dict[str, Any]) -> str:
    return f" ({', '.join(f'{k}={v}' for k, v in parameters.items())})" if parameters else ""


def _parts(gradient: Any) -> tuple[Any, ...]:
    return gradient if isinstance(gradient, tuple) else (gradient,)


def _call(loss: Any, arrays: Arrays, **keywords: Any) -> list[Array]:
    value, gradient = loss.value_and_grad(*arrays, **keywords)
    return [np.asarray(result) for result in (value, *_parts(gradient))]


def _truths(loss: Any, arrays: Arrays, parameters: dict[str, Any], common: dict[str, Any]) -> list[Truth]:
    """What the reference says about value and gradients."""
    options = {"sample_weight": None, "reduction": "none", "grad_output": None, **common}
    real = arrays[0].dtype
    with fl.backend("check"):
        twin = _backend.reference_result(
            loss, 1, arrays, parameters, options["sample_weight"], options["reduction"], None, options["grad_output"],
            real,
        )  # fmt: skip
    extra = WEIGHTED_EXTRA if common else 0.0
    truths = [Truth("value", twin.value, real, scale=twin.value_scale, extra=extra)]
    for gradient, scale in zip(_parts(twin.grad), _parts(twin.grad_scale), strict=True):
        truths.append(Truth("gradient", gradient, real, scale=scale, extra=extra))
    return truths


def _unreduced(loss: Any, name: str, arrays: Arrays, parameters: dict[str, Any]) -> Case:
    truths = _truths(loss, arrays, parameters, {})
    return Case(name, lambda: _call(loss, arrays, reduction="none", **parameters), truths)


def _weighted(loss: Any, name: str, arrays: Arrays) -> Case:
    """The mean of ordinary rows, a tenth of them of weight 0."""
    arrays = _tamed(arrays)
    shape = np.shape(loss(*arrays, reduction="none"))
    rng = inputs.generator(5, *shape)
    weight = (rng.uniform(0.1, 3, shape) * (rng.uniform(size=shape) > 0.1)).astype(arrays[0].dtype)
    common = {"sample_weight": weight, "reduction": "mean", "grad_output": 0.7}
    return Case(f"{name}, weighted mean", lambda: _call(loss, arrays, **common), _truths(loss, arrays, {}, common))


def _reduced(loss: Any, arrays: Arrays) -> Case:
    """The mean with its gradients, and a sum, of enough work for every thread."""

    def call() -> Results:
        terms = loss(*arrays, reduction="none")
        return [terms, *_call(loss, arrays), np.asarray(loss(*arrays, reduction="sum"))]

    return Case("many", call, sums=True)


def _documents(loss: Any, real: Real) -> Iterator[Case]:
    """The source documents' inputs; in float64 their values too."""

    def relation(expected: float, results: Results) -> list[str]:
        value = float(results[0])
        return [] if abs(value - expected) <= DOCUMENT_BOUND * abs(expected) else [f"the value is {value!r}"]

    for name, given, parameters, expected in WORKED_SEVERAL:
        if name == loss._name:
            arrays = tuple(a if a.dtype.kind in "iu" else a.astype(real) for a in map(np.asarray, given))
            yield _unreduced(loss, f"worked number {expected}", arrays, parameters)
            if real == np.float64:
                call = partial(_call, loss, arrays, **parameters)
                yield Case(f"value {expected}", call, relation=partial(relation, expected))
