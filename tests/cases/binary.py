"""Losses of binary labels and of signs: one row each."""

import numpy as np
from inputs import INF, NAN, Array, binary_logits, probabilities, signed_scores

from cases._case import Case, Extreme, Worked, per_class

LN2 = 0.6931471805599453
NAN_LOGIT = (Extreme(NAN, 1, NAN, NAN, NAN), Extreme(1, NAN, NAN, NAN, NAN))


def naive_parts(x: Array, t: Array) -> tuple[Array, Array]:
    """Cross-entropy of a logit and 1 - p_t, as they are usually written."""
    p = 1 / (1 + np.exp(-x))
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)), 1 - (p * t + (1 - p) * (1 - t))


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
            Extreme(-0.0, 1, INF, -INF, INF),
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
        "balanced_cross_entropy",
        probabilities,
        ulps=4,
        naive=lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)),
        parameters=({}, {"pos_weight": 0.0}, {"pos_weight": 3.0, "neg_weight": 0.1}),
        extremes=(
            Extreme(1, 1, 0, -1, 1),
            Extreme(0, 0, 0, 1, 1),
            Extreme(0, 1, INF, -INF, INF),
            Extreme(1, 0, INF, INF, INF),
            Extreme(0, 1, 0, 0, 0, {"pos_weight": 0.0}),
            Extreme(NAN, 1, NAN, NAN, NAN, {"pos_weight": 0.0}),
            Extreme(NAN, 1, NAN, NAN, NAN),
            Extreme(0.5, NAN, NAN, NAN, NAN),
            Extreme(0.5, 1, 3 * LN2, -6, 12, {"pos_weight": 3.0}),
            Extreme(0.5, 0, 3 * LN2, 6, 12, {"neg_weight": 3.0}),
        ),
        worked=(
            Worked("002, weights 1", [0.9, 0.1, 0.8, 0.7], [1, 0, 1, 1], 0.19763488164214868),
            # The printed formula: -(2 log .9 + .5 log .9 + 2 log .8 + 2 log .7) / 4, divided by the count.
            Worked(
                "002",
                [0.9, 0.1, 0.8, 0.7],
                [1, 0, 1, 1],
                0.3557595699126125,
                {"pos_weight": 2.0, "neg_weight": 0.5},
            ),
        ),
        ordinary=(0.125, 0.875),
    ),
    Case(
        "focal_loss",
        binary_logits,
        ulps=4,
        looser={"gamma": (5, 5, 8)},  # gamma multiplies an error of the logarithm: 4.1 found at 1
        hess_ulps=8,  # up to five products of two to four sums: 7.0 found
        naive=lambda x, t: naive_parts(x, t)[0] * naive_parts(x, t)[1] ** 2,
        parameters=(
            {},
            {"alpha": 0.25},
            {"gamma": 1.0, "alpha": 0.1},
            {"gamma": 0.0},
            {"gamma": 0.5, "alpha": 0.9},
            {"gamma": 3.7},
        ),
        extremes=(
            *NAN_LOGIT,
            Extreme(0, 1, LN2 / 4, -(1 / 2 + LN2) / 4, (2.5 + LN2) / 8),
            Extreme(0, 0, LN2 / 4, (1 / 2 + LN2) / 4, (2.5 + LN2) / 8),
            Extreme(0, 1, LN2 / 16, -(1 / 2 + LN2) / 16, (2.5 + LN2) / 32, {"alpha": 0.25}),
            Extreme(INF, 1, 0, 0, 0),
            Extreme(INF, 0, INF, 1, 0),
            Extreme(-INF, 0, 0, 0, 0),
            Extreme(-INF, 1, INF, -1, 0),
            Extreme(INF, 0.5, INF, 0.125, 0),
            Extreme(-INF, 1, 0, 0, 0, {"alpha": 0.0}),
            Extreme(-INF, 1, INF, -1, 0, {"gamma": 0.5}),
            Extreme(INF, 1, 0, 0, 0, {"gamma": 0.5}),
            Extreme(1000, 1, 0, 0, 0, {"gamma": 0.5}),
            Extreme(-1000, 1, 1000, -1, 0),
            Extreme(-1000, 1, 1000, -1, 0, {"gamma": 1.0}),
            Extreme(3e38, 0, 3e38, 1, 0),
            Extreme(-3e38, 1, 3e38, -1, 0, {"gamma": 0.3}),
            Extreme(40, 1, 8.756510762696521e-27, -1.3134766144044781e-26, 1.970214921606717e-26, {"gamma": 0.5}),
        ),
        worked=(Worked("by hand", [0, 0], [1, 0], LN2 / 4), Worked("by hand", [0], [1], LN2 / 2, {"gamma": 1.0})),
    ),
    Case(
        "poly_loss",
        binary_logits,
        ulps=4,
        hess_ulps=8,  # 4.4 found
        naive=lambda x, t: naive_parts(x, t)[0] + naive_parts(x, t)[1],
        parameters=(
            {},
            {"epsilon": -1.0},
            {"epsilon": (1.0, -2.0, 3.0, 0.0, 0.5, -0.25, 1.5), "form": "taylor"},
            {"epsilon": (1.0, -2.0, 3.0)},
        ),
        extremes=(
            *NAN_LOGIT,
            Extreme(0, 1, LN2 + 0.5, -0.75, 0.25),
            Extreme(0, 0, LN2 + 0.5, 0.75, 0.25),
            Extreme(0, 1, LN2, -0.5, 0.25, {"epsilon": ()}),
            Extreme(0, 1, LN2 + 1 - 1, -0.5 - 0.5 + 1, 0.25 - 0.5, {"epsilon": (2.0, -4.0)}),
            Extreme(0, 1, LN2 + 1 - 0.5, -0.5, 0, {"epsilon": (2.0, -4.0), "form": "taylor"}),
            Extreme(INF, 1, 0, 0, 0),
            Extreme(INF, 0, INF, 1, 0),
            Extreme(-INF, 0, 0, 0, 0),
            Extreme(-INF, 1, INF, -1, 0),
            Extreme(-INF, 1, INF, -1, 0, {"epsilon": (1.0, 1.0)}),
            Extreme(INF, 1, 0, 0, 0, {"epsilon": (1.0, 1.0)}),
            Extreme(-1000, 1, 1001, -1, 0),
            Extreme(-1000, 1, 1003, -1, 0, {"epsilon": (1.0, 2.0)}),
            Extreme(1000, 1, 0, 0, 0),
            Extreme(3e38, 0, 3e38, 1, 0),
        ),
        worked=(
            Worked("by hand", [0, 0], [1, 0], LN2 + 0.5),
            Worked("by hand", [0], [1], LN2 + 1 + 1, {"epsilon": (2.0, 4.0)}),
            Worked("by hand", [0], [1], LN2 + 1 + 0.5, {"epsilon": (2.0, 4.0), "form": "taylor"}),
        ),
    ),
    Case(
        "soft_margin_loss",
        signed_scores,
        ulps=4,
        hess_ulps=8,  # that of cross-entropy with logits
        naive=lambda x, t: np.log(1 + np.exp(-t * x)),
        extremes=(
            Extreme(NAN, 1, NAN, NAN, NAN),
            Extreme(0, 1, LN2, -0.5, 0.25),
            Extreme(0, -1, LN2, 0.5, 0.25),
            Extreme(INF, 1, 0, 0, 0),
            Extreme(-INF, 1, INF, -1, 0),
            Extreme(INF, -1, INF, 1, 0),
            Extreme(-1000, 1, 1000, -1, 0),
            Extreme(3e38, -1, 3e38, 1, 0),
            Extreme(15, 1, 3.059022737137205e-07, -3.059022269256247e-07, None),
        ),
        worked=(Worked("by hand", [0, 0], [1, -1], LN2),),
    ),
    Case(
        "exponential_loss",
        binary_logits,
        ulps=4,
        naive=lambda x, t: t * np.exp(-x) + (1 - t) * np.exp(x),
        extremes=(
            *NAN_LOGIT,
            Extreme(0, 1, 1, -1, 1),
            Extreme(0, 0, 1, 1, 1),
            Extreme(INF, 1, 0, 0, 0),
            Extreme(-INF, 1, INF, -INF, INF),
            Extreme(INF, 0, INF, INF, INF),
            Extreme(INF, 0.5, INF, INF, INF),
            Extreme(1000, 1, 0, 0, 0),
            Extreme(-1000, 1, INF, -INF, INF),
            # A small part of a label takes the exponential back into range.
            Extreme(-100, 2.0**-100, 2.1205505218331957e13, -2.1205505218331957e13, 2.1205505218331957e13),
        ),
        worked=(Worked("by hand", [0, 1], [1, 1], (1 + 0.36787944117144233) / 2),),
        ordinary=(-30.0, 30.0),
    ),
)
