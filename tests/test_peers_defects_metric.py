"""Inputs on which other libraries' metric losses and overlaps are known to be wrong."""

import numpy as np
import pytest

import fastloss as fl


def test_distances_are_positive():
    # sentence-transformers 5.2's Euclidean TripletLoss takes the negative of the distance: far positives cost nothing.
    near, far = fl.triplet_margin_loss([[0.0]], [[1.0]], [[9.0]]), fl.triplet_margin_loss([[0.0]], [[9.0]], [[1.0]])
    assert (near, far) == (0.0, 9.0)


def test_differences_of_both_signs_do_not_cancel():
    # optax sums signed differences for p = 1: (1, -1) is then at distance 0.
    value, (_, positive, _) = fl.triplet_margin_loss.value_and_grad(
        [[0.0, 0.0]], [[1.0, -1.0]], [[0.0, 0.0]], p=1, margin=0.0
    )
    assert value == 2.0
    assert positive.tolist() == [[1.0, -1.0]]


def test_equal_rows_poison_nothing():
    # tensorflow#30199: the derivative of the root at distance 0 turns every weight to NaN.
    x = np.ones((3, 4))
    y = np.vstack([x[:1], x[1:] + 1])
    for gradients in (
        fl.contrastive_loss.value_and_grad(x, y, [0, 1, 0])[1],
        fl.triplet_margin_loss.value_and_grad(x, y, x)[1],
        fl.triplet_margin_loss.value_and_grad(x, x, y, p=3, swap=True)[1],
    ):
        assert all(np.isfinite(g).all() for g in gradients)


def test_zero_vector_has_cosine_zero():
    # optax#946: NaN gradients.
    value, gradients = fl.cosine_embedding_loss.value_and_grad(np.zeros((2, 3)), np.ones((2, 3)), [1, -1])
    assert value == 0.5
    assert all((g == 0).all() for g in gradients)


def test_nothing_is_added_to_differences():
    # torch adds 1e-6 to each: its distance of equal rows of 1000 is 3e-5, and is not symmetric.
    x = np.zeros((1, 1000))
    assert fl.triplet_margin_loss(x, x, x + 1, margin=0.0) == 0.0
    assert fl.triplet_margin_loss(x + 1e-9, x, x, margin=0.0) == 0.0


def test_labels_that_are_no_signs():
    # torch takes 0 for a sign, and any number.
    for loss in (fl.margin_ranking_loss, fl.cosine_embedding_loss):
        rows = [[1.0, 2.0], [3.0, 4.0]] if loss is fl.cosine_embedding_loss else [1.0, 2.0]
        with pytest.raises(ValueError, match=r"target\[1\] = 0.0 .*-1 or \+1"):
            loss(rows, rows, [1.0, 0.0])
    with pytest.raises(ValueError, match=r"target\[0\] = 0.5 .*0 or 1"):
        fl.contrastive_loss([[1.0]], [[2.0]], [0.5])


def test_empty_masks():
    # Without smoothing others divide 0 by 0.
    value, gradient = fl.dice_loss.value_and_grad(np.zeros((2, 5)), np.zeros((2, 5)), axis=1)
    assert value == 0.0
    assert (gradient == 0).all()
    assert fl.dice_loss(np.zeros(5), np.ones(5)) == 1.0


def test_a_nearly_perfect_overlap_keeps_its_digits():
    # 1 - (2 sum p g) / (...) has none left in float32: 0 or 1.2e-7.
    p = np.full(1000, 1 - 2.0**-14, np.float32)
    assert fl.dice_loss(p, np.ones(1000)) == pytest.approx(2.0**-28 / ((1 - 2.0**-14) ** 2 + 1), rel=1e-6)
