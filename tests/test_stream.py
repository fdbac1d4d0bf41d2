"""The contract of the stream: a value is a function of (key, stream, index) alone, whoever asks, in whatever pieces,
for whatever purpose; nothing is used twice. What the values are like is in test_noise.py and test_secure.py.
"""

import copy
import itertools
import multiprocessing
import os
import pickle
import threading

import numpy as np
import pytest

from fastloss import _core, num_threads
from fastloss.privacy import (
    AdaptiveClipper,
    NoiseGenerator,
    add_noise,
    clip_and_noise,
    clip_and_sum,
    gaussian_mechanism,
    laplace_mechanism,
    linear_clip_and_noise,
    secure_budget,
)
from fastloss.privacy._discrete import law_of
from fastloss.reference import discrete
from fastloss.reference import privacy as reference

CONTINUOUS = [("gaussian", np.float32), ("gaussian", np.float64), ("laplace", np.float64)]
# Scales that need 2, 4, 8 and 12 words of a Gaussian value.
DISCRETE = [("gaussian", 2.0), ("gaussian", 50.0), ("gaussian", 1e5), ("gaussian", 2.0**33), ("laplace", 1e3)]
KEY = np.arange(8, dtype=np.uint32) * np.uint32(0x9E3779B9)

# Beyond 32 bits, at their edge, in the middle of a group of 256 and of a block, and near the last index there can be.
INDICES = [0, 1, 127, 128, 255, 256, 4095, 4097, 2**32 - 300, 2**32 + 77, 2**40 + 1, 2**56 - 129, 2**60 + 5]


def continuous(distribution, real, first, count):
    out = np.empty(count, real)
    _core.noise(distribution == "laplace", KEY, first, 1.0, out)
    return out


def integers(distribution, scale, first, count):
    out = np.zeros(count, np.int64)
    law_of(distribution, scale).add(KEY, first, out)
    return out


# ---- The index ----


@pytest.mark.parametrize("first", INDICES)
@pytest.mark.parametrize(("distribution", "real"), CONTINUOUS)
def test_continuous_values_at_any_index(distribution, real, first):
    whole = continuous(distribution, real, first, 600)
    want = reference.noise(distribution, np.dtype(real).name, KEY, first, 600)
    np.testing.assert_allclose(whole, want, rtol=4 * np.finfo(real).eps, atol=4 * np.finfo(real).eps)
    for start, count in ((0, 1), (1, 1), (130, 255), (299, 301)):
        part = continuous(distribution, real, first + start, count)
        assert part.tobytes() == whole[start : start + count].tobytes()


@pytest.mark.parametrize("first", INDICES)
@pytest.mark.parametrize(("distribution", "scale"), DISCRETE)
def test_integers_at_any_index(distribution, scale, first):
    law = law_of(distribution, scale)
    whole = integers(distribution, scale, first, 600)
    want = discrete.values(distribution, law.limits, law.inner_bits, law.outer_bits, KEY, first, 600)
    np.testing.assert_array_equal(whole, want)
    for start, count in ((0, 1), (1, 1), (130, 255), (299, 301)):
        np.testing.assert_array_equal(integers(distribution, scale, first + start, count), whole[start : start + count])


def test_threads_far_into_the_stream():
    first = 2**32 - 70_001
    for threads in (2, 3, 7):
        with num_threads(threads):
            many = [continuous(d, t, first, 140_003) for d, t in CONTINUOUS]
            more = [integers(d, s, first, 140_003) for d, s in DISCRETE[::2]]
        with num_threads(1):
            for x, (d, t) in zip(many, CONTINUOUS, strict=True):
                assert x.tobytes() == continuous(d, t, first, 140_003).tobytes()
            for x, (d, s) in zip(more, DISCRETE[::2], strict=True):
                np.testing.assert_array_equal(x, integers(d, s, first, 140_003))


# ---- Streams ----


def test_no_two_streams_share_a_word():
    """The nonces differ; a stream's values have their own words, group by group, for every scale."""
    nonces = {nonce for nonce, _, _ in reference.STREAMS.values()} | {n for n, _ in discrete.STREAMS.values()}
    assert nonces == {1, 2, 3, 4, 5}
    for (distribution, scale), group in itertools.product(DISCRETE, (0, 5)):
        words, asked = discrete.Words(distribution, KEY, np.array([group], np.uint64)), []
        law = law_of(distribution, scale)

        class Asked:
            def __getitem__(self, i, words=words, asked=asked):
                asked.append(i)
                return words[i]

            uniform = discrete.Words.uniform

        if distribution == "gaussian":
            discrete.gaussian(Asked(), law.limits, law.inner_bits, law.outer_bits)
        else:
            discrete.laplace(Asked(), law.limits)
        assert max(asked) < words.calls  # the next group begins there


def test_streams_of_one_key_are_independent():
    n = 200_000
    values = [continuous(d, t, 0, n).astype(float) for d, t in CONTINUOUS]
    values += [integers(d, s, 0, n).astype(float) for d, s in (DISCRETE[3], DISCRETE[4])]
    for x in (values, [np.abs(v) for v in values]):
        r = np.corrcoef(x) - np.eye(len(x))
        assert np.abs(r).max() < 6 / n**0.5


def test_one_bit_of_the_key_changes_everything():
    n = 50_000
    for word, bit in ((0, 0), (3, 17), (7, 31)):
        other = KEY.copy()
        other[word] ^= np.uint32(1 << bit)
        for distribution, scale in DISCRETE[3:]:
            a, b = integers(distribution, scale, 0, n), np.zeros(n, np.int64)
            law_of(distribution, scale).add(other, 0, b)
            assert abs(np.corrcoef(a, b)[0, 1]) < 6 / n**0.5
            assert (a == b).mean() < 0.01


# ---- Who draws what ----


def test_each_distribution_has_its_own_count():
    generator, names = NoiseGenerator(5), ("gaussian", "laplace", "discrete_gaussian", "discrete_laplace")
    arguments = {name: (9.0,) if name.startswith("discrete") else () for name in names}
    drawn = {name: [] for name in names}
    for k, name in enumerate(np.random.default_rng(1).choice(names, 60)):
        drawn[name].append(getattr(generator, name)(k % 7, *arguments[name]))
    for name in names:
        got = np.concatenate(drawn[name])
        np.testing.assert_array_equal(got, getattr(NoiseGenerator(5), name)(got.size, *arguments[name]))


def test_scales_share_a_count_so_no_index_is_used_twice():
    """The same index gives related values at two scales; a generator never draws it twice."""
    generator = NoiseGenerator(6)
    parts = [generator.discrete_gaussian(100, s) for s in (3.0, 0.0, 1e6)]
    assert not parts[1].any()
    np.testing.assert_array_equal(parts[0], NoiseGenerator(6).discrete_gaussian(100, 3.0))
    np.testing.assert_array_equal(parts[2], NoiseGenerator(6).discrete_gaussian(300, 1e6)[200:])


def test_every_secure_function_takes_the_next_integers():
    """One generator through all of them: each result is the one that the index it has come to gives."""
    grads = np.random.default_rng(2).standard_normal((6, 40))
    calls = {
        "clip_and_noise": (40, lambda g: clip_and_noise(grads, 1.0, 2.0, reduction="sum", rng=g, secure=True)),
        "add_noise": (
            40, lambda g: add_noise(clip_and_sum(grads, 1.0, secure=True), 2.0, reduction="sum", rng=g, secure=True)
        ),
        "gaussian_mechanism": (240, lambda g: gaussian_mechanism(grads, 1.0, 1.0, 1e-5, rng=g, secure=True)),
        "linear": (
            200,
            lambda g: linear_clip_and_noise(grads, grads[:, :5], 1.0, 2.0, reduction="sum", rng=g, secure=True),
        ),
    }  # fmt: skip
    shared, used = NoiseGenerator(7), 0
    for size, call in calls.values():
        alone = NoiseGenerator(7)
        alone.discrete_gaussian(used, 1.0)
        np.testing.assert_array_equal(call(shared), call(alone))
        used += size
    np.testing.assert_array_equal(
        shared.discrete_gaussian(5, 8.0), NoiseGenerator(7).discrete_gaussian(used + 5, 8.0)[used:]
    )
    np.testing.assert_array_equal(shared.gaussian(5), NoiseGenerator(7).gaussian(5))
    laplace_mechanism(grads, 1.0, 1.0, rng=shared, secure=True)
    np.testing.assert_array_equal(shared.discrete_laplace(3, 8.0), NoiseGenerator(7).discrete_laplace(243, 8.0)[240:])


def test_structures_are_one_run_of_the_stream():
    """A list of arrays gets what one array of all their columns would: the layout is no part of the index."""
    grads = np.random.default_rng(3).standard_normal((5, 60))
    parts = [grads[:, :13], grads[:, 13:14], grads[:, 14:]]
    for secure in (False, True):
        want = clip_and_noise(grads, 1.0, 1.0, reduction="sum", rng=8, secure=secure)
        got = clip_and_noise(parts, 1.0, 1.0, reduction="sum", rng=8, secure=secure)
        noise = clip_and_noise(parts, 1.0, 0.0, reduction="sum", secure=secure)
        clean = clip_and_noise(grads, 1.0, 0.0, reduction="sum", secure=secure)
        np.testing.assert_allclose(np.concatenate(got) - np.concatenate(noise), want - clean, rtol=0, atol=1e-14)


def test_a_call_that_raises_draws_nothing():
    generator, clipped = NoiseGenerator(9), clip_and_sum(np.ones((2, 3)), 1.0, secure=True)
    for call in (
        lambda: clip_and_noise([[np.nan]], 1.0, 1.0, reduction="sum", rng=generator, secure=True, nonfinite="raise"),
        lambda: clip_and_noise(np.ones((2, 3)), 1.0, 1e10, reduction="sum", rng=generator, secure=True),
        lambda: gaussian_mechanism([np.inf], 1.0, 1.0, 1e-5, rng=generator, secure=True),
        lambda: gaussian_mechanism(np.zeros(9), 1.0, 1.0, 1e-300, rng=generator, secure=True),
        lambda: add_noise(clipped, 1e10, reduction="sum", rng=generator, secure=True),
        lambda: add_noise(clipped, 1.0, reduction="sum", rng=generator, secure=True, out=np.empty(4)),
        lambda: generator.discrete_gaussian(3, 2.0**41),
    ):
        with pytest.raises(ValueError, match=r".+"):
            call()
    np.testing.assert_array_equal(generator.discrete_gaussian(4, 5.0), NoiseGenerator(9).discrete_gaussian(4, 5.0))


def test_no_noise_draws_nothing():
    generator = NoiseGenerator(10)
    for secure in (False, True):
        clip_and_noise(np.ones((2, 3)), 1.0, 0.0, reduction="sum", rng=generator, secure=secure)
        add_noise(clip_and_sum(np.ones((2, 3)), 1.0, secure=secure), 0.0, reduction="sum", rng=generator, secure=secure)
    np.testing.assert_array_equal(generator.discrete_gaussian(4, 5.0), NoiseGenerator(10).discrete_gaussian(4, 5.0))
    np.testing.assert_array_equal(generator.gaussian(4), NoiseGenerator(10).gaussian(4))


def test_adaptive_clipper_draws_from_one_stream():
    grads = np.random.default_rng(4).standard_normal((8, 10))
    clippers = [AdaptiveClipper(1.0, 1.0, 8, count_noise=2.0, rng=NoiseGenerator(11)) for _ in range(2)]
    results = [[c.clip_and_noise(grads, secure=True) for _ in range(3)] for c in clippers]
    np.testing.assert_array_equal(results[0], results[1])
    assert clippers[0].max_grad_norm == clippers[1].max_grad_norm
    # 10 integers of noise and one for the count, each time.
    used = clippers[0].generator.discrete_gaussian(1, 7.0)
    assert used[0] == NoiseGenerator(11).discrete_gaussian(34, 7.0)[33]


# ---- Processes and threads ----


def test_threads_share_integers_without_repeating():
    generator, results, scale = NoiseGenerator(12), [], 2.0**33

    def work():
        for _ in range(40):
            results.append(generator.discrete_gaussian(29, scale))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    want = NoiseGenerator(12).discrete_gaussian(6 * 40 * 29, scale)
    np.testing.assert_array_equal(np.sort(np.concatenate(results)), np.sort(want))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_children_have_their_own_secure_noise():
    """Of one unseeded generator: parent, two children and a grandchild, each through clip_and_noise."""
    generator = NoiseGenerator()
    empty = np.empty((0, 8))

    def release():
        return clip_and_noise(empty, 1.0, 1000.0, reduction="sum", rng=generator, secure=True)

    def forked(depth):
        read, write = os.pipe()
        if os.fork() == 0:
            inner = forked(depth - 1) if depth else []
            os.write(write, np.concatenate([release(), *inner]).tobytes())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            data = np.frombuffer(pipe.read())
        os.wait()
        return [data]

    values = np.concatenate([release(), *forked(1), *forked(0), release()])
    assert values.size == 40
    assert np.unique(values).size == 40


def seeded_noise(seed):
    return NoiseGenerator(seed).discrete_gaussian(20, 1e6)


def test_a_seed_means_the_same_in_every_process():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(seeded_noise, (13,)), seeded_noise(13))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_go_on_in_every_stream(duplicate):
    generator = NoiseGenerator(14)
    clip_and_noise(np.ones((2, 9)), 1.0, 1.0, reduction="sum", rng=generator, secure=True)
    generator.discrete_laplace(4, 3.0)
    other = duplicate(generator)
    for name in ("discrete_gaussian", "discrete_laplace"):
        np.testing.assert_array_equal(getattr(other, name)(7, 100.0), getattr(generator, name)(7, 100.0))


def test_the_operating_systems_keys_differ():
    """Every call without `rng` has a new one."""
    budget = secure_budget(1.0, 1.0, 8)
    assert budget.scale > 2**19
    options = {"reduction": "sum", "secure": True}
    values = [clip_and_noise(np.empty((0, 8)), 1.0, 1.0, **options) for _ in range(20)]
    values += [gaussian_mechanism(np.zeros(8), 1.0, 1.0, 1e-5, secure=True) for _ in range(20)]
    assert np.unique(np.concatenate(values)).size > 315  # 320 draws out of millions of likely values
