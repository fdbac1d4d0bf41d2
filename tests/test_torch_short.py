"""The short way of fastloss.torch, on which plain tensors are read where they lie, beside the general one; and the
gradients that backward passes hand out, which their owners may write to."""

import itertools

import numpy as np
import pytest

import fastloss as fl
from fastloss._core import TensorView
from fastloss._several import UNWANTED

torch = pytest.importorskip("torch")
F = pytest.importorskip("fastloss.torch")
from test_torch_autograd import NAMES, case, labels, normal  # noqa: E402

from fastloss.torch import _autograd  # noqa: E402

SHORT = [name for name in NAMES if getattr(getattr(fl, name, None), "_short", None) is not None]


@pytest.fixture
def general(monkeypatch):
    """A list that grows with every call that takes the general way."""
    calls, run = [], _autograd._run
    monkeypatch.setattr(_autograd, "_run", lambda *given: calls.append(1) or run(*given))
    return calls


def outcome(function, tensors, **options):
    """Value, value without a gradient, and gradient of the first tensor: types and bits."""
    x = tensors[0].detach().requires_grad_()
    value = function(x, *tensors[1:], **options)
    (gradient,) = torch.autograd.grad(value, x)
    alone = function(*tensors, **options)
    return [(type(t), t.dtype, t.shape, t.detach().numpy().tobytes()) for t in (value, alone, gradient)]


def test_losses_with_a_short_way():
    assert len(SHORT) == 27
    assert {"cross_entropy", "mse_loss", "softmax_focal_loss", "kl_divergence"} <= set(SHORT)


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("real", [torch.float32, torch.float64], ids=str)
def test_same_bits_as_the_general_way(name, real, general, monkeypatch):
    torch.manual_seed(0)
    tensors = [t.to(real) if t.is_floating_point() else t for t in case(name)[0]]
    function = getattr(F, name)
    short = [outcome(function, tensors, reduction=how) for how in ("mean", "sum")]
    assert general == []
    monkeypatch.setattr(type(getattr(fl, name)), "_short", staticmethod(lambda *given: None))
    assert [outcome(function, tensors, reduction=how) for how in ("mean", "sum")] == short
    assert len(general) == 4


def of_all_kinds():
    """By name: a tensor, and whether it is read where it lies."""
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
    return {
        "plain": (x, True),
        "scalar": (x[0, 0].clone(), True),
        "part of a storage": (torch.cat([x, x])[3:9], True),
        "six axes": (x.reshape(1, 1, 1, 1, 6, 4), True),
        "seven axes": (x.reshape(1, 1, 1, 1, 1, 6, 4), False),
        "transposed": (x.t(), False),
        "strided": (torch.stack([x, x + 1], -1)[..., 0], False),
        "expanded": (x[:1].expand(6, 4), False),
        "negative bit": (torch.complex(x, x).conj().imag, False),
        "large": (torch.ones(1024, 2048), False),
        "just not large": (torch.ones(1024, 2047), True),
        "half": (x.half(), False),
    }


@pytest.mark.parametrize("kind", of_all_kinds())
def test_layouts(kind, general):
    """Of the prediction and of the target: the numbers that the tensor shows, whatever its memory holds."""
    tensor, fits = of_all_kinds()[kind]
    assert TensorView(tensor).fits == fits
    x = tensor.numpy(force=True).copy()
    t = np.full_like(x, 0.25)
    value, gradient = fl.quantile_loss.value_and_grad(x, t, quantile=0.3)
    leaf = tensor.detach().requires_grad_()
    for given in (leaf, tensor):
        loss = F.quantile_loss(given, torch.from_numpy(t), quantile=0.3)
        assert loss.item() == x.dtype.type(value)
        loss.requires_grad and loss.backward()
    assert leaf.grad.numpy().tobytes() == gradient.tobytes()
    assert F.quantile_loss(torch.from_numpy(t), tensor, quantile=0.3).item() == x.dtype.type(
        fl.quantile_loss(t, x, quantile=0.3)
    )
    assert len(general) == (0 if fits else 3)


@pytest.mark.parametrize("code", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16,
                                  torch.uint32, torch.uint64], ids=str)  # fmt: skip
def test_labels_of_every_type(code, general):
    x, y = normal(4, 6), labels()
    assert F.cross_entropy(x, y.to(code)).item() == fl.cross_entropy(x.numpy(), y.numpy())
    assert general == []
    with pytest.raises(ValueError, match=r"target\[1\] = 6 is outside \[0, 6\)"):
        F.cross_entropy(x, torch.tensor([0, 6, 1, 2]).to(code))


def without_memory():
    x = torch.eye(2)
    return [x.to_sparse(), x.to_sparse_csr(), x.to("meta"), x.to_mkldnn(), torch._efficientzerotensor((2, 2)),
            torch._to_functional_tensor(x)]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_tensors_without_memory_of_their_own():
    for tensor in without_memory():
        assert not TensorView(tensor).fits
    for tensor in without_memory()[:3]:
        with pytest.raises(TypeError, match=r"target (has dtype .* expected a dense real tensor|is on device 'meta')"):
            F.mse_loss(torch.eye(2).requires_grad_(), tensor)


def test_tensors_that_left_a_transform():
    """They are plain tensors again."""
    left = []
    torch.func.grad(lambda a: left.append(a) or a.sum())(torch.ones(3))
    assert F.mse_loss(left[0], torch.zeros(3)).item() == 1


def test_constants_inside_of_a_transform():
    """No tensor of the loss is one of the transform's; it is refused all the same."""
    x, t = normal(3), normal(3)
    with pytest.raises(RuntimeError, match=r"does not work under torch\.func"):
        torch.func.grad(lambda a: a.sum() * F.mse_loss(x, t))(torch.ones(3))


def test_other_classes_of_tensors(general):
    class Own(torch.Tensor):
        pass

    x, t = normal(4, 3), normal(4, 3)
    want = F.mse_loss(x, t)
    for kind in (torch.nn.Parameter, lambda x: x.as_subclass(Own)):
        leaf = kind(x.clone())
        leaf.requires_grad_()
        loss = F.mse_loss(leaf, t)
        loss.backward()
        assert torch.equal(loss, want)
        assert leaf.grad.shape == x.shape
    assert len(general) == 2


def test_views_are_no_arrays_of_the_public_functions():
    """A tensor that requires grad is refused there, as its gradient would be lost."""
    x = normal(3).requires_grad_()
    for loss in (fl.mse_loss, fl.cross_entropy):
        with pytest.raises(TypeError, match="cannot be read as an array"):
            loss(x, x)


def test_other_backends(general):
    x, y = normal(4, 6).requires_grad_(), labels()
    with fl.backend("check"):
        F.cross_entropy(x, y)
    assert general == [1]


def test_autocast_of_mixed_types():
    x, t = normal(4, 3, real=torch.float32), normal(4, 3).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for given in ((x, t), (t, x), (x, x)):
            assert F.mse_loss(*given).dtype == torch.float32
            assert F.mse_loss(*given).item() == F.mse_loss(*(g.float() for g in given)).item()


# Loss, its tensors, and how many of them have a gradient.
BACKWARDS = {
    "short": (F.cross_entropy, (normal(4, 6), labels()), 1),
    "general": (lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1), (normal(4, 6), labels()), 1),
    "mirrored": (F.huber_loss, (normal(4, 6), normal(4, 6)), 2),
    "several": (F.contrastive_loss, (normal(4, 6), normal(4, 6), labels(2)), 2),
    "rows": (lambda x, y: F.cross_entropy(x, y, reduction="none").sum(), (normal(4, 6), labels()), 1),
}


@pytest.fixture(params=BACKWARDS)
def backward(request):
    """A loss with its graph, its leaves, and their gradients."""
    function, tensors, count = BACKWARDS[request.param]
    tensors = [t.clone() for t in tensors]
    leaves = [t.requires_grad_() for t in tensors[:count]]
    wanted = [g.clone() for g in torch.autograd.grad(function(*tensors), leaves)]
    assert all(w.abs().sum() > 0 for w in wanted)
    return function(*tensors), leaves, wanted


def same(found, wanted, factor=1):
    return all(torch.equal(g, factor * w) for g, w in zip(found, wanted, strict=True))


def test_gradients_that_are_written_to(backward):
    """Whoever gets one may do so, while the graph is kept for the next pass."""
    loss, leaves, wanted = backward
    for factor, keep in ((1, True), (2, True), (1, True), (-4, False)):
        found = torch.autograd.grad(factor * loss, leaves, retain_graph=keep)
        assert same(found, wanted, factor)
        for gradient in found:
            gradient.fill_(7)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, leaves)


def test_accumulated_gradients(backward):
    """Leaves' gradients add up in place, over passes and over branches of a graph."""
    loss, leaves, wanted = backward
    loss.backward(retain_graph=True)
    first = [leaf.grad for leaf in leaves]
    (loss + loss).backward(retain_graph=True)
    assert all(leaf.grad is g for leaf, g in zip(leaves, first, strict=True))
    assert same(first, wanted, 3)
    for leaf in leaves:
        leaf.grad.zero_()
    loss.backward()
    assert same(first, wanted)


def test_hooks(backward):
    """Of a gradient that a hook replaces, or writes to."""
    loss, leaves, wanted = backward
    handles = [leaf.register_hook(lambda g: g.mul_(2)) for leaf in leaves]
    for _ in range(2):
        assert same(torch.autograd.grad(loss, leaves, retain_graph=True), wanted, 2)
    for handle in handles:
        handle.remove()
    loss.register_hook(lambda g: 4 * g)
    assert same(torch.autograd.grad(loss, leaves, retain_graph=True), wanted, 4)
    assert same(torch.autograd.grad(loss, leaves), wanted, 4)


def test_double_backward(backward):
    loss, leaves, wanted = backward
    gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    assert same(gradients, wanted)
    for gradient in gradients:
        with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
            gradient.sum().backward(retain_graph=True)


def test_gradients_are_saved_tensors(backward):
    """So checkpoints and torch's hooks find them; after the one pass they are given up."""
    loss, _, _ = backward
    node = loss.grad_fn
    while not hasattr(node, "saved_tensors"):
        node = node.next_functions[0][0]
    assert any(t is not None for t in node.saved_tensors)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        _ = node.saved_tensors


def test_saved_tensors_elsewhere():
    x, y = normal(4, 6).requires_grad_(), labels()
    moved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: moved.append(t.shape) or t.clone(), lambda t: t):
        loss = F.cross_entropy(x, y)
    assert moved == [x.shape]
    loss.backward()
    assert torch.equal(x.grad, torch.autograd.grad(F.cross_entropy(x, y), x)[0])


def test_a_checkpoint_keeps_no_gradient():
    """Not the loss's either: it is computed anew."""
    x, y = normal(4, 6).requires_grad_(), labels()
    loss = torch.utils.checkpoint.checkpoint(F.cross_entropy, x, y, use_reentrant=False)
    calls, short = [], fl.cross_entropy._short
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(fl.cross_entropy), "_short", staticmethod(lambda *given: calls.append(1) or short(*given)))
        loss.backward()
    assert calls == [1]
    assert torch.equal(x.grad, torch.autograd.grad(F.cross_entropy(x, y), x)[0])


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("real", [torch.float64, torch.bfloat16], ids=str)
def test_centers_without_gradients(reduction, real, monkeypatch):
    """What nothing requires is not computed; what is has the bits that it has beside the other."""
    given = [normal(5, 3).to(real), normal(6, 3).to(real)]
    y = labels(6, 5)
    computed, entry = [], type(fl.center_loss).value_and_grad
    monkeypatch.setattr(
        type(fl.center_loss), "value_and_grad", lambda *a, **k: computed.append(entry(*a, **k)) or computed[-1]
    )
    found = {}
    for wanted in itertools.product((True, False), repeat=2):
        tensors = [t.clone().requires_grad_(w) for t, w in zip(given, wanted, strict=True)]
        loss = F.center_loss(*tensors, y, reduction=reduction).sum()
        if any(wanted):
            loss.backward()
            assert [g is not None for g in computed.pop()[1]] == list(wanted)
        found[wanted] = [t.grad for t in tensors]
    every = found.pop((True, True))
    for wanted, gradients in found.items():
        for gradient, one, need in zip(gradients, every, wanted, strict=True):
            assert torch.equal(gradient, one) if need else gradient is None


def test_centers_gradients_in_turn():
    x, centers, y = normal(5, 3).numpy(), normal(6, 3).numpy(), labels(6, 5).numpy()
    value, every = fl.center_loss.value_and_grad(x, centers, y)
    for layout in (np.asarray, lambda y: y[::-1].copy()[::-1]):
        for wanted in ((True, False), (False, True), (False, False)):
            places = [None if w else UNWANTED for w in wanted]
            got, gradients = fl.center_loss.value_and_grad(x, centers, layout(y), grad_out=places)
            assert got == value
            for gradient, one, need in zip(gradients, every, wanted, strict=True):
                assert gradient.tobytes() == one.tobytes() if need else gradient is None
