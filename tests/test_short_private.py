"""The short way of clip_and_noise to its kernels: what the general way returns, to the bit, and its errors.

A subclass of ndarray always takes the general way.
"""

from typing import Any

import numpy as np
import pytest
from test_short_ways import Other, bits

from fastloss.privacy import NoiseGenerator, clip, clip_and_noise

SHAPES = [(1, 1), (3, 5), (16, 1), (130, 7), (200, 33), (3, 2, 3), (5, 5000)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_private_steps_have_the_same_bits(shape: Any, dtype: Any, rng: np.random.Generator, monkeypatch: Any) -> None:
    grads = rng.standard_normal(shape).astype(dtype)
    grads[0] *= 100
    grads[-1, ..., 0] = np.inf if shape[0] > 1 else 1
    given = [
        {"noise_multiplier": 0.0, "expected_batch_size": 3},
        {"noise_multiplier": 1.1, "expected_batch_size": 2.5},
        {"noise_multiplier": 2, "reduction": "sum"},
    ]
    with monkeypatch.context() as patch:
        patch.setattr(clip, "Gradients", lambda grads: pytest.fail("the general way"))
        generator = NoiseGenerator(5)
        found = [clip_and_noise(grads, 2, rng=generator, **keywords) for keywords in given]
        place = np.empty(shape[1:], dtype)
        assert clip_and_noise(grads, 2.0, out=place, rng=generator, **given[1]) is place
    generator = NoiseGenerator(5)
    expected = [clip_and_noise(grads.view(Other), 2, rng=generator, **keywords) for keywords in [*given, given[1]]]
    assert bits((*found, place)) == bits(tuple(expected))
    assert found[0].any()


def test_private_steps_draw_their_own_key(rng: np.random.Generator, monkeypatch: Any) -> None:
    monkeypatch.setattr(clip, "Gradients", lambda grads: pytest.fail("the general way"))
    grads = np.zeros((2, 1000), np.float32)
    first, second = (clip_and_noise(grads, 2.0, 3.0, reduction="sum") for _ in range(2))
    assert not (first == second).any()
    for noise in (first, second):
        assert abs(noise.std() / 6.0 - 1) < 0.15  # six standard errors
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


def test_private_steps_have_the_same_errors(rng: np.random.Generator) -> None:
    grads = rng.standard_normal((4, 3)).astype(np.float32)
    memory = np.empty(14, np.float32)
    frozen = np.empty(3, np.float32)
    frozen.flags.writeable = False
    overlapping = memory[:12].reshape(4, 3)
    overlapping[...] = grads
    usual = {"max_grad_norm": 1.0, "noise_multiplier": 1.0, "expected_batch_size": 4}
    values = {
        "max_grad_norm": (0, -1.0, np.nan, np.inf, True, "1", None, 1e308, np.float32(2), np.ones(1)),
        "noise_multiplier": (-1.0, np.nan, np.inf, 1e308, False, 10**400, np.float64(1), None),
        "expected_batch_size": (0, -2.0, np.nan, None, True, "x", 7, np.float32(7)),
        "reduction": ("none", 0),
        "secure": (0, None),
        "out": (frozen, np.empty(4, np.float32), np.empty(3), np.empty((1, 3), np.float32), memory[:6:2], [1.0] * 3),
    }
    wrong = [(grads, {name: value}) for name in values for value in values[name]]
    wrong += [(grads, {"expected_batch_size": size, "reduction": "sum"}) for size in values["expected_batch_size"]]
    wrong += [(grads, {"max_grad_norm": 1e-200, "noise_multiplier": 1e-200})]
    wrong += [(overlapping, {"out": memory[11:]}), (overlapping, {"out": memory[:3]})]
    wrong += [(np.zeros(shape), {}) for shape in (4, (0, 3), (3, 0))]
    wrong += [(unusual, {}) for unusual in (grads.astype(">f4"), grads.T, grads[:, ::2], grads.astype(int))]
    for given, different in wrong:
        outcomes = []
        for array in (given, given.view(Other)):
            try:
                outcomes.append(bits((clip_and_noise(array, rng=NoiseGenerator(1), **{**usual, **different}),)))
            except (TypeError, ValueError) as error:
                outcomes.append([(type(error), str(error).replace("Other", "ndarray"))])
        assert outcomes[0] == outcomes[1], different
