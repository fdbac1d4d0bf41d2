"""Opacus: clipping, summing, noise and scaling by its own optimizer, from per-sample gradients that are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from opacus.optimizers import DPOptimizer

from bench import THREADS
from bench.problems import BOUND, MULTIPLIER, Call, Problem
from bench.rivals.with_torch import CLIP_SLACK


def calls(p: Problem) -> Iterator[Call]:
    if p.kind != "clip":
        return
    torch.set_num_threads(THREADS)
    grads = torch.from_numpy(p.prediction)
    parameter = torch.nn.Parameter(torch.zeros(p.shape[1], dtype=grads.dtype))
    optimizer = DPOptimizer(
        torch.optim.SGD([parameter], lr=0.1),
        noise_multiplier=MULTIPLIER,
        max_grad_norm=BOUND,
        expected_batch_size=len(grads),
    )

    def reset() -> None:
        # A view, since the optimizer marks the very object as processed.
        parameter.grad_sample = grads.view(grads.shape)
        parameter.summed_grad = parameter.grad = None

    def run(multiplier: float = MULTIPLIER) -> Any:
        optimizer.noise_multiplier = multiplier
        with torch.no_grad():
            optimizer.clip_and_accumulate()
            optimizer.add_noise()
            optimizer.scale_grad()
        return parameter.grad

    yield Call("Opacus", run, lambda mean: (1.0, mean.numpy()), reset, proof=lambda: run(0.0), slack=CLIP_SLACK)
