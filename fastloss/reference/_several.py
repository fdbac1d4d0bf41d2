"""Reference losses of several arrays, more than one of which may have a gradient.

A formula returns ``Terms`` whose ``grad`` is a function: given ``weigh``, which multiplies an array by what each row of
the unreduced loss (its leading axes) counts, it returns the tuple of gradients, in argument order, learnable scalars
last. So a gradient that adds up rows adds them up weighted. ``grad_scale`` is such a function too, or None: the
gradients' absolute values.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ._reduce import Array, ReferenceLoss, Terms

Weigh = Callable[[Array], Array]
Rows = Callable[[Array, Mapping[str, Any]], tuple[Array, Array]]


def one_row_per_element(target: Array, parameters: Mapping[str, Any]) -> tuple[Array, Array]:
    """Class weights 1 and all rows live, where the target has the unreduced loss's shape."""
    return np.ones(target.shape), np.ones(target.shape, bool)


class SeveralLoss(ReferenceLoss):
    """A loss whose formula gets its arrays in the computing type, labels as they are, omitted arrays as None."""

    def __init__(self, formula: Callable[..., Terms], labels: tuple[int, ...], rows: Rows) -> None:
        super().__init__(formula, hessian=False)
        self._labels, self._rows = labels, rows

    def terms(self, *arrays: ArrayLike | None, dtype: DTypeLike = np.float64, **parameters: Any) -> Terms:
        given = [
            None if a is None else np.asarray(a) if k in self._labels else np.asarray(a, dtype)
            for k, a in enumerate(arrays)
        ]
        with np.errstate(all="ignore"):
            return self.formula(*given, **parameters)

    def row_weights(self, target: ArrayLike, parameters: Mapping[str, Any]) -> tuple[Array, Array]:
        return self._rows(np.asarray(target), parameters)


def several(
    *, labels: tuple[int, ...] = (), rows: Rows = one_row_per_element
) -> Callable[[Callable[..., Terms]], SeveralLoss]:
    """Make a loss of a formula of several arrays.

    ``labels`` are the numbers of the arguments that hold labels; ``rows`` gives class weight and liveness of every row
    from the array and the parameters that ``denominator`` takes.
    """
    return lambda formula: SeveralLoss(formula, labels, rows)
