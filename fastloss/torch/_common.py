"""What all functions of tensors share: torch's former arguments, and the sections of their docstrings."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

_COMMON = {
    "target": "Tensor\n    Of the input's shape.",
    "sample_weight": "Tensor or float, optional\n"
    "    Finite and >= 0, of the unreduced loss's shape, or broadcasting to it with as many dimensions.",
    "size_average": "bool, optional\n    Formerly what `reduction` is now, and warned of as torch does.",
    "reduce": "bool, optional\n    As `size_average`.",
    "reduction": '{"mean", "sum", "none"}\n    What becomes of the losses of elements or rows.',
    "denominator": "float, optional\n"
    "    What the mean divides by instead: gradients of parts of a batch then add up to those of the batch.",
}

_RESULT = """\
Returns
-------
Tensor
    Of the dtype of the first tensor; float32 under autocast. {gradients}

Raises
------
TypeError, ValueError
    For what is no dense tensor on the CPU, or one that requires grad and has no gradient here; for shapes, labels and
    parameters that the loss does not take, with where and what was expected. Differentiated twice: RuntimeError.
"""


def former_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction, or what the two arguments it replaced stand for, with torch's own warning."""
    if size_average is None and reduce is None:
        return reduction
    average, reduced = size_average is None or size_average, reduce is None or reduce
    meant = ("mean" if average else "sum") if reduced else "none"
    warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.",
                  stacklevel=3)  # fmt: skip
    return meant


def documented(function: Callable[..., Any], gradients: str) -> Callable[..., Any]:
    """The function, with the sections of its docstring that it shares with all others.

    What it says itself is a summary, then its own parameters as they stand in a section of them.
    """
    text = inspect.cleandoc(function.__doc__ or "")
    own = re.search(r"(?m)^\w+(, \w+)* : ", text)
    summary = text[: own.start()].rstrip() if own else text
    given = text[own.start() :].rstrip() + "\n" if own else ""
    said = {name for head in re.findall(r"(?m)^(\w[\w, ]*) : ", given) for name in head.split(", ")}
    for name in inspect.signature(function).parameters:
        if name not in said:
            given += f"{name} : {_COMMON[name]}\n"
    result = _RESULT.format(gradients=gradients)
    function.__doc__ = f"{summary}\n\nParameters\n----------\n{given}\n{result}"
    return function


def loss(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Document a loss whose gradients are those of these tensors."""
    return lambda function: documented(function, f"Gradients: {', '.join(names)}.")
