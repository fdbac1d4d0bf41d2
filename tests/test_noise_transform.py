"""What words become: the transforms of csrc/privacy/noise.h at the ends of their range, which samples never reach."""

import functools
import math
import shutil
import subprocess
from pathlib import Path

import mpmath
import numpy as np
import pytest

from fastloss import _core
from fastloss.privacy import NoiseGenerator

FOLDER = Path(__file__).parent / "proofs"
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-std=gnu11"]
ISA_FLAGS = {"baseline": [], "avx2": ["-mavx2", "-mfma"]}
COMPILER = shutil.which("cc") or shutil.which("gcc")
USABLE = [isa for isa, (compiled, supported) in _core.isa_names().items() if compiled and supported]
KINDS = [("gaussian", 32), ("gaussian", 64), ("laplace", 64)]


@pytest.fixture(scope="module")
def transform(tmp_path_factory):
    """Returns a function that compiles the transforms, once each, and runs one on groups of 256 words."""
    if COMPILER is None or not (FOLDER.parents[1] / "csrc").is_dir():
        pytest.skip("needs a C compiler and the sources, csrc/")
    folder, programs = tmp_path_factory.mktemp("transform"), {}

    def values(distribution, bits, isa, words):
        if isa not in USABLE:
            pytest.skip(f"{isa} is not supported here")
        if (bits, isa) not in programs:
            path = folder / f"{isa}_{bits}"
            command = [COMPILER, *FLAGS, *ISA_FLAGS[isa], f"-DFASTLOSS_REAL_BITS={bits}", str(FOLDER / "transform.c")]
            subprocess.run([*command, "-o", str(path), "-lm"], check=True)
            programs[bits, isa] = path
        data = words.astype(np.uint32).tobytes()
        run = subprocess.run([programs[bits, isa], distribution], input=data, capture_output=True, check=True)
        return np.frombuffer(run.stdout).reshape(len(words), -1)

    return values


def extreme_integers(bits):
    """N-bit integers: both ends, powers of two and their neighbours, and where the logarithm changes its formula."""
    last = 2**bits - 1
    switch = [math.floor(share * 2.0**31) << bits - 31 for share in (0.5, 0.7, math.sqrt(0.5))]
    near = [base + d for base in (0, last, *(2**k for k in range(1, bits)), *switch) for d in (-1, 0, 1)]
    return sorted({w for w in near + [last - w for w in near] if 0 <= w <= last})


def packed(radii, angles, bits):
    """Groups whose first half are the radii and whose second half the angles."""
    places = 128 if bits == 32 else 64
    groups = []
    for start in range(0, len(radii), places):
        words = []
        for part in (radii, angles):
            w = np.array((part[start : start + places] + [1] * places)[:places], np.uint64)
            words += [w] if bits == 32 else [w >> np.uint64(32), w & np.uint64(2**32 - 1)]
        groups.append(np.concatenate(words))
    return np.array(groups)


def exponential(w, bits):
    return -mpmath.log((mpmath.mpf(w) + 0.5) / mpmath.mpf(2) ** bits)


@functools.cache
def normals(bits):
    """Every extreme radius at a random angle, every extreme angle at the largest and a random radius, and the truth:
    radii, angles, lengths, and two rows of normals.
    """
    g, extreme, last = np.random.default_rng(1), extreme_integers(bits), 2**bits - 1
    some = [[int(x) for x in g.integers(0, last, len(extreme), np.uint64, endpoint=True)] for _ in range(2)]
    radii, angles = extreme + [0] * len(extreme) + some[0], some[1] + extreme + extreme
    lengths, truths = [], []
    with mpmath.workprec(160):
        for radius, angle in zip(radii, angles, strict=True):
            r = mpmath.sqrt(2 * exponential(radius, bits))
            # Two bits are the quadrant; the rest, f + 1/2, the place in it.
            quadrant, fraction = angle >> bits - 2, angle << 2 & last
            turn = mpmath.pi / 2 * (quadrant + (mpmath.mpf(fraction) + 0.5) / mpmath.mpf(2) ** bits - 0.5)
            lengths.append(r)
            truths.append((r * mpmath.cos(turn), r * mpmath.sin(turn)))
    return radii, angles, lengths, truths


@pytest.mark.parametrize("isa", ISA_FLAGS)
@pytest.mark.parametrize("bits", [32, 64])
def test_normals_of_extreme_words(transform, isa, bits):
    radii, angles, lengths, truths = normals(bits)
    z = transform("gaussian", bits, isa, packed(radii, angles, bits))
    pairs = z.reshape(len(z), 2, -1).transpose(1, 0, 2).reshape(2, -1)[:, : len(radii)]
    unit = 2.0**-24 if bits == 32 else 2.0**-53
    both = zip(pairs.T, truths, lengths, strict=True)
    worst = float(max(abs(a - b) / r for pair, truth, r in both for a, b in zip(pair, truth, strict=True))) / unit
    assert worst < 3  # measured: 2.1 and 2.5 units of the radius
    assert np.hypot(*pairs).max() == pytest.approx(math.sqrt(2 * (bits + 1) * math.log(2)), rel=1e-6)
    assert np.hypot(*pairs).min() < 2.0 ** -(bits / 2 - 0.1)


@pytest.mark.parametrize("isa", ISA_FLAGS)
def test_laplace_of_extreme_words(transform, isa):
    """Right to the last places of the value itself, with both signs, from 2.7e-20 to 45."""
    words = [w | sign << 63 for w in extreme_integers(63) for sign in (0, 1)]
    half = len(words) // 2
    x = transform("laplace", 64, isa, packed(words[:half], words[half:], 64))
    values = x.reshape(len(x), 2, 64).transpose(1, 0, 2).reshape(2, -1)[:, :half].reshape(-1)
    with mpmath.workprec(160):
        truths = [exponential((w << 1) % 2**64, 64) * (-1 if w >> 63 else 1) for w in words]
        worst = float(max(abs(value / truth - 1) for value, truth in zip(values, truths, strict=True))) * 2.0**53
    assert worst < 3  # measured: 1.9
    assert np.abs(values).max() == pytest.approx(65 * math.log(2), rel=1e-6)
    assert np.abs(values).min() < 1e-19


@pytest.mark.parametrize("isa", ISA_FLAGS)
@pytest.mark.parametrize(("distribution", "bits"), KINDS)
def test_tails_have_every_step(transform, isa, distribution, bits):
    """The 4,096 smallest words give 4,096 different values, in order: no two uniforms share a place in the tail."""
    words = list(range(4096))
    if distribution == "laplace":
        sizes = transform(distribution, bits, isa, packed(words[::2], words[1::2], bits))
        sizes = sizes.reshape(len(sizes), 2, 64).transpose(0, 2, 1).reshape(-1)
    else:
        z = transform(distribution, bits, isa, packed(words, [2 ** (bits - 3)] * 4096, bits))
        sizes = z.reshape(len(z), 2, -1)[:, 0].reshape(-1)
    assert (np.diff(sizes) < 0).all()


# Where the keystream of seed 0 has its first radius of (almost) only zeros: found by a search of all of it before.
# The first of the two values, how far apart they are, the word that is meant, and its number of bits.
KNOWN = [
    ("gaussian", "float32", 33_345_812 * 256 + 46, 128, 0, 32),
    ("gaussian", "float64", 10_746_685 * 128 + 7, 64, 2_822_073_015, 64),
    ("laplace", "float64", 10_388_773 * 128 + 12, 0, 2 * 161_152_089, 64),
]


@pytest.mark.parametrize(("distribution", "real", "place", "apart", "word", "bits"), KNOWN)
def test_the_furthest_values_of_a_known_stream(distribution, real, place, apart, word, bits):
    """Through the public object: billions of values on, where the stream's own words are extreme."""
    generator = NoiseGenerator(0)
    generator._counts[distribution] = place
    x = getattr(generator, distribution)(apart + 1, dtype=real).astype(float)
    length = float(exponential(word, bits))
    found, expected = (abs(x[0]), length) if distribution == "laplace" else (np.hypot(x[0], x[-1]), np.sqrt(2 * length))
    assert found == pytest.approx(expected, rel=1e-6 if real == "float32" else 1e-15)
    assert expected > (22 if distribution == "laplace" else 6.7)
