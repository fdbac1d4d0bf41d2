"""The command line: exit codes, what is printed, and that check finds what is wrong."""

import subprocess
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss import _core, reference
from fastloss.__main__ import main
from fastloss.check import _run, kernel_names, run_check, usable_instruction_sets
from fastloss.check._case import Case, Row, Subject, Truth, same_bits

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
FUSED = [name for name in usable_instruction_sets() if name != "baseline"]


def test_info_prints_the_configuration(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    for word in (fl.__version__, "instruction set", "OpenMP", "threads", "backend"):
        assert word in printed


def test_the_module_runs_as_a_program():
    run = subprocess.run([sys.executable, "-m", "fastloss", "info"], capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert fl.__version__ in run.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["info", "--help"], ["check", "--help"], ["demo", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert "python -m fastloss" in capsys.readouterr().out


def test_help_says_what_each_command_is_for(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for purpose in ("print version", "compare every kernel", "train models"):
        assert purpose in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["check", "--loss", "no_loss"], "--loss no_loss is not known here; expected one of"),
        (["check", "--isa", "sse9"], "--isa sse9 is not known here; expected one of baseline"),
        (["demo", "--seed", "-1"], "-1 is negative"),
        (["demo", "--output", "no/such/folder/x.png"], "there is no folder"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("kernel", kernel_names())
def test_quick_check_passes(kernel, capsys):
    before = _core.isa_selected()
    code = main(["check", "--quick", "--loss", kernel])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert "FAIL" not in printed
    assert f"{2 * len(usable_instruction_sets())} checks, 0 failed" in printed
    assert _core.isa_selected() == before


def test_check_knows_every_loss_and_activation():
    names = set(kernel_names())
    assert names >= {name for name in fl.__all__ if hasattr(getattr(fl, name), "value_and_grad")} - {
        "log_loss",
        "mae_loss",
    }
    assert names >= set(_core.names_of_unary()) | {"softmax", "log_softmax", "logsumexp", "clip_and_noise", "chacha20"}


def test_check_of_one_instruction_set(capsys):
    assert main(["check", "--quick", "--loss", "l1_loss", "--isa", "baseline"]) == 0
    assert "2 checks, 0 failed" in capsys.readouterr().out


# ---- What is wrong is found ----


def test_another_reference_fails(monkeypatch, capsys):
    monkeypatch.setattr(reference, "mse_loss", reference.half_mse_loss)
    before = _core.isa_selected()
    assert main(["check", "--quick", "--loss", "mse_loss"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL" in printed
    assert "the reference has" in printed
    assert _core.isa_selected() == before


def test_a_missing_reference_fails(monkeypatch, capsys):
    monkeypatch.delattr(reference, "mse_loss")
    assert main(["check", "--quick", "--loss", "mse_loss", "--isa", "baseline"]) == 1
    assert "AttributeError" in capsys.readouterr().out


def check_of(monkeypatch, call, truths=(), **keywords):
    """Whether a check of one made-up kernel passes, and what it prints."""
    subject = Subject("made_up", lambda real, quick: [Case("case", call, truths, **keywords)], lambda real, isa: 2.0)
    monkeypatch.setattr(_run, "subjects", lambda: [subject])
    lines = []
    return run_check(show=lines.append), "\n".join(lines)


def test_bits_that_depend_on_threads_fail(monkeypatch):
    good, printed = check_of(monkeypatch, lambda: [np.array([float(fl.get_num_threads() == 3)])])
    assert not good
    assert "other bits with 3 threads than with one" in printed
    assert "7 threads" not in printed


@pytest.mark.skipif(len(FUSED) < 2, reason="needs two instruction sets with FMA")
def test_bits_that_depend_on_the_instruction_set_fail(monkeypatch):
    good, printed = check_of(monkeypatch, lambda: [np.array([float(len(_core.isa_selected()))])])
    assert not good
    assert "other bits than with another instruction set that has FMA" in printed


def test_bits_of_baseline_may_differ(monkeypatch):
    good, _ = check_of(monkeypatch, lambda: [np.array([float(_core.isa_selected() == "baseline")])])
    assert good


def test_a_call_that_raises_fails(monkeypatch):
    good, printed = check_of(monkeypatch, lambda: 1 / 0)
    assert not good
    assert "ZeroDivisionError" in printed


def test_a_wrong_sum_fails(monkeypatch):
    terms = np.array([1.0, 2.0, 3.0])
    assert check_of(monkeypatch, lambda: [terms, np.array(6.0)], sums=True)[0]
    good, printed = check_of(monkeypatch, lambda: [terms, np.array(6.00001)], sums=True)
    assert not good
    assert "the sum is off" in printed


def test_nan_against_number_fails_and_against_nan_passes(monkeypatch):
    truth = Truth("value", np.array([np.nan, 1.0]), F64)
    assert check_of(monkeypatch, lambda: [np.array([np.nan, 1.0])], [truth])[0]
    assert not check_of(monkeypatch, lambda: [np.array([np.nan, np.nan])], [truth])[0]
    assert not check_of(monkeypatch, lambda: [np.array([0.0, 1.0])], [truth])[0]


# ---- The measure ----


@pytest.mark.parametrize(
    ("real", "result", "truth", "ulps"),
    [
        (F64, 1.0, 1.0, 0.0),
        (F64, 1.0 + 2.0**-52, 1.0, 1.0),
        (F64, 1.0 - 2.0**-53, 1.0, 0.5),
        (F32, 1.0 + 2.0**-23, 1.0, 1.0),
        (F32, 3 * 2.0**-149, 2.0**-149, 2.0),
        (F64, 3 * 5e-324, 5e-324, 2.0),
        (F64, np.inf, np.inf, 0.0),
        (F64, np.inf, -np.inf, np.inf),
        (F64, np.inf, 1.0, np.inf),
        (F32, np.inf, 1e39, 0.0),
        (F64, 0.0, -0.0, 0.0),
    ],
)
def test_errors_in_ulp(real, result, truth, ulps):
    value = np.array([truth], np.longdouble)
    assert Truth("value", value, real).errors(np.array([result])).tolist() == [ulps]


def test_errors_are_measured_at_the_largest_term():
    truth = Truth("value", np.array([2.0**-20]), F64, scale=np.array([1.0]))
    assert truth.errors(np.array([2.0**-20 + 2.0**-52])).tolist() == [1.0]


def test_a_truth_beside_a_kink_is_as_good():
    truth = Truth("Hessian", np.array([1.0]), F64, others=[np.array([0.0])])
    assert truth.errors(np.array([0.0])).tolist() == [0.0]


def test_same_bits_takes_all_nans_for_one():
    quiet, negative = np.array([np.nan, 1.0]), np.array([-np.nan, 1.0])
    assert same_bits([quiet], [negative])
    assert not same_bits([np.array([0.0])], [np.array([-0.0])])
    assert not same_bits([np.array([1.0], np.float32)], [np.array([1.0])])


def test_a_result_of_another_shape_is_a_problem():
    row = Row("made_up", F64, "baseline", 2.0)
    row.judge(Case("case", list, [Truth("value", np.zeros(3), F64)]), [np.zeros(2)])
    assert row.problems == ["case: value has shape (2,), not (3,)"]


def test_check_needs_nothing_but_numpy():
    code = (
        "import sys, fastloss.check\n"
        "assert not {'scipy', 'sklearn', 'matplotlib', 'tqdm', 'mpmath'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
