"""Activations: value only, always arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastloss import _arguments as arguments
from fastloss import _backend, _core, _layout, _settings
from fastloss._arguments import Array
from fastloss._half import assign

_INDEX = _core.names_of_unary()
_SOFTMAX, _LOG_SOFTMAX, _LOGSUMEXP = 0, 1, 2


def _answer(name: str, result: Array, shape: tuple[int, ...], real: np.dtype[Any], *arguments_: Any) -> Array:
    """The native result, compared with the reference under the "check" backend."""
    if _settings.get_backend() == "check":
        expected, scale = _backend.reference_activation(name, *arguments_)
        _backend.check_close(name, "value", result, expected, scale, shape, real)
    return result


def _result(out: object, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: list[tuple[str, Array]]) -> Array:
    return _core.new_array(shape, dtype) if out is None else arguments.check_output(out, "out", shape, dtype, inputs)


def _elementwise(name: str, x: object, out: object) -> Array:
    if _settings.get_backend() == "native":
        quick = _core.quick_elementwise(_INDEX[name], x, out)
        if quick is not None:
            return quick
    array, real = arguments.as_prediction(x, "x")
    inputs = arguments.named_arrays(x=x)
    result = _result(out, array.shape, array.dtype, inputs)
    if _settings.get_backend() == "reference":
        assign(result, _backend.reference_activation(name, array)[0])
        return result
    before = array.copy() if _settings.get_backend() == "check" else array
    _core.elementwise(_INDEX[name], array, result)
    return _answer(name, result, array.shape, real, before)


def _rowwise(name: str, which: int, x: object, axis: object, out: object) -> Array:
    if axis == -1 and type(axis) is int and _settings.get_backend() == "native":
        quick = _core.quick_softmax(which, x, out)
        if quick is not None:
            return quick
    array, real = arguments.as_prediction(x, "x")
    if array.ndim == 0:
        raise ValueError("x is 0-dimensional; expected a class axis")
    k = arguments.check_axis(axis, array.ndim)
    inputs = arguments.named_arrays(x=x)
    shape = array.shape[:k] + array.shape[k + 1 :] if which == _LOGSUMEXP else array.shape
    result = _result(out, shape, array.dtype, inputs)
    if _settings.get_backend() == "reference":
        assign(result, _backend.reference_activation(name, array, k)[0])
        return result
    before = array.copy() if _settings.get_backend() == "check" else array
    if which == _LOGSUMEXP:
        values = np.full(result.size, -np.inf)
        if array.size:
            _core.softmax_rows(which, _layout.rows_view(array, k), None, values)
        with np.errstate(over="ignore"):
            assign(result, values.astype(real).reshape(shape))
    elif array.size:
        rows, is_new = _layout.rows_output(result, k)
        _core.softmax_rows(which, _layout.rows_view(array, k), rows, None)
        if is_new:
            result[...] = rows.reshape(shape)
    return _answer(name, result, array.shape, real, before, k)


def sigmoid(x: ArrayLike, /, *, out: Array | None = None) -> Array:
    r"""Logistic function.

    .. math:: \sigma(x) = \frac{1}{1 + e^{-x}}

    Parameters
    ----------
    x : array_like
        Any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    out : ndarray, optional
        Where the result goes; may be ``x`` itself.

    Returns
    -------
    ndarray
        Of the shape and real type of ``x``, within 1 ULP; small results keep their precision.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is no real array, or ``out`` unfit.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.sigmoid([-800.0, 0.0, 800.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    return _elementwise("sigmoid", x, out)


def log_sigmoid(x: ArrayLike, /, *, out: Array | None = None) -> Array:
    r"""Logarithm of the logistic function.

    .. math:: \log \sigma(x) = -\log(1 + e^{-x})

    Parameters
    ----------
    x : array_like
        Any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    out : ndarray, optional
        Where the result goes; may be ``x`` itself.

    Returns
    -------
    ndarray
        Of the shape and real type of ``x``, within 1 ULP.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is no real array, or ``out`` unfit.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.log_sigmoid([-800.0, 0.0]).tolist()
    [-800.0, -0.6931471805599453]
    """
    return _elementwise("log_sigmoid", x, out)


def softplus(x: ArrayLike, /, *, out: Array | None = None) -> Array:
    r"""Softplus, the smooth maximum of x and 0.

    .. math:: \operatorname{softplus}(x) = \log(1 + e^{x})

    Parameters
    ----------
    x : array_like
        Any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    out : ndarray, optional
        Where the result goes; may be ``x`` itself.

    Returns
    -------
    ndarray
        Of the shape and real type of ``x``, within 1 ULP.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is no real array, or ``out`` unfit.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.softplus([0.0, 800.0]).tolist()
    [0.6931471805599453, 800.0]
    """
    return _elementwise("softplus", x, out)


def softmax(x: ArrayLike, /, *, axis: int = -1, out: Array | None = None) -> Array:
    r"""Softmax over one axis.

    .. math:: p_c = \frac{e^{x_c}}{\sum_k e^{x_k}}

    Parameters
    ----------
    x : array_like
        Logits with at least one axis. float32 and float64 are computed as they are, float16 and
        bfloat16 in float32, integers and bool in float64.
    axis : int
        The class axis.
    out : ndarray, optional
        Where the result goes; may be ``x`` itself.

    Returns
    -------
    ndarray
        Of the shape and real type of ``x``. One +inf gives its one-hot row; a row of -inf only, or
        with +inf twice, is NaN.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is no real array, or ``axis`` or ``out`` unfit.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.softmax([[1000.0, 1000.0], [0.0, float("-inf")]]).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    return _rowwise("softmax", _SOFTMAX, x, axis, out)


def log_softmax(x: ArrayLike, /, *, axis: int = -1, out: Array | None = None) -> Array:
    r"""Logarithm of the softmax over one axis, exact for confident rows too.

    .. math:: \log p_c = x_c - \log \sum_k e^{x_k}

    Parameters
    ----------
    x : array_like
        Logits with at least one axis. float32 and float64 are computed as they are, float16 and
        bfloat16 in float32, integers and bool in float64.
    axis : int
        The class axis.
    out : ndarray, optional
        Where the result goes; may be ``x`` itself.

    Returns
    -------
    ndarray
        Of the shape and real type of ``x``; the largest entry is -log1p of the sum of the other
        exponentials, which keeps its digits where p is nearly 1.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is no real array, or ``axis`` or ``out`` unfit.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.log_softmax([40.0, 0.0]).tolist()
    [-4.248354255291589e-18, -40.0]
    """
    return _rowwise("log_softmax", _LOG_SOFTMAX, x, axis, out)


def logsumexp(x: ArrayLike, /, *, axis: int = -1, out: Array | None = None) -> Array:
    r"""Logarithm of the sum of exponentials over one axis.

    .. math:: \operatorname{lse}(x) = \log \sum_k e^{x_k}

    Parameters
    ----------
    x : array_like
        Logits with at least one axis. float32 and float64 are computed as they are, float16 and
        bfloat16 in float32, integers and bool in float64.
    axis : int
        The axis that is summed over.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray
        Of the shape of ``x`` without the axis, and its real type. All -inf, or an empty axis, gives
        -inf; any +inf gives +inf.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is no real array, or ``axis`` or ``out`` unfit.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.logsumexp([[1000.0, 1000.0]]).tolist()
    [1000.6931471805599]
    """
    return _rowwise("logsumexp", _LOGSUMEXP, x, axis, out)
