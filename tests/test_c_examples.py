"""Modules compiled against the installed header and .pxd: the examples, and two for other versions of the interface."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl
from fastloss import kernels

EXAMPLES = Path(__file__).parent.parent / "examples" / "c_interface"
PACKAGE = Path(fl.__file__).parent

pytestmark = [
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no examples beside the tests"),
    pytest.mark.skipif(not (shutil.which("cc") or shutil.which("cl")), reason="no C compiler"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Runs Python beside the compiled examples, and modules that want versions 2.0 and 1.99 of the interface."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("c_interface")
    for path in EXAMPLES.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    header = Path(fl.get_include(), "fastloss_kernels.h").read_text(encoding="utf-8")
    source = EXAMPLES.joinpath("perplexity.c").read_text(encoding="utf-8")
    setup = folder.joinpath("setup.py").read_text(encoding="utf-8")
    for name, old, new in (("newer", "ABI_MINOR 0", "ABI_MINOR 99"), ("other", "ABI_MAJOR 1", "ABI_MAJOR 2")):
        folder.joinpath(f"{name}.h").write_text(header.replace(old, new), encoding="utf-8")
        text = source.replace("fastloss_kernels.h", f"{name}.h").replace("PyInit_perplexity", f"PyInit_{name}")
        folder.joinpath(f"{name}.c").write_text(text, encoding="utf-8")
        setup = setup.replace(
            "        ]\n", f'            Extension("{name}", ["{name}.c"], include_dirs=INCLUDE),\n        ]\n'
        )
    folder.joinpath("setup.py").write_text(setup, encoding="utf-8")

    def run(*arguments):
        # Quickly compiled; and the package as a user's Cython finds it, on the path.
        environment = os.environ | {"CFLAGS": "-O0", "PYTHONPATH": str(PACKAGE.parent)}
        return subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    done = run("setup.py", "-q", "build_ext", "--inplace")
    assert done.returncode == 0, done.stderr
    return run


def test_the_cython_example_learns(built):
    """Both real types, several losses; the first mini-batch's loss is that of the Python function."""
    code = """
import numpy as np, sgd
import fastloss as fl
rng = np.random.default_rng(1)
for real in (np.float32, np.float64):
    x = rng.standard_normal((500, 3)).astype(real)
    true = np.array([1.0, -2.0, 0.5], real)
    for name, options, target in (("huber_loss", {"delta": 0.5}, x @ true), ("half_mse_loss", {}, x @ true),
                                  ("soft_margin_loss", {}, np.sign(x @ true))):
        parameters, weights = np.array(fl.kernels.parameters(name, **options)), np.zeros(3, real)
        first = sgd.epoch(name, parameters, x, target, weights, 0.0, 100)
        parts = [getattr(fl, name)(np.zeros(100, real), target[i:i + 100], reduction="sum", **options)
                 for i in range(0, 500, 100)]
        assert abs(first - sum(parts) / 500) <= 1e-14 * first, (name, first)
        for _ in range(30):
            last = sgd.epoch(name, parameters, x, target, weights, 0.1, 20)
        assert last < 0.3 * first, (name, real, first, last)
for name, numbers in (("huber", [1.0]), ("huber_loss", [1.0, 2.0])):
    try:
        sgd.epoch(name, np.array(numbers), x, target, weights, 0.1, 20)
    except ValueError:
        continue
    raise AssertionError(name)
print("learnt")
"""
    result = built("-c", code)
    assert result.stdout.strip() == "learnt", result.stderr


def test_the_c_example(built):
    code = """
import numpy as np, perplexity
import fastloss as fl
rng = np.random.default_rng(1)
x, labels = rng.standard_normal((40, 11)).astype(np.float32), rng.integers(0, 11, 40)
labels[3:6] = -100
assert abs(perplexity.perplexity(x, labels) / np.exp(fl.cross_entropy(x, labels)) - 1) < 1e-7
labels[7] = 11
try:
    perplexity.perplexity(x, labels)
except ValueError as error:
    print(error)
"""
    result = built("-c", code)
    assert result.stdout.strip() == "labels[7] is not below 11", result.stderr


def test_other_versions_of_the_interface_are_refused(built):
    for name, wanted, advice in (
        ("newer", "1.99; expected 1.99 or a later 1", "upgrade fastloss"),
        ("other", "2.0; expected 2.0 or a later 2", "upgrade fastloss"),
    ):
        result = built("-c", f"import {name}")
        message = (
            f"ImportError: fastloss {fl.__version__} has version 1.0 of its C interface, this module was compiled for "
        )
        assert f"{message}{wanted}: {advice}" in result.stderr


def test_the_comparison_runs(built):
    result = built("compare.py")
    assert result.returncode == 0, result.stderr
    assert "from C" in result.stdout


def test_the_header_is_installed():
    assert Path(fl.get_include(), "fastloss_kernels.h").is_file()
    assert Path(fl.get_include()).is_absolute()
    assert PACKAGE.joinpath("kernels.pxd").is_file()
    assert len(kernels.pointwise_names()) == len(set(kernels.pointwise_names())) > 20
    assert np.isfinite(kernels.parameters("tweedie_loss")).all()
