"""The page about boosting: its code runs, from top to bottom, and what it shows is so."""

import re
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import fastloss as fl

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "boosting.md"  # absent beside an installed wheel
if not PAGE.is_file():
    pytest.skip("no docs beside the tests", allow_module_level=True)

TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.filterwarnings("default")
def test_code():
    for library in ("xgboost", "lightgbm", "catboost"):
        pytest.importorskip(library)
    names = {}
    for block in BLOCKS:
        with threadpool_limits(1, user_api="openmp"):  # small data, and others may want the processors
            exec(block, names)
        if "booster =" in block and "xgb.train" in block:
            assert np.mean((names["probability"] > 0.5) == names["y"]) > 0.95
        elif "booster =" in block:
            assert np.mean(names["probabilities"].argmax(axis=1) == names["digit"]) > 0.95
        elif "Pool" in block:
            quantile = names["start"] + names["model"].predict(names["Z"])
            loss = fl.quantile_loss(quantile, names["t"], quantile=0.9)
            assert loss < 0.8 * fl.quantile_loss(names["start"], names["t"], quantile=0.9)
    assert names["search"].best_score_ < 0


@pytest.mark.filterwarnings("default")
def test_readme():
    xgboost = pytest.importorskip("xgboost")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^## Boosting\n.*?^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names = {}
    with threadpool_limits(1, user_api="openmp"):
        exec(block, names)
    assert isinstance(names["booster"], xgboost.Booster)
    assert np.mean((names["booster"].predict(names["data"]) > 0) == names["y"]) > 0.95
    assert names["model"].score(names["X"], names["y"]) > 0.95


def test_links():
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (PAGE.parent / link).is_file(), link
    assert "(docs/boosting.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
