"""The cells of the comparison: what is measured, and how many times as fast as the best peer it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.problems import ACTIVATIONS, Problem, label

DOUBLE = 2.0  # times as fast, for every cell in float64 that says nothing else
POINTWISE_SIZES = (100, 10_000, 1_000_000, 16_000_000)


@dataclass(frozen=True)
class Cell:
    """``share`` is the part of the limit that it should reach besides, where one is named."""

    problem: dict[str, Any]
    target: float
    share: float | None = None

    def make(self) -> Problem:
        """New arrays, which go when the cell is done."""
        return Problem(**self.problem)

    @property
    def name(self) -> str:
        p = self.make()
        extra = [
            *(["value only"] if p.kind == "value" else []),
            *(["probabilities"] if p.soft else []),
            *([f"axis={p.axis}"] if p.axis != -1 else []),
            *(["in place"] if p.in_place else []),
        ]
        work = "clip_and_noise" if p.kind == "clip" else f"{p.name} noise" if p.kind == "noise" else p.name
        return " ".join([work, label(p.shape), *extra, p.dtype])


def both(
    name: str, shape: tuple[int, ...], target: float, share: float | None = None, double: float = DOUBLE, **more: Any
) -> list[Cell]:
    """A cell in float32 and the same in float64."""
    return [
        Cell({"name": name, "shape": shape, "dtype": "float32", **more}, target, share),
        Cell({"name": name, "shape": shape, "dtype": "float64", **more}, double),
    ]


def _all() -> list[Cell]:
    rows: list[tuple[tuple[int, ...], float, float | None]] = [
        ((64, 10), 2, None),
        ((4096, 10), 8, None),
        ((4096, 16), 8, None),
        ((4096, 32), 5, None),
        ((4096, 64), 3, None),
        ((1024, 1000), 2.5, None),
        ((512, 32000), 6, 0.7),
        ((128, 128256), 6, 0.7),
        ((1, 4_000_000), 4, None),
        ((3, 250_002), 4, None),
    ]
    cells = [cell for shape, target, share in rows for cell in both("cross_entropy", shape, target, share)]
    for large in ((512, 32000), (128, 128256)):
        cells += both("cross_entropy", large, 6, 0.7, in_place=True)
    cells += both("cross_entropy", (32, 81, 8732), 3, axis=1)
    cells += both("cross_entropy", (1024, 1000), 2.5, soft=True)
    cells += both("cross_entropy", (512, 32000), 4, 0.8, kind="value")
    for name in ("huber_loss", "mse_loss", "hinge_loss"):
        for n, target in zip(POINTWISE_SIZES, (2.5, 6, 4, 4), strict=True):
            cells += both(name, (n,), target, 0.85 if n == POINTWISE_SIZES[-1] else None)
    for n, target in zip(POINTWISE_SIZES, (2, 5, 3, 5), strict=True):
        cells += both("binary_cross_entropy_with_logits", (n,), target)
    for n, target in ((1_000_000, 2.5), (16_000_000, 5)):
        cells += both("focal_loss", (n,), target)
    for grads, target in (((1024, 1000), 4), ((256, 100_000), 2.3), ((64, 1_000_000), 2)):
        cells += both("clip_and_noise", grads, target, 0.8, kind="clip")
    cells += both("gaussian", (10_000_000,), 3, kind="noise")
    # The secure path's integers, against what NumPy users draw today.
    cells += [Cell({"name": "discrete_gaussian", "shape": (10_000_000,), "dtype": "float32", "kind": "noise"}, 1)]
    cells += [Cell({"name": "laplace", "shape": (10_000_000,), "dtype": "float64", "kind": "noise"}, 8)]
    for name in ACTIVATIONS:
        elementwise = name in ("sigmoid", "softplus")
        cells += both(name, (1_000_000,) if elementwise else (1000, 1000), 2, kind="activation")
    # Type by type, as the report shows them.
    return sorted(cells, key=lambda c: c.problem["dtype"])


CELLS = tuple(_all())
