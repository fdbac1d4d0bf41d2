"""fastloss.torch.privacy: a step of DP-SGD on grad_sample tensors, and in the place of Opacus' own."""

import numpy as np
import pytest

from fastloss import privacy as numpy_privacy

torch = pytest.importorskip("torch")
F = pytest.importorskip("fastloss.torch")
privacy = F.privacy

# Opacus divides by the norm + 1e-6 (of norms near 1), and computes norm, factor and sum in float32: of 16 rows that is
# 16 + 4 roundings.
SLACK = 1e-6 + 20 * 2.0**-24


def parameters(batch=5, real=torch.float32):
    """Two parameters with per-sample gradients, and one that is frozen."""
    torch.manual_seed(0)
    found = []
    for shape in ((3, 4), (4,)):
        p = torch.nn.Parameter(torch.zeros(shape, dtype=real))
        p.grad_sample = torch.randn(batch, *shape, dtype=real)
        found.append(p)
    return [*found, torch.nn.Parameter(torch.zeros(2), requires_grad=False)]


@pytest.mark.parametrize("real", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "options",
    [{"expected_batch_size": 4.0}, {"reduction": "sum"}, {"reduction": "sum", "mechanism": "laplace"}],
    ids=["mean", "sum", "laplace"],
)
def test_step_is_that_of_arrays(options, real):
    """The same bits as clip_and_noise of NumPy arrays from the same generator; used gradients are gone."""
    for secure in (False, True):
        used, generator = parameters(real=real), numpy_privacy.NoiseGenerator(3)
        arrays = [p.grad_sample.numpy().copy() for p in used[:2]]
        privacy.clip_and_noise(used, 1.5, 0.7, rng=generator, secure=secure, **options)
        want = numpy_privacy.clip_and_noise(arrays, 1.5, 0.7, rng=3, secure=secure, **options)
        for p, w in zip(used[:2], want, strict=True):
            assert p.grad.dtype == real
            assert p.grad.numpy().tobytes() == w.tobytes()
            assert p.grad_sample is None
        assert used[2].grad is None


def test_gradients_of_several_passes():
    """A list of tensors is one batch; so is an empty one."""
    whole, parts = parameters(6), parameters(6)
    for p in parts[:2]:
        p.grad_sample = [p.grad_sample[:2], p.grad_sample[2:]]
    for used in (whole, parts):
        privacy.clip_and_noise(used, 1.0, 0.0, reduction="sum")
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(whole[:2], parts[:2], strict=True))
    empty = parameters(0)
    privacy.clip_and_noise(empty, 1.0, 1.0, expected_batch_size=8)
    assert empty[0].grad.abs().sum() > 0


def test_views_and_layers():
    used = parameters()
    arrays = privacy.grad_samples(used)
    assert [a.shape for a in arrays] == [(5, 3, 4), (5, 4)]
    assert np.shares_memory(arrays[0], used[0].grad_sample.numpy())
    privacy.clip_and_noise(used, [0.5, 0.1], 0.0, mode="per_layer", reduction="sum")
    assert used[1].grad.norm() <= 0.5


def test_refusals():
    used = parameters()
    with pytest.raises(TypeError, match="rng = 3 is an integer"):
        privacy.clip_and_noise(used, 1.0, 1.0, expected_batch_size=4, rng=3)
    used[0].grad_sample = None
    with pytest.raises(ValueError, match=r"parameters\[0\].grad_sample is None; expected per-sample gradients"):
        privacy.clip_and_noise(used, 1.0, 1.0, expected_batch_size=4)
    assert used[1].grad is None
    used[0].grad_sample = torch.zeros(5, 3, 4, device="meta")
    with pytest.raises(TypeError, match=r"parameters\[0\].grad_sample is on device 'meta'"):
        privacy.clip_and_noise(used, 1.0, 1.0, expected_batch_size=4)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # the first layer's, of GradSampleModule
class TestOpacus:
    """Beside Opacus itself, without noise equal to rounding."""

    @pytest.fixture
    def opacus(self):
        return pytest.importorskip("opacus")

    def training(self, opacus, swapped, steps=3, multiplier=0.0, physical=None, **options):
        """A small network, trained for a few steps; its parameters, and what its optimizer was."""
        from opacus.optimizers import DPOptimizer

        torch.manual_seed(0)
        layers = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
        model = opacus.GradSampleModule(layers)
        optimizer = DPOptimizer(
            torch.optim.SGD(model.parameters(), lr=0.5),
            noise_multiplier=multiplier,
            max_grad_norm=0.7,
            expected_batch_size=16,
        )
        if swapped:
            assert privacy.swap_step(optimizer, **options) is optimizer
        seen = []
        optimizer.attach_step_hook(lambda o: seen.append(o.accumulated_iterations))
        x, y = torch.randn(steps, 16, 6), torch.randint(0, 3, (steps, 16))
        for k in range(steps):
            size = physical or 16
            for at in range(0, 16, size):
                optimizer.signal_skip_step(do_skip=at + size < 16)
                optimizer.zero_grad()
                F.cross_entropy(model(x[k, at : at + size]), y[k, at : at + size]).backward()
                optimizer.step()
        assert len(seen) == steps
        return [p.detach() for p in model.parameters()]

    def test_a_step_of_each(self, opacus):
        """One step: gradients within rounding and what 1e-6 beside the norm makes."""
        results = [self.training(opacus, swapped, steps=1) for swapped in (False, True)]
        start = self.training(opacus, False, steps=0)
        for theirs, ours, before in zip(*results, start, strict=True):
            assert (ours - theirs).abs().max() <= SLACK * (theirs - before).abs().max() + 2.0**-23

    def test_virtual_batches(self, opacus):
        """Batches in parts, which Opacus sums up before the noise."""
        whole, parts = (self.training(opacus, True, physical=n) for n in (None, 4))
        theirs = self.training(opacus, False, physical=4)
        for a, b, c in zip(whole, parts, theirs, strict=True):
            assert torch.allclose(a, b, atol=1e-5)
            assert torch.allclose(b, c, atol=1e-5)

    def test_noise(self, opacus):
        """Of the right size, drawn anew in every step, and from one seeded generator."""
        without = self.training(opacus, True, steps=1)
        once, again, other = (self.training(opacus, True, steps=1, multiplier=50.0, rng=seed) for seed in (1, 1, 2))
        assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
        assert not torch.equal(once[0], other[0])
        noise = torch.cat([(a - b).reshape(-1) for a, b in zip(once, without, strict=True)])
        assert noise.std() == pytest.approx(0.5 * 50 * 0.7 / 16, rel=0.4)  # lr * multiplier * bound / batch size

    def test_used_gradients_are_refused(self, opacus):
        from opacus.optimizers import DPOptimizer

        p = torch.nn.Parameter(torch.zeros(2))
        p.grad_sample = torch.ones(3, 2)
        optimizer = DPOptimizer(
            torch.optim.SGD([p], lr=1.0), noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=3
        )
        privacy.swap_step(optimizer).step()
        with pytest.raises(ValueError, match="zero_grad"):
            optimizer.step()
        optimizer.zero_grad()
        p.grad_sample = torch.full((3, 2), torch.nan)
        optimizer.step()
        assert p.isfinite().all()

    def test_other_optimizers(self, opacus):
        from opacus.optimizers import DPOptimizer, DPPerLayerOptimizer

        sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=1.0)
        options = {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "expected_batch_size": 3}
        with pytest.raises(TypeError, match="optimizer is a SGD"):
            privacy.swap_step(sgd)
        with pytest.raises(TypeError, match="optimizer is a DPPerLayerOptimizer"):
            privacy.swap_step(DPPerLayerOptimizer(sgd, **{**options, "max_grad_norm": [1.0]}))
        with pytest.raises(ValueError, match=r"torch\.Generator"):
            privacy.swap_step(DPOptimizer(sgd, generator=torch.Generator(), **options))
        with pytest.raises(ValueError, match="secure_mode"):
            privacy.swap_step(DPOptimizer(sgd, secure_mode=True, **options))
