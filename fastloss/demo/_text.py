"""Tables as text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of a sample."""
    return statistics.fmean(values), statistics.stdev(values)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: str = "") -> str:
    """Columns as wide as their longest entry: the first to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]

    def text(line: Sequence[str]) -> str:
        numbers = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        return "  ".join([line[0].ljust(widths[0]), *numbers])

    parts = [title, "", text(header), "  ".join("-" * width for width in widths), *map(text, rows)]
    return "\n".join([*parts, *(["", notes] if notes else [])])
