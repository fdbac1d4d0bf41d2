"""fastloss for torch: torch.nn.functional's losses and fastloss's own, differentiable, on CPU tensors without copies.

``import fastloss.torch as F`` in the place of ``import torch.nn.functional as F``: what fastloss has a kernel for has
torch's names, arguments, defaults and conventions (classes are dimension 1); beside it are the losses that torch has
not; everything else of torch.nn.functional is torch's own. Needs torch, which ``import fastloss`` does not.

>>> import torch
>>> import fastloss.torch as F
>>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]], requires_grad=True)
>>> loss = F.cross_entropy(logits, torch.tensor([0, 1]), label_smoothing=0.1)
>>> loss.backward()
>>> logits.grad.shape
torch.Size([2, 2])
"""

from typing import Any as _Any

import torch as _torch

from fastloss.torch import privacy
from fastloss.torch._activations import log_softmax, logsigmoid, logsumexp, sigmoid, softmax, softplus
from fastloss.torch._elementwise import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    l1_loss,
    mse_loss,
    multilabel_soft_margin_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from fastloss.torch._own import (
    arcface_loss,
    balanced_cross_entropy,
    categorical_cross_entropy,
    center_loss,
    contrastive_loss,
    dice_loss,
    exponential_loss,
    focal_loss,
    gamma_nll_loss,
    ge2e_loss,
    half_mse_loss,
    hinge_loss,
    info_nce_loss,
    kl_divergence,
    log_cosh_loss,
    multiclass_hinge_loss,
    multiple_negatives_ranking_loss,
    poly_cross_entropy,
    poly_loss,
    pseudo_huber_loss,
    quantile_loss,
    softmax_focal_loss,
    sparse_categorical_cross_entropy,
    squared_hinge_loss,
    tweedie_loss,
)
from fastloss.torch._rows import (
    cosine_embedding_loss,
    cross_entropy,
    kl_div,
    margin_ranking_loss,
    multi_margin_loss,
    triplet_margin_loss,
)

__all__ = [
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
    "kl_div",
    "kl_divergence",
    "l1_loss",
    "log_cosh_loss",
    "log_loss",
    "log_softmax",
    "logsigmoid",
    "logsumexp",
    "mae_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multiclass_hinge_loss",
    "multilabel_soft_margin_loss",
    "multiple_negatives_ranking_loss",
    "poisson_nll_loss",
    "poly_cross_entropy",
    "poly_loss",
    "privacy",
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

mae_loss = l1_loss
log_loss = binary_cross_entropy


def __getattr__(name: str) -> _Any:
    """What fastloss has no kernel for is torch.nn.functional's."""
    if name.startswith("_") or not hasattr(_torch.nn.functional, name):
        raise AttributeError(f"neither fastloss.torch nor torch.nn.functional has {name!r}")
    return getattr(_torch.nn.functional, name)
