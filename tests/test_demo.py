"""The demo on few steps: its results make sense, and its figure is drawn."""

import importlib.util

import numpy as np
import pytest

import fastloss as fl
from fastloss import demo
from fastloss.__main__ import main

for module in demo.PACKAGES:
    pytest.importorskip(module)

from fastloss.demo import digits, embedding, figure, imbalance, outliers, private  # noqa: E402
from fastloss.demo._text import table  # noqa: E402


@pytest.fixture(scope="module")
def trainings():
    return digits.run(seed=0, quiet=True, epochs=3, repeats=1)


@pytest.fixture(scope="module")
def errors():
    return outliers.run(seed=0, quiet=True, splits=3, steps=500)


@pytest.fixture(scope="module")
def accuracies():
    return private.run(seed=0, quiet=True, seeds=2, steps=60)


@pytest.fixture(scope="module")
def scores():
    return imbalance.run(seed=0, quiet=True, splits=3)


@pytest.fixture(scope="module")
def searches():
    return embedding.run(seed=0, quiet=True, seeds=2, steps=200)


def test_digits_are_learnt_equally_well_by_all_implementations(trainings):
    assert [(t.model, t.implementation) for t in trainings] == [
        (model, which) for model in digits.MODELS for which in digits.IMPLEMENTATIONS
    ]
    for model in digits.MODELS:
        native, by_hand, twin = (t for t in trainings if t.model == model)
        assert native.accuracy[-1] > 0.9
        assert native.accuracy == twin.accuracy
        np.testing.assert_allclose(native.loss, twin.loss, rtol=1e-4)
        np.testing.assert_allclose(native.loss, by_hand.loss, rtol=1e-4)
        np.testing.assert_allclose(native.accuracy[-1], by_hand.accuracy[-1], atol=0.01)


def test_digits_times_are_measured(trainings):
    for t in trainings:
        assert t.loss_seconds > 0
        assert t.step_seconds > 0


def test_backward_is_the_derivative_of_forward():
    rng = np.random.default_rng(1)
    layers = [(w.astype(float), b + rng.normal(size=b.shape)) for w, b in digits.new_layers((5, 4, 3), rng)]
    images, labels = rng.normal(size=(6, 5)), rng.integers(0, 3, 6)

    def loss():
        return digits.by_hand(digits.forward(layers, images)[-1], labels)

    grads = digits.backward(layers, digits.forward(layers, images), loss()[1])
    for (weight, _), (slope, _) in zip(layers, grads, strict=True):
        before, step = loss()[0], 1e-6
        weight[0, 1] += step
        assert (loss()[0] - before) / step == pytest.approx(slope[0, 1], rel=1e-4, abs=1e-7)
        weight[0, 1] -= step


def test_outliers_harm_squared_error_most(errors):
    squared, absolute, huber = errors
    for e in errors:
        assert len(e.clean) == len(e.spoiled) == 3
        assert np.mean(e.clean) < 60
    assert np.mean(squared.spoiled) > 2 * np.mean(huber.spoiled)
    assert np.mean(squared.spoiled) > 2 * np.mean(absolute.spoiled)
    assert np.mean(huber.spoiled) < 1.2 * np.mean(huber.clean)


def test_fit_of_squared_error_is_least_squares():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 3))
    y = x @ [1.0, -2.0, 3.0] + 5 + rng.normal(size=80)
    expected = np.linalg.lstsq(np.column_stack([x, np.ones(80)]), y, rcond=None)[0]
    np.testing.assert_allclose(outliers.fit("squared error", x, y, 500), expected, rtol=1e-6)


def test_a_tenth_of_the_targets_is_spoiled():
    target = np.arange(1.0, 101.0)
    spoiled = outliers.spoil(target, np.random.default_rng(0))
    assert (spoiled != target).sum() == 10
    np.testing.assert_array_equal(spoiled[spoiled != target], outliers.OUTLIER_FACTOR * target[spoiled != target])


def test_noise_costs_accuracy(accuracies):
    by_multiplier = {r.noise_multiplier: np.mean(r.values) for r in accuracies}
    assert set(by_multiplier) == {None, *private.MULTIPLIERS}
    assert by_multiplier[None] > 0.9
    assert by_multiplier[0.0] > 0.8
    assert by_multiplier[16.0] < by_multiplier[0.0]


def test_per_sample_gradients_add_up_to_the_batch_gradient():
    data = digits.load(0)
    images, labels = data.train_images[:20], data.train_labels[:20]
    rng = np.random.default_rng(3)
    weight, bias = digits.new_layers((64, 10), rng)[0]
    grads = private.per_sample_gradients(weight, bias, images, labels)
    values = digits.forward([(weight, bias)], images)
    (expected_weight, expected_bias), *_ = digits.backward(
        [(weight, bias)], values, digits.by_hand(values[-1], labels)[1] * len(labels)
    )
    np.testing.assert_allclose(grads["weight"].sum(axis=0), expected_weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads["bias"].sum(axis=0), expected_bias, rtol=1e-4, atol=1e-5)


def test_private_training_repeats_with_its_seed():
    data = digits.load(0)
    assert private.train(data, 4.0, steps=20, seed=5)[0] == private.train(data, 4.0, steps=20, seed=5)[0]


def test_weights_move_the_threshold_and_do_not_rank_better(scores):
    plain, balanced, focal, focal_alpha = scores
    assert np.mean(balanced.balanced_accuracy) > np.mean(plain.balanced_accuracy) + 0.1
    assert np.mean(focal_alpha.balanced_accuracy) > np.mean(plain.balanced_accuracy)
    for s in scores:
        assert len(s.moved) == len(s.recall) == 3
        assert np.mean(s.moved) > 0.8
        assert abs(np.mean(s.average_precision) - np.mean(plain.average_precision)) < 0.1
    assert np.mean(plain.mean_probability) == pytest.approx(20 / 840, rel=0.15)
    assert np.mean(focal.mean_probability) > 2 * np.mean(plain.mean_probability)


def test_balanced_cross_entropy_is_the_weighted_one_of_probabilities():
    rng = np.random.default_rng(4)
    logits, labels = rng.normal(size=50), rng.integers(0, 2, 50)
    weighted, _, _ = imbalance.losses(7.0)["balanced cross-entropy"](logits, labels)
    expected = fl.balanced_cross_entropy(fl.sigmoid(logits), labels, pos_weight=7.0, neg_weight=1.0)
    assert weighted == pytest.approx(expected, rel=1e-12)


def test_fit_ends_where_the_gradient_is_zero():
    data = imbalance.load(np.random.default_rng(0))
    for loss in imbalance.losses(data.ratio).values():
        w = imbalance.fit(loss, data.images, data.labels, 1e-2)
        slope = data.images.T @ loss(data.images @ w, data.labels)[1] + 1e-2 * np.append(w[:-1], 0)
        assert np.abs(slope).max() < 1e-4


def test_an_embedding_gathers_the_digits_it_knows(searches):
    pixels, pca, discriminant, ranking, triplet = searches
    for learnt in (ranking, triplet, discriminant):
        assert np.mean(learnt.precision) > np.mean(pixels.precision) + 0.1
        assert np.mean(learnt.unseen_precision) < np.mean(pixels.unseen_precision)
    assert np.mean(pca.nearest) > 0.95
    assert np.mean(ranking.nearest) > 0.95


def test_search():
    vectors = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 1.2]])
    assert embedding.search(vectors, np.array([0, 0, 1, 1])) == (1.0, 1.0)
    precision, nearest = embedding.search(vectors, np.array([0, 1, 0, 1]))
    assert nearest == 0
    assert precision == pytest.approx((1 / 3 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_batches_hold_what_they_say():
    labels = np.array([4, 7, 4, 9, 7, 9, 9])
    digits_drawn, anchors, positives, negatives = embedding.draw_batch(labels, np.random.default_rng(0))
    np.testing.assert_array_equal(labels[anchors], digits_drawn)
    np.testing.assert_array_equal(labels[positives], digits_drawn)
    assert (labels[negatives] != digits_drawn).all()
    assert set(digits_drawn) == {4, 7, 9}


def test_tables_and_figure(trainings, errors, accuracies, scores, searches, tmp_path):
    for text in (
        digits.report(trainings),
        outliers.report(errors),
        private.report(accuracies),
        imbalance.report(scores),
        embedding.report(searches),
    ):
        lines = text.splitlines()
        assert max(map(len, lines)) <= 120
    output = tmp_path / "figure"
    figure.draw(trainings, errors, accuracies, scores, searches, output)
    from matplotlib.image import imread

    pixels = imread(output, format="png")
    assert pixels.shape[0] > 800
    assert pixels.shape[1] > 1000
    assert pixels.std() > 0.05


def test_the_whole_command(monkeypatch, tmp_path, capsys, trainings, errors, accuracies, scores, searches):
    monkeypatch.setattr(digits, "run", lambda **keywords: trainings)
    monkeypatch.setattr(outliers, "run", lambda **keywords: errors)
    monkeypatch.setattr(private, "run", lambda **keywords: accuracies)
    monkeypatch.setattr(imbalance, "run", lambda **keywords: scores)
    monkeypatch.setattr(embedding, "run", lambda **keywords: searches)
    output = tmp_path / "demo.png"
    assert main(["demo", "--output", str(output), "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    for word in ("Digits", "Diabetes", "Private training", "Imbalance", "Embedding", str(output)):
        assert word in printed
    assert output.stat().st_size > 10_000


def test_a_missing_package_is_named(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else found(name))
    assert main(["demo"]) == 1
    message = capsys.readouterr().err
    assert "the demo needs scikit-learn, which is not installed here" in message
    assert "pip install scikit-learn" in message


def test_table():
    assert table("T", ["a", "b"], [["long", "1"], ["x", "22"]], "N").splitlines() == [
        "T", "", "a      b", "----  --", "long   1", "x     22", "", "N",
    ]  # fmt: skip
