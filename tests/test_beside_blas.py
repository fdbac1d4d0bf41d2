"""Kernels that take turns with products of matrices stay on one thread: BLAS has a team of its own, and two teams
wait for each other's cores. Not here: what the results are.
"""

import numpy as np
import pytest

import fastloss as fl
from fastloss import _core, privacy
from fastloss.linear import _objective, objective
from fastloss.privacy import linear as layers

MANY = 3


@pytest.fixture
def watch(monkeypatch):
    """Have a function note how many threads kernels may take when it is called."""
    seen = []

    def watched(module, name):
        inner = getattr(module, name)

        def noted(*arguments, **keywords):
            seen.append(_core.current_threads())
            return inner(*arguments, **keywords)

        monkeypatch.setattr(module, name, noted)
        return seen

    with fl.num_threads(MANY):
        yield watched
        assert fl.get_num_threads() == MANY


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_similarity(watch):
    seen = watch(_core, "cross_entropy")
    fl.info_nce_loss.value_and_grad(normal(200, 8), normal(200, 8))
    assert set(seen) == {1}


@pytest.mark.parametrize(("classes", "sparse", "passes"), [(4, False, 3), (4, True, 0), (2, False, 0)])
def test_linear_models(watch, classes, sparse, passes):
    """A matrix of scores from a dense X: the value, value and gradient, and second derivatives."""
    X = normal(30, 5)
    X = pytest.importorskip("scipy.sparse").csr_matrix(X) if sparse else X
    loss = fl.cross_entropy if classes > 2 else fl.binary_cross_entropy_with_logits
    f = objective(X, np.arange(30) % classes, loss, l2=0.1)
    narrowed = watch(_objective, "num_threads")
    f.fun(f.initial)
    f.fun_and_jac(f.initial)
    f.hessp(f.initial, f.initial)
    assert narrowed == [MANY] * passes


def test_private_layers(watch):
    seen = watch(layers, "clip_gradients")
    inputs, grads = normal(6, 9, 12), normal(6, 9, 12)
    privacy.linear_clip_and_noise(inputs, grads, 1.0, 0.0, reduction="sum")
    assert set(seen) == {1}
