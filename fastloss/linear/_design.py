"""The matrix of a linear model: products with it and its transpose, dense (NumPy's BLAS) or CSR (SciPy's)."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss._arguments import Array


def is_sparse(X: object) -> bool:
    """Whether X is a sparse matrix or array of SciPy. Whoever has one has imported SciPy: this need not."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(X))


class Design:
    """A finite real matrix of shape (samples, features) in float32 or float64, seen from both sides.

    ``finite`` says that somebody has made sure of that.
    """

    def __init__(self, X: object, finite: bool = False) -> None:
        self.sparse = is_sparse(X)
        if self.sparse:
            matrix: Any = X
            matrix = matrix.tocsr()
            values = _real(matrix.data, "X.data")
            if values is not matrix.data:
                matrix = type(matrix)((values, matrix.indices, matrix.indptr), shape=matrix.shape)
            self.matrix = matrix
        else:
            values = _real(X, "X")
            if values.ndim != 2:
                raise ValueError(f"X has shape {values.shape}; expected two dimensions, (samples, features)")
            self.matrix = values
        self.real = values.dtype
        self.samples, self.features = (int(n) for n in self.matrix.shape)
        # A view of the same memory; SciPy would need some microseconds to make it anew for each product.
        self.transposed = self.matrix.T
        if not finite:
            _check_finite(values, "X.data" if self.sparse else "X")

    def scores(self, coef: Array, out: Array) -> None:
        """X coef^T into ``out``: coef is (features,) with out (samples,), or (K, features) with out (samples, K)."""
        if self.sparse:
            out[...] = self.matrix @ coef.T
        else:
            np.matmul(self.matrix, coef.T, out=out)

    def back(self, slope: Array) -> Array:
        """slope^T X: the gradient of the coefficients, given that of the scores."""
        return np.asarray((self.transposed @ slope).T if self.sparse else slope.T @ self.matrix)


def _real(value: object, name: str) -> Array:
    """The values in a type that the BLAS has: half precision becomes float32, integers and bool float64."""
    values = arguments.as_array(value, name)
    if values.dtype in (np.float32, np.float64):
        return values
    return values.astype(np.float32 if values.dtype.name in ("float16", "bfloat16") else np.float64)


def _check_finite(values: Array, name: str) -> None:
    """Raise for the first number that is NaN or infinite: it would make every gradient NaN, at any weight."""
    with np.errstate(all="ignore"):
        if np.isfinite(values.sum()):
            return
    bad = ~np.isfinite(values)
    if bad.any():
        flat = int(np.argmax(bad))
        where = arguments.element(values, flat)
        raise ValueError(f"{name}{where} = {values.reshape(-1)[flat]} is not finite; expected finite numbers")
