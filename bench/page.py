"""Pages of one table: their command line, their lines shown as they come, and the file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from bench import THREADS


def options(module: str, description: str | None, rounds: int) -> argparse.Namespace:
    """What ``python -m bench.<module>`` was called with: rounds, threads, output."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{module}", description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of every contender (default: {rounds})")
    parser.add_argument("--threads", type=int, default=THREADS, help=f"of every contender (default: {THREADS})")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write the table there, too")
    return parser.parse_args()


def shown(lines: Iterable[str]) -> list[str]:
    """The lines, each printed when it is there."""
    kept = []
    for line in lines:
        print(line, flush=True)
        kept.append(line)
    return kept


def write(file: Path | None, title: str, how: str, lines: list[str]) -> None:
    """The page, if it is wanted: a title, how it was made, the table."""
    if file:
        file.write_text("\n\n".join((f"# {title}", how, "\n".join(lines))) + "\n", encoding="utf-8")
