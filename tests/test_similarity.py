"""What only the similarity losses have: tiles, forms of negatives, groups, margins, centroids, memory.

What they share with all losses of several arrays is in test_several.py. ``truth`` is the reference; what its scales
stand for is said in fastloss/reference/similarity.py.
"""

import itertools
import math

import numpy as np
import pytest
from cases import BY_NAME
from cases.similarity import classified, spoken, vectors
from compare import same_bits
from test_memory import peaks
from test_several import call, check, flat, parts, truth

import fastloss as fl
from fastloss import _contrast, _products, _unit
from fastloss._several import UNWANTED

NCE, MNR = BY_NAME["info_nce_loss"], BY_NAME["multiple_negatives_ranking_loss"]
ARC, GE2E = BY_NAME["arcface_loss"], BY_NAME["ge2e_loss"]
FACTORS = 4


@pytest.fixture
def tiles(monkeypatch):
    """Small problems are cut into tiles as large ones are, and their products are NumPy's."""
    monkeypatch.setattr(_products, "is_few", lambda *shape: False)
    for case in (NCE, MNR, ARC, GE2E):
        monkeypatch.setattr(type(getattr(fl, case.name)), "_quick", None)


@pytest.fixture
def small_tiles(monkeypatch, tiles):
    """Tiles of a few rows, blocks of a few keys, so that small arrays have many of both."""
    for module, name, value in (
        (_products, "TILE", 150),
        (_products, "LEAST", 3),
        (_products, "KEY_BLOCK", 40),
        (_contrast, "TILE_QUERIES", 200),
        (_contrast, "HIDDEN", 5),
        (_unit, "CHUNK", 30),
    ):
        monkeypatch.setattr(module, name, value)


def batches(rng, dtype, n=23, d=9):
    """Every form of every loss: case, arrays, parameters."""
    q, k = vectors(rng, (n, d), dtype), vectors(rng, (n, d), dtype)
    q[3], k[5] = 0, q[5]
    plain = rng.standard_normal((n, d)).astype(dtype)
    groups = rng.integers(0, n // 2, n)
    yield NCE, (q, k), {}
    yield NCE, (q, k, vectors(rng, (n + 8, d), dtype)), {"temperature": 0.3}
    yield NCE, (q, k, vectors(rng, (n, 6, d), dtype)), {"temperature": 0.2}
    yield NCE, (plain, plain[::-1]), {"normalize": False, "temperature": 1.5}
    yield NCE, (plain, plain[::-1], plain + 1), {"normalize": False, "temperature": 1.5}
    yield NCE, (plain, plain[::-1], rng.standard_normal((n, 4, d)).astype(dtype)), {"normalize": False}
    yield MNR, (q, k), {"group_ids": groups}
    yield MNR, (q, k), {"symmetric": True, "scale": 7.0}
    yield MNR, (q, k), {"symmetric": True, "group_ids": groups.astype("u1")}
    yield ARC, classified(rng, (n, d), dtype, {}), {"scale": 8.0, "ignore_index": 3}
    yield ARC, classified(rng, (4, 5, d), dtype, {}), {"class_weight": np.arange(7) / 4, "margin": 0.3}
    yield GE2E, spoken(rng, (5, 4, d), dtype, {}), {}
    yield GE2E, spoken(rng, (5, 4, d), dtype, {}), {"variant": "contrast", "w": 3.0}


FORMS = range(13)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("small_tiles")
def test_every_form_in_many_tiles(form, dtype, rng):
    """Reductions, weights (zeros too), upstream gradients: against the reference, which knows no tiles."""
    case, arrays, parameters = list(batches(rng, dtype))[form]
    loss = getattr(fl, case.name)
    shape = loss(*arrays, **parameters, reduction="none").shape
    weight = (rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.7)).astype(dtype)
    for reduction, weights, upstream in itertools.product(("none", "sum", "mean"), (None, weight), (None, -1.5, "all")):
        if upstream == "all":
            if reduction != "none":
                continue
            upstream = rng.standard_normal(shape)
        common = {"reduction": reduction} | ({} if weights is None else {"sample_weight": weights})
        common |= {} if upstream is None else {"grad_output": upstream}
        results = call(case, arrays, **parameters, **common)
        check(results, truth(case, arrays, parameters, dtype, **common), dtype, case.ulps + FACTORS, common)
        common.pop("grad_output", None)
        assert same_bits(loss(*arrays, **parameters, **common), results[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("small_tiles")
def test_threads_and_many_tiles(form, dtype, rng):
    case, arrays, parameters = list(batches(rng, dtype, 90, 11))[form]
    found = []
    for n in (1, 2, 3, 7):
        with fl.num_threads(n):
            found.append(call(case, arrays, **parameters, reduction="none"))
    assert all(same_bits(results, found[0]) for results in found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("tiles")
def test_tiles_change_little(form, rng, monkeypatch):
    """Sums in another order, and nothing else."""
    case, arrays, parameters = list(batches(rng, np.dtype(float)))[form]
    whole = flat(call(case, arrays, **parameters, reduction="none"))
    monkeypatch.setattr(_products, "TILE", 100)
    monkeypatch.setattr(_products, "LEAST", 2)
    for got, want in zip(flat(call(case, arrays, **parameters, reduction="none")), whole, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * np.max(np.abs(want), initial=0))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", ["check", "reference"])
def test_backends_know_every_form(form, backend, dtype, rng):
    case, arrays, parameters = list(batches(rng, dtype))[form]
    native = call(case, arrays, **parameters)
    with fl.backend(backend):
        results = call(case, arrays, **parameters)
    assert len(flat(results)) == len(flat(native))
    for got, want in zip(flat(results), flat(native), strict=True):
        assert type(got) is type(want)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * np.max(np.abs(want), initial=0))


@pytest.mark.parametrize("form", FORMS)
def test_nothing_counts(form, dtype, rng):
    """All rows of weight 0 and full of NaN: sum 0, mean NaN, gradients exactly 0."""
    case, arrays, parameters = list(batches(rng, dtype))[form]
    broken = [np.full_like(a, np.nan) if a.dtype.kind == "f" else a for a in arrays]
    value, gradient = call(case, broken, **parameters, sample_weight=0.0, reduction="sum")
    assert value == 0
    assert all((np.asarray(g) == 0).all() for g in parts(gradient))
    assert math.isnan(getattr(fl, case.name)(*broken, **parameters, sample_weight=0.0))


@pytest.mark.parametrize("form", FORMS[:-2])  # all but GE2E, which has one array
@pytest.mark.parametrize("ways", ["few", "tiles", "small_tiles"])
def test_some_of_the_gradients(form, ways, rng, request):
    """What is wanted has the bits that it has beside all others, the rest is None; zero weights and NaN included."""
    if ways != "few":
        request.getfixturevalue(ways)
    case, arrays, parameters = list(batches(rng, np.dtype(np.float32)))[form]
    loss = getattr(fl, case.name)
    shape = loss(*arrays, **parameters, reduction="none").shape
    weight = rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.7)
    broken = tuple(np.full_like(a, np.nan) if a.dtype.kind == "f" else a for a in arrays)
    for given, weights, backend in (
        (arrays, None, "native"),
        (arrays, weight, "native"),
        (broken, 0.0, "native"),
        (arrays, weight, "check"),
        (arrays, weight, "reference"),
    ):
        with fl.backend(backend):
            value, every = loss.value_and_grad(*given, **parameters, sample_weight=weights, reduction="sum")
            for wanted in itertools.product((True, False), repeat=len(every)):
                places = [np.full_like(g, 7) if want else UNWANTED for g, want in zip(every, wanted, strict=True)]
                found = loss.value_and_grad(
                    *given, **parameters, sample_weight=weights, reduction="sum", grad_out=places
                )
                expected = [g for g, want in zip(every, wanted, strict=True) if want]
                assert same_bits((found[0], tuple(g for g in found[1] if g is not None)), (value, tuple(expected)))
                assert [g is not None for g in found[1]] == list(wanted)


class TestInfoNCE:
    def test_gradients_are_those_of_the_arrays_given(self, rng):
        q, k, n = (rng.standard_normal((4, 3)) for _ in range(3))
        assert len(fl.info_nce_loss.value_and_grad(q, k)[1]) == 2
        assert len(fl.info_nce_loss.value_and_grad(q, k, None)[1]) == 2
        assert len(fl.info_nce_loss.value_and_grad(q, k, n)[1]) == 3
        out = np.empty((4, 3)), np.empty((4, 3))
        _, gradients = fl.info_nce_loss.value_and_grad(q, k, grad_out=out)
        assert all(a is b for a, b in zip(gradients, out, strict=True))
        with pytest.raises(ValueError, match=r"grad_out has 3 elements; expected 2: .* query, key"):
            fl.info_nce_loss.value_and_grad(q, k, grad_out=(*out, None))

    def test_negatives_that_are_the_other_keys(self, rng):
        """Three ways to say the same."""
        q, k = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
        value, (dq, dk) = fl.info_nce_loss.value_and_grad(q, k, reduction="none")
        own = np.stack([np.delete(k, i, 0) for i in range(6)])
        other, (dq2, dk2, dn) = fl.info_nce_loss.value_and_grad(q, k, own, reduction="none")
        assert other == pytest.approx(value, rel=1e-12)
        assert dq2 == pytest.approx(dq, rel=1e-9)
        for i in range(6):
            dk2[np.arange(6) != i] += dn[i]
        assert dk2 == pytest.approx(dk, rel=1e-9)
        one = [fl.info_nce_loss(q[i : i + 1], k[i : i + 1], own[i]) for i in range(6)]
        assert one == pytest.approx(value, rel=1e-12)

    @pytest.mark.parametrize("negatives", [(0, 5), (3, 0, 5)])
    def test_no_negatives(self, negatives, dtype, rng):
        q, k = (rng.standard_normal((3, 5)).astype(dtype) for _ in range(2))
        value, gradients = fl.info_nce_loss.value_and_grad(q, k, np.empty(negatives, dtype), reduction="none")
        assert (value == 0).all()
        assert all((g == 0).all() for g in gradients)
        assert gradients[2].shape == negatives

    @pytest.mark.parametrize("negatives", [None, (4, 5), (0, 4, 5)])
    def test_empty_batch(self, negatives, dtype):
        arrays = [np.empty((0, 5), dtype)] * 2 + ([] if negatives is None else [np.ones(negatives, dtype)])
        value, gradients = fl.info_nce_loss.value_and_grad(*arrays)
        assert math.isnan(value)
        assert [g.shape for g in gradients] == [a.shape for a in arrays]
        assert all((g == 0).all() for g in gradients)
        assert fl.info_nce_loss(*arrays, reduction="sum") == 0
        assert fl.info_nce_loss(*arrays, denominator=4.0) == 0

    def test_no_dimensions(self, dtype):
        """All products are 0."""
        x = np.empty((3, 0), dtype)
        for normalize in (True, False):
            assert fl.info_nce_loss(x, x, normalize=normalize) == pytest.approx(math.log(3))
            assert fl.info_nce_loss(x, x, np.empty((3, 7, 0), dtype), normalize=normalize) == pytest.approx(math.log(8))

    def test_a_weight_of_zero_hides_a_query(self, dtype, rng):
        """Its key is a negative of the others, so only the query may hold anything."""
        q, k, n = (rng.standard_normal((8, 5)).astype(dtype) for _ in range(3))
        weight = np.ones(8)
        weight[3] = 0
        for others in ((), (n,), (rng.standard_normal((8, 2, 5)).astype(dtype),)):
            expected = fl.info_nce_loss.value_and_grad(q, k, *others, sample_weight=weight)
            broken = q.copy()
            broken[3] = np.nan
            results = fl.info_nce_loss.value_and_grad(broken, k, *others, sample_weight=weight)
            assert same_bits(results, expected)
            assert (results[1][0][3] == 0).all()

    def test_nan_stays_in_its_row_where_rows_are_apart(self, dtype, rng):
        """With own negatives no row knows of another; with shared ones only the negatives do."""
        q, k = (rng.standard_normal((5, 3)).astype(dtype) for _ in range(2))
        shared, own = rng.standard_normal((4, 3)).astype(dtype), rng.standard_normal((5, 4, 3)).astype(dtype)
        rest = np.arange(5) != 2
        for negatives in (shared, own):
            expected = fl.info_nce_loss.value_and_grad(q, k, negatives, reduction="none")
            for which in (0, 1):
                broken = [q.copy(), k.copy()]
                broken[which][2, 1] = np.nan
                value, gradients = fl.info_nce_loss.value_and_grad(*broken, negatives, reduction="none")
                assert np.isnan(value[2])
                assert same_bits(value[rest], expected[0][rest])
                assert same_bits(gradients[0][rest], expected[1][0][rest])
                assert same_bits(gradients[1][rest], expected[1][1][rest])
                assert negatives is shared or same_bits(gradients[2][rest], expected[1][2][rest])

    def test_lengths_do_not_matter(self, dtype, rng):
        """From subnormal to largest: the same cosines, and gradients that are longer as the vectors are shorter."""
        info = np.finfo(dtype)
        q, k = (rng.standard_normal((6, 5)).astype(dtype) for _ in range(2))
        value, (dq, dk) = fl.info_nce_loss.value_and_grad(q, k, reduction="none")
        for exponent in (info.minexp // 2, info.maxexp - 5):
            for other in (info.minexp // 2, info.maxexp - 5, 0):
                scaled = np.ldexp(q, exponent), np.ldexp(k, other)
                results = fl.info_nce_loss.value_and_grad(*scaled, reduction="none")
                assert results[0] == pytest.approx(value, rel=1e-5)
                wide = [
                    np.ldexp(g.astype(np.longdouble), e) for g, e in zip(results[1], (exponent, other), strict=True)
                ]
                np.testing.assert_allclose(wide[0].astype(float), dq, rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(wide[1].astype(float), dk, rtol=1e-4, atol=1e-5)

    def test_negatives_of_wrong_shapes(self, rng):
        q = rng.standard_normal((3, 4))
        for shape in ((4,), (5, 3), (2, 5, 4), (3, 5, 3), (3, 1, 5, 4)):
            with pytest.raises(ValueError, match=r"negatives has shape .*expected \(K, 4\), .*or \(3, K, 4\)"):
                fl.info_nce_loss(q, q, np.ones(shape))
        with pytest.raises(ValueError, match=r"key has shape \(4, 4\) but query has shape \(3, 4\)"):
            fl.info_nce_loss(q, np.ones((4, 4)))
        with pytest.raises(ValueError, match=r"query has shape \(4,\); expected \(B, D\)"):
            fl.info_nce_loss(q[0], q[0])
        with pytest.raises(ValueError, match="temperature = 1e-41"):
            fl.info_nce_loss(q.astype("f4"), q, temperature=1e-41)

    def test_memory(self):
        """The matrix of scores would have 256 MiB."""
        allocated, resident = peaks("""
            b = 8192 if n > 2**20 else 300
            q, k, dq, dk = (array(b, 256) for _ in range(4))
            return lambda: fl.info_nce_loss.value_and_grad(q, k, grad_out=(dq, dk))
        """)
        assert 2**20 < allocated < 64 * 2**20
        assert resident is None or resident < 64 * 2**20


class TestMultipleNegatives:
    def test_is_info_nce(self, dtype, rng):
        a, p = (rng.standard_normal((9, 5)).astype(dtype) for _ in range(2))
        assert same_bits(
            fl.multiple_negatives_ranking_loss.value_and_grad(a, p, scale=16.0),
            fl.info_nce_loss.value_and_grad(a, p, temperature=0.0625),
        )

    def test_symmetric_is_the_mean_of_both_directions(self, dtype, rng):
        a, p = (rng.standard_normal((9, 5)).astype(dtype) for _ in range(2))
        loss = fl.multiple_negatives_ranking_loss
        value, (da, dp) = loss.value_and_grad(a, p, symmetric=True, reduction="none")
        one, (da1, dp1) = loss.value_and_grad(a, p, reduction="none")
        two, (dp2, da2) = loss.value_and_grad(p, a, reduction="none")
        eps = float(np.finfo(dtype).eps)
        assert value == pytest.approx((one + two) / 2, rel=8 * eps)
        assert da == pytest.approx((da1 + da2) / 2, abs=1e3 * eps)
        assert dp == pytest.approx((dp1 + dp2) / 2, abs=1e3 * eps)

    @pytest.mark.parametrize("symmetric", [False, True])
    def test_groups_leave_out_duplicates(self, symmetric, dtype, rng):
        """As if the duplicates were not there, for each row by itself."""
        a, p = (rng.standard_normal((12, 5)).astype(dtype) for _ in range(2))
        ids = np.array([5, -7, 5, 2**40, 5, -7, 1, 2, 3, 1, 2**40, 9])
        value = fl.multiple_negatives_ranking_loss(a, p, symmetric=symmetric, group_ids=ids, reduction="none")
        for i in range(12):
            keep = (ids != ids[i]) | (np.arange(12) == i)
            row = int(np.flatnonzero(keep).tolist().index(i))
            alone = fl.multiple_negatives_ranking_loss(a[keep], p[keep], symmetric=symmetric, reduction="none")[row]
            assert value[i] == pytest.approx(alone, rel=1e-5)

    def test_one_group_has_no_negatives(self, dtype, rng):
        a, p = (rng.standard_normal((30, 5)).astype(dtype) for _ in range(2))
        value, gradients = fl.multiple_negatives_ranking_loss.value_and_grad(a, p, group_ids=np.zeros(30, "i2"))
        assert value == 0
        assert all((g == 0).all() for g in gradients)

    def test_group_ids_that_do_not_fit(self, rng):
        a = rng.standard_normal((4, 3))
        for ids, error, text in (
            (np.ones(4), TypeError, "group_ids has dtype float64; expected integers"),
            (["a"] * 4, TypeError, "group_ids has dtype <U1"),
            ([1, 2, 3], ValueError, r"group_ids has shape \(3,\); expected \(4,\)"),
            (np.ones((4, 1), int), ValueError, r"group_ids has shape \(4, 1\)"),
        ):
            with pytest.raises(error, match=text):
                fl.multiple_negatives_ranking_loss(a, a, group_ids=ids)


class TestAgainstTorch:
    """The same numbers from automatic differentiation."""

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    def check(self, torch, ours, arrays, formula):
        leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
        expected = formula(*leaves)
        expected.backward()
        assert ours[0] == pytest.approx(expected.item(), rel=1e-9)
        for got, leaf in zip(ours[1], leaves, strict=False):
            np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=1e-7, atol=1e-10)

    @pytest.mark.parametrize("normalize", [False, True])
    def test_info_nce(self, torch, normalize, rng):
        functional = torch.nn.functional
        q, k, n = (rng.standard_normal((m, 8)) for m in (13, 13, 20))

        def unit(x):
            return functional.normalize(x, dim=-1) if normalize else x

        def in_batch(q, k):
            return functional.cross_entropy(unit(q) @ unit(k).T / 0.3, torch.arange(13))

        def shared(q, k, n):
            own = (unit(q) * unit(k)).sum(1, keepdim=True)
            scores = torch.cat([own, unit(q) @ unit(n).T], 1) / 0.3
            return functional.cross_entropy(scores, torch.zeros(13, dtype=torch.long))

        options = {"temperature": 0.3, "normalize": normalize}
        self.check(torch, fl.info_nce_loss.value_and_grad(q, k, **options), (q, k), in_batch)
        self.check(torch, fl.info_nce_loss.value_and_grad(q, k, n, **options), (q, k, n), shared)

    def test_symmetric_ranking(self, torch, rng):
        functional = torch.nn.functional
        a, p = (rng.standard_normal((13, 8)) for _ in range(2))

        def formula(a, p):
            scores = 20 * functional.normalize(a) @ functional.normalize(p).T
            return sum(functional.cross_entropy(s, torch.arange(13)) for s in (scores, scores.T)) / 2

        self.check(torch, fl.multiple_negatives_ranking_loss.value_and_grad(a, p, symmetric=True), (a, p), formula)

    def test_arcface(self, torch, rng):
        functional = torch.nn.functional
        x, centers, target = rng.standard_normal((13, 8)), rng.standard_normal((5, 8)), rng.integers(0, 5, 13)

        def formula(x, centers):
            cosine = functional.normalize(x) @ functional.normalize(centers).T
            onehot = functional.one_hot(torch.tensor(target), 5).double()
            return functional.cross_entropy(16 * torch.cos(torch.acos(cosine) + 0.4 * onehot), torch.tensor(target))

        ours = fl.arcface_loss.value_and_grad(x, centers, target, scale=16.0, margin=0.4)
        self.check(torch, ours, (x, centers), formula)
