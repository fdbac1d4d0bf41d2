"""Pointwise losses of float16 and bfloat16 whose values are wanted as a sum: kernels take such arrays as they are, in
loops of their own where all are of the type and a gradient is wanted, else a piece at a time. Every mixture of what
they take and what is converted before gives the sum and gradient of float32.
"""

from typing import Any

import numpy as np
import pytest
from cases import POINTWISE
from test_half import EVERY, HALF, HALF_IDS, TYPES, assert_same, default_parameters, inputs_of, narrowed

import fastloss as fl
from fastloss._half import widened
from fastloss._pointwise import _outside

SIZES = [1, 127, 128, 130, 256, 1000, 1024, 3333]
ARRAYS = {
    "as they are": lambda a: a,
    "every second": lambda a: np.repeat(a, 2)[::2],
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype),
}


def outcomes(loss: Any, x: Any, t: Any, **options: Any) -> tuple[float, Any]:
    value, grad = loss.value_and_grad(x, t, reduction="sum", **options)
    assert loss(x, t, reduction="sum", **{k: v for k, v in options.items() if k != "grad_out"}) == pytest.approx(
        value, rel=1e-12, nan_ok=True
    )
    return value, grad


@pytest.mark.parametrize("case", POINTWISE, ids=lambda case: case.name)
@pytest.mark.parametrize("half", TYPES, ids=str)
def test_mixtures(case: Any, half: Any, isa: str, rng: np.random.Generator) -> None:
    loss = getattr(fl, case.name)
    for k, n in enumerate(SIZES * 3):
        x, t = (narrowed(a, half) for a in case.arrays(rng, (n,), np.float32))
        w = narrowed(rng.integers(0, 5, n) / 4.0, half)
        layout = list(ARRAYS.values())[k % 3]
        wide = [widened(a) for a in (x, t, w)]
        options: dict[str, Any] = {}
        expected: dict[str, Any] = {}
        if k % 4:
            options["sample_weight"] = (layout(w), wide[2], w)[k % 4 - 1]
            expected["sample_weight"] = wide[2]
        if k % 5 < 2:
            options["grad_out"] = np.empty(n, half) if k % 5 else np.empty(2 * n, half)[::2]
        target = (layout(t), wide[1], t)[k % 3]
        value, grad = outcomes(loss, layout(x), target, **options)
        value_of_float, grad_of_float = outcomes(loss, wide[0], wide[1], **expected)
        assert value == pytest.approx(value_of_float, rel=1e-14), (n, k)
        assert_same(grad, grad_of_float)
        if "grad_out" in options:
            assert grad is options["grad_out"]
        in_place = x.copy()
        loss.value_and_grad(in_place, t, reduction="sum", grad_out=in_place, **expected)
        assert_same(in_place, grad_of_float)


@pytest.mark.parametrize("case", POINTWISE, ids=lambda case: case.name)
@pytest.mark.parametrize("half", TYPES, ids=str)
def test_loops_of_the_half_types(case: Any, half: Any, isa: str, rng: np.random.Generator) -> None:
    """Lengths around every group that a loop takes at a time; all parameters; labels hard and, if they may be, soft."""
    loss = getattr(fl, case.name)
    for n in (1, 63, 64, 65, 127, 128, 191, 256, 1000, 1023, 1024, 1025, 3333):
        for given in case.parameters:
            parameters = case.resolved(given, (n,))
            x, t = (narrowed(a, half) for a in case.arrays(rng, (n,), np.float32, given))
            for target in (t, narrowed(np.ceil(widened(t)), half)):
                value_of_float, grad_of_float = outcomes(loss, widened(x), widened(target), **parameters)
                value, grad = outcomes(loss, x, target, **parameters)
                assert value == pytest.approx(value_of_float, rel=1e-14), (n, parameters)
                assert_same(grad, grad_of_float)
                in_place = x.copy()
                loss.value_and_grad(in_place, target, reduction="sum", grad_out=in_place, **parameters)
                assert_same(in_place, grad_of_float)


@pytest.mark.parametrize("case", POINTWISE, ids=lambda case: case.name)
@pytest.mark.parametrize("half", HALF, ids=HALF_IDS)
def test_gradient_of_every_prediction(case: Any, half: Any, rng: np.random.Generator) -> None:
    """In blocks whose sum is finite, and in those that are done again."""
    loss = getattr(fl, case.name)
    x, t = inputs_of(case, half, rng)
    calm = np.abs(widened(x)) < 50
    for prediction, target in ((x, t), (x[calm], t[calm])):
        value, grad = loss.value_and_grad(prediction, target, reduction="sum")
        value_of_float, grad_of_float = loss.value_and_grad(widened(prediction), widened(target), reduction="sum")
        assert value == pytest.approx(value_of_float, rel=1e-14, nan_ok=True)
        assert_same(grad, grad_of_float)


@pytest.mark.parametrize("half", TYPES, ids=str)
@pytest.mark.parametrize("digits", [0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x7FF0000000000001])
def test_no_digit_of_a_nan_is_rounded_up(digits: int, half: Any, isa: str, rng: np.random.Generator) -> None:
    """A NaN of ones only would become zero."""
    nan = float(np.uint64(digits).view(np.float64))
    x, t = (narrowed(rng.random(300), half) for _ in range(2))
    for loss in (fl.mse_loss, fl.log_cosh_loss, fl.binary_cross_entropy_with_logits):
        _, grad = loss.value_and_grad(x, t, reduction="sum", grad_output=nan)
        assert np.isnan(widened(grad)).all()


@pytest.mark.parametrize("case", POINTWISE, ids=lambda case: case.name)
@pytest.mark.parametrize("half", TYPES, ids=str)
def test_infinities_and_nans_do_the_block_again(case: Any, half: Any, isa: str, rng: np.random.Generator) -> None:
    loss = getattr(fl, case.name)
    domain = loss._domains(loss._numbers(*loss._check(default_parameters(loss)).values()))[0]
    for bad in (np.nan, np.inf, -np.inf):
        if _outside(np.float32([bad]), domain, np.dtype(np.float32))[0]:
            continue
        for n, at in ((5, 3), (700, 0), (1024, 1000)):  # one block, whose sum alone is done again
            x, t = case.arrays(rng, (n,), np.float32)
            x[at] = bad
            x, t = narrowed(x, half), narrowed(t, half)
            value, grad = outcomes(loss, x, t)
            value_of_float, grad_of_float = outcomes(loss, widened(x), widened(t))
            assert value == pytest.approx(value_of_float, rel=1e-14, nan_ok=True), (bad, n)
            assert_same(grad, grad_of_float)
            in_place = x.copy()
            loss.value_and_grad(in_place, t, reduction="sum", grad_out=in_place)
            assert_same(in_place, grad_of_float)


@pytest.mark.parametrize("case", POINTWISE, ids=lambda case: case.name)
@pytest.mark.parametrize("half", TYPES, ids=str)
def test_domains_are_those_of_float32(case: Any, half: Any, isa: str, rng: np.random.Generator) -> None:
    loss = getattr(fl, case.name)
    domains = loss._domains(loss._numbers(*loss._check(default_parameters(loss)).values()))
    good = [narrowed(a, half)[:1] for a in case.arrays(rng, (4,), np.float32)]
    every = EVERY.view(half)
    for k, domain in enumerate(domains):
        outside = _outside(every, domain, np.dtype(np.float32))
        arrays = [np.broadcast_to(a, every.shape).copy() for a in good]
        arrays[k] = np.where(outside, good[k].view(np.uint16), EVERY).view(half)
        loss.value_and_grad(*arrays, reduction="sum")  # whatever lies inside, NaN included, is taken
        edges = outside & ~(np.roll(outside, 1) & np.roll(outside, -1))
        wrong = np.flatnonzero(edges | (outside & (EVERY % 997 == 0)))
        for bits in wrong:
            one = good.copy()
            one[k] = EVERY[bits : bits + 1].view(half)
            with pytest.raises(ValueError, match="target" if k else "prediction"):
                loss.value_and_grad(*one, reduction="sum")


@pytest.mark.parametrize("half", TYPES, ids=str)
def test_two_half_types_in_one_call(half: Any, rng: np.random.Generator) -> None:
    other = TYPES[half == TYPES[0]]
    x, t, w = narrowed(rng.standard_normal(3000), half), narrowed(rng.standard_normal(3000), other), rng.random(3000)
    for weight in (narrowed(w, half), narrowed(w, other)):
        value, grad = fl.huber_loss.value_and_grad(x, t, sample_weight=weight, reduction="sum")
        value_of_float, grad_of_float = fl.huber_loss.value_and_grad(
            widened(x), widened(t), sample_weight=widened(weight), reduction="sum"
        )
        assert value == pytest.approx(value_of_float, rel=1e-14)
        assert_same(grad, grad_of_float)
