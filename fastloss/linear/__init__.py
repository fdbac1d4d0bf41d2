"""Linear models with any loss: an objective for ``scipy.optimize.minimize``, and scikit-learn estimators on it.

Not here: an optimiser. ``objective`` needs NumPy alone (a sparse X brings its own SciPy); ``LinearClassifier`` and
``LinearRegressor`` need scikit-learn 1.6 or newer (extra ``linear``), which is imported when they are asked for.

>>> from fastloss.linear import objective
>>> f = objective([[0.0], [1.0], [3.0]], [0, 1, 1], "binary_cross_entropy_with_logits", l2=0.1)
>>> round(f.fun([0.0, 0.0]), 6)  # log 2: nothing is learnt yet
0.693147
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fastloss.linear._objective import LinearObjective, objective

if TYPE_CHECKING:
    from fastloss.linear._classifier import LinearClassifier
    from fastloss.linear._regressor import LinearRegressor

_ESTIMATORS = {"LinearClassifier": "fastloss.linear._classifier", "LinearRegressor": "fastloss.linear._regressor"}

__all__ = ["LinearObjective", "objective"]
if TYPE_CHECKING or find_spec("sklearn"):
    __all__ += ["LinearClassifier", "LinearRegressor"]


def __getattr__(name: str) -> Any:
    if name not in _ESTIMATORS:
        raise AttributeError(f"module 'fastloss.linear' has no attribute {name!r}")
    try:
        return getattr(import_module(_ESTIMATORS[name]), name)
    except ImportError as error:
        raise ImportError(
            f"fastloss.linear.{name} needs scikit-learn 1.6 or newer: pip install 'fastloss[linear]' ({error})"
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
