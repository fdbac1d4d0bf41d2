"""Noise as samples: 1e7 values of everything, quickly; the long run of tests/proofs has 1e9 of each.

What comes from a seed is the same every time, so its figures may be as unlikely as 1e-4; what the operating system
keyed is new in every run, and fails once in a million runs.
"""

import math
import os
import threading

import numpy as np
import pytest
from proofs import noise as proof

from fastloss.privacy import NoiseGenerator

LENGTH, SEED = 10_000_000, 20250101
SEEDED, NEW = 1e-4, 1e-9


def judge(figures, limit):
    """Neither too far off nor too good: a sample that fits better than chance allows is none."""
    for figure in figures:
        assert figure.p > limit, figure
        if figure.name in ("Kolmogorov-Smirnov", "Anderson-Darling", "chi-square"):
            assert figure.p < 1 - limit, figure


@pytest.mark.parametrize("seed", [SEED, None])
@pytest.mark.parametrize(("distribution", "real"), proof.TYPES)
def test_continuous(distribution, real, seed):
    judge(proof.continuous(distribution, real, seed, LENGTH).figures(), NEW if seed is None else SEEDED)


@pytest.mark.parametrize("distribution", ["gaussian", "laplace"])
def test_integers(distribution):
    judge(proof.wide_integers(distribution, 2.0**30, SEED, LENGTH // 10).figures(), SEEDED)
    for scale in (0.7, 12.3, 300.0):
        judge(proof.narrow_integers(distribution, scale, SEED, LENGTH // 10), SEEDED)


def test_streams():
    judge(proof.correlations(proof.streams_of(SEED), LENGTH // 20), NEW)


@pytest.mark.slow
@pytest.mark.parametrize("run", proof.RUNS, ids=lambda run: run.name)
def test_at_length(run):
    judge(run.figures(round(run.share * 1_000_000_000)), NEW)


# ---- Threads and processes ----


def stored(arrays):
    """Arrays as streams, by their names."""
    iterators = {name: iter(np.split(x, range(proof.CHUNK, x.size, proof.CHUNK))) for name, x in arrays.items()}
    return {name: lambda n, parts=parts: next(parts) for name, parts in iterators.items()}


def check_independent(arrays, limit=NEW):
    sizes = {x.size for x in arrays.values()}
    assert len(sizes) == 1
    judge(proof.correlations(stored(arrays), sizes.pop()), limit)
    values = np.concatenate(list(arrays.values()))
    # A repeated stream has all its values twice. Integers of scale 2^39 meet by chance, 0.04 times in 400,000.
    assert values.size - np.unique(values).size <= 4


def test_threads():
    """Each with a generator of its own, and all with the same one."""
    shared, drawn = NoiseGenerator(), {}
    together = threading.Barrier(4)

    def work(k):
        own = NoiseGenerator()
        together.wait()
        for name, generator in ((f"own {k}", own), (f"shared {k}", shared)):
            drawn[name] = np.concatenate([generator.gaussian(1000) for _ in range(200)])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_independent(drawn)


def child_of(fork, generator, n):
    """What a forked child draws: normals, then integers."""
    read, write = os.pipe()
    if fork() == 0:
        try:
            with os.fdopen(write, "wb") as pipe:
                pipe.write(generator.gaussian(n).tobytes())
                pipe.write(generator.discrete_gaussian(n, 2.0**39).astype(float).tobytes())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = np.frombuffer(pipe.read())
    os.wait()
    assert data.size == 2 * n
    return data[:n], data[n:] / 2.0**39


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("hooks", [True, False])
def test_forks(hooks):
    """Parent, children and a grandchild; also where the fork ran none of Python's hooks, as one made by a library."""
    if hooks:
        fork = os.fork
    else:
        ctypes = pytest.importorskip("ctypes")
        fork = ctypes.PyDLL(None).fork
    generator, n, drawn = NoiseGenerator(), 100_000, {}
    generator.gaussian(1), generator.discrete_gaussian(1, 3.0)
    for k in range(3):
        drawn[f"child {k}"], drawn[f"integers of child {k}"] = child_of(fork, generator, n)
    drawn["parent"], drawn["integers of parent"] = (
        generator.gaussian(n),
        generator.discrete_gaussian(n, 2.0**39) / 2.0**39,
    )
    check_independent(drawn)


# ---- The statistics themselves ----


def figures_of(values, law=proof.GAUSSIAN):
    sample = proof.Sample(law)
    for start in range(0, values.size, proof.CHUNK):
        sample.add(values[start : start + proof.CHUNK])
    return {figure.name: figure.p for figure in sample.figures()}


def uniforms_of(bits, n):
    g = np.random.default_rng(5)
    return (g.integers(0, 2**bits, n) + 0.5) / 2**bits


def with_copies(x, distance, share):
    """Some values are what came before."""
    y, places = x.copy(), np.random.default_rng(6).random(x.size) < share
    places[:distance] = False
    y[places] = x[np.flatnonzero(places) - distance]
    return y


def with_one_radius(x, distance):
    """Pairs of equal size and unrelated signs."""
    y = x.reshape(-1, 2, distance).copy()
    y[:, 1] = np.copysign(y[:, 0], y[:, 1])
    return y.reshape(-1)


def test_good_values_pass():
    x = np.random.default_rng(1).standard_normal(2**20)
    assert min(figures_of(x).values()) > SEEDED
    e = np.random.default_rng(2).laplace(size=2**20)
    assert min(figures_of(e, proof.LAPLACE).values()) > SEEDED


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        (["moment 2"], lambda x: 1.01 * x),
        (["Kolmogorov-Smirnov", "Anderson-Darling", "moment 1"], lambda x: x + 0.01),
        (["beyond 4.0"], lambda x: np.where(np.abs(x) > 3.9, x / 2, x)),
        (["beyond 4.0", "moment 4"], lambda x: np.where(np.abs(x) > 3, 1.2 * x, x)),
        (["chi-square"], lambda x: np.round(x * 1000) / 1000),
        (["moment 3"], lambda x: (x + 0.01 * (x**2 - 1)) / math.sqrt(1.0002)),
        (["lag 64"], lambda x: with_copies(x, 64, 0.01)),
        (["lag 1000", "lag of squares 1000"], lambda x: with_copies(x, 1000, 0.01)),
        (["lag of squares 128", "pairs 128 apart"], lambda x: with_one_radius(x, 128)),
        (["pairs 1 apart", "lag of squares 1"], lambda x: with_one_radius(x, 1)),
    ],
)
def test_spoilt_values_fail(what, spoil):
    figures = figures_of(spoil(np.random.default_rng(3).standard_normal(2**20)))
    for name in what:
        assert figures[name] < NEW, name


def test_equal_streams_fail():
    a, b = NoiseGenerator(1), NoiseGenerator(1)
    figures = proof.correlations(
        {"a": a.gaussian, "b": lambda n: b.gaussian(n) + NoiseGenerator(2).gaussian(n)}, 10_000
    )
    assert min(figure.p for figure in figures) < NEW


def test_limits_of_statistics():
    """Published critical values of A^2 (Stephens 1974), and the chances of the tails."""
    for a, p in ((1.933, 0.1), (2.492, 0.05), (3.070, 0.025), (3.857, 0.01)):
        assert proof.anderson_darling_sf(a) == pytest.approx(p, rel=0.03)
    for law in (proof.GAUSSIAN, proof.LAPLACE):
        for limit, chance in zip(law.limits, proof.CHANCES, strict=True):
            assert 2 * float(law.cdf(np.array([-limit]))[0]) == pytest.approx(chance, rel=1e-12)
    assert proof.CHANCES[5] == pytest.approx(3.798e-8, rel=1e-3)
