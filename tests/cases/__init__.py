"""One row per loss: what tests and benchmarks must know of it. Not here: any formula but the naive one.

A row names the inputs a loss takes, the parameter settings worth trying, its error bounds in ULPs (value and
gradient: the numeric policy's; the Hessian, of which that says nothing, has the same unless noted), what it
must answer at extreme elements, and the worked numbers of the source documents. Adding a loss is adding its
row to ``CASES`` of its family's file.
"""

from cases import binary, multiclass, regression
from cases._case import Case, Extreme, Parameters, Worked, per_class

CASES = (*regression.CASES, *binary.CASES, *multiclass.CASES)
BY_NAME = {case.name: case for case in CASES}
POINTWISE = tuple(case for case in CASES if case.kind == "pointwise")
ROWWISE = tuple(case for case in CASES if case.kind == "rowwise")
ACTIVATIONS = ("sigmoid", "log_sigmoid", "softplus", "softmax", "log_softmax", "logsumexp")

__all__ = [
    "ACTIVATIONS",
    "BY_NAME",
    "CASES",
    "POINTWISE",
    "ROWWISE",
    "Case",
    "Extreme",
    "Parameters",
    "Worked",
    "per_class",
]
