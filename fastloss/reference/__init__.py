"""The NumPy float64 twin of fastloss: every public loss and activation, slow and obviously correct.

The oracle of the tests and the textbook of the reader; written from the formulas, not from the
kernels. Differentially private functions have theirs in ``fastloss.reference.privacy`` and
``fastloss.reference.calibration``.
"""

from ._reduce import Evaluation, ReferenceLoss, Terms
from .activations import log_sigmoid, log_softmax, logsumexp, sigmoid, softmax, softplus
from .binary import (
    balanced_cross_entropy,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    exponential_loss,
    focal_loss,
    hinge_loss,
    log_loss,
    poly_loss,
    soft_margin_loss,
    squared_hinge_loss,
)
from .metric import center_loss, contrastive_loss, cosine_embedding_loss, margin_ranking_loss, triplet_margin_loss
from .multiclass import (
    categorical_cross_entropy,
    cross_entropy,
    kl_divergence,
    multiclass_hinge_loss,
    poly_cross_entropy,
    softmax_focal_loss,
    sparse_categorical_cross_entropy,
)
from .regression import (
    gamma_nll_loss,
    half_mse_loss,
    huber_loss,
    l1_loss,
    log_cosh_loss,
    mae_loss,
    mse_loss,
    poisson_nll_loss,
    pseudo_huber_loss,
    quantile_loss,
    smooth_l1_loss,
    tweedie_loss,
)
from .segmentation import dice_loss
from .similarity import arcface_loss, ge2e_loss, info_nce_loss, multiple_negatives_ranking_loss

__all__ = [
    "Evaluation",
    "ReferenceLoss",
    "Terms",
    "arcface_loss",
    "balanced_cross_entropy",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "categorical_cross_entropy",
    "center_loss",
    "contrastive_loss",
    "cosine_embedding_loss",
    "cross_entropy",
    "dice_loss",
    "exponential_loss",
    "focal_loss",
    "gamma_nll_loss",
    "ge2e_loss",
    "half_mse_loss",
    "hinge_loss",
    "huber_loss",
    "info_nce_loss",
    "kl_divergence",
    "l1_loss",
    "log_cosh_loss",
    "log_loss",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mae_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multiclass_hinge_loss",
    "multiple_negatives_ranking_loss",
    "poisson_nll_loss",
    "poly_cross_entropy",
    "poly_loss",
    "pseudo_huber_loss",
    "quantile_loss",
    "sigmoid",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmax_focal_loss",
    "softplus",
    "sparse_categorical_cross_entropy",
    "squared_hinge_loss",
    "triplet_margin_loss",
    "tweedie_loss",
]
