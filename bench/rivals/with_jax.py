"""JAX: jit of value_and_grad of the losses of Optax. Every result is a new array: there is no other way.

The number of XLA's threads is set where the package bench is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA tells how long it compiles, on the standard error stream

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bench.problems import BOUND, MULTIPLIER, Call, Problem

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)


def _cross_entropy(p: Problem) -> Callable[[Any, Any], Any]:
    if p.soft:
        return lambda x, t: optax.losses.softmax_cross_entropy(x, t).mean()
    return lambda x, t: optax.losses.softmax_cross_entropy_with_integer_labels(x, t, axis=p.axis).mean()


def _focal(x: Any, t: Any) -> Any:
    return optax.losses.sigmoid_focal_loss(x, t, gamma=2.0).mean()


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "mse_loss": lambda x, t: optax.losses.squared_error(x, t).mean(),
    "half_mse_loss": lambda x, t: optax.losses.l2_loss(x, t).mean(),
    "l1_loss": lambda x, t: jnp.abs(x - t).mean(),
    "huber_loss": lambda x, t: optax.losses.huber_loss(x, t).mean(),
    "smooth_l1_loss": lambda x, t: optax.losses.huber_loss(x, t).mean(),
    "log_cosh_loss": lambda x, t: optax.losses.log_cosh(x, t).mean(),
    "pseudo_huber_loss": lambda x, t: (jnp.sqrt(1 + jnp.square(x - t)) - 1).mean(),
    "quantile_loss": lambda x, t: jnp.maximum((t - x) / 2, (x - t) / 2).mean(),
    "poisson_nll_loss": lambda x, t: (jnp.exp(x) - t * x).mean(),
    "gamma_nll_loss": lambda x, t: (x + t * jnp.exp(-x)).mean(),
    "tweedie_loss": lambda x, t: (2 * jnp.exp(x / 2) + 2 * t * jnp.exp(-x / 2)).mean(),
    "focal_loss": _focal,
    "soft_margin_loss": lambda x, t: jax.nn.softplus(-t * x).mean(),
    "exponential_loss": lambda x, t: (t * jnp.exp(-x) + (1 - t) * jnp.exp(x)).mean(),
    "poly_cross_entropy": lambda x, t: optax.losses.poly_loss_cross_entropy(
        x, jax.nn.one_hot(t, x.shape[1], dtype=x.dtype), epsilon=1.0
    ).mean(),
    "kl_divergence": lambda q, t: optax.losses.kl_divergence(jnp.log(q), t).mean(),
    "binary_cross_entropy": lambda x, t: -(t * jnp.log(x) + (1 - t) * jnp.log1p(-x)).mean(),
    "binary_cross_entropy_with_logits": lambda x, t: optax.losses.sigmoid_binary_cross_entropy(x, t).mean(),
    "hinge_loss": lambda x, t: optax.losses.hinge_loss(x, t).mean(),
    "squared_hinge_loss": lambda x, t: jnp.square(jnp.maximum(1 - t * x, 0)).mean(),
}

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "logsumexp": lambda x: jax.nn.logsumexp(x, axis=-1),
}


def _ready(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A call that waits for its results: JAX computes behind the caller's back."""
    return lambda: jax.block_until_ready(function(*arguments))


def _fill(draw: Callable[..., Any], n: int, dtype: str) -> Callable[[], Any]:
    function = jax.jit(lambda key: draw(key, (n,), dtype))
    keys = iter(jax.random.split(jax.random.key(0), 1000))
    return lambda: jax.block_until_ready(function(next(keys)))


def _clip(x: Any, key: Any, multiplier: Any) -> Any:
    factors = jnp.minimum(1, BOUND / jnp.linalg.norm(x, axis=1))
    noise = jax.random.normal(key, x.shape[1:], x.dtype)
    return (factors @ x + multiplier * BOUND * noise) / len(x)


def calls(p: Problem) -> Iterator[Call]:
    if p.name == "discrete_gaussian":
        return
    if p.kind == "noise":
        draw = jax.random.normal if p.name == "gaussian" else jax.random.laplace
        yield Call("JAX", _fill(draw, p.shape[0], p.dtype), lambda drawn: (1.0, np.asarray(drawn)))
        return
    x = jnp.asarray(p.prediction)
    if p.kind == "clip":
        function, key = jax.jit(_clip), jax.random.key(0)
        run, proof = (_ready(function, x, key, jnp.asarray(m, p.dtype)) for m in (MULTIPLIER, 0.0))
        yield Call("JAX", run, lambda mean: (1.0, np.asarray(mean)), proof=proof)
    elif p.kind == "activation":
        yield Call("JAX", _ready(jax.jit(ACTIVATIONS[p.name]), x), lambda result: (1.0, np.asarray(result)))
    elif p.name == "cross_entropy" or p.name in LOSSES:
        loss = _cross_entropy(p) if p.name == "cross_entropy" else LOSSES[p.name]
        t = jnp.asarray(p.target if p.target.dtype.kind == "f" else p.target.astype(np.int32))
        if p.kind == "value":
            yield Call("JAX", _ready(jax.jit(loss), x, t), lambda value: (float(value), None))
            return
        function = jax.jit(jax.value_and_grad(loss))
        yield Call("JAX", _ready(function, x, t), lambda pair: (float(pair[0]), np.asarray(pair[1])))
