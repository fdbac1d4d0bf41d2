"""The C interface gives what the Python functions give, to the bit: called through ctypes, so no compiler is needed."""

import re
from pathlib import Path

import numpy as np
import pytest
from c_table import FUNCTIONS, LossOfC, Options, address, function, loss, table
from cases import POINTWISE
from compare import same_bits

import fastloss as fl
from fastloss import _core, kernels

HEADER = Path(fl.get_include(), "fastloss_kernels.h").read_text(encoding="utf-8")
ROWS = [(1, 1), (3, 10), (300, 7), (5, 3000)]


def test_the_table_is_that_of_the_header():
    """Version, and functions in the order that is the ABI."""
    versions = [int(re.search(rf"#define FASTLOSS_ABI_{part} (\d+)", HEADER)[1]) for part in ("MAJOR", "MINOR")]
    assert [table().abi_major, table().abi_minor] == versions == [1, 0]
    assert table().version.decode() == fl.__version__
    struct = re.search(r"typedef struct fastloss_api \{(.*?)\} fastloss_api;", HEADER, re.DOTALL)[1]
    assert re.findall(r"\(\*(\w+)\)\(", struct) == list(FUNCTIONS)
    assert set(re.findall(r"#define fastloss_(\w+) fastloss_table->", HEADER)) == set(FUNCTIONS)
    assert set(re.findall(r"^#define fastloss_(\w+) fastloss_table->\1$", HEADER, re.MULTILINE)) == set(FUNCTIONS)
    cython = Path(kernels.__file__).with_suffix(".pxd").read_text(encoding="utf-8")
    assert {f"fastloss_{name}" for name in FUNCTIONS} <= set(re.findall(r"\w+", cython))


def test_losses_by_name():
    made = LossOfC()
    init = table().loss_init
    assert init(made, b"huber_loss", 0, None) == 0
    assert (made.parameters, made.parameter[0]) == (1, 1.0)  # the default
    two = np.array([2.0, 3.0])
    assert init(made, b"huber_loss", 1, address(two)) == 0
    assert made.parameter[0] == 2.0
    assert init(made, b"huber", 0, None) == -1
    assert init(made, b"huber_loss", 2, address(two)) == -2
    assert init(made, b"huber_loss", -1, address(two)) == -2
    assert init(made, b"poly_loss", 2, address(two)) == -2  # says that three coefficients follow
    assert [table().activation(name) for name in (b"sigmoid", b"tanh", b"relu")] == [0, 7, -1]
    for name in kernels.pointwise_names():
        assert init(made, name.encode(), 0, None) == 0
        assert made.parameter[: made.parameters] == kernels.parameters(name)
    assert loss("poly_loss", epsilon=[0.5] * 14).parameters == 16
    assert init(made, b"poly_loss", 17, address(np.array([15.0, *[0.0] * 16]))) == -2


def test_parameters_are_checked():
    with pytest.raises(ValueError, match="name = 'cross_entropy' is not a pointwise loss; expected one of mse_loss, "):
        kernels.parameters("cross_entropy")
    with pytest.raises(TypeError, match=r"beta is no parameter of huber_loss for the kernels; expected delta"):
        kernels.parameters("huber_loss", beta=1.0)
    with pytest.raises(TypeError, match=r"pos_weight is no parameter of .* expected none"):
        kernels.parameters("binary_cross_entropy_with_logits", pos_weight=2.0)
    with pytest.raises(ValueError, match=r"delta = -1.0"):
        kernels.parameters("huber_loss", delta=-1.0)
    assert kernels.parameters("margin_ranking_loss", margin=0.5) == [0.5]


@pytest.mark.parametrize("case", POINTWISE, ids=lambda c: c.name)
def test_pointwise(case, dtype, rng):
    for parameters in case.parameters:
        aux = parameters.get("pos_weight") if case.name == "binary_cross_entropy_with_logits" else None
        made = loss(case.name, **({} if aux is not None else parameters))
        for n in (1, 37, 5000):
            x, t = case.arrays(rng, (n,), dtype, parameters)
            t = np.ascontiguousarray(t, dtype)
            if aux is not None:
                keywords = {"pos_weight": np.broadcast_to(np.asarray(aux((n,)) if callable(aux) else aux, dtype), (n,))}
                second = np.ascontiguousarray(keywords["pos_weight"])
            else:
                keywords, second = parameters, None
            public = getattr(fl, case.name)
            want = public.value_grad_hess(x, t, reduction="none", grad_output=0.5, **keywords)
            value, grad, hess = (np.full(n, 7, dtype) for _ in range(3))
            call = function("pointwise", dtype)
            call(made, n, *map(address, (x, t, second)), 0.5, *map(address, (value, grad, hess)))
            assert all(map(same_bits, (value, grad, hess), want))
            only = np.full(n, 7, dtype)
            call(made, n, *map(address, (x, t, second)), 0.5, None, None, address(only))
            assert same_bits(only, hess)
            own = x.copy()
            call(made, n, *map(address, (own, t, second)), 0.5, None, address(own), None)
            assert same_bits(own, grad)
            if aux is None:
                weight = rng.integers(0, 4, n).astype(dtype)
                summed = function("pointwise_sum", dtype)
                value, grad = public.value_and_grad(x, t, reduction="sum", sample_weight=weight, **keywords)
                got = summed(made, n, *map(address, (x, t, weight)), 1.0, address(only))
                assert same_bits(np.float64(got), np.float64(value))
                assert same_bits(only, grad)
                assert same_bits(
                    np.float64(summed(made, n, address(x), address(t), None, 1.0, None)),
                    np.float64(public(x, t, reduction="sum", **keywords)),
                )


@pytest.mark.parametrize("name", ["hinge_loss", "squared_hinge_loss", "soft_margin_loss"])
def test_padding_has_weight_zero(name, dtype, rng):
    """What is called from C looks at no target: a label that is no sign counts as 0 where its weight is 0."""
    for n in (10, 300):
        x, t = rng.standard_normal(n).astype(dtype), rng.choice([-1, 1], n).astype(dtype)
        weight, grad = np.ones(n, dtype), np.full((2, n), 7, dtype)
        weight[[3, n - 1]] = 0
        padded = np.where(weight == 0, 0, t).astype(dtype)
        call, made = function("pointwise_sum", dtype), loss(name)
        sums = [
            call(made, n, *map(address, (x, labels, weight)), 1.0, address(out))
            for labels, out in zip((t, padded), grad, strict=True)
        ]
        assert sums[0] == pytest.approx(sums[1], rel=1e-7)
        assert same_bits(grad[0], grad[1])


@pytest.mark.parametrize("n", [64 * 2048, 64 * 2048 + 1, 300_001])
def test_long_sums_are_added_in_the_same_order(n, dtype, rng):
    x, t = (rng.standard_normal(n).astype(dtype) for _ in range(2))
    grad = x.copy()
    got = function("pointwise_sum", dtype)(loss("huber_loss"), n, address(x), address(t), None, 1.0, address(grad))
    value, want = fl.huber_loss.value_and_grad(x, t, reduction="sum")
    assert got == value
    assert same_bits(grad, want)
    own = x.copy()
    assert (
        function("pointwise_sum", dtype)(loss("huber_loss"), n, address(own), address(t), None, 1.0, address(own))
        == got
    )
    assert same_bits(own, want)


def test_a_second_score(dtype, rng):
    x1, x2 = (rng.standard_normal(100).astype(dtype) for _ in range(2))
    t = np.where(rng.random(100) < 0.5, -1, 1).astype(dtype)
    value, grad, other = (np.empty(100, dtype) for _ in range(3))
    arrays = map(address, (x1, t, x2))
    function("pointwise", dtype)(
        loss("margin_ranking_loss", margin=0.5), 100, *arrays, 1.0, *map(address, (value, grad, other))
    )
    want, grads = fl.margin_ranking_loss.value_and_grad(x1, x2, t, margin=0.5, reduction="none")
    assert all(map(same_bits, (value, grad, other), (want, *grads)))


OPTIONS = [
    {},
    {"label_smoothing": 0.1},
    {"temperature": 2.0},
    {"logit_softcap": 3.0, "z_loss": 1e-3},
    {"class_weight": True},
    {"class_weight": True, "label_smoothing": 0.2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "plain")
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_cross_entropy(shape, options, dtype, rng):
    rows, classes = shape
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    label = rng.integers(0, classes, rows)
    label[rows // 2 :: 5] = -100
    given = dict(options)
    weight = np.linspace(0, 2, classes).astype(dtype) if given.pop("class_weight", False) else None
    c = Options(0.0, 1.0, 0.0, 0.0, address(weight))
    for name, number in given.items():
        setattr(c, name, number)
    scale = rng.standard_normal(rows).astype(np.float32).astype(np.float64)
    want = fl.cross_entropy.value_grad_hess(x, label, class_weight=weight, reduction="none", grad_output=scale, **given)
    value, grad, hess = np.full(rows, 7.0), np.full(shape, 7, dtype), np.full(shape, 7, dtype)
    call = function("cross_entropy", dtype)
    assert call(c, rows, classes, *map(address, (x, label, scale, value, grad, hess))) == rows
    assert not value[label < 0].any()
    assert not grad[label < 0].any()
    assert all(map(same_bits, (value.astype(dtype), grad, hess), want))
    own = x.copy()
    assert call(c, rows, classes, *map(address, (own, label, scale, value, own, None))) == rows
    assert same_bits(own, grad)


def test_a_bad_label_is_refused_before_anything_is_written(dtype):
    x, label = np.zeros((4, 3), dtype), np.array([0, -1, 3, 5])
    value, grad = np.full(4, 7.0), np.full((4, 3), 7, dtype)
    c = Options(0.0, 1.0, 0.0, 0.0, None)
    call = function("cross_entropy", dtype)
    assert call(c, 4, 3, *map(address, (x, label, None, value, grad, None))) == 2
    assert (value == 7).all()
    assert (grad == 7).all()
    assert call(c, 0, 3, *map(address, (x, label, None, value, grad, None))) == 0


@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_activations(shape, dtype, rng):
    rows, classes = shape
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    out, values = np.empty(shape, dtype), np.empty(rows)
    for name in ("softmax", "log_softmax"):
        assert function(name, dtype)(rows, classes, address(x), address(out)) == 0
        assert same_bits(out, getattr(fl, name)(x))
    assert function("logsumexp", dtype)(rows, classes, address(x), address(values)) == 0
    assert same_bits(values.astype(dtype), fl.logsumexp(x))
    for name in ("sigmoid", "log_sigmoid", "softplus"):
        function("elementwise", dtype)(table().activation(name.encode()), x.size, address(x), address(out))
        assert same_bits(out, getattr(fl, name)(x))


@pytest.mark.usefixtures("any_isa")
def test_it_follows_the_chosen_instruction_set(isa, rng):
    x, t = rng.standard_normal(500), rng.random(500)
    grad = np.empty(500)
    made = loss("binary_cross_entropy_with_logits")
    got = function("pointwise_sum", np.float64)(made, 500, address(x), address(t), None, 1.0, address(grad))
    assert _core.isa_selected() == isa
    value, want = fl.binary_cross_entropy_with_logits.value_and_grad(x, t, reduction="sum")
    assert got == value
    assert same_bits(grad, want)


def test_the_manual_has_every_loss_with_as_many_numbers():
    manual = Path(__file__).parent.parent / "docs" / "c-interface.md"
    if not manual.exists():
        pytest.skip("no manual beside the tests")
    table_of_losses = manual.read_text(encoding="utf-8").split("## The parameters of a loss")[1]
    numbers = {}
    for names, said in re.findall(r"^\| ((?:`\w+` ?)+)\| ([^|]*) \|", table_of_losses, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            numbers[name] = 0 if said == "none" else len(re.findall(r",| and ", said.split(", 0 or 1")[0])) + 1
    assert numbers == {name: len(kernels.parameters(name)) for name in kernels.pointwise_names()}
