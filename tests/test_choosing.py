"""The page that helps to choose: its calls run, no loss is missing from it, and its links lead somewhere."""

import math
import re
from pathlib import Path

import pytest

import fastloss as fl
from fastloss._loss import Loss

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "choosing.md"  # absent beside an installed wheel
if not PAGE.is_file():
    pytest.skip("no docs beside the tests", allow_module_level=True)

TEXT = PAGE.read_text(encoding="utf-8")
SETUP = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CALLS = re.findall(r"`(fl\.\w+\([^`]*\))`", TEXT)
LOSSES = sorted(name for name in fl.__all__ if isinstance(getattr(fl, name), Loss))


@pytest.fixture(scope="module")
def arrays():
    """What the page's one block of code defines."""
    assert len(SETUP) == 1
    names = {}
    exec(SETUP[0], names)
    return names


@pytest.mark.parametrize("call", CALLS)
def test_calls(call, arrays):
    """Each gives a finite number, which the reference confirms."""
    with fl.backend("check"):
        value = eval(call, arrays)
    assert isinstance(value, float)
    assert math.isfinite(value)
    assert value != 0


@pytest.mark.parametrize("call", CALLS)
def test_gradients(call, arrays):
    """The same arguments give the gradient, as the page promises."""
    value, _ = eval(call.replace("(", ".value_and_grad(", 1), arrays)
    assert value == eval(call, arrays)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_is_missing(name):
    assert any(call.startswith(f"fl.{name}(") for call in CALLS)


def test_no_row_lacks_its_call():
    """Rows under a column of calls all have one, and every name in code style that looks like a loss is one."""
    tables = re.findall(r"^\|[^\n]*\| call \|\n\|[-|]+\|\n((?:\|[^\n]*\n)+)", TEXT, re.MULTILINE)
    assert len(tables) == 5
    rows = [row for table in tables for row in table.splitlines()]
    assert all(re.search(r"`fl\.\w+\(", row.split("|")[-2]) for row in rows)
    assert sum(len(re.findall(r"`fl\.\w+\(", row)) for row in rows) == len(CALLS)
    named = set(re.findall(r"`(\w+(?:_loss|_entropy|_logits|_divergence))`", TEXT))
    assert named <= set(LOSSES)


def test_links():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    assert all((PAGE.parent / link).is_file() for link in links)
    assert "(docs/choosing.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_pull(arrays):
    """The gradient's bounds that the page states, far out."""
    far = [1e3]
    for name, bound in [("l1_loss", 1), ("huber_loss", 1), ("smooth_l1_loss", 1), ("log_cosh_loss", 1)]:
        assert getattr(fl, name).value_and_grad(far, [0.0])[1] == bound
    assert fl.pseudo_huber_loss.value_and_grad(far, [0.0], delta=2.0)[1] == pytest.approx(2, rel=1e-5)
    assert fl.mse_loss.value_and_grad(far, [0.0])[1] == 2e3
    assert fl.hinge_loss.value_and_grad(far, [-1])[1] == 1
    assert fl.binary_cross_entropy_with_logits.value_and_grad(far, [0])[1] == 1
    worst = fl.focal_loss.value_and_grad([k / 8 for k in range(100)], [0] * 100, reduction="sum")[1].max()
    assert 1 < worst < 1.3
