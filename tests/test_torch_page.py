"""The page about torch: its code runs, and its list of functions is the module's."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
F = pytest.importorskip("fastloss.torch")

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "torch.md"  # absent beside an installed wheel
if not PAGE.is_file():
    pytest.skip("no docs beside the tests", allow_module_level=True)

TEXT = PAGE.read_text(encoding="utf-8")


def test_code_runs():
    """One block after the other, as a reader would."""
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    names = {}
    for block in blocks:
        exec(block, names)
    model = names["model"]
    assert all(p.isfinite().all() and p.grad.abs().sum() > 0 for p in model.parameters())
    assert names["loss"].item() > 0


def test_example_of_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [
        b for b in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "fastloss.torch" in b
    ]
    names = {}
    exec(block, names)
    assert names["logits"].grad.abs().sum() > 0


def test_functions():
    rows = re.findall(r"^\| (?:as torch has them|fastloss's own) \| (.*) \|$", TEXT, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == [n for n in F.__all__ if n not in ("privacy", "mae_loss", "log_loss")]
    torch_has = re.findall(r"`(\w+)`", rows[0])
    assert all(hasattr(torch.nn.functional, n) for n in torch_has if n != "logsumexp")
    assert not any(hasattr(torch.nn.functional, n) for n in named if n not in torch_has)


def test_links():
    assert "(docs/torch.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
