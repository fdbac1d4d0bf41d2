"""What fastloss.torch refuses, before anything is computed, and what it says. Not here: what it computes."""

import pytest

torch = pytest.importorskip("torch")
F = pytest.importorskip("fastloss.torch")
from test_torch_autograd import inside, labels, normal  # noqa: E402


class TestRefusals:
    """What can't be right says so, before anything is computed."""

    def test_double_backward(self):
        for reduction in ("mean", "none"):
            x, y = normal(3, 4).requires_grad_(), labels(4, 3)
            loss = F.cross_entropy(x, y, reduction=reduction).sum()
            (grad,) = torch.autograd.grad(loss, x, create_graph=True)
            with pytest.raises(RuntimeError, match=r"fastloss.torch.cross_entropy cannot be differentiated twice"):
                (grad.norm() + x.sum()).backward()
            assert torch.equal(
                grad.detach(), torch.autograd.grad(F.cross_entropy(x, y, reduction=reduction).sum(), x)[0]
            )

    def test_gradients_that_do_not_exist(self):
        p, q = inside(3).requires_grad_(), inside(3)
        with pytest.raises(ValueError, match=r"target requires grad, but fastloss.torch.binary_cross_entropy has no"):
            F.binary_cross_entropy(q, p)
        with pytest.raises(ValueError, match="sample_weight requires grad"):
            F.focal_loss(q, q, sample_weight=p)
        with pytest.raises(ValueError, match="class_weight requires grad"):
            F.cross_entropy(normal(3), torch.tensor(0), p)
        with torch.no_grad():
            F.binary_cross_entropy(q, p)

    def test_other_devices(self):
        x = torch.zeros(2, 3, device="meta")
        with pytest.raises(TypeError, match="input is on device 'meta'; expected a tensor on the CPU"):
            F.cross_entropy(x, torch.zeros(2, dtype=torch.int64))
        with pytest.raises(TypeError, match="target is on device 'meta'"):
            F.mse_loss(torch.zeros(2, 3), x)
        with pytest.raises(TypeError, match="input is on device 'meta'"):
            F.softmax(x, 1)

    def test_no_tensors(self):
        with pytest.raises(TypeError, match=r"input is a list; expected a torch\.Tensor"):
            F.cross_entropy([[1.0]], torch.tensor([0]))
        with pytest.raises(TypeError, match="target is a list"):
            F.mse_loss(torch.zeros(1), [0.0])
        with pytest.raises(TypeError, match="dense real tensor"):
            F.mse_loss(torch.zeros(1, dtype=torch.complex64), torch.zeros(1))
        with pytest.raises(TypeError, match="dense real tensor"):
            F.mse_loss(torch.eye(2).to_sparse(), torch.eye(2))

    def test_bad_values(self):
        with pytest.raises(ValueError, match=r"target\[1\] = 7 is outside \[0, 3\)"):
            F.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 7]))
        with pytest.raises(ValueError, match="reduction = 'average' is unknown"):
            F.mse_loss(torch.zeros(1), torch.zeros(1), reduction="average")

    def test_transforms(self):
        x, y = normal(5, 3, 4), labels(4, 5, 3)
        with pytest.raises(RuntimeError, match=r"fastloss.torch.cross_entropy does not work under torch.func"):
            torch.func.vmap(F.cross_entropy)(x, y)
        with pytest.raises(RuntimeError, match=r"fastloss.torch.mse_loss does not work under torch.func"):
            torch.func.grad(lambda a: F.mse_loss(a, torch.zeros(3)))(torch.ones(3))
        with pytest.raises(RuntimeError, match=r"fastloss.torch.softplus does not work under torch.func"):
            torch.func.vmap(F.softplus)(x)

    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
    def test_forward_mode(self):
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(normal(3), normal(3))
            with pytest.raises((RuntimeError, NotImplementedError), match="forward"):
                F.mse_loss(dual, normal(3))
