"""The same for the privacy functions: clip and noise, and noise alone. Checked without noise, or by its moments."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

import fastloss as fl
from bench import idiomatic
from bench.subjects import THREADS, Array, Call, torch

CLIP_SIZES = ((1024, 1000), (256, 100_000))
NOISE_SIZE = 10_000_000
BOUND, MULTIPLIER = 1.0, 1.1


@lru_cache(maxsize=1)
def gradients(shape: tuple[int, ...], dtype: str) -> Array:
    """Rows of norms about the bound: some half of them are clipped."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 1.5, (shape[0], 1)).astype(dtype) / np.sqrt(np.dtype(dtype).type(shape[1]))
    return rng.standard_normal(shape, dtype) * spread


def clip_calls(grads: Array, multiplier: float = MULTIPLIER) -> Iterator[Call]:
    """(noised mean, as the result; the value is not used)."""
    generator, rng = fl.privacy.NoiseGenerator(), np.random.default_rng()
    out = np.empty(grads.shape[1], grads.dtype)

    def run() -> Array:
        return fl.privacy.clip_and_noise(
            grads, BOUND, multiplier, expected_batch_size=len(grads), rng=generator, out=out
        )

    yield Call("fastloss", run, lambda mean: (1.0, mean))
    yield Call("numpy", lambda: idiomatic.clip_and_noise(grads, BOUND, multiplier, rng), lambda mean: (1.0, mean))
    if torch is not None:
        torch.set_num_threads(THREADS)
        tensor = torch.from_numpy(grads)

        def run_torch() -> Any:
            with torch.no_grad():
                factors = (BOUND / (tensor.norm(2, dim=1) + 1e-6)).clamp(max=1.0)
                total = torch.einsum("i,i...->...", factors, tensor)
                if multiplier:
                    total = total + torch.normal(0.0, multiplier * BOUND, total.shape, dtype=total.dtype)
                return total / len(tensor)

        yield Call("torch", run_torch, lambda mean: (1.0, mean.numpy()))


def clip_error(library: str, grads: Array) -> float:
    """Largest error of the clipped mean without noise, relative to its largest element."""
    exact = grads.astype(np.float64)
    want = np.minimum(1, BOUND / np.linalg.norm(exact, axis=1)) @ exact / len(grads)
    call = next(c for c in clip_calls(grads, 0.0) if c.library == library)
    return float(np.abs(call.result(call.run())[1] - want).max() / np.abs(want).max())


def noise_calls(n: int, dtype: str) -> Iterator[Call]:
    generator, rng = fl.privacy.NoiseGenerator(), np.random.default_rng()
    out = np.empty(n, dtype)
    yield Call("fastloss", lambda: generator.gaussian(n, dtype=np.dtype(dtype), out=out))
    yield Call("numpy", lambda: rng.standard_normal(n, dtype, out=out))
    if torch is not None:
        torch.set_num_threads(THREADS)
        tensor = torch.from_numpy(out)
        yield Call("torch", lambda: tensor.normal_(), lambda filled: filled.numpy())


def noise_error(call: Call) -> float:
    """Distance of the first two moments from those of a normal, in standard errors (5 is too far)."""
    drawn = np.asarray(call.result(call.run()), np.float64)
    n = drawn.size
    return float(max(abs(drawn.mean()) * n**0.5, abs(drawn.var() - 1) * (n / 2) ** 0.5))
