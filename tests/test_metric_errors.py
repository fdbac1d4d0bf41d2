"""What the losses of metric learning and overlaps refuse, beyond what all losses of several arrays do."""

import math

import numpy as np
import pytest

import fastloss as fl

X = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("name", "arrays", "parameters", "error", "message"),
    [
        ("contrastive_loss", (X, X, [0, 1]), {}, ValueError, r"target has shape \(2,\) but x1 .*shape \(3,\)"),
        ("contrastive_loss", (X, X[:2], [0, 1, 0]), {}, ValueError, r"x2 has shape \(2, 2\) but x1 has shape \(3, 2\)"),
        ("contrastive_loss", (X, X, [0, 2, 1]), {}, ValueError, r"target\[1\] = 2 .*0 or 1"),
        ("contrastive_loss", (X, X, [0, math.nan, 1]), {}, ValueError, r"target\[1\] = nan .*0 or 1"),
        ("contrastive_loss", (X, X, [0, 1, 1]), {"similar_label": 2}, ValueError, "similar_label = 2 "),
        ("contrastive_loss", (X, X, [0, 1, 1]), {"half": 1}, TypeError, "half = 1 is not a bool"),
        ("contrastive_loss", (1.0, 2.0, 1), {}, ValueError, r"x1 has shape \(\); expected embeddings"),
        ("cosine_embedding_loss", (X, X, [1, 0, 1]), {}, ValueError, r"target\[1\] = 0 .*-1 or \+1"),
        ("margin_ranking_loss", (X[0], X[1], [1, 0]), {}, ValueError, r"target\[1\] = 0 .*-1 or \+1"),
        ("margin_ranking_loss", (X[0], X[1], [1, math.nan]), {}, ValueError, r"target\[1\] = nan .*-1 or \+1"),
        ("triplet_margin_loss", (X, X, X), {"p": 0.5}, ValueError, "p = 0.5 .*>= 1"),
        ("triplet_margin_loss", (X, X, X), {"p": math.nan}, ValueError, "p = nan .*>= 1"),
        ("triplet_margin_loss", (X, X, X), {"margin": -1.0}, ValueError, "margin = -1.0 .*>= 0"),
        ("triplet_margin_loss", (X, X, X[:, :1]), {}, ValueError, "negative has shape"),
        ("center_loss", (X, X, [0, 1, 3]), {}, ValueError, r"target\[2\] = 3 is outside \[0, 3\)"),
        ("center_loss", (X, X, np.array([0, 1, 255], np.uint8)), {}, ValueError, r"target\[2\] = 255 is outside"),
        ("center_loss", (X, X, [-1, 1, 2]), {}, ValueError, r"target\[0\] = -1 is outside"),
        ("center_loss", (X, X, [0.0, 1.0, 2.0]), {}, TypeError, "target has dtype float64; expected class indices"),
        ("center_loss", (X, X[:, :1], [0, 1, 2]), {}, ValueError, r"centers has shape \(3, 1\) .*\(C, 2\)"),
        ("dice_loss", (X, X), {"axis": 2}, ValueError, "axis = 2 is out of range"),
        ("dice_loss", (X, X), {"axis": (0, -2)}, ValueError, "names an axis twice"),
        ("dice_loss", (X, X), {"axis": 1.0}, TypeError, "axis = 1.0 is not an integer"),
        ("dice_loss", (X, X[0]), {}, ValueError, r"target has shape \(2,\) but prediction has shape \(3, 2\)"),
    ],
)
def test_errors(name, arrays, parameters, error, message):
    first = np.asarray(arrays[0], float).copy()
    loss = getattr(fl, name)
    places = (first, *[None] * (len(loss.gradients) - 1)) if len(loss.gradients) > 1 else first
    with pytest.raises(error, match=message):
        loss.value_and_grad(first, *arrays[1:], grad_out=places, **parameters)
    assert (first == arrays[0]).all()


@pytest.mark.parametrize("code", "bhilqBHILQ")
def test_labels_of_any_integer_type(code):
    centers = np.arange(8.0).reshape(4, 2)
    label = np.array([3, 0, 3])
    expected = fl.center_loss.value_and_grad(X, centers, label)
    value, gradients = fl.center_loss.value_and_grad(X, centers, label.astype(code))
    assert value == expected[0]
    assert all((a == b).all() for a, b in zip(gradients, expected[1], strict=True))


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), (2, 0), (0, 1, 2), ()])
def test_axes_of_an_overlap(axis, rng):
    """Any axes: as numpy sums them; the mean is over the others, and so is the denominator."""
    p, g = rng.uniform(size=(4, 5, 6)), rng.uniform(size=(4, 5, 6))
    expected = 1 - 2 * np.sum(p * g, axis=axis) / np.sum(p**2 + g**2, axis=axis)
    value, gradient = fl.dice_loss.value_and_grad(p, g, axis=axis, reduction="none")
    assert value.shape == np.shape(expected)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)
    twin = fl.reference.dice_loss.value_and_grad(p, g, axis=axis, reduction="none")[1]
    np.testing.assert_allclose(gradient, twin, rtol=1e-12, atol=1e-15)
    assert fl.dice_loss(p, g, axis=axis) == pytest.approx(np.mean(expected), rel=1e-12)
    assert fl.dice_loss.denominator(g, axis=axis) == value.size


def test_rows_of_no_columns():
    empty = np.zeros((3, 0))
    assert fl.contrastive_loss(empty, empty, [1, 1, 1]) == 0.0
    value, (gradient, centers) = fl.center_loss.value_and_grad(empty, empty[:1], [0, 0, 0])
    assert (value, gradient.shape, centers.shape) == (0.0, (3, 0), (1, 0))
    assert fl.dice_loss(empty, empty, axis=1, reduction="none").tolist() == [0.0, 0.0, 0.0]
