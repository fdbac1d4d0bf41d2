"""Inputs on which well-known libraries are wrong, or keep fewer digits: what each of them returns is said beside it."""

import numpy as np
import pytest

import fastloss as fl


class TestRegression:
    @pytest.mark.parametrize("residual", [1e-9, 1e-5, 1e-3])
    def test_log_cosh_near_zero(self, residual, dtype):
        # Keras, optax: r + softplus(-2r) - log 2, in float32 0 or 6e-8 for all three.
        r = dtype.type(residual)
        value = fl.log_cosh_loss(np.array([r]), np.zeros(1, dtype))
        exact = float(r) ** 2 / 2 - float(r) ** 4 / 12
        assert value == pytest.approx(exact, rel=4 * float(np.finfo(dtype).eps))

    def test_log_cosh_of_large_residuals(self, dtype):
        # log(cosh(r)): inf from 89 in float32, and 1 - tanh^2 is 0 from 9.
        value, _, hess = fl.log_cosh_loss.value_grad_hess(
            np.array([100, 30], dtype), np.zeros(2, dtype), reduction="none"
        )
        assert value[0] == pytest.approx(100 - np.log(2), rel=1e-7)
        assert hess[1] == pytest.approx(4 * np.exp(-60.0), rel=1e-6)

    def test_pseudo_huber_of_small_and_large_residuals(self, dtype):
        # sqrt(1 + r^2) - 1: 0 for the first, inf for the second.
        big = float(np.sqrt(np.finfo(dtype).max)) * 4
        value = fl.pseudo_huber_loss(np.array([1e-10, big], dtype), np.zeros(2, dtype), reduction="none")
        assert value == pytest.approx([5e-21, big], rel=1e-6)

    def test_poisson_of_a_mean_of_zero(self, dtype):
        # torch adds 1e-8 to the mean: 18.4 where the loss is infinite, its gradient -1e8; with eps=0, 0 log 0 is NaN.
        value, grad = fl.poisson_nll_loss.value_and_grad(
            np.zeros(2, dtype), np.array([0, 1], dtype), log_input=False, reduction="none"
        )
        assert value.tolist() == [0, np.inf]
        assert grad.tolist() == [1, -np.inf]

    def test_poisson_whose_terms_overflow(self):
        # torch, scikit-learn: inf in float32; the loss is a float32.
        value = fl.poisson_nll_loss(np.float32([89]), np.float32([2e36]), reduction="none")
        assert value == pytest.approx([2.70961288736558e38], rel=1e-6)

    def test_quantile_at_the_target(self, dtype):
        # scikit-learn: gradient -q.
        assert fl.quantile_loss.value_and_grad(np.ones(1, dtype), np.ones(1, dtype))[1].tolist() == [0]


class TestBinary:
    def test_confidently_wrong_focal_keeps_its_gradient(self, dtype):
        # Keras: logits become probabilities clipped at 1e-7: gradient 0 from x = -17 on.
        x, t = np.array([-20, -50, -1000], dtype), np.ones(3, dtype)
        value, grad, _ = fl.focal_loss.value_grad_hess(x, t, alpha=0.25, reduction="none")
        assert value == pytest.approx([5, 12.5, 250], rel=1e-6)
        assert grad == pytest.approx([-0.25] * 3, rel=1e-6)

    def test_confidently_right_focal_keeps_its_digits(self):
        # log(sigmoid(x)) and 1 - p_t: 0 in float32.
        value, grad = fl.focal_loss.value_and_grad(np.float32([20]), np.float32([1]))
        assert value == pytest.approx(np.exp(-60.0), rel=1e-6)
        assert grad == pytest.approx([-3 * np.exp(-60.0)], rel=1e-6)

    @pytest.mark.parametrize("x", [17.0, 40.0, 200.0, np.inf])
    def test_focal_with_gamma_below_one(self, x, dtype):
        # torchvision's formula: (1 - p_t)^(gamma - 1) is inf at p_t = 1, its gradient NaN; p_t > 1 makes a NaN too.
        for t in (0.0, 1.0):
            results = fl.focal_loss.value_grad_hess(
                np.array([x if t else -x], dtype), np.array([t], dtype), gamma=0.5, reduction="none"
            )
            assert np.isfinite(results).all()
            assert np.abs(results).max() < 1e-10

    def test_poly_of_more_than_one_term(self):
        # optax has the first term alone.
        x, t = np.array([0.3, -1.2]), np.array([1.0, 0.0])
        q = np.where(t == 1, fl.sigmoid(-x), fl.sigmoid(x))
        value = fl.poly_loss(x, t, epsilon=(0.5, -2.0, 4.0), reduction="none")
        assert value == pytest.approx(-np.log1p(-q) + 0.5 * q - 2 * q**2 + 4 * q**3, rel=1e-14)

    def test_soft_margin_of_confident_scores(self):
        # torch: 0 from 17 on, and inf below -88, in float32.
        value = fl.soft_margin_loss(np.float32([20, -1000]), np.float32([1, 1]), reduction="none")
        assert value == pytest.approx([2.0611536e-9, 1000], rel=1e-6)

    def test_exponential_loss_of_infinite_scores(self):
        # scikit-learn: 0 times infinity.
        value, grad = fl.exponential_loss.value_and_grad([np.inf, -np.inf], [1, 0], reduction="none")
        assert value.tolist() == grad.tolist() == [0, 0]

    def test_weights_of_classes_not_of_elements(self):
        # The documents' one line weights the first and the second element.
        x, t = np.array([0.3, 0.3]), np.array([0.0, 1.0])
        value = fl.balanced_cross_entropy(x, t, pos_weight=3.0, neg_weight=0.5, reduction="none")
        assert value == pytest.approx([-0.5 * np.log(0.7), -3 * np.log(0.3)])


class TestSimilarity:
    @pytest.mark.parametrize("temperature", [1e-3, 1e-2])
    def test_info_nce_at_low_temperatures(self, temperature, dtype):
        # pytorch-metric-learning's NT-Xent takes log(num / den + tiny): where num / den has underflowed, the loss
        # sticks at log(tiny) and the gradient is 0.
        query, key = np.array([[1.0, 0.0]], dtype), np.array([[0.6, 0.8]], dtype)
        negatives = np.array([[0.8, 0.6], [1.0, 0.0]], dtype)
        value, (grad, _, _) = fl.info_nce_loss.value_and_grad(query, key, negatives, temperature=temperature)
        assert value == pytest.approx(0.4 / temperature, rel=1e-5)  # the nearest negative has cosine 1
        assert grad[0, 1] == pytest.approx(-0.8 / temperature, rel=1e-4)
        # Won, too: the loss is the small rest, not 0 or log(1 + tiny).
        value, (grad, _, _) = fl.info_nce_loss.value_and_grad(query, query, key, temperature=0.4 / 30)
        assert value == pytest.approx(np.log1p(np.exp(-30.0)), rel=1e-4)
        assert grad[0, 1] == pytest.approx(0.8 * 30 / 0.4 * np.exp(-30.0), rel=1e-4)

    def test_zero_embeddings_have_gradient_zero(self, dtype):
        # optax's cosine similarity: NaN gradients for the whole batch.
        anchors, positives = np.eye(3, dtype=dtype), np.eye(3, dtype=dtype) + dtype.type(0.5)
        anchors[1] = positives[2] = 0
        _, (da, dp) = fl.multiple_negatives_ranking_loss.value_and_grad(anchors, positives, symmetric=True)
        assert np.isfinite(da).all()
        assert np.isfinite(dp).all()
        assert (da[1] == 0).all()
        assert (dp[2] == 0).all()

    @pytest.mark.parametrize("margin", [0.0, 0.5])
    def test_arcface_at_cosines_of_one(self, margin, dtype):
        # sqrt(1 - c^2) has an infinite slope at c = 1, and is NaN where c has been rounded beyond 1.
        rng = np.random.default_rng(0)
        centers = rng.standard_normal((200, 5)).astype(dtype)
        for embeddings in (centers * 3, -centers):
            value, gradients = fl.arcface_loss.value_and_grad(embeddings, centers, np.arange(200), margin=margin)
            assert np.isfinite(value)
            assert all(np.isfinite(g).all() for g in gradients)

    def test_arcface_beyond_pi(self):
        # cos(theta + m) rises again past pi - m: the worst embeddings would be pushed further away.
        _, (grad, _) = fl.arcface_loss.value_and_grad([[-1.0, 0.1]], [[1.0, 0.0], [0.0, -1.0]], [0], scale=4.0)
        assert grad[0, 1] < 0  # less of the loss in the direction away from the opposite
        worse = fl.arcface_loss([[-1.0, 0.05]], [[1.0, 0.0], [0.0, -1.0]], [0], scale=4.0, margin=0.5)
        assert worse > fl.arcface_loss([[-1.0, 0.4]], [[1.0, 0.0], [0.0, -1.0]], [0], scale=4.0, margin=0.5)
