"""Statistics of noise of any length in bounded memory: distribution, tails, moments, dependence. No verdicts.

A value x of a law with distribution function F is uniform as u = F(x). Values are counted in 65,536 bins of u, from
which come, for n values and F_n their empirical distribution function at the edges of the bins:

- Kolmogorov-Smirnov: sqrt(n) max |F_n(u) - u|. Of the edges alone it is never larger than of all u, so its p-values
  are too large, by next to nothing: between edges the difference moves by about sqrt(1/65536) = 0.004.
- Anderson-Darling: n times the integral of (F_n(u) - u)^2 / (u (1 - u)). The mean of the integrand is 1 everywhere, so
  that of what lies beyond the outermost edges is 3e-5 of the whole.
- chi-square of 4,096 equiprobable bins, and of pairs of values in 64 x 64: neighbours, and the two values of a
  Box-Muller pair.

The tails, which weigh little in these, are counted themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
from scipy import special, stats

import fastloss as fl
from fastloss.privacy import NoiseGenerator

BINS, COARSE, LEVELS = 65_536, 4096, 64

# Values that are held at once. A multiple of every group of the streams.
CHUNK = 2**18

# Neighbours, the two of a Box-Muller pair (128 or 64 apart), groups (256 or 128) and tasks (4096) of the stream, and
# rows of 10, 100, 1000 and 10,000 columns.
LAGS = (1, 2, 3, 8, 10, 16, 32, 64, 100, 128, 256, 512, 1000, 1024, 4096, 10_000)


@dataclass(frozen=True)
class Figure:
    """One statistic of a sample: its name, its value, and the probability of a larger one."""

    name: str
    value: float
    p: float


@dataclass(frozen=True)
class Law:
    """A standard law: F, and the moments of orders 2, 4 and 8; limits have the chances of a normal's 2, 3, ... 6."""

    name: str
    cdf: Callable[[np.ndarray], np.ndarray]
    second: float
    fourth: float
    eighth: float
    limits: tuple[float, ...]


def laplace_cdf(x: np.ndarray) -> np.ndarray:
    """Of density exp(-|x|) / 2."""
    half = 0.5 * np.exp(-np.abs(x))
    return np.where(x < 0, half, 1 - half)


SIGMAS = (2.0, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0)
CHANCES = tuple(2 * float(special.ndtr(-k)) for k in SIGMAS)
GAUSSIAN = Law("gaussian", special.ndtr, 1, 3, 105, SIGMAS)
LAPLACE = Law("laplace", laplace_cdf, 2, 24, 40320, tuple(-math.log(chance) for chance in CHANCES))
LAWS = {law.name: law for law in (GAUSSIAN, LAPLACE)}


class Sample:
    """What is kept of the values of a law."""

    def __init__(self, law: Law) -> None:
        self.law = law
        self.size = 0
        self.counts = np.zeros(BINS, np.int64)
        self.pairs = {distance: np.zeros(LEVELS**2, np.int64) for distance in (1, 64, 128)}
        self.beyond = np.zeros(len(SIGMAS), np.int64)
        self.powers = np.zeros(4)
        self.products = np.zeros((2, len(LAGS)))
        self.terms = np.zeros(len(LAGS))
        self.largest = 0.0

    def add(self, values: np.ndarray) -> None:
        """Values that follow those before; pairs and lags are of one call."""
        x, law = np.asarray(values, np.float64), self.law
        self.size += x.size
        place = np.minimum((law.cdf(x) * BINS).astype(np.int32), BINS - 1)
        self.counts += np.bincount(place, minlength=BINS)
        level = place // (BINS // LEVELS)
        for distance, pairs in self.pairs.items():
            blocks = level[: x.size // (2 * distance) * 2 * distance].reshape(-1, 2, distance)
            pairs += np.bincount((blocks[:, 0] * LEVELS + blocks[:, 1]).reshape(-1), minlength=LEVELS**2)
        size = np.abs(x)
        far = size[size > law.limits[0]]
        self.beyond += [np.count_nonzero(far > limit) for limit in law.limits]
        self.largest = max(self.largest, float(size.max(initial=0)))
        square = x * x
        self.powers += x.sum(), square.sum(), square @ x, square @ square
        square -= law.second
        for k, lag in enumerate(LAGS):
            if lag < x.size:
                self.products[:, k] += x[:-lag] @ x[lag:], square[:-lag] @ square[lag:]
                self.terms[k] += x.size - lag

    def figures(self) -> list[Figure]:
        """Everything."""
        return [*self.distribution(), *self.tails(), *self.moments(), *self.dependence()]

    def distribution(self) -> list[Figure]:
        """Kolmogorov-Smirnov, Anderson-Darling, chi-square."""
        edges = np.arange(1, BINS) / BINS
        gap = np.cumsum(self.counts)[:-1] / self.size - edges
        ks = math.sqrt(self.size) * float(np.abs(gap).max())
        ad = self.size * float((gap**2 / (edges * (1 - edges))).sum()) / BINS
        chi = stats.chisquare(self.counts.reshape(COARSE, -1).sum(axis=1))
        return [
            Figure("Kolmogorov-Smirnov", ks, float(stats.kstwobign.sf(ks))),
            Figure("Anderson-Darling", ad, anderson_darling_sf(ad)),
            Figure("chi-square", float(chi.statistic), float(chi.pvalue)),
        ]

    def tails(self) -> list[Figure]:
        """How many values lie beyond the limits."""
        return [
            binomial(f"beyond {sigma}", int(count), self.size, chance)
            for sigma, count, chance in zip(SIGMAS, self.beyond, CHANCES, strict=True)
        ]

    def moments(self) -> list[Figure]:
        """Mean, variance, third and fourth moment, in standard deviations of each."""
        law, mean = self.law, self.powers / self.size
        sixth = 15 if law is GAUSSIAN else 720
        scores = (
            mean[0] / math.sqrt(law.second),
            (mean[1] - law.second) / math.sqrt(law.fourth - law.second**2),
            mean[2] / math.sqrt(sixth),
            (mean[3] - law.fourth) / math.sqrt(law.eighth - law.fourth**2),
        )
        return [normal(f"moment {k}", math.sqrt(self.size) * score) for k, score in enumerate(scores, 1)]

    def dependence(self) -> list[Figure]:
        """Pairs in a square, and correlations of values and of squares at all lags."""
        result = []
        for distance, pairs in self.pairs.items():
            if pairs.any():
                chi = stats.chisquare(pairs)
                result.append(Figure(f"pairs {distance} apart", float(chi.statistic), float(chi.pvalue)))
        variances = (self.law.second, self.law.fourth - self.law.second**2)
        for name, sums, variance in zip(("lag", "lag of squares"), self.products, variances, strict=True):
            for lag, total, terms in zip(LAGS, sums, self.terms, strict=True):
                if terms:
                    result.append(normal(f"{name} {lag}", total / variance / math.sqrt(terms)))
        return result


def normal(name: str, score: float) -> Figure:
    """A figure that is standard normal; larger means further from 0."""
    return Figure(name, score, 2 * float(special.ndtr(-abs(score))))


def anderson_darling_sf(a: float) -> float:
    """P(A^2 > a) of a known law in the limit: A^2 is the sum of squared normals over j (j + 1).

    Its characteristic function is sqrt(-2 pi i t / cos(pi/2 sqrt(1 + 8 i t))), inverted as Gil-Pelaez do; the absolute
    error is below 1e-9.
    """
    step = 0.01
    t = (np.arange(60_000) + 0.5) * step
    square = -2j * math.pi * t / np.cos(math.pi / 2 * np.sqrt(1 + 8j * t))
    size, angle = np.sqrt(np.abs(square)), np.unwrap(np.angle(square)) / 2
    tail = 0.5 + step / math.pi * float((size * np.sin(angle - t * a) / t).sum())
    return min(max(tail, 0.0), 1.0)


def binomial(name: str, count: int, n: int, chance: float) -> Figure:
    """A count of n; both tails."""
    below, above = special.bdtr(count, n, chance), special.bdtrc(count - 1, n, chance) if count else 1.0
    return Figure(name, count, min(2 * float(min(below, above)), 1.0))


# ---- Where values come from ----


def chunks(draw: Callable[[int], np.ndarray], n: int) -> Iterator[np.ndarray]:
    """N values, some at a time."""
    for start in range(0, n, CHUNK):
        yield draw(min(CHUNK, n - start))


def continuous(distribution: str, real: str, seed: int | None, n: int) -> Sample:
    """N values of a generator of its own; None: keyed by the operating system."""
    generator, sample = NoiseGenerator(seed), Sample(LAWS[distribution])
    draw = getattr(generator, distribution)
    for values in chunks(lambda m: draw(m, dtype=real), n):
        sample.add(values)
    return sample


def wide_integers(distribution: str, scale: float, seed: int | None, n: int) -> Sample:
    """N integers of a scale so large (2^24 or more) that x + 1/2 over the scale has the law of reals."""
    generator, sample = NoiseGenerator(seed), Sample(LAWS[distribution])
    draw = getattr(generator, f"discrete_{distribution}")
    for values in chunks(lambda m: draw(m, scale), n):
        # P(X <= x) is F((x + 1/2) / scale) to within 1 / scale^2; half a step of it is less than n values can show.
        sample.add(values / scale)
    return sample


def narrow_integers(distribution: str, scale: float, seed: int | None, n: int) -> list[Figure]:
    """N integers of a small scale, counted one by one against their probabilities."""
    generator, reach = NoiseGenerator(seed), math.ceil(40 * scale)
    draw, counts = getattr(generator, f"discrete_{distribution}"), np.zeros(2 * reach + 1, np.int64)
    for values in chunks(lambda m: draw(m, scale), n):
        counts += np.bincount(np.clip(values, -reach, reach) + reach, minlength=counts.size)
    x = np.abs(np.arange(-reach, reach + 1)) / scale
    weights = np.exp(-(x**2) / 2 if distribution == "gaussian" else -x)
    expected = n * weights / weights.sum()
    seen = expected >= 10
    observed = [*counts[seen], counts[~seen].sum()]
    chi = stats.chisquare(observed, [*expected[seen], n - expected[seen].sum()]) if expected[~seen].sum() >= 1 else (
        stats.chisquare(counts[seen], expected[seen] * counts[seen].sum() / expected[seen].sum())
    )  # fmt: skip
    return [Figure("chi-square of integers", float(chi.statistic), float(chi.pvalue))]


def correlations(streams: dict[str, Callable[[int], np.ndarray]], n: int) -> list[Figure]:
    """Of every two streams, index by index, and of their squares."""
    names = [*streams, *(f"squares of {name}" for name in streams)]
    sums, products = np.zeros(len(names)), np.zeros((len(names), len(names)))
    for parts in zip(*(chunks(draw, n) for draw in streams.values()), strict=True):
        x = np.array([part / np.sqrt(np.mean(np.square(part, dtype=float))) for part in parts])
        x = np.concatenate([x, x**2 - 1])
        sums += x.sum(axis=1)
        products += x @ x.T
    covariance = products / n - np.outer(sums, sums) / n**2
    deviation = np.sqrt(np.diag(covariance))
    scores = covariance / np.outer(deviation, deviation) * math.sqrt(n)
    half = len(streams)
    return [
        normal(f"{names[i]} and {names[j]}", scores[i, j])
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if j != i + half
    ]


def streams_of(seed: int) -> dict[str, Callable[[int], np.ndarray]]:
    """Every stream of a key, and one of the next seed's."""
    first, second = NoiseGenerator(seed), NoiseGenerator(seed + 1)
    types = NoiseGenerator(seed)  # float32 and float64 share a count
    new, other = NoiseGenerator(), NoiseGenerator()
    return {
        "gaussian float32": lambda n: types.gaussian(n, dtype=np.float32),
        "gaussian float64": lambda n: first.gaussian(n),
        "laplace": lambda n: first.laplace(n),
        "discrete gaussian": lambda n: first.discrete_gaussian(n, 20.0),
        "discrete laplace": lambda n: first.discrete_laplace(n, 20.0),
        "gaussian of another seed": lambda n: second.gaussian(n),
        "gaussian of the system's key": lambda n: new.gaussian(n),
        "gaussian of another such key": lambda n: other.gaussian(n),
    }


def extremes(figures: Iterable[Figure]) -> tuple[Figure, float, int]:
    """The figure least likely by chance, the probability that the least of so many is so small, and their number."""
    listed = list(figures)
    worst = min(listed, key=lambda figure: figure.p)
    return worst, -math.expm1(len(listed) * math.log1p(-min(worst.p, 1 - 1e-16))), len(listed)


# ---- The long run ----


@dataclass(frozen=True)
class Run:
    """A line of the table: what is drawn, and its figures for a number of values."""

    name: str
    share: float
    figures: Callable[[int], list[Figure]]


def _sampled(draw: Callable[..., Sample], *arguments: object) -> Callable[[int], list[Figure]]:
    return lambda n: draw(*arguments, n).figures()


# Float32 Laplace values are the float64 ones, rounded.
TYPES = (("gaussian", "float32"), ("gaussian", "float64"), ("laplace", "float64"))
RUNS = [
    *(
        Run(f"{distribution} {real}, {key}", 1, _sampled(continuous, distribution, real, seed))
        for seed, key in ((None, "system key"), (1, "seed 1"))
        for distribution, real in TYPES
    ),
    *(
        Run(f"discrete {distribution} of 2^30, system key", 1, _sampled(wide_integers, distribution, 2.0**30, None))
        for distribution in LAWS
    ),
    *(
        Run(
            f"discrete {distribution} of {scale:g}, system key",
            1,
            lambda n, distribution=distribution, scale=scale: narrow_integers(distribution, scale, None, n),
        )
        for distribution in LAWS
        for scale in (0.7, 12.3, 300.0)
    ),
    Run("streams, seeds and keys, index by index", 0.1, lambda n: correlations(streams_of(1), n)),
]


def line(run: Run, length: int) -> tuple[str, float]:
    """A line of the table, and how likely its least likely figure is by chance."""
    n = round(run.share * length)
    figures = run.figures(n)
    by_name = {figure.name: figure for figure in figures}
    shown = [f"{by_name[k].p:.3g}" if k in by_name else "" for k in ("Kolmogorov-Smirnov", "Anderson-Darling")]
    chi = next((figure for name, figure in by_name.items() if name.startswith("chi-square")), None)
    shown.append(f"{chi.p:.3g}" if chi else "")
    for sigma, chance in ((5.0, CHANCES[4]), (5.5, CHANCES[5]), (6.0, CHANCES[6])):
        tail = by_name.get(f"beyond {sigma}")
        shown.append(f"{tail.value} of {n * chance:.3g}" if tail else "")
    worst, chance, count = extremes(figures)
    return (
        f"| {run.name} | {n:,} | {' | '.join(shown)} | {count} | {worst.name}: {worst.p:.2g} | {chance:.2g} |",
        chance,
    )


def _long_line(place: int, length: int) -> tuple[str, float]:
    fl.set_num_threads(1)
    return line(RUNS[place], length)


def report(length: int) -> str:
    """All runs, as many at a time as there are processors; each is printed as soon as those before it are."""
    lines, least = [], 1.0
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for text, chance in pool.map(partial(_long_line, length=length), range(len(RUNS))):
            print(text, flush=True)
            lines.append(text)
            least = min(least, chance)
    all_of_them = -math.expm1(len(lines) * math.log1p(-least))
    last = f"The least of the last column is so small by chance with probability {all_of_them:.2g}."
    return "\n".join([INTRODUCTION, *lines, "", last])


INTRODUCTION = """\
p-values of Kolmogorov-Smirnov, Anderson-Darling and chi-square (4,096 equiprobable bins; the integers of a small scale
one by one against their probabilities); how many values lie beyond 5, 5.5 and 6 standard deviations of a normal
(Laplace: beyond what has the same chance), of how many expected; then all figures of a line together, moments, pairs
and correlations at 16 lags among them: how many there are, the least likely, and how likely it is that the least of so
many is so small. What each is: `noise.py`.

| values | n | K-S | A-D | chi-square | beyond 5 | 5.5 | 6 | figures | least p | so small by chance |
|---|---|---|---|---|---|---|---|---|---|---|"""
