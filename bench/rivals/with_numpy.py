"""NumPy as people write it (bench/idiomatic.py), and its Generator for noise, which fills a given array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench import idiomatic
from bench.problems import BOUND, MULTIPLIER, Call, Problem


def calls(p: Problem) -> Iterator[Call]:
    rng = np.random.default_rng()
    if p.kind == "noise":
        if p.name != "laplace":
            out = np.empty(p.shape, p.dtype)
            yield Call("NumPy", lambda: rng.standard_normal(p.shape, p.dtype, out=out), lambda drawn: (1.0, drawn))
        else:
            yield Call("NumPy", lambda: rng.laplace(size=p.shape), lambda drawn: (1.0, drawn))
        return
    x = p.prediction
    if p.kind == "clip":
        yield Call(
            "NumPy",
            lambda: idiomatic.clip_and_noise(x, BOUND, MULTIPLIER, rng),
            lambda mean: (1.0, mean),
            proof=lambda: idiomatic.clip_and_noise(x, BOUND, 0.0, rng),
        )
    elif p.kind == "activation":
        yield Call("NumPy", lambda: getattr(idiomatic, p.name)(x), lambda result: (1.0, result))
    elif p.kind == "value":
        t = p.target
        yield Call("NumPy", lambda: idiomatic.cross_entropy_value(x, t), lambda value: (value, None))
    else:
        t, function = p.target, idiomatic.value_and_grad(p.name, p.axis)
        yield Call("NumPy", lambda: function(x, t))
