"""Losses of binary labels and of signs: one row each."""

import numpy as np
from inputs import INF, NAN, binary_logits, probabilities, signed_scores

from cases._case import Case, Extreme, Worked, per_class

LN2 = 0.6931471805599453

CASES = (
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
)
