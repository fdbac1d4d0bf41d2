"""Benchmarks: ``pytest bench`` for every loss, size, type and library; ``python -m bench.report`` for the tables.

They are made from the rows of tests/cases.py, which is found through this path.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
