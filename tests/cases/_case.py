"""What a row of the case tables is, and what several families' rows share. Not here: the rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Extreme:
    """One element (or row) and its exact answer; None where edge-cases leave it open."""

    prediction: Any
    target: Any
    value: Any
    grad: Any
    hess: Any = None
    parameters: Parameters = field(default_factory=dict)
    dtype: str | None = None  # the only type it concerns


@dataclass(frozen=True)
class Worked:
    """A number worked out in a source document, to the digits that are given there."""

    source: str
    prediction: Any
    target: Any
    value: Any
    parameters: Parameters = field(default_factory=dict)
    reduction: str = "mean"
    rel: float = 1e-14
    abs: float = 0.0


@dataclass(frozen=True)
class Case:
    """Everything about one loss. ``kinks`` are the residuals (or margins) where a derivative jumps."""

    name: str
    inputs: Callable[..., tuple[Array, Array]]
    ulps: float
    naive: Callable[..., Any]
    parameters: tuple[Parameters, ...] = ({},)
    kinks: Callable[[Parameters], tuple[float, ...]] = lambda p: (0.0,)
    extremes: tuple[Extreme, ...] = ()
    worked: tuple[Worked, ...] = ()
    fit: Callable[[Parameters, Array], Array] = lambda p, x: x  # predictions into the domain that parameters leave them
    ordinary: tuple[float, float] = (-100.0, 100.0)  # predictions whose results are far from overflow
    kind: str = "pointwise"
    targets: str = "labels"  # of row losses: "labels", "probabilities" or "either"
    has_hessian: bool = True
    hess_ulps: float | None = None
    looser: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)  # parameter: its three bounds
    aliases: tuple[str, ...] = ()

    def arrays(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, parameters: Parameters | None = None
    ) -> tuple[Array, Array]:
        """Prediction and target for a prediction of this shape (row losses: class axis last)."""
        x, t = self.inputs(rng, shape, np.dtype(dtype), self.kinks(parameters or {}))
        return self.fit(parameters or {}, x), t

    def tamed(self, prediction: Array) -> Array:
        """The prediction brought into the ordinary range."""
        return np.clip(prediction, *self.ordinary)

    def resolved(self, parameters: Parameters, shape: tuple[int, ...]) -> dict[str, Any]:
        """Parameters with those that depend on the prediction's shape filled in."""
        return {k: v(shape) if callable(v) else v for k, v in parameters.items()}

    def bounds(self, parameters: Parameters) -> tuple[float, float, float]:
        """ULPs of value, gradient and Hessian, FMA or not."""
        bounds = [(self.ulps, self.ulps, self.hess_ulps or self.ulps)]
        bounds += [ulps for name, ulps in self.looser.items() if np.any(parameters.get(name, 0))]
        value, grad, hess = (max(b) for b in zip(*bounds, strict=True))
        return value, grad, hess

    @property
    def rowwise(self) -> bool:
        return self.kind == "rowwise"

    @property
    def labelled(self) -> bool:
        """Whether rows may have integer labels, and class weights with them."""
        return self.rowwise and self.targets != "probabilities"

    def rows(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The unreduced shape of a prediction of this shape, class axis last."""
        return shape[:-1] if self.rowwise else shape

    def moved(self, target: Array, axis: int) -> Array:
        """A row loss's target with its class axis, if it has one, brought from the end to ``axis``."""
        return target if self.labelled else np.ascontiguousarray(np.moveaxis(target, -1, axis))

    def plain_target(self, prediction: Array) -> Array:
        """A valid target for any prediction of this shape."""
        return (
            np.zeros(prediction.shape[:-1], int)
            if self.labelled
            else np.full_like(prediction, 0.25 if self.rowwise else 1)
        )


def per_class(shape: tuple[int, ...]) -> Array:
    """Class weights (or weights per column), all different, one of them 0 where there are more than two."""
    weights = np.linspace(0.25, 2.0, shape[-1])
    weights[3:4] = 0.0
    return weights
