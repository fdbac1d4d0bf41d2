"""One call to check: how it is made, what is true, and how far the results are from it. Not here: inputs, kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastloss._arguments import Array
from fastloss._backend import REFERENCE_ERROR
from fastloss.check._bounds import HESSIAN_FACTOR, SUM_BOUNDS

COLUMNS = ("value", "gradient", "Hessian")

Real = np.dtype[Any]
Results = Sequence[Array]


class Truth:
    """What the reference says about one result.

    Parameters
    ----------
    column
        Where its error is shown.
    value
        The reference's result.
    real
        The computing type.
    scale
        The magnitude of the largest term of each element; None: the result itself.
    extra
        What the bound is widened by, in ULP.
    others
        Values that are as good: truths a rounding away, where a derivative jumps.
    """

    def __init__(
        self,
        column: str,
        value: Array,
        real: Real,
        *,
        scale: Array | None = None,
        extra: float = 0.0,
        others: Sequence[Array] = (),
    ) -> None:
        self.column, self.value, self.extra, self.others = column, np.asarray(value), extra, others
        self._real = real
        self._unit = units(self.value, scale, real)

    def errors(self, result: Array) -> Array:
        """Distance of every result from the truth in ULP of the type.

        A NaN agrees with NaN alone, an infinity with itself and with a truth that the type cannot hold.
        """
        errors = self._distance(result, self.value)
        for other in self.others:
            errors = np.minimum(errors, self._distance(result, other))
        return errors

    def _distance(self, got: Array, want: Array) -> Array:
        info = np.finfo(self._real)
        with np.errstate(all="ignore"):
            # Divided in longdouble: a difference of subnormals would be rounded in float64.
            errors = (np.abs(got - want) / self._unit).astype(np.float64)
            beyond = np.isinf(got) & (np.abs(want) >= info.max * (1 - 4 * info.eps)) & (np.sign(got) == np.sign(want))
            same = (got == want) | (np.isnan(got) & np.isnan(want)) | beyond
        return np.where(same, 0.0, np.where(np.isnan(errors), math.inf, errors))


@dataclass(frozen=True)
class Case:
    """A call whose results are compared with the truths, in order, and bit for bit between thread counts.

    ``sums``: the last result is the sum of the first. ``relation`` looks at all results and returns what is wrong.
    """

    name: str
    call: Callable[[], Results]
    truths: Sequence[Truth] = ()
    sums: bool = False
    relation: Callable[[Results], Iterable[str]] | None = None


@dataclass(frozen=True)
class Subject:
    """A kernel: its cases for a real type (fewer where asked to be quick), its bound for a type and instruction set."""

    name: str
    cases: Callable[[Real, bool], list[Case]]
    bound: Callable[[Real, str], float]


class Row:
    """A line of the table: one kernel, real type and instruction set."""

    def __init__(self, kernel: str, real: Real, isa: str, bound: float) -> None:
        self.kernel, self.real, self.isa, self.bound = kernel, real, isa, bound
        self.worst: dict[str, float] = {}
        self.sum_error = 0.0
        self.threads_agree = True
        self.sets_agree: bool | None = None
        self.problems: list[str] = []

    def judge(self, case: Case, results: Results) -> None:
        """Measure the results of a case; what is out of bounds becomes a problem."""
        for truth, result in zip(case.truths, results, strict=False):
            self._compare(case, truth, result)
        if case.sums:
            self._check_sum(case, results[0], float(results[-1]))
        if case.relation is not None:
            self.problems += [f"{case.name}: {problem}" for problem in case.relation(results)]

    def _compare(self, case: Case, truth: Truth, result: Array) -> None:
        if result.shape != truth.value.shape:
            self.problems.append(f"{case.name}: {truth.column} has shape {result.shape}, not {truth.value.shape}")
            return
        errors = truth.errors(result)
        if not errors.size:
            return
        at = np.unravel_index(int(np.argmax(errors)), errors.shape)
        worst = float(errors[at])
        bound = self.bound * (HESSIAN_FACTOR if truth.column == "Hessian" else 1.0)
        if truth.extra == 0:
            self.worst[truth.column] = max(self.worst.get(truth.column, 0.0), worst)
        if not worst <= bound + truth.extra + reference_ulps(self.real):
            where = f" [{', '.join(str(int(i)) for i in at)}]" if at else ""
            self.problems.append(
                f"{case.name}: {truth.column}{where} is {float(result[at])!r}, the reference has "
                f"{float(truth.value[at])!r}: {worst:.4g} ULP"
            )

    def _check_sum(self, case: Case, terms: Array, total: float) -> None:
        numbers = terms.astype(np.float64).reshape(-1).tolist()
        exact, size = math.fsum(numbers), math.fsum(map(abs, numbers))
        error = 0.0 if total == exact else abs(total - exact) / size if size else math.inf
        self.sum_error = max(self.sum_error, error)
        if not error <= SUM_BOUNDS[self.real.name]:
            self.problems.append(f"{case.name}: the sum is off by {error:.2g} relative")


def reference_ulps(real: Real) -> float:
    """What the reference itself may be off by: little where longdouble is longer than the type."""
    return REFERENCE_ERROR / float(np.finfo(real).eps)


def units(value: Array, scale: Array | None, real: Real) -> Array:
    """One ULP of the type at every value, or at its scale where that is larger."""
    info = np.finfo(real)
    with np.errstate(all="ignore"):
        size = np.abs(value).astype(np.longdouble)
        if scale is not None:
            size = np.maximum(size, np.where(np.isfinite(scale), scale, 0).astype(np.longdouble))
        exponent = np.maximum(np.frexp(size)[1] - 1, info.minexp)  # terms may lie beyond what the type can hold
        exponent = np.where(np.isinf(size), info.maxexp - 1, exponent)
    return np.asarray(np.ldexp(np.longdouble(1), exponent - info.nmant))


def same_bits(results: Results, others: Results) -> bool:
    """Whether two calls gave the same bits, in which all NaNs are one."""

    def equal(a: Array, b: Array) -> bool:
        if a.tobytes() == b.tobytes():
            return True
        nans = np.isnan(a) & np.isnan(b)
        return bool(np.array_equal(np.where(nans, 0, a).view(np.uint8), np.where(nans, 0, b).view(np.uint8)))

    return all(a.dtype == b.dtype and a.shape == b.shape and equal(a, b) for a, b in zip(results, others, strict=True))
