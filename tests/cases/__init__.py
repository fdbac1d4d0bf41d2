"""One row per loss: what tests and benchmarks must know of it. Not here: any formula but the naive one.

A row names the inputs a loss takes, the parameter settings worth trying, its error bounds in ULPs (value and
gradient: the numeric policy's; the Hessian, of which that says nothing, has the same unless noted), what it
must answer at extreme elements, and the worked numbers of the source documents. Adding a loss is adding its
row to ``CASES`` of its family's file (a ``SeveralCase`` where it has more than one array of numbers).
"""

from cases import binary, metric, multiclass, regression, segmentation, similarity
from cases._case import Case, Extreme, Parameters, Worked, per_class
from cases._several import SeveralCase

CASES = (*regression.CASES, *binary.CASES, *multiclass.CASES)
SEVERAL = (
    *metric.CASES,
    *similarity.CASES,
    *segmentation.CASES,
)  # losses of several arrays, whose rows and tests are of their own kind (test_several.py)
ALL = (*CASES, *SEVERAL)
BY_NAME = {case.name: case for case in ALL}
POINTWISE = tuple(case for case in CASES if case.kind == "pointwise")
ROWWISE = tuple(case for case in CASES if case.kind == "rowwise")
ACTIVATIONS = ("sigmoid", "log_sigmoid", "softplus", "softmax", "log_softmax", "logsumexp")

__all__ = [
    "ACTIVATIONS",
    "ALL",
    "BY_NAME",
    "CASES",
    "POINTWISE",
    "ROWWISE",
    "SEVERAL",
    "Case",
    "Extreme",
    "Parameters",
    "SeveralCase",
    "Worked",
    "per_class",
]
