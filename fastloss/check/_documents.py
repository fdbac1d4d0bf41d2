"""The worked numbers of the source documents: a loss, its arguments, and the value that comes out."""

from __future__ import annotations

from typing import Any

SCALES = [10.0, 20.0, 30.0, 40.0, 100.0]
LOGITS = [[1.5, 2.0, 3.0], [0.2, 1.1, 0.8], [2.4, 1.6, 3.5]]

Worked = tuple[str, Any, Any, dict[str, Any], float]

WORKED_NUMBERS: list[Worked] = [
    *(("l1_loss", [guess] * 5, SCALES, {}, value) for guess, value in ((20.0, 24.0), (30.0, 22.0), (40.0, 24.0))),
    ("l1_loss", [100.0] * 5, SCALES, {}, 60.0),
    ("binary_cross_entropy", [0.9], [1.0], {}, 0.1053605156578263),
    ("binary_cross_entropy", [0.2], [0.0], {}, 0.2231435513142097),
    ("binary_cross_entropy", [0.88], [0.0], {}, 2.120263536200091),
    ("binary_cross_entropy", [0.9, 0.1, 0.8, 0.7], [1.0, 0.0, 1.0, 1.0], {}, 0.19763488164214868),
    ("binary_cross_entropy", [0.1, 0.9, 0.8, 0.3], [0.0, 1.0, 1.0, 0.0], {}, 0.19763488164214868),
    ("balanced_cross_entropy", [0.9, 0.1, 0.8, 0.7], [1.0, 0.0, 1.0, 1.0], {}, 0.19763488164214868),
    *(("hinge_loss", [f], [1.0], {}, loss) for f, loss in ((0.0, 1.0), (0.5, 0.5), (0.9, 0.1), (1.0, 0.0), (1.5, 0.0))),
    *(
        ("hinge_loss", [f], [-1.0], {}, loss)
        for f, loss in ((-0.1, 0.9), (-0.5, 0.5), (-0.9, 0.1), (-1.0, 0.0), (-2.0, 0.0))
    ),
    ("mse_loss", [2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0], {}, 0.375),
    ("l1_loss", [2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0], {}, 0.5),
    ("huber_loss", [2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0], {"delta": 1.0}, 0.1875),
    *(
        (name, probabilities, target, {}, value)
        for probabilities, label, value in (
            ([[0.05, 0.9, 0.05]], [1], 0.10536051565782628),
            ([[0.5, 0.01, 0.49]], [1], 4.605170185988091),
            ([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]], [0, 1, 2], 0.3121644797305582),
        )
        for name, target in (
            ("sparse_categorical_cross_entropy", label),
            ("categorical_cross_entropy", [[float(c == k) for c in range(3)] for k in label]),
        )
    ),
    ("cross_entropy", LOGITS, [2, 1, 0], {}, 0.9074367089227993),
    ("cross_entropy", [[10.0, 0.0, -100.0]], [2], {}, 110.00004539889922),
    ("cross_entropy", [[50.0, 0.0, -120.0]], [2], {}, 170.0),
]

# The same of losses of several arrays.
PAIRS_002 = ([[0.2, 0.3]] * 3, [[0.4, 0.5]] * 3, [1, 0, 1])
WORKED_SEVERAL: list[tuple[str, tuple[Any, ...], dict[str, Any], float]] = [
    ("contrastive_loss", PAIRS_002, {"half": False}, 0.22477152501692066),
    ("contrastive_loss", PAIRS_002, {}, 0.11238576250846033),
]
