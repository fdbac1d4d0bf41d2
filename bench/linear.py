"""Fits linear models with fastloss and with scikit-learn, side by side: ``python -m bench.linear``, some two minutes.

The same data, penalty and tolerance; where scikit-learn has several solvers, the L-BFGS of SciPy that both call. Who is
quicker because it stops earlier is found out by the last two columns: how far the objective, evaluated in float64, ends
above the lower one of the row. On one thread CPU seconds are measured, which other processes hardly change; on more
threads, the clock's. Writes LINEAR.md.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import datasets, linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import fastloss as fl
from bench.tables import shown, table, times
from fastloss.linear import LinearClassifier, LinearObjective, LinearRegressor, objective

TOLERANCE, ROUNDS, ITERATIONS = 1e-4, 7, 5000
Array = np.ndarray[Any, Any]


@dataclass
class Problem:
    """A row: data, both estimators, and the objective that both minimise, in float64."""

    name: str
    X: Any
    y: Array
    ours: Any
    theirs: Any
    exact: LinearObjective


def scores(rng: np.random.Generator, n: int, d: int, outputs: int = 1) -> tuple[Array, Array]:
    """Data and what a true model gives for them."""
    X = rng.normal(size=(n, d))
    return X, X @ rng.normal(size=(d, outputs)) / d**0.5


def words(rng: np.random.Generator, n: int, d: int, each: int) -> Any:
    """A sparse matrix as counts of words give it: ``each`` features a sample, the first ones most often."""
    columns = (d * rng.random((n, each)) ** 3).astype(np.int32).ravel()
    values = rng.exponential(size=n * each)
    X = sparse.csr_matrix((values, columns, np.arange(0, n * each + 1, each)), shape=(n, d))
    X.sum_duplicates()
    return X


def classification(name: str, X: Any, y: Array, C: float = 1.0) -> Problem:
    """LogisticRegression, whose penalty against the sum of the losses is 1 / C."""
    l2 = 1 / (C * X.shape[0])
    loss = "binary_cross_entropy_with_logits" if len(np.unique(y)) == 2 else "cross_entropy"
    ours = LinearClassifier(l2=l2, tol=TOLERANCE, max_iter=ITERATIONS)
    theirs = linear_model.LogisticRegression(C=C, tol=TOLERANCE, max_iter=ITERATIONS)
    return Problem(name, X, y, ours, theirs, objective(X.astype(np.float64), y, loss, l2=l2))


def problems() -> Iterator[Problem]:
    rng = np.random.default_rng(0)
    scale = StandardScaler().fit_transform
    X, y = datasets.load_breast_cancer(return_X_y=True)
    yield classification("logistic, breast cancer 569×30", scale(X), y)
    X, y = datasets.load_digits(return_X_y=True)
    yield classification("softmax, digits 1797×64, 10 classes", X / 16, y)

    X, truth = scores(rng, 200_000, 20)
    labels = (truth[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    yield classification("logistic 200000×20", X, labels)
    yield classification("logistic 200000×20, float32", X.astype(np.float32), labels)
    X, truth = scores(rng, 50_000, 200)
    labels = (truth[:, 0] + rng.logistic(size=len(X)) > 0).astype(int)
    yield classification("logistic 50000×200", X, labels)
    X = words(rng, 50_000, 10_000, 30)
    labels = (X @ rng.normal(size=X.shape[1]) + 3 * rng.logistic(size=X.shape[0]) > 0).astype(int)
    yield classification("logistic 50000×10000, CSR", X, labels)
    X, truth = scores(rng, 50_000, 50, 10)
    labels = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    yield classification("softmax 50000×50, 10 classes", X, labels)
    yield classification("softmax 50000×50, 10 classes, float32", X.astype(np.float32), labels)
    X, truth = scores(rng, 20_000, 50, 100)
    labels = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    yield classification("softmax 20000×50, 100 classes", X, labels)
    X = words(rng, 5_000, 2_000, 30)
    labels = (X @ rng.normal(size=(X.shape[1], 20)) + rng.gumbel(size=(X.shape[0], 20))).argmax(axis=1)
    yield classification("softmax 5000×2000, CSR, 20 classes", X, labels)

    X, truth = scores(rng, 200_000, 20)
    y = truth[:, 0] + rng.standard_t(2, size=len(X))
    huber = linear_model.HuberRegressor(alpha=1.0, max_iter=ITERATIONS, tol=TOLERANCE).fit(X, y)
    delta, l2 = huber.epsilon * huber.scale_, huber.scale_ / len(y)
    ours = LinearRegressor("huber_loss", loss_parameters={"delta": delta}, l2=l2, tol=TOLERANCE, max_iter=ITERATIONS)
    yield Problem(
        "Huber 200000×20 (scikit-learn fits the scale, too)", X, y, ours, clone(huber),
        objective(X, y, "huber_loss", delta=delta, l2=l2),
    )  # fmt: skip
    counts = rng.poisson(np.exp(truth[:, 0])).astype(float)
    ours = LinearRegressor("poisson_nll_loss", l2=0.01, tol=TOLERANCE, max_iter=ITERATIONS)
    theirs = linear_model.PoissonRegressor(alpha=0.01, tol=TOLERANCE, max_iter=ITERATIONS)
    yield Problem(
        "Poisson 200000×20", X, counts, ours, theirs, objective(X, counts, "poisson_nll_loss", l2=0.01)
    )  # fmt: skip
    X, y = X[:5000], y[:5000]
    ours = LinearRegressor("quantile_loss", loss_parameters={"quantile": 0.8}, l2=0.0, max_iter=ITERATIONS)
    theirs = linear_model.QuantileRegressor(quantile=0.8, alpha=0.0)
    yield Problem(
        "quantile 0.8, 5000×20 (scikit-learn solves a linear program)", X, y, ours, theirs,
        objective(X, y, "quantile_loss", quantile=0.8),
    )  # fmt: skip


def value(model: Any, p: Problem) -> float:
    coef = np.reshape(model.coef_, p.exact.coef_shape)
    return p.exact.fun(p.exact.pack(coef, np.reshape(model.intercept_, p.exact.coef_shape[:-1])))


def row(p: Problem, rounds: int, threads: int) -> list[str]:
    """Both fitted once before the first round, then in turns."""
    clock = time.process_time if threads == 1 else time.perf_counter
    models = (p.ours, p.theirs)
    found: tuple[list[float], list[float]] = ([], [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for k in range(rounds + 1):
            for which in (0, 1) if k % 2 else (1, 0):
                start = clock()
                models[which].fit(p.X, p.y)
                found[which].append(clock() - start)
    seconds = [statistics.median(each[1:]) for each in found]
    values = [value(model, p) for model in models]
    return [
        p.name,
        *map(shown, seconds),
        times(seconds[1] / seconds[0]),
        *(str(np.max(model.n_iter_)) for model in models),
        *(f"{max(v / min(values) - 1, 0):.0e}" if v > min(values) else "0" for v in values),
    ]


HEAD = ["fit", "fastloss", "scikit-learn", "ratio", "iterations", "theirs", "above", "theirs"]
TEXT = """# Linear models: fastloss and scikit-learn

Measured by `python -m bench.linear` on {machine}: {versions}; {clock}.

`LinearClassifier` and `LinearRegressor` against LogisticRegression, HuberRegressor, PoissonRegressor and
QuantileRegressor: the whole `fit`, checks included, of the same data (float64 unless named) with the same penalty and
tolerance ({tolerance:g}), by SciPy's L-BFGS (QuantileRegressor: by a linear program). Both take turns; medians of
{rounds} rounds. *above* says by how much of it the objective ends above the lower one of the two.

{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.linear", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=1, help="of fastloss and of the BLAS (default: 1)")
    parser.add_argument("--only", metavar="TEXT", default="", help="rows whose name contains this")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, default=Path(__file__).parent / "LINEAR.md")
    options = parser.parse_args()
    rows = []
    with fl.num_threads(options.threads), threadpool_limits(options.threads):
        for p in (p for p in problems() if options.only in p.name):
            rows.append(row(p, options.rounds, options.threads))
            print(" | ".join(rows[-1]), flush=True)
    versions = [f"fastloss {fl.__version__}", *(f"{n} {version(n)}" for n in ("numpy", "scipy", "scikit-learn"))]
    text = TEXT.format(
        machine=f"{platform.machine()} {platform.system()}, Python {platform.python_version()}",
        versions=", ".join(versions),
        clock="one thread, CPU time" if options.threads == 1 else f"{options.threads} threads, wall time",
        tolerance=TOLERANCE,
        rounds=options.rounds,
        table=table(HEAD, rows),
    )
    options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
