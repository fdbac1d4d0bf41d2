"""Laws that hold for all inputs, searched by hypothesis."""

import numpy as np
import pytest
from compare import same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import fastloss as fl

ce = fl.cross_entropy
quick = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
logits = st.floats(-60, 60, width=32)
small = st.floats(-1e6, 1e6, width=32)


@st.composite
def rows(draw, low=1):
    """Logits (N, C) in float64 and their labels."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(low, 40)))
    x = draw(arrays(np.float64, shape, elements=logits))
    return x, draw(arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))


@st.composite
def pairs(draw, elements=small, targets=small):
    """A prediction and a target of one shape."""
    shape = draw(array_shapes(max_dims=3, max_side=8))
    return draw(arrays(np.float64, shape, elements=elements)), draw(arrays(np.float64, shape, elements=targets))


@quick
@given(rows())
def test_cross_entropy_is_not_negative(case):
    value, grad, hess = ce.value_grad_hess(*case, reduction="none")
    assert (value >= 0).all()
    assert (hess >= 0).all()
    assert np.abs(grad.sum(-1)).max() < 1e-13
    assert (np.take_along_axis(grad, case[1][:, None], 1) <= 0).all()


@quick
@given(rows())
def test_labels_are_one_hot_probabilities(case):
    x, t = case
    hard, soft = (
        ce.value_and_grad(x, t, reduction="none"),
        ce.value_and_grad(x, np.eye(x.shape[1])[t], reduction="none"),
    )
    assert hard[0] == pytest.approx(soft[0], rel=1e-14, abs=1e-300)
    assert hard[1] == pytest.approx(soft[1], rel=1e-14, abs=1e-300)


@quick
@given(rows(), st.integers(-1000, 1000))
def test_shift_of_a_row_changes_nothing(case, shift):
    x, t = np.round(case[0] * 64) / 64, case[1]  # so that the shift is exact
    value, grad = ce.value_and_grad(x, t)
    moved = ce.value_and_grad(x + shift, t)
    assert moved[0] == pytest.approx(value, rel=1e-13, abs=1e-300)
    assert moved[1] == pytest.approx(grad, rel=1e-13, abs=1e-300)


@quick
@given(rows(), st.randoms(use_true_random=False))
def test_permutation_of_classes_and_rows(case, random):
    x, t = case
    order = np.array(random.sample(range(x.shape[1]), x.shape[1]))
    inverse = np.argsort(order)
    value, grad = ce.value_and_grad(x, t, reduction="none")
    permuted = ce.value_and_grad(x[:, order], inverse[t], reduction="none")
    assert permuted[0] == pytest.approx(value, rel=1e-14, abs=1e-300)
    assert permuted[1] == pytest.approx(grad[:, order], rel=1e-14, abs=1e-300)
    back = ce.value_and_grad(x[::-1].copy(), t[::-1].copy(), reduction="none")
    assert same_bits(back, (value[::-1], grad[::-1]))


@quick
@given(rows(2), st.floats(0, 1))
def test_smoothing_is_a_mean_of_targets(case, alpha):
    x, t = case
    even, plain = np.full(x.shape, 1 / x.shape[1]), np.eye(x.shape[1])[t]
    smoothed = ce(x, t, label_smoothing=alpha)
    assert smoothed == pytest.approx((1 - alpha) * ce(x, plain) + alpha * ce(x, even), rel=1e-12, abs=1e-300)


@quick
@given(rows(), st.floats(0.25, 8))
def test_temperature_divides_the_logits(case, temperature):
    x, t = case
    value, grad = ce.value_and_grad(x, t, temperature=temperature)
    divided = ce.value_and_grad(x / temperature, t)
    assert value == pytest.approx(divided[0], rel=1e-13, abs=1e-300)
    assert grad == pytest.approx(divided[1] / temperature, rel=1e-12, abs=1e-300)


@quick
@given(rows())
def test_softmax_family_agrees(case):
    x, t = case
    p, logs, sums = fl.softmax(x), fl.log_softmax(x), fl.logsumexp(x)
    assert p.sum(-1) == pytest.approx(np.ones(len(x)), rel=1e-14)
    assert np.exp(logs) == pytest.approx(p, rel=1e-13, abs=1e-300)
    assert x - sums[:, None] == pytest.approx(logs, abs=1e-13 * 60)
    assert -np.take_along_axis(logs, t[:, None], 1)[:, 0] == pytest.approx(
        ce(x, t, reduction="none"), rel=1e-14, abs=1e-300
    )


@quick
@given(pairs(logits, st.sampled_from([0.0, 1.0])))
def test_binary_is_two_classes(case):
    x, t = case
    value, grad = fl.binary_cross_entropy_with_logits.value_and_grad(x, t, reduction="none")
    two = np.stack([np.zeros_like(x), x], -1)
    both = ce.value_and_grad(two, t.astype(int), reduction="none")
    assert value == pytest.approx(both[0], rel=1e-14, abs=1e-300)
    assert grad == pytest.approx(both[1][..., 1], rel=1e-14, abs=1e-300)
    assert value == pytest.approx(np.where(t == 1, fl.softplus(-x), fl.softplus(x)), rel=1e-14)


@quick
@given(pairs(st.floats(-30, 30), st.floats(0, 1)), st.floats(0, 10))
def test_pos_weight_multiplies_the_positive_part(case, weight):
    x, t = case
    loss = fl.binary_cross_entropy_with_logits
    parts = weight * t * fl.softplus(-x) + (1 - t) * fl.softplus(x)
    assert loss(x, t, pos_weight=weight, reduction="none") == pytest.approx(parts, rel=1e-13, abs=1e-300)


@quick
@given(pairs(st.floats(1e-6, 1 - 1e-6), st.floats(0, 1)))
def test_probabilities_and_logits_agree(case):
    p, t = case
    x = np.log(p) - np.log1p(-p)
    from_logits = fl.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert fl.binary_cross_entropy(p, t, reduction="none") == pytest.approx(from_logits, rel=1e-9)


@quick
@given(pairs(), st.floats(0.01, 100))
def test_huber_is_delta_times_smooth_l1(case, delta):
    x, t = case
    huber = fl.huber_loss.value_and_grad(x, t, delta=delta, reduction="none")
    smooth = fl.smooth_l1_loss.value_and_grad(x, t, beta=delta, reduction="none")
    assert huber[0] == pytest.approx(delta * smooth[0], rel=1e-14, abs=1e-300)
    assert huber[1] == pytest.approx(delta * smooth[1], rel=1e-14, abs=1e-300)


@quick
@given(pairs())
def test_limits_of_huber_and_smooth_l1(case):
    assert same_bits(fl.smooth_l1_loss.value_and_grad(*case, beta=0.0), fl.l1_loss.value_and_grad(*case))
    assert fl.huber_loss(*case, delta=1e10) == pytest.approx(fl.half_mse_loss(*case), rel=1e-14)
    assert 2 * fl.half_mse_loss(*case) == pytest.approx(fl.mse_loss(*case), rel=1e-15)


@quick
@given(pairs(small, st.sampled_from([-1.0, 1.0])), st.floats(0, 10))
def test_hinges(case, margin):
    x, t = case
    hinge = fl.hinge_loss(x, t, margin=margin, reduction="none")
    assert fl.squared_hinge_loss(x, t, margin=margin, reduction="none") == pytest.approx(hinge**2, rel=1e-15)
    assert same_bits(hinge, fl.hinge_loss(-x, -t, margin=margin, reduction="none"))


@quick
@given(pairs())
def test_losses_of_residuals_are_even(case):
    x, t = case
    for loss in (
        fl.mse_loss,
        fl.l1_loss,
        fl.half_mse_loss,
        fl.huber_loss,
        fl.smooth_l1_loss,
        fl.log_cosh_loss,
        fl.pseudo_huber_loss,
        fl.quantile_loss,
    ):
        value, grad, hess = loss.value_grad_hess(x, t, reduction="none")
        swapped = loss.value_grad_hess(t, x, reduction="none")
        assert (value == swapped[0]).all()
        assert (grad == -swapped[1]).all()
        assert (hess == swapped[2]).all()


@quick
@given(pairs(), st.data())
def test_gradient_is_the_slope(case, data):
    """A convex loss lies above each of its tangents."""
    x, t = case
    y = x + data.draw(arrays(np.float64, x.shape, elements=st.floats(-10, 10)))
    for loss in (fl.mse_loss, fl.l1_loss, fl.huber_loss, fl.smooth_l1_loss, fl.log_cosh_loss, fl.pseudo_huber_loss):
        value, grad = loss.value_and_grad(x, t, reduction="none")
        above = loss(y, t, reduction="none") - (value + grad * (y - x))
        assert (above >= -1e-9 * (1 + value)).all()


@quick
@given(pairs(st.floats(-30, 30), st.integers(0, 100).map(float)))
def test_tweedie_at_its_ends(case):
    x, t = case
    poisson = fl.poisson_nll_loss.value_grad_hess(x, t, reduction="none")
    assert same_bits(fl.tweedie_loss.value_grad_hess(x, t, power=1, reduction="none"), poisson)
    gamma = fl.gamma_nll_loss.value_grad_hess(x, t + 1, reduction="none")
    assert same_bits(fl.tweedie_loss.value_grad_hess(x, t + 1, power=2, reduction="none"), gamma)
    near = fl.tweedie_loss.value_and_grad(x, t, power=1 + 1e-9, reduction="none")
    assert near[1] == pytest.approx(poisson[1], rel=1e-6, abs=1e-6 * (1 + t.max()))


@quick
@given(pairs(st.floats(-20, 20), st.floats(0, 100)))
def test_poisson_of_a_mean_and_of_its_logarithm(case):
    x, t = case
    for full in (False, True):
        log, mean = (
            fl.poisson_nll_loss.value_and_grad(p, t, log_input=flag, full=full, reduction="none")
            for p, flag in ((x, True), (np.exp(x), False))
        )
        assert mean[0] == pytest.approx(log[0], rel=1e-12, abs=1e-11)
        assert mean[1] * np.exp(x) == pytest.approx(log[1], rel=1e-12, abs=1e-11 * np.exp(20))


@quick
@given(pairs(), st.floats(0.01, 0.99))
def test_quantiles_share_the_absolute_error(case, q):
    x, t = case
    low, high = (fl.quantile_loss.value_and_grad(x, t, quantile=p, reduction="none") for p in (q, 1 - q))
    assert low[0] + high[0] == pytest.approx(np.abs(x - t), rel=1e-14, abs=1e-300)
    assert low[1] + high[1] == pytest.approx(np.sign(x - t), rel=1e-14)


@quick
@given(pairs(logits, st.floats(0, 1, width=32)))
def test_binary_losses_that_are_cross_entropy(case):
    x, t = case
    bce = fl.binary_cross_entropy_with_logits
    for dtype in (np.float32, np.float64):
        a, b = x.astype(dtype), t.astype(dtype)
        expected = bce.value_grad_hess(a, b, reduction="none")
        assert same_bits(fl.focal_loss.value_grad_hess(a, b, gamma=0.0, reduction="none"), expected)
        assert same_bits(fl.focal_loss.value_and_grad(a, b, gamma=0.0), bce.value_and_grad(a, b))
    halved = fl.focal_loss.value_and_grad(x, t, gamma=0.0, alpha=0.5, reduction="none")
    plain = fl.poly_loss.value_and_grad(x, t, epsilon=(), reduction="none")
    for k in range(2):
        assert halved[k] == pytest.approx(expected[k] / 2, rel=1e-13, abs=1e-15)
        assert plain[k] == pytest.approx(expected[k], rel=1e-13, abs=1e-15)
    hard = np.round(t)
    soft = fl.soft_margin_loss.value_and_grad(x, 2 * hard - 1, reduction="none")
    assert same_bits(soft, bce.value_and_grad(x, hard, reduction="none"))


@quick
@given(pairs(logits, st.floats(0, 1)), st.floats(0, 1), st.sampled_from([0.5, 1.0, 2.0, 3.5]))
def test_focal_is_a_factor_of_cross_entropy(case, alpha, gamma):
    x, t = case
    p = fl.sigmoid(x)
    factor = (alpha * t + (1 - alpha) * (1 - t)) * (t * fl.sigmoid(-x) + (1 - t) * p) ** gamma
    value = fl.focal_loss(x, t, gamma=gamma, alpha=alpha, reduction="none")
    assert value == pytest.approx(
        factor * fl.binary_cross_entropy_with_logits(x, t, reduction="none"), rel=1e-11, abs=1e-300
    )


@quick
@given(pairs(logits, st.floats(0, 1)), st.lists(st.floats(-3, 3), max_size=12))
def test_forms_of_poly(case, epsilon):
    x, t = case
    multiplied = [j * e for j, e in enumerate(epsilon, 1)]
    paper = fl.poly_loss.value_grad_hess(x, t, epsilon=epsilon, reduction="none")
    taylor = fl.poly_loss.value_grad_hess(x, t, epsilon=multiplied, form="taylor", reduction="none")
    for a, b in zip(paper, taylor, strict=True):
        assert a == pytest.approx(b, rel=1e-12, abs=1e-12)


@quick
@given(pairs(st.floats(0, 1), st.floats(0, 1)), st.floats(0, 10))
def test_balanced_weights(case, weight):
    x, t = case
    loss = fl.balanced_cross_entropy
    assert loss(x, t, reduction="none") == pytest.approx(fl.binary_cross_entropy(x, t, reduction="none"), rel=1e-15)
    both, plain = loss(x, t, pos_weight=weight, neg_weight=weight, reduction="none"), loss(x, t, reduction="none")
    finite = np.isfinite(plain)
    assert both[finite] == pytest.approx(weight * plain[finite], rel=1e-13, abs=1e-300)
