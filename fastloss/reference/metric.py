"""Losses of metric learning in plain NumPy: distances and similarities of rows of embeddings."""

import numpy as np

from ._reduce import Array, Terms, is_number, require
from ._several import several


@several()
def margin_ranking_loss(x1: Array, x2: Array, target: Array, *, margin: float = 0.0) -> Terms:
    """Margin ranking loss max(0, margin - t (x1 - x2)), t = -1 or +1; gradient 0 at the kink."""
    require(is_number(margin, at_least=0), "margin must be finite and >= 0")
    require(x1.shape == x2.shape == target.shape, "shapes differ")
    require(np.abs(target) == 1, "target must be -1 or +1")
    z = margin - target * (x1 - x2)
    slope = np.where(z > 0, -target, np.where(np.isnan(z), z, 0))
    largest = np.maximum(np.maximum(np.abs(x1), np.abs(x2)), margin)
    return Terms(
        value=np.where(z < 0, 0, z),
        grad=lambda weigh: (weigh(slope), weigh(-slope)),
        value_scale=np.where(z < 0, 0, largest),
    )
