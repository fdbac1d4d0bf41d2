"""Laplace or Gaussian noise, drawn: errors against the number of queries, and both densities.

``python -m fastloss.demo.mechanisms --output mechanisms.png`` draws the source document's example, done right.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastloss.privacy import ComparisonTable, compare_mechanisms

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"


def draw(table: ComparisonTable, output: Path) -> None:
    """Draw the errors of a table, and the densities of both kinds of noise at its last row; save as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4))
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(1, 2)
    draw_errors(panels[0], table)
    draw_densities(panels[1], table)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
        panel.legend(frameon=False)
    figure.savefig(output, format="png", dpi=130)


def draw_errors(panel: Any, table: ComparisonTable) -> None:
    """Both errors against the number of queries, and where they cross."""
    queries = [row.queries for row in table.rows]
    panel.plot(queries, [row.laplace for row in table.rows], "o-", ms=4, color=BLUE, label="Laplace")
    panel.plot(queries, [row.gaussian for row in table.rows], "s-", ms=4, color=ORANGE, label="Gaussian")
    if queries[0] <= table.crossover <= queries[-1]:
        label = f"Gaussian errs less from {table.crossover} on"
        panel.axvline(table.crossover, color=GREY, ls="--", label=label)
    panel.set(xlabel="number of queries", ylabel=f"error with confidence {table.confidence:g}", ylim=(0, None),
              title=f"Error at epsilon = {table.epsilon:g}, delta = {table.delta:g}")  # fmt: skip


def draw_densities(panel: Any, table: ComparisonTable) -> None:
    """Both densities at the table's last number of queries, shaded where the errors are within their bounds."""
    row = table.rows[-1]
    x = np.linspace(-1.3, 1.3, 401) * max(row.laplace, row.gaussian)
    b, sigma = row.laplace_scale, row.gaussian_sigma
    for density, bound, color, label in (
        (np.exp(-np.abs(x) / b) / (2 * b), row.laplace, BLUE, f"Laplace, b = {b:.3g}"),
        (np.exp(-((x / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi)), row.gaussian, ORANGE,
         f"Gaussian, sigma = {sigma:.3g}"),
    ):  # fmt: skip
        panel.plot(x, density, color=color, label=label)
        panel.fill_between(x, density, where=np.abs(x) <= bound, color=color, alpha=0.12, lw=0)
    panel.set(xlabel="deviation from the true answer", ylabel="density", ylim=(0, None),
              title=f"Noise, number of queries: {row.queries} (shaded: {table.confidence:.0%})")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m fastloss.demo.mechanisms", description=draw.__doc__)
    parser.add_argument("--output", type=Path, default=Path("mechanisms.png"))
    parser.add_argument("--queries", type=int, default=15, help="the largest number of queries")
    parser.add_argument("--epsilon", type=float, default=2.0)
    parser.add_argument("--delta", type=float, default=1e-6)
    parser.add_argument("--convention", choices=("exact", "seed"), default="exact")
    given = parser.parse_args(arguments)
    table = compare_mechanisms(range(1, given.queries + 1), given.epsilon, given.delta, convention=given.convention)
    print(table)
    draw(table, given.output)


if __name__ == "__main__":
    main()
