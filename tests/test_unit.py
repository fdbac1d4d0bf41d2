"""Rows divided by their length, and gradients taken back through that: exactness, extremes, instruction sets, types."""

from typing import Any

import mpmath as mp
import numpy as np
import pytest

import fastloss as fl
from fastloss import _core
from fastloss._unit import project, unit_rows

SHAPES = [(5, 1), (4, 3), (3, 40), (2, 333)]


def exact(x: np.ndarray) -> tuple[list[list[mp.mpf]], list[mp.mpf]]:
    """Unit vectors and inverse lengths (0 for a row of zeros)."""
    units, inverses = [], []
    for row in x.tolist():
        length = mp.sqrt(mp.fsum(mp.mpf(v) ** 2 for v in row))
        inverses.append(1 / length if length else mp.mpf(0))
        units.append([v * inverses[-1] for v in row])
    return units, inverses


def ulps(got: Any, want: Any, scale: Any, real: Any) -> float:
    """How far off, in ULP of the scale."""
    info = np.finfo(real)
    unit = max(abs(scale) * float(info.eps), mp.mpf(float(info.smallest_subnormal)))
    return float(abs(mp.mpf(float(got)) - want) / unit)


def rows_of(rng: np.random.Generator, shape: tuple[int, int], real: Any) -> np.ndarray:
    return (rng.standard_normal(shape) * 10.0 ** rng.integers(-15, 15, (shape[0], 1))).astype(real)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_exact(shape: tuple[int, int], dtype: np.dtype, rng: np.random.Generator, isa: str) -> None:
    x, g = rows_of(rng, shape, dtype), rows_of(rng, shape, dtype)
    u = np.empty_like(x)
    inverse = unit_rows(x, u)
    out = np.empty_like(x)
    project(u, inverse, g, out)
    # In double: a sum, a root, a quotient, a product; rounded to float once more.
    bound = 1.1 if dtype == np.float32 else 3
    units, inverses = exact(x)
    for i in range(shape[0]):
        assert ulps(inverse[i], inverses[i], inverses[i], np.float64) <= 3
        along = mp.fsum(mp.mpf(float(a)) * mp.mpf(float(b)) for a, b in zip(u[i], g[i], strict=True))
        sizes = mp.fsum(abs(mp.mpf(float(a)) * mp.mpf(float(b))) for a, b in zip(u[i], g[i], strict=True))
        for j in range(shape[1]):
            assert ulps(u[i, j], units[i][j], units[i][j], dtype) <= bound
            f, own, part = (mp.mpf(float(v)) for v in (inverse[i], u[i, j], g[i, j]))
            scale = abs(f) * (abs(part) + abs(own) * sizes)
            assert ulps(out[i, j], f * (part - own * along), scale, dtype) <= bound


def test_extreme_rows(dtype: np.dtype, isa: str) -> None:
    info = np.finfo(dtype)
    tiny, huge = float(info.smallest_subnormal), float(info.max)
    x = np.array([[0, 0, 0], [3 * tiny, 4 * tiny, 0], [huge, -huge, huge / 2], [huge, 1, tiny], [1, np.nan, 2],
                  [1, np.inf, -2], [0, -tiny, 0]], dtype)  # fmt: skip
    u = np.empty_like(x)
    inverse = unit_rows(x, u)
    third = np.array([2, -2, 1]) / 3
    for row, want in ((0, [0, 0, 0]), (1, [0.6, 0.8, 0]), (2, third), (3, [1, 1 / huge, 0]), (6, [0, -1, 0])):
        np.testing.assert_allclose(u[row].astype(np.float64), want, rtol=2 * float(info.eps), atol=2 * tiny)
    assert np.isnan(u[4]).all()
    assert np.isnan(u[5, 1])
    assert u[5, [0, 2]].tolist() == [0, 0]
    assert inverse[0] == 0
    assert inverse[5] == 0
    assert 0 < inverse[2] < 1 / huge
    assert inverse[6] == (1 / tiny if dtype == np.float32 else np.finfo(np.float64).max)
    out = np.ones_like(x)
    project(u, inverse, np.zeros_like(x), out)
    assert not out[[0, 1, 2, 3, 6]].any()  # an inverse length is never infinite


def test_same_bits_with_fma(dtype: np.dtype, rng: np.random.Generator, any_isa: None) -> None:
    x, g = rows_of(rng, (50, 77), dtype), rows_of(rng, (50, 77), dtype)
    found = set()
    for isa in ("avx2", "avx512", "neon"):
        if not all(_core.isa_names().get(isa, (False,))):
            continue
        _core.isa_select(isa)
        u, out = np.empty_like(x), np.empty_like(x)
        inverse = unit_rows(x, u)
        project(u, inverse, g, out)
        found.add((u.tobytes(), inverse.tobytes(), out.tobytes()))
    assert len(found) <= 1


def test_layouts_and_types(dtype: np.dtype, rng: np.random.Generator) -> None:
    x, g = rows_of(rng, (400, 301), np.float64), rows_of(rng, (400, 301), dtype)
    x /= 10
    plain = x.astype(dtype)
    want, out = np.empty_like(plain), np.empty_like(plain)
    inverse = unit_rows(plain, want)
    project(want, inverse, g, out)
    spread = np.zeros((400, 602), dtype)
    spread[:, ::2] = plain
    wide = np.zeros((800, 301), dtype)
    wide[::2] = plain
    for given in (x, plain.copy("F"), spread[:, ::2], wide[::2], plain.astype(dtype.newbyteorder())):
        u = np.empty_like(plain)
        np.testing.assert_array_equal(unit_rows(given, u), inverse)
        np.testing.assert_array_equal(u, want)
    for place in (np.zeros_like(plain, order="F"), spread[:, ::2], wide[::2], g):  # the last one is the gradient itself
        project(want, inverse, g, place)
        np.testing.assert_array_equal(place, out)
    assert not spread[:, 1::2].any()
    assert not wide[1::2].any()


def test_zero_components_of_very_short_rows_stay_zero() -> None:
    """The inverse length, the largest number, times what a loss multiplies it by."""
    short = np.array([[5e-324, 0.0], [1.0, 2.0]])
    _, (gradient, _) = fl.info_nce_loss.value_and_grad(short, np.eye(2), temperature=0.05)
    assert gradient[0, 0] == 0
    assert gradient[0, 1] > 1e290
    assert np.isfinite(gradient[1]).all()
