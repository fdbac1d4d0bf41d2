"""Regression losses: one row each."""

import numpy as np
from inputs import INF, NAN, residuals

from cases._case import Case, Extreme, Worked

NAN_RESIDUAL = (Extreme(NAN, 0, NAN, NAN, NAN), Extreme(0, NAN, NAN, NAN, NAN), Extreme(INF, INF, NAN, NAN, NAN))
SEED_002 = ([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])

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
)
