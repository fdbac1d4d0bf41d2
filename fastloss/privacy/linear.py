"""Clipping and noise for linear and embedding layers without per-sample gradients: "ghost" norms, then one weighted
product (Li et al. 2022, Bu et al. 2023); or gradients a tile at a time, where that costs less. The norms, their proof
and the choice: _ghost.py; embeddings: embedding.py.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments
from fastloss import _core, _settings
from fastloss._threads import num_threads
from fastloss.privacy import _backend
from fastloss.privacy import _rules as rules
from fastloss.privacy._ghost import Layer, factors_of, made_costs_less, tiles
from fastloss.privacy._gradients import Gradients
from fastloss.privacy._passes import cleared, clip_gradients, finish
from fastloss.privacy.noise import GAUSSIAN, as_generator
from fastloss.privacy.secure import budget_of, secure_rule, write_grid
from fastloss.reference import linear as reference

Array = npt.NDArray[Any]

# Fewer numbers than these are noised before BLAS's threads have gone to sleep, which two threads would wait for (1024
# samples, 512 to 512: 1.5 times as long).
FEW = 2**21


def linear_norms(inputs: object, output_grads: object, *, bias: bool = False) -> Array:
    r"""Return the norm of every sample's gradient of a linear layer, without the gradients.

    .. math::

        \|G_i\|^2 = \|a_i\|^2 \|e_i\|^2 \quad\text{or, with a time axis,}\quad
        \langle A_i A_i^T, E_i E_i^T \rangle

    and the bias's \|\sum_t e_{it}\|^2 on top. Never below the exact norm, and above it by a relative 1e-6 at most where
    the terms of a sample cancel, by 1e-12 elsewhere. Not private.

    Parameters
    ----------
    inputs : array_like (B, d) or (B, ..., d)
        What the layer was given; axes between the first and the last are summed over, as time.
    output_grads : array_like (B, c) or (B, ..., c)
        Gradient of each sample's loss with respect to the layer's output.
    bias : bool
        Whether the layer has a bias.

    Returns
    -------
    ndarray of float64, shape (B,)
        The norms, of weight and bias together; NaN or inf where a row holds one.

    Raises
    ------
    TypeError, ValueError
        For arrays of other types, or whose shapes do not belong together.

    Examples
    --------
    >>> from fastloss.privacy import linear_norms
    >>> linear_norms([[3.0, 4.0]], [[1.0, 0.0]]).round(9).tolist()
    [5.0]
    """
    norms = Layer(inputs, output_grads, bias).norms()
    return norms.norm


def join_norms(*norms: Array) -> Array:
    """Return one norm per sample over several layers, rounded up: the root of the sum of squares.

    Parameters
    ----------
    *norms : array_like (B,)
        Norms of the layers, as from `linear_norms`, `embedding_norms` and `per_sample_norms`.

    Returns
    -------
    ndarray of float64, shape (B,)
        Their joint norm.

    Raises
    ------
    ValueError
        For no norms, or norms of different shapes.

    Examples
    --------
    >>> from fastloss.privacy import join_norms
    >>> join_norms([3.0, 0.0], [4.0, 1.0]).round(9).tolist()
    [5.0, 1.0]
    """
    arrays = [arguments.as_array(x, f"norms[{k}]").astype(np.float64) for k, x in enumerate(norms)]
    if not arrays or arrays[0].ndim != 1 or any(x.shape != arrays[0].shape for x in arrays):
        raise ValueError(
            f"norms have shapes {[x.shape for x in arrays]}; expected at least one array, all of shape (B,)"
        )
    scale = np.maximum.reduce([np.where(np.isfinite(x) & (x > 0), x, 1.0) for x in arrays])
    result: Array = scale * np.sqrt(sum((x / scale) ** 2 for x in arrays)) * (1 + 2.0**-48)
    return result


def linear_clip_and_noise(
    inputs: object,
    output_grads: object,
    max_grad_norm: float,
    noise_multiplier: float,
    *,
    bias: bool = False,
    expected_batch_size: float | None = None,
    reduction: str = "mean",
    rng: object = None,
    secure: bool = False,
    adjacency: str = "add_remove",
) -> Any:
    r"""Clip, add up and noise the per-sample gradients of linear layers, without an array of them.

    .. math::

        G = \sum_i f_i \sum_t e_{it} a_{it}^T, \quad f_i = \min(1, C / \|G_i\|), \quad
        \text{result} = (G + \sigma C z) / \text{expected batch size}

    Equal to `clip_and_noise` of the gradients to rounding. The norm that decides is never below the exact one, so the
    exact norm of what a sample adds is at most C; as in `clip_and_sum` the rounding of the floating-point sum is not
    claimed. A sample that holds a NaN or inf adds 0. Besides a tile of samples, memory is that of the output. With a
    time axis the gradients of a tile are made, where that costs less than their norms.

    Parameters
    ----------
    inputs : array_like (B, d) or (B, ..., d), or a list or tuple of them
        What the layer was given; axes between the first and the last are summed over, as time. A list: several layers
        of one model with one joint norm per sample.
    output_grads : array_like (B, c) or (B, ..., c), or a list or tuple of them
        Gradient of each sample's loss (not of the batch's mean) with respect to the layer's output.
    max_grad_norm : float
        The bound C > 0 of the joint L2 norm; inf only with ``noise_multiplier=0``.
    noise_multiplier : float
        Standard deviation of the noise over C (2 C with ``adjacency="replace"``). With 0 the result is **not private**.
    bias : bool
        Whether the layers have biases.
    expected_batch_size, reduction, rng, adjacency
        As in `clip_and_noise`.
    secure : bool
        As in `clip_and_noise`. The gradients are then made, a few samples at a time, since each must be rounded.

    Returns
    -------
    ndarray (c, d), or a tuple with the bias's (c,); for several layers a list of these
        The noised mean or sum, float32 where both arrays are, else float64. Noise runs through the layers in order.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, shapes that do not belong together, or a mean without
        `expected_batch_size`.

    Examples
    --------
    >>> from fastloss.privacy import linear_clip_and_noise
    >>> linear_clip_and_noise([[3.0, 4.0]], [[2.0]], 5.0, 0.0, reduction="sum").round(6).tolist()
    [[3.0, 4.0]]
    """
    several = isinstance(inputs, list | tuple) and any(getattr(x, "ndim", 0) > 0 for x in inputs)
    layers = _layers(inputs, output_grads, bias, several)
    bound = rules.check_bound(max_grad_norm, "max_grad_norm")
    divisor = rules.check_divisor(expected_batch_size, reduction)
    multiplier = arguments.non_negative(noise_multiplier, "noise_multiplier")
    rules.check_choice(adjacency, "adjacency", rules.ADJACENCIES)
    rule = rules.Rule("l2", "flat", (bound,), (0,) * len(layers) * (1 + bias), adjacency)
    scale = rules.noise_scale(multiplier, rule)
    hardened = arguments.flag(secure, "secure")
    generator = as_generator(rng)
    real = np.result_type(*(layer.real for layer in layers))
    outputs = [_core.new_array((layer.rows, layer.columns), real) for layer in layers]
    pairs = [(out, np.empty(out.shape[0], real)) if bias else (out,) for out in outputs]
    arrays = [array for pair in pairs for array in pair]
    sums: Array
    if hardened:
        budget = budget_of(rule, [sum(layer.size for layer in layers)], GAUSSIAN, scale)
        sums = cleared((sum(layer.size for layer in layers),), np.int64)
        _add_made(layers, secure_rule(rule, budget, layers[0].batch), sums, 1 / budget.grid)
        if scale > 0:
            generator._add_integers(GAUSSIAN, budget.scale, sums)
        write_grid(sums, arrays, budget.grid, divisor)
    else:
        sums = _clipped_sums(layers, rule, real)
        key, first = generator._reserve(GAUSSIAN, sums.size) if scale > 0 else (None, 0)
        with num_threads(1) if sums.size < FEW else nullcontext():
            finish(sums, arrays, divisor, False, key, first, scale)
    results = list(pairs) if bias else outputs
    return results if several else results[0]


def _layers(inputs: Any, output_grads: Any, bias: bool, several: bool) -> list[Layer]:
    if not several:
        return [Layer(inputs, output_grads, bias)]
    if not isinstance(output_grads, list | tuple) or len(output_grads) != len(inputs):
        raise ValueError(f"output_grads is no list of {len(inputs)} arrays; expected one per layer, as inputs")
    layers = [Layer(a, e, bias, f"[{k}]") for k, (a, e) in enumerate(zip(inputs, output_grads, strict=True))]
    for k, layer in enumerate(layers):
        if layer.batch != layers[0].batch:
            raise ValueError(f"inputs[{k}] has {layer.batch} samples but inputs[0] has {layers[0].batch}; expected the "
                             "same batch size")  # fmt: skip
    return layers


def _clipped_sums(layers: list[Layer], rule: rules.Rule, real: np.dtype[Any]) -> Array:
    """The layers' sums in double, one after the other."""
    (bound,) = rule.bounds
    backend = _settings.get_backend()
    if backend == "reference":
        return _twin(layers, bound)
    sums = cleared((sum(layer.size for layer in layers),))
    # Kernels and BLAS take turns, and two teams wait for each other's cores (256 samples of 64 steps, 512 to 512: 1.9
    # times as long).
    with num_threads(1):
        if made_costs_less(layers):
            _add_made(layers, rule, sums)
        else:
            _add_weighted(layers, factors_of([layer.norms() for layer in layers], bound, real), sums)
    if backend == "check":
        factors = factors_of([layer.norms() for layer in layers], bound, real)
        _backend.compare("sums", sums, _twin(layers, bound), _tolerance(layers, factors, real))
    return sums


def _add_weighted(layers: list[Layer], factors: Array, sums: Array) -> None:
    """Add the weighted products of the layers."""
    at = 0
    for layer in layers:
        weight = sums[at : at + layer.rows * layer.columns].reshape(layer.rows, layer.columns)
        at += weight.size
        b = sums[at : at + layer.rows] if layer.bias else None
        at += layer.rows * layer.bias
        layer.add_weighted(factors, weight, b)


def _tolerance(layers: list[Layer], factors: Array, real: np.dtype[Any]) -> Array:
    """How far off the sums may be from the twin's: each of the terms rounds in the real type, the twin's norms may be
    smaller by what _ghost.py adds.
    """
    parts = []
    for layer in layers:
        used = (factors > 0)[:, None, None]
        e = np.abs(np.where(used, layer.grads, 0)) * factors[:, None, None]
        parts.append(np.einsum("btc,btd->cd", e, np.abs(np.where(used, layer.inputs, 0))).reshape(-1))
        if layer.bias:
            parts.append(e.sum(axis=(0, 1)))
    terms = max(layer.batch * layer.times for layer in layers) + 8
    bound: Array = (terms * float(np.finfo(real).eps) + 2e-6) * np.concatenate(parts)
    return bound


def _twin(layers: list[Layer], bound: float) -> Array:
    """The twin's sums."""
    gradients = [reference.linear_gradients(layer.inputs, layer.grads, layer.bias) for layer in layers]
    return reference.clipped_sums([part for parts in gradients for part in parts], bound)


def _add_made(layers: list[Layer], rule: rules.Rule, sums: Array, units: float = 0.0) -> None:
    """Add every sample's gradient, made and clipped; with units (int64 sums) made in double and rounded."""
    for rows in tiles(np.arange(layers[0].batch), sum(layer.size for layer in layers)):
        parts = [part for layer in layers for part in layer.made(slice(rows[0], rows[-1] + 1), double=units > 0)]
        clip_gradients(Gradients(parts), rule, sums, units)
