"""Opacus: clipping, summing, noise and scaling by its own optimizer; for a linear layer, its own samplers of gradients
and norms before that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from opacus.grad_sample.linear import compute_linear_grad_sample, compute_linear_norm_sample
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping

from bench import THREADS
from bench.problems import BOUND, MULTIPLIER, Array, Call, Problem
from bench.rivals.with_torch import CLIP_SLACK

Run = Callable[..., list[Array]]
Reset = Callable[[], None]


def calls(p: Problem) -> Iterator[Call]:
    if p.kind != "clip":
        return
    run, reset = clip_step([p.prediction])
    yield Call("Opacus", run, lambda means: (1.0, means[0]), reset, proof=lambda: run(0.0), slack=CLIP_SLACK)


def _optimizer(parameters: list[Any], batch: int, kind: Any = DPOptimizer) -> Any:
    torch.set_num_threads(THREADS)
    return kind(
        torch.optim.SGD(parameters, lr=0.1),
        noise_multiplier=MULTIPLIER,
        max_grad_norm=BOUND,
        expected_batch_size=batch,
    )


def clip_step(grads: list[Array]) -> tuple[Run, Reset]:
    """A step from per-sample gradients that are there, and what is reset before each."""
    tensors = [torch.from_numpy(g) for g in grads]
    parameters = [torch.nn.Parameter(torch.zeros(g.shape[1:], dtype=g.dtype)) for g in tensors]
    optimizer = _optimizer(parameters, len(grads[0]))

    def reset() -> None:
        for parameter, tensor in zip(parameters, tensors, strict=True):
            # A view, since the optimizer marks the very object as processed.
            parameter.grad_sample = tensor.view(tensor.shape)
            parameter.summed_grad = parameter.grad = None

    def run(multiplier: float = MULTIPLIER) -> list[Array]:
        optimizer.noise_multiplier = multiplier
        with torch.no_grad():
            optimizer.clip_and_accumulate()
            optimizer.add_noise()
            optimizer.scale_grad()
        return [parameter.grad.numpy() for parameter in parameters]

    return run, reset


def _layer(inputs: Array, output_grads: Array) -> tuple[Any, Any, Any]:
    """A linear layer without bias, and the arrays as tensors, without a time axis of length 1."""
    a, e = (torch.from_numpy(x[:, 0] if x.shape[1] == 1 else x) for x in (inputs, output_grads))
    return torch.nn.Linear(a.shape[-1], e.shape[-1], bias=False), a, e


def linear_step(inputs: Array, output_grads: Array) -> tuple[Run, Reset]:
    """Per-sample gradients made by Opacus's sampler, then its optimizer."""
    layer, a, e = _layer(inputs, output_grads)
    optimizer = _optimizer([layer.weight], len(a))

    def reset() -> None:
        layer.weight.grad_sample = layer.weight.summed_grad = layer.weight.grad = None

    def run(multiplier: float = MULTIPLIER) -> list[Array]:
        optimizer.noise_multiplier = multiplier
        with torch.no_grad():
            layer.weight.grad_sample = compute_linear_grad_sample(layer, [a], e)[layer.weight]
            optimizer.clip_and_accumulate()
            optimizer.add_noise()
            optimizer.scale_grad()
        # As a real step's zero_grad does: the per-sample gradients go.
        layer.weight.grad_sample = None
        return [layer.weight.grad.numpy()]

    return run, reset


def ghost_step(inputs: Array, output_grads: Array) -> tuple[Run, Reset]:
    """Norms by Opacus's ghost sampler, its factors, the one product for this layer that its second backward pass makes
    (nothing else of that pass), its optimizer's noise and scaling.
    """
    layer, a, e = _layer(inputs, output_grads)
    optimizer = _optimizer([layer.weight], len(a), DPOptimizerFastGradientClipping)

    def reset() -> None:
        layer.weight.summed_grad = layer.weight.grad = None

    def run(multiplier: float = MULTIPLIER) -> list[Array]:
        optimizer.noise_multiplier = multiplier
        with torch.no_grad():
            norms = compute_linear_norm_sample(layer, [a], e)[layer.weight]
            factors = (BOUND / (norms + 1e-6)).clamp(max=1.0)
            scaled = e * factors.view(-1, *(1,) * (e.dim() - 1))
            layer.weight.grad = scaled.flatten(0, -2).T @ a.flatten(0, -2)
            optimizer.accumulate()
            optimizer.add_noise()
            optimizer.scale_grad()
        return [layer.weight.grad.numpy()]

    return run, reset
