"""Runs proofs at length and writes their sections of RESULTS.md: PYTHONPATH=tests python -m proofs [SECTION ...]."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from proofs import accounting, audit, clip, noise

RESULTS = Path(__file__).with_name("RESULTS.md")

# Title, length, and what writes the text below the title from a length.
SECTIONS: dict[str, tuple[str, int, Callable[[int], str]]] = {
    "noise": ("Noise", 1_000_000_000, noise.report),
    "clip": ("Clipped rows", 30_000_000, clip.report),
    "audit": ("Audits", 30_000, audit.report),
    "accounting": ("Accounting", 1, accounting.report),
}


def main() -> None:
    """Run the sections that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], metavar="SECTION", help="; ".join(SECTIONS))
    parser.add_argument("--length", type=float, help="values, rows or trials, instead of the usual number")
    arguments = parser.parse_args()
    for name in arguments.sections or SECTIONS:
        title, length, report = SECTIONS[name]
        write(title, report(int(arguments.length or length)))


def write(title: str, text: str) -> None:
    """Put a section in its place, in the order of SECTIONS."""
    head, *sections = re.split(r"^## ", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    kept = {section.split("\n", 1)[0]: section for section in sections}
    kept[title] = f"{title}\n\n{text.strip()}\n\n"
    order = [kept[name] for name, _, _ in SECTIONS.values() if name in kept]
    RESULTS.write_text(
        "".join(f"## {section}" if k else section for k, section in enumerate([head, *order])).rstrip() + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
