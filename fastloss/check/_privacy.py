"""The cases of the privacy kernels: the keystream, noise, and clipping with its bound in exact arithmetic; integer
noise and the secure path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from fastloss import _core, privacy
from fastloss._arguments import Array
from fastloss.check import _inputs as inputs
from fastloss.check._bounds import NOISE_BOUND, NORM_BOUND, clip_bound
from fastloss.check._case import Case, Real, Results, Subject, Truth
from fastloss.privacy._discrete import law_of
from fastloss.reference import discrete
from fastloss.reference import privacy as reference

# RFC 8439, section 2.3.2: a key, a block counter with a nonce (as two 64-bit words), and the block they give.
RFC_KEY = np.arange(32, dtype=np.uint8).view("<u4").astype(np.uint32)
RFC_COUNTER, RFC_NONCE = 0x0900000000000001, 0x4A000000
RFC_BLOCK = (
    "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
    "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
)

SEED = 8439

# More than the least work of clipping that is shared out to threads: rows times columns.
MANY_ROWS, MANY_COLUMNS = 200, 1000


def privacy_subjects() -> list[Subject]:
    """The keystream, both kinds of noise, clipping alone and with noise."""
    return [
        Subject("chacha20", _keystream, lambda real, isa: 0.0),
        Subject("gaussian_noise", partial(_noise, "gaussian"), lambda real, isa: NOISE_BOUND),
        Subject("laplace_noise", partial(_noise, "laplace"), lambda real, isa: NOISE_BOUND),
        Subject("discrete_noise", _integers, lambda real, isa: 0.0),
        Subject("clip_and_sum", _clipping, lambda real, isa: clip_bound(real.name)),
        Subject("clip_and_noise", _noised, lambda real, isa: clip_bound(real.name) + NOISE_BOUND),
    ]


# ---- Noise ----


def _keystream(real: Real, quick: bool) -> list[Case]:
    def is_of_rfc(results: Results) -> list[str]:
        block = results[0][0].astype("<u4").tobytes().hex()
        return [] if block == RFC_BLOCK else [f"the first block is {block}"]

    def is_of_twin(counter: int, results: Results) -> list[str]:
        counters = np.arange(counter, counter + 16, dtype=np.uint64)
        same = np.array_equal(results[0], reference.chacha20(RFC_KEY, counters, 7))
        return [] if same else ["the blocks are not those of the reference"]

    def call(counter: int, nonce: int) -> list[Array]:
        return [_core.chacha20(RFC_KEY, counter, nonce)]

    carry = 2**32 - 5
    return [
        Case("RFC 8439, 2.3.2", partial(call, RFC_COUNTER, RFC_NONCE), relation=is_of_rfc),
        Case("carry into the high word", partial(call, carry, 7), relation=partial(is_of_twin, carry)),
    ]


def _noise(distribution: str, real: Real, quick: bool) -> list[Case]:
    def draw(generator: Any, n: int) -> Array:
        return np.asarray(getattr(generator, distribution)(n, dtype=real))

    def call(sizes: tuple[int, ...]) -> list[Array]:
        generator = privacy.NoiseGenerator(SEED)
        return [np.concatenate([draw(generator, n) for n in sizes])]

    def twin(n: int) -> Truth:
        values = getattr(reference.NoiseGenerator(SEED), distribution)(n)
        if distribution == "gaussian" and real == np.float32:  # a stream of its own
            values = reference.noise("gaussian", "float32", reference.NoiseGenerator(SEED).key, 0, n)
        # A normal near 0 is a product of a radius with a small sine: errors are those of numbers near 1.
        return Truth("value", values, real, scale=np.maximum(np.abs(values), 1))

    pieces = (1, 255, 4097, 3000)
    many = 20_011 if quick else 100_003
    return [
        Case("in one piece", partial(call, (many,)), [twin(many)]),
        Case("in pieces", partial(call, pieces), [twin(sum(pieces))]),
    ]


def _integers(real: Real, quick: bool) -> list[Case]:
    """Integer noise, the same as the twin's, and a secure mean."""

    def call(distribution: str, scale: float, n: int) -> list[Array]:
        return [getattr(privacy.NoiseGenerator(SEED), distribution)(n, scale)]

    def is_of_twin(distribution: str, scale: float, results: Results) -> list[str]:
        key = reference.NoiseGenerator(SEED).key
        law = law_of(distribution, scale)
        twin = discrete.values(distribution, law.limits, law.inner_bits, law.outer_bits, key, 0, results[0].size)
        return [] if np.array_equal(results[0], twin) else ["the integers are not those of the reference"]

    def secure_mean(distribution: str) -> list[Array]:
        mean = privacy.clip_and_noise(
            _gradients(real, MANY_ROWS, 300), 1.5, 0.7, expected_batch_size=20, mechanism=distribution, secure=True,
            rng=privacy.NoiseGenerator(SEED),
        )  # fmt: skip
        return [np.asarray(mean)]

    cases = []
    for distribution, scales in (("gaussian", (3.0, 50.0, 1e6)), ("laplace", (3.0, 1e6))):
        for scale in scales:
            draw = partial(call, f"discrete_{distribution}", scale, 2001 if quick else 10_001)
            relation = partial(is_of_twin, distribution, scale)
            cases.append(Case(f"{distribution} of scale {scale:g}", draw, relation=relation))
        cases.append(Case(f"secure mean, {distribution}", partial(secure_mean, distribution)))
    return cases


# ---- Clipping ----


def _gradients(real: Real, rows: int, columns: int) -> Array:
    """Rows of many lengths, one of zeros, and two that are not finite."""
    rng = inputs.generator(8, rows, columns)
    grads = rng.standard_normal((rows, columns)) * np.exp2(rng.uniform(-12, 4, (rows, 1)))
    grads[0] = 0
    grads[1 % rows, 0], grads[2 % rows, -1] = np.nan, np.inf
    return grads.astype(real)


def _clipping(real: Real, quick: bool) -> list[Case]:
    grads = _gradients(real, 17 if quick else 41, 300 if quick else 700)
    several = [grads[:, :100].reshape(len(grads), 20, 5), grads[:, 100:]]
    many = _gradients(real, MANY_ROWS, MANY_COLUMNS)
    cases = [Case("many", lambda: _clip(many, 1.0))]
    for norm in ("l2", "l1"):
        for mode in ("flat", "automatic"):
            cases.append(_clip_case(f"{norm}, {mode}", real, grads, 1.5, norm=norm, mode=mode))
        cases.append(_clip_case(f"{norm}, per layer", real, several, [0.5, 1.5], norm=norm, mode="per_layer"))
        cases.append(_clip_case(f"{norm}, two arrays", real, several, 1.5, norm=norm))
        cases += _bound_cases(real, norm, 20 if quick else 60)
    return cases


def _clip(grads: Any, bound: Any, **options: Any) -> list[Array]:
    clipped = privacy.clip_and_sum(grads, bound, **options)
    sums = clipped.sum if isinstance(clipped.sum, list) else [clipped.sum]
    facts = np.array([clipped.clipped_fraction, clipped.nonfinite_rows, clipped.batch_size, clipped.sensitivity])
    return [*sums, clipped.norms, facts]


def _clip_case(name: str, real: Real, grads: Any, bound: Any, **options: Any) -> Case:
    """Sums against the reference, in ULP of the sum of absolute terms; norms and counts too."""
    twin = reference.clip_and_sum(grads, bound, **options)
    sizes = reference.clip_and_sum(_finite_absolute(grads), bound, **options)
    truths = [Truth("value", s, real, scale=size) for s, size in zip(twin.sum, sizes.sum, strict=True)]
    facts = [twin.clipped_fraction, twin.nonfinite_rows, twin.batch_size, twin.sensitivity]

    def relation(results: Results) -> list[str]:
        norms, found = results[-2], results[-1]
        problems = []
        if not np.allclose(norms, twin.norms, rtol=NORM_BOUND, atol=0, equal_nan=True):
            problems.append("norms differ from the reference's")
        if not np.allclose(found, facts, rtol=NORM_BOUND, atol=0):
            problems.append(f"clipped fraction, non-finite rows, batch size and sensitivity are {found}, not {facts}")
        return problems

    return Case(name, lambda: _clip(grads, bound, **options), truths, relation=relation)


def _finite_absolute(grads: Any) -> Any:
    """Absolute values; rows that are not finite stay so, in every array."""
    if isinstance(grads, list):
        return [np.abs(part) for part in grads]
    return np.abs(grads)


def _bound_cases(real: Real, norm: str, count: int) -> Iterator[Case]:
    """Single rows whose clipped norm must not exceed the bound, in rational arithmetic."""
    rng = inputs.generator(9, count)
    info = np.finfo(real)

    def holds(bound: float, results: Results) -> list[str]:
        good = reference.fits(results[0].reshape(-1), norm, bound)
        return [] if good else [f"the norm exceeds the bound {bound!r}"]

    for k in range(count):
        row = rng.standard_normal(int(rng.integers(1, 300))).astype(real)
        length = reference.row_norm(row, norm)
        bounds = [length, float(np.nextafter(length, 0)), length / 3, length * (1 - 2.0**-45)]
        row, bound = row, bounds[k % 4]
        if k % 5 == 3:
            row, bound = (row * info.tiny).astype(real), float(info.tiny) / 7
        if k % 5 == 4:
            row, bound = (row / np.abs(row).max() * info.max).astype(real), float(info.max) / 1000
        call: Callable[[], Results] = partial(_clip, row[None], bound, norm=norm)
        yield Case(f"{norm} bound in exact arithmetic, row {k}", call, relation=partial(holds, bound))


def _noised(real: Real, quick: bool) -> list[Case]:
    grads = _gradients(real, 17, 300)
    cases = [
        _noised_case(mechanism, real, grads, multiplier)
        for mechanism in ("gaussian", "laplace")
        for multiplier in (0.0, 0.7)
    ]
    many = _gradients(real, MANY_ROWS, MANY_COLUMNS)
    return [*cases, Case("many", lambda: [_noised_mean(many, "gaussian", 1.0)])]


def _noised_mean(grads: Array, mechanism: str, multiplier: float) -> Array:
    mean = privacy.clip_and_noise(
        grads, 1.5, multiplier, expected_batch_size=20, mechanism=mechanism, rng=privacy.NoiseGenerator(SEED)
    )
    return np.asarray(mean)


def _noised_case(mechanism: str, real: Real, grads: Array, multiplier: float) -> Case:
    def twin(values: Array, noise_multiplier: float) -> Array:
        return reference.clip_and_noise(
            values, 1.5, noise_multiplier, expected_batch_size=20, mechanism=mechanism, real=real.name,
            rng=reference.NoiseGenerator(SEED),
        )[0]  # fmt: skip

    truth = twin(grads, multiplier)
    # The terms: clipped gradients, and noise that is accurate to its own unit.
    size = twin(np.abs(grads), 0.0) + np.maximum(np.abs(truth), multiplier * 1.5 / 20)
    name = f"{mechanism}, multiplier {multiplier}"
    return Case(name, lambda: [_noised_mean(grads, mechanism, multiplier)], [Truth("value", truth, real, scale=size)])
