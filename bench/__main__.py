"""Compares fastloss with its peers and with the machine's limit: ``python -m bench``, some ten minutes.

Writes RESULTS.md, the plots it shows, and results.json with every figure. With ``--cells`` only what fits is measured
(anew), with ``--resume`` only the cells that are missing or were measured while other processes took the CPUs. The
report is made of all figures that are there and come from the same versions and processor. Parts are named as in the
report; besides there are "sizes NAME", "small N", "catalogue", "why" and "private ...", the steps beside Opacus.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from math import prod
from pathlib import Path

import fastloss as fl
from bench import THREADS, limits, plots, steps, sweeps, tables, why
from bench.cells import CELLS, Cell
from bench.measure import Others, medians
from bench.results import DISTURBED, Results
from bench.rivals import rivals, with_fastloss

ROUNDS, QUICK_ROUNDS = 9, 3
COPIES = 12  # arrays of a problem's size in float64 that its contenders may need at once


def measured(cell: Cell, rounds: int) -> dict[str, object]:
    """The figures of a cell. Raises where fastloss's own result is wrong; a peer's wrong one is left out."""
    p = cell.make()
    contenders, left_out = [], {}
    for call in with_fastloss.calls(p):
        worst = p.error(call)
        if not worst <= p.tolerance(call):
            raise SystemExit(f"{cell.name}: the result of {call.library} is wrong by {worst:.1e}")
        contenders.append(call)
    for call in rivals(p):
        worst = p.error(call)
        if worst <= p.tolerance(call):
            contenders.append(call)
        else:
            left_out[call.library] = f"is wrong by {worst:.1e}"
    p.__dict__.pop("truth", None)
    with Others() as others:
        found = medians([*contenders, *limits.calls(p)], rounds)
    fl.set_num_threads(1)
    moved, arithmetic = limits.floors(p, found)
    return {
        "seconds": {name: s for name, s in found.items() if not name.startswith("limit")},
        "moved": moved,
        "arithmetic": arithmetic,
        "bandwidths": limits.gigabytes_per_second(p, found),
        "left_out": left_out,
        "others": others.share,
    }


def wanted(name: str, pattern: str | None, there: object, resume: bool) -> bool:
    fits = pattern is None or fnmatch(name.replace("×", "x"), f"*{pattern.replace('×', 'x')}*")
    return fits and not (resume and there)


def run(results: Results, options: argparse.Namespace) -> Iterator[str]:
    """Measures what is wanted, part by part, and names it."""
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    for cell in CELLS:
        calm = results.cells.get(cell.name, {}).get("others", 1.0) <= DISTURBED
        if wanted(cell.name, options.cells, calm, options.resume):
            if COPIES * 8 * prod(cell.problem["shape"]) > limits.memory_left():
                yield f"{cell.name}: left out, it needs too much memory"
                continue
            results.cells[cell.name] = measured(cell, rounds)
            gc.collect()
            (found,) = results.found([cell])
            yield f"{cell.name}: {tables.times(found.ratio)}, {found.share:.2f} of the limit"
    for step in steps.STEPS:
        if wanted(step.name, options.cells, step.name in results.steps, options.resume):
            if not steps.fits(step):
                yield f"{step.name}: left out, it needs too much memory"
                continue
            # A copy of its own, whose arrays go when it is done.
            results.steps[step.name] = steps.measured(replace(step), rounds)
            gc.collect()
            yield step.name
    for n in sweeps.SMALL_SIZES:
        if wanted(f"small {n}", options.cells, str(n) in results.small, options.resume):
            results.small[str(n)] = sweeps.small_calls(n, rounds)
            yield f"small {n}"
    if wanted("catalogue", options.cells, results.catalogue, options.resume):
        results.catalogue = sweeps.catalogue(rounds)
        yield "catalogue"
    if wanted("why", options.cells, results.why, options.resume):
        results.why = why.measure(rounds)
        yield "why"
    largest = 10**6 if options.quick else sweeps.LARGEST
    for name in (*sweeps.POINTWISE, "cross_entropy"):
        if wanted(f"sizes {name}", options.cells, name in results.sizes, options.resume):
            points = sweeps.against_size(name, largest, rounds)
            results.sizes[name] = [[n, found["1"], found[str(THREADS)]] for n, found in points]
            yield f"sizes {name}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", metavar="PATTERN", help="measure what contains this (* and ? stand for anything)")
    parser.add_argument("--rounds", type=int, help=f"turns of every contender (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds, sizes up to 1e6")
    parser.add_argument("--resume", action="store_true", help="keep what results.json has, but for disturbed cells")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a target is missed")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    stored = options.output / "results.json"
    results = Results.load(stored) if options.resume or options.cells else Results()
    start = time.monotonic()
    for line in run(results, options):
        print(f"{time.monotonic() - start:5.0f} s  {line}", flush=True)
        results.save(stored)
    (options.output / "RESULTS.md").write_text(tables.report(results), encoding="utf-8")
    plots.write(results, options.output)
    found = results.found(CELLS)
    print(tables.summary(found) if found else "")
    return int(options.strict and not all(f.met and f.share_met for f in found))


if __name__ == "__main__":
    raise SystemExit(main())
