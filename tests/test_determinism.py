"""The same bits for any number of threads and on every instruction set with FMA; baseline within the bound."""

import numpy as np
import pytest
from cases import ACTIVATIONS, CASES
from compare import relative_error, results_of, same_bits, truth, ulps
from conftest import FMA_ISAS, ISAS

import fastloss as fl
from fastloss import _core

# Large enough that a team is used (30 microseconds of work), not a multiple of anything.
ELEMENTS, ROWS = (400_003,), ((3001, 67), (20_011, 5), (1777, 300))
THREADS = (1, 2, 3, 7)


def every_result(case, shape, dtype, seed=5):
    """Results of all entry points and reductions, with weights and without."""
    rng = np.random.default_rng(seed)
    loss = getattr(fl, case.name)
    x, t = case.arrays(rng, shape, dtype)
    weight = rng.uniform(0, 2, case.rows(shape)).astype(dtype)
    parameters = case.resolved(case.parameters[-1], shape)
    results = {"arrays": (x, t)}
    for reduction in ("mean", "sum", "none"):
        results[reduction] = results_of(case.name, x, t, reduction=reduction)
        results[reduction, "weighted"] = loss.value_and_grad(
            case.fit(parameters, x), t, sample_weight=weight, reduction=reduction, **parameters
        )
    if case.rowwise:
        moved = np.ascontiguousarray(x.T)
        results["axis 0"] = loss.value_and_grad(moved, case.moved(t, 0), axis=0)
    return results


SHAPES = [(case, shape) for case in CASES for shape in (ROWS if case.rowwise else (ELEMENTS,))]


@pytest.mark.parametrize(("case", "shape"), SHAPES, ids=lambda v: getattr(v, "name", str(v)))
@pytest.mark.usefixtures("any_isa")
def test_threads_and_instruction_sets(case, shape, dtype):
    first = None
    for name in FMA_ISAS:
        _core.isa_select(name)
        for n in THREADS if name == FMA_ISAS[0] else (1, 2):
            with fl.num_threads(n):
                results = every_result(case, shape, dtype)
            first = first or results
            for what, result in results.items():
                assert same_bits(result, first[what]), (name, n, what)


@pytest.mark.parametrize(("case", "shape"), SHAPES, ids=lambda v: getattr(v, "name", str(v)))
def test_threads_on_every_instruction_set(case, shape, isa):
    """Baseline too, whose bits are its own."""
    with fl.num_threads(1):
        alone = every_result(case, shape, np.float32)
    with fl.num_threads(3):
        assert all(same_bits(r, alone[k]) for k, r in every_result(case, shape, np.float32).items())


@pytest.mark.skipif("baseline" not in ISAS, reason="no baseline on this architecture")
@pytest.mark.parametrize(("case", "shape"), SHAPES, ids=lambda v: getattr(v, "name", str(v)))
@pytest.mark.usefixtures("any_isa")
def test_baseline_agrees_within_the_bound(case, shape, dtype):
    """Two results that each keep the bound differ by no more than twice the bound."""
    _core.isa_select("baseline")
    base = every_result(case, shape, dtype)
    _core.isa_select(_core.isa_best())
    best = every_result(case, shape, dtype)
    few = 4000 if not case.rowwise else 60
    x, t = (a[:few] for a in base["arrays"])
    scale = truth(case.name, x, t, {}, dtype, reduction="none")
    scales = (scale.value_scale, scale.grad_scale, scale.hess_scale)
    for a, b, s, bound in zip(base["none"], best["none"], scales, case.bounds({}), strict=False):
        assert ulps(a[:few], b[:few], s, dtype).max() <= 2 * bound
    for reduction in ("mean", "sum"):
        got, want = base[reduction][0], best[reduction][0]
        assert relative_error(got, want) <= 2 * case.ulps * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.usefixtures("any_isa")
def test_activations(name, dtype):
    rng = np.random.default_rng(9)
    for shape in ((20_003, 5), (301, 1201)):
        x = (10 * rng.standard_normal(shape)).astype(dtype)
        first = None
        for isa in FMA_ISAS:
            _core.isa_select(isa)
            for n in THREADS:
                with fl.num_threads(n):
                    result = getattr(fl, name)(x)
                first = result if first is None else first
                assert same_bits(result, first)


def test_same_call_twice(rng):
    """Nothing depends on what lay in memory before."""
    for case in CASES:
        x, t = case.arrays(rng, (40, 37), np.float32)
        first = results_of(case.name, x, t, reduction="none")
        noise = [np.full(40 * 37 + k, np.nan, np.float32) for k in range(20)]
        del noise
        assert same_bits(results_of(case.name, x, t, reduction="none"), first)


@pytest.mark.parametrize("shape", [(1, 300_001), (3, 250_002), (2, 2, 131_072)])
@pytest.mark.parametrize("what", ["plain", "options", "infinite", "ignored"])
def test_few_long_rows_shared_among_threads(shape, what, dtype, isa, rng):
    """A row is worked on by the whole team where there are too few to share out; one thread does the same."""
    x = (5 * rng.standard_normal(shape)).astype(dtype)
    t = rng.integers(0, shape[-1], shape[:-1])
    first, options = (0,) * (len(shape) - 1), {}
    if what == "options":
        options = {"temperature": 0.7, "class_weight": rng.uniform(0, 2, shape[-1]).astype(dtype), "reduction": "none",
                   "sample_weight": rng.uniform(0, 2, shape[:-1]).astype(dtype)}  # fmt: skip
    elif what == "infinite":
        x[first][::7] = -np.inf
        x[first][17] = np.inf
    elif what == "ignored":
        t[first] = -100
    results = []
    for n in THREADS:
        with fl.num_threads(n):
            own = x.copy()
            results.append((fl.cross_entropy(x, t, **options), *fl.cross_entropy.value_and_grad(x, t, **options),
                            *fl.cross_entropy.value_and_grad(own, t, grad_out=own, **options)))  # fmt: skip
    assert all(same_bits(result, results[0]) for result in results)
    value, grad = fl.reference.cross_entropy.value_and_grad(x, t, **options)
    np.testing.assert_allclose(results[0][1], value, rtol=1e-5)
    np.testing.assert_allclose(results[0][2], grad, rtol=1e-4, atol=1e-6 * np.nanmax(np.abs(grad)))
