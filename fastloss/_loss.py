"""What a loss object is: entry points with their own signatures, one docstring, pickled by name.

A loss is declared as a function with a docstring and no body; a decorator turns it into the one
instance of a class of its own, whose methods carry the declared signature (they are compiled from a
template, as namedtuple's are, because a generic ``**keywords`` would cost each call a microsecond
and show users no names). What the methods do is in ``_pointwise.py``, ``_rowwise.py`` and ``_several.py``.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Sequence
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


# What differs where several arrays have gradients (or one, without a Hessian): outputs and results.
_OUTPUTS = _COMMON_DOC[_COMMON_DOC.index("grad_out, hess_out") : _COMMON_DOC.index("Returns\n")]
_DERIVATIVES = _COMMON_DOC[_COMMON_DOC.index("grad, hess") : _COMMON_DOC.index("Raises\n")]
_ONE_OUTPUT = """\
grad_out : ndarray, optional
    ``value_and_grad`` only: where the gradient goes. An output has exactly the result's shape and
    type; it may be the buffer of {first} itself and overlap nothing else.

"""
_OUTPUT_TUPLE = """\
grad_out : tuple of ndarray, optional
    ``value_and_grad`` only: where the gradients of {arrays} go, in this order; None in a place
    asks for a new array. An output has exactly the result's shape and type; the first may be the
    buffer of {first} itself, and nothing else may overlap.

"""
_ONE_DERIVATIVE = """\
grad : ndarray
    From ``value_and_grad``: the derivative of the (weighted, reduced) loss with respect to {first},
    of its shape and type.

"""
_DERIVATIVE_TUPLE = """\
grad : tuple
    From ``value_and_grad``: the derivatives of the (weighted, reduced) loss with respect to
    {all}, in this order: arrays of those arrays' shapes, all of the real type of
    {first}{floats}.

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


class SeveralGradKeywords(ValueKeywords, total=False):
    """Those of value_and_grad where several arrays have gradients."""

    grad_output: ArrayLike | None
    grad_out: Sequence[NDArray[Any] | None] | None


class HessKeywords(GradKeywords, total=False):
    """Those of value_grad_hess."""

    hess_out: NDArray[Any] | None


class Loss:
    """The base of every loss object."""

    __slots__ = ()
    _name: str
    _module: str
    # (want, prediction, target, parameters, whether it is the mean, where the gradient goes) -> what the entry point
    # returns, or None where that is no common call. Of losses with one gradient.
    _short: Any = None

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
    gradients: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
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
    gradients
        The arrays and the scalar parameters that have gradients; None for the prediction alone.
    """
    name = declared.__name__
    parameters = list(inspect.signature(declared).parameters.values())
    array_names = [p.name for p in parameters[:arrays]]
    taken = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters[:arrays])
    keywords = {p.name: repr(p.default) for p in parameters[arrays:]}
    lines = []
    for want in range(entry_points):
        common = {k: v for k, v in _COMMON.items() if k not in _ABSENT[want]}
        signature = ", ".join(f"{k}={v}" for k, v in {**keywords, **common}.items())
        passed = ", ".join(k if k in common else "None" for k in _COMMON)
        values = "".join(f"{k}, " for k in keywords)
        lines += [
            f"def {ENTRY_POINTS[want]}(self, {taken}, /, *, {signature}):",
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
    doc = _full_doc(inspect.cleandoc(declared.__doc__ or ""), _common_doc(unreduced, gradients))
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


def _common_doc(unreduced: str, gradients: tuple[tuple[str, ...], tuple[str, ...]] | None) -> str:
    """What all losses share of the docstring, in the words of this one."""
    doc = _COMMON_DOC.replace("{unreduced}", unreduced)
    if gradients is None:
        return doc
    arrays, scalars = gradients
    names = (*arrays, *scalars)
    single = len(names) == 1
    floats = f"; floats for {' and '.join(scalars)}" if scalars else ""
    words = {"first": arrays[0], "arrays": _listed(arrays), "all": _listed(names), "floats": floats}
    doc = doc.replace(_OUTPUTS, (_ONE_OUTPUT if len(arrays) == 1 else _OUTPUT_TUPLE).format(**words))
    doc = doc.replace(_DERIVATIVES, (_ONE_DERIVATIVE if single else _DERIVATIVE_TUPLE).format(**words))
    doc = doc.replace("Gradient and Hessian are linear in it.", "The gradient is linear in it.")
    doc = doc.replace("Gradient entry points only: the upstream", "``value_and_grad`` only: the upstream")
    return doc.replace("the prediction's real type", f"the real type of {arrays[0]}")


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _full_doc(doc: str, common: str) -> str:
    """The docstring with what all losses share put between its own parameters and its notes."""
    lines = doc.splitlines()
    rest = next(k for k, line in enumerate(lines) if line in ("Notes", "References", "Examples"))
    head, tail = "\n".join(lines[:rest]).rstrip(), "\n".join(lines[rest:])
    return f"{head}\n{common}\n{tail}\n"
