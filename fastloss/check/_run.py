"""The loop over kernels, types, instruction sets and thread counts, and the table it prints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

import fastloss as fl
from fastloss import _core
from fastloss._backend import EXTENDED
from fastloss.check._activations import activation_subjects
from fastloss.check._bounds import HESSIAN_FACTOR, OPTIONS_EXTRA, SUM_BOUNDS, WEIGHTED_EXTRA, WITHOUT_FMA
from fastloss.check._calibration import calibration_subjects
from fastloss.check._case import COLUMNS, Case, Real, Results, Row, Subject, same_bits
from fastloss.check._losses import loss_subjects
from fastloss.check._privacy import privacy_subjects

REALS: tuple[Real, ...] = (np.dtype(np.float32), np.dtype(np.float64))
THREADS = (1, 2, 3, 7)
SHOWN_PROBLEMS = 3

Print = Callable[[str], None]


def subjects() -> list[Subject]:
    """Everything that can be checked."""
    return [*loss_subjects(), *activation_subjects(), *privacy_subjects(), *calibration_subjects()]


def kernel_names() -> list[str]:
    """Return the names that ``run_check`` knows."""
    return [subject.name for subject in subjects()]


def usable_instruction_sets() -> list[str]:
    """Return the instruction sets that are compiled in and supported here."""
    return [name for name, (compiled, supported) in _core.isa_names().items() if compiled and supported]


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Use an instruction set inside a ``with`` block (the whole process does)."""
    before = _core.isa_selected()
    _core.isa_select(name)
    try:
        yield
    finally:
        _core.isa_select(before)


def run_check(
    *,
    quick: bool = False,
    kernels: Sequence[str] | None = None,
    isas: Sequence[str] | None = None,
    show: Print = print,
) -> bool:
    """Check the kernels against the reference and print a table.

    Parameters
    ----------
    quick
        Fewer elements and class counts.
    kernels
        Names from ``kernel_names``; None for all.
    isas
        Names from ``usable_instruction_sets``; None for all.
    show
        Where lines of text go.

    Returns
    -------
    bool
        Whether everything is within its bounds.
    """
    start = time.perf_counter()
    chosen = [subject for subject in subjects() if kernels is None or subject.name in kernels]
    sets = list(usable_instruction_sets() if isas is None else isas)
    width = max(len(subject.name) for subject in chosen)
    _show_heading(show, width)
    rows: list[Row] = []
    with fl.backend("native"):
        for subject in chosen:
            name = subject.name
            for real in REALS:
                for row in check_kernel(subject, real, sets, quick):
                    show(_line(row, name, width))
                    name = ""
                    rows.append(row)
    _show_summary(show, rows, time.perf_counter() - start)
    return not any(row.problems for row in rows)


def check_kernel(subject: Subject, real: Real, isas: Sequence[str], quick: bool) -> Iterator[Row]:
    """One row of the table for every instruction set."""
    failed: list[str] = []
    cases: list[Case] = []
    try:
        cases = subject.cases(real, quick)
    except Exception as error:  # a loss without a reference fails; the others are still checked
        failed.append(f"no cases: {type(error).__name__}: {error}")
    fused: dict[int, Results] = {}
    for isa in isas:
        row = Row(subject.name, real, isa, subject.bound(real, isa))
        row.problems += failed
        with instruction_set(isa):
            for number, case in enumerate(cases):
                try:
                    _check_case(row, case, number, fused)
                except Exception as error:
                    row.problems.append(f"{case.name}: {type(error).__name__}: {error}")
        yield row


def _check_case(row: Row, case: Case, number: int, fused: dict[int, Results]) -> None:
    """One case: judged with one thread, its bits with more, and those of another instruction set with FMA."""
    with fl.num_threads(THREADS[0]):
        results = case.call()
    row.judge(case, results)
    for threads in THREADS[1:]:
        with fl.num_threads(threads):
            same = same_bits(case.call(), results)
        if not same:
            row.threads_agree = False
            row.problems.append(f"{case.name}: other bits with {threads} threads than with one")
    if row.isa in WITHOUT_FMA:
        return
    if number in fused:
        agree = same_bits(fused[number], results)
        row.sets_agree = agree and row.sets_agree is not False
        if not agree:
            row.problems.append(f"{case.name}: other bits than with another instruction set that has FMA")
    fused.setdefault(number, results)


def _show_heading(show: Print, width: int) -> None:
    show("Worst error in ULP (units in the last place of the result's largest term) against the NumPy reference,")
    show(f"which is evaluated in {'extended' if EXTENDED else 'double'} precision. Threads: {THREADS}.")
    show(f"bound: of value and gradient; a Hessian's is {HESSIAN_FACTOR:g} times that. Weighted means and row losses")
    show(f"with options are checked too, to {WEIGHTED_EXTRA:g} and {OPTIONS_EXTRA:g} ULP more, outside the columns.")
    show("threads, fma sets: whether all thread counts, and all instruction sets with FMA, give the same bits.")
    show("")
    errors = "  ".join(f"{name:>8}" for name in COLUMNS)
    show(f"{'kernel':<{width}}  {'type':<7}  {'set':<8}  {errors}  {'bound':>5}  {'threads':<7}  fma sets  result")


def _line(row: Row, name: str, width: int) -> str:
    errors = "  ".join(f"{_number(row.worst.get(column)):>8}" for column in COLUMNS)
    sets = {None: "-", True: "same", False: "DIFFER"}[row.sets_agree]
    threads = "same" if row.threads_agree else "DIFFER"
    lines = [
        f"{name:<{width}}  {row.real.name:<7}  {row.isa:<8}  {errors}  {row.bound:>5.1f}  {threads:<7}  {sets:<8}  "
        + ("FAIL" if row.problems else "ok")
    ]
    lines += [f"    {problem}" for problem in row.problems[:SHOWN_PROBLEMS]]
    if len(row.problems) > SHOWN_PROBLEMS:
        lines.append(f"    and {len(row.problems) - SHOWN_PROBLEMS} more")
    return "\n".join(lines)


def _number(x: float | None) -> str:
    if x is None:
        return "-"
    return f"{x:.2f}" if x < 1e5 or math.isinf(x) else f"{x:.1e}"


def _show_summary(show: Print, rows: Sequence[Row], seconds: float) -> None:
    failed = [row for row in rows if row.problems]
    show("")
    for name, bound in SUM_BOUNDS.items():
        worst = max((row.sum_error for row in rows if row.real.name == name), default=0.0)
        show(f"Sums in {name}: worst relative error {worst:.1e} against math.fsum (bound {bound:.0e}).")
    show(f"{len(rows)} checks, {len(failed)} failed, {seconds:.1f} s.")
