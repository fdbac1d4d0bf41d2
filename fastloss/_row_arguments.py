"""The labels, weights and predictions of a loss of rows of classes, checked: what is raised names the element.

Not here: how such losses are declared and called (_rowwise.py).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _core
from fastloss._arguments import Array
from fastloss._half import widened

# Any label fits below it: how many classes there are where only the target is known.
UNKNOWN_CLASSES = 2**62


def ignored_label(value: object) -> int | None:
    if value is None:
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"ignore_index = {value!r} is not an integer or None") from error


def per_class(value: object, name: str, classes: int | None, real: np.dtype[Any]) -> Array:
    """One finite number >= 0 per class, contiguous, in the computing type."""
    given = arguments.as_array(value, name)
    if given.ndim != 1 or (classes is not None and given.shape != (classes,)):
        expected = "one dimension" if classes is None else f"shape ({classes},): one number per class"
        raise ValueError(f"{name} has shape {given.shape}; expected {expected}")
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(given, dtype=real)
    if not (np.isfinite(rounded) & (rounded >= 0)).all():
        raise arguments.bad_weight(given, name, real)
    return rounded


def sample_weights(value: object, shape: tuple[int, ...]) -> Array | None:
    """One weight per row, of any type and layout; not looked at yet."""
    if value is None:
        return None
    return np.broadcast_to(arguments.real_values(value, "sample_weight", "the unreduced loss", shape), shape)


def _bad_weight(value: object, shape: tuple[int, ...], flat: int, real: np.dtype[Any]) -> ValueError:
    """The error for the weight of row ``flat``: it names the element of the array that was given, not its broadcast."""
    given = widened(arguments.real_values(value, "sample_weight", "the unreduced loss", shape))
    found = np.unravel_index(flat, shape) if shape else ()
    at = tuple(0 if n == 1 else int(i) for i, n in zip(found, given.shape, strict=True)) if given.ndim else ()
    where = "[" + ", ".join(str(i) for i in at) + "]" if at else ""
    return ValueError(f"sample_weight{where} = {given[at]} is not a weight; expected a finite number >= 0 in {real}")


def check_weights(value: object, shape: tuple[int, ...], real: np.dtype[Any]) -> tuple[Array | None, float]:
    """The weights of rows that all count, and their sum, or ValueError for one that is none."""
    weights = sample_weights(value, shape)
    if weights is None:
        return None, float(math.prod(shape))
    good, total = _core.weight_total(weights, real.itemsize == 8)
    if not good:
        with np.errstate(over="ignore"):
            rounded = widened(weights).astype(real)
        raise _bad_weight(value, shape, int(np.argmax(~(np.isfinite(rounded) & (rounded >= 0)))), real)
    return weights, total


def check_labels(
    target: Array,
    labels: Array,
    classes: int,
    ignored: int | None,
    class_weight: Array | None,
    sample_weight: object,
    real: np.dtype[Any],
) -> tuple[Array | None, float]:
    """The row weights and the sum of weights, or ValueError for a label that is no class; ``labels`` is 2-d."""
    weights = sample_weights(sample_weight, target.shape)
    by_class = None if class_weight is None else class_weight.astype(np.float64)
    bad, bad_weight, total = _core.check_labels(labels, classes, ignored, by_class, weights, real.itemsize == 8)
    if bad_weight >= 0:
        raise _bad_weight(sample_weight, target.shape, bad_weight, real)
    if bad >= 0:
        upper = "0 or more" if classes == UNKNOWN_CLASSES else f"[0, {classes})"
        ignoring = "" if ignored is None else f" and is not ignore_index ({ignored})"
        where, value = arguments.element(target, bad), target.reshape(-1)[bad]
        outside = f"outside {upper}" if classes != UNKNOWN_CLASSES else "not 0 or more"
        raise ValueError(f"target{where} = {value} is {outside}{ignoring}")
    return weights, total


def is_soft(loss: Any, target: Array, shape: tuple[int, ...], axis: int) -> bool:
    """Whether the target holds probabilities; raises where it is nothing that the loss takes."""
    rows = shape[:axis] + shape[axis + 1 :]
    name, targets = loss._first, loss._targets
    if targets == "probabilities":
        if target.shape == shape:
            return True
        hint = ": class indices go to sparse_categorical_cross_entropy" if target.shape == rows else ""
        raise ValueError(f"target has shape {target.shape} but {name} have shape {shape}; expected probabilities of "
                         f"that shape{hint}")  # fmt: skip
    either = targets == "either"
    if target.dtype.kind in "iu":
        if target.shape == shape:
            instead = ", or probabilities of a floating type" if either else ""
            raise TypeError(f"target has dtype {target.dtype} and the {name}' shape {shape}; expected class indices of "
                            f"shape {rows}{instead}")  # fmt: skip
        if target.shape != rows:
            raise ValueError(f"target has shape {target.shape} but {name} have shape {shape} with class axis {axis}; "
                             f"expected class indices of shape {rows}")  # fmt: skip
        return False
    if target.shape == shape and either:
        return True
    if target.shape == rows or not either:
        instead = f" (probabilities would have the {name}' shape {shape})" if either else ""
        raise TypeError(f"target has dtype {target.dtype}; class indices of shape {rows} must be integers{instead}")
    raise ValueError(f"target has shape {target.shape} but {name} have shape {shape}; expected probabilities of that "
                     f"shape or integer class indices of shape {rows}")  # fmt: skip


def check_row_domains(
    domains: tuple[str, str],
    x: Array,
    name: str,
    t: Array,
    live: Callable[[], Array],
    axis: int,
    real: np.dtype[Any],
) -> None:
    """Raise for the first target or prediction outside its domain; predictions in rows that count nothing may be it."""
    for domain, array, what in ((domains[1], t, "target"), (domains[0], x, name)):
        if domain == "any" or _core.inside_domain(array, real.itemsize == 8, domain):
            continue
        array = widened(array)
        with np.errstate(over="ignore"):
            rounded = array.astype(real)
        bad = (rounded < 0) | (rounded > 1) if domain == "unit interval" else rounded < 0
        if what == name:
            bad &= np.expand_dims(live(), axis)
        if bad.any():
            flat = int(np.argmax(bad))
            expected = "a number in [0, 1]" if domain == "unit interval" else "a number >= 0"
            raise ValueError(f"{what}{arguments.element(array, flat)} = {array.reshape(-1)[flat]} is out of range; "
                             f"expected {expected}")  # fmt: skip
