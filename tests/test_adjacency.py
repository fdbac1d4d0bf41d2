"""What neighbouring batches are: with a sample replaced, the sensitivity doubles, and with it the noise."""

import numpy as np
import pytest

from fastloss import privacy, reference


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(("mechanism", "mode"), [("gaussian", "flat"), ("laplace", "flat"), ("gaussian", "per_layer")])
def test_noise_doubles(rng, mechanism, mode, secure):
    grads = [rng.standard_normal((6, 5)), rng.standard_normal((6, 2, 2))]
    bound = [1.0, 0.5] if mode == "per_layer" else 1.0
    options = {"expected_batch_size": 6, "mechanism": mechanism, "mode": mode, "secure": secure, "rng": 3}
    replaced = privacy.clip_and_noise(grads, bound, 0.75, adjacency="replace", **options)
    for found, expected in zip(replaced, privacy.clip_and_noise(grads, bound, 1.5, **options), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("secure", [False, True])
def test_sum_says_it(rng, secure):
    grads = rng.standard_normal((6, 5))
    one, two = (privacy.clip_and_sum(grads, 1.0, secure=secure, adjacency=word) for word in ("add_remove", "replace"))
    assert (one.sensitivity, two.sensitivity) == (1.0, 2.0)
    np.testing.assert_array_equal(one.sum, two.sum)
    with pytest.raises(ValueError, match=r"accumulate was clipped with adjacency = 'replace'; expected 'add_remove'"):
        privacy.clip_and_sum(grads, 1.0, secure=secure, accumulate=two)
    options = {"expected_batch_size": 6, "secure": secure, "rng": 3}
    np.testing.assert_array_equal(privacy.add_noise(two, 0.75, **options), privacy.add_noise(one, 1.5, **options))


def test_layers(rng):
    inputs, output_grads = rng.standard_normal((6, 4)), rng.standard_normal((6, 3))
    options = {"expected_batch_size": 6, "rng": 3}
    np.testing.assert_array_equal(
        privacy.linear_clip_and_noise(inputs, output_grads, 1.0, 0.75, adjacency="replace", **options),
        privacy.linear_clip_and_noise(inputs, output_grads, 1.0, 1.5, **options),
    )
    np.testing.assert_array_equal(
        privacy.embedding_clip_and_noise(
            [0, 1, 1, 2, 0, 2], output_grads, 4, 1.0, 0.75, adjacency="replace", **options
        ),
        privacy.embedding_clip_and_noise([0, 1, 1, 2, 0, 2], output_grads, 4, 1.0, 1.5, **options),
    )


def test_reference(rng):
    grads = rng.standard_normal((6, 5))
    assert reference.privacy.clip_and_sum(grads, [3.0], mode="per_layer", adjacency="replace").sensitivity == 6.0


@pytest.mark.parametrize("function", ["clip_and_sum", "clip_and_noise", "linear_clip_and_noise"])
def test_another_word(function):
    arguments = {"clip_and_sum": (np.ones((2, 2)), 1.0), "clip_and_noise": (np.ones((2, 2)), 1.0, 1.0)}
    options = {} if function == "clip_and_sum" else {"expected_batch_size": 2}
    call = arguments.get(function, (np.ones((2, 2)), np.ones((2, 2)), 1.0, 1.0))
    with pytest.raises(ValueError, match="adjacency = 'swap' is unknown; expected 'add_remove' or 'replace'"):
        getattr(privacy, function)(*call, adjacency="swap", **options)
