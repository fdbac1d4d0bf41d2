"""The speed tables, measured in one run: ``python -m bench.report [-o FILE] [--rounds N] [--strict]``.

All contenders of a row take turns. A turn is: a pause (so that no other library's threads still spin), one call
that is not timed (so that its own threads are awake), then the timed calls, of which the mean counts. What is
compared are medians over the rounds. Torch's gradients are set to None between calls, outside the time; its
time is forward and backward, eagerly, on a leaf. fastloss has `grad_out` given, and returns the value, too.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import fastloss as fl
from bench.privacy_subjects import NOISE_SIZE, clip_calls, clip_error, gradients, noise_calls, noise_error
from bench.subjects import NAMES, THREADS, TOLERANCE, Call, calls, error, problem, sizes, torch

PAUSE = 0.02  # seconds; libgomp's idle threads spin for some milliseconds
LIBRARIES = ("numpy", "reference", "scikit-learn", "torch")


def mean_time(call: Call, repeat: int) -> float:
    """Seconds of a call: the mean of a few in a row, resets not counted."""
    total = 0.0
    if call.reset is None:
        start = time.perf_counter()
        for _ in range(repeat):
            call.run()
        return (time.perf_counter() - start) / repeat
    for _ in range(repeat):
        call.reset()
        start = time.perf_counter()
        call.run()
        total += time.perf_counter() - start
    return total / repeat


def medians(contenders: Iterable[Call], rounds: int) -> dict[str, float]:
    """Seconds of every contender's call, measured turn by turn."""
    turns = list(contenders)
    found: dict[str, list[float]] = {call.library: [] for call in turns}
    repeats = {}
    for call in turns:
        mean_time(call, 1)
        once = mean_time(call, 1)
        repeats[call.library] = max(1, min(2000, int(2e-3 / once)))
    for k in range(rounds):
        for call in turns[k % len(turns) :] + turns[: k % len(turns)]:
            time.sleep(PAUSE)
            mean_time(call, 1)
            found[call.library].append(mean_time(call, repeats[call.library]))
    return {library: statistics.median(seconds) for library, seconds in found.items()}


@dataclass(frozen=True)
class Aim:
    """One figure that fastloss promises: at least ``factor`` times as fast as ``rival`` (at most so many times its
    time, where ``slower``)."""

    work: str
    contenders: Callable[[], Iterable[Call]]
    rival: str
    factor: float
    slower: bool = False


def only(*libraries: str) -> Callable[[Iterable[Call]], list[Call]]:
    return lambda all_calls: [c for c in all_calls if c.library in libraries]


def loss_aim(name: str, shape: tuple[int, ...], factor: float) -> Aim:
    def contenders() -> list[Call]:
        return only("fastloss", "torch")(calls(problem(name, shape, "float32")))

    return Aim(f"{name} {label(shape)}", contenders, "torch", factor)


def overhead_aim(name: str) -> Aim:
    """What a call costs where there is hardly any work: beside the cheapest NumPy call on the same arrays."""

    def contenders() -> list[Call]:
        p = problem(name, (100,), "float32")
        a, b, c = p.prediction, p.target, np.empty_like(p.prediction)
        return [*only("fastloss")(calls(p)), Call("np.add(a, b, out=c)", lambda: np.add(a, b, out=c))]

    return Aim(f"{name} 100", contenders, "np.add(a, b, out=c)", 8, slower=True)


def label(shape: tuple[int, ...]) -> str:
    return "×".join(f"{n:.0e}".replace("e+0", "e") if n >= 1_000_000 else str(n) for n in shape)


AIMS = (
    loss_aim("cross_entropy", (512, 32000), 5),
    loss_aim("binary_cross_entropy_with_logits", (1_000_000,), 3),
    loss_aim("huber_loss", (1_000_000,), 3),
    Aim(
        "clip_and_noise 256×100000",
        lambda: only("fastloss", "torch")(clip_calls(gradients((256, 100_000), "float32"))),
        "torch",
        2,
    ),
    overhead_aim("huber_loss"),
    overhead_aim("binary_cross_entropy_with_logits"),
)


def shown(seconds: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def aims(rounds: int) -> tuple[str, list[str]]:
    """The table of the promised figures, and those that were missed."""
    rows, missed = [], []
    for aim in AIMS:
        if aim.rival == "torch" and torch is None:
            rows.append([aim.work, "", "", "", f"{aim.factor:g}×", "skipped: torch is not installed"])
            continue
        found = medians(aim.contenders(), rounds)
        ours, theirs = found["fastloss"], found[aim.rival]
        if aim.slower:
            ratio, wanted, reached = ours / theirs, f"≤ {aim.factor:g}× its time", ours <= aim.factor * theirs
        else:
            ratio, wanted, reached = theirs / ours, f"≥ {aim.factor:g}× as fast", theirs >= aim.factor * ours
        if not reached:
            missed.append(aim.work)
        rows.append(
            [
                aim.work,
                shown(ours),
                f"{aim.rival}: {shown(theirs)}",
                f"{ratio:.1f}×",
                wanted,
                "yes" if reached else "NO",
            ]
        )
    return table(["float32, value and gradient", "fastloss", "rival", "ratio", "wanted", "reached"], rows), missed


def row(work: str, found: dict[str, float], worst: float) -> list[str]:
    ours = found["fastloss"]
    cells = [f"{shown(found[k])} ({found[k] / ours:.1f}×)" if k in found else "–" for k in LIBRARIES]
    return [work, shown(ours), *cells, f"{worst:.1e}"]


def others(rounds: int) -> str:
    """Every loss at a middle size, and the privacy functions."""
    rows = []
    for name in NAMES:
        for shape in sizes(name)[1:3]:
            contenders = [c for c in calls(problem(name, shape, "float32")) if c.library != "fastloss, new array"]
            worst = error(contenders[0], name, shape, "float32")
            if worst > TOLERANCE["float32"]:
                raise SystemExit(f"{name} {shape}: fastloss is wrong by {worst:.1e}")
            rows.append(row(f"{name} {label(shape)}", medians(contenders, rounds), worst))
    grads = gradients((1024, 1000), "float32")
    worst = clip_error("fastloss", grads)
    rows.append(row("clip_and_noise 1024×1000", medians(clip_calls(grads), rounds), worst))
    worst = noise_error(next(noise_calls(NOISE_SIZE, "float32")))
    rows.append(row(f"Gaussian noise {label((NOISE_SIZE,))}", medians(noise_calls(NOISE_SIZE, "float32"), 3), worst))
    head = ["float32, value and gradient", "fastloss", *LIBRARIES, "error of fastloss"]
    return table(head, rows)


def installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} is not installed: its figures are missing"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default="speed.md", help="file that gets the tables (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a promised figure is missed")
    options = parser.parse_args()
    fl.set_num_threads(THREADS)
    first, missed = aims(options.rounds)
    second = others(max(3, options.rounds // 3))
    here = ", ".join([processor(), platform.system(), *(installed(p) for p in ("numpy", "torch", "scikit-learn"))])
    text = "\n\n".join(
        (
            f"Measured by `python -m bench.report` with {THREADS} threads on {here}. Medians of interleaved rounds;\n"
            "(n×) is how many times fastloss's time another takes.",
            first,
            second,
            "Errors are the largest of the value's and the gradient's against the float64 reference, relative to the\n"
            "largest; for noise, the distance of its moments from a normal's in standard errors.",
        )
    )
    print(text)
    Path(options.output).write_text(text + "\n", encoding="utf-8")
    if missed:
        print("\nmissed:", ", ".join(missed))
    return int(options.strict and bool(missed))


if __name__ == "__main__":
    raise SystemExit(main())
