"""What the build must hold, whoever built it: dispatch, floating-point mode, configuration, import. Judges no loss."""

import ast
import os
import platform
import re
import shutil
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl
from fastloss import _core

STATES = _core.isa_names()
USABLE = [name for name, (compiled, supported) in STATES.items() if compiled and supported]


def python(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a fresh interpreter; its environment has no setting of fastloss but these."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FASTLOSS_", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, timeout=120, check=False
    )


# ---- Which instructions lie where ----

# VEX-encoded instructions on general registers: no AVX, but no part of the baseline either.
BMI = {"andn", "bextr", "blsi", "blsmsk", "blsr", "bzhi", "mulx", "pdep", "pext", "rorx", "sarx", "shlx", "shrx"}
FUNCTION = re.compile(r"\s*\d+: ([0-9a-f]+)\s+(\S+)\s+(FUNC|FILE)\s+(LOCAL|GLOBAL|WEAK)\s+\S+\s+\S+\s*(.*)")
INSTRUCTION = re.compile(r"\s*([0-9a-f]+):\t(\S+)\s*(.*)")


def symbols(readelf: Iterable[str]) -> list[tuple[int, int, str, str]]:
    """(start, end, name, source file) of every function of .symtab, by address; global ones have no source file.

    A FILE entry names the source of the local symbols that follow it.
    """
    found, source, in_symtab = [], "", False
    for line in readelf:
        if line.startswith("Symbol table"):
            in_symtab = "'.symtab'" in line
        match = FUNCTION.match(line) if in_symtab else None
        if match is None:
            continue
        start, size, kind, binding, name = match.groups()
        if kind == "FILE":
            source = Path(name.strip()).name
        elif int(size, 0):
            found.append((int(start, 16), int(start, 16) + int(size, 0), name, source if binding == "LOCAL" else ""))
    return sorted(found)


def set_of(mnemonic: str, operands: str) -> str:
    """The least target that an instruction belongs to."""
    vector = mnemonic.startswith("v") and (mnemonic.startswith("vzero") or re.search(r"%[xyz]mm", operands))
    mask = re.search(r"%k[0-7]", operands)
    if "%zmm" in operands or mask or (vector and re.search(r"%[xy]mm(1[6-9]|2\d|3[01])", operands)):
        return "avx512"
    return "avx2" if vector or mnemonic in BMI else "baseline"


def misplaced(objdump: Iterable[str], functions: list[tuple[int, int, str, str]]) -> tuple[list[str], dict[str, int]]:
    """Instructions outside the target files that may hold them, and how many of each set the right files hold."""
    starts = [f[0] for f in functions]
    bad, counts = [], {"avx2": 0, "avx512": 0}
    for line in objdump:
        match = INSTRUCTION.match(line)
        if match is None:
            continue
        needed = set_of(match[2], match[3])
        if needed == "baseline":
            continue
        address = int(match[1], 16)
        at = bisect_right(starts, address) - 1
        inside = at >= 0 and address < functions[at][1]
        name, source = functions[at][2:] if inside else ("no function", "")
        if source.startswith("avx512_") or (source.startswith("avx2_") and needed == "avx2"):
            counts[needed] += 1
        else:
            bad.append(f"{match[2]} {match[3]} in {name} ({source or 'no target file'})")
    return bad, counts


SYMBOLS = """
Symbol table '.dynsym' contains 1 entries:
     1: 0000000000001000    16 FUNC    GLOBAL DEFAULT   12 PyInit__core
Symbol table '.symtab' contains 6 entries:
     1: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS csrc/targets/avx2_f32.c
     2: 0000000000002000    32 FUNC    LOCAL  DEFAULT   12 mse_loss_block
     3: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS avx512_f32.c
     4: 0000000000003000    32 FUNC    LOCAL  DEFAULT   12 mse_loss_block
     5: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS _core.c
     6: 0000000000004000    32 FUNC    LOCAL  DEFAULT   12 run_block
     7: 0000000000001000    16 FUNC    GLOBAL DEFAULT   12 PyInit__core
""".splitlines()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("    2000:\tvaddps %ymm0,%ymm1,%ymm2", []),
        ("    201f:\tvzeroupper", []),
        ("    3004:\tvaddps %zmm0,%zmm1,%zmm2", []),
        ("    3004:\tkmovw  %k1,%eax", []),
        ("    4000:\tmulsd  %xmm0,%xmm1", []),
        ("    4000:\tcall   1000 <verify_all>", []),
        ("    2004:\tvaddps %zmm0,%zmm1,%zmm2", ["mse_loss_block (avx2_f32.c)"]),
        ("    2004:\tvaddps %xmm17,%xmm1,%xmm2", ["mse_loss_block (avx2_f32.c)"]),
        ("    2004:\tkmovw  %k1,%eax", ["mse_loss_block (avx2_f32.c)"]),
        ("    4000:\tvmulsd %xmm0,%xmm1,%xmm2", ["run_block (_core.c)"]),
        ("    4000:\tvzeroupper", ["run_block (_core.c)"]),
        ("    4000:\tshlx   %rax,%rbx,%rcx", ["run_block (_core.c)"]),
        ("    1008:\tvmovaps (%rdi),%ymm0", ["PyInit__core (no target file)"]),
        ("    2020:\tvmovaps (%rdi),%ymm0", ["no function (no target file)"]),
    ],
)
def test_misplaced_instructions_are_seen(line: str, found: list[str]) -> None:
    bad, _ = misplaced([line], symbols(SYMBOLS))
    assert [entry.split(" in ")[1] for entry in bad] == found


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="about x86-64 instructions")
def test_no_avx_outside_the_dispatched_objects() -> None:
    if not (shutil.which("objdump") and shutil.which("readelf")):
        pytest.skip("needs objdump and readelf (binutils)")

    def lines(*command: str) -> list[str]:
        result = subprocess.run([*command, _core.__file__], capture_output=True, text=True, check=True)
        return result.stdout.splitlines()

    functions = symbols(lines("readelf", "-sW"))
    if not functions:
        pytest.skip("the extension module has been stripped of its symbols")
    bad, counts = misplaced(lines("objdump", "-d", "--no-show-raw-insn"), functions)
    assert bad[:20] == []
    for isa, count in counts.items():  # the search finds what is there
        assert (count > 1000) == STATES[isa][0]
    assert not [name for _, _, name, _ in functions if name == "set_fast_math"]  # of crtfastmath.o


# ---- Floating-point mode ----


def test_import_leaves_the_floating_point_mode_alone() -> None:
    code = """
import warnings
warnings.simplefilter("error")
import numpy as np
import fastloss as fl
from threading import Thread
def check():
    for real in (np.float32, np.float64):
        tiny = np.finfo(real).smallest_subnormal
        assert tiny != 0 and tiny * real(2) / real(2) == tiny
        a = np.full(1000, np.finfo(real).tiny, real)
        assert (a / real(2) != 0).all() and (a * real(0.5) + a * real(0.5) == a).all()
check()
x = np.zeros(1 << 20, np.float32)
fl.set_num_threads(2)
fl.binary_cross_entropy_with_logits(x, x)
check()
t = Thread(target=check)
t.start()
t.join()
print("kept")
"""
    result = python(code)
    assert result.stdout.strip() == "kept", result.stderr


def test_no_fast_math_flag() -> None:
    setup = Path(__file__).parent.parent / "setup.py"
    if not setup.exists():
        pytest.skip("an installed package has no setup.py")
    strings = [n.value for n in ast.walk(ast.parse(setup.read_text())) if isinstance(n, ast.Constant)]
    flags = {s for s in strings if isinstance(s, str) and s.startswith(("-", "/"))}
    assert {"-ffp-contract=off", "-fno-lto"} <= flags
    allowed = {"-fno-math-errno", "-fno-trapping-math"}
    assert not {f for f in flags - allowed if re.search("fast|unsafe|finite|associative|native|math", f)}


# ---- Instruction sets ----


@pytest.mark.parametrize("isa", USABLE)
def test_every_instruction_set_can_be_forced(isa: str) -> None:
    code = """
import fastloss as fl
fl.show_config()
value, grad = fl.huber_loss.value_and_grad([3.0, 0.0], [0.0, 0.5])
assert value == 1.3125 and grad.tolist() == [0.5, -0.25], (value, grad)
"""
    result = python(code, FASTLOSS_ISA=isa)
    assert result.returncode == 0, result.stderr
    assert re.search(rf"^instruction set +{isa} \(", result.stdout, re.MULTILINE), result.stdout


def test_the_best_instruction_set_is_the_default() -> None:
    code = "from fastloss import _core; print(_core.isa_selected())"
    assert python(code).stdout.strip() == USABLE[-1]
    assert python(code, FASTLOSS_ISA="").stdout.strip() == USABLE[-1]


def test_an_unknown_instruction_set_is_refused() -> None:
    result = python("import fastloss", FASTLOSS_ISA="avx1024")
    assert result.returncode == 1
    message = "ValueError: FASTLOSS_ISA = 'avx1024' is unknown: expected one of baseline, avx2, avx512, neon"
    assert message in result.stderr


@pytest.mark.parametrize("isa", [name for name in STATES if name not in USABLE])
def test_an_instruction_set_that_is_not_here_is_refused(isa: str) -> None:
    why = "is not supported by this CPU" if STATES[isa][0] else "is not compiled into this build"
    result = python("import fastloss", FASTLOSS_ISA=isa)
    assert result.returncode == 1
    assert f"ValueError: FASTLOSS_ISA = {isa!r} {why}: expected one of {', '.join(USABLE)}" in result.stderr


def test_baseline_is_always_there() -> None:
    assert STATES["baseline"] == (True, True)
    if platform.machine() in ("x86_64", "AMD64"):
        assert not STATES["neon"][1]
    if platform.machine() in ("aarch64", "arm64"):
        assert STATES["neon"] == (True, True)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="asks Linux what the CPU can do")
def test_detection_agrees_with_the_operating_system() -> None:
    lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")]
    if not lines:
        pytest.skip("no flags in /proc/cpuinfo")
    flags = set(lines[0].split())
    assert STATES["avx2"][1] == ({"avx2", "fma", "bmi2"} <= flags)
    assert STATES["avx512"][1] == (
        STATES["avx2"][1] and {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"} <= flags
    )


# ---- Configuration and import ----


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    with fl.num_threads(3), fl.backend("reference"):
        fl.show_config()
    text = capsys.readouterr().out.replace("instruction set", "isa")
    shown = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert list(shown) == ["fastloss", "Python", "compiler", "isa", "OpenMP", "threads", "backend"]
    assert shown["fastloss"] == fl.__version__
    assert platform.python_version() in shown["Python"]
    assert np.__version__ in shown["Python"]
    assert shown["compiler"] == _core.compiler() != ""
    assert shown["isa"].startswith(f"{_core.isa_selected()} (usable: {', '.join(USABLE)}")
    assert shown["OpenMP"].startswith("yes (" if _core.openmp_version() else "no: serial build")
    assert shown["threads"] == "3"
    assert shown["backend"] == "reference"


def test_import_is_light() -> None:
    code = """
import sys
import numpy
before = set(sys.modules)
import fastloss
roots = {name.split(".")[0] for name in set(sys.modules) - before}
print(*sorted(roots - set(sys.stdlib_module_names)))
"""
    # NumPy's own late imports, and the runtime names of Cython's modules.
    others = {name for name in python(code).stdout.split() if not name.startswith(("_cython_", "cython_runtime"))}
    assert others - {"numpy"} == {"fastloss"}


@pytest.mark.skipif(not hasattr(sys, "_is_gil_enabled"), reason="this Python always has the lock")
def test_import_does_not_bring_the_lock_back() -> None:
    numpy, fastloss = (python(f"import sys, {name}; print(sys._is_gil_enabled())") for name in ("numpy", "fastloss"))
    assert fastloss.stdout == numpy.stdout
