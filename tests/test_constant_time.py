"""The integer samplers do the same whatever they draw: Jin et al. 2021 guess a value from the time of a sampler that
rejects (99.7 %), and here there is nothing to measure. No time is taken but in the slow experiment at the end.

constant_time/trace.c runs the samplers' own sources on chosen keystreams and hashes everything they do: every basic
block and every address that they touch, and, built as the kernels are, every machine instruction. The keystreams are
all zeros, all ones, and pseudo-random ones with as many extremes. Samplers that leak are traced beside them, and must
be noticed. constant_time/RESULTS.md has the figures of the slow runs.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fastloss import _core, num_threads
from fastloss.privacy import NoiseGenerator
from fastloss.privacy._discrete import law_of
from fastloss.reference import discrete

FOLDER = Path(__file__).parent / "constant_time"
SOURCES = (FOLDER.parents[1] / "csrc").is_dir()
COMPILERS = {name: path for name in ("cc", "clang") if (path := shutil.which(name))}
# As in setup.py.
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fno-lto", "-g0", "-w"]
AVX2 = ["-mavx2", "-mfma", "-mbmi2", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512cd", "-mprefer-vector-width=512"]
ISA_FLAGS = {"baseline": [], "avx2": AVX2, "avx512": [*AVX512, "-fschedule-insns"], "neon": []}
USABLE = [isa for isa, (compiled, supported) in _core.isa_names().items() if compiled and supported]
CLANG_HOOKS = [f"-asan-{option}" for option in ("instrumentation-with-call-threshold=0", "stack=0", "globals=0")]
HOOKS = ["-fsanitize=kernel-address", "-fsanitize-coverage=trace-pc"]

# Scales with every way through the sampler: a table alone, 16 uniforms, 24 of at most 16 bits, and of more.
LAWS = [("gaussian", 3.0), ("gaussian", 50.0), ("gaussian", 2.0**20), ("gaussian", 2.0**33), ("laplace", 1e3),
        ("laplace", 2.0**30)]  # fmt: skip

needs_sources = pytest.mark.skipif(not (COMPILERS and SOURCES), reason="needs a C compiler and csrc/")


def is_clang(compiler):
    return "clang" in subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Returns a function that compiles the tracer of a kind ("blocks": instrumented, or "steps"), each but once."""
    folder, programs = tmp_path_factory.mktemp("trace"), {}

    def program(kind, name, isa, stream=()):
        if (kind, name, isa, stream) not in programs:
            compiler = COMPILERS[name]
            option = "-mllvm" if is_clang(compiler) else "--param"
            hooks = [x for hook in CLANG_HOOKS for x in (option, hook if option == "-mllvm" else hook[1:])]
            flags = [*FLAGS, *ISA_FLAGS[isa], *stream, *([*HOOKS, *hooks] if kind == "blocks" else [])]
            stem = str(folder / f"{kind}-{name}-{isa}-{len(stream)}")
            define = ["-DSTEPS"] if kind == "steps" else []
            for command in (
                [*flags, "-c", str(FOLDER / "samplers.c"), "-o", f"{stem}.o"],
                ["-O2", *define, str(FOLDER / "trace.c"), f"{stem}.o", "-lm", "-o", stem],
            ):
                subprocess.run([compiler, *command], check=True)
            programs[kind, name, isa, stream] = stem
        return programs[kind, name, isa, stream]

    return program


def trace(program, sampler, law, values, patterns):
    """Of every pattern: (what was done, hashed, and how much; smallest and largest value)."""
    limits = law.limits.tolist()
    text = " ".join(map(str, (int(law.laplace), law.inner_bits, law.outer_bits, len(limits), *limits)))
    run = subprocess.run(
        [program, sampler, str(values), str(patterns)], input=text, capture_output=True, text=True, check=False
    )
    if run.returncode == 77:
        pytest.skip("the system lets no process step through another")
    assert run.returncode == 0, run.stderr
    lines = [line.split() for line in run.stdout.splitlines()]
    return [tuple(line[:3]) for line in lines], [tuple(map(float, line[3:])) for line in lines]


def check(program, laws=LAWS, values=600, patterns=12):
    for distribution, scale in laws:
        done, ranges = trace(program, "integers", law_of(distribution, scale), values, patterns)
        assert len(set(done)) == 1, (distribution, scale)
        assert len(set(ranges)) > 2  # the values did differ
        assert max(most - least for least, most in ranges) > 4 * scale


LEAKY = law_of("laplace", 1e3)


@needs_sources
@pytest.mark.parametrize("name", COMPILERS)
def test_blocks_and_addresses(build, name):
    """Best instruction set: Clang's trace is that of the vectorised code, GCC's of the code before."""
    program = build("blocks", name, USABLE[-1])
    check(program)
    for sampler in ("trials", "table"):
        done, _ = trace(program, sampler, LEAKY, 600, 12)
        assert len(set(done)) > 6, sampler


@needs_sources
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs ptrace")
def test_instructions(build):
    """The machine code as it is shipped, on the best instruction set."""
    program = build("steps", next(iter(COMPILERS)), USABLE[-1])
    check(program, LAWS[2:5:2], values=256, patterns=3)
    done, _ = trace(program, "trials", LEAKY, 20, 4)
    assert len({events for _, events, _ in done}) > 1


@needs_sources
@pytest.mark.slow
@pytest.mark.parametrize("stream", [(), ("-DREAL_STREAM",)], ids=["samplers", "with ChaCha20"])
@pytest.mark.parametrize("isa", USABLE)
@pytest.mark.parametrize("name", COMPILERS)
@pytest.mark.parametrize("kind", ["blocks", "steps"])
def test_every_build(build, kind, name, isa, stream):
    """Also with the real keystream, whose key then differs."""
    values, patterns = (5000, 40) if kind == "blocks" else (256, 4)
    check(build(kind, name, isa, stream), values=values, patterns=patterns)


# ---- What is read of the keystream ----


@pytest.mark.parametrize(("distribution", "scale"), LAWS)
def test_words_read_are_a_function_of_the_scale(distribution, scale, monkeypatch):
    """For every key the twin, whose values are the native ones bit for bit, asks for the same words of each value; none
    is drawn again.
    """
    law, asked = law_of(distribution, scale), []
    original = discrete.Words.__getitem__

    def counted(words, i):
        asked[-1].append(i)
        return original(words, i)

    monkeypatch.setattr(discrete.Words, "__getitem__", counted)
    for seed in range(6):
        asked.append([])
        key = np.random.default_rng(seed).integers(0, 2**32, 8, dtype=np.uint32)
        twin = discrete.values(distribution, law.limits, law.inner_bits, law.outer_bits, key, 100, 700)
        native = np.zeros(700, np.int64)
        law.add(key, 100, native)
        np.testing.assert_array_equal(native, twin)
    assert all(words == asked[0] for words in asked)
    calls = {"gaussian": 16, "laplace": 128}[distribution]
    assert max(asked[0]) < calls  # a value's words are set aside for it alone


# ---- Time itself, once ----


@pytest.mark.slow
def test_time_says_nothing_about_the_values():
    """Time of draws of 256 integers against their size, and of a sampler that counts trials; run with -s, it prints the
    table. The attacker guesses whether a draw's values are large (sum of absolute values above the median) from whether
    its time is.
    """
    rng = np.random.default_rng(1)

    def by_trials(key):
        stream = np.random.default_rng(int(key[0]))
        total = 0
        for _ in range(20):
            while stream.random() < 0.95:
                total += 1
        return total

    def guessed(draw, games):
        keys = rng.integers(0, 2**32, (games, 8), dtype=np.uint32)
        times, sizes = np.empty(games), np.empty(games)
        for i, key in enumerate(keys):
            start = time.perf_counter_ns()
            value = draw(key)
            times[i] = time.perf_counter_ns() - start
            sizes[i] = np.abs(value).sum()
        right = (times > np.median(times)) == (sizes > np.median(sizes))
        keep = times != np.median(times)
        return float(right[keep].mean()), int(keep.sum()), float(stats.spearmanr(times, sizes).statistic)

    games = int(os.environ.get("FASTLOSS_GAMES", "200000"))
    with num_threads(1):
        for distribution, scale in (("gaussian", 2.0**20), ("gaussian", 3.0), ("laplace", 2.0**20)):
            law = law_of(distribution, scale)

            def draw(key, law=law):
                sums = np.zeros(256, np.int64)
                law.add(key, 0, sums)
                return sums

            share, counted, rank = guessed(draw, games)
            print(f"| discrete {distribution}, scale {scale:g} | {counted} | {share:.4f} | {rank:+.4f} |")
            assert abs(share - 0.5) < 5 * 0.5 / counted**0.5
            assert abs(rank) < 5 / games**0.5
    share, counted, rank = guessed(by_trials, games // 50)
    print(f"| geometric, by trials | {counted} | {share:.4f} | {rank:+.4f} |")
    assert share > 0.6


def test_generators_use_these_samplers():
    """What was traced is what `NoiseGenerator` draws: the same limits, and nothing between."""
    law = law_of("gaussian", 2.0**20)
    generator, sums = NoiseGenerator(3), np.zeros(1000, np.int64)
    law.add(generator._key, 0, sums)
    np.testing.assert_array_equal(generator.discrete_gaussian(1000, 2.0**20), sums)
