"""The native kernels, the NumPy reference, and both compared: same types, same errors, and a mismatch is found."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from arrays import layouts
from cases import ACTIVATIONS, CASES
from compare import results_of, rounds_to_a_kink, same_bits
from inputs import INF, NAN, soft_targets

import fastloss as fl
from fastloss.reference._reduce import RowwiseLoss, Terms

BACKENDS = ("native", "reference", "check")


def id_of(case):
    return getattr(case, "name", None)


@pytest.fixture
def calls(rng):
    """Calls of every loss with every parameter setting and reduction."""

    def every(case, dtype):
        shape = (20, 7)
        for setting in case.parameters:
            parameters = case.resolved(setting, shape)
            x, t = case.arrays(rng, shape, dtype, parameters)
            # Weighted results may be finite where the kernel's unweighted ones overflow; Hessians jump at kinks.
            x = case.tamed(np.where(rounds_to_a_kink(case, x, t, parameters), x.dtype.type(0.5), x))
            rows = case.rows(shape)
            targets = (t, soft_targets(rng, shape, dtype)) if case.targets == "either" else (t,)
            for target in targets:
                for reduction in ("mean", "sum", "none"):
                    common = {"reduction": reduction, **parameters}
                    yield (x, target), common
                    yield (x, target), common | {"sample_weight": rng.uniform(0, 2, rows), "grad_output": -0.5}

    return every


@pytest.mark.parametrize("case", CASES, ids=id_of)
def test_check_finds_nothing(case, dtype, isa, calls):
    """It returns the native result, bit for bit."""
    loss = getattr(fl, case.name)
    for arrays, keywords in calls(case, dtype):
        native = results_of(case.name, *arrays, **keywords)
        with fl.backend("check"):
            assert same_bits(results_of(case.name, *arrays, **keywords), native)
            in_place = arrays[0].copy()
            pair = loss.value_and_grad(in_place, arrays[1], grad_out=in_place, **keywords)
            assert same_bits(pair, native[:2])


@pytest.mark.parametrize("case", CASES, ids=id_of)
def test_reference_returns_the_same_kind_of_thing(case, dtype, calls):
    for arrays, keywords in calls(case, dtype):
        native = results_of(case.name, *arrays, **keywords)
        outputs = {name: np.empty_like(arrays[0]) for name in ("grad_out", "hess_out")[: len(native) - 1]}
        with fl.backend("reference"):
            results = results_of(case.name, *arrays, **keywords, **outputs)
        assert all(result is output for result, output in zip(results[1:], outputs.values(), strict=True))
        for got, want in zip(results, native, strict=True):
            assert type(got) is type(want)
            assert np.shape(got) == np.shape(want)
            assert np.asarray(got).dtype == np.asarray(want).dtype


@pytest.mark.parametrize("case", CASES, ids=id_of)
@pytest.mark.parametrize("backend", BACKENDS)
def test_layouts_and_extremes(case, backend, dtype, rng):
    x, t = case.arrays(rng, (6, 5), dtype)
    loss = getattr(fl, case.name)
    with fl.backend(backend):
        for _, view in layouts(x):
            if not isinstance(view, list):
                loss.value_and_grad(view, t)
        loss.value_and_grad(np.full((6, 5), 0.5, dtype), t)
        half = loss.value_and_grad(np.full((6, 5), 0.5, np.float16), t, reduction="none")
        assert half[0].dtype == half[1].dtype == np.float16
        assert loss(np.zeros((0, 5), dtype), t[:0], reduction="sum") == 0
        for extreme in case.extremes:
            if extreme.dtype in (None, dtype.name):
                with np.errstate(over="ignore"):
                    element = np.array([extreme.prediction]).astype(dtype), np.array([extreme.target]).astype(dtype)
                loss.value_grad_hess(*element, reduction="none", **extreme.parameters)
        if case.name == "cross_entropy":
            logits = np.full((5, 4), 1.0, dtype)
            logits[0, 0], logits[1, 0], logits[2, :2], logits[3], logits[4, 1] = INF, -INF, INF, -INF, NAN
            for options in ({}, {"label_smoothing": 0.1}, {"logit_softcap": 2.0}):
                for labels in ([0, 0, 1, 2, 3], [1, 1, 3, -100, -100], np.eye(4)[[0, 1, 2, 3, 0]]):
                    loss.value_grad_hess(logits, np.array(labels), reduction="none", **options)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_activations(name, backend, dtype, rng):
    x = (5 * rng.standard_normal((7, 9))).astype(dtype)
    x[0, 0], x[1, 1], x[2] = INF, NAN, -INF
    native = getattr(fl, name)(x)
    with fl.backend(backend):
        in_place = x.copy()
        out = in_place if native.shape == x.shape else np.empty(native.shape, dtype)
        result = getattr(fl, name)(in_place, out=out)
        assert result is out
        assert result.dtype == dtype
        assert result == pytest.approx(native, rel=16 * float(np.finfo(dtype).eps), nan_ok=True)
        assert getattr(fl, name)(np.ones((2, 2), np.float16)).dtype == np.float16


def planted(twin, which, change):
    """The reference with one result changed."""

    def formula(*arrays, **parameters):
        terms = twin.formula(*arrays, **parameters)
        fields = {k: getattr(terms, k) for k in Terms.__dataclass_fields__}
        return Terms(**fields | {which: change(fields[which].copy())})

    formula.__name__ = twin.__name__
    options = {"targets": twin.targets, "hessian": twin.hessian} if isinstance(twin, RowwiseLoss) else {}
    return type(twin)(formula, **options)


@pytest.mark.parametrize("case", CASES, ids=id_of)
@pytest.mark.parametrize(("which", "word"), [("value", "value"), ("grad", "gradient"), ("hess", "Hessian")])
def test_a_planted_difference_is_found(case, which, word, dtype, monkeypatch, rng):
    """MismatchError names the loss, the result, the worst element, both numbers and the bound."""
    if which == "hess" and not case.has_hessian:
        return
    x, t = case.arrays(rng, (9, 5), dtype)
    x = np.clip(case.tamed(x), 0.125, 1)
    t = np.zeros_like(t) if case.rowwise else np.ones_like(t)
    # Where a result is a difference of nearly equal numbers the bound is in units of the larger one, at most 1 here.
    shift = 40 * np.finfo(dtype).eps

    def change(array):
        array[(2, 3)[: array.ndim]] += shift * max(1.0, abs(float(array[(2, 3)[: array.ndim]])))
        return array

    loss = getattr(fl, case.name)
    at = r"\(2, 3\)" if not (case.rowwise and which == "value") else r"\(2,\)"
    with fl.backend("check"):
        results_of(case.name, x, t, reduction="none")
        monkeypatch.setattr(fl.reference, case.name, planted(getattr(fl.reference, case.name), which, change))
        with pytest.raises(
            fl.MismatchError,
            match=rf"^{case.name}: {word} of arrays of shape \(9, 5\) \({dtype}\).*{at}: native .*, reference .*bound",
        ):
            results_of(case.name, x, t, reduction="none")
    assert issubclass(fl.MismatchError, AssertionError)
    assert np.isfinite(loss(x, t))


@pytest.mark.parametrize("bad", [NAN, INF, 1e30])
def test_a_result_that_is_not_finite_is_found(bad, monkeypatch):
    def change(array):
        array[1] = bad
        return array

    monkeypatch.setattr(fl.reference, "mse_loss", planted(fl.reference.mse_loss, "grad", change))
    with fl.backend("check"), pytest.raises(fl.MismatchError, match=r"index \(1,\)"):
        fl.mse_loss.value_and_grad([1.0, 2.0], [0.0, 0.0])


def test_an_activation_that_differs_is_found(monkeypatch):
    monkeypatch.setattr(fl.reference, "sigmoid", lambda x: np.full(np.shape(x), 0.25))
    with fl.backend("check"), pytest.raises(fl.MismatchError, match=r"^sigmoid: value"):
        fl.sigmoid([0.0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_are_the_same(backend):
    with fl.backend(backend):
        for call, message in (
            (lambda: fl.cross_entropy(np.zeros((2, 3)), [0, 3]), r"target\[1\] = 3 is outside \[0, 3\)"),
            (lambda: fl.hinge_loss([1.0, 1.0], [1.0, 0.0]), r"target\[1\] = 0.0 .*2 \* y - 1"),
            (lambda: fl.binary_cross_entropy([1.5], [1.0]), r"prediction\[0\] = 1.5"),
            (lambda: fl.huber_loss([1.0], [1.0], delta=0), "delta = 0"),
            (lambda: fl.mse_loss([1.0], [[1.0]]), r"\(1, 1\)"),
            (lambda: fl.mse_loss([1.0], [1.0], sample_weight=[-1.0]), r"sample_weight\[0\] = -1.0"),
        ):
            with pytest.raises(ValueError, match=message):
                call()


def test_set_backend_and_context():
    assert fl.get_backend() == "native"
    with pytest.raises(ValueError, match=r"backend = 'fast' is unknown.*'native', 'reference' or 'check'"):
        fl.set_backend("fast")
    with pytest.raises(ValueError, match="backend = None"), fl.backend(None):
        pass
    try:
        fl.set_backend("check")
        assert fl.get_backend() == "check"
        with fl.backend("reference"):
            assert fl.get_backend() == "reference"
            seen = []
            thread = threading.Thread(target=lambda: seen.append(fl.get_backend()))
            thread.start()
            thread.join()
            assert seen == ["check"]  # the context is this thread's alone
        assert fl.get_backend() == "check"
    finally:
        fl.set_backend("native")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("reference", "reference"), ("check", "check"), ("", "native"), ("fast", "FASTLOSS_BACKEND = 'fast' is unknown")],
)
def test_environment(value, expected):
    result = subprocess.run(
        [sys.executable, "-c", "import fastloss as fl; print(fl.get_backend(), fl.mse_loss([1.0], [0.0]))"],
        env={**os.environ, "FASTLOSS_BACKEND": value},
        capture_output=True,
        text=True,
        check=False,
    )
    if value == "fast":
        assert result.returncode == 1
        assert expected in result.stderr
    else:
        assert result.stdout.split() == [expected, "1.0"], result.stderr
