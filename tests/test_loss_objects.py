"""What a loss object is: signatures, pickles, copies, names, docstrings, stubs."""

import copy
import importlib
import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest
from cases import ALL, BY_NAME

import fastloss as fl
from fastloss import _stubs
from fastloss._loss import Loss

COMMON = ["sample_weight", "reduction", "denominator", "grad_output", "out", "grad_out", "hess_out"]
KEYWORDS = {
    "__call__": ["sample_weight", "reduction", "denominator", "out"],
    "value_and_grad": ["sample_weight", "reduction", "denominator", "grad_output", "out", "grad_out"],
    "value_grad_hess": COMMON,
}
DEFAULTS = dict.fromkeys(COMMON) | {"reduction": "mean"}
NAMES = sorted(name for name in fl.__all__ if isinstance(getattr(fl, name), Loss))


@pytest.fixture(params=NAMES)
def loss(request):
    return getattr(fl, request.param)


def test_there_are_losses():
    assert set(NAMES) == {name for case in ALL for name in (case.name, *case.aliases)}


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_aliases(case):
    for alias in case.aliases:
        assert getattr(fl, alias) is getattr(fl, case.name)
        assert getattr(fl.reference, alias) is getattr(fl.reference, case.name)


@pytest.mark.parametrize("entry", KEYWORDS)
def test_signature(loss, entry):
    """Arrays are positional-only, prediction first; everything else is keyword-only, the loss's own first."""
    if not hasattr(loss, entry):
        return
    signature = inspect.signature(getattr(loss, entry))
    parameters = list(signature.parameters.values())
    n = len(loss.arrays)
    assert [p.kind for p in parameters[:n]] == [inspect.Parameter.POSITIONAL_ONLY] * n
    assert loss.kind == "several" or [p.name for p in parameters[:n]] in [
        [first, "target"] for first in ("prediction", "logits", "probabilities")
    ]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters[n:])
    names = [p.name for p in parameters]
    assert names[-len(KEYWORDS[entry]) :] == KEYWORDS[entry]
    assert all(p.default == DEFAULTS[p.name] for p in parameters if p.name in DEFAULTS)
    assert all(p.default is not p.empty for p in parameters[n:])
    own = names[n : -len(KEYWORDS[entry])]
    twin = list(inspect.signature(getattr(fl.reference, loss.__name__)).parameters.values())
    assert {p.name: p.default for p in twin if p.name in own} == {k: signature.parameters[k].default for k in own}
    assert inspect.signature(loss) == inspect.signature(loss.__call__)


def test_signature_of_denominator(loss):
    parameters = inspect.signature(loss.denominator).parameters
    first = next(iter(parameters))
    assert first == "target" or (first in loss.arrays and "target" not in loss.arrays)
    assert parameters[first].kind is inspect.Parameter.POSITIONAL_ONLY
    assert list(parameters)[-1] == "sample_weight"
    own = inspect.signature(loss).parameters
    assert all(own[k].default == p.default for k, p in parameters.items() if k != first)


def test_wrong_calls(loss):
    arrays = [[1.0]] * len(loss.arrays)
    named = dict(zip(loss.arrays, arrays, strict=True))
    for wrong in (lambda: loss(), lambda: loss(*arrays, 1.0), lambda: loss(**named)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError, match="beat"):
        loss(*arrays, beat=1)
    with pytest.raises(TypeError, match="grad_out"):
        loss(*arrays, grad_out=np.empty(1))
    with pytest.raises(TypeError, match="hess_out"):
        loss.value_and_grad(*arrays, hess_out=np.empty(1))


def test_pickle_copy_and_names(loss):
    assert pickle.loads(pickle.dumps(loss)) is loss
    assert copy.copy(loss) is loss
    assert copy.deepcopy([loss])[0] is loss
    assert repr(loss) == f"fastloss.{loss.__name__}"
    assert getattr(fl, loss.__name__) is loss
    assert loss.__module__ == "fastloss"
    assert loss.value_and_grad.__qualname__ == f"{loss.__name__}.value_and_grad"
    assert callable(loss)


def test_attributes(loss):
    case = next(c for c in ALL if loss.__name__ == c.name)
    assert hasattr(loss, "value_grad_hess") == case.has_hessian
    assert not hasattr(loss, "value_and_hess")
    with pytest.raises(AttributeError, match=f"fastloss.{loss.__name__} has no attribute 'value_and_hess'"):
        loss.value_and_hess
    with pytest.raises(AttributeError):
        loss.something = 1


def test_a_loss_without_a_hessian_says_so():
    class NoHessian(Loss):
        _name = "example_loss"

    assert not hasattr(NoHessian(), "value_grad_hess")
    with pytest.raises(AttributeError, match=r"example_loss has no value_grad_hess: .*Hessian"):
        NoHessian().value_grad_hess


def test_results_have_the_promised_types(loss, dtype):
    if loss.kind == "several":  # test_several.py
        return
    case = BY_NAME[loss.__name__]
    x = np.full((2, 2), 0.5, dtype)
    labels = case.plain_target(x)
    for reduction in ("mean", "sum"):
        assert type(loss(x, labels, reduction=reduction)) is float
    value = loss(x, labels, reduction="none")
    assert type(value) is np.ndarray
    assert value.dtype == dtype
    assert type(loss.denominator(labels)) is float
    pair = loss.value_and_grad(x, labels)
    assert (type(pair), len(pair)) == (tuple, 2)
    if case.has_hessian:
        triple = loss.value_grad_hess(x, labels)
        assert (type(triple), len(triple)) == (tuple, 3)
    one = (x[0], labels[0]) if case.rowwise else (x[0, 0], labels.flat[0])
    scalar = loss.value_and_grad(*one, reduction="none")
    assert type(scalar[0]) is np.ndarray
    assert scalar[0].shape == ()


@pytest.mark.parametrize("module", _stubs.MODULES)
def test_stubs_are_current(module):
    """After a change of a declaration: python -m fastloss._stubs."""
    path = Path(importlib.import_module(f"fastloss.{module}").__file__).with_suffix(".pyi")
    assert path.read_text(encoding="utf-8") == _stubs.stub(module)
