"""Benchmarks: ``python -m bench`` compares fastloss with its peers and with the machine's limit; ``pytest bench``
times every loss at every size and type, beside what is installed.

Losses are taken from the rows of tests/cases/, which is found through the path that is set here. Libraries that
can be told their number of threads only before they are imported (OpenBLAS, XLA) are told here, too.
"""

import os
import sys
from pathlib import Path

THREADS = 2
for _variable in ("OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "NPROC", "PJRT_NPROC"):
    os.environ.setdefault(_variable, str(THREADS))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
