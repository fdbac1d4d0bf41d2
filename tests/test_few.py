"""Losses of products of few embeddings: their way around NumPy's BLAS, against the truth and against the tiles' way.

What the losses do themselves is in test_several.py and test_similarity.py.
"""

import itertools

import numpy as np
import pytest
from cases import BY_NAME
from compare import same_bits
from conftest import FMA_ISAS
from several import call, check, flat, parts, truth

import fastloss as fl
from fastloss import _core, _products
from fastloss._several import UNWANTED

NCE, MNR = BY_NAME["info_nce_loss"], BY_NAME["multiple_negatives_ranking_loss"]
ARC, GE2E = BY_NAME["arcface_loss"], BY_NAME["ge2e_loss"]
FACTORS = 4


def rows(rng, n, d, dtype):
    """Lengths from tiny to large; a zero vector now and then."""
    x = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-12, 13, (n, 1))
    x[rng.random(n) < 0.1] = 0
    return x.astype(dtype)


def batches(rng, n, d, dtype):
    """Problems of n rows: case, arrays, parameters."""
    q, k, others = rows(rng, n, d, dtype), rows(rng, n, d, dtype), rows(rng, rng.integers(1, 13), d, dtype)
    k[rng.random(n) < 0.3] = q[0]
    plain = [(0.5 * rng.standard_normal((m, d))).astype(dtype) for m in (n, n, 5)]
    temperature = float(rng.choice([0.07, 0.5, 2]))
    yield NCE, (q, k), {"temperature": temperature}
    yield NCE, (q, k, others), {"temperature": temperature}
    yield NCE, (plain[0], plain[1]), {"temperature": 0.5, "normalize": False}
    yield NCE, tuple(plain), {"temperature": 0.5, "normalize": False}
    yield MNR, (q, k), {"scale": 1 / temperature}
    target = rng.integers(0, len(others), n)
    q[rng.random(n) < 0.2] = others[target[0]]  # no tangent
    ignored = {"ignore_index": 0} if (target != 0).any() else {}
    yield ARC, (q, others, target), {"margin": float(rng.choice([0.0, 0.5, 2.0, 3.5])), "scale": 8.0} | ignored
    weight = rng.uniform(0, 2, len(others)) * (rng.random(len(others)) < 0.8)
    yield ARC, (q, others, target), {"class_weight": weight, "scale": 8.0}
    speakers = rng.standard_normal((n, int(rng.integers(2, 5)), d)) * 10.0 ** rng.integers(-12, 13, (n, 1, 1))
    speakers[0, 0] = 0
    yield GE2E, (speakers.astype(dtype),), {"w": float(rng.choice([10, -3]))}


FORMS = range(8)
NAMES = ["batch", "shared", "plain", "plain shared", "ranking", "arcface", "weighted classes", "speakers"]
FORM = pytest.mark.parametrize("form", FORMS, ids=NAMES)


class Other(np.ndarray):
    """An array that has no short way."""


@pytest.fixture
def tiles(monkeypatch):
    """From its call on, problems are no longer few."""

    def switch():
        monkeypatch.setattr(_products, "is_few", lambda *shape: False)
        for case in (NCE, MNR, ARC, GE2E):
            monkeypatch.setattr(type(getattr(fl, case.name)), "_quick", None)

    return switch


@FORM
def test_against_the_truth(form, dtype, isa, rng):
    """Every number of rows from 1 to 12, columns to 40, any reduction, weights (zeros too), upstream gradients, sums
    into arrays of any strides, over the first array; the short way and the one of rare options have the same bits."""
    for n in range(1, 13):
        d = int(rng.integers(1, 41))
        case, arrays, parameters = list(batches(rng, n, d, dtype))[form]
        loss = getattr(fl, case.name)
        shape = loss(*arrays, **parameters, reduction="none").shape
        weight = (rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.7)).astype(dtype)
        for reduction, weighted, upstream in itertools.product(("none", "sum", "mean"), (False, True), (False, True)):
            common = {"reduction": reduction} | ({"sample_weight": weight} if weighted else {})
            if reduction == "mean" and weighted:
                common["denominator"] = 3.0
            if upstream:
                common["grad_output"] = rng.standard_normal(shape) if reduction == "none" else -1.5
            results = call(case, arrays, **parameters, **common)
            check(results, truth(case, arrays, parameters, dtype, **common), dtype, case.ulps + FACTORS, (n, d, common))
            assert same_bits(call(case, [a.view(Other) for a in arrays], **parameters, **common), results)
            made = [g for g in parts(results[1]) if isinstance(g, np.ndarray)]
            strided = [np.full((*g.shape, 2), 7, dtype)[..., 0] for g in made]
            own = [a.copy() for a in arrays]
            for given, places in ((arrays, strided), (own, [own[0], *strided[1:]])):
                given_out = tuple(places) if len(places) > 1 else places[0]
                into = call(case, given, **parameters, **common, grad_out=given_out)
                assert same_bits(into[0], results[0])
                assert all(a is b for a, b in zip(parts(into[1]), places, strict=False))
                assert all(map(same_bits, parts(into[1]), parts(results[1])))
            common.pop("grad_output", None)
            assert same_bits(loss(*arrays, **parameters, **common), results[0])


@FORM
def test_is_near_the_tiles_way(form, dtype, rng, tiles):
    """What BLAS's products have: sums in another order and precision."""
    problems = [list(batches(rng, n, 17, dtype))[form] for n in (1, 5, 12)]
    few = [flat(call(*p[:2], **p[2], reduction="none")) for p in problems]
    tiles()
    for (case, arrays, parameters), found in zip(problems, few, strict=True):
        many = flat(call(case, arrays, **parameters, reduction="none"))
        for a, b in zip(found, many, strict=True):
            tolerance = 1e-3 if dtype == np.float32 else 1e-9
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.max(np.abs(b), initial=0))


@FORM
@pytest.mark.parametrize("way", ["short", "general"])
def test_needs_no_blas(form, way, dtype, rng):
    """Neither for common calls nor for rare options."""

    def refuse(*arguments):
        pytest.fail("a product")

    case, arrays, parameters = list(batches(rng, 6, 5, dtype))[form]
    with _products.products_by(refuse):
        call(case, arrays if way == "short" else [a.view(Other) for a in arrays], **parameters)


@FORM
@pytest.mark.usefixtures("any_isa")
def test_bits(form, dtype):
    """The same on every instruction set with FMA, for any number of threads."""
    found = []
    for name in FMA_ISAS:
        _core.isa_select(name)
        for threads in (1, 3):
            rng = np.random.default_rng(5)
            with fl.num_threads(threads):
                for n, d in ((1, 1), (7, 3), (12, 40), (33, 71)):
                    case, arrays, parameters = list(batches(rng, n, d, dtype))[form]
                    found.append(call(case, arrays, **parameters, reduction="none"))
    assert all(same_bits(found[k], found[k % 4]) for k in range(len(found)))


@FORM
def test_gradients_that_are_not_wanted(form, dtype, rng):
    case, arrays, parameters = list(batches(rng, 6, 5, dtype))[form]
    value, every = call(case, arrays, **parameters)
    if case is GE2E:
        return
    for wanted in itertools.product((True, False), repeat=len(every)):
        places = [np.full_like(g, 7) if want else UNWANTED for g, want in zip(every, wanted, strict=True)]
        for given in (places, tuple(places)):
            found = call(case, arrays, **parameters, grad_out=given)
            assert same_bits(found[0], value)
            assert [g is not None for g in found[1]] == list(wanted)
            assert all(same_bits(g, e) for g, e in zip(found[1], every, strict=True) if g is not None)


@FORM
def test_rows_that_do_not_count_may_hold_anything(form, dtype, rng):
    """Queries alone: keys, and utterances, are everybody's."""
    case, arrays, parameters = list(batches(rng, 8, 5, dtype))[form]
    if case is GE2E:
        return
    weight = np.ones(8)
    weight[[2, 7]] = 0
    expected = call(case, arrays, **parameters, sample_weight=weight)
    for poison in (np.nan, np.inf):
        broken = arrays[0].copy()
        broken[[2, 7]] = poison
        results = call(case, (broken, *arrays[1:]), **parameters, sample_weight=weight)
        assert same_bits(results, expected)
    assert (expected[1][0][[2, 7]] == 0).all()


@FORM
def test_nan_and_infinity(form, dtype, rng):
    """In a row that counts, they are seen in the value; an infinite product may be the largest."""
    case, arrays, parameters = list(batches(rng, 8, 5, dtype))[form]
    for poison in (np.nan, np.inf) if "plain" not in NAMES[form] else (np.nan,):
        broken = arrays[0].copy()
        broken.reshape(-1, 5)[-1, 0] = poison
        if case is ARC:
            arrays[2][-1] = len(arrays[1]) - 1
            parameters = {k: v for k, v in parameters.items() if k not in ("ignore_index", "class_weight")}
        value, _ = call(case, (broken, *arrays[1:]), **parameters)
        assert np.isnan(value)


def test_what_is_few_is_said_by_the_shape(dtype, rng):
    """Its limits: products of 2^18, one tile of scores; nothing of no rows, columns or keys."""
    assert _core.is_few(64, 64, 64)
    assert not _core.is_few(64, 64, 65)
    assert _core.is_few(90, 91, 1)
    assert not _core.is_few(91, 91, 1)
    assert _core.is_few(1, 1, 2**18)
    assert not _core.is_few(2**62, 4, 4)
    assert not any(_core.is_few(*shape) for shape in ((0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, -1, 4)))
    for n, d in ((64, 64), (64, 65)):
        q, k = (rng.standard_normal((n, d)).astype(dtype) for _ in range(2))
        results = call(NCE, (q, k), reduction="none")
        check(results, truth(NCE, (q, k), {}, dtype, reduction="none"), dtype, NCE.ulps, (n, d))


def test_labels_come_before_anything_is_written(rng):
    x, centers = rng.standard_normal((4, 3)).astype("f4"), rng.standard_normal((5, 3)).astype("f4")
    out = np.full_like(x, 7)
    for target in ([0, 1, 5, 2], [0, -1, 2, 3], [0, 2**40, 1, 1]):
        with pytest.raises(ValueError, match=r"target\[\d\] = .* is outside \[0, 5\)"):
            fl.arcface_loss.value_and_grad(x, centers, np.array(target), grad_out=(out, None))
    assert (out == 7).all()
    dead = np.full(4, -100)
    assert np.isnan(fl.arcface_loss(x, centers, dead))
    assert all((g == 0).all() for g in fl.arcface_loss.value_and_grad(x, centers, dead, reduction="sum")[1])
