"""Regression losses: one row each."""

import numpy as np
from inputs import INF, NAN, amounts, counts, residuals

from cases._case import Case, Extreme, Worked

NAN_RESIDUAL = (Extreme(NAN, 0, NAN, NAN, NAN), Extreme(0, NAN, NAN, NAN, NAN), Extreme(INF, INF, NAN, NAN, NAN))
LN2 = 0.6931471805599453
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
    Case(
        "log_cosh_loss",
        residuals,
        ulps=4,
        naive=lambda x, t: np.log(np.cosh(x - t)),
        kinks=lambda p: (0.0, 0.5, -0.5, 20.0),  # where the kernel's formulas meet
        extremes=(
            *NAN_RESIDUAL,
            Extreme(0, 0, 0, 0, 1),
            Extreme(INF, 0, INF, 1, 0),
            Extreme(0, INF, INF, -1, 0),
            Extreme(3e38, 0, 3e38, 1, 0),
            Extreme(-1000, 0, 1000 - LN2, -1, 0),
            Extreme(1e-10, 0, 5e-21, 1e-10, 1),
            Extreme(2.0**-73, 0, 2.0**-147, 2.0**-73, 1, dtype="float32"),  # a subnormal, kept
            Extreme(50, 0, 50 - LN2, 1, 1.4880303904083344e-43, dtype="float32"),
            Extreme(370, 0, 370 - LN2, 1, 1.6754959520192196e-321, dtype="float64"),
        ),
        worked=(Worked("by hand", [np.arccosh(2.0), 0.0], [0.0, np.arccosh(4.0)], [LN2, 2 * LN2], reduction="none"),),
    ),
    Case(
        "pseudo_huber_loss",
        residuals,
        ulps=4,
        naive=lambda x, t, delta=1: type(x[0])(delta) ** 2 * (np.sqrt(1 + ((x - t) / type(x[0])(delta)) ** 2) - 1),
        parameters=({}, {"delta": 0.1}, {"delta": 1e-6}, {"delta": 1000.0}),
        kinks=lambda p: (0.0, p.get("delta", 1.0), -p.get("delta", 1.0)),
        extremes=(
            *NAN_RESIDUAL,
            Extreme(0, 0, 0, 0, 1),
            Extreme(0.75, 0, 0.25, 0.6, 0.512),
            Extreme(-4, 0, 6, -2.4, 0.216, {"delta": 3.0}),
            Extreme(INF, 0, INF, 1, 0),
            Extreme(0, INF, INF, -2, 0, {"delta": 2.0}),
            Extreme(3e38, 0, 3e38, 1, 0, dtype="float32"),
            Extreme(1e30, 0, 1e30, 1, 0, dtype="float32"),
            Extreme(-1e200, 0, 1e200, -1, 0, dtype="float64"),
            Extreme(1e-15, 0, 5e-31, 1e-15, 1, {"delta": 1e30}),
            Extreme(1e15, 0, 1e-15, 1e-30, 0, {"delta": 1e-30}, dtype="float32"),
            Extreme(1.5e-22, 0, 1.125e-44, 1.5e-22, 1, dtype="float32"),
        ),
        worked=(Worked("by hand", [4.0, -3.0], [0.0, 1.0], 6.0, {"delta": 3.0}),),
    ),
    Case(
        "quantile_loss",
        residuals,
        ulps=2,
        naive=lambda x, t, quantile=0.5: np.maximum(quantile * (t - x), (quantile - 1) * (t - x)),
        parameters=({}, {"quantile": 0.1}, {"quantile": 0.95}),
        extremes=(
            *NAN_RESIDUAL,
            Extreme(3, 3, 0, 0, 0),
            Extreme(1, 3, 1.5, -0.75, 0, {"quantile": 0.75}),
            Extreme(5, 3, 0.5, 0.25, 0, {"quantile": 0.75}),
            Extreme(INF, 0, INF, 0.5, 0),
            Extreme(-INF, 0, INF, -0.25, 0, {"quantile": 0.25}),
            Extreme(3e38, 0, 1.5e38, 0.5, 0),
        ),
        worked=(Worked("by hand, half of 000", [20] * 5, [10, 20, 30, 40, 100], 12.0),),
    ),
    Case(
        "poisson_nll_loss",
        counts,
        ulps=4,
        naive=lambda x, t: np.exp(x) - t * x,
        parameters=({}, {"full": True}, {"log_input": False}, {"log_input": False, "full": True}),
        kinks=lambda p: (),
        fit=lambda p, x: x if p.get("log_input", True) else np.maximum(np.abs(x), x.dtype.type(1e-12)),
        extremes=(
            Extreme(NAN, 1, NAN, NAN, NAN),
            Extreme(1, NAN, NAN, NAN, NAN),
            Extreme(NAN, 0, NAN, NAN, NAN),
            Extreme(0, 0, 1, 1, 1),
            Extreme(0, 3, 1, -2, 1),
            Extreme(INF, 5, INF, INF, INF),
            Extreme(-INF, 5, INF, -5, 0),
            Extreme(-INF, 0, 0, 0, 0),
            Extreme(3e38, 1e30, INF, INF, INF, dtype="float32"),  # e^x beats t x
            Extreme(-3e38, 1, 3e38, -1, 0),
            Extreme(1e4, 7, INF, INF, INF),
            # e^x alone is too large for the type, the differences are not
            Extreme(89, 2e36, 2.70961288736558e38, INF, INF, dtype="float32"),
            Extreme(88.75, 1e37, -INF, 3.39651397992224e38, INF, dtype="float32"),
            Extreme(2, INF, -INF, -INF, None),
            Extreme(NAN, 0, NAN, NAN, NAN, {"log_input": False}),
            Extreme(2, NAN, NAN, NAN, NAN, {"log_input": False}),
            Extreme(INF, NAN, NAN, NAN, NAN, {"log_input": False}),
            Extreme(0, 0, 0, 1, 0, {"log_input": False}),  # 0 log 0 = 0
            Extreme(-0.0, 0, 0, 1, 0, {"log_input": False}),
            Extreme(4, 0, 4, 1, 0, {"log_input": False}),
            Extreme(0, 2, INF, -INF, INF, {"log_input": False}),
            Extreme(-0.0, 2, INF, -INF, INF, {"log_input": False}),
            Extreme(1, 3, 1, -2, 3, {"log_input": False}),
            Extreme(INF, 3, INF, 1, 0, {"log_input": False}),
            Extreme(INF, 0, INF, 1, 0, {"log_input": False}),
            Extreme(2.0**-20, 3 * 2.0**-149, 2.0**-20, 1, 3 * 2.0**-109, {"log_input": False}, "float32"),
            Extreme(0, 1, 1, 0, 1, {"full": True}),  # no Stirling up to t = 1
            Extreme(0, 0, 1, 1, 1, {"full": True}),
            Extreme(0, 2, 1.6518064846045360, -1, 1, {"full": True}),
            Extreme(INF, 5, INF, INF, INF, {"full": True}),
            Extreme(0, 2, INF, -INF, INF, {"log_input": False, "full": True}),
            Extreme(0, 0, 0, 1, 0, {"log_input": False, "full": True}),
        ),
        worked=(
            Worked("by hand", [0.0, LN2], [1.0, 4.0], [1.0, 2 - 4 * LN2], reduction="none"),
            Worked("by hand", [1.0, 2.0], [3.0, 4.0], [1.0, 2 - 4 * LN2], {"log_input": False}, "none"),
        ),
        ordinary=(-20.0, 20.0),
    ),
    Case(
        "gamma_nll_loss",
        amounts,
        ulps=4,
        naive=lambda x, t: x + t * np.exp(-x),
        kinks=lambda p: (),
        extremes=(
            Extreme(NAN, 1, NAN, NAN, NAN),
            Extreme(1, NAN, NAN, NAN, NAN),
            Extreme(0, 3, 3, -2, 3),
            Extreme(INF, 5, INF, 1, 0),
            Extreme(-INF, 5, INF, -INF, INF),
            Extreme(3e38, 1, 3e38, 1, 0),
            Extreme(-3e38, 1, INF, -INF, INF),
            Extreme(0, INF, INF, -INF, INF),
            # e^-x alone is no number of the type, the product is
            Extreme(150, 1e38, 150, 1, 7.175095743766327e-28, dtype="float32"),
            Extreme(-100, 1e-30, 2.6881171503303e13, -2.6881171503403e13, 2.6881171503403e13, dtype="float32"),
            Extreme(-150, 2.0**-149, 1.95300309510258e20, -1.95300309510258e20, 1.95300309510258e20, dtype="float32"),
            Extreme(-10, 2.0**-149, -10, 1, 3.0865652692765763e-41, dtype="float32"),
            Extreme(800, 1e300, 800, 1, 3.6678745841776874e-48, dtype="float64"),
        ),
        worked=(Worked("by hand", [0.0, LN2], [3.0, 4.0], [3.0, LN2 + 2], reduction="none"),),
        ordinary=(-20.0, 20.0),
    ),
    Case(
        "tweedie_loss",
        amounts,
        ulps=4,
        naive=lambda x, t: 2 * np.exp(x / 2) + 2 * t * np.exp(-x / 2),
        parameters=({}, {"power": 0.0}, {"power": 1.0}, {"power": 1.9}, {"power": 2.0}, {"power": 3.0}, {"power": 0.1}),
        kinks=lambda p: (),
        extremes=(
            Extreme(NAN, 1, NAN, NAN, NAN),
            Extreme(1, NAN, NAN, NAN, NAN),
            Extreme(NAN, 0, NAN, NAN, NAN),
            Extreme(0, 3, 8, -2, 2),
            Extreme(0, 0, 2, 1, 0.5),
            Extreme(INF, 5, INF, INF, INF),
            Extreme(INF, 0, INF, INF, INF),
            Extreme(-INF, 5, INF, -INF, INF),
            Extreme(-INF, 0, 0, 0, 0),
            Extreme(3e38, 1e30, INF, INF, INF, dtype="float32"),
            Extreme(-3e38, 1, INF, -INF, INF),
            Extreme(0, INF, INF, -INF, INF),
            Extreme(0, 3, -2.5, -2, -1, {"power": 0.0}),
            Extreme(INF, 3, INF, INF, INF, {"power": 0.0}),
            Extreme(-INF, 3, 0, 0, 0, {"power": 0.0}),
            Extreme(100, 1e38, INF, INF, INF, {"power": 0.0}, "float32"),  # e^200 / 2 - 1e38 e^100
            Extreme(85, 1e38, -INF, -INF, -INF, {"power": 0.0}, "float32"),
            Extreme(44.5, 0, 2.2448064095871726e38, INF, INF, {"power": 0.0}, "float32"),  # halved, it is no overflow
            Extreme(-INF, 0, 0, 0, 0, {"power": 1.0}),
            Extreme(-INF, 2, INF, -INF, INF, {"power": 2.0}),
            Extreme(INF, 2, 0, 0, 0, {"power": 3.0}),
            Extreme(-INF, 2, INF, -INF, INF, {"power": 3.0}),
        ),
        worked=(Worked("by hand", [0.0, 2 * LN2], [3.0, 4.0], [8.0, 8.0], reduction="none"),),
        ordinary=(-10.0, 10.0),
    ),
)
