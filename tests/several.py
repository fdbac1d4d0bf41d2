"""What the tests of losses of several arrays share: their cases as parameters, calls, truth, comparison of results."""

import numpy as np
import pytest
from cases import SEVERAL
from compare import REFERENCE_ULPS, rounded, ulps

import fastloss as fl

SETTINGS = [pytest.param(c, p, id=f"{c.name}-{k}") for c in SEVERAL for k, p in enumerate(c.parameters)]
CASE = pytest.mark.parametrize("case", SEVERAL, ids=lambda c: c.name)
SETTING = pytest.mark.parametrize(("case", "parameters"), SETTINGS)


def parts(gradient):
    return gradient if isinstance(gradient, tuple) else (gradient,)


def flat(results):
    """Value and gradients one behind the other."""
    return (results[0], *parts(results[1]))


def call(case, arrays, **keywords):
    return getattr(fl, case.name).value_and_grad(*arrays, **keywords)


def truth(case, arrays, parameters, dtype, **common):
    """The reference in extended precision, of inputs rounded to the computing type."""
    twin = getattr(fl.reference, case.name)
    common = {k: rounded(v, dtype) for k, v in common.items()}
    arrays = [None if a is None else rounded(np.asarray(a), dtype) for a in arrays]
    return twin.evaluate(
        *arrays, parameters=rounded(dict(parameters), dtype), dtype=np.longdouble, want="grad", **common
    )


def check(results, expected, dtype, bound, what=""):
    wanted = (expected.value, *parts(expected.grad))
    scales = (expected.value_scale, *parts(expected.grad_scale))
    for k, (got, want, scale) in enumerate(zip(flat(results), wanted, scales, strict=True)):
        assert np.shape(got) == np.shape(want)
        errors = ulps(got, want, scale, dtype)
        assert errors.max(initial=0) <= bound + REFERENCE_ULPS[np.dtype(dtype)], (k, errors.max(), what)


def weights_of(case, arrays, parameters, rng, dtype):
    shape = np.shape(getattr(fl, case.name)(*arrays, reduction="none", **parameters))
    return (rng.uniform(0.1, 2, shape) * (rng.random(shape) < 0.8)).astype(dtype)
