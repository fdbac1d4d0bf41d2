"""The cases of calibration, of the mechanisms and of noise on a finished sum: against the definitions."""

from __future__ import annotations

from functools import partial

import numpy as np

from fastloss import privacy
from fastloss._arguments import Array
from fastloss.check import _inputs as inputs
from fastloss.check._bounds import CALIBRATION_BOUND, NOISE_BOUND, clip_bound
from fastloss.check._case import Case, Real, Results, Subject, Truth
from fastloss.reference import calibration
from fastloss.reference import privacy as reference

SEED = 8439
EPSILONS = (1e-6, 0.01, 0.5, 1.0, 2.0, 30.0, 1000.0)
DELTAS = (1e-300, 1e-12, 1e-5, 0.01, 0.5)
LARGEST = 3.0


def calibration_subjects() -> list[Subject]:
    """How much noise, the noise on any values, and the noise on a sum of clipped gradients."""
    return [
        Subject("calibration", _calibration, lambda real, isa: 0.0),
        Subject("gaussian_mechanism", partial(_mechanism, "gaussian"), lambda real, isa: NOISE_BOUND),
        Subject("laplace_mechanism", partial(_mechanism, "laplace"), lambda real, isa: NOISE_BOUND),
        Subject("add_noise", _added, lambda real, isa: clip_bound(real.name) + NOISE_BOUND),
    ]


def _calibration(real: Real, quick: bool) -> list[Case]:
    def close(name: str, got: float, want: float) -> list[str]:
        return [] if abs(got / want - 1) <= CALIBRATION_BOUND else [f"{name} is {got!r}, the reference has {want!r}"]

    def sigmas() -> list[Array]:
        return [np.array([[privacy.gaussian_sigma(1.0, e, d) for d in DELTAS] for e in EPSILONS])]

    def sigmas_guarantee(results: Results) -> list[str]:
        return [
            problem
            for e, row in zip(EPSILONS, results[0], strict=True)
            for d, sigma in zip(DELTAS, row, strict=True)
            for problem in close(f"delta of sigma = {sigma} at epsilon = {e}",
                                 calibration.gaussian_delta(float(sigma), 1.0, e), d)
        ]  # fmt: skip

    settings = [
        (mechanism, queries, confidence, convention)
        for mechanism in ("laplace", "gaussian")
        for queries in (1, 8)
        for confidence in (0.5, 0.95)
        for convention in ("exact", "seed")
    ]

    def bounds() -> list[Array]:
        values = [
            privacy.error_bound(m, k, 2.0, delta=1e-6, confidence=c, sensitivity=3.0, convention=how)
            for m, k, c, how in settings
        ]
        return [np.array([privacy.laplace_scale(3.0, 0.7), *values])]

    def bounds_are_of_twin(results: Results) -> list[str]:
        problems = close("laplace_scale", float(results[0][0]), calibration.laplace_scale(3.0, 0.7))
        for (m, k, c, how), value in zip(settings, results[0][1:], strict=True):
            want = calibration.error_bound(m, k, 2.0, delta=1e-6, confidence=c, sensitivity=3.0, convention=how)
            problems += close(f"error_bound({m!r}, {k}) of confidence {c} ({how})", float(value), want)
        return problems

    def crossovers() -> list[Array]:
        tables = (privacy.compare_mechanisms(8, 2.0, 1e-6, convention=how) for how in ("exact", "seed"))
        return [np.array([table.crossover for table in tables])]

    def crossovers_are_of_twin(results: Results) -> list[str]:
        want = [calibration.crossover(2.0, 1e-6, convention=how) for how in ("exact", "seed")]
        return [] if results[0].tolist() == want else [f"crossovers are {results[0].tolist()}, not {want}"]

    return [
        Case("gaussian_sigma", sigmas, relation=sigmas_guarantee),
        Case("error_bound and laplace_scale", bounds, relation=bounds_are_of_twin),
        Case("compare_mechanisms", crossovers, relation=crossovers_are_of_twin),
    ]


def _mechanism(distribution: str, real: Real, quick: bool) -> list[Case]:
    values = inputs.generator(10, 1).uniform(-LARGEST, LARGEST, (7, 61)).astype(real)

    def call() -> list[Array]:
        rng = privacy.NoiseGenerator(SEED)
        if distribution == "laplace":
            return [privacy.laplace_mechanism(values, 2.0, 0.5, rng=rng)]
        return [privacy.gaussian_mechanism(values, 2.0, 0.5, 1e-5, rng=rng)]

    scale = calibration.laplace_scale(2.0, 0.5)
    if distribution == "gaussian":
        scale = calibration.gaussian_sigma(2.0, 0.5, 1e-5)
    noise = reference.noise(distribution, real.name, reference.NoiseGenerator(SEED).key, 0, values.size)
    truth = values.astype(np.float64) + scale * noise.reshape(values.shape)
    return [Case("values and noise", call, [Truth("value", truth, real, scale=np.abs(truth) + scale)])]


def _added(real: Real, quick: bool) -> list[Case]:
    grads = inputs.generator(11, 1).standard_normal((23, 150)).astype(real)
    cases = []
    for mechanism, norm in (("gaussian", "l2"), ("gaussian", "l1"), ("laplace", "l1")):

        def call(mechanism: str = mechanism, norm: str = norm) -> list[Array]:
            total = None
            for part in (grads[:9], grads[9:]):
                total = privacy.clip_and_sum(part, 1.5, norm=norm, accumulate=total)
            assert total is not None
            rng = privacy.NoiseGenerator(SEED)
            mean = privacy.add_noise(total, 0.7, expected_batch_size=20, mechanism=mechanism, rng=rng)
            return [np.asarray(mean)]

        truth = reference.clip_and_noise(
            grads, 1.5, 0.7, expected_batch_size=20, mechanism=mechanism, norm=norm, real=real.name,
            rng=reference.NoiseGenerator(SEED),
        )[0]  # fmt: skip
        terms = reference.clip_and_sum(np.abs(grads), 1.5, norm=norm).sum[0] / 20
        size = terms + np.maximum(np.abs(truth), 0.7 * 1.5 / 20)
        cases.append(Case(f"{mechanism}, {norm}, in two parts", call, [Truth("value", truth, real, scale=size)]))
    return cases
