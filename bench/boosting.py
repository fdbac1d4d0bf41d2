"""Compares the objectives of fastloss.boosting with those that people write in NumPy: ``python -m bench.boosting``.

A minute. Every objective is called as its library calls it, on the library's own data set, the two in turn; then whole
trainings with the built-in objective, with fastloss's and with NumPy's. Prints the report, and writes BOOSTING.md.
Needs xgboost (or xgboost-cpu), lightgbm and catboost; scores are raw, float32 from XGBoost, float64 from the others.

NumPy has one thread, so fastloss and the libraries get one too, and what counts is that thread's processor time: other
processes are left out. With --threads, elapsed time on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import xgboost
from sklearn.datasets import load_breast_cancer, load_digits

import fastloss as fl
from bench.problems import Call, label
from bench.tables import shown, times
from fastloss import boosting

Array = np.ndarray[Any, Any]
Derivatives = tuple[Array, Array]
CATBOOST_RANGE = 1000  # rows that CatBoost passes at a time
TURN = 5e-3  # seconds of the calls of a turn, where one is shorter


def medians(calls: list[Call], rounds: int, threads: int) -> dict[str, float]:
    """Seconds of every contender's call: the median over the turns that they take."""
    fl.set_num_threads(threads)
    clock = time.thread_time if threads == 1 else time.perf_counter

    def seconds(call: Call, repeat: int) -> float:
        start = clock()
        for _ in range(repeat):
            call.run()
        return (clock() - start) / repeat

    repeat = {}
    for call in calls:
        seconds(call, 1)
        repeat[call.library] = max(1, min(1000, int(TURN / max(seconds(call, 1), 1e-7))))
    found: dict[str, list[float]] = {call.library: [] for call in calls}
    for k in range(rounds):
        for call in calls[k % len(calls) :] + calls[: k % len(calls)]:
            found[call.library].append(seconds(call, repeat[call.library]) / call.times)
    return {library: statistics.median(turns) for library, turns in found.items()}


def logistic(x: Array, y: Array) -> Derivatives:
    p = 1 / (1 + np.exp(-x))
    return p - y, p * (1 - p)


def focal(x: Array, y: Array) -> Derivatives:
    """Gamma = 2, hard labels."""
    s = 2 * y - 1
    p = 1 / (1 + np.exp(-s * x))
    q = 1 - p
    log_p = np.log(p)
    grad = -s * q * q * (q - 2 * p * log_p)
    return grad, np.maximum(p * q * q * (5 * q - 2 * (2 * p - q) * log_p), 0)


def huber(x: Array, y: Array) -> Derivatives:
    r = x - y
    return np.clip(r, -1, 1), (np.abs(r) <= 1).astype(x.dtype)


def pseudo_huber(x: Array, y: Array) -> Derivatives:
    r = x - y
    scale = 1 + r * r
    root = np.sqrt(scale)
    return r / root, 1 / (scale * root)


def quantile(x: Array, y: Array) -> Derivatives:
    return np.where(x > y, 0.1, -0.9).astype(x.dtype), np.ones_like(x)


def poisson(x: Array, y: Array) -> Derivatives:
    mean = np.exp(x)
    return mean - y, mean


def softmax(x: Array, y: Array) -> Derivatives:
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    hess = np.maximum(2 * p * (1 - p), 1e-16)
    p[np.arange(len(p)), y.astype(int)] -= 1
    return p, hess


# The loss, its parameters, the same in NumPy, the numbers of rows and classes.
BINARY = ((569, 1), (100_000, 1), (1_000_000, 1))
CASES: tuple[tuple[str, dict[str, Any], Callable[[Array, Array], Derivatives], tuple[tuple[int, int], ...]], ...] = (
    ("binary_cross_entropy_with_logits", {}, logistic, BINARY),
    ("focal_loss", {"gamma": 2.0}, focal, BINARY[1:]),
    ("huber_loss", {}, huber, BINARY[1:]),
    ("pseudo_huber_loss", {}, pseudo_huber, BINARY[1:2]),
    ("quantile_loss", {"quantile": 0.9}, quantile, BINARY[1:2]),
    ("poisson_nll_loss", {}, poisson, BINARY[1:2]),
    ("cross_entropy", {"hessian": "xgboost"}, softmax, ((1797, 10), (100_000, 10))),
)


def targets(name: str, rows: int, classes: int) -> Array:
    rng = np.random.default_rng(0)
    if classes > 1 or name in ("binary_cross_entropy_with_logits", "focal_loss"):
        return rng.integers(0, max(classes, 2), rows).astype(np.float32)
    return rng.gamma(2, 1, rows).astype(np.float32)


def on_data(numpy: Callable[[Array, Array], Derivatives]) -> Callable[[Array, Any], Derivatives]:
    """The NumPy objective as the native interfaces call it; like fastloss's, it takes weights where there are any."""

    def objective(x: Array, data: Any) -> Derivatives:
        grad, hess = numpy(x, data.get_label())
        w = data.get_weight()
        if w is not None and w.size:
            w = w.reshape(-1, *[1] * (x.ndim - 1))
            return w * grad, w * hess
        return grad, hess

    return objective


def call_xgboost(objective: Any, numpy: Any, y: Array, x: Array) -> tuple[Any, Any]:
    data = xgboost.DMatrix(np.zeros((len(y), 1)), y)
    return lambda: objective(x, data), lambda: on_data(numpy)(x, data)


def call_lightgbm(objective: Any, numpy: Any, y: Array, x: Array) -> tuple[Any, Any]:
    data = lightgbm.Dataset(np.zeros((len(y), 1)), y, params={"verbose": -1}).construct()
    x = np.asfortranarray(x, np.float64)
    return lambda: objective(x, data), lambda: on_data(numpy)(x, data)


def call_catboost(objective: Any, numpy: Any, y: Array, x: Array) -> tuple[Any, Any]:
    """Ranges of rows; with several classes a row at a time, and twice: the second time the Hessian is looked at."""
    x = x.astype(np.float64)
    if x.ndim == 2:
        rows = [(x[k], float(y[k]), 1.0) for k in range(CATBOOST_RANGE)]

        def row(scores: Array, target: float, weight: float) -> tuple[Array, Array]:
            p = np.exp(scores - scores.max())
            p /= p.sum()
            grad = -p
            grad[int(target)] += 1
            return weight * grad, weight * (np.outer(p, p) - np.diag(p))

        def matrix(pair: tuple[Array, Any]) -> tuple[Array, Array]:
            return pair[0], np.asarray(pair[1])

        return (
            lambda: [[objective.calc_ders_multi(*given), matrix(objective.calc_ders_multi(*given))] for given in rows][
                -1
            ][1],
            lambda: [[row(*given), row(*given)] for given in rows][-1][1],
        )
    ranges = [slice(k, k + CATBOOST_RANGE) for k in range(0, len(y), CATBOOST_RANGE)]

    def vectorised(scores: Array, target: Array) -> Array:
        grad, hess = numpy(scores, target)
        return np.stack([-grad, -hess], axis=1)

    return (
        lambda: [objective.calc_ders_range(x[k], y[k], None) for k in ranges][-1].T,
        lambda: [vectorised(x[k], y[k]) for k in ranges][-1].T,
    )


LIBRARIES = {
    "XGBoost": (boosting.xgboost_objective, call_xgboost),
    "LightGBM": (boosting.lightgbm_objective, call_lightgbm),
    "CatBoost": (boosting.catboost_objective, call_catboost),
}


def objectives(rounds: int, threads: int) -> Iterator[tuple[str, str, str, float, float]]:
    """(library, loss, size, seconds of fastloss, of NumPy) of every call."""
    for library, (make, calls) in LIBRARIES.items():
        for name, parameters, numpy, sizes in CASES:
            for rows, classes in sizes:
                multi = library == "CatBoost" and classes > 1
                if multi and rows > 1797:
                    continue
                x = np.random.default_rng(1).standard_normal((rows, classes) if classes > 1 else rows, np.float32) * 2
                objective = make(name, **({} if multi else parameters))
                ours, theirs = calls(objective, numpy, targets(name, rows, classes), x)
                for found, expected in zip(ours(), theirs(), strict=True):
                    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)
                found = medians([Call("fastloss", ours), Call("NumPy", theirs)], rounds, threads)
                size = "1000 rows of 10" if multi else label((rows, classes) if classes > 1 else (rows,))
                yield library, name, size, found["fastloss"], found["NumPy"]


def trainings(rounds: int, threads: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """(library, what, seconds a tree round with each objective)."""
    features, labels = load_breast_cancer(return_X_y=True)
    features, labels = np.tile(features, (100, 1)), np.tile(labels, 100)
    digits, digit = load_digits(return_X_y=True)
    digits, digit = np.tile(digits, (10, 1)), np.tile(digit, 10)
    xgb = {"nthread": threads, "max_depth": 6, "base_score": 0.5}
    lgb = {"num_threads": threads, "verbose": -1, "boost_from_average": False}
    logit, multi, k = "binary_cross_entropy_with_logits", {"num_class": 10}, 5

    def train_xgboost(data: Any, parameters: dict[str, Any], own: str | None, obj: Any) -> Callable[[], Any]:
        given = {**xgb, **parameters, **({"objective": own} if own else {})}
        return lambda: xgboost.train(given, data, k, obj=obj)

    def train_lightgbm(data: Any, parameters: dict[str, Any], objective: Any) -> Callable[[], Any]:
        return lambda: lightgbm.train({**lgb, **parameters, "objective": objective}, data, k)

    for what, x, y, loss, numpy, parameters, builtin in (
        ("breast_cancer × 100, logistic", features, labels, logit, logistic, {}, ("binary:logistic", "binary")),
        ("digits × 10, softmax", digits, digit, "cross_entropy", softmax, multi, ("multi:softprob", "multiclass")),
    ):
        data: Any = xgboost.DMatrix(x, y)
        yield "XGBoost", what, medians([
            Call("built-in", train_xgboost(data, parameters, builtin[0], None), times=k),
            Call("fastloss", train_xgboost(data, parameters, None, boosting.xgboost_objective(loss)), times=k),
            Call("NumPy", train_xgboost(data, parameters, None, on_data(numpy)), times=k),
        ], rounds, threads)  # fmt: skip
        data = lightgbm.Dataset(x, y, free_raw_data=False, params={"verbose": -1}).construct()
        yield "LightGBM", what, medians([
            Call("built-in", train_lightgbm(data, parameters, builtin[1]), times=k),
            Call("fastloss", train_lightgbm(data, parameters, boosting.lightgbm_objective(loss)), times=k),
            Call("NumPy", train_lightgbm(data, parameters, on_data(numpy)), times=k),
        ], rounds, threads)  # fmt: skip


def report(rounds: int, threads: int) -> Iterator[str]:
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (xgboost, lightgbm, catboost, np))
    yield "# Objectives of fastloss.boosting beside NumPy's\n"
    yield "Generated by `python -m bench.boosting`; do not edit.\n"
    measured = "processor time of one thread" if threads == 1 else f"elapsed time, {threads} threads"
    yield "Gradient and Hessian as the library asks for them, labels and weights (none) fetched from its own data set;"
    yield f"{measured}, medians of {rounds} interleaved rounds. CatBoost asks for {CATBOOST_RANGE} rows at a time; of"
    yield f"several classes for one row, and twice, the second time with the Hessian. {versions}.\n"
    yield "| library | loss | rows (× classes) | fastloss | NumPy | ratio |"
    yield "|---|---|---|---|---|---|"
    ratios = []
    for library, name, size, ours, theirs in objectives(rounds, threads):
        ratios.append(theirs / ours)
        yield f"| {library} | `{name}` | {size} | {shown(ours)} | {shown(theirs)} | {times(theirs / ours)} |"
    mean = float(np.exp(np.mean(np.log(ratios))))
    yield f"\nGeometric mean {times(mean)}, least {times(min(ratios))}, largest {times(max(ratios))}.\n"
    yield "A round of training (one tree, or one a class) with each objective:\n"
    yield "| library | data | built-in | fastloss | NumPy | NumPy / fastloss |"
    yield "|---|---|---|---|---|---|"
    for library, what, found in trainings(min(rounds, 5), threads):
        figures = " | ".join(shown(found[name]) for name in ("built-in", "fastloss", "NumPy"))
        yield f"| {library} | {what} | {figures} | {times(found['NumPy'] / found['fastloss'])} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.boosting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="turns of every contender (default: 9)")
    parser.add_argument("--threads", type=int, default=1, help="of fastloss and the libraries (default: 1)")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, default=Path(__file__).with_name("BOOSTING.md"))
    options = parser.parse_args()
    lines = []
    for line in report(options.rounds, options.threads):
        print(line, flush=True)
        lines.append(line)
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
