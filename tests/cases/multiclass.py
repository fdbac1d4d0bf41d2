"""Losses of rows of classes: one row each."""

import numpy as np
from inputs import labelled_distributions, logit_rows, pairs_of_distributions, score_rows

from cases._case import Case, Worked, per_class

ROWS_002 = ([[1.5, 2.0, 3.0], [0.2, 1.1, 0.8], [2.4, 1.6, 3.5]], [2, 1, 0])

PROBABILITIES_003 = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]]
LN2 = 0.6931471805599453


def own_softmax(x, t):
    """The softmax probability of each row's target, as it is usually written."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.take_along_axis(e, t[..., None], -1)[..., 0] / e.sum(-1)


CASES = (
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
        targets="either",
        worked=(
            Worked("002", *ROWS_002, 0.9074367089227993),
            Worked("002", *ROWS_002, [0.46436878, 0.76425216, 1.49368918], reduction="none", rel=0, abs=5e-9),
            Worked("tt-forge-onnx#3405", [[10, 0, -100]], [2], 110.000045, rel=0, abs=5e-7),
            Worked("tt-forge-onnx#3405", [[50, 0, -120]], [2], 170.0),
        ),
    ),
    Case(
        "softmax_focal_loss",
        logit_rows,
        ulps=5,  # float64: a product of five rounded factors, 4.6 found; float32: 2.7
        hess_ulps=8,
        naive=lambda x, t: (1 - own_softmax(x, t)) ** 2 * -np.log(own_softmax(x, t)),
        parameters=(
            {},
            {"gamma": 0.0, "alpha": 0.25},
            {"gamma": 0.5, "class_weight": per_class},
            {"gamma": 5.0},
            {"gamma": 1.3, "alpha": per_class, "class_weight": per_class},
        ),
        # Class weights and alpha round once each; gamma multiplies what is left of an error: 4.2 found at 5.
        looser={"class_weight": (5, 5, 8), "gamma": (5, 5, 8)},
        kind="rowwise",
        worked=(
            Worked("by hand", [[0, 0]], [0], 0.25 * LN2),
            Worked(
                "by hand",
                [[0, 0], [0, 0]],
                [0, 1],
                [0.25 * LN2, 0.75 * LN2],
                {"gamma": 0.0, "alpha": [0.25, 0.75]},
                reduction="none",
            ),
        ),
    ),
    Case(
        "poly_cross_entropy",
        logit_rows,
        ulps=4,
        hess_ulps=8,
        naive=lambda x, t: 1 - own_softmax(x, t) - np.log(own_softmax(x, t)),
        parameters=(
            {},
            {"epsilon": ()},
            {"epsilon": -1.0},
            {"epsilon": (2.0, -0.5, 1.0), "form": "taylor"},
            {"epsilon": (0.5, 0.0, 3.0), "class_weight": per_class},
        ),
        looser={"class_weight": (5, 5, 8)},
        kind="rowwise",
        worked=(
            Worked("by hand", [[0, 0]], [0], LN2 + 0.5),
            Worked("by hand", [[0, 0]], [0], LN2, {"epsilon": (2.0, -4.0)}),
            Worked("by hand", [[0, 0]], [0], LN2, {"epsilon": (2.0, -8.0), "form": "taylor"}),
        ),
    ),
    Case(
        "multiclass_hinge_loss",
        score_rows,
        ulps=4,
        has_hessian=False,
        naive=lambda x, t: np.maximum(0, x - np.take_along_axis(x, t[..., None], -1) + 1).sum(-1) - 1,
        parameters=(
            {},
            {"margin": 0.25, "class_weight": per_class},
            {"margin": 0.0, "scale": "classes"},
            {"variant": "crammer-singer"},
            {"margin": 7.0, "variant": "crammer-singer", "scale": "classes"},
        ),
        kinks=lambda p: (p.get("margin", 1.0),),
        kind="rowwise",
        worked=(
            Worked("by hand", [[2, 1.5, 1.25]], [0], 0.75),
            Worked("by hand", [[2, 1.5, 1.25]], [0], 0.25, {"scale": "classes"}),
            Worked("by hand", [[2, 1.5, 1.25]], [0], 0.5, {"variant": "crammer-singer"}),
        ),
    ),
    Case(
        "categorical_cross_entropy",
        pairs_of_distributions,
        ulps=4,
        naive=lambda x, t: -np.where(t == 0, 0, t * np.log(x)).sum(-1),
        kind="rowwise",
        targets="probabilities",
        ordinary=(0.125, 0.875),
        worked=(
            Worked("000", [[0.05, 0.9, 0.05]], [[0, 1, 0]], 0.10536051565782628),
            Worked("000", [[0.5, 0.01, 0.49]], [[0, 1, 0]], 4.605170185988091),
            Worked("003", PROBABILITIES_003, np.eye(3), 0.3121644797305582),
        ),
    ),
    Case(
        "sparse_categorical_cross_entropy",
        labelled_distributions,
        ulps=4,
        naive=lambda x, t: -np.log(np.take_along_axis(x, t[..., None], -1))[..., 0],
        parameters=({}, {"class_weight": per_class}),
        kind="rowwise",
        ordinary=(0.125, 0.875),
        worked=(
            Worked("000", [[0.05, 0.9, 0.05]], [1], 0.10536051565782628),
            Worked("000", [[0.5, 0.01, 0.49]], [1], 4.605170185988091),
            Worked("003", PROBABILITIES_003, [0, 1, 2], 0.3121644797305582),
        ),
    ),
    Case(
        "kl_divergence",
        pairs_of_distributions,
        ulps=4,
        hess_ulps=8,
        naive=lambda x, t: np.where(t == 0, 0, t * (np.log(t) - np.log(x))).sum(-1),
        parameters=({}, {"from_logits": True}),
        kind="rowwise",
        targets="probabilities",
        ordinary=(0.125, 0.875),
        worked=(
            Worked("by hand", [[0.5, 0.5]], [[1, 0]], LN2),
            Worked("by hand", [[0.25, 0.75]], [[0.5, 0.5]], 0.14384103622589045),
            Worked("by hand", [[0, 0]], [[1, 0]], LN2, {"from_logits": True}),
        ),
    ),
)
