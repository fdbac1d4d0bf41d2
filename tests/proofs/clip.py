"""Rows made to break the bound of clipping, clipped by the million, and compared with the bound in exact arithmetic.

Many rows go through one call in two ways, both of which give every clipped row back. As *blocks*: row i of a batch has
its numbers in columns of its own, where the other rows add zeros, so the sum holds every clipped row. As *layers*: a
batch of one sample of many arrays, each with its own bound.

Whether a norm is within its bound is decided in double-double arithmetic with a proven error, and where that is not
enough in integers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fastloss.privacy import clip_and_noise, clip_and_sum

BATCH = 64
UNIT = 2.0**-53


# ---- The verdict ----


def within(rows: np.ndarray, bounds: np.ndarray, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Whether the exact norm of each row is <= its bound, and which of the answers took integers.

    Rows and bounds are scaled by a power of two so that the largest number of a row lies in [1, 2). A bound beyond
    2^-400 or 2^400 is moved there, which changes no answer; numbers below 2^-400 are left out and at most n 2^-400 in
    all. Products of what remains have exact errors (Dekker). s + t, the sum of n terms, each of a product and its
    error, is off by at most 2 (n + 1)^2 u^2 s: every term of t is at most u s, there are 2 n of them, and adding one up
    costs at most u times what t is then.
    """
    x = np.abs(rows.astype(np.float64))
    largest = x.max(axis=1, initial=0.0)
    exponents = np.where(largest > 0, np.frexp(largest)[1] - 1, 0)
    with np.errstate(over="ignore", under="ignore"):
        scaled, c = np.ldexp(x, -exponents[:, None]), np.ldexp(bounds, -exponents)
    small = (x > 0) & (scaled < 2.0**-400)
    scaled, c = np.where(small, 0.0, scaled), np.clip(c, 2.0**-400, 2.0**400)
    s, t = np.zeros(len(x)), np.zeros(len(x))
    for column in scaled.T:
        term, error = _square(column) if norm == "l2" else (column, 0.0)
        total = s + term
        part = total - s
        t += ((s - (total - part)) + (term - part)) + error
        s = total
    limit, limit_error = _square(c) if norm == "l2" else (c, 0.0)
    gap, rest = s - limit, t - limit_error
    tolerance = 4 * (x.shape[1] + 1.0) ** 2 * UNIT**2 * s + 4 * UNIT * (np.abs(gap) + np.abs(rest))
    tolerance += np.where(small.any(axis=1), x.shape[1] * 2.0**-400, 0.0)
    inside, outside = gap + rest <= -tolerance, gap + rest > tolerance
    open_ones = ~(inside | outside)
    for i in np.flatnonzero(open_ones):
        inside[i] = within_exactly(rows[i], float(bounds[i]), norm)
    return inside, open_ones


def _square(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x^2 as a rounded product and its error, exact for |x| in [2^-400, 2^400]."""
    product, big = x * x, 134217729.0 * x
    high = big - (big - x)
    low = x - high
    return product, ((high * high - product) + 2 * high * low) + low * low


def within_exactly(row: np.ndarray, bound: float, norm: str) -> bool:
    """The same in integers: numbers times 2^1074."""
    *values, limit = [_integer(abs(float(x))) for x in (*row, bound)]
    return sum(v * v for v in values) <= limit * limit if norm == "l2" else sum(values) <= limit


def _integer(x: float) -> int:
    numerator, denominator = x.as_integer_ratio()
    return numerator << 1075 - denominator.bit_length()


# ---- Rows ----

# What makes rows: a generator, the real type, batches x rows x columns, the norm -> rows, and a bound for every batch.
Batches = tuple[np.ndarray, np.ndarray]
Shape = tuple[int, int, int]


def near(g: np.random.Generator, real: np.dtype, shape: Shape, norm: str) -> Batches:
    """Within 2^-50 ... 2^-8 of the bound, on both sides."""
    x, bounds = g.standard_normal(shape), np.exp(g.normal(0, 5, shape[0]))
    nudge = 1 + np.exp2(-g.uniform(8, 50, shape[:2])) * g.choice([-1, 0, 1], shape[:2])
    return (x * (bounds[:, None] / lengths(x, norm) * nudge)[..., None]).astype(real), bounds


def permuted(g: np.random.Generator, real: np.dtype, shape: Shape, norm: str) -> Batches:
    """One row in many orders, which have the same norm and sums that differ; the bound is that norm or next to it."""
    first = (g.standard_normal((shape[0], shape[2])) * np.exp(g.normal(0, 5, (shape[0], 1)))).astype(real)
    x = g.permuted(np.broadcast_to(first[:, None], shape), axis=2) * g.choice([-1, 1], shape).astype(real)
    bounds = lengths(first.astype(np.float64), norm)
    steps = g.integers(-3, 4, shape[0])
    return x, np.where(g.random(shape[0]) < 0.8, bounds + steps * np.spacing(bounds), bounds * (1 + steps * 2.0**-45))


def ordinary(g: np.random.Generator, real: np.dtype, shape: Shape, norm: str) -> Batches:
    """Of any size, most well above the bound."""
    return (g.standard_normal(shape) * np.exp(g.normal(0, 3, (*shape[:2], 1)))).astype(real), np.exp(
        g.normal(0, 3, shape[0])
    )


def tiny(g: np.random.Generator, real: np.dtype, shape: Shape, norm: str) -> Batches:
    """Around the smallest normal number and among the subnormal ones; so are the bounds."""
    info = np.finfo(real)
    step = float(info.smallest_subnormal)
    x = g.standard_normal(shape) * np.where(g.random((*shape[:2], 1)) < 0.5, float(info.tiny), 100 * step)
    return x.astype(real), np.where(
        g.random(shape[0]) < 0.5, float(info.tiny) / 7, 3 * step * g.integers(1, 30, shape[0])
    )


def huge(g: np.random.Generator, real: np.dtype, shape: Shape, norm: str) -> Batches:
    """Up to the largest number; norms overflow."""
    largest = float(np.finfo(real).max)
    x = g.uniform(-1, 1, shape) * largest
    x[..., 0] = largest
    return x.astype(real), g.choice([1e-300, 1e-30, 1.0, largest / 1000, largest / 2, largest], shape[0])


def mixed(g: np.random.Generator, real: np.dtype, shape: Shape, norm: str) -> Batches:
    """Numbers of very different sizes in one row."""
    reach = 30 if real == np.float32 else 290
    x = g.standard_normal(shape) * 10.0 ** g.integers(-reach, reach, shape)
    return x.astype(real), 10.0 ** g.integers(-reach, reach, shape[0])


def sparse(g: np.random.Generator, real: np.dtype, shape: Shape, norm: str) -> Batches:
    """Few numbers that are not 0, powers of two among them, at extreme bounds."""
    x = g.standard_normal(shape) * (g.random(shape) < 2 / shape[2])
    x = np.where(g.random((*shape[:2], 1)) < 0.3, np.exp2(g.integers(-20, 20, shape)) * (x != 0), x)
    return x.astype(real), g.choice([5e-324, 1e-310, 1e-30, 1.0, 1e30, 1e308], shape[0])


def half(g: np.random.Generator, real: np.dtype, shape: Shape, norm: str) -> Batches:
    """float16 of all sizes: its squares are 0 or inf; the bound is the norm of one row, or smaller."""
    x = g.standard_normal(shape) * g.choice([1e-7, 1e-5, 1e-2, 1.0, 2e4], (*shape[:2], 1))
    x = np.clip(x, -65504, 65504).astype(np.float16)
    bounds = lengths(x[:, 0].astype(np.float64), norm) * g.choice([1, 1, 1 / 3, 1e-3], shape[0])
    return x, np.maximum(bounds, 1e-9)


def brain(g: np.random.Generator, real: np.dtype, shape: Shape, norm: str) -> Batches:
    """bfloat16 of all sizes."""
    ml_dtypes = __import__("ml_dtypes")
    x = g.standard_normal(shape) * g.choice([1e-38, 1e-20, 1e-2, 1.0, 1e20, 5e37], (*shape[:2], 1))
    x = x.astype(np.float32).astype(ml_dtypes.bfloat16)
    bounds = lengths(x[:, 0].astype(np.float64), norm) * g.choice([1, 1, 1 / 3, 1e-3], shape[0])
    return x, np.maximum(bounds, 1e-44)


FAMILIES: dict[str, Callable[..., Batches]] = {
    f.__name__: f for f in (near, permuted, ordinary, tiny, huge, mixed, sparse, half, brain)
}


def lengths(x: np.ndarray, norm: str) -> np.ndarray:
    """Norms along the last axis, as they come out in floating point."""
    largest = np.maximum(np.abs(x).max(axis=-1, initial=0.0), 2.0**-1000)
    y = x / largest[..., None]
    with np.errstate(over="ignore"):
        return largest * (np.sqrt((y * y).sum(axis=-1)) if norm == "l2" else np.abs(y).sum(axis=-1))


# ---- Clipping them ----


def as_blocks(x: np.ndarray, bounds: np.ndarray, norm: str, mode: str) -> np.ndarray:
    """Clipped rows of batches x (K, B, n), a bound for each; the mode "secure" is flat, rounded to a grid."""
    batches, rows, n = x.shape
    grads = np.zeros((rows, rows, n), x.dtype)
    place = np.arange(rows)
    result = []
    for k in range(batches):
        grads[place, place] = x[k]
        bound = float(bounds[k])
        if mode == "secure":
            result.append(clip_and_noise(grads, bound, 0.0, norm=norm, reduction="sum", secure=True))
        else:
            result.append(clip_and_sum(grads, bound, norm=norm, mode=mode).sum)
    return np.array(result)


def as_layers(x: np.ndarray, bounds: np.ndarray, norm: str) -> np.ndarray:
    """Clipped rows (K, n), a bound for each."""
    arrays = [row[None] for row in x]
    return np.array(clip_and_sum(arrays, [float(c) for c in bounds], norm=norm, mode="per_layer").sum)


def trials(
    count: int, seed: int, families: Sequence[str] = ()
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray, np.ndarray]]:
    """Family, norm, rows as given, clipped rows and bounds, at least `count` rows in all and as many of each family."""
    g = np.random.default_rng(seed)
    made = 0
    while made < count:
        for name in families or FAMILIES:
            for norm in ("l2", "l1"):
                real = np.dtype(g.choice(["float32", "float64"]))
                n = int(g.integers(1, 24))
                x, bounds = FAMILIES[name](g, real, (24, BATCH, n), norm)
                mode = str(g.choice(["flat", "flat", "automatic", "secure"]))
                if mode == "secure" and (x.dtype != np.float64 or name not in ("near", "permuted", "ordinary")):
                    mode = "flat"  # claimed of float64 results, and of bounds that a grid can round to
                made += x.shape[0] * BATCH
                yield (
                    name,
                    norm,
                    x.reshape(-1, n),
                    as_blocks(x, bounds, norm, mode).reshape(-1, n),
                    bounds.repeat(BATCH),
                )
                # Bounds of their own: rows of the first batch and of others, each against its norm or next to it.
                single = x.reshape(-1, n)[:: x.shape[0] * BATCH // 160]
                own = np.minimum(lengths(single.astype(np.float64), norm), 1e308)
                own = np.maximum(own + g.integers(-2, 3, own.shape) * np.spacing(own), 5e-324)
                made += len(single)
                yield name, norm, single, as_layers(single, own, norm), own


def count(rows: int, seed: int, families: Sequence[str] = ()) -> dict[str, Counter[str]]:
    """By family: rows, of which clipped, within 2^-40 of the bound afterwards, decided in integers, above the bound."""
    result: dict[str, Counter[str]] = {}
    for name, norm, given, clipped, bounds in trials(rows, seed, families):
        good, exact = within(clipped, bounds, norm)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            close = lengths(clipped.astype(np.float64) / bounds[:, None], norm) > 1 - 2.0**-40
        counter = result.setdefault(name, Counter())
        counter["rows"] += len(good)
        counter["changed"] += int((clipped != given.astype(clipped.dtype)).any(axis=1).sum())
        counter["close"] += int(close.sum())
        counter["integers"] += int(exact.sum())
        counter["above"] += int((~good).sum())
    return result


def report(length: int) -> str:
    """The counts of so many rows."""
    lines = [
        "Rows whose clipped norm was compared with the bound in exact arithmetic, by family (`clip.py`): how many, how",
        "many clipping changed, how many ended within 2^-40 of the bound, took integers to decide, were above it.",
        "",
        "| family | rows | changed | close | integers | above the bound |",
        "|---|---|---|---|---|---|",
    ]
    total: Counter[str] = Counter()
    for name, counter in count(length, 2).items():
        total += counter
        lines.append(f"| {name}: {FAMILIES[name].__doc__} | " + " | ".join(f"{counter[k]:,}" for k in KEYS) + " |")
    lines.append("| all | " + " | ".join(f"{total[k]:,}" for k in KEYS) + " |")
    return "\n".join(lines)


KEYS = ("rows", "changed", "close", "integers", "above")
