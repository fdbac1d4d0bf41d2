"""The demo on few steps: its results make sense, and its figure is drawn."""

import importlib.util
import math

import numpy as np
import pytest

import fastloss as fl
from fastloss import demo
from fastloss.__main__ import main

for module in demo.PACKAGES:
    pytest.importorskip(module)

from fastloss.demo import digits, embedding, figure, imbalance, membership, outliers, private  # noqa: E402
from fastloss.demo._text import table  # noqa: E402


@pytest.fixture(scope="module")
def trainings():
    return digits.run(seed=0, quiet=True, epochs=3, repeats=1)


@pytest.fixture(scope="module")
def errors():
    return outliers.run(seed=0, quiet=True, splits=3, steps=500)


@pytest.fixture(scope="module")
def scores():
    return imbalance.run(seed=0, quiet=True, splits=3)


@pytest.fixture(scope="module")
def searches():
    return embedding.run(seed=0, quiet=True, seeds=2, steps=200)


@pytest.fixture(scope="module")
def worlds_and_trained():
    """Without privacy for long enough to know the outliers by heart, and with two budgets."""
    multipliers = {8.0: 2.46875, 1.0: 14.5625}
    plan = [private.settings_without_noise()[0]]
    plan += [private.Setting(f"epsilon = {e:g}", e, m, *private.BRIEFLY) for e, m in multipliers.items()]
    return private.run(seed=0, quiet=True, seeds=2, plan=plan)


@pytest.fixture(scope="module")
def trained(worlds_and_trained):
    return worlds_and_trained[1]


@pytest.fixture(scope="module")
def attacks(worlds_and_trained):
    return membership.run(*worlds_and_trained)


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


def test_noise_costs_accuracy(trained):
    plain, *_, noisy = (trained[k : k + 3] for k in range(0, len(trained), 3))
    assert [r.loss for r in plain] == list(private.LOSSES)
    for a, b in zip(plain, noisy, strict=True):
        assert np.mean(a.accuracy) > 0.9
        assert 0.4 < np.mean(b.accuracy) < np.mean(a.accuracy) - 0.05


def test_settings_keep_to_their_budgets(monkeypatch):
    from fastloss.privacy import accounting

    monkeypatch.setattr(private, "EPSILONS", (2.0,))
    budgets = [s for s in private.settings() if np.isfinite(s.epsilon)]
    assert [s.epsilon for s in budgets] == [2.0]
    for s in budgets:
        assert accounting.epsilon(s.noise_multiplier, private.DELTA, s.sampling_rate, s.steps) <= s.epsilon
    for s in private.settings_without_noise():
        assert s.noise_multiplier == 0
        assert membership.bound(s.epsilon) == 1


def test_gradients_of_the_outputs_give_the_batch_gradient():
    """In the form that linear_clip_and_noise takes, without clipping and noise; against the digits part's own."""
    rng = np.random.default_rng(3)
    layers = digits.new_layers((64, 7, 10), rng)
    images, labels = rng.random((20, 64), np.float32), rng.integers(0, 10, 20)
    values = digits.forward(layers, images)
    _, grad = private.LOSSES["cross-entropy"](values[-1], labels)
    outputs = private.output_grads(layers, values, grad)
    got = fl.privacy.linear_clip_and_noise(values[:-1], outputs, np.inf, 0.0, bias=True, reduction="sum")
    for (weight, bias), want in zip(got, digits.backward(layers, values, grad), strict=True):
        np.testing.assert_allclose(weight.T, want[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(bias, want[1], rtol=1e-4, atol=1e-5)


def test_worlds_toss_coins_and_plant_wrong_labels():
    labels = np.resize(np.arange(10), 1797)
    world = private.new_world(labels, 0)
    assert 800 < world.members.sum() < 1000
    assert world.planted.sum() == private.PLANTED
    np.testing.assert_array_equal(world.labels != labels, world.planted)
    assert world.labels.max() <= 9
    assert (private.new_world(labels, 1).members != world.members).any()


def test_private_training_repeats_with_its_seed():
    data, setting = digits.load(0), private.Setting("", 4.0, 4.0, 0.5, 0.1, 5, 0.5)
    one, two = (
        private.train(data.train_images, data.train_labels, "hinge", setting, expected=100, seed=5) for _ in range(2)
    )
    np.testing.assert_array_equal(one[0][0], two[0][0])


def test_outliers_are_betrayed_by_plain_models_and_not_by_private_ones(attacks):
    for a in attacks:
        if np.isinf(a.setting.epsilon):
            assert np.mean(a.planted) > 0.7
            assert 0 < np.mean(a.everyone) < 0.3
        else:
            assert abs(np.mean(a.planted)) < 0.3
            assert np.mean(a.everyone) < membership.bound(a.setting.epsilon)


def test_best_threshold():
    losses, members = np.array([0.1, 0.4, 0.4, 0.2, 3.0]), np.array([True, True, False, True, False])
    assert membership.best_threshold(losses, members) == 0.2
    assert membership.advantage(losses, members, 0.2) == pytest.approx(2 / 3)
    # All that have the loss 0.4 are accused together; where accusing nobody is best, nobody is.
    assert membership.best_threshold(np.array([0.4, 0.4]), np.array([True, False])) == -np.inf
    assert membership.advantage(losses, members, -np.inf) == 0
    # Of noise, the thresholds of other worlds find nothing on average; the best of each own world would.
    rng = np.random.default_rng(0)
    worlds = [rng.random(40) for _ in range(100)], [rng.random(40) < 0.5 for _ in range(100)]
    assert abs(np.mean(membership.attack_each(*worlds))) < 0.05
    own = [membership.advantage(x, m, membership.best_threshold(x, m)) for x, m in zip(*worlds, strict=True)]
    assert np.mean(own) > 0.15


def test_bound_of_the_advantage():
    assert membership.bound(1.0, 0.0) == pytest.approx(math.tanh(0.5))
    assert membership.bound(0.0, 0.25) == 0.25
    assert membership.bound(np.inf) == membership.bound(700.0) == 1
    assert membership.bound(50.0, 0.5) == 1


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


def test_tables_and_figure(trainings, errors, scores, searches, trained, attacks, tmp_path):
    for text in (
        digits.report(trainings),
        outliers.report(errors),
        imbalance.report(scores),
        embedding.report(searches),
        private.report(trained),
        membership.report(attacks),
    ):
        lines = text.splitlines()
        assert max(map(len, lines)) <= 120
    output = tmp_path / "figure"
    figure.draw(trainings, errors, scores, searches, trained, attacks, output)
    from matplotlib.image import imread

    pixels = imread(output, format="png")
    assert pixels.shape[0] > 800
    assert pixels.shape[1] > 1000
    assert pixels.std() > 0.05


def test_the_whole_command(monkeypatch, tmp_path, capsys, trainings, errors, scores, searches, worlds_and_trained):
    monkeypatch.setattr(digits, "run", lambda **keywords: trainings)
    monkeypatch.setattr(outliers, "run", lambda **keywords: errors)
    monkeypatch.setattr(private, "run", lambda **keywords: worlds_and_trained)
    monkeypatch.setattr(imbalance, "run", lambda **keywords: scores)
    monkeypatch.setattr(embedding, "run", lambda **keywords: searches)
    output = tmp_path / "demo.png"
    assert main(["demo", "--output", str(output), "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    for word in ("Digits", "Diabetes", "Imbalance", "Embedding", "Private training", "Membership", str(output)):
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
