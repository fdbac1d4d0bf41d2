"""Products of matrices in similarity losses of tensors: torch's, whose threads are awake, not those of NumPy's BLAS."""

import numpy as np
import pytest

import fastloss as fl

torch = pytest.importorskip("torch")
F = pytest.importorskip("fastloss.torch")


@pytest.fixture
def made(monkeypatch):
    made, mm = [], torch.mm

    def counted(a, b, **keywords):
        made.append(a.shape)
        return mm(a, b, **keywords)

    monkeypatch.setattr(torch, "mm", counted)
    return made


@pytest.mark.parametrize("autocast", [False, True])
def test_are_torchs_in_float32(made, autocast):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(40, 16)).astype("float32") for _ in range(2))
    x = torch.from_numpy(a).requires_grad_()
    with torch.autocast("cpu", enabled=autocast):
        loss = F.info_nce_loss(x, torch.from_numpy(b))
    loss.backward()
    assert made
    value, (grad, _) = fl.info_nce_loss.value_and_grad(a, b)
    assert loss.item() == pytest.approx(value, rel=1e-6)
    assert np.abs(x.grad.numpy() - grad).max() <= 1e-6 * np.abs(grad).max()


def test_are_numpys_outside(made):
    a = np.random.default_rng(1).normal(size=(40, 16))
    F.info_nce_loss(torch.from_numpy(a), torch.from_numpy(a))
    count = len(made)
    fl.info_nce_loss(a, a)
    assert len(made) == count > 0
