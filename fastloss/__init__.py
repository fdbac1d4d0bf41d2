"""fastloss: fused, numerically exact loss and differential-privacy kernels for NumPy arrays on the CPU.

Every loss is a callable object with ``value_and_grad``, ``value_grad_hess`` and ``denominator``;
arrays are positional, everything else is a keyword. float16 and bfloat16 (of ml_dtypes, or 16 bits
viewed as the dtype ``fl.bfloat16_bits``) are read as they are, computed in float32, and rounded once.

>>> import fastloss as fl
>>> value, grad = fl.cross_entropy.value_and_grad([[2.0, 0.0]], [0])
"""

from fastloss import privacy, reference
from fastloss._backend import MismatchError
from fastloss._config import show_config
from fastloss._half import BFLOAT16 as bfloat16_bits
from fastloss._settings import backend, get_backend, set_backend
from fastloss._threads import get_num_threads, num_threads, set_num_threads
from fastloss._version import __version__
from fastloss.activations import log_sigmoid, log_softmax, logsumexp, sigmoid, softmax, softplus
from fastloss.binary import (
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
from fastloss.kernels import get_include
from fastloss.metric import (
    center_loss,
    contrastive_loss,
    cosine_embedding_loss,
    margin_ranking_loss,
    triplet_margin_loss,
)
from fastloss.multiclass import (
    categorical_cross_entropy,
    cross_entropy,
    kl_divergence,
    multiclass_hinge_loss,
    poly_cross_entropy,
    softmax_focal_loss,
    sparse_categorical_cross_entropy,
)
from fastloss.regression import (
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
from fastloss.segmentation import dice_loss
from fastloss.similarity import arcface_loss, ge2e_loss, info_nce_loss, multiple_negatives_ranking_loss

__all__ = [
    "MismatchError",
    "__version__",
    "arcface_loss",
    "backend",
    "balanced_cross_entropy",
    "bfloat16_bits",
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
    "get_backend",
    "get_include",
    "get_num_threads",
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
    "num_threads",
    "poisson_nll_loss",
    "poly_cross_entropy",
    "poly_loss",
    "privacy",
    "pseudo_huber_loss",
    "quantile_loss",
    "reference",
    "set_backend",
    "set_num_threads",
    "show_config",
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
