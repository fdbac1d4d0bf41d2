"""The clipping bound that follows a quantile."""

import math

import numpy as np
import pytest

from fastloss.privacy import AdaptiveClipper, NoiseGenerator, clip_and_noise
from fastloss.reference import adaptive as reference


def test_bound_reaches_the_quantile():
    g = np.random.default_rng(1)
    norms = np.exp(g.standard_normal(2000))
    for quantile in (0.2, 0.5, 0.9):
        clipper = AdaptiveClipper(30.0, 1.0, 2000, quantile=quantile, rng=3)
        for _ in range(150):
            clipper.update(norms)
        assert clipper.max_grad_norm == pytest.approx(np.quantile(norms, quantile), rel=0.15)


def test_update_is_the_formula():
    norms = np.array([0.5, 1.0, 2.0, np.nan, np.inf])
    clipper = AdaptiveClipper(1.0, 0.5, 10, quantile=0.3, learning_rate=0.7, count_noise=4.0, rng=5)
    grid = 2.0**-18
    noise = int(NoiseGenerator(5).discrete_gaussian(1, 4.0 / grid)[0]) * grid
    share = clipper.update(norms)
    assert (share, clipper.max_grad_norm) == pytest.approx(reference.update(1.0, norms, noise, 10, 0.3, 0.7), rel=1e-14)
    assert share == 0.5 + (2 - 2.5 + noise) / 10
    assert abs(noise) > 1e-3


def test_noise_of_the_count_has_its_scale():
    clipper = AdaptiveClipper(1.0, 1.0, 1.0, learning_rate=1e-9, count_noise=3.0, rng=6)
    shares = [clipper.update(np.empty(0)) - 0.5 for _ in range(4000)]
    assert np.std(shares) == pytest.approx(3.0, rel=0.06)


@pytest.mark.parametrize("z", [0.5, 1.0, 3.9])
def test_multiplier_pays_for_the_count(z):
    clipper = AdaptiveClipper(1.0, z, 40, count_noise=2.0)
    assert clipper.noise_multiplier == pytest.approx(reference.gradient_multiplier(z, 2.0), rel=1e-12)
    # Both releases together: zCDP adds up to that of z.
    assert 1 / clipper.noise_multiplier**2 + 1 / 16 <= 1 / z**2
    assert AdaptiveClipper(1.0, 0.0, 40).noise_multiplier == 0.0


@pytest.mark.parametrize("secure", [False, True])
def test_step_clips_with_the_bound_before_it_moves(secure):
    grads = [np.random.default_rng(7).standard_normal((20, 6)), np.ones((20, 2))]
    clipper = AdaptiveClipper(2.0, 1.0, 20, rng=8)
    got = clipper.clip_and_noise(grads, secure=secure, reduction="sum")
    generator = NoiseGenerator(8)
    want = clip_and_noise(grads, 2.0, clipper.noise_multiplier, reduction="sum", secure=secure, rng=generator)
    for x, y in zip(got, want, strict=True):
        np.testing.assert_array_equal(x, y)
    assert clipper.max_grad_norm != 2.0
    bound = clipper.max_grad_norm
    with pytest.raises(ValueError, match="grads"):
        clipper.clip_and_noise([grads[0], grads[1][:3]])
    with pytest.raises(TypeError, match="mode"):
        clipper.clip_and_noise(grads, mode="automatic")
    assert clipper.max_grad_norm == bound
    assert "AdaptiveClipper(max_grad_norm=" in repr(clipper)
    assert clipper.clip_and_noise(np.empty((0, 3))).shape == (3,)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_grad_norm": 0.0}, "max_grad_norm"),
        ({"max_grad_norm": math.inf}, "max_grad_norm"),
        ({"noise_multiplier": 4.0}, "count_noise"),
        ({"noise_multiplier": -1.0}, "noise_multiplier"),
        ({"expected_batch_size": 0}, "expected_batch_size"),
        ({"quantile": 1.0}, "quantile"),
        ({"quantile": 0.0}, "quantile"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"count_noise": 0.0}, "count_noise"),
    ],
)
def test_bad_arguments(options, text):
    settings = {"max_grad_norm": 1.0, "noise_multiplier": 1.0, "expected_batch_size": 40, "count_noise": 2.0, **options}
    with pytest.raises(ValueError, match=text):
        AdaptiveClipper(**settings)
    with pytest.raises(ValueError, match="norms"):
        AdaptiveClipper(1.0, 1.0, 40).update(np.ones((2, 2)))
