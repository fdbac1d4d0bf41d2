"""The short ways of common calls to their kernels: what the general way returns, to the bit, and its errors.

A subclass of ndarray always takes the general way.
"""

from typing import Any

import numpy as np
import pytest
from cases import ACTIVATIONS, ALL, ROWWISE

import fastloss as fl
from fastloss import _core, _pointwise, _rowwise, _several
from fastloss._half import half_name

TYPES: list[Any] = [np.float32, np.float64, np.float16]
try:
    import ml_dtypes

    TYPES.append(ml_dtypes.bfloat16)
except ImportError:
    pass


class Other(np.ndarray):
    pass


def general(arrays: Any) -> list[Any]:
    return [a.view(Other) for a in arrays]


def flat(result: Any) -> list[Any]:
    return [a for r in result for a in (flat(r) if isinstance(r, tuple) else [r])]


def bits(result: Any) -> list[Any]:
    return [
        (a.dtype, a.shape, a.tobytes()) if isinstance(a, np.ndarray) else np.float64(a).tobytes() for a in flat(result)
    ]


def arrays_of(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[Any, ...]:
    if case.kind == "several":
        return tuple(case.arrays(rng, case.shapes[1], dtype, {}))
    if half_name(np.dtype(dtype)) is None:
        return case.arrays(rng, (12, 5), dtype)
    with np.errstate(over="ignore"):
        return tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in case.arrays(rng, (12, 5), np.float32))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fails the test where a call takes the general way, until the fixture is called."""

    def refuse(*arguments: Any, **keywords: Any) -> Any:
        pytest.fail("the general way")

    monkeypatch.setattr(_pointwise, "general", refuse)
    monkeypatch.setattr(_rowwise, "general", refuse)
    monkeypatch.setattr(_several.arguments, "check_reduction", refuse)
    return monkeypatch.undo


SHORT = [case for case in ALL if case.name != "cross_entropy"]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", TYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_same_bits(case: Any, dtype: Any, reduction: str, rng: np.random.Generator, short: Any) -> None:
    if half_name(np.dtype(dtype)) and case.kind == "several":
        pytest.skip("half types have the short way of other losses alone")
    loss = getattr(fl, case.name)
    arrays = arrays_of(case, rng, dtype)
    want = [loss(*arrays, reduction=reduction), loss.value_and_grad(*arrays, reduction=reduction)]
    made = want[1][1:] if case.kind != "several" else want[1][1]
    if case.name == "ge2e_loss":
        places: Any = np.empty_like(made[0])  # the other derivatives are floats
    elif isinstance(made, tuple):
        places = tuple(np.empty_like(g) for g in made)
        places = places[0] if case.kind != "several" else places
    else:
        places = np.empty_like(made)
    into = loss.value_and_grad(*arrays, reduction=reduction, grad_out=places)
    assert bits(into) == bits(want[1])
    assert any(into[1] is p or into[1][0] is p for p in (places, places[0]))
    assert not isinstance(places, tuple) or all(a is b for a, b in zip(into[1], places, strict=True))
    own = [a.copy() for a in arrays]
    several = isinstance(places, tuple)
    in_place = (
        loss.value_and_grad(*own, reduction=reduction, grad_out=(own[0], *places[1:]) if several else own[0])
        if case.name != "margin_ranking_loss"
        else into
    )
    assert bits(in_place) == bits(want[1])
    short()
    assert bits([loss(*general(arrays), reduction=reduction)]) == bits(want[:1])
    assert bits(loss.value_and_grad(*general(arrays), reduction=reduction)) == bits(want[1])


@pytest.mark.parametrize("name", ["categorical_cross_entropy", "kl_divergence"])
@pytest.mark.parametrize("dtype", TYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (4,), (300, 40)])
def test_probabilities_of_any_shape(
    name: str, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator, short: Any
) -> None:
    loss = getattr(fl, name)
    x, t = (rng.dirichlet(np.ones(shape[-1]), shape[:-1]).astype(dtype) for _ in range(2))
    results = [loss.value_and_grad(x, t)]
    if name == "kl_divergence":
        logits = np.log(x + x.dtype.type(2**-8))
        results.append(loss.value_and_grad(logits, t, from_logits=True))
    short()
    expected = [loss.value_and_grad(*general([x, t]))]
    if name == "kl_divergence":
        expected.append(loss.value_and_grad(*general([logits, t]), from_logits=True))
    assert bits(results) == bits(expected)


@pytest.mark.parametrize("dtype", [*TYPES[2:], fl.bfloat16_bits], ids=str)
@pytest.mark.parametrize("shape", [(3, 4), (130, 10), (5, 3000), (4, 1)], ids=str)
def test_cross_entropy_of_half_types(shape: Any, dtype: Any, rng: np.random.Generator, short: Any) -> None:
    x = rng.standard_normal(shape).astype(np.float32)
    x = x.astype(dtype) if dtype != fl.bfloat16_bits else (x.view(np.uint32) >> 16).astype(np.uint16).view(dtype)
    t = rng.integers(0, shape[1], shape[0])
    t[-1] = -100 if shape[0] > 3 else 0
    p = rng.dirichlet(np.ones(shape[1]), shape[0]).astype(np.float32)
    p = p.astype(dtype) if dtype != fl.bfloat16_bits else (p.view(np.uint32) >> 16).astype(np.uint16).view(dtype)
    place, own = np.empty_like(x), x.copy()
    found = [fl.cross_entropy(x, t), fl.cross_entropy.value_and_grad(x, t, grad_out=place, reduction="sum")]
    assert found[1][1] is place
    in_place = fl.cross_entropy.value_and_grad(own, t, grad_out=own, reduction="sum")
    soft = [fl.cross_entropy(x, p), fl.cross_entropy.value_and_grad(x, p)]
    short()
    expected = [fl.cross_entropy(*general([x, t])), fl.cross_entropy.value_and_grad(*general([x, t]), reduction="sum")]
    assert bits((*found,)) == bits((*expected,))
    expected_soft = [fl.cross_entropy(*general([x, p])), fl.cross_entropy.value_and_grad(*general([x, p]))]
    assert bits((*soft,)) == bits((*expected_soft,))
    assert bits(in_place) == bits(expected[1])
    if len(TYPES) > 3 and x.dtype in (TYPES[3], fl.bfloat16_bits):
        another = np.empty(shape, fl.bfloat16_bits if dtype == TYPES[3] else TYPES[3])
        with pytest.raises(TypeError, match="grad_out has dtype"):
            fl.cross_entropy.value_and_grad(x, t, grad_out=another)


@pytest.mark.parametrize("kind", [bool, np.int8, np.int64, np.uint8, np.float16, np.float32, np.float64])
def test_labels_of_pairs_of_any_type(kind: Any, rng: np.random.Generator, short: Any) -> None:
    x1, x2 = rng.standard_normal((2, 9, 4))
    zero_one = rng.integers(0, 2, 9).astype(kind)
    found = [fl.contrastive_loss.value_and_grad(x1, x2, zero_one, similar_label=k) for k in (0, 1)]
    signs = zero_one
    if np.issubdtype(kind, np.signedinteger) or np.issubdtype(kind, np.floating):
        signs = (2 * zero_one - 1).astype(kind)
        found.append(fl.cosine_embedding_loss.value_and_grad(x1, x2, signs, margin=0.1))
    short()
    given = general([x1, x2, zero_one])
    expected = [fl.contrastive_loss.value_and_grad(*given, similar_label=k) for k in (0, 1)]
    if signs is not zero_one:
        expected.append(fl.cosine_embedding_loss.value_and_grad(*general([x1, x2, signs]), margin=0.1))
    assert bits(found) == bits(expected)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("shape", [(4,), (9, 4), (2, 3, 5), (700, 70)])
def test_centers_of_labels_of_any_integer_type(
    shape: tuple[int, ...], kind: Any, rng: np.random.Generator, short: Any
) -> None:
    x, centers = rng.standard_normal(shape), rng.standard_normal((7, shape[-1]))
    target = np.asarray(rng.integers(0, 7, shape[:-1]), kind)  # of one embedding too
    found = fl.center_loss.value_and_grad(x, centers, target)
    short()
    assert bits(found) == bits(fl.center_loss.value_and_grad(*general([x, centers, target])))


def test_centers_that_have_no_short_way(rng: np.random.Generator) -> None:
    """Their results and errors are those of the general way, and so is what they leave in the arrays."""
    x, centers = rng.standard_normal((6, 4)), rng.standard_normal((3, 4))
    memory = np.zeros((4, 4))
    memory[1:] = centers
    target, full = np.array([0, 2, 1, 1, 0, 2]), np.empty_like(centers)
    right: list[tuple[tuple[Any, ...], Any]] = [
        ((x, centers.astype(np.float32), target), None),
        ((x, centers.T.copy().T, target), None),
        ((x[::2], centers, target[::2]), None),
        ((x.T.copy().T, centers, target), None),
        ((x, centers, np.repeat(target, 2)[::2]), None),
        ((x, centers, target.astype(">i8")), None),
        ((x[:0], centers, target[:0]), None),
        ((x, centers, target), (x.T.copy().T, None)),
        ((x, centers, target), (None, full.T.copy().T)),
        ((x, centers, target), [None, full]),
    ]
    wrong: list[tuple[tuple[Any, ...], Any]] = [
        ((x, centers, target == 1), None),
        ((x, centers, target.astype(float)), None),
        ((x, centers, target + 1), None),  # beyond the last center
        ((x, centers, target.astype(np.uint64) - 1), None),
        ((x, centers, target[:, None]), None),
        ((x, centers, target[:5]), None),
        ((x, centers[:0], target), None),
        ((x, centers[:, :3].copy(), target), None),
        ((x, centers[0], target), None),
        ((x, centers, target), (None, centers)),  # the first alone may be overwritten
        ((x, memory[1:], target), (None, memory[:3])),
        ((x, centers, target), (None, x[:3])),
        ((x, centers, target), (x, x[:3])),
        ((x, centers, target), (None, np.empty((4, 4)))),
        ((x, centers, target), (None, np.empty((3, 4), np.float32))),
        ((x, centers, target), (None, None, None)),
        ((x, centers, target), full),
    ]
    for k, (arrays, places) in enumerate([*right, *wrong]):
        kept = [np.array(a) for a in arrays]
        found = outcome(fl.center_loss, arrays, grad_out=places)
        assert found == outcome(fl.center_loss, general(arrays), grad_out=places), k
        assert isinstance(found, tuple) == (k >= len(right)), k
        assert bits(arrays) == bits(kept), k
        if k < len(right):
            assert bits([fl.center_loss(*arrays)]) == bits([fl.center_loss(*general(arrays))]), k


def test_parameters_are_those_of_the_call(rng: np.random.Generator) -> None:
    arrays = rng.standard_normal((3, 9, 4)).astype(np.float32)
    for given in ({"margin": 0.5}, {}, {"p": 1}, {"p": np.inf, "swap": True}, {"margin": 2}, {"squared": True}, {}):
        found = fl.triplet_margin_loss.value_and_grad(*arrays, **given)
        assert bits(found) == bits(fl.triplet_margin_loss.value_and_grad(*general(arrays), **given)), given
    for wrong in ({"margin": -1.0}, {"margin": True}, {"p": 0.5}, {"squared": 1}, {"margin": np.nan}):
        messages = []
        for call in (list(arrays), general(arrays)):
            with pytest.raises((TypeError, ValueError)) as error:
                fl.triplet_margin_loss(*call, **wrong)
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def outcome(loss: Any, arrays: Any, **keywords: Any) -> Any:
    try:
        return bits(loss.value_and_grad(*arrays, **keywords))
    except (TypeError, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_same_errors(case: Any, rng: np.random.Generator) -> None:
    loss = getattr(fl, case.name)
    arrays = list(arrays_of(case, rng, np.float32))
    gradients = loss.value_and_grad(*arrays)[1]
    several = isinstance(gradients, tuple) and case.name != "ge2e_loss"
    first = arrays[0]
    frozen, memory = np.empty_like(first), np.zeros(first.size + 1, np.float32)
    frozen.flags.writeable = False
    shifted = memory[1:].reshape(first.shape)
    shifted[...] = first
    negative, nothing = arrays[-1].copy(), arrays[-1].copy()
    negative.flat[3] = -5
    nothing.flat[1] = np.nan if nothing.dtype.kind == "f" else -1
    beyond = first.copy()
    beyond.flat[2] = -5.0
    given_or_wrong = [([*arrays[:-1], negative], None), ([*arrays[:-1], nothing], None), ([beyond, *arrays[1:]], None)]
    wrong: list[tuple[list[Any], Any]] = [
        (arrays, frozen),
        (arrays, np.empty(first.shape, np.float64)),
        (arrays, np.empty((*first.shape, 1), np.float32)),
        ([shifted, *arrays[1:]], memory[:-1].reshape(first.shape)),  # overlaps the prediction
    ]
    fewer = [*arrays[:-1], arrays[-1][:-1]]
    (given_or_wrong if case.name in ("info_nce_loss", "ge2e_loss") else wrong).append((fewer, None))
    if arrays[-1].dtype == np.float32 and arrays[-1].shape == first.shape and len(arrays) > 1:
        wrong.append((arrays, arrays[-1]))  # is the target
    if arrays[-1].dtype.kind in "iu":
        labels = arrays[-1].copy()
        labels.flat[3] = 77
        wrong.append(([*arrays[:-1], labels], None))
    for number, (given, place) in enumerate([*given_or_wrong, *wrong]):
        keywords = {} if place is None else {"grad_out": (place, *[None] * (len(gradients) - 1)) if several else place}
        kept = [np.array(a) for a in given]
        found = outcome(loss, given, **keywords)
        assert found == outcome(loss, general(given), **keywords)
        assert isinstance(found, tuple) or number < len(given_or_wrong)
        for a, b in zip(given, kept, strict=True):
            np.testing.assert_array_equal(a, b)
    if several:
        places = (None, first, *[None] * (len(gradients) - 2))
        found = outcome(loss, arrays, grad_out=places)
        assert isinstance(found, tuple)
        assert found == outcome(loss, [*general(arrays)], grad_out=places)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (70, 900)])
def test_activations(name: str, dtype: Any, shape: tuple[int, ...], rng: np.random.Generator,
                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    call = getattr(fl, name)
    if name == "logsumexp" and half_name(np.dtype(dtype)):
        pytest.skip("half types have the short way of the others alone")
    x = (rng.standard_normal(shape) * 20).astype(dtype)
    x.flat[2] = np.inf
    x.flat[4] = -np.inf
    expected = call(x.view(Other))

    def refuse(*arguments: Any) -> Any:
        pytest.fail("the general way")

    monkeypatch.setattr(_core, "elementwise", refuse)
    monkeypatch.setattr(_core, "softmax_rows", refuse)
    out = np.empty_like(expected)
    found = call(x, out=out)
    assert found is out
    assert bits([found]) == bits([call(x)]) == bits([np.asarray(expected)])
    if name != "logsumexp":
        own = x.copy()
        assert bits([call(own, out=own)]) == bits([found])
    monkeypatch.undo()
    memory = np.zeros(x.size + 1, dtype)
    wrong = [np.empty(shape, np.int16), np.empty((*shape, 2), dtype)]
    if name != "logsumexp":
        wrong.append(memory[1:].reshape(shape))
    for place in wrong:
        messages = []
        for array in (memory[:-1].reshape(shape), memory[:-1].reshape(shape).view(Other)):
            with pytest.raises((TypeError, ValueError)) as error:
                call(array, out=place)
            messages.append(str(error.value))
        assert messages[0] == messages[1]


@pytest.mark.parametrize("case", ROWWISE, ids=lambda case: case.name)
def test_rows_without_labels_that_count(case: Any) -> None:
    if case.targets == "probabilities":
        pytest.skip("no labels")
    x, t = np.full((3, 4), 0.25, np.float32), np.full(3, -100)
    assert np.isnan(getattr(fl, case.name)(x, t))
    assert getattr(fl, case.name)(x, t, reduction="sum") == 0.0
