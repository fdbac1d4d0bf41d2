"""The privacy page: its code runs as it stands, its links lead somewhere, and what it names exists."""

import re
import warnings
from pathlib import Path

import pytest

pytest.importorskip("dp_accounting")
pytest.importorskip("sklearn")

import fastloss as fl
from fastloss.privacy import accounting

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "privacy.md"  # absent beside an installed wheel
if not PAGE.is_file():
    pytest.skip("no docs beside the tests", allow_module_level=True)

TEXT = PAGE.read_text(encoding="utf-8")
PROSE = re.sub(r"^```python\n.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
CODE = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_all_code_runs():
    """One block after the other, as a reader would; the assertions are the page's own."""
    names = {}
    for block in CODE:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(CODE) >= 10
    assert sum(block.count("assert ") for block in CODE) >= 25


def test_links():
    links = re.findall(r"\]\(([^)]+)\)", PROSE)
    anchors = {
        re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^## (.*)", PROSE, re.MULTILINE)
    }
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif not link.startswith("https://"):
            assert (PAGE.parent / link).is_file(), link
    assert "(docs/privacy.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_names_exist():
    """Every public function is on the page, and every file that the page names is there."""
    functions = {name for name in fl.privacy.__all__ if name[0].islower()} - {"join_norms", "sampler_delta"}
    for name in (*functions, "NoiseGenerator", "AdaptiveClipper", "ClippedSum", "accounting.epsilon"):
        assert name in TEXT, name
    assert hasattr(accounting, "epsilon")
    for path in re.findall(r"`((?:tests|fastloss|csrc)/[\w/.]+)`", PROSE):
        assert (ROOT / path).exists(), path


def test_sources_are_cited_and_listed():
    """Every year that is cited is in the list, after one of its authors."""
    listed = PROSE.split("## Sources")[1]
    cited = re.findall(r"\[([^\]]+)\]\(#sources\)", PROSE)
    assert len(cited) >= 10
    for citation in ", ".join(cited).replace(" and ", " ").split(", "):
        words = [w for w in citation.replace("et al.", "").split() if w]
        assert all(word in listed for word in words), citation


def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    import importlib.util

    import matplotlib as mpl

    spec = importlib.util.spec_from_file_location("docs_mechanisms", PAGE.parent / "mechanisms.py")
    module = importlib.util.module_from_spec(spec)
    with mpl.rc_context({"backend": "svg"}), warnings.catch_warnings():
        spec.loader.exec_module(module)
        written = module.main(tmp_path)
    for path in written:
        assert (PAGE.parent / path.name).is_file()
        assert path.stat().st_size > 10_000
