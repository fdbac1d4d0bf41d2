"""The documentation: code on its pages runs, links lead somewhere, every page is in a table of contents, every public
name in the API. Pages that have a test of their own (choosing, privacy, torch, boosting, linear) run there.
"""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl
from fastloss import boosting, kernels, linear
from fastloss._loss import Loss

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
if not (DOCS / "conf.py").is_file():  # absent beside an installed wheel
    pytest.skip("no docs beside the tests", allow_module_level=True)

SOURCES = [
    p for s in ("md", "rst") for p in DOCS.rglob(f"*.{s}") if not {"_build", "_templates", "generated"} & {*p.parts}
]
PAGES = {str(p.relative_to(DOCS).with_suffix("")): p.read_text(encoding="utf-8") for p in SOURCES}
RUN = ["index", "options", "half-precision", "accuracy", "backends", "speed"]
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", RUN)
def test_code_runs(page):
    """One block after the other, as a reader would; the assertions are the page's own."""
    blocks = CODE.findall(PAGES[page])
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert "assert " in PAGES[page] or page == "index"


def test_quick_start_of_the_readme():
    """The part of the README that is the page: its first block alone, and its second with arrays."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text.split("# fastloss\n", 1)[1].split("## From Cython and C", 1)[0]
    first, second = CODE.findall(part)
    names = {}
    exec(first, names)
    assert names["hess"].shape == (64, 10)
    assert names["step"].shape == (640,)
    rng = np.random.default_rng(0)
    names |= dict(zip(("prediction", "anchor", "positive", "negative"), rng.normal(size=(4, 6, 3)), strict=True))
    names |= {"target": rng.integers(0, 3, (6, 3)), "w": np.array([1.0, 2.0, 0.5])}
    exec(second, names)
    assert names["total_weight"] == names["w"][names["target"]].sum()


@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    """To files of the repository, and to included parts of them."""
    folder = (DOCS / page).parent
    prose = CODE.sub("", PAGES[page])
    for link in re.findall(r"\]\(([^()\s]+)\)|^```\{include\} (\S+)|^\.\. image:: (\S+)", prose, re.MULTILINE):
        target = "".join(link).partition("#")[0]
        assert "://" in target or (folder / target).exists(), target
    for target in re.findall(r":doc:`[^`]*?<?/?([\w/-]+)>?`", prose):
        assert target in PAGES or f"api/{target}" in PAGES, target
    for file, start, end in re.findall(r"\{include\} (\S+)\n:start-after: \"(.*)\"\n:end-before: \"(.*)\"", prose):
        text = (folder / file).read_text(encoding="utf-8")
        assert text.count(start.replace("\\n", "\n")) == text.count(end) == 1


def test_every_page_is_listed():
    listed = {"index"}
    for page, text in PAGES.items():
        folder = page.rpartition("/")[0]
        for body in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL) + re.findall(
            r"toctree::\n(.*)", text, re.DOTALL
        ):
            for entry in re.findall(r"^\s*([\w/*-]+)$", body, re.MULTILINE):
                listed |= {str(p) for p in PAGES if Path(p).match(f"{folder}/{entry}".lstrip("/"))}
    assert listed == {*PAGES}


def in_api(page):
    """The names that an API page lists."""
    text = PAGES[f"api/{page}"]
    return {
        name
        for part in re.findall(r"autosummary::\n((?:   .*\n|\n)*)", text)
        for name in re.findall(r"^   ([\w.]+)$", part, re.MULTILINE)
    }


def test_every_public_name_is_in_the_api():
    families = "regression", "binary", "multiclass", "segmentation", "metric", "activations", "settings", "kernels"
    listed = set().union(*map(in_api, families))
    other = {"__version__", "bfloat16_bits", "privacy", "reference", "mae_loss", "log_loss"}
    assert listed - {"parameters", "pointwise_names"} == {*fl.__all__} - other
    for name in other - {"__version__"}:
        assert any(
            f"``{name}``" in t or f"fastloss.{name}" in t or f"data:: {name}" in t
            for p, t in PAGES.items()
            if p.startswith("api/")
        )
    assert {n for n in in_api("privacy") if "." not in n} == {*fl.privacy.__all__}
    assert in_api("boosting") == {*boosting.__all__}
    assert in_api("linear") >= {*linear.__all__}
    assert all(hasattr(kernels, name) for name in in_api("kernels"))


def test_every_name_of_torch_is_in_the_api():
    pytest.importorskip("torch")
    import fastloss.torch as F

    assert {n for n in in_api("torch") if "." not in n} == {*F.__all__} - {"privacy", "mae_loss", "log_loss"}
    assert {n for n in in_api("torch") if "." in n} == {f"privacy.{n}" for n in F.privacy.__all__}


@pytest.mark.parametrize("entry", ["", ".value_and_grad", ".value_grad_hess", ".denominator"])
def test_general_page_has_the_signatures(entry):
    """Every loss has the keywords that the page lists for an entry point, with the same defaults."""
    (written,) = re.findall(
        rf"^.. py:function:: loss{re.escape(entry)}\((.*), \*\*parameters\)$", PAGES["api/losses"], re.MULTILINE
    )
    keywords = dict(part.split("=") for part in written.split(", ") if "=" in part)
    for loss in (getattr(fl, name) for name in fl.__all__):
        if isinstance(loss, Loss) and hasattr(loss, entry[1:] or "denominator"):
            signature = inspect.signature(getattr(loss, entry[1:]) if entry else loss).parameters
            found = {k: str(p.default).replace("mean", '"mean"') for k, p in signature.items()}
            assert keywords.items() <= found.items(), loss
