"""How Sphinx makes the documentation: ``sphinx-build -W --keep-going docs docs/_build`` (extra ``docs``).

Pages are Markdown that is also read where it lies, so links lead to files of the repository. Here they are turned into
links to the pages that these files have become; what has none is offered as a download.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import fastloss as fl

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

project = "fastloss"
author = "The fastloss developers"
copyright = author
version = release = fl.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
root_doc = "index"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# Loss objects are documented as the functions they are called like; signatures without the annotations, whose unions
# of array types say less than the numpydoc text.
autodoc_typehints = "none"
autosummary_generate = True
autosummary_generate_overwrite = True
# Where file names have no case, that of audit() and that of its result would be one.
autosummary_filename_map = {"fastloss.privacy.auditing.Audit": "fastloss.privacy.auditing.Audit-result"}
numpydoc_show_class_members = False
# Libraries that a reader of the documentation need not have.
autodoc_mock_imports = [name for name in ("torch", "ml_dtypes", "dp_accounting", "scipy") if find_spec(name) is None]
with_hessian = [name for name in fl.__all__ if hasattr(getattr(fl, name), "value_grad_hess")]
autosummary_context = {"with_hessian": [f"fastloss.{name}" for name in with_hessian]}

html_theme = "furo"
html_title = f"fastloss {version}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["fastloss.css"]

LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")
INCLUDED = re.compile(r"^```\{include\} (\S+)$(?!\n:start)", re.MULTILINE)


def included_files() -> dict[Path, Path]:
    """File of the repository -> the page that consists of it."""
    pages = {}
    for page in DOCS.rglob("*.md"):
        for target in INCLUDED.findall(page.read_text(encoding="utf-8")):
            pages[(page.parent / target).resolve()] = page
    return pages


PAGES = included_files()


def rewritten(text: str, folder: Path, page_folder: Path) -> str:
    """Markdown whose links, relative to ``folder``, lead to pages as seen from ``page_folder``."""

    def replaced(match: re.Match[str]) -> str:
        target, hash_, anchor = match[2].partition("#")
        path = (folder / target).resolve()
        if not target or "://" in target or not path.exists():
            return match[0]
        if path.is_dir():  # nothing to show or to download: the name alone
            return match[1]
        path = PAGES.get(path, path)
        return f"[{match[1]}]({os.path.relpath(path, page_folder)}{hash_}{anchor})"

    return LINK.sub(replaced, text)


def on_page(app: Sphinx, docname: str, content: list[str]) -> None:
    """Rewrite the links of a page."""
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md":
        content[0] = rewritten(content[0], path.parent, path.parent)


def on_include(app: Sphinx, relative_path: Path, parent: str, content: list[str]) -> None:
    """Rewrite the links of what a page includes; MyST gives as ``parent`` the last part of the page's name alone."""
    included = (DOCS / relative_path).resolve()
    if included.suffix == ".md":
        content[0] = rewritten(content[0], included.parent, Path(app.env.doc2path(app.env.docname)).parent)


def on_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep authors' initials from becoming lists that are counted by letters."""
    lines[:] = [re.sub(r"^([A-Z])\. ", r"\1\\. ", line) for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the rewriting of links and docstrings; the latter before numpydoc, which has the usual priority."""
    app.connect("source-read", on_page)
    app.connect("include-read", on_include)
    app.connect("autodoc-process-docstring", on_docstring, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
