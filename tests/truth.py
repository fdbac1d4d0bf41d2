"""High-precision truth: every loss written once more with mpmath, straight from its definition.

Values only: gradients and Hessians are numeric derivatives of the value at far higher precision, so
no closed form is repeated here. Finite inputs only (infinities and NaN are law, not mathematics), and
no weights or reductions. Precision: absolute errors near 2^-BITS of the terms, which leaves every float64,
subnormals included, hundreds of correct bits. At a kink the derivative is the mean of both sides.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

BITS = 1400  # float64 subnormals end at 2^-1074

Scalar = Any  # an mpf, or any real number on the way in


def exact(x: Any) -> Scalar:
    """A number as an mpf, without rounding; None, bool, str and int as they are; sequences element by element."""
    if x is None or isinstance(x, bool | str | int | mp.mpf):
        return x
    if isinstance(x, np.ndarray) and x.ndim == 0:
        x = x[()]
    if isinstance(x, np.longdouble):
        high = float(x)
        return mp.fadd(high, float(x - np.longdouble(high)), exact=True) if np.isfinite(high) else mp.mpf(high)
    if isinstance(x, np.integer):
        return int(x)
    if isinstance(x, Sequence | np.ndarray):
        return [exact(item) for item in x]
    return mp.mpf(float(x))


def times_log(t: Scalar, p: Scalar) -> Scalar:
    """t log p, with 0 log 0 = 0."""
    return mp.mpf(0) if t == 0 else t * mp.log(p)


def huber(x: Scalar, t: Scalar, delta: Scalar = 1) -> Scalar:
    r = abs(x - t)
    return r**2 / 2 if r <= delta else delta * (r - delta / mp.mpf(2))


def smooth_l1(x: Scalar, t: Scalar, beta: Scalar = 1) -> Scalar:
    r = abs(x - t)
    return r**2 / (2 * beta) if r < beta else r - beta / mp.mpf(2)


def poisson(x: Scalar, t: Scalar, log_input: bool = True, full: bool = False) -> Scalar:
    mean = mp.exp(x) if log_input else x
    log_factorial = t * mp.log(t) - t + mp.log(2 * mp.pi * t) / 2 if full and t > 1 else 0
    return mean - times_log(t, mean) + log_factorial


def tweedie(x: Scalar, t: Scalar, power: Scalar = 1.5) -> Scalar:
    if power in (1, 2):
        return poisson(x, t) if power == 1 else x + t * mp.exp(-x)
    a, b = 2 - mp.mpf(power), 1 - mp.mpf(power)
    return mp.exp(a * x) / a - t * mp.exp(b * x) / b


def binary_with_logits(x: Scalar, t: Scalar, pos_weight: Scalar = 1) -> Scalar:
    p, not_p = 1 / (1 + mp.exp(-x)), 1 / (1 + mp.exp(x))
    return -(pos_weight * times_log(t, p) + times_log(1 - t, not_p))


def focal(x: Scalar, t: Scalar, gamma: Scalar = 2, alpha: Scalar = None) -> Scalar:
    p = 1 / (1 + mp.exp(-x))
    alpha_t = 1 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
    p_t = p * t + (1 - p) * (1 - t)
    return alpha_t * (1 - p_t) ** gamma * binary_with_logits(x, t)


def poly(x: Scalar, t: Scalar, epsilon: Any = 1, form: str = "paper") -> Scalar:
    p = 1 / (1 + mp.exp(-x))
    q = 1 - (p * t + (1 - p) * (1 - t))
    terms = enumerate(epsilon if isinstance(epsilon, list) else [epsilon], 1)
    return binary_with_logits(x, t) + sum(e * q**j / (j if form == "taylor" else 1) for j, e in terms)


def cross_entropy(
    x: Sequence[Scalar],
    t: Any,
    class_weight: Sequence[Scalar] | None = None,
    ignore_index: int | None = -100,
    label_smoothing: Scalar = 0,
    temperature: Scalar = 1,
    logit_softcap: Scalar = None,
    z_loss: Scalar = 0,
) -> Scalar:
    """One row; t is a class index or a list of probabilities."""
    if t == ignore_index:
        return mp.mpf(0)
    n = len(x)
    w = class_weight if class_weight is not None else [mp.mpf(1)] * n
    y, row_weight = ([mp.mpf(c == t) for c in range(n)], w[t]) if isinstance(t, int) else (t, 1)
    capped = x if logit_softcap is None else [logit_softcap * mp.tanh(v / logit_softcap) for v in x]
    scores = [v / temperature for v in capped]
    partition = sum(mp.exp(s) for s in scores)
    smoothed = [(1 - label_smoothing) * v + label_smoothing * sum(y) / n for v in y]
    loss = -sum(times_log(w[c] * smoothed[c], mp.exp(scores[c]) / partition) for c in range(n))
    return loss + row_weight * z_loss * mp.log(partition) ** 2


def target_probability(x: Sequence[Scalar], t: int) -> Scalar:
    return mp.exp(x[t]) / sum(mp.exp(v) for v in x)


def weight_of(class_weight: Sequence[Scalar] | None, t: int) -> Scalar:
    return mp.mpf(1) if class_weight is None else class_weight[t]


def softmax_focal(
    x: Sequence[Scalar], t: int, gamma: Scalar = 2, alpha: Any = 1, class_weight: Sequence[Scalar] | None = None
) -> Scalar:
    p = target_probability(x, t)
    own = alpha[t] if isinstance(alpha, list) else alpha
    return weight_of(class_weight, t) * own * (1 - p) ** gamma * -mp.log(p)


def softmax_poly(
    x: Sequence[Scalar],
    t: int,
    epsilon: Any = (1,),
    form: str = "paper",
    class_weight: Sequence[Scalar] | None = None,
) -> Scalar:
    p, e = target_probability(x, t), epsilon if isinstance(epsilon, list | tuple) else [epsilon]
    terms = (v * (1 - p) ** j / (j if form == "taylor" else 1) for j, v in enumerate(e, 1))
    return weight_of(class_weight, t) * (-mp.log(p) + sum(terms, mp.mpf(0)))


def multiclass_hinge(
    x: Sequence[Scalar],
    t: int,
    margin: Scalar = 1,
    variant: str = "weston-watkins",
    scale: str = "none",
    class_weight: Sequence[Scalar] | None = None,
) -> Scalar:
    excesses = [max(mp.mpf(0), margin - x[t] + v) for j, v in enumerate(x) if j != t]
    loss = max(excesses, default=mp.mpf(0)) if variant == "crammer-singer" else sum(excesses, mp.mpf(0))
    return weight_of(class_weight, t) * loss / (len(x) if scale == "classes" else 1)


def divergence(x: Sequence[Scalar], t: Sequence[Scalar], from_logits: bool = False) -> Scalar:
    total = sum(mp.exp(v) for v in x)
    q = [mp.exp(v) / total for v in x] if from_logits else x
    return sum((times_log(a, a) - times_log(a, b) for a, b in zip(t, q, strict=True)), mp.mpf(0))


VALUES: dict[str, Callable[..., Scalar]] = {
    "mse_loss": lambda x, t: (x - t) ** 2,
    "half_mse_loss": lambda x, t: (x - t) ** 2 / 2,
    "l1_loss": lambda x, t: abs(x - t),
    "huber_loss": huber,
    "smooth_l1_loss": smooth_l1,
    "log_cosh_loss": lambda x, t: mp.log(mp.cosh(x - t)),
    "pseudo_huber_loss": lambda x, t, delta=1: delta**2 * (mp.sqrt(1 + ((x - t) / delta) ** 2) - 1),
    "quantile_loss": lambda x, t, quantile=0.5: max(quantile * (t - x), (quantile - 1) * (t - x)),
    "poisson_nll_loss": poisson,
    "gamma_nll_loss": lambda x, t: x + t * mp.exp(-x),
    "tweedie_loss": tweedie,
    "binary_cross_entropy": lambda x, t: -(times_log(t, x) + times_log(1 - t, 1 - x)),
    "binary_cross_entropy_with_logits": binary_with_logits,
    "balanced_cross_entropy": lambda x, t, pos_weight=1, neg_weight=1: (
        -(pos_weight * times_log(t, x) + neg_weight * times_log(1 - t, 1 - x))
    ),
    "focal_loss": focal,
    "poly_loss": poly,
    "soft_margin_loss": lambda x, t: mp.log(1 + mp.exp(-t * x)),
    "exponential_loss": lambda x, t: t * mp.exp(-x) + (1 - t) * mp.exp(x),
    "hinge_loss": lambda x, t, margin=1: max(mp.mpf(0), margin - t * x),
    "squared_hinge_loss": lambda x, t, margin=1: max(mp.mpf(0), margin - t * x) ** 2,
    "cross_entropy": cross_entropy,
    "softmax_focal_loss": softmax_focal,
    "poly_cross_entropy": softmax_poly,
    "multiclass_hinge_loss": multiclass_hinge,
    "categorical_cross_entropy": lambda x, t: -sum(times_log(b, a) for a, b in zip(x, t, strict=True)),
    "sparse_categorical_cross_entropy": lambda x, t, class_weight=None: -weight_of(class_weight, t) * mp.log(x[t]),
    "kl_divergence": divergence,
}

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "log_sigmoid": lambda x: mp.log(1 / (1 + mp.exp(-x))),
    "softplus": lambda x: mp.log(1 + mp.exp(x)),
    "softmax": lambda x: [mp.exp(v) / sum(mp.exp(u) for u in x) for v in x],
    "log_softmax": lambda x: [mp.log(mp.exp(v) / sum(mp.exp(u) for u in x)) for v in x],
    "logsumexp": lambda x: mp.log(sum(mp.exp(u) for u in x)),
}


def mp_activation(name: str, x: Any, bits: int = BITS) -> Any:
    """An activation of a scalar, or of one row."""
    with mp.workprec(bits):
        return ACTIVATIONS[name](exact(x))


def mp_value(name: str, x: Any, t: Any, bits: int = BITS, **parameters: Any) -> Scalar:
    """The loss of one element, or of one row."""
    with mp.workprec(bits):
        return mp.mpf(VALUES[name](exact(x), exact(t), **{key: exact(value) for key, value in parameters.items()}))


def _derivative(order: int, name: str, x: Any, t: Any, bits: int, parameters: dict[str, Any]) -> Any:
    def along(c: int) -> Scalar:
        def moved(v: Scalar) -> Scalar:
            return value(v if not is_row else [*point[:c], v, *point[c + 1 :]], target, **given)

        return mp.diff(moved, point[c] if is_row else point, order)

    value, point, target = VALUES[name], exact(x), exact(t)
    given = {key: exact(parameter) for key, parameter in parameters.items()}
    is_row = isinstance(point, list)
    with mp.workprec(bits):
        return [along(c) for c in range(len(point))] if is_row else along(0)


def mp_gradient(name: str, x: Any, t: Any, bits: int = BITS, **parameters: Any) -> Any:
    """The derivative with respect to x: a number, or for a row the list of partial derivatives."""
    return _derivative(1, name, x, t, bits, parameters)


def mp_hessian_diagonal(name: str, x: Any, t: Any, bits: int = BITS, **parameters: Any) -> Any:
    """The second derivative with respect to x, or for a row the list of pure second derivatives."""
    return _derivative(2, name, x, t, bits, parameters)


def unit(x: Scalar, dtype: DTypeLike) -> Scalar:
    """One ULP of a floating type at |x|: the spacing of its numbers in that binade, subnormals included."""
    info: Any = np.finfo(np.dtype(dtype))
    exponent = info.minexp if x == 0 else min(max(int(mp.mag(x)) - 1, info.minexp), info.maxexp - 1)
    return mp.ldexp(1, int(exponent) - int(info.nmant))


def ulp_error(
    result: ArrayLike, truth: Iterable[Scalar], dtype: DTypeLike, scale: Iterable[Scalar] | None = None
) -> NDArray[np.float64]:
    """The error of every result in ULPs of ``dtype`` at its truth, or at its scale where that is larger.

    NaN matches NaN alone, an infinity itself or a truth that rounds to it in ``dtype``; any other pairing of
    the non-finite is an error of infinity.
    """
    info: Any = np.finfo(np.dtype(dtype))
    results = np.ravel(np.asarray(result))
    truths = [exact(value) for value in truth]
    scales = truths if scale is None else [exact(value) for value in scale]
    if not len(results) == len(truths) == len(scales):
        raise ValueError(f"{len(results)} results, {len(truths)} truths, {len(scales)} scales")
    errors = np.zeros(len(results))
    with mp.workprec(BITS):
        overflow = mp.ldexp(2 - mp.ldexp(1, -int(info.nmant) - 1), int(info.maxexp) - 1)
        for i, (got, want, size) in enumerate(zip(results, truths, scales, strict=True)):
            if np.isnan(got) or mp.isnan(want):
                errors[i] = 0.0 if np.isnan(got) and mp.isnan(want) else np.inf
            elif np.isinf(got) or mp.isinf(want):
                same = np.isinf(got) and abs(want) >= overflow and (got > 0) == (want > 0)
                errors[i] = 0.0 if same else np.inf
            else:
                biggest = abs(want) if mp.isinf(size) or mp.isnan(size) else max(abs(want), abs(size))
                errors[i] = float(abs(exact(got) - want) / unit(biggest, dtype))
    return errors
