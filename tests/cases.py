"""One row per loss: what tests and benchmarks must know of it. Not here: any formula but the naive one.

A row names the inputs a loss takes, the parameter settings worth trying, its error bounds in ULPs (value and
gradient: the numeric policy's; the Hessian, of which that says nothing, has the same unless noted), what it
must answer at extreme elements, and the worked numbers of the source documents. Adding a loss is adding its
row to ``CASES``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from inputs import INF, NAN, binary_logits, logit_rows, probabilities, residuals, signed_scores

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
    ordinary: tuple[float, float] = (-100.0, 100.0)  # predictions whose results are far from overflow
    kind: str = "pointwise"
    has_hessian: bool = True
    hess_ulps: float | None = None
    looser: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)  # parameter: its three bounds
    aliases: tuple[str, ...] = ()

    def arrays(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, parameters: Parameters | None = None
    ) -> tuple[Array, Array]:
        """Prediction and target for a prediction of this shape (row losses: class axis last)."""
        return self.inputs(rng, shape, np.dtype(dtype), self.kinks(parameters or {}))

    def tamed(self, prediction: Array) -> Array:
        """The prediction brought into the ordinary range."""
        return np.clip(prediction, *self.ordinary)

    def resolved(self, parameters: Parameters, shape: tuple[int, ...]) -> dict[str, Any]:
        """Parameters with those that depend on the prediction's shape filled in."""
        return {k: v(shape) if callable(v) else v for k, v in parameters.items()}

    def bounds(self, parameters: Parameters) -> tuple[float, float, float]:
        """ULPs of value, gradient and Hessian, FMA or not."""
        bounds = [(self.ulps, self.ulps, self.hess_ulps or self.ulps)]
        bounds += [ulps for name, ulps in self.looser.items() if parameters.get(name)]
        value, grad, hess = (max(b) for b in zip(*bounds, strict=True))
        return value, grad, hess

    @property
    def rowwise(self) -> bool:
        return self.kind == "rowwise"


def per_class(shape: tuple[int, ...]) -> Array:
    """Class weights (or weights per column), all different, one of them 0 where there are more than two."""
    weights = np.linspace(0.25, 2.0, shape[-1])
    weights[3:4] = 0.0
    return weights


LN2 = 0.6931471805599453
NAN_RESIDUAL = (Extreme(NAN, 0, NAN, NAN, NAN), Extreme(0, NAN, NAN, NAN, NAN), Extreme(INF, INF, NAN, NAN, NAN))
SEED_002 = ([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])
ROWS_002 = ([[1.5, 2.0, 3.0], [0.2, 1.1, 0.8], [2.4, 1.6, 3.5]], [2, 1, 0])

CASES = (
    Case(
        "mse_loss",
        residuals,
        ulps=2,
        naive=lambda x, t: (x - t) ** 2,
        extremes=(
            *NAN_RESIDUAL,
            Extreme(0, 0, 0, 0, 2),
            Extreme(-INF, 0, INF, -INF, 2),
            Extreme(3e38, 0, INF, INF, 2, dtype="float32"),
            Extreme(1e200, 0, INF, 2e200, 2, dtype="float64"),
            Extreme(1.5e-22, 0, 2.25e-44, 3e-22, 2, dtype="float32"),  # a subnormal, kept
        ),
        worked=(Worked("002", *SEED_002, 0.375),),
    ),
    Case(
        "half_mse_loss",
        residuals,
        ulps=2,
        naive=lambda x, t: (x - t) ** 2 / 2,
        extremes=(
            *NAN_RESIDUAL,
            Extreme(0, 0, 0, 0, 1),
            Extreme(INF, 0, INF, INF, 1),
            Extreme(2.5e19, 0, 3.125e38, 2.5e19, 1, dtype="float32"),  # its square would overflow
        ),
        worked=(Worked("002", *SEED_002, 0.1875),),
    ),
    Case(
        "l1_loss",
        residuals,
        ulps=2,
        naive=lambda x, t: np.abs(x - t),
        extremes=(
            *NAN_RESIDUAL,
            Extreme(1.5, 1.5, 0, 0, 0),
            Extreme(-INF, 0, INF, -1, 0),
            Extreme(3e38, 0, 3e38, 1, 0),
        ),
        worked=(
            Worked("000", [20] * 5, [10, 20, 30, 40, 100], 24.0),
            Worked("000", [30] * 5, [10, 20, 30, 40, 100], 22.0),
            Worked("000", [40] * 5, [10, 20, 30, 40, 100], 24.0),
            Worked("000", [100] * 5, [10, 20, 30, 40, 100], 60.0),
            Worked("002", *SEED_002, 0.5),
        ),
        aliases=("mae_loss",),
    ),
    Case(
        "huber_loss",
        residuals,
        ulps=2,
        naive=lambda x, t, delta=1: np.where(
            abs(x - t) <= delta, (x - t) ** 2 / 2, delta * (abs(x - t) - type(x[0])(delta) / 2)
        ),
        parameters=({}, {"delta": 0.1}, {"delta": 1e-6}, {"delta": 1000.0}),
        kinks=lambda p: (0.0, p.get("delta", 1.0), -p.get("delta", 1.0)),
        extremes=(
            *NAN_RESIDUAL,
            Extreme(1, 0, 0.5, 1, 1),  # the ends belong to the quadratic part
            Extreme(-1, 0, 0.5, -1, 1),
            Extreme(1e30, 0, 1e30, 1, 0, dtype="float32"),
            Extreme(1e200, 0, 1e200, 1, 0, dtype="float64"),
            Extreme(-1e200, 0, 2e200, -2, 0, {"delta": 2.0}, dtype="float64"),
            Extreme(INF, 0, INF, 1, 0),
            Extreme(0, INF, INF, -1, 0),
        ),
        worked=(Worked("002", *SEED_002, 0.1875),),
    ),
    Case(
        "smooth_l1_loss",
        residuals,
        ulps=4,
        naive=lambda x, t, beta=1: np.where(
            abs(x - t) < beta, (x - t) ** 2 / (2 * type(x[0])(beta)), abs(x - t) - type(x[0])(beta) / 2
        ),
        parameters=({}, {"beta": 0.1}, {"beta": 0.0}, {"beta": 50.0}),
        kinks=lambda p: (0.0, p.get("beta", 1.0), -p.get("beta", 1.0)),
        extremes=(
            *NAN_RESIDUAL,
            Extreme(1, 0, 0.5, 1, 0),  # the ends belong to the linear part
            Extreme(0, 0, 0, 0, 1),
            Extreme(0, 0, 0, 0, 0, {"beta": 0.0}),
            Extreme(-2, 0, 2, -1, 0, {"beta": 0.0}),
            Extreme(3e38, 0, 3e38, 1, 0),
            Extreme(-INF, 0, INF, -1, 0),
        ),
        worked=(Worked("002", *SEED_002, 0.1875, {"beta": 1.0}),),
    ),
    Case(
        "binary_cross_entropy",
        probabilities,
        ulps=4,
        naive=lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)),
        extremes=(
            Extreme(1, 1, 0, -1, 1),
            Extreme(0, 0, 0, 1, 1),
            Extreme(0, 1, INF, -INF, INF),
            Extreme(1, 0, INF, INF, INF),
            Extreme(NAN, 1, NAN, NAN, NAN),
            Extreme(0.5, NAN, NAN, NAN, NAN),
            Extreme(0.5, 1, LN2, -2, 4),
            Extreme(0.5, 0, LN2, 2, 4),
        ),
        worked=(
            Worked("000", [0.9], [1], 0.1053605156578263),
            Worked("000", [0.2], [0], 0.2231435513142097),
            Worked("000", [0.88], [0], 2.120263536200091),
            Worked("002, 003", [0.9, 0.1, 0.8, 0.7], [1, 0, 1, 1], 0.19763488164214868),
            Worked("002, 003", [0.1, 0.9, 0.8, 0.3], [0, 1, 1, 0], 0.19763488164214868),
        ),
        ordinary=(0.125, 0.875),
        aliases=("log_loss",),
    ),
    Case(
        "binary_cross_entropy_with_logits",
        binary_logits,
        ulps=4,
        hess_ulps=8,  # sigma(x) sigma(-x) doubles the error of e^-|x|: 5.6 found
        naive=lambda x, t, pos_weight=1: pos_weight * t * np.log(1 + np.exp(-x)) + (1 - t) * np.log(1 + np.exp(x)),
        parameters=({}, {"pos_weight": 3.0}, {"pos_weight": 0.0}, {"pos_weight": per_class}),
        extremes=(
            Extreme(INF, 1, 0, 0, 0),
            Extreme(INF, 0, INF, 1, 0),
            Extreme(-INF, 0, 0, 0, 0),
            Extreme(-INF, 1, INF, -1, 0),
            Extreme(-1000, 1, 1000, -1, 0),
            Extreme(1000, 1, 0, 0, 0),
            Extreme(0, 1, LN2, -0.5, 0.25),
            Extreme(0, 0, LN2, 0.5, 0.25),
            Extreme(0, 1, 3 * LN2, -1.5, 0.75, {"pos_weight": 3.0}),
            Extreme(-INF, 1, 0, 0, 0, {"pos_weight": 0.0}),
            Extreme(NAN, 1, NAN, NAN, NAN),
            Extreme(1, NAN, NAN, NAN, NAN),
            Extreme(3e38, 0, 3e38, 1, 0),
            Extreme(-1e4, 0, 0, 0, 0),
            Extreme(-15, 0, 3.059022737137205e-07, 3.059022269256247e-07, None),
        ),
    ),
    Case(
        "hinge_loss",
        signed_scores,
        ulps=2,
        naive=lambda x, t, margin=1: np.maximum(0, margin - t * x),
        parameters=({}, {"margin": 0.1}, {"margin": 0.0}, {"margin": 7.0}),
        kinks=lambda p: (p.get("margin", 1.0),),
        extremes=(
            Extreme(1, 1, 0, 0, 0),
            Extreme(-1, -1, 0, 0, 0),
            Extreme(NAN, 1, NAN, NAN, NAN),
            Extreme(INF, 1, 0, 0, 0),
            Extreme(-INF, 1, INF, -1, 0),
            Extreme(INF, -1, INF, 1, 0),
            Extreme(3e38, -1, 3e38, 1, 0),
        ),
        worked=(
            Worked("000", [0, 0.5, 0.9, 1, 1.5], [1] * 5, [1, 0.5, 0.1, 0, 0], reduction="none"),
            Worked("000", [-0.1, -0.5, -0.9, -1, -2], [-1] * 5, [0.9, 0.5, 0.1, 0, 0], reduction="none"),
        ),
    ),
    Case(
        "squared_hinge_loss",
        signed_scores,
        ulps=2,
        naive=lambda x, t, margin=1: np.maximum(0, margin - t * x) ** 2,
        parameters=({}, {"margin": 0.1}, {"margin": 0.0}, {"margin": 7.0}),
        kinks=lambda p: (p.get("margin", 1.0),),
        extremes=(
            Extreme(1, 1, 0, 0, 0),
            Extreme(0, -1, 1, 2, 2),
            Extreme(NAN, -1, NAN, NAN, NAN),
            Extreme(INF, 1, 0, 0, 0),
            Extreme(-INF, 1, INF, -INF, 2),
        ),
        worked=(Worked("000, squared", [0, 0.5, 0.9, 1, 1.5], [1] * 5, [1, 0.25, 0.01, 0, 0], reduction="none"),),
    ),
    Case(
        "cross_entropy",
        logit_rows,
        ulps=4,
        hess_ulps=8,  # p (1 - p): 5.7 found
        # The slope of the cap is a factor with an error of its own (alone 4.7 found, without FMA), and with smoothing,
        # z-loss and class weights on top its errors add up: 7.5 and 14.1. z-loss: 4.4 in float64 without FMA.
        looser={"logit_softcap": (4, 8, 16), "z_loss": (4, 5, 8)},
        naive=lambda x, t: np.log(np.exp(x).sum(-1)) - np.take_along_axis(x, t[..., None], -1)[..., 0],
        parameters=(
            {},
            {"class_weight": per_class},
            {"label_smoothing": 0.1},
            {"label_smoothing": 1.0},
            {"temperature": 0.3},
            {"temperature": 2.5},
            {"logit_softcap": 3.0},
            {"logit_softcap": 30.0},
            {"z_loss": 1e-2},
            {
                "class_weight": per_class,
                "label_smoothing": 0.2,
                "temperature": 1.7,
                "logit_softcap": 8.0,
                "z_loss": 0.1,
            },
        ),
        kind="rowwise",
        worked=(
            Worked("002", *ROWS_002, 0.9074367089227993),
            Worked("002", *ROWS_002, [0.46436878, 0.76425216, 1.49368918], reduction="none", rel=0, abs=5e-9),
            Worked("tt-forge-onnx#3405", [[10, 0, -100]], [2], 110.000045, rel=0, abs=5e-7),
            Worked("tt-forge-onnx#3405", [[50, 0, -120]], [2], 170.0),
        ),
    ),
)

BY_NAME = {case.name: case for case in CASES}
POINTWISE = tuple(case for case in CASES if not case.rowwise)
ROWWISE = tuple(case for case in CASES if case.rowwise)
ACTIVATIONS = ("sigmoid", "log_sigmoid", "softplus", "softmax", "log_softmax", "logsumexp")
