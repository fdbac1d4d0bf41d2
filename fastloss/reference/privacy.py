"""The NumPy twin of fastloss.privacy: clipping, sums, and the same noise stream; slow and obviously correct.

Arguments are taken as right. ChaCha20 is RFC 8439's; the noise equals the native noise up to the last places of
log, sqrt, sin and cos.
"""

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

GAMMA = 0.01

# ---- Keystream ----


def chacha20(key: Array, counters: Array, nonce: int) -> Array:
    """The blocks (n, 16) of 32-bit words at 64-bit counters, for a key of eight words and a 64-bit nonce."""
    initial = np.empty((16, len(counters)), np.uint32)
    initial[:4] = np.frombuffer(b"expand 32-byte k", "<u4")[:, None]
    initial[4:12] = np.asarray(key, np.uint32)[:, None]
    initial[12] = counters & np.uint64(0xFFFFFFFF)
    initial[13] = counters >> np.uint64(32)
    initial[14:] = np.array([nonce & 0xFFFFFFFF, nonce >> 32], np.uint32)[:, None]
    x = initial.copy()

    def rotate(word: Array, n: int) -> Array:
        return (word << np.uint32(n)) | (word >> np.uint32(32 - n))

    def quarter_round(a: int, b: int, c: int, d: int) -> None:
        x[a] += x[b]
        x[d] = rotate(x[d] ^ x[a], 16)
        x[c] += x[d]
        x[b] = rotate(x[b] ^ x[c], 12)
        x[a] += x[b]
        x[d] = rotate(x[d] ^ x[a], 8)
        x[c] += x[d]
        x[b] = rotate(x[b] ^ x[c], 7)

    for _ in range(10):
        for column in range(4):
            quarter_round(column, 4 + column, 8 + column, 12 + column)
        for diagonal in range(4):
            quarter_round(diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4)
    return (x + initial).T


def group_words(key: Array, groups: Array, nonce: int) -> Array:
    """Groups of 256 words (n, 256): sixteen blocks each, word by word (block 0 word 0, block 1 word 0, ...)."""
    counters = np.add.outer(groups * np.uint64(16), np.arange(16, dtype=np.uint64)).reshape(-1)
    return chacha20(key, counters, nonce).reshape(len(groups), 16, 16).transpose(0, 2, 1).reshape(len(groups), 256)


# ---- Noise ----


def exponential(words: Array, bits: int) -> Array:
    """-log u of u = (w + 1/2) / 2^bits, from 1 - u where that is the smaller number."""
    u = (words.astype(np.float64) + 0.5) * 2.0**-bits
    complement = ((~words).astype(np.float64) + 0.5) * 2.0**-bits
    return np.where(u < 0.5, -np.log(np.minimum(u, 0.5)), -np.log1p(-np.minimum(complement, 0.5)))


def box_muller(radius: Array, angle: Array, bits: int) -> tuple[Array, Array]:
    """Two normals: a radius sqrt(-2 log u), and an angle of a quadrant (two bits) and a place in it."""
    r = np.sqrt(2.0 * exponential(radius, bits))
    fraction = ((angle << angle.dtype.type(2)).astype(np.float64) + 0.5) * 2.0**-bits - 0.5
    quadrant = (angle >> angle.dtype.type(bits - 2)).astype(np.int64)
    sine, cosine = np.sin(np.pi / 2 * fraction), np.cos(np.pi / 2 * fraction)
    rotated_cosine = np.choose(quadrant, [cosine, -sine, -cosine, sine])
    rotated_sine = np.choose(quadrant, [sine, cosine, -sine, -cosine])
    return r * rotated_cosine, r * rotated_sine


def wide(words: Array) -> Array:
    """64-bit integers of 128 words: the first 64 are the high halves."""
    half = words.shape[1] // 2
    return words[:, :half].astype(np.uint64) << np.uint64(32) | words[:, half:].astype(np.uint64)


def gaussian_f32(words: Array) -> Array:
    """256 normals of each group, from 32-bit radii and angles."""
    return np.concatenate(box_muller(words[:, :128], words[:, 128:], 32), axis=1)


def gaussian_f64(words: Array) -> Array:
    """128 normals of each group, from 64-bit radii and angles."""
    return np.concatenate(box_muller(wide(words[:, :128]), wide(words[:, 128:]), 64), axis=1)


def laplace(words: Array) -> Array:
    """128 Laplace values of each group: a sign bit, and 63 bits of the uniform."""
    w = np.concatenate([wide(words[:, :128]), wide(words[:, 128:])], axis=1)
    return np.where(w >> np.uint64(63), -1.0, 1.0) * exponential(w << np.uint64(1), 64)


# Stream number (the nonce), values per group, and the transform.
STREAMS: dict[tuple[str, str], tuple[int, int, Callable[[Array], Array]]] = {
    ("gaussian", "float32"): (1, 256, gaussian_f32),
    ("gaussian", "float64"): (2, 128, gaussian_f64),
    ("laplace", "float32"): (3, 128, laplace),
    ("laplace", "float64"): (3, 128, laplace),
}


def noise(distribution: str, real: str, key: Array, first: int, count: int) -> Array:
    """Standard values first ... first + count of a key's stream, in float64."""
    nonce, size, transform = STREAMS[distribution, real]
    start = first // size
    groups = np.arange(start, (first + count + size - 1) // size, dtype=np.uint64)
    values = transform(group_words(key, groups, nonce)).reshape(-1)
    return values[first - start * size :][:count]


class NoiseGenerator:
    """The twin of `fastloss.privacy.NoiseGenerator`: the same values from the same seed."""

    def __init__(self, seed: int | None = None) -> None:
        text = f"fastloss NoiseGenerator {seed}"
        key = os.urandom(32) if seed is None else hashlib.sha256(text.encode()).digest()
        self.key = np.frombuffer(key, "<u4")
        self.counts = {"gaussian": 0, "laplace": 0}

    def _draw(self, distribution: str, shape: Any, scale: float, dtype: npt.DTypeLike) -> Array:
        count = int(np.prod(shape, dtype=np.int64))
        values = noise(distribution, np.dtype(dtype).name, self.key, self.counts[distribution], count)
        self.counts[distribution] += count
        return (scale * values).astype(dtype).reshape(shape)

    def gaussian(self, shape: Any, scale: float = 1.0, dtype: npt.DTypeLike = np.float64) -> Array:
        """The next normals times scale."""
        return self._draw("gaussian", shape, scale, dtype)

    def laplace(self, shape: Any, scale: float = 1.0, dtype: npt.DTypeLike = np.float64) -> Array:
        """The next Laplace values times scale."""
        return self._draw("laplace", shape, scale, dtype)


# ---- Clipping ----


def row_norm(row: Array, norm: str) -> float:
    """Norm of a vector, without overflow or underflow on the way."""
    if np.isnan(row).any():
        return math.nan
    values = [float(x) for x in row]
    if norm == "l2":
        return math.hypot(*values)
    try:
        return math.fsum(abs(x) for x in values)
    except OverflowError:
        return math.inf


def fits(row: Array, norm: str, bound: float) -> bool:
    """Whether the exact norm of a finite vector is at most the bound."""
    if bound == math.inf:
        return True
    values = [abs(Fraction(float(x))) for x in row]
    if norm == "l2":
        return sum((x * x for x in values), Fraction(0)) <= Fraction(bound) ** 2
    return sum(values, Fraction(0)) <= Fraction(bound)


def clip_row(row: Array, norm: str, bound: float, automatic: bool) -> Array:
    """min(1, C / norm) times a finite row, or C / (norm + gamma); in rationals where the norm itself overflows."""
    n = row_norm(row, norm)
    if not automatic and fits(row, norm, bound):
        return row.astype(np.float64)
    if math.isinf(n):
        scaled = row.astype(np.float64) / float(np.abs(row).max())
        return scaled * (bound / row_norm(scaled, norm))
    return row.astype(np.float64) * (bound / (n + GAMMA if automatic else n))


@dataclass
class ClippedSum:
    """The sums of one array per parameter; of every row its norm, whether it is finite and whether it was clipped."""

    sum: list[Array]
    norms: Array
    finite: Array
    clipped: Array
    clipped_fraction: float
    nonfinite_rows: int
    batch_size: int
    sensitivity: float


def as_list(grads: Any) -> list[Array]:
    """One array, a list, a tuple or a dict of them as a list."""
    parts = grads.values() if isinstance(grads, dict) else grads if isinstance(grads, list | tuple) else [grads]
    return [np.asarray(part) for part in parts]


def joined(arrays: list[Array]) -> Array:
    """The arrays' samples as the rows of one float64 matrix."""
    return np.concatenate([np.asarray(a, np.float64).reshape(len(a), math.prod(a.shape[1:])) for a in arrays], axis=1)


def per_sample_norms(grads: Any, *, norm: str = "l2") -> Array:
    """The joint norm of every sample."""
    return np.array([row_norm(row, norm) for row in joined(as_list(grads))])


def clip_and_sum(
    grads: Any,
    max_grad_norm: Any,
    *,
    norm: str = "l2",
    mode: str = "flat",
    grid: float = 0.0,
    adjacency: str = "add_remove",
) -> ClippedSum:
    """Clip every row, drop those that are not finite, and add up exactly (`math.fsum`).

    One row changes the sum by the bounds' norm where it is added or removed, by twice that where it is replaced. With a
    grid > 0, a power of two, every clipped coordinate is rounded to a multiple of it first.
    """
    arrays = as_list(grads)
    if mode == "per_layer":
        bounds = as_list(max_grad_norm)
        parts = [(joined([a]), float(c)) for a, c in zip(arrays, bounds, strict=True)]
    else:
        parts = [(joined(arrays), float(max_grad_norm))]
    batch = len(arrays[0])
    finite = np.ones(batch, bool)
    for matrix, _ in parts:
        finite &= np.isfinite(matrix).all(axis=1)
    clipped = np.zeros(batch, bool)
    sums, norms = [], []
    for matrix, bound in parts:
        rows = [clip_row(row, norm, bound, mode == "automatic") for row in matrix[finite]]
        rows = [np.rint(row / grid) * grid for row in rows] if grid else rows
        sums += [math.fsum(column) for column in zip(*rows, strict=True)] if rows else [0.0] * matrix.shape[1]
        norms.append([row_norm(row, norm) for row in matrix])
        clipped[finite] |= np.array([not fits(row, norm, bound) for row in matrix[finite]], bool)
    result, at = [], 0
    for array in arrays:
        size = math.prod(array.shape[1:])
        result.append(np.array(sums[at : at + size]).reshape(array.shape[1:]))
        at += size
    values = [c for _, c in parts]
    reach = math.hypot(*values) if norm == "l2" else math.fsum(values)
    return ClippedSum(
        sum=result,
        norms=np.array(norms).T if mode == "per_layer" else np.array(norms[0]),
        finite=finite,
        clipped=clipped,
        clipped_fraction=float(clipped.mean()) if batch else math.nan,
        nonfinite_rows=int((~finite).sum()),
        batch_size=batch,
        sensitivity=2 * reach if adjacency == "replace" else reach,
    )


def toward_zero(x: Array, real: npt.DTypeLike) -> Array:
    """Float64 values rounded to a real type, never away from zero."""
    with np.errstate(over="ignore"):
        nearest = x.astype(real)
    return np.where(
        np.abs(nearest.astype(np.float64)) > np.abs(x), np.nextafter(nearest, nearest.dtype.type(0)), nearest
    )


def clip_and_noise(
    grads: Any,
    max_grad_norm: Any,
    noise_multiplier: float,
    *,
    expected_batch_size: float = 1.0,
    mechanism: str = "gaussian",
    norm: str | None = None,
    mode: str = "flat",
    real: str = "float64",
    rng: NoiseGenerator | None = None,
    adjacency: str = "add_remove",
) -> list[Array]:
    """(Clipped sum + noise_multiplier * sensitivity * noise) / expected_batch_size, one array per parameter.

    ``real`` is the type whose noise stream the native function uses.
    """
    norm = norm or ("l1" if mechanism == "laplace" else "l2")
    clipped = clip_and_sum(grads, max_grad_norm, norm=norm, mode=mode, adjacency=adjacency)
    scale = noise_multiplier * clipped.sensitivity if noise_multiplier else 0.0
    rng = rng or NoiseGenerator()
    result = []
    for array in clipped.sum:
        if scale:
            array = array + scale * rng._draw(mechanism, array.shape, 1.0, real).astype(np.float64)
        result.append(array / expected_batch_size)
    return result
