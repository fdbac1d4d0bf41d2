"""The own parameters of row losses, checked and made the numbers that their kernels take."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss._row_arguments import per_class
from fastloss._rowwise import Numbers

Values = dict[str, Any]
Real = np.dtype[Any]


def _rounded(value: float, name: str, real: Real) -> float:
    """A parameter as the kernels see it."""
    arguments.representable(value, name, real)
    return float(real.type(value))


def _kernel_numbers(*values: float) -> Any:
    return np.array(values, np.float64)


def focal_numbers(values: Values, real: Real, classes: int) -> Numbers:
    """gamma; alpha for all rows or per class."""
    gamma = _rounded(arguments.non_negative(values["gamma"], "gamma"), "gamma", real)
    alpha = values["alpha"]
    if alpha is None:
        return Numbers(_kernel_numbers(gamma))
    if np.ndim(alpha) == 0:
        return Numbers(_kernel_numbers(gamma), _rounded(arguments.fraction(alpha, "alpha"), "alpha", real))
    return Numbers(_kernel_numbers(gamma), by_class=per_class(alpha, "alpha", classes, real))


def poly_numbers(values: Values, real: Real, classes: int) -> Numbers:
    """The coefficients of the powers of 1 - p, as the paper writes them."""
    epsilon = arguments.numbers(values["epsilon"], "epsilon")
    taylor = arguments.one_of("paper", "taylor")(values["form"], "form") == "taylor"
    rounded = (_rounded(e, f"epsilon[{j}]", real) for j, e in enumerate(epsilon))
    return Numbers(_kernel_numbers(*(e / j if taylor else e for j, e in enumerate(rounded, 1))))


def hinge_numbers(values: Values, real: Real, classes: int) -> Numbers:
    """margin; 1 for Crammer-Singer; 1 to divide by the number of classes."""
    margin = _rounded(arguments.non_negative(values["margin"], "margin"), "margin", real)
    variant = arguments.one_of("weston-watkins", "crammer-singer")(values["variant"], "variant")
    scale = arguments.one_of("none", "classes")(values["scale"], "scale")
    return Numbers(_kernel_numbers(margin, float(variant == "crammer-singer"), float(scale == "classes")))


def divergence_numbers(values: Values, real: Real, classes: int) -> Numbers:
    """1 for logits."""
    return Numbers(_kernel_numbers(float(arguments.flag(values["from_logits"], "from_logits"))))


def divergence_domains(values: Values) -> tuple[str, str]:
    """Probabilities are not negative; logits may be anything."""
    return ("any" if values["from_logits"] else "non-negative", "non-negative")
