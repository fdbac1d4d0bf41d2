"""What a loss object is: entry points with their own signatures, one docstring, pickled by name.

A loss is declared as a function with a docstring and no body; a decorator turns it into the one
instance of a class of its own, whose methods carry the declared signature (they are compiled from a
template, as namedtuple's are, because a generic ``**keywords`` would cost each call a microsecond
and show users no names). What the methods do is in ``_pointwise.py`` and ``_rowwise.py``.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from typing import Any, TypedDict

from numpy.typing import ArrayLike, NDArray

ENTRY_POINTS = ("__call__", "value_and_grad", "value_grad_hess")

_COMMON = {
    "sample_weight": "None",
    "reduction": '"mean"',
    "denominator": "None",
    "grad_output": "None",
    "out": "None",
    "grad_out": "None",
    "hess_out": "None",
}
# Which of the common keywords an entry point has: value alone, with gradient, with Hessian.
_ABSENT = (("grad_output", "grad_out", "hess_out"), ("hess_out",), ())

# What every loss's docstring says after its own parameters.
_COMMON_DOC = """\
sample_weight : float or array_like, optional
    Finite, >= 0. A scalar, or an array that broadcasts to the unreduced loss with the same number
    of dimensions. Weight 0 contributes exactly 0, whatever the element holds.
reduction : {"mean", "sum", "none"}
    Weighted sum divided by the sum of the weights, weighted sum, or the unreduced loss times the
    weights.
denominator : float, optional
    Only with ``"mean"``: a number > 0 to divide by instead (gradient accumulation, sharded batches).
grad_output : float or array_like, optional
    Gradient entry points only: the upstream gradient, a scalar, or with ``"none"`` an array of the
    unreduced loss's shape. Gradient and Hessian are linear in it.
out : ndarray, optional
    With ``"none"``: where the unreduced loss goes.
grad_out, hess_out : ndarray, optional
    Gradient entry points only: where gradient and Hessian go. An output has exactly the result's
    shape and type; it may be the prediction's own buffer and overlap nothing else.

Returns
-------
value : float or ndarray
    A Python float for ``"mean"`` (NaN where there is nothing to average) and ``"sum"``; for
    ``"none"`` {unreduced}, of the prediction's real type.
grad, hess : ndarray
    From ``value_and_grad`` and ``value_grad_hess``: first and diagonal second derivatives of the
    (weighted, reduced) loss with respect to the prediction, of its shape and type.

Raises
------
TypeError
    If an argument's type or dtype cannot be meant (complex, object, masked arrays ...).
ValueError
    If shapes differ, a value is outside its domain, or an output is unfit. Inputs are never modified.
"""


class ValueKeywords(TypedDict, total=False):
    """The common keywords of a loss but ``reduction``, for the type stubs."""

    sample_weight: ArrayLike | None
    denominator: float | None
    out: NDArray[Any] | None


class GradKeywords(ValueKeywords, total=False):
    """Those of value_and_grad."""

    grad_output: ArrayLike | None
    grad_out: NDArray[Any] | None


class HessKeywords(GradKeywords, total=False):
    """Those of value_grad_hess."""

    hess_out: NDArray[Any] | None


class Loss:
    """The base of every loss object."""

    __slots__ = ()
    _name: str
    _module: str

    def __repr__(self) -> str:
        return f"fastloss.{self._name}"

    def __reduce__(self) -> str:
        # Pickle finds the object by this name in the module that __module__ names; copies are itself.
        return self._name

    @property
    def __name__(self) -> str:
        return self._name

    def __getattr__(self, name: str) -> Any:
        if name == "value_grad_hess":
            raise AttributeError(f"fastloss.{self._name} has no value_grad_hess: no diagonal Hessian makes sense here")
        raise AttributeError(f"fastloss.{self._name} has no attribute {name!r}")


def make_loss(
    declared: Callable[..., Any],
    *,
    arrays: int,
    entry_points: int,
    denominator_of: str,
    evaluate: Callable[..., Any],
    denominator: Callable[..., Any],
    attributes: dict[str, Any],
    unreduced: str = "an array of the prediction's shape",
) -> Any:
    """The loss object of a declared function.

    Parameters
    ----------
    declared
        ``def name(prediction, target, /, *, parameter=default)`` with a docstring.
    arrays
        How many of its parameters are arrays (positional-only).
    entry_points
        2: value and gradient; 3: the Hessian too.
    denominator_of
        The signature of ``denominator`` as it is written in code.
    evaluate, denominator
        What the methods call: ``evaluate(self, want, arrays, parameters, *common)`` with ``want`` 0, 1 or 2.
    attributes
        Class attributes of the loss.
    unreduced
        What ``reduction="none"`` returns, in words.
    """
    name = declared.__name__
    parameters = list(inspect.signature(declared).parameters.values())
    array_names = [p.name for p in parameters[:arrays]]
    keywords = {p.name: repr(p.default) for p in parameters[arrays:]}
    lines = []
    for want in range(entry_points):
        common = {k: v for k, v in _COMMON.items() if k not in _ABSENT[want]}
        signature = ", ".join(f"{k}={v}" for k, v in {**keywords, **common}.items())
        passed = ", ".join(k if k in common else "None" for k in _COMMON)
        values = "".join(f"{k}, " for k in keywords)
        lines += [
            f"def {ENTRY_POINTS[want]}(self, {', '.join(array_names)}, /, *, {signature}):",
            f"    return evaluate(self, {want}, {', '.join(array_names)}, ({values}), {passed})",
        ]
    lines += [
        f"def denominator(self, {denominator_of}):",
        f"    return denominator_(self, {', '.join(_names(denominator_of))})",
    ]
    source = "\n".join(lines) + "\n"
    filename = f"<fastloss.{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    namespace: dict[str, Any] = {"evaluate": evaluate, "denominator_": denominator}
    exec(compile(source, filename, "exec"), namespace)

    methods = {k: namespace[k] for k in (*ENTRY_POINTS[:entry_points], "denominator")}
    doc = _full_doc(inspect.cleandoc(declared.__doc__ or ""), unreduced)
    summaries = {
        "__call__": doc,
        "value_and_grad": f"Return (value, gradient): {name} and its first derivative.",
        "value_grad_hess": f"Return (value, gradient, Hessian): {name}, first and diagonal second derivatives.",
        "denominator": f"Return what {name} divides by under ``reduction='mean'``: the sum of the weights.",
    }
    for key, method in methods.items():
        method.__qualname__ = f"{name}.{key}"
        method.__module__ = "fastloss"
        method.__doc__ = summaries[key]
    declaration = {"arrays": array_names, "declared": {p.name: str(p.annotation) for p in parameters}}
    body = {"__slots__": (), "__doc__": doc, "__module__": "fastloss", "_name": name, **declaration}
    body |= {**methods, **attributes}
    return type(name, (Loss,), body)()


def _names(signature: str) -> list[str]:
    """The argument names of a signature as written: ``"target, /, *, axis=-1"`` gives target and axis."""
    parts = (part.strip().split("=")[0] for part in signature.split(","))
    return [part for part in parts if part not in ("/", "*")]


def _full_doc(doc: str, unreduced: str) -> str:
    """The docstring with what all losses share put between its own parameters and its notes."""
    lines = doc.splitlines()
    rest = next(k for k, line in enumerate(lines) if line in ("Notes", "References", "Examples"))
    head, tail = "\n".join(lines[:rest]).rstrip(), "\n".join(lines[rest:])
    return f"{head}\n{_COMMON_DOC.replace('{unreduced}', unreduced)}\n{tail}\n"
