"""torch.compile, for the very shape: once as it is used (a compiled loss, then backward()), once with value and
gradient in one compiled graph, which spares autograd's cost of every call.

The former is measured in float32 alone: compiling takes seconds for every cell. The first call compiles; it is
the one that checks the results. Noise is drawn outside the graph, as by Opacus.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import torch

from bench import THREADS
from bench.problems import MULTIPLIER, Call, Problem
from bench.rivals import with_torch

if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
    raise ImportError("torch.compile needs a C++ compiler")


def compiled(function: Any) -> Any:
    # The graphs of earlier cells would count against the limit of recompilations.
    torch._dynamo.reset()
    return torch.compile(function, dynamic=False)


def calls(p: Problem) -> Iterator[Call]:
    torch.set_num_threads(THREADS)
    if p.kind == "noise":
        return
    x = torch.from_numpy(p.prediction)
    if p.kind == "clip":
        total = compiled(with_torch.clipped_sum)

        @torch.no_grad()
        def run_clip(multiplier: float = MULTIPLIER) -> Any:
            return with_torch.noised_mean(total(x), len(x), multiplier)

        proof, slack = (lambda: run_clip(0.0)), with_torch.CLIP_SLACK
        yield Call("torch.compile", run_clip, lambda mean: (1.0, mean.numpy()), proof=proof, slack=slack)
    elif p.kind == "activation":
        plain = with_torch.ACTIVATIONS[p.name]
        activation = compiled(lambda x: plain(x, out=None))
        yield Call("torch.compile", lambda: activation(x), lambda result: (1.0, result.numpy()))
    elif p.name in with_torch.LOSSES:
        t = torch.from_numpy(p.target)
        loss = with_torch.LOSSES[p.name]
        if p.kind == "value":
            yield _value(loss, x, t)
            return
        together = compiled(torch.func.grad_and_value(loss))
        yield Call("torch.compile", lambda: together(x, t), lambda pair: (pair[1].item(), pair[0].numpy()))
        if p.dtype == "float32":
            yield _backward(loss, x, t)


def _value(loss: Any, x: Any, t: Any) -> Call:
    function = compiled(loss)

    @torch.no_grad()
    def run() -> Any:
        return function(x, t)

    return Call("torch.compile", run, lambda value: (value.item(), None))


def _backward(loss: Any, x: Any, t: Any) -> Call:
    function = torch.compile(loss, dynamic=False)
    leaf = x.detach().requires_grad_()

    def run() -> Any:
        value = function(leaf, t)
        value.backward()
        return value

    def reset() -> None:
        leaf.grad = None

    return Call("torch.compile, backward()", run, lambda value: (value.item(), leaf.grad.numpy()), reset)
