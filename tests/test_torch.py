"""fastloss.torch beside torch.nn.functional: every function, over combinations of its options, value and gradient."""

import inspect
import itertools

import pytest

import fastloss as fl
from fastloss._loss import Loss

torch = pytest.importorskip("torch")
F = pytest.importorskip("fastloss.torch")
T = torch.nn.functional
REDUCTIONS = ("mean", "sum", "none")

# The truth is torch's function in float64. float32 is held to the policy's units in the last place of the largest
# term, plus those of weights, upstream gradient and denominator; float64 to what torch's own sums are good for.
BOUND = {torch.float32: 8 * 2.0**-23, torch.float64: 64 * 2.0**-52}


# torch adds 1e-12 to the squared lengths.
BOUND_OF_COSINES = {torch.float32: BOUND[torch.float32], torch.float64: 1e-11}


@pytest.fixture(autouse=True)
def one_thread():
    """Nothing here is large, and a team of threads waits for its slowest."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def close(got, want, dtype, scale=0.0, bound=BOUND):
    """Within the bound, in units of the largest entry."""
    size = max(float(want.abs().max()) if want.numel() else 0.0, scale, 1e-30)
    return got.dtype == dtype and got.shape == want.shape and float(
        (got.double() - want).abs().max() if want.numel() else 0.0
    ) <= bound[dtype] * size  # fmt: skip


def compare(name, arrays, gradients, dtype, bound=BOUND, **options):
    """Value and gradients (of an arbitrary upstream gradient) against torch in float64; ``arrays`` are float64."""
    generator = torch.Generator().manual_seed(1)
    results = []
    for functions, real in ((F, dtype), (T, torch.float64)):

        def convert(v, real=real):
            """Both compute from the same numbers, those that the tested type holds."""
            return v.to(dtype).to(real) if isinstance(v, torch.Tensor) and v.is_floating_point() else v

        given = [convert(a).clone() for a in arrays]
        leaves = [given[k].requires_grad_() for k in gradients]
        keywords = {k: convert(v) for k, v in options.items()}
        value = getattr(functions, name)(*given, **keywords)
        if not results:
            upstream = torch.rand(value.shape, generator=generator, dtype=torch.float64) + 0.5
        value.backward(convert(upstream))
        results.append((value.detach(), [leaf.grad for leaf in leaves]))
    (value, found), (want, expected) = results
    assert close(value, want, dtype, 1e-2, bound), (name, options, value, want)
    for k, g, w in zip(gradients, found, expected, strict=True):
        assert close(g, w, dtype, 1e-3, bound), (name, options, f"gradient {k}", g, w)


def normal(*shape):
    return torch.randn(shape, dtype=torch.float64)


def products(**choices):
    """Every combination of options, as keywords."""
    for values in itertools.product(*choices.values()):
        yield {k: v for k, v in zip(choices, values, strict=True) if v is not None}


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def real(request):
    torch.manual_seed(0)
    return request.param


def layouts(x):
    """The tensor as it is, transposed in memory, and every second element of a larger one."""
    yield x
    yield x.mT.contiguous().mT
    yield torch.stack([x, x + 1], -1)[..., 0]


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
def test_residuals(name, real):
    """Weights of the input's shape, the gradient of the target too, any layout."""
    own = {"huber_loss": {"delta": (0.5, 2.0)}, "smooth_l1_loss": {"beta": (0.0, 0.5, 2.0)}}.get(name, {})
    weights = (None,) if name == "smooth_l1_loss" else (None, torch.rand(4, 5, dtype=torch.float64))
    for options in products(reduction=REDUCTIONS, weight=weights, **own):
        for x in layouts(normal(4, 5)):
            compare(name, [x, normal(4, 5)], [0, 1], real, **options)
        compare(name, [normal(4, 5), normal(4, 5)], [1], real, **options)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
def test_different_shapes_are_broadcast_with_the_warning(name, real):
    with pytest.warns(UserWarning, match="different to the input size"):
        compare(name, [normal(4, 5), normal(5)], [0, 1], real)
    if name != "smooth_l1_loss":
        with pytest.raises(ValueError, match=r"weight has shape \(1, 3\) but input has shape \(3,\)"):
            getattr(F, name)(normal(3), normal(3), weight=torch.ones(1, 3))


def test_binary(real):
    shape = (4, 5)
    weights = (None, torch.rand(5, dtype=torch.float64), torch.rand(4, 1, dtype=torch.float64))
    pos_weights = (None, torch.rand(5, dtype=torch.float64) * 3)
    for options in products(reduction=REDUCTIONS, weight=weights):
        for target in (torch.rand(shape, dtype=torch.float64), torch.randint(0, 2, shape).double()):
            p = torch.rand(shape, dtype=torch.float64) * 0.98 + 0.01
            compare("binary_cross_entropy", [p, target], [0], real, **options)
            compare("multilabel_soft_margin_loss", [normal(*shape), target], [0], real, **options)
            for pos_weight in pos_weights:
                compare("binary_cross_entropy_with_logits", [3 * normal(*shape), target], [0], real,
                        pos_weight=pos_weight, **options)  # fmt: skip
    for reduction in REDUCTIONS:
        compare("soft_margin_loss", [normal(*shape), normal(*shape).sign()], [0], real, reduction=reduction)


def test_poisson(real):
    counts = torch.poisson(torch.full((6, 7), 3.0)).double()
    for options in products(reduction=REDUCTIONS, full=(False, True), eps=(None, 1e-3, 0.0)):
        compare("poisson_nll_loss", [normal(6, 7), counts], [0], real, **options)
        compare("poisson_nll_loss", [normal(6, 7).exp(), counts], [0], real, log_input=False, **options)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
def test_kl_div(real):
    p = T.softmax(normal(5, 6), -1)
    p[0, 0] = 0.0
    log_q = T.log_softmax(normal(5, 6), -1)
    for reduction in (*REDUCTIONS, "batchmean"):
        compare("kl_div", [log_q, p], [0], real, reduction=reduction)
        compare("kl_div", [log_q, p.log().clamp(min=-50)], [0], real, reduction=reduction, log_target=True)
    with pytest.warns(UserWarning, match="batchmean"):
        F.kl_div(log_q, p)
    halves = F.kl_div(log_q.bfloat16(), p.bfloat16(), reduction="none")
    assert halves.dtype == torch.bfloat16
    assert torch.allclose(halves.double(), F.kl_div(log_q, p, reduction="none"), rtol=0, atol=2.0**-6)
    # torch: NaN
    x = torch.tensor([[-torch.inf, 0.0]], requires_grad=True)
    loss = F.kl_div(x, torch.tensor([[0.0, 1.0]]), reduction="sum")
    loss.backward()
    assert loss.item() == 0
    assert x.grad.tolist() == [[0.0, -1.0]]


@pytest.mark.parametrize("shape", [(6,), (5, 6), (3, 6, 4), (2, 6, 3, 2)], ids=str)
def test_cross_entropy(shape, real):
    """Weights with smoothing with ignored rows with every reduction; labels, probabilities; classes in the middle."""
    rows = shape[:1] * (len(shape) > 1) + shape[2:]
    weights = (None, torch.rand(6, dtype=torch.float64) + 0.1)
    labels = torch.randint(0, 6, rows)
    ignored = labels.clone().reshape(-1)
    ignored[1::3] = -100
    probabilities = T.softmax(normal(*shape), min(1, len(shape) - 1))
    for options in products(reduction=REDUCTIONS, weight=weights, label_smoothing=(None, 0.1, 1.0)):
        compare("cross_entropy", [2 * normal(*shape), probabilities], [0], real, **options)
        compare("cross_entropy", [2 * normal(*shape), labels], [0], real, ignore_index=2, **options)
        if rows:
            compare("cross_entropy", [2 * normal(*shape), ignored.reshape(rows)], [0], real, **options)
        for x in layouts(normal(*shape)) if len(shape) > 1 else ():
            compare("cross_entropy", [x, labels], [0], real, **options)


def test_multi_margin(real):
    for options in products(
        reduction=REDUCTIONS, weight=(None, torch.rand(6, dtype=torch.float64)), margin=(None, 0.3), p=(None, 2)
    ):
        compare("multi_margin_loss", [normal(5, 6), torch.randint(0, 6, (5,))], [0], real, **options)
        compare("multi_margin_loss", [normal(6), torch.tensor(2)], [0], real, **options)


def test_pairs(real):
    sign = torch.randint(0, 2, (7,)).double() * 2 - 1
    for options in products(reduction=REDUCTIONS, margin=(None, 0.3)):
        compare("margin_ranking_loss", [normal(7), normal(7), sign], [0, 1], real, **options)
        for shape in ((7, 4), (4,)):
            labels = sign if len(shape) > 1 else sign[0]
            compare("cosine_embedding_loss", [normal(*shape), normal(*shape), labels], [0, 1], real, BOUND_OF_COSINES,
                    **options)  # fmt: skip


def test_triplet(real):
    for options in products(reduction=REDUCTIONS, margin=(None, 5.0), p=(None, 1.0, 3.0), eps=(None, 0.0, 0.1)):
        compare("triplet_margin_loss", [normal(6, 4) for _ in range(3)], [0, 1, 2], real, **options)
    for options in products(reduction=REDUCTIONS, p=(None, 1.0)):
        compare("triplet_margin_loss", [normal(6, 4) for _ in range(3)], [0, 1, 2], real, eps=0.0, swap=True, **options)
        arrays = [normal(6, 4) for _ in range(3)]
        difference = F.triplet_margin_loss(*arrays, swap=True, **options) - T.triplet_margin_loss(
            *arrays, swap=True, **options
        )
        assert difference.abs().max() <= 6 * 1e-6 * 4 ** (1 / options.get("p", 2))


@pytest.mark.parametrize("name", ["sigmoid", "logsigmoid", "softplus"])
def test_elementwise_activations(name, real):
    compare(name, [5 * normal(4, 5)], [0], real)
    if name == "softplus":
        compare(name, [normal(4, 5)], [0], real, beta=2.5)
        compare(name, [normal(4, 5)], [0], real, threshold=0.5)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax(dim, real):
    for name in ("softmax", "log_softmax"):
        compare(name, [3 * normal(4, 5, 3)], [0], real, dim=dim)
        assert getattr(F, name)(torch.zeros(2, 2), dim, dtype=torch.float64).dtype == torch.float64
        with pytest.warns(UserWarning, match="Implicit dimension"):
            assert getattr(F, name)(torch.zeros(2, 4, 1))[0, 0, 0].exp() in (0.5, pytest.approx(1.6487213))
    x = normal(4, 5, 3).to(real)
    for keepdim in (False, True):
        assert close(F.logsumexp(x, dim, keepdim), torch.logsumexp(x.double(), dim, keepdim), real)


def test_signatures_are_those_of_torch():
    """Names, order and defaults."""
    same = [name for name in F.__all__ if hasattr(T, name) and name not in ("softplus", "logsigmoid", "sigmoid")]
    assert len(same) == 17
    for name in same:
        ours, theirs = (inspect.signature(getattr(f, name)).parameters for f in (F, T))
        assert [(p.name, p.default, p.kind) for p in ours.values()] == [
            (p.name, p.default, p.kind) for p in theirs.values()
        ], name


@pytest.mark.parametrize(
    ("size_average", "reduce"), list(itertools.product((None, True, False), (None, True, False)))[1:]
)
def test_legacy_arguments(size_average, reduce):
    x, t = torch.randn(3, 4), torch.randint(0, 4, (3,))
    with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
        want = T.cross_entropy(x, t, size_average=size_average, reduce=reduce)
    with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
        got = F.cross_entropy(x, t, size_average=size_average, reduce=reduce)
    assert torch.allclose(got, want)
    assert got.shape == want.shape


def test_every_loss_is_here():
    """Under its own name, or under torch's."""
    elsewhere = {"multiclass_hinge_loss"}
    for name in fl.__all__:
        if isinstance(getattr(fl, name), Loss):
            assert name in F.__all__ or name in elsewhere, name
    for name in F.__all__:
        assert getattr(F, name) is not None
    assert F.__all__ == sorted(F.__all__)


def test_the_rest_is_torch():
    assert F.relu is T.relu
    assert F.nll_loss is T.nll_loss
    with pytest.raises(AttributeError, match=r"neither fastloss.torch nor torch.nn.functional has 'huberloss'"):
        F.huberloss
