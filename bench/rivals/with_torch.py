"""torch, eagerly: forward and backward on a leaf that has no gradient yet (set to None outside the time)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from bench import THREADS
from bench.problems import BOUND, MULTIPLIER, Call, Problem

F = torch.nn.functional


def hinge(x: Any, t: Any) -> Any:
    return torch.relu(1 - t * x).mean()


def squared_hinge(x: Any, t: Any) -> Any:
    return torch.relu(1 - t * x).square().mean()


def log_cosh(x: Any, t: Any) -> Any:
    r = x - t
    return (r + F.softplus(-2 * r) - math.log(2)).mean()


def quantile(x: Any, t: Any) -> Any:
    r = t - x
    return torch.maximum(r / 2, -r / 2).mean()


def focal(x: Any, t: Any) -> Any:
    """As torchvision's sigmoid_focal_loss, without alpha."""
    p = torch.sigmoid(x)
    p_t = p * t + (1 - p) * (1 - t)
    return (F.binary_cross_entropy_with_logits(x, t, reduction="none") * (1 - p_t) ** 2).mean()


def poly(x: Any, t: Any) -> Any:
    p = torch.sigmoid(x)
    p_t = p * t + (1 - p) * (1 - t)
    return (F.binary_cross_entropy_with_logits(x, t, reduction="none") + (1 - p_t)).mean()


def softmax_focal(x: Any, t: Any) -> Any:
    loss = F.cross_entropy(x, t, reduction="none")
    return ((1 - torch.exp(-loss)) ** 2 * loss).mean()


def poly_cross_entropy(x: Any, t: Any) -> Any:
    loss = F.cross_entropy(x, t, reduction="none")
    return (loss + 1 - torch.exp(-loss)).mean()


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "mse_loss": F.mse_loss,
    "half_mse_loss": lambda x, t: F.mse_loss(x, t) / 2,
    "l1_loss": F.l1_loss,
    "huber_loss": F.huber_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "log_cosh_loss": log_cosh,
    "pseudo_huber_loss": lambda x, t: (torch.sqrt(1 + (x - t).square()) - 1).mean(),
    "quantile_loss": quantile,
    "poisson_nll_loss": F.poisson_nll_loss,
    "gamma_nll_loss": lambda x, t: (x + t * torch.exp(-x)).mean(),
    "tweedie_loss": lambda x, t: (2 * torch.exp(x / 2) + 2 * t * torch.exp(-x / 2)).mean(),
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "hinge_loss": hinge,
    "squared_hinge_loss": squared_hinge,
    "balanced_cross_entropy": F.binary_cross_entropy,
    "focal_loss": focal,
    "poly_loss": poly,
    "soft_margin_loss": F.soft_margin_loss,
    "exponential_loss": lambda x, t: (t * torch.exp(-x) + (1 - t) * torch.exp(x)).mean(),
    "softmax_focal_loss": softmax_focal,
    "poly_cross_entropy": poly_cross_entropy,
    # torch divides by the number of classes
    "multiclass_hinge_loss": lambda x, t: F.multi_margin_loss(x, t) * x.shape[1],
    "categorical_cross_entropy": lambda q, t: -(t * torch.log(q)).sum(1).mean(),
    "sparse_categorical_cross_entropy": lambda q, t: F.nll_loss(torch.log(q), t),
    "kl_divergence": lambda q, t: F.kl_div(torch.log(q), t, reduction="batchmean"),
    "cross_entropy": F.cross_entropy,  # of more than two dimensions, the classes are axis 1: as in every cell here
}

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": torch.sigmoid,
    "softplus": torch._C._nn.softplus,  # F.softplus, which doesn't pass `out` on
    "softmax": lambda x, out: torch.softmax(x, 1, out=out),
    "log_softmax": lambda x, out: torch.log_softmax(x, 1, out=out),
    "logsumexp": lambda x, out: torch.logsumexp(x, 1, out=out),
}


CLIP_SLACK = 2e-6  # clipping adds 1e-6 to every norm


def clipped_sum(grads: Any) -> Any:
    """As the optimizer of Opacus does it."""
    factors = (BOUND / (grads.norm(2, dim=1) + 1e-6)).clamp(max=1.0)
    return torch.einsum("i,i...->...", factors, grads)


def noised_mean(total: Any, n: int, multiplier: float) -> Any:
    if multiplier:
        total = total + torch.normal(0.0, multiplier * BOUND, total.shape, dtype=total.dtype)
    return total / n


def calls(p: Problem) -> Iterator[Call]:
    torch.set_num_threads(THREADS)
    if p.name == "discrete_gaussian":
        return
    if p.kind == "noise":
        yield _noise(p)
        return
    x = torch.from_numpy(p.prediction)
    if p.kind == "clip":

        @torch.no_grad()
        def run_clip(multiplier: float = MULTIPLIER) -> Any:
            return noised_mean(clipped_sum(x), len(x), multiplier)

        yield Call("torch", run_clip, lambda mean: (1.0, mean.numpy()), proof=lambda: run_clip(0.0), slack=CLIP_SLACK)
    elif p.kind == "activation":
        function = ACTIVATIONS[p.name]
        out = torch.from_numpy(np.empty(len(x) if p.name == "logsumexp" else p.shape, p.dtype))
        yield Call("torch", lambda: function(x, out=out), lambda result: (1.0, result.numpy()))
    elif p.name in LOSSES:
        yield _value(p, x) if p.kind == "value" else _loss(p, x)


def _loss(p: Problem, x: Any) -> Call:
    function, t = LOSSES[p.name], torch.from_numpy(p.target)
    leaf = x.detach().requires_grad_()

    def run() -> Any:
        loss = function(leaf, t)
        loss.backward()
        return loss

    def reset() -> None:
        leaf.grad = None

    return Call("torch", run, lambda loss: (loss.item(), leaf.grad.numpy()), reset)


def _value(p: Problem, x: Any) -> Call:
    function, t = LOSSES[p.name], torch.from_numpy(p.target)

    @torch.no_grad()
    def run() -> Any:
        return function(x, t)

    return Call("torch", run, lambda loss: (loss.item(), None))


def _noise(p: Problem) -> Call:
    if p.name == "gaussian":
        tensor = torch.from_numpy(np.empty(p.shape, p.dtype))
        return Call("torch", tensor.normal_, lambda drawn: (1.0, drawn.numpy()))
    laplace = torch.distributions.Laplace(torch.zeros((), dtype=getattr(torch, p.dtype)), 1.0)
    return Call("torch", lambda: laplace.sample(p.shape), lambda drawn: (1.0, drawn.numpy()))
