"""What a run has found: kept in FOLDER/results.json cell by cell, so that a run can be resumed or redone in part."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cells import Cell
from bench.measure import is_rival
from bench.rivals import MISSING, versions
from bench.rivals.with_fastloss import FRESH, GIVEN, ONE_THREAD

ENOUGH = 0.75  # of the limit: a cell that reaches it has met its target
DISTURBED = 0.1  # of the CPUs taken by others: such a cell's times mean little
LEAST = 1.5  # times as fast as the best peer: no cell should be below
NOISE = 1.1  # what two timings of the same work may differ by


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def about() -> dict[str, Any]:
    return {
        "processor": processor(),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "versions": versions(),
        "missing": sorted(set(MISSING.values())),
    }


@dataclass(frozen=True)
class Found:
    """One cell's figures; seconds by library."""

    cell: Cell
    seconds: dict[str, float]
    moved: float
    arithmetic: float
    bandwidths: dict[str, float]
    left_out: dict[str, str]
    others: float  # share of the CPUs that other processes took

    @property
    def ours(self) -> float:
        return self.seconds[GIVEN]

    @property
    def fresh(self) -> float | None:
        return self.seconds.get(FRESH)

    @property
    def one_thread(self) -> float:
        return self.seconds[ONE_THREAD]

    @property
    def rivals(self) -> dict[str, float]:
        return {name: s for name, s in self.seconds.items() if is_rival(name)}

    @property
    def best(self) -> tuple[str, float] | None:
        return min(self.rivals.items(), key=lambda item: item[1]) if self.rivals else None

    @property
    def ratio(self) -> float | None:
        return self.best[1] / self.ours if self.best else None

    @property
    def fresh_ratio(self) -> float | None:
        return self.best[1] / self.fresh if self.best and self.fresh else None

    @property
    def limit(self) -> float:
        return max(self.moved, self.arithmetic)

    @property
    def share(self) -> float:
        return self.limit / self.ours

    @property
    def met(self) -> bool:
        return self.share >= ENOUGH or (self.ratio is not None and self.ratio >= self.cell.target)

    @property
    def share_met(self) -> bool:
        return self.cell.share is None or self.share >= self.cell.share


@dataclass
class Results:
    """All that was measured, by the machine and with the versions that ``about`` says."""

    about: dict[str, Any] = field(default_factory=about)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    sizes: dict[str, list[list[float]]] = field(default_factory=dict)  # [elements, 1 thread, 2 threads] of a loss
    small: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    catalogue: dict[str, dict[str, float]] = field(default_factory=dict)  # seconds, and those of the yardstick
    why: dict[str, Any] = field(default_factory=dict)  # see why.py
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)  # see steps.py

    @classmethod
    def load(cls, path: Path) -> Results:
        """What is there; nothing where it comes from other versions or another processor."""
        now = about()
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["about"] == now:
                return cls(**stored)
        return cls(now)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.__dict__, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def found(self, cells: Iterable[Cell]) -> list[Found]:
        return [Found(cell, **self.cells[cell.name]) for cell in cells if cell.name in self.cells]


def geometric_mean(numbers: Iterable[float | None]) -> float:
    logs = [math.log(x) for x in numbers if x]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan
