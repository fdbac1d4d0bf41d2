"""scikit-learn's private losses, compiled and threaded: unreduced losses and the gradient of their sum.

Their mean is taken in the time; the division of the gradient is not, and neither is the factor 2 of the squared error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn._loss import loss as losses_of

from bench import THREADS
from bench.problems import Call, Problem

# Makes the loss, and the factor that scikit-learn's definition lacks.
LOSSES: dict[str, tuple[Callable[[Problem], Any], float]] = {
    "mse_loss": (lambda p: losses_of.HalfSquaredError(), 2),
    "half_mse_loss": (lambda p: losses_of.HalfSquaredError(), 1),
    "l1_loss": (lambda p: losses_of.AbsoluteError(), 1),
    "huber_loss": (lambda p: losses_of.HuberLoss(delta=1.0), 1),
    "smooth_l1_loss": (lambda p: losses_of.HuberLoss(delta=1.0), 1),
    "quantile_loss": (lambda p: losses_of.PinballLoss(quantile=0.5), 1),
    "poisson_nll_loss": (lambda p: losses_of.HalfPoissonLoss(), 1),
    "gamma_nll_loss": (lambda p: losses_of.HalfGammaLoss(), 1),
    "tweedie_loss": (lambda p: losses_of.HalfTweedieLoss(power=1.5), 1),
    "exponential_loss": (lambda p: losses_of.ExponentialLoss(), 1),
    "binary_cross_entropy_with_logits": (lambda p: losses_of.HalfBinomialLoss(), 1),
    "cross_entropy": (lambda p: losses_of.HalfMultinomialLoss(n_classes=p.shape[-1]), 1),
}


def calls(p: Problem) -> Iterator[Call]:
    if p.name not in LOSSES or p.kind not in ("loss", "value") or p.soft or p.axis != -1:
        return
    make, factor = LOSSES[p.name]
    loss, x, y = make(p), p.prediction, p.target.astype(p.dtype)
    losses = np.empty_like(y)
    if p.kind == "value":

        def run_value() -> Any:
            loss.loss(y, x, loss_out=losses, n_threads=THREADS)
            return losses.mean()

        yield Call("scikit-learn", run_value, lambda value: (factor * value, None))
        return
    grad = np.empty_like(x)

    def run() -> Any:
        loss.loss_gradient(y, x, loss_out=losses, gradient_out=grad, n_threads=THREADS)
        return losses.mean()

    yield Call("scikit-learn", run, lambda value: (factor * value, factor * grad / p.terms))
