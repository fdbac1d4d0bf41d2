"""The report in Markdown, made of the results of a run."""

from __future__ import annotations

from itertools import pairwise

from bench import THREADS, why
from bench.cells import CELLS
from bench.results import DISTURBED, ENOUGH, LEAST, NOISE, Found, Results, geometric_mean
from bench.rivals.with_fastloss import GIVEN
from bench.steps import OURS, STEPS
from bench.sweeps import ADD, CLASSES, SMALL_LIMIT, YARDSTICKS

NO_CALL = 2e-5  # seconds beside which a call's own microseconds hardly count

HOW = f"""All contenders of a row take turns; figures are medians over the rounds, after warming up and compiling, on
the same inputs, once every result has been checked against the formula in float64. Value and gradient of the mean loss
on {THREADS} threads unless a row says otherwise. *fastloss* has its outputs given, *new* lets it make new ones. A peer
is given its outputs where it can be. *ratio* is the best peer's time over fastloss's.

The *limit* is the larger of two floors. Traffic (m): the bytes that must be read and written, at the speed of NumPy's
plain passes over as many arrays of these sizes, one after the other, on {THREADS} threads in the same rounds: max for
a read; copyto or multiplication by 1, the better one, for a copy; multiplication in place; fill. Less than 0.5 MiB in
all counts at the speed of as much.
Arithmetic (a): the exponentials, logarithms and divisions (for a Gaussian number half a logarithm, half a square root
and an exponential, in the place of a sine), each at the rate of the bare function on a cached array, the better of
NumPy's and fastloss's own, on {THREADS} threads. Neither counts what a call costs, so the smallest sizes are far from
it. A row is met where the ratio reaches its target, or the time {ENOUGH:g} of the limit; some rows ask for a share of
the limit besides.
"""


def shown(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 0.9995:  # three digits of it are 1
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def verdict(f: Found) -> str:
    if not f.met:
        return "NO"
    return "yes" if f.share_met else "ratio yes, share NO"


def cell_table(found: list[Found]) -> str:
    rows = []
    for f in found:
        wanted = f"{f.cell.target:g}×" + (f", {f.cell.share:g} of the limit" if f.cell.share else "")
        kind = "m" if f.moved >= f.arithmetic else "a"
        best = f"{f.best[0]} {shown(f.best[1])}" if f.best else "–"
        rows.append(
            [
                f.cell.name.removesuffix(" float32").removesuffix(" float64"),
                shown(f.ours),
                best,
                f"**{times(f.ratio)}**",
                f"{shown(f.limit)} ({kind})",
                f"{f.share:.2f}",
                wanted,
                verdict(f),
                shown(f.fresh),
                times(f.fresh_ratio),
                times(f.one_thread / f.ours),
            ]
        )
    head = ["work", "fastloss", "best peer", "ratio", "limit", "share of it", "target", "met", "new", "its ratio"]
    return table([*head, f"{THREADS} threads over 1"], rows)


def peer_table(found: list[Found]) -> str:
    names = list(dict.fromkeys(name for f in found for name in f.rivals))
    rows = [
        [
            f.cell.name,
            shown(f.seconds[GIVEN]),
            *(shown(f.rivals.get(name)) for name in names),
            ", ".join(f"{kind} {speed:.3g}" for kind, speed in f.bandwidths.items()) or "–",
        ]
        for f in found
    ]
    return table(["work", "fastloss", *names, "GB/s of the plain passes"], rows)


def _ceiling(found: list[Found]) -> list[str]:
    """What a library at the limit itself would reach, where calls cost next to nothing beside it."""
    cells = [f for f in found if f.best is not None and f.limit >= NO_CALL]
    if not cells:
        return []
    at_limit = geometric_mean(f.best[1] / f.limit for f in cells if f.best)
    targets = geometric_mean(f.cell.target for f in found)
    return [
        f"- In the {len(cells)} cells whose limit is above {NO_CALL * 1e6:.0f} µs the mean is "
        f"{geometric_mean(f.ratio for f in cells):.2f}×; a library that stood at the limit in all of them would have "
        f"{at_limit:.2f}×. Every target met, and no more, would make {targets:.2f}×."
    ]


def summary(found: list[Found]) -> str:
    ratios = {f.cell.name: f.ratio for f in found if f.ratio is not None}
    if not ratios:
        return "No peer is installed: there are no ratios."
    lowest = min(ratios, key=lambda name: ratios[name])
    low = [name for name, ratio in ratios.items() if ratio < LEAST]
    missed = [f.cell.name for f in found if not f.met]
    shares = [f.cell.name for f in found if not f.share_met]
    slow = [f"{f.cell.name} ({f.one_thread / f.ours:.2f}×)" for f in found if f.ours > NOISE * f.one_thread]
    lines = [
        f"- Geometric mean of the ratios: {geometric_mean(ratios.values()):.2f}× with outputs given, "
        f"{geometric_mean(f.fresh_ratio for f in found):.2f}× with new ones ({len(ratios)} cells).",
        *_ceiling(found),
        f"- Lowest ratio: {times(ratios[lowest])} ({lowest}).",
        f"- Below {LEAST:g}×: {'; '.join(low) or 'none'}.",
        f"- Targets met: {len(found) - len(missed)} of {len(found)}."
        + (f" Missed: {'; '.join(missed)}." * bool(missed)),
        f"- Shares of the limit asked for and missed: {'; '.join(shares) or 'none'}.",
        f"- Slower with {THREADS} threads than with 1 (by over {NOISE - 1:.0%}): {'; '.join(slow) or 'none'}.",
    ]
    disturbed = [f.cell.name for f in found if f.others > DISTURBED]
    if disturbed:
        lines.append(f"- Measured while other processes took over {DISTURBED:.0%} of the CPUs: {'; '.join(disturbed)}.")
    left_out = [f"{f.cell.name}: {name} {why}" for f in found for name, why in f.left_out.items()]
    if left_out:
        lines.append(f"- Left out: {'; '.join(left_out)}.")
    return "\n".join(lines)


def small_table(results: Results) -> str:
    rows = []
    for n, by_name in sorted(results.small.items(), key=lambda item: int(item[0])):
        add = by_name[ADD]["value"]
        rows.append([f"{ADD}, {n} elements", shown(add), "1×", shown(add), "1×", ""])
        for name, seconds in by_name.items():
            if name == ADD:
                continue
            ratios = {what: s / add for what, s in seconds.items()}
            within = all(ratio <= SMALL_LIMIT[what] for what, ratio in ratios.items())
            figures = [
                text
                for what in SMALL_LIMIT
                for text in ((shown(seconds[what]), times(ratios[what])) if what in seconds else ("", ""))
            ]
            rows.append([f"{name}, {n}", *figures, "yes" if within else "NO"])
    wanted = [f"at most {SMALL_LIMIT[what]:g}×" for what in SMALL_LIMIT]
    return table(["small calls, float32", "value", wanted[0], "value and gradient", wanted[1], "within"], rows)


def sizes_text(results: Results) -> str:
    slow, steps = [], []
    for name, points in results.sizes.items():
        slow += [f"{name} {int(n)} ({one / two:.2f}×)" for n, one, two in points if two > NOISE * one]
        # A cliff is a time that grows by more than the number of elements does, beyond the cost of a call.
        growth = [
            ((b[2] - points[0][2]) / b[0] / ((a[2] - points[0][2]) / a[0]), int(a[0]), int(b[0]))
            for a, b in pairwise(points)
            if a[2] > 4 * points[0][2]
        ]
        if growth:
            worst, low, high = max(growth)
            steps.append(f"{name} {worst:.2f}× an element from {low} to {high}")
    return (
        "![nanoseconds an element against size](sizes.svg)\n\n"
        f"cross_entropy has {CLASSES} classes there. Steepest step on {THREADS} threads: {'; '.join(steps) or '–'}. "
        f"Slower with {THREADS} threads than with 1 (by over {NOISE - 1:.0%}): {'; '.join(slow) or 'none'}."
    )


def catalogue_table(results: Results) -> str:
    rows = [
        [name, shown(f["seconds"]), times(f["seconds"] / f["yardstick"])]
        for name, f in sorted(results.catalogue.items(), key=lambda item: (item[1]["yardstick"], item[1]["seconds"]))
    ]
    said = "; ".join(f"{name} ({'×'.join(map(str, shape))})" for name, shape in YARDSTICKS.items())
    text = (
        f"Value and gradient in float32 on {THREADS} threads, outputs given. The yardsticks: {said}, "
        "the last for losses whose target holds probabilities."
    )
    return f"{text}\n\n" + table(["loss", "time", "of its yardstick"], rows)


def steps_table(results: Results) -> str:
    rows = []
    for step in STEPS:
        found = results.steps.get(step.name)
        if not found:
            continue
        for way, error in found["errors"].items():
            seconds, nbytes = found["seconds"].get(way), found["bytes"].get(way)
            ratio = seconds / found["seconds"][OURS] if seconds else None
            memory = "–" if nbytes is None else f"{nbytes / 1e6:.1f} MB"
            rows.append([step.name, way, shown(seconds), times(ratio), memory, f"{error:.0e}"])
    text = f"""From per-sample gradients, or from what goes into and comes back from a linear layer, to the noised mean:
float32, bound 1, noise multiplier 1.1, {THREADS} threads. *Instantiated* makes the per-sample gradients of the layer,
anew in each step; *ghost*, and fastloss where nothing is said, does not. Of Opacus are timed: its sampler of gradients
or of ghost norms, its optimizer's clipping, noise and scaling, and in the place of its second backward pass the one
product of this layer; its hooks and autograd are not. *Memory* is by how much the resident memory of the process
grows at most during a step, inputs and fastloss's given outputs not counted. *Error* is the largest difference, over
the largest element, of the step without noise from the same in float64: all is rounding, but for the 1e-6 that Opacus
adds to every norm. Rows that both define alike; those with NaN, norms that underflow in float32 and the like are not
among them."""
    disturbed = [name for name, found in results.steps.items() if found["others"] > DISTURBED]
    if disturbed:
        text += f" Measured while other processes took over {DISTURBED:.0%} of the CPUs: {'; '.join(disturbed)}."
    return f"{text}\n\n" + table(["step", "way", "time", "over fastloss's", "memory", "error"], rows)


def missed_text(missed: list[Found], results: Results) -> str:
    return "\n".join(f"- **{f.cell.name}**: {why.reason(f, results.why)}" for f in missed)


def report(results: Results) -> str:
    found = results.found(CELLS)
    told = results.about
    missing = "; ".join(told["missing"]) or "none"
    parts = [
        "# How fast is fastloss?",
        f"Measured by `python -m bench` on {told['processor']}, {told['system']}: {', '.join(told['versions'])}.\n"
        f"Peers that are not installed, and not measured: {missing}.",
    ]
    if found:
        parts += ["## Summary", summary(found), HOW.rstrip()]
    for dtype in ("float32", "float64"):
        some = [f for f in found if f.cell.problem["dtype"] == dtype]
        if some:
            picture = f"![ratio and share of the limit of every cell](cells-{dtype}.svg)"
            parts += [f"## {dtype}", cell_table(some), picture]
    missed = [f for f in found if not (f.met and f.share_met)]
    if missed:
        parts += ["## What is missed, and why", missed_text(missed, results)]
    if results.why:
        parts += ["## New outputs", why.about_new_outputs(results.why)]
    if results.steps:
        parts += ["## Private steps beside Opacus", steps_table(results)]
    if results.sizes:
        parts += ["## Cost against size", sizes_text(results)]
    if results.catalogue:
        parts += ["## Every loss", catalogue_table(results)]
    if results.small:
        parts += ["## Small calls", small_table(results)]
        if results.why:
            parts.append(why.about_small_calls(results.why))
    if found:
        parts += [
            "## All peers",
            "A time of a peer over four times the best one's comes from three rounds. *torch.compile* is value and\n"
            "gradient in one graph, *torch.compile, backward()* a compiled loss and autograd (float32 alone).",
            peer_table(found),
        ]
    return "\n\n".join(parts) + "\n"
