"""The report's plots, as SVG: every cell's ratio and share of the limit, and cost against size."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("svg")
from matplotlib import pyplot as plt

from bench import THREADS
from bench.cells import CELLS
from bench.results import ENOUGH, Results
from bench.sweeps import CLASSES

# Text stays text, and equal results give equal files.
matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "fastloss", "font.size": 9}
BLUE, ORANGE, GREY = "#2f6db3", "#d9822b", "#888888"


def write(results: Results, folder: Path) -> list[Path]:
    made = [cells(results, dtype, folder) for dtype in ("float32", "float64")]
    made.append(sizes(results, folder))
    return [path for path in made if path is not None]


def save(figure: plt.Figure, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    return path


def cells(results: Results, dtype: str, folder: Path) -> Path | None:
    found = [f for f in results.found(CELLS) if f.cell.problem["dtype"] == dtype and f.ratio]
    if not found:
        return None
    names = [f.cell.name.removesuffix(f" {dtype}") for f in found]
    y = np.arange(len(found))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 1.6 + 0.24 * len(found)), sharey=True, width_ratios=(1.6, 1), layout="constrained"
    )
    left.barh(y, [f.ratio or 1 for f in found], 0.7, color=[BLUE if f.met else ORANGE for f in found])
    left.scatter([f.cell.target for f in found], y, marker="|", s=110, linewidths=2, color="black", zorder=3)
    left.scatter([f.fresh_ratio or np.nan for f in found], y, s=14, facecolor="white", edgecolor="black", zorder=4)
    left.set_xscale("log")
    left.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
    left.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    left.axvline(1, color=GREY, linewidth=0.8)
    left.set_yticks(y, names)
    left.set_ylim(len(found) - 0.4, -0.6)
    left.set_xlabel(f"times as fast as the best peer ({dtype}, {THREADS} threads)")
    right.barh(y, [min(f.share, 1.3) for f in found], 0.7, color=[BLUE if f.share_met else ORANGE for f in found])
    right.scatter([f.cell.share or np.nan for f in found], y, marker="|", s=110, linewidths=2, color="black", zorder=3)
    right.axvline(ENOUGH, color=GREY, linewidth=0.8, linestyle="--")
    right.axvline(1, color=GREY, linewidth=0.8)
    right.set_xlim(0, 1.3)
    right.set_xlabel(f"share of the limit (dashed: {ENOUGH:g})")
    for axes in (left, right):
        axes.grid(axis="x", linewidth=0.3)
        axes.set_axisbelow(True)
    legend = [
        matplotlib.patches.Patch(color=BLUE, label="outputs given; target met"),
        matplotlib.patches.Patch(color=ORANGE, label="target missed"),
        matplotlib.lines.Line2D([], [], marker="o", color="none", markerfacecolor="white", markeredgecolor="black",
                                markersize=4, label="new outputs"),
        matplotlib.lines.Line2D([], [], marker="|", color="none", markeredgecolor="black", markersize=10,
                                markeredgewidth=2, label="target"),
    ]  # fmt: skip
    figure.legend(handles=legend, loc="outside upper center", ncols=4, frameon=False)
    return save(figure, folder / f"cells-{dtype}.svg")


def sizes(results: Results, folder: Path) -> Path | None:
    if not results.sizes:
        return None
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for k, (name, points) in enumerate(results.sizes.items()):
        n, one, two = np.array(points).T
        label = f"{name} ({CLASSES} classes)" if name == "cross_entropy" else name
        axes.loglog(n, one / n * 1e9, linestyle="--", color=f"C{k}", linewidth=1)
        axes.loglog(n, two / n * 1e9, color=f"C{k}", linewidth=1.6, label=label)
    axes.plot([], [], linestyle="--", color="black", linewidth=1, label="1 thread")
    axes.plot([], [], color="black", linewidth=1.6, label=f"{THREADS} threads")
    axes.set_xlabel("elements")
    axes.set_ylabel("nanoseconds an element, value and gradient, float32")
    axes.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
    axes.grid(which="major", linewidth=0.4)
    axes.legend(frameon=False)
    return save(figure, folder / "sizes.svg")
