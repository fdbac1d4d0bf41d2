"""What a reference loss is: weights, reductions, denominators, upstream gradients.

Not here: formulas (regression.py, binary.py, multiclass.py ...), and the checks that make good
error messages, which are the public layer's. A loss is one function that returns ``Terms``,
decorated with ``pointwise`` or ``rowwise``.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]
Want = Literal["value", "grad", "hess"]


@dataclass(frozen=True)
class Terms:
    """What a formula returns: the unreduced loss and its derivatives, without sample weights.

    A scale is the magnitude of the largest term where a result is a difference of nearly equal
    numbers, the unit in which its rounding error is fair; None means ``abs(result)``. For row losses
    ``live`` is False where a row contributes exactly 0 whatever it holds (ignored, or of class weight
    0), and ``row_weight`` is the class weight of its target, which value and derivatives contain.
    Losses of several arrays have functions for ``grad`` and ``grad_scale`` (see ``_several.py``).
    """

    value: Array
    grad: Any
    hess: Array | None = None
    value_scale: Array | None = None
    grad_scale: Any = None
    hess_scale: Array | None = None
    row_weight: Array | None = None
    live: Array | None = None


@dataclass(frozen=True)
class Evaluation:
    """A reduced, weighted loss with its derivatives, and the scale of each (see ``Terms``).

    The scale of a sum or mean is the sum or mean of the scales. Derivatives that were not asked for
    are None, and so are their scales. The gradient of a loss of several arrays is a tuple, as in
    fastloss.
    """

    value: Any
    value_scale: Any
    grad: Any = None
    grad_scale: Any = None
    hess: Array | None = None
    hess_scale: Array | None = None


def require(condition: Any, message: str) -> None:
    """Raise ``ValueError`` with this message unless the condition holds everywhere."""
    if not np.all(condition):
        raise ValueError(message)


def is_number(x: Any, above: float = -math.inf, at_least: float = -math.inf) -> bool:
    """Whether a parameter is finite, > ``above`` and >= ``at_least``."""
    return math.isfinite(x) and x > above and x >= at_least


def align(factor: Array, array: Array) -> Array:
    """One factor per row, with the axes added that make it multiply ``array``."""
    return factor.reshape(factor.shape + (1,) * (array.ndim - factor.ndim))


def weigh(weight: Array, array: Array) -> Array:
    """``weight * array``, exactly 0 where the weight is 0; the weights belong to the leading axes."""
    weight = align(weight, array)
    return np.where(weight == 0, 0, weight * array)


def product(factor: Array, term: Array) -> Array:
    """``factor * term`` with 0 times infinity = 0, the limit of t log t; NaN stays NaN."""
    return np.where((factor == 0) & np.isinf(term), 0, factor * term)


def total(values: Array) -> float:
    """The correctly rounded sum of an array of float64 or longdouble, whatever its length and order."""
    flat = np.ravel(values)
    high = flat.astype(np.float64)
    if not np.isfinite(high).all():
        return float(np.sum(high[~np.isfinite(high)]))  # inf, or NaN from NaN or inf - inf
    parts = [*high.tolist(), *(flat - high).astype(np.float64).tolist()]
    try:
        return math.fsum(parts)
    except OverflowError:  # a partial sum, not necessarily the sum itself
        return math.fsum(x * 2.0**-64 for x in parts) * 2.0**64


def class_labels(
    target: Array, n_classes: int | None, class_weight: ArrayLike | None, ignore_index: int | None
) -> tuple[Array, Array, Array]:
    """The labels (0 in ignored rows), which rows are not ignored, and the class weight of each row's target.

    Labels are compared by value: uint8 156 is not -100. With ``n_classes=None`` (nothing but the
    target is known) they have no upper bound.
    """
    live = np.ones(target.shape, bool) if ignore_index is None else np.asarray(target != int(ignore_index))
    if class_weight is not None:
        class_weight = np.asarray(class_weight, np.float64)
        require(class_weight.ndim == 1 and n_classes in (None, class_weight.size), "class_weight must have shape (C,)")
        require(np.isfinite(class_weight) & (class_weight >= 0), "class_weight must be finite and >= 0")
        n_classes = class_weight.size
    inside = (target >= 0) if n_classes is None else (target >= 0) & (target < n_classes)
    require(inside | ~live, "target is outside [0, C) and is not ignore_index")
    label = np.where(live, target, 0).astype(np.int64)
    weight = np.ones(target.shape) if class_weight is None or not live.any() else class_weight[label]
    return label, live, np.where(live, weight, 0.0)


def sample_weights(sample_weight: ArrayLike | None, shape: tuple[int, ...], live: Array, dtype: DTypeLike) -> Array:
    """Sample weights broadcast to the unreduced loss; 0 where a row is not live, whatever was given there."""
    weight = np.asarray(1 if sample_weight is None else sample_weight, dtype)
    require(weight.ndim in (0, len(shape)), "sample_weight must be a scalar or have the unreduced loss's dimensions")
    weight = np.where(live, np.broadcast_to(weight, shape), 0)
    require(np.isfinite(weight) & (weight >= 0), "sample_weight must be finite and >= 0")
    return weight


class ReferenceLoss:
    """A loss of the reference, called as the fastloss function of the same name.

    Subclasses say how arrays meet the formula (``terms``) and what one row weighs (``row_weights``).
    """

    def __init__(self, formula: Callable[..., Terms], *, hessian: bool = True) -> None:
        self.formula = formula
        self.hessian = hessian
        self.__name__ = self.__qualname__ = formula.__name__
        self.__module__ = formula.__module__
        self.__doc__ = formula.__doc__
        self.__signature__ = self._signature("sample_weight", "reduction", "denominator")
        self.value_and_grad = self._entry("value_and_grad", "grad")
        if hessian:
            self.value_grad_hess = self._entry("value_grad_hess", "hess")

    def __getattr__(self, name: str) -> Any:
        if name == "value_grad_hess":
            raise AttributeError(f"{self.__name__} has no value_grad_hess: it has no diagonal Hessian")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<reference loss {self.__name__}>"

    def __reduce__(self) -> str:
        return self.__name__

    def __call__(self, *arrays: ArrayLike, **keywords: Any) -> Any:
        """Return the loss."""
        return self._evaluate_keywords("value", arrays, keywords).value

    def terms(self, *arrays: ArrayLike, dtype: DTypeLike = np.float64, **parameters: Any) -> Terms:
        """Return the terms without sample weights, class axis last; ``dtype`` is float64 or longdouble."""
        raise NotImplementedError

    def restored(self, derivative: Array, parameters: Mapping[str, Any]) -> Array:
        """Give a derivative the prediction's layout again where ``terms`` changed it."""
        return derivative

    def row_weights(self, target: ArrayLike, parameters: Mapping[str, Any]) -> tuple[Array, Array]:
        """Class weight of every row and which rows are live, from the target alone."""
        raise NotImplementedError

    def denominator(self, target: ArrayLike, *, sample_weight: ArrayLike | None = None, **parameters: Any) -> float:
        """Return what ``reduction="mean"`` divides by."""
        row_weight, live = self.row_weights(target, parameters)
        return total(row_weight * sample_weights(sample_weight, row_weight.shape, live, np.float64))

    def evaluate(
        self,
        *arrays: ArrayLike,
        parameters: Mapping[str, Any] | None = None,
        sample_weight: ArrayLike | None = None,
        reduction: str = "mean",
        denominator: float | None = None,
        grad_output: ArrayLike | None = None,
        want: Want = "hess",
        dtype: DTypeLike = np.float64,
    ) -> Evaluation:
        """Return value, gradient and Hessian up to ``want``, with their scales.

        ``"none"`` values, gradients and Hessians are arrays of ``dtype``; ``"mean"`` and ``"sum"`` are
        Python floats, correctly rounded sums whatever the ``dtype``.
        """
        require(reduction in ("mean", "sum", "none"), f"reduction must be 'mean', 'sum' or 'none', not {reduction!r}")
        with np.errstate(all="ignore"):
            terms = self.terms(*arrays, dtype=dtype, **(parameters or {}))
            shape = np.shape(terms.value)
            row_weight = np.ones(shape) if terms.row_weight is None else terms.row_weight
            live = np.ones(shape, bool) if terms.live is None else terms.live
            weight = sample_weights(sample_weight, shape, live, dtype)
            divisor = 1.0
            if denominator is not None:
                require(reduction == "mean", "denominator is only for reduction='mean'")
                require(is_number(denominator, above=0), "denominator must be finite and > 0")
                divisor = float(denominator)
            elif reduction == "mean":
                divisor = total(weight * row_weight)
            upstream = np.asarray(1 if grad_output is None else grad_output, dtype)
            require(
                upstream.ndim == 0 or (reduction == "none" and upstream.shape == shape),
                "grad_output must be a scalar or, with reduction='none', have the unreduced loss's shape",
            )

            def reduced(values: Array) -> Any:
                values = weigh(weight, values)
                if reduction == "none":
                    return np.asarray(values, dtype)
                return math.nan if divisor == 0 else total(values) / divisor

            def derivative(values: Any, factor: Array) -> Any:
                if callable(values):  # of several arrays: they add up rows, which are weighted before
                    gradients = values(lambda rows: derivative(np.asarray(rows, dtype), factor))
                    return gradients if len(gradients) > 1 else gradients[0]
                if divisor == 0:  # the mean of nothing is NaN, and no prediction changes that
                    return self.restored(np.zeros(values.shape, dtype), parameters or {})
                values = weigh(weight, align(factor, values) * values / divisor)
                return self.restored(np.asarray(values, dtype), parameters or {})

            def scale(given: Array | None, result: Array) -> Array:
                return np.abs(result) if given is None else given

            results: dict[str, Any] = {"value": reduced(terms.value)}
            results["value_scale"] = reduced(scale(terms.value_scale, terms.value))
            if want != "value":
                results["grad"] = derivative(terms.grad, upstream)
                if callable(terms.grad) and terms.grad_scale is None:
                    parts = results["grad"] if isinstance(results["grad"], tuple) else (results["grad"],)
                    absolute = tuple(np.abs(part) for part in parts)
                    results["grad_scale"] = absolute if len(absolute) > 1 else absolute[0]
                else:
                    results["grad_scale"] = derivative(scale(terms.grad_scale, terms.grad), np.abs(upstream))
            if want == "hess" and terms.hess is not None:
                results["hess"] = derivative(terms.hess, upstream)
                results["hess_scale"] = derivative(scale(terms.hess_scale, terms.hess), np.abs(upstream))
        return Evaluation(**results)

    def _evaluate_keywords(self, want: Want, arrays: tuple[ArrayLike, ...], keywords: dict[str, Any]) -> Evaluation:
        common = {name: keywords.pop(name) for name in _COMMON if name in keywords}
        if want == "value" and "grad_output" in common:
            raise TypeError(f"{self.__name__}() got an unexpected keyword argument 'grad_output'")
        return self.evaluate(*arrays, parameters=keywords, want=want, **common)

    def _entry(self, name: str, want: Want) -> Callable[..., tuple[Any, ...]]:
        def entry(*arrays: ArrayLike, **keywords: Any) -> tuple[Any, ...]:
            result = self._evaluate_keywords(want, arrays, keywords)
            return (result.value, result.grad, result.hess)[: 3 if want == "hess" else 2]

        entry.__name__ = name
        entry.__qualname__ = f"{self.__name__}.{name}"
        entry.__doc__ = f"Return loss{', gradient and Hessian' if want == 'hess' else ' and gradient'}. See {self!r}."
        entry.__signature__ = self._signature(*_COMMON)  # type: ignore[attr-defined]
        return entry

    def _signature(self, *common: str) -> inspect.Signature:
        own = [
            p if p.kind is p.KEYWORD_ONLY else p.replace(kind=p.POSITIONAL_ONLY)
            for p in inspect.signature(self.formula).parameters.values()
        ]
        own += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in self._extra()]
        own += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_COMMON[name]) for name in common]
        return inspect.Signature([p.replace(annotation=p.empty) for p in own])

    def _extra(self) -> list[tuple[str, Any]]:
        """Keywords that the kind of loss adds to those of its formula."""
        return []


class PointwiseLoss(ReferenceLoss):
    """One loss per element of a prediction and a target of equal shape."""

    def terms(self, *arrays: ArrayLike, dtype: DTypeLike = np.float64, **parameters: Any) -> Terms:
        prediction, target = (np.asarray(array, dtype) for array in arrays)
        require(prediction.shape == target.shape, f"shapes differ: {prediction.shape} and {target.shape}")
        with np.errstate(all="ignore"):
            return self.formula(prediction, target, **parameters)

    def row_weights(self, target: ArrayLike, parameters: Mapping[str, Any]) -> tuple[Array, Array]:
        return np.ones(np.shape(target)), np.ones(np.shape(target), bool)


class RowwiseLoss(ReferenceLoss):
    """One loss per row of classes: the formula sees the class axis last, and leading axes as they come.

    ``targets`` says what the target holds: "labels", "probabilities" or "either".
    """

    def __init__(self, formula: Callable[..., Terms], *, targets: str = "either", hessian: bool = True) -> None:
        super().__init__(formula, hessian=hessian)
        self.targets = targets

    def terms(self, *arrays: ArrayLike, dtype: DTypeLike = np.float64, axis: int = -1, **parameters: Any) -> Terms:
        logits, target = np.asarray(arrays[0], dtype), np.asarray(arrays[1])
        labels = is_integer(target) and self.targets != "probabilities"
        if not labels:
            if target.shape != logits.shape or self.targets == "labels":
                raise TypeError(
                    "target holds neither integer class indices nor probabilities of the prediction's shape"
                )
            target = np.moveaxis(target.astype(dtype), axis, -1)
        rows = np.moveaxis(logits, axis, -1)
        require(rows.size or not math.prod(rows.shape[:-1]), "there are rows but no classes")
        if labels and target.ndim == logits.ndim:
            raise TypeError("an integer target has the logits' shape without the class axis")
        expected = rows.shape[:-1] if labels else rows.shape
        require(target.shape == expected, f"target has shape {target.shape}, expected {expected}")
        with np.errstate(all="ignore"):
            return self.formula(rows, target, **parameters)

    def restored(self, derivative: Array, parameters: Mapping[str, Any]) -> Array:
        return np.moveaxis(derivative, -1, parameters.get("axis", -1))

    def row_weights(self, target: ArrayLike, parameters: Mapping[str, Any]) -> tuple[Array, Array]:
        target = np.asarray(target)
        if not is_integer(target) or self.targets == "probabilities":
            shape = np.moveaxis(target, parameters.get("axis", -1), -1).shape[:-1]
            return np.ones(shape), np.ones(shape, bool)
        _, live, weight = class_labels(
            target, None, parameters.get("class_weight"), parameters.get("ignore_index", -100)
        )
        return weight, live

    def _extra(self) -> list[tuple[str, Any]]:
        return [("axis", -1)]


def is_integer(target: Array) -> bool:
    """Whether a target holds class indices (bool does not)."""
    return bool(np.issubdtype(target.dtype, np.integer))


_COMMON: dict[str, Any] = {"sample_weight": None, "reduction": "mean", "denominator": None, "grad_output": None}


def pointwise(formula: Callable[..., Terms]) -> PointwiseLoss:
    """Make a loss of a formula of two arrays of one shape."""
    return PointwiseLoss(formula)


def rowwise(*, targets: str = "either", hessian: bool = True) -> Callable[[Callable[..., Terms]], RowwiseLoss]:
    """Make a loss of a formula of rows of classes, and their labels or probabilities."""
    return lambda formula: RowwiseLoss(formula, targets=targets, hessian=hessian)
