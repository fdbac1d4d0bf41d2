"""The regression losses beside scikit-learn's and torch's where they have them, up to the constants that those add."""

import numpy as np
import pytest

import fastloss as fl


@pytest.fixture
def arrays(rng, dtype):
    """Logarithms of means, and targets, some of them 0."""
    target = np.where(rng.random(300) < 0.3, 0, rng.gamma(0.8, 4.0, 300)).astype(dtype)
    return rng.normal(0.5, 1.5, 300).astype(dtype), target


def same(result, want, dtype, scale=1.0):
    """A few units of the terms, which are about ``scale``."""
    return result == pytest.approx(np.asarray(want, np.float64), rel=1e-5 if dtype == np.float32 else 1e-13, abs=0) or (
        np.abs(result - want).max() <= 20 * np.finfo(dtype).eps * scale
    )


class TestScikitLearn:
    @pytest.fixture
    def losses(self):
        return pytest.importorskip("sklearn._loss.loss")

    def check(self, loss, peer, x, t, dtype, **parameters):
        """Values up to a constant of each element; derivatives."""
        value, grad, hess = loss.value_grad_hess(x, t, reduction="none", **parameters)
        start = np.full_like(x, 0.25)
        ours = value.astype(np.float64) - loss(start, t, reduction="none", **parameters)
        theirs = peer.loss(t, x).astype(np.float64) - peer.loss(t, start)
        size = 1 + np.abs(value).max() + np.abs(peer.loss(t, x)).max()
        assert same(ours, theirs, dtype, size)
        their_grad, their_hess = peer.gradient_hessian(t, x)
        assert same(grad, their_grad, dtype, 1 + np.abs(their_grad).max())
        assert same(hess, their_hess, dtype, 1 + np.abs(their_hess).max())

    def test_poisson(self, losses, arrays, dtype):
        self.check(fl.poisson_nll_loss, losses.HalfPoissonLoss(), *arrays, dtype)
        self.check(fl.poisson_nll_loss, losses.HalfPoissonLoss(), *arrays, dtype, full=True)

    def test_gamma(self, losses, arrays, dtype):
        x, t = arrays
        self.check(fl.gamma_nll_loss, losses.HalfGammaLoss(), x, t + dtype.type(0.1), dtype)

    @pytest.mark.parametrize("power", [0, 0.5, 1, 1.5, 1.9, 2, 3])
    def test_tweedie(self, losses, arrays, dtype, power):
        x, t = arrays
        t = t + dtype.type(0.1) if power >= 2 else t
        self.check(fl.tweedie_loss, losses.HalfTweedieLoss(power=power), x, t, dtype, power=power)

    @pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
    def test_quantile(self, losses, arrays, dtype, quantile):
        x, t = arrays
        peer = losses.PinballLoss(quantile=quantile)
        value, grad = fl.quantile_loss.value_and_grad(x, t, quantile=quantile, reduction="none")
        assert same(value, peer.loss(t, x), dtype, 20)
        assert grad == pytest.approx(peer.gradient(t, x), rel=1e-6)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("log_input", [False, True])
def test_torch_poisson(arrays, dtype, log_input, full):
    torch = pytest.importorskip("torch")
    x, t = arrays
    x = x if log_input else np.exp(x)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    options = {"log_input": log_input, "full": full}
    theirs = torch.nn.functional.poisson_nll_loss(leaf, torch.from_numpy(t), reduction="none", eps=0.0, **options)
    theirs.sum().backward()
    value, grad = fl.poisson_nll_loss.value_and_grad(x, t, reduction="none", **options)
    defined = log_input | (t > 0) | (x > 0)  # torch: 0 log 0 is NaN
    assert same(value[defined], theirs.detach().numpy()[defined], dtype, 200)
    assert same(grad, leaf.grad.numpy(), dtype, 200)
