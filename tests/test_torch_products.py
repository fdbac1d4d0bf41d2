"""Products of matrices in similarity losses of tensors: torch's, whose threads are awake, not those of NumPy's BLAS.

Of few embeddings they are fastloss's own.
"""

import itertools

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
    a, b = (rng.normal(size=(160, 16)).astype("float32") for _ in range(2))
    x = torch.from_numpy(a).requires_grad_()
    with torch.autocast("cpu", enabled=autocast):
        loss = F.info_nce_loss(x, torch.from_numpy(b))
    loss.backward()
    assert made
    value, (grad, _) = fl.info_nce_loss.value_and_grad(a, b)
    assert loss.item() == pytest.approx(value, rel=1e-6)
    assert np.abs(x.grad.numpy() - grad).max() <= 1e-6 * np.abs(grad).max()


def rows(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# Function, its tensors, its options, and which of the tensors have a gradient that takes a product of torch's.
CALLS = {
    "info_nce": (F.info_nce_loss, [rows(160, 16), rows(160, 16)], {}, [0, 1]),
    "shared negatives": (F.info_nce_loss, [rows(160, 16), rows(160, 16), rows(60, 16)], {}, [0, 2]),
    "own negatives": (F.info_nce_loss, [rows(160, 16), rows(160, 16), rows(160, 5, 16)], {}, []),
    "ranking": (F.multiple_negatives_ranking_loss, [rows(160, 16), rows(160, 16)], {}, [0, 1]),
    "both ways": (F.multiple_negatives_ranking_loss, [rows(160, 16), rows(160, 16)], {"symmetric": True}, [0, 1]),
    "arcface": (F.arcface_loss, [rows(160, 16), rows(60, 16), torch.arange(160) % 60], {}, [0, 1]),
}


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("call", CALLS)
def test_are_made_for_wanted_gradients_alone(made, call, reduction):
    """And the gradients have the bits that they have beside all others."""
    function, tensors, options, products = CALLS[call]
    reals = [k for k, t in enumerate(tensors) if t.is_floating_point()]

    def gradients(wanted):
        given = [t.clone().requires_grad_(k in wanted) for k, t in enumerate(tensors)]
        made.clear()
        loss = function(*given, reduction=reduction, **options)
        loss.sum().backward()
        return loss.detach(), [t.grad for t in given]

    value, every = gradients(reals)
    assert all(every[k] is not None for k in reals)
    scores = len(made) - len(products)
    assert scores == (0 if call == "own negatives" else 1 if reduction == "mean" else 2)
    for count in range(1, len(reals)):
        for wanted in itertools.combinations(reals, count):
            loss, found = gradients(wanted)
            assert len(made) - scores == len(set(wanted) & set(products))
            assert torch.equal(loss, value)
            for k, gradient in enumerate(found):
                assert torch.equal(gradient, every[k]) if k in wanted else gradient is None


def test_are_numpys_outside(made):
    a = np.random.default_rng(1).normal(size=(160, 16))
    F.info_nce_loss(torch.from_numpy(a), torch.from_numpy(a))
    count = len(made)
    fl.info_nce_loss(a, a)
    assert len(made) == count > 0


def test_few_embeddings_need_neither(made):
    a = rows(40, 16).requires_grad_()
    F.info_nce_loss(a, rows(40, 16)).backward()
    assert a.grad is not None
    assert not made
