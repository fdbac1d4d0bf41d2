"""The keystream, the samplers and the generator object of fastloss.privacy."""

import copy
import math
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from scipy import stats

from fastloss import _core, num_threads
from fastloss.privacy import NoiseGenerator
from fastloss.reference import privacy as reference

REALS = (np.float32, np.float64)
DISTRIBUTIONS = ("gaussian", "laplace")


def draw(generator, distribution, *args, **kwargs):
    return getattr(generator, distribution)(*args, **kwargs)


def words_of(key):
    return np.frombuffer(key, "<u4").astype(np.uint32)


def usable_isas():
    return [isa for isa, (compiled, supported) in _core.isa_names().items() if compiled and supported]


# ---- Keystream: RFC 8439 ----

# (key, block counter, 96-bit nonce, keystream block): section 2.3.2 and test vectors 1 to 5 of appendix A.1.
VECTORS = [
    (bytes(range(32)), 1, "000000090000004a00000000",
     "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
     "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"),
    (bytes(32), 0, "00" * 12,
     "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
     "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"),
    (bytes(32), 1, "00" * 12,
     "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
     "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"),
    (bytes(31) + b"\x01", 1, "00" * 12,
     "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
     "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"),
    (b"\x00\xff" + bytes(30), 2, "00" * 12,
     "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
     "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"),
    (bytes(32), 0, "00" * 11 + "02",
     "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
     "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d"),
]  # fmt: skip


def split_nonce(counter, nonce):
    """The RFC's 32-bit counter and 96-bit nonce as a 64-bit counter and a 64-bit nonce."""
    n = np.frombuffer(bytes.fromhex(nonce), "<u4").astype(object)
    return counter | int(n[0]) << 32, int(n[1]) | int(n[2]) << 32


@pytest.mark.parametrize(("key", "counter", "nonce", "block"), VECTORS)
def test_chacha20_vectors(isa, key, counter, nonce, block):
    counter64, nonce64 = split_nonce(counter, nonce)
    blocks = _core.chacha20(words_of(key), counter64, nonce64)
    assert blocks[0].astype("<u4").tobytes().hex() == block
    twin = reference.chacha20(words_of(key), np.arange(counter64, counter64 + 16, dtype=np.uint64), nonce64)
    np.testing.assert_array_equal(blocks, twin)


# Section 2.4.2: the key of 2.3.2, two blocks from counter 1 on.
SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)
ENCRYPTED = (
    "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f53"
    "0c359f0861d807ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab77937365af90bbf74a35be6b40b8eedf2785e42874d"
)


def test_chacha20_encryption(isa):
    counter, nonce = split_nonce(1, "000000000000004a00000000")
    stream = _core.chacha20(words_of(bytes(range(32))), counter, nonce).astype("<u4").tobytes()
    assert bytes(a ^ b for a, b in zip(SUNSCREEN, stream, strict=False)).hex() == ENCRYPTED


def test_chacha20_counter_carries_into_the_high_word():
    key = words_of(bytes(range(32)))
    start = 2**32 - 5
    twin = reference.chacha20(key, np.arange(start, start + 16, dtype=np.uint64), 2**40 + 3)
    np.testing.assert_array_equal(_core.chacha20(key, start, 2**40 + 3), twin)


# ---- Values as a function of key and index ----


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_values_equal_the_reference(distribution, real):
    native, twin = NoiseGenerator(2**70 + 1), reference.NoiseGenerator(2**70 + 1)
    for shape in (333, (7, 11, 13), 100_001, ()):
        got, want = draw(native, distribution, shape, dtype=real), draw(twin, distribution, shape, dtype=real)
        assert got.dtype == real
        assert got.shape == want.shape
        # ULPs of the largest of radius, sine and cosine: a normal near 0 is a product with a small sine.
        np.testing.assert_allclose(got, want, rtol=4 * np.finfo(real).eps, atol=4 * np.finfo(real).eps)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_chunks_threads_and_strides_do_not_matter(distribution, real):
    whole = draw(NoiseGenerator(1), distribution, 100_000, dtype=real)
    for threads in (1, 2, 3):
        with num_threads(threads):
            generator = NoiseGenerator(1)
            parts = []
            for n in (1, 0, 255, 256, 257, 4095, 4097, 1000, 50_000):
                parts.append(draw(generator, distribution, n, dtype=real))
            parts.append(draw(generator, distribution, 100_000 - sum(map(len, parts)), dtype=real))
            assert np.concatenate(parts).tobytes() == whole.tobytes()
    buffer = np.zeros((200, 500, 2), real)
    out = buffer[::-1, :, 1]
    assert draw(NoiseGenerator(1), distribution, (200, 500), dtype=real, out=out) is out
    np.testing.assert_array_equal(out.reshape(-1), whole)
    assert not buffer[:, :, 0].any()


def test_types_share_a_count_and_distributions_do_not():
    generator = NoiseGenerator(3)
    generator.gaussian(10, dtype=np.float32)
    np.testing.assert_array_equal(generator.gaussian(5), NoiseGenerator(3).gaussian(15)[10:])
    np.testing.assert_array_equal(generator.laplace(5), NoiseGenerator(3).laplace(5))


def test_float32_laplace_is_the_float64_value_rounded():
    expected = NoiseGenerator(4).laplace(10_000, 3.0).astype(np.float32)
    np.testing.assert_array_equal(NoiseGenerator(4).laplace(10_000, 3.0, np.float32), expected)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_scale_multiplies(distribution):
    unit = draw(NoiseGenerator(5), distribution, 1000)
    np.testing.assert_array_equal(draw(NoiseGenerator(5), distribution, 1000, 2.5), 2.5 * unit)
    assert not draw(NoiseGenerator(5), distribution, 1000, 0.0).any()


def digest_of(isa):
    """Hash of all noise of a fresh process that is forced to an instruction set."""
    program = (
        "import hashlib, numpy as np\n"
        "from fastloss.privacy import NoiseGenerator\n"
        "h = hashlib.sha256()\n"
        "for d in ('gaussian', 'laplace'):\n"
        "    for t in (np.float32, np.float64):\n"
        "        h.update(getattr(NoiseGenerator(6), d)(300_000, 1.7, t).tobytes())\n"
        "print(h.hexdigest())\n"
    )
    environment = {**os.environ, "FASTLOSS_ISA": isa}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.skipif("avx512" not in usable_isas(), reason="needs two instruction sets with FMA")
def test_same_bits_on_avx2_and_avx512():
    assert digest_of("avx2") == digest_of("avx512")


# ---- Distributions: test_noise_statistics.py and test_noise_transform.py; here what has a history ----


def test_small_float32_radii_do_not_collapse():
    """With u rounded to 24 bits near 1, one value in 2**25 would be 0 and the others near 0 coarse."""
    x = NoiseGenerator(11).gaussian(8_000_000, dtype=np.float32)
    assert (x != 0).all()
    # Pairs with a small radius: r^2 / 2 is exponential, so its smallest of 4e6 is about 2.5e-7.
    groups = x.reshape(-1, 2, 128).astype(np.float64)
    half_square = (groups[:, 0] ** 2 + groups[:, 1] ** 2).reshape(-1) / 2
    small = half_square[half_square < 1e-4]
    assert stats.kstest(small / 1e-4, "uniform").pvalue > 1e-4
    assert np.unique(small).size > 0.9 * small.size


# ---- The object ----


def test_unseeded_generators_differ():
    a, b = NoiseGenerator(), NoiseGenerator()
    assert not np.array_equal(a.gaussian(10), b.gaussian(10))
    assert repr(a) == "NoiseGenerator()"
    assert repr(NoiseGenerator(3)) == "NoiseGenerator(3)"


def test_unseeded_generator_is_not_copied_or_pickled():
    generator = NoiseGenerator()
    for action in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="unseeded NoiseGenerator"):
            action(generator)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_seeded_generator_goes_on_where_it_stood(duplicate):
    generator = NoiseGenerator(12)
    generator.gaussian(100)
    other = duplicate(generator)
    np.testing.assert_array_equal(other.gaussian(10), generator.gaussian(10))
    np.testing.assert_array_equal(other.laplace(10), generator.laplace(10))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork():
    def child_draws(generator):
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, generator.gaussian(4).tobytes())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            data = np.frombuffer(pipe.read())
        os.wait()
        return data

    unseeded, seeded = NoiseGenerator(), NoiseGenerator(13)
    unseeded.gaussian(2), seeded.gaussian(2)
    children = [child_draws(unseeded) for _ in range(2)]
    assert not np.isin(children[0], children[1]).any()
    assert not np.isin(children, unseeded.gaussian(4)).any()
    repeated = child_draws(seeded)
    np.testing.assert_array_equal(repeated, seeded.gaussian(4))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork_while_another_thread_holds_the_lock():
    generator = NoiseGenerator(14)
    with generator._lock:
        pid = os.fork()
        if pid == 0:
            generator.gaussian(1)
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_threads_share_a_generator_without_repeating():
    generator, results = NoiseGenerator(15), []

    def work():
        for _ in range(50):
            results.append(generator.gaussian(37))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = np.sort(np.concatenate(results))
    np.testing.assert_array_equal(got, np.sort(NoiseGenerator(15).gaussian(8 * 50 * 37)))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_errors(distribution):
    generator = NoiseGenerator(16)
    for arguments, error, text in (
        ({"shape": -1}, ValueError, "shape"),
        ({"shape": (2, -3)}, ValueError, "shape"),
        ({"shape": 2.0}, TypeError, "shape"),
        ({"shape": 2, "scale": -1.0}, ValueError, "scale"),
        ({"shape": 2, "scale": math.nan}, ValueError, "scale"),
        ({"shape": 2, "scale": math.inf}, ValueError, "scale"),
        ({"shape": 2, "dtype": np.float16}, TypeError, "dtype"),
        ({"shape": 2, "dtype": np.int64}, TypeError, "dtype"),
        ({"shape": 2, "out": np.empty(3)}, ValueError, "out"),
        ({"shape": 2, "out": np.empty(2, np.float32)}, TypeError, "out"),
        ({"shape": 2, "out": [0.0, 0.0]}, TypeError, "out"),
    ):
        with pytest.raises(error, match=text):
            draw(generator, distribution, **arguments)
    read_only = np.empty(2)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        draw(generator, distribution, 2, out=read_only)
    # Nothing was drawn.
    np.testing.assert_array_equal(draw(generator, distribution, 3), draw(NoiseGenerator(16), distribution, 3))


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)])
def test_bad_seeds(seed, error):
    with pytest.raises(error, match="seed"):
        NoiseGenerator(seed)
