"""The elementary functions in units in the last place, by tests/ulp/ulp.c against wider arithmetic.

Quick: some million samples of every function, on the best instruction set and the baseline. Slow: every
float32 there is and 1e9 doubles; the last figures are in tests/ulp/RESULTS.md.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from fastloss import _core

FOLDER = Path(__file__).parent / "ulp"
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-std=gnu11"]
ISA_FLAGS = {"baseline": [], "avx2": ["-mavx2", "-mfma"]}
FUNCTIONS = (
    *("exp", "exp_nonpositive", "expm1", "log", "log1p", "log1p_unit"),
    *("tanh", "sigmoid", "softplus", "log_sigmoid", "sin_quarter", "cos_quarter"),
)
BOUND = {"baseline": 1.5, "avx2": 1.0}

COMPILER = shutil.which("cc") or shutil.which("gcc")
USABLE = [isa for isa, (compiled, supported) in _core.isa_names().items() if compiled and supported]

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="needs a C compiler"),
    pytest.mark.skipif(not (FOLDER.parents[1] / "csrc").is_dir(), reason="needs the sources, csrc/"),
]


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    """Returns a function that compiles the checker for a type and instruction set, once each."""
    folder, programs = tmp_path_factory.mktemp("ulp"), {}

    def program(bits, isa):
        if isa not in USABLE:
            pytest.skip(f"{isa} is not supported here")
        if (bits, isa) not in programs:
            path = folder / f"ulp_{isa}_{bits}"
            command = [COMPILER, *FLAGS, *ISA_FLAGS[isa], f"-DFASTLOSS_REAL_BITS={bits}", str(FOLDER / "ulp.c")]
            subprocess.run([*command, "-o", str(path), "-lm"], check=True)
            programs[bits, isa] = path
        return programs[bits, isa]

    return program


def measure(program, *arguments):
    """(largest error in ULP, number of wrong special results, the whole line)."""
    line = subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
    words = line.split()
    return float(words[words.index("max") + 1]), int(words[words.index("wrong") + 1]), line


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("isa", ISA_FLAGS)
@pytest.mark.parametrize("bits", [32, 64])
def test_samples(checker, bits, isa, function):
    worst, wrong, line = measure(checker(bits, isa), function, "1000000", "11")
    assert worst <= BOUND[isa], line
    assert wrong == 0, line


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("isa", ISA_FLAGS)
def test_every_float32(checker, isa, function):
    worst, wrong, line = measure(checker(32, isa), function, "exhaustive")
    assert worst <= BOUND[isa], line
    assert wrong == 0, line


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_billion_float64(checker, function):
    worst, wrong, line = measure(checker(64, "avx2"), function, "1000000000", "101")
    assert worst <= BOUND["avx2"], line
    assert wrong == 0, line
