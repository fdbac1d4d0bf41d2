"""Fixtures: instruction sets, real types and random numbers. Settings of the process are put back."""

from collections.abc import Iterator

import numpy as np
import pytest

import fastloss as fl
from fastloss import _core

ISAS = [name for name, (compiled, supported) in _core.isa_names().items() if compiled and supported]
FMA_ISAS = [name for name in ISAS if name != "baseline"]


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set that this build and this CPU have, one after the other."""
    before = _core.isa_selected()
    _core.isa_select(request.param)
    yield request.param
    _core.isa_select(before)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    """Both real types."""
    return np.dtype(request.param)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator whose seed is the test's own name: reproducible, different for every test."""
    return np.random.default_rng(list(request.node.nodeid.encode()))


@pytest.fixture
def any_isa() -> Iterator[None]:
    """For tests that select instruction sets themselves: the one in use comes back."""
    before = _core.isa_selected()
    yield
    _core.isa_select(before)


@pytest.fixture(autouse=True)
def _settings_restored() -> Iterator[None]:
    before = fl.get_num_threads()
    yield
    if fl.get_num_threads() != before:
        fl.set_num_threads(before)
