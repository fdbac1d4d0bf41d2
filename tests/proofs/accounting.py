"""Noise multipliers over a grid of budgets and trainings: what each spends, what the next smaller would, and memory."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from itertools import product

from fastloss.privacy import accounting
from fastloss.privacy.accounting import epsilon, noise_multiplier

BUDGETS, DELTAS = (0.01, 0.5, 8.0), (1e-5, 1e-7)

# Sampling rate and steps: the MNIST tutorial's (in batches of 256, 60 epochs), two small ones, one without sampling.
TRAININGS = ((256 / 60_000, 14_063), (0.01, 1000), (0.1, 10), (1.0, 50))


@dataclass(frozen=True)
class Case:
    """A budget and a training, the multiplier, its epsilon, and that of the next smaller multiplier."""

    accountant: str
    budget: float
    delta: float
    rate: float
    steps: int
    multiplier: float
    spent: float
    next: float


def cases(accountant: str) -> list[Case]:
    """All of the grid."""
    result = []
    for budget, delta, (rate, steps) in product(BUDGETS, DELTAS, TRAININGS):
        multiplier = noise_multiplier(budget, delta, rate, steps, accountant=accountant)
        smaller = accounting._multiplier(_place(multiplier) - 1)
        both = [epsilon(m, delta, rate, steps, accountant=accountant) for m in (multiplier, smaller)]
        result.append(Case(accountant, budget, delta, rate, steps, multiplier, *both))
    return result


def _place(multiplier: float) -> int:
    """The index of a multiplier in the list of those that are tried."""
    low, high = -30 * accounting.STEPS_PER_OCTAVE, 30 * accounting.STEPS_PER_OCTAVE
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if accounting._multiplier(middle) < multiplier else (low, middle)
    return low


def out_of_order(grid: list[Case]) -> int:
    """Pairs of which the laxer (a larger budget or delta) needs more noise."""
    return sum(
        a.multiplier < b.multiplier
        for a, b in product(grid, grid)
        if (a.rate, a.steps) == (b.rate, b.steps) and a.budget <= b.budget and a.delta <= b.delta
    )


def memory() -> float:
    """The largest resident set so far, in MB; the packages among it."""
    epsilon(1.0, 1e-5, 0.1, 1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(length: int) -> str:
    """The whole grid, by both accountants, whatever the length."""
    before = memory()
    grids = {name: cases(name) for name in accounting.ACCOUNTANTS}
    lines = [
        "The multiplier that `noise_multiplier` gives, what `epsilon` says of it, which must not exceed the budget,",
        "and of the next smaller one, which must.",
        "",
        "| accountant | budget | delta | sampling rate | steps | multiplier | epsilon | of the next smaller |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in (case for grid in grids.values() for case in grid):
        lines.append(
            f"| {case.accountant} | {case.budget:g} | {case.delta:g} | {case.rate:.4g} | {case.steps:,} | "
            f"{case.multiplier:.6g} | {case.spent:.6g} | {case.next:.6g} |"
        )
    wrong = sum(not case.spent <= case.budget < case.next for grid in grids.values() for case in grid)
    pairs = sum(map(out_of_order, grids.values()))
    used = memory() - before
    lines += ["", f"{wrong} budgets missed, {pairs} pairs out of order; all of it took {used:.0f} MB of memory."]
    return "\n".join(lines)
