"""The NumPy twin of the linear and embedding layers of `fastloss.privacy`: gradients made sample by sample."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss.reference.privacy import clip_and_sum, per_sample_norms

Array = npt.NDArray[Any]


def linear_gradients(inputs: Any, output_grads: Any, bias: bool = False) -> list[Array]:
    """Per-sample gradients of a linear layer: weight (B, c, d), and bias (B, c) where there is one."""
    a, e = (np.asarray(x, np.float64) for x in (inputs, output_grads))
    times = math.prod(a.shape[1:-1])
    a, e = (x.reshape(len(x), times, x.shape[-1]) for x in (a, e))
    with np.errstate(invalid="ignore", over="ignore"):
        weight = np.einsum("btc,btd->bcd", e, a)
    return [weight, e.sum(axis=1)] if bias else [weight]


def embedding_gradients(indices: Any, output_grads: Any, num_embeddings: int) -> list[Array]:
    """Per-sample gradients of an embedding's table, (B, num_embeddings, c)."""
    index, e = np.asarray(indices), np.asarray(output_grads, np.float64)
    result = np.zeros((len(e), num_embeddings, e.shape[-1]))
    for sample, rows, grads in zip(result, index, e, strict=True):
        np.add.at(sample, rows.reshape(-1), grads.reshape(-1, e.shape[-1]))
    return [result]


def norms(gradients: list[Array]) -> Array:
    """Norm of every sample over all arrays."""
    return per_sample_norms(gradients)


def clipped_sums(gradients: list[Array], bound: float) -> Array:
    """Clipped gradients added up, array after array in one vector."""
    return np.concatenate([part.reshape(-1) for part in clip_and_sum(gradients, bound).sum])
