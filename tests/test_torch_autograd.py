"""fastloss.torch inside autograd: gradcheck of everything, and every mode in which torch runs a function."""

import subprocess
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss._loss import Loss

torch = pytest.importorskip("torch")
F = pytest.importorskip("fastloss.torch")

T = torch.nn.functional
D = torch.float64
REDUCTIONS = ("mean", "sum", "none")


@pytest.fixture(autouse=True)
def one_thread():
    """Nothing here is large, and a team of threads waits for its slowest."""
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def normal(*shape, real=D):
    return torch.randn(shape, dtype=real)


def zeros_and_ones(*shape):
    return torch.randint(0, 2, shape).double()


def signs(*shape):
    return zeros_and_ones(*shape) * 2 - 1


def inside(*shape):
    """Probabilities."""
    return torch.rand(shape, dtype=D) * 0.9 + 0.05


def labels(n=6, *shape):
    return torch.randint(0, n, shape or (4,))


def case(name):
    """Tensors for each function, and how many of them, from the first, have gradients."""
    pairs = {
        "binary_cross_entropy": (inside(4, 3), inside(4, 3)),
        "balanced_cross_entropy": (inside(4, 3), zeros_and_ones(4, 3)),
        "binary_cross_entropy_with_logits": (normal(4, 3), inside(4, 3)),
        "multilabel_soft_margin_loss": (normal(4, 3), zeros_and_ones(4, 3)),
        "focal_loss": (normal(4, 3), zeros_and_ones(4, 3)),
        "poly_loss": (normal(4, 3), zeros_and_ones(4, 3)),
        "exponential_loss": (normal(4, 3), zeros_and_ones(4, 3)),
        "hinge_loss": (normal(4, 3), signs(4, 3)),
        "squared_hinge_loss": (normal(4, 3), signs(4, 3)),
        "soft_margin_loss": (normal(4, 3), signs(4, 3)),
        "poisson_nll_loss": (normal(4, 3), inside(4, 3) * 9),
        "gamma_nll_loss": (normal(4, 3), inside(4, 3) * 9),
        "tweedie_loss": (normal(4, 3), inside(4, 3) * 9),
        "kl_div": (normal(4, 6), inside(4, 6)),
        "kl_divergence": (inside(4, 6), inside(4, 6)),
        "categorical_cross_entropy": (inside(4, 6), inside(4, 6)),
        "sparse_categorical_cross_entropy": (inside(4, 6), labels()),
        "dice_loss": (inside(4, 3), zeros_and_ones(4, 3)),
    }
    if name in pairs:
        return pairs[name], 1
    residuals = ("mse", "half_mse", "l1", "huber", "smooth_l1", "log_cosh", "pseudo_huber", "quantile")
    if name.removesuffix("_loss") in residuals:
        return (normal(4, 3), normal(4, 3)), 2
    several = {
        "cosine_embedding_loss": ((normal(4, 3), normal(4, 3), signs(4)), 2),
        "contrastive_loss": ((normal(4, 3), normal(4, 3), zeros_and_ones(4)), 2),
        "margin_ranking_loss": ((normal(4), normal(4), signs(4)), 2),
        "triplet_margin_loss": ((normal(4, 3), normal(4, 3), normal(4, 3)), 3),
        "center_loss": ((normal(4, 3), normal(6, 3), labels()), 2),
        "info_nce_loss": ((normal(4, 3), normal(4, 3), normal(5, 3)), 3),
        "multiple_negatives_ranking_loss": ((normal(4, 3), normal(4, 3)), 2),
        "arcface_loss": ((normal(4, 3), normal(6, 3), labels()), 2),
        "ge2e_loss": ((normal(3, 4, 2),), 1),
    }
    return several.get(name, ((normal(4, 6), labels()), 1))


OPTIONS = {"info_nce_loss": {"temperature": 0.5}, "arcface_loss": {"scale": 4.0}}
ACTIVATIONS = ("sigmoid", "logsigmoid", "softplus", "softmax", "log_softmax", "logsumexp")
NAMES = [n for n in F.__all__ if n not in (*ACTIVATIONS, "privacy", "mae_loss", "log_loss")]


def with_gradients(name):
    """The function with its options, and its tensors, the first of which require grad."""
    tensors, count = case(name)
    return [t.requires_grad_() if k < count else t for k, t in enumerate(tensors)]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name, reduction):
    """Values and gradients agree, for every upstream gradient, in float64."""
    function, tensors = getattr(F, name), with_gradients(name)
    options = OPTIONS.get(name, {})
    assert torch.autograd.gradcheck(lambda *t: function(*t, reduction=reduction, **options), tensors)


def test_gradcheck_of_learnable_scalars():
    w, b = torch.tensor(3.0, dtype=D, requires_grad=True), torch.tensor([-1.0], dtype=D, requires_grad=True)
    for reduction in REDUCTIONS:
        for variant in ("softmax", "contrast"):
            assert torch.autograd.gradcheck(
                lambda e, w, b, how=reduction, v=variant: F.ge2e_loss(e, w=w, b=b[0], variant=v, reduction=how),
                (normal(3, 4, 2).requires_grad_(), w, b),
            )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_any_number_of_times(name):
    function = getattr(F, name)
    dims = ({"dim": 0}, {"dim": -1}) if name.endswith(("max", "exp")) else ({},)
    for options in dims:
        x = normal(3, 4).requires_grad_()
        assert torch.autograd.gradcheck(lambda x, o=options: function(x, **o), x)
        assert torch.autograd.gradgradcheck(lambda x, o=options: function(x, **o), x)


def test_own_losses_are_those_of_fastloss():
    """Bit for bit, options and weights included; the classes are dimension 1."""
    x, y, w = normal(4, 6, 2), labels(6, 4, 2), torch.rand(4, 2, dtype=D)
    for name, options in [("softmax_focal_loss", {"gamma": 1.5, "alpha": 0.3}), ("poly_cross_entropy", {})]:
        value, grad = getattr(fl, name).value_and_grad(
            x.numpy(), y.numpy(), axis=1, sample_weight=w.numpy(), denominator=3.0, **options
        )
        leaf = x.clone().requires_grad_()
        loss = getattr(F, name)(leaf, y, sample_weight=w, denominator=3.0, **options)
        loss.backward()
        assert loss.item() == value
        assert leaf.grad.numpy().tobytes() == grad.tobytes()
    assert F.softmax_focal_loss(x.mT, y, dim=-1).item() == F.softmax_focal_loss(x, y).item()
    assert F.dice_loss(inside(4, 6, 2), zeros_and_ones(4, 6, 2), dim=(1, 2), reduction="none").shape == (4,)
    twice = F.multiple_negatives_ranking_loss(normal(4, 3), normal(4, 3), group_ids=torch.tensor([0, 1, 0, 2]))
    assert twice.shape == ()


@pytest.mark.parametrize("name", ["cross_entropy", "mse_loss", "info_nce_loss"])
def test_gradient_only_where_wanted(name, monkeypatch):
    """No gradient is computed where none is asked for, and none kept for what doesn't require it."""
    function, tensors = getattr(F, name), with_gradients(name)
    calls = []
    kind = type(getattr(fl, name))
    entry, short = kind.value_and_grad, kind._short
    if short is None:
        monkeypatch.setattr(kind, "value_and_grad", lambda *a, **k: calls.append(1) or entry(*a, **k))
    else:  # all ways lead to it
        monkeypatch.setattr(kind, "_short", staticmethod(lambda want, *a: calls.extend([1] * want) or short(want, *a)))
    with torch.no_grad():
        assert not function(*tensors).requires_grad
    with torch.inference_mode():
        assert function(*tensors).is_inference()
    assert not function(*[t.detach() for t in tensors]).requires_grad
    assert calls == []
    value = function(*tensors)
    assert calls == [1]
    value.backward()
    assert calls == [1]
    with torch.inference_mode():
        seen = normal(4, 6)
    if name == "mse_loss":
        assert function(seen, seen.clone()).item() == 0
        function(normal(4, 6).requires_grad_(), seen).backward()


def test_upstream_gradients():
    """Scalars, zero, one for each row; accumulated over parts; and twice over a kept graph."""
    x, y = normal(8, 6).requires_grad_(), labels(6, 8)
    (one,) = torch.autograd.grad(F.cross_entropy(x, y), x)
    for factor in (3.0, -0.25, 0.0):
        (got,) = torch.autograd.grad(factor * F.cross_entropy(x, y), x)
        assert torch.equal(got, factor * one)
    mask = torch.rand(8, dtype=D)
    (got,) = torch.autograd.grad((F.cross_entropy(x, y, reduction="none") * mask).sum(), x)
    (want,) = torch.autograd.grad((T.cross_entropy(x, y, reduction="none") * mask).sum(), x)
    assert torch.allclose(got, want, rtol=1e-13, atol=1e-16)

    loss = F.cross_entropy(x, y)
    (2 * loss).backward(retain_graph=True)
    assert torch.equal(x.grad, 2 * one)
    loss.backward(retain_graph=True)
    loss.backward()
    assert torch.allclose(x.grad, 4 * one, rtol=1e-15, atol=0)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()

    x.grad = None
    for part in (slice(0, 3), slice(3, 8)):
        (F.cross_entropy(x[part], y[part], reduction="sum") / 8).backward()
    assert torch.allclose(x.grad, one, rtol=1e-13, atol=1e-17)
    x.grad = None
    for part in (slice(0, 3), slice(3, 8)):
        F.softmax_focal_loss(x[part], y[part], denominator=8.0).backward()
    (want,) = torch.autograd.grad(F.softmax_focal_loss(x, y), x)
    assert torch.allclose(x.grad, want, rtol=1e-13, atol=1e-17)


def test_gradients_of_both_sides_of_a_residual():
    x, t = normal(5).requires_grad_(), normal(5).requires_grad_()
    for loss in (F.huber_loss(x, t), F.huber_loss(x, t.detach()), F.huber_loss(x.detach(), t), F.huber_loss(x, x)):
        (2 * loss).backward()
    (want,) = torch.autograd.grad(T.huber_loss(x, t), x)
    assert torch.allclose(x.grad, 4 * want)
    assert torch.allclose(t.grad, -4 * want)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_inputs_are_neither_written_nor_aliased(reduction):
    x, y = normal(4, 6).requires_grad_(), labels()
    before = x.detach().clone()
    loss = F.cross_entropy(x, y, reduction=reduction).sum()
    loss.backward()
    x.grad.zero_()
    assert torch.equal(x, before)
    if reduction == "none":  # the gradient is computed from the input as it was
        loss = F.cross_entropy(x, y, reduction="none").sum()
        with torch.no_grad():
            x.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_all_ignored():
    """The mean of nothing is NaN, its gradient 0."""
    x = normal(3, 4).requires_grad_()
    loss = F.cross_entropy(x, torch.full((3,), -100))
    loss.backward()
    assert loss.isnan()
    assert (x.grad == 0).all()


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoint(use_reentrant):
    from torch.utils.checkpoint import checkpoint

    layer, y = torch.nn.Linear(5, 6, dtype=D), labels()
    x = normal(4, 5).requires_grad_()
    gradients = []
    for run in (lambda f: f(x), lambda f: checkpoint(f, x, use_reentrant=use_reentrant)):
        x.grad = layer.weight.grad = None
        run(lambda x: F.cross_entropy(layer(x), y) + F.mse_loss(layer(x), torch.zeros(4, 6, dtype=D))).backward()
        gradients.append((x.grad, layer.weight.grad))
    for got, want in zip(*gradients, strict=True):
        assert torch.equal(got, want)


def test_autocast():
    """Half-precision inputs are computed in float32, which is also what comes back, as with torch's own losses."""
    layer, x, y = torch.nn.Linear(5, 6), normal(4, 5, real=torch.float32), labels()
    gradients = []
    for functions in (F, T):
        layer.weight.grad = None
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = layer(x)
            loss = functions.cross_entropy(logits, y)
        assert logits.dtype == torch.bfloat16
        assert loss.dtype == torch.float32
        loss.backward()
        gradients.append(layer.weight.grad)
    assert torch.allclose(*gradients, rtol=0, atol=2 * 2.0**-8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert F.mse_loss(x.bfloat16(), x.bfloat16()).dtype == torch.float32
        assert F.softmax(logits, -1).dtype == torch.float32


@pytest.mark.parametrize("plain", [False, True], ids=["ml_dtypes", "without ml_dtypes"])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(half, plain, monkeypatch):
    """Computed in float32 and rounded once; of the input's type, strided too."""
    if plain:
        monkeypatch.setattr("fastloss.torch._tensors.ml_dtypes", None)
    else:
        pytest.importorskip("ml_dtypes")
    wide = normal(4, 12, real=torch.float32).to(half)
    x, y = wide[:, ::2].detach().requires_grad_(), labels()
    for reduction in REDUCTIONS:
        x.grad = None
        loss = F.cross_entropy(x, y, reduction=reduction)
        loss.sum().backward()
        exact = x.detach().float().requires_grad_()
        want = T.cross_entropy(exact, y, reduction=reduction)
        want.sum().backward()
        assert loss.dtype == x.grad.dtype == half
        eps = torch.finfo(half).eps
        assert torch.allclose(loss.float(), want, rtol=0.51 * eps, atol=0)
        assert torch.allclose(x.grad.float(), exact.grad, rtol=0.51 * eps, atol=1e-7)


class Batches(torch.utils.data.Dataset):
    """Losses that are computed where the data is loaded: in a worker."""

    def __len__(self):
        return 4

    def __getitem__(self, k):
        x = torch.arange(200_000, dtype=torch.float32).reshape(20_000, 10).sin().add(k).requires_grad_()
        loss = F.cross_entropy(x, torch.arange(20_000) % 10)
        loss.backward()
        return loss.item(), x.grad.abs().sum().item()


def test_workers_of_a_loader():
    """Forked while this process has a team of threads."""
    fl.set_num_threads(2)
    data = Batches()
    want = [data[k] for k in range(len(data))]
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    got = [tuple(v if isinstance(v, float) else v.item() for v in pair) for pair in loader]
    assert got == want


PROGRAM = """
import sys
import torch
import fastloss.torch as F
import torch.nn.functional as T

def step(functions):
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 6)
    x, y = torch.randn(4, 5), torch.randint(0, 6, (4,))
    def loss(x, y):
        h = torch.relu(layer(x))
        return functions.cross_entropy(h * 2, y, label_smoothing=0.1) + functions.mse_loss(functions.softmax(h, 1), h)
    run = torch.compile(loss, backend="aot_eager") if functions is F else loss
    value = run(x, y)
    value.backward()
    return value.detach(), layer.weight.grad

for got, want in zip(step(F), step(T)):
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-7), (got, want)

from torch._dynamo.utils import counters
assert any("disable()`d function" in reason and "_run" in reason for reason in counters["graph_break"])
assert counters["stats"]["unique_graphs"]  # the layers are compiled
print("same")
"""


def test_compiled_code():
    """torch.compile breaks its graph at the loss, and the result is right; in its own process, as it changes a lot."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "same\n"


def test_import_is_on_demand():
    code = "import sys, fastloss; print('torch' in sys.modules, 'ml_dtypes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == (
        "False False\n"
    )


def test_no_copies():
    """Values of a strided tensor are read where they are: no more memory than the result is allocated."""
    import tracemalloc

    x, t = torch.zeros(1000, 2000)[:, ::2], torch.zeros(1000, 1000)
    F.huber_loss(x, t)
    tracemalloc.start()
    F.huber_loss(x, t)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


def test_same_bits_as_numpy():
    x, t = normal(1000).float(), normal(1000).float()
    assert F.log_cosh_loss(x, t).item() == np.float32(fl.log_cosh_loss(x.numpy(), t.numpy()))
    assert isinstance(fl.log_cosh_loss, Loss)
