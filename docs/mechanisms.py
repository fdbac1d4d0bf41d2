"""Draws docs/mechanisms-*.svg, the pictures of privacy.md: Laplace and Gaussian noise, their errors and densities.

``python docs/mechanisms.py`` (needs matplotlib). The settings are those of the source document (epsilon 2, delta 1e-6,
confidence 0.95). The panels themselves: fastloss/demo/mechanisms.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from fastloss.demo.mechanisms import draw_densities, draw_errors
from fastloss.privacy import compare_mechanisms

FOLDER = Path(__file__).parent
EPSILON, DELTA = 2.0, 1e-6
QUERIES, SHOWN = range(1, 16), (1, 8, 20)
mpl.rcParams |= {
    "svg.fonttype": "path", "svg.hashsalt": "fastloss", "font.size": 10, "axes.titlesize": 11,
    "figure.facecolor": "#FFFFFF", "savefig.facecolor": "#FFFFFF", "legend.fontsize": 9,
    "axes.spines.top": False, "axes.spines.right": False, "grid.alpha": 0.25,
}  # fmt: skip


def save(figure: Any, panels: Any, path: Path) -> Path:
    """Legends, grids, and the file."""
    for panel in panels:
        panel.grid()
        panel.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def errors(folder: Path) -> Path:
    """Errors against the number of queries: done right, and by the document's formulas."""
    figure, panels = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained", sharey=True)
    for panel, convention, title in zip(
        panels, ("exact", "seed"), ("Done right", "By the document's formulas"), strict=True
    ):
        draw_errors(panel, compare_mechanisms(QUERIES, EPSILON, DELTA, convention=convention))
        panel.set(title=f"{title}: epsilon {EPSILON:g}, delta {DELTA:g}", ylim=(0, 28))
    return save(figure, panels, folder / "mechanisms-errors.svg")


def densities(folder: Path) -> Path:
    """What is added to one answer, for a few numbers of queries under one budget."""
    figure, panels = plt.subplots(1, len(SHOWN), figsize=(12.5, 3.9), layout="constrained")
    for panel, queries in zip(panels, SHOWN, strict=True):
        draw_densities(panel, compare_mechanisms(queries, EPSILON, DELTA))
        panel.set_ylim(0, 1.25 * panel.get_ylim()[1])  # room for the legend
    return save(figure, panels, folder / "mechanisms-densities.svg")


def main(folder: Path = FOLDER) -> list[Path]:
    """Draw both."""
    return [errors(folder), densities(folder)]


if __name__ == "__main__":
    mpl.use("svg")
    for written in main():
        print(written)
