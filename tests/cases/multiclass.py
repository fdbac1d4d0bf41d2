"""Losses of rows of classes: one row each."""

import numpy as np
from inputs import logit_rows

from cases._case import Case, Worked, per_class

ROWS_002 = ([[1.5, 2.0, 3.0], [0.2, 1.1, 0.8], [2.4, 1.6, 3.5]], [2, 1, 0])

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
        worked=(
            Worked("002", *ROWS_002, 0.9074367089227993),
            Worked("002", *ROWS_002, [0.46436878, 0.76425216, 1.49368918], reduction="none", rel=0, abs=5e-9),
            Worked("tt-forge-onnx#3405", [[10, 0, -100]], [2], 110.000045, rel=0, abs=5e-7),
            Worked("tt-forge-onnx#3405", [[50, 0, -120]], [2], 170.0),
        ),
    ),
)
