r"""Second derivatives with respect to the scores, times a vector: exact, row by row, no matrix is formed.

A loss of single scores has the diagonal Hessian that its kernel gives. For softmax losses the diagonal is not all
there is; with p the softmax of a row:

cross-entropy, a = cap(x) / T the logits it takes the softmax of, S the sum of the target u, z the z-loss, w its weight:

    H_a = (S + 2 z w lse) (diag p - p p^T) + 2 z w p p^T,     H_x = k H_a k + diag(g_a cap''(x) / T),  k = cap'(x) / T

a function of the target's probability alone (focal, poly), whose gradient is A (p - e_t):

    H_x = A (diag p - p p^T) - B (p - e_t)(p - e_t)^T,        B = p_t dA / dp_t

where the target's own gradient and diagonal second derivative, -A (1 - p_t) and A p_t (1 - p_t) - B (1 - p_t)^2, give
A and B without their formulas. The error of B is then that of the diagonal over (1 - p_t)^2, and the product takes
the square back: all of it is as exact as the kernel's diagonal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastloss.activations as activations
from fastloss._arguments import Array

# From a direction of the scores to the second derivative times it.
Product = Callable[[Array], Array]


def diagonal(hessian: Array) -> Product:
    """For losses of single scores."""
    return lambda direction: hessian * direction


def covariance(p: Array) -> Product:
    """For diag p - p p^T, row by row.

    The product doesn't change where a number is added to a row of the direction. Measured from the likeliest class,
    nothing cancels in confident rows: the sum over p has no term of that class.
    """
    likeliest = p.argmax(axis=1)[:, None]

    def product(direction: Array) -> Array:
        d = direction - np.take_along_axis(direction, likeliest, axis=1)
        return np.asarray(p * (d - np.einsum("ij,ij->i", p, d)[:, None]))

    return product


def of_target_probability(scores: Array, labels: Array, live: Array, grad: Array, hess: Array) -> Product:
    """For functions of p_t; ``grad`` and ``hess`` are the kernel's, ``live`` the rows that are not ignored."""
    p = activations.softmax(scores)
    rows = np.flatnonzero(live)
    at = (rows, labels[rows])
    away = p.copy()  # p - e_t
    away[at] = 0.0
    rest = np.zeros(len(p), p.dtype)  # 1 - p_t, without cancellation
    rest[rows] = away[rows].sum(axis=1)
    away[at] = -rest[rows]
    slope, bend = np.zeros_like(rest), np.zeros_like(rest)
    slope[rows], bend[rows] = -grad[at], hess[at]
    inner = rest > 0  # elsewhere all derivatives are 0, and so are grad and hess
    a = np.divide(slope, rest, out=np.zeros_like(rest), where=inner)
    # B (1 - p_t) and one more 1 / (1 - p_t) below: the square itself may underflow.
    b = np.divide(slope * (1 - rest) - bend, rest, out=np.zeros_like(rest), where=inner)
    unit = np.divide(away, rest[:, None], out=np.zeros_like(p), where=inner[:, None])

    spread = covariance(p)

    def product(direction: Array) -> Array:
        along = np.einsum("ij,ij->i", away, direction)
        return np.asarray(a[:, None] * spread(direction) - (b * along)[:, None] * unit)

    return product


def of_cross_entropy(scores: Array, target: Array, row_weight: Array, grad: Array, **options: Any) -> Product:
    """For cross-entropy with all its options; ``row_weight`` is sample weight over denominator, 0 in ignored rows."""
    real, classes = scores.dtype, scores.shape[1]
    smoothing, temperature = options.get("label_smoothing", 0.0), options.get("temperature", 1.0)
    cap, z_loss = options.get("logit_softcap"), options.get("z_loss", 0.0)
    given = options.get("class_weight")
    weight = np.ones(classes) if given is None else np.asarray(given, np.float64)
    if target.ndim == 2:
        sums = target.sum(axis=1, dtype=np.float64)
        total = (1 - smoothing) * (target @ weight) + smoothing * weight.mean() * sums
        counted = np.ones(len(scores))
    else:
        counted = np.zeros(len(scores))
        live = row_weight != 0
        counted[live] = weight[target[live]]
        total = (1 - smoothing) * counted + smoothing * weight.mean()
    bent = scores if cap is None else cap * np.tanh(scores / cap)
    logits = bent / real.type(temperature)
    p = activations.softmax(logits)
    outer = 2 * z_loss * counted * row_weight
    inner = total * row_weight + (outer * activations.logsumexp(logits) if z_loss else 0.0)
    across, along_p = inner.astype(real)[:, None], outer.astype(real)[:, None]
    if cap is None:
        chain, own = 1 / real.type(temperature), None
    else:
        chain = (1 - np.square(bent / cap)) / temperature  # cap' / T
        # g_a cap'' / T, where the kernel gives g_x = g_a cap' / T and cap'' / cap' = -2 tanh(x / cap) / cap
        own = grad * (-2 * bent / cap**2)

    spread = covariance(p)

    def product(direction: Array) -> Array:
        d = chain * direction
        result = across * spread(d)
        if z_loss:
            result += along_p * p * np.einsum("ij,ij->i", p, d)[:, None]
        result *= chain
        return np.asarray(result if own is None else result + own * direction)

    return product
