"""The page about linear models and the README's part: their code runs, and the table names losses that there are."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl
from fastloss.linear import objective

pytest.importorskip("sklearn", minversion="1.6")
threadpoolctl = pytest.importorskip("threadpoolctl")

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "linear.md"  # absent beside an installed wheel
if not PAGE.is_file():
    pytest.skip("no docs beside the tests", allow_module_level=True)

TEXT = PAGE.read_text(encoding="utf-8")


def test_code():
    """All blocks, one after the other, with one BLAS thread: small products wait for each other on several."""
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks += ["", re.search(r"^## Linear models\n.*?^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)[1]]
    names = {}
    with threadpoolctl.threadpool_limits(1):
        for block in blocks:
            names = names if block else {}
            exec(block, names)
    # Both stop at gradients of 1e-4, where the least curvature is l2 = 1e-3.
    np.testing.assert_allclose(names["coef"], names["model"].coef_[0], atol=0.1)


def test_table_names_losses_of_scores():
    rows = re.findall(r"^\| `\w+.*$", TEXT, re.MULTILINE)
    losses = {name for row in rows for name in re.findall(r"`(\w+(?:_loss|_entropy|_logits))", row)}
    assert len(rows) == 8
    assert len(losses) == 9
    for name in losses:
        y = [0, 1] if name == "cross_entropy" else [1.0, 1.0]
        assert objective([[0.0], [1.0]], y, name).loss is getattr(fl, name)


def test_links():
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (PAGE.parent / link).is_file()
    assert "(docs/linear.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
