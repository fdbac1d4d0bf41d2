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
