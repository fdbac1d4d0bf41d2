"""The embedding-layer twin of linear.py: per-sample gradients of a table, of which a sample touches a few rows only."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments
from fastloss import _core, _settings
from fastloss.privacy import _backend
from fastloss.privacy import _rules as rules
from fastloss.privacy._ghost import UNIT, Norms, factors_of, row_norms, tiles
from fastloss.privacy._passes import cleared, finish
from fastloss.privacy.noise import GAUSSIAN, as_generator
from fastloss.privacy.secure import budget_of, secure_rule, write_grid
from fastloss.reference import linear as reference

Array = npt.NDArray[Any]


class Lookups:
    """Indices (B, T) and output gradients (B, T, c) of one real type; rows of the table that a sample uses twice have
    their gradients added in double, a tile of samples at a time.
    """

    def __init__(self, indices: object, output_grads: object, num_embeddings: object) -> None:
        index = arguments.as_array(indices, "indices")
        e = arguments.as_array(output_grads, "output_grads")
        try:
            self.rows = operator.index(num_embeddings)  # type: ignore[arg-type]
        except TypeError as error:
            raise TypeError(f"num_embeddings = {num_embeddings!r} is not an integer") from error
        if index.dtype.kind not in "iu":
            raise TypeError(f"indices has dtype {index.dtype}; expected an integer type")
        if index.ndim < 1 or e.shape[:-1] != index.shape:
            raise ValueError(f"indices has shape {index.shape} and output_grads has shape {e.shape}; expected (B,) and "
                             "(B, c), or (B, T) and (B, T, c)")  # fmt: skip
        bad = (index < 0) | (index >= self.rows)
        if bad.any():
            at = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
            shown = ", ".join(map(str, at))
            raise ValueError(f"indices[{shown}] = {index[at]} is outside [0, {self.rows})")
        self.real = np.dtype(np.float32 if e.dtype == np.float32 else np.float64)
        self.batch: int = index.shape[0]
        self.times = math.prod(index.shape[1:])
        self.columns: int = e.shape[-1]
        self.index = index.reshape(self.batch, self.times).astype(np.int64)
        self.grads = np.require(e, self.real, ["C", "A"]).reshape(self.batch, self.times, self.columns)

    def gathered(self, rows: Array) -> tuple[Array, Array, Array]:
        """Of these samples: which of them, which row of the table, and its gradient in double, each pair once."""
        keys = (np.arange(len(rows))[:, None] * self.rows + self.index[rows]).reshape(-1)
        e = self.grads[rows].reshape(len(keys), self.columns).astype(np.float64)
        if self.times > 1:
            order = np.argsort(keys, kind="stable")
            keys, first = np.unique(keys[order], return_index=True)
            with np.errstate(invalid="ignore", over="ignore"):
                e = np.add.reduceat(e[order], first, axis=0) if len(first) else e
        return keys // max(self.rows, 1), keys % max(self.rows, 1), e

    def tiles(self) -> Any:
        """Samples some at a time."""
        return tiles(np.arange(self.batch), max(self.times * self.columns, 1))

    def norms(self) -> Norms:
        """Upper bounds: each element is a sum of at most T terms in double, so within T 2^-53 S of its exact value."""
        flat = self.grads.reshape(self.batch * self.times, self.columns)
        with np.errstate(invalid="ignore", over="ignore"):
            spread = row_norms(flat).reshape(self.batch, self.times).sum(axis=1) * (1 + 2.0**-40)
            norm = np.zeros(self.batch)
            for rows in self.tiles():
                sample, _, e = self.gathered(rows)
                lengths = row_norms(e)
                most = np.zeros(len(rows))
                np.maximum.at(most, sample, lengths)
                most[~(most > 0)] = 1
                squares = np.bincount(sample, (lengths / most[sample]) ** 2, minlength=len(rows))
                norm[rows] = most * np.sqrt(squares) + (self.times + 2) * UNIT * spread[rows]
        norm = norm * (1 + 2.0**-40) + 2.0**-1000
        norm[~np.isfinite(spread)] = np.nan
        return Norms(norm, spread, np.full(self.batch, self.columns * self.times * 2.0**-1000))


def embedding_norms(indices: object, output_grads: object, num_embeddings: int) -> Array:
    """Return the norm of every sample's gradient of an embedding table, without the gradients.

    Never below the exact norm, and above it by a relative 1e-12. Not private.

    Parameters
    ----------
    indices : array_like of int (B,) or (B, ...)
        Which rows each sample looked up, in [0, num_embeddings); a row may be used several times.
    output_grads : array_like (B, c) or (B, ..., c)
        Gradient of each sample's loss with respect to what was looked up.
    num_embeddings : int
        Rows of the table.

    Returns
    -------
    ndarray of float64, shape (B,)
        The norms; NaN or inf where a sample holds one.

    Raises
    ------
    TypeError, ValueError
        For arrays of other types, shapes that do not belong together, or an index outside the table.

    Examples
    --------
    >>> from fastloss.privacy import embedding_norms
    >>> embedding_norms([[1, 1], [0, 2]], [[[3.0], [1.0]], [[3.0], [4.0]]], 3).round(9).tolist()
    [4.0, 5.0]
    """
    return Lookups(indices, output_grads, num_embeddings).norms().norm


def embedding_clip_and_noise(
    indices: object,
    output_grads: object,
    num_embeddings: int,
    max_grad_norm: float,
    noise_multiplier: float,
    *,
    expected_batch_size: float | None = None,
    reduction: str = "mean",
    rng: object = None,
    secure: bool = False,
    adjacency: str = "add_remove",
) -> Array:
    """Clip, add up and noise the per-sample gradients of an embedding table, without making them.

    Equal to `clip_and_noise` of the gradients, (B, num_embeddings, c), to rounding. Noise goes on every row of the
    table: which rows were looked up is private. A sample that holds a NaN or inf adds 0.

    Parameters
    ----------
    indices, output_grads, num_embeddings
        As in `embedding_norms`.
    max_grad_norm : float
        The bound C > 0 of the L2 norm; inf only with ``noise_multiplier=0``.
    noise_multiplier : float
        Standard deviation of the noise over C (2 C with ``adjacency="replace"``). With 0 the result is **not private**.
    expected_batch_size, reduction, rng, secure, adjacency
        As in `clip_and_noise`.

    Returns
    -------
    ndarray (num_embeddings, c)
        The noised mean or sum, in the type of `output_grads` (float64 for integers).

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, or an index outside the table.

    Examples
    --------
    >>> from fastloss.privacy import embedding_clip_and_noise
    >>> embedding_clip_and_noise([1, 0], [[1.0], [2.0]], 3, 9.0, 0.0, reduction="sum").tolist()
    [[2.0], [1.0], [0.0]]
    """
    lookups = Lookups(indices, output_grads, num_embeddings)
    bound = rules.check_bound(max_grad_norm, "max_grad_norm")
    divisor = rules.check_divisor(expected_batch_size, reduction)
    multiplier = arguments.non_negative(noise_multiplier, "noise_multiplier")
    rules.check_choice(adjacency, "adjacency", rules.ADJACENCIES)
    rule = rules.Rule("l2", "flat", (bound,), (0,), adjacency)
    scale = rules.noise_scale(multiplier, rule)
    hardened = arguments.flag(secure, "secure")
    generator = as_generator(rng)
    out = _core.new_array((lookups.rows, lookups.columns), lookups.real)
    if hardened:
        budget = budget_of(rule, [out.size], GAUSSIAN, scale)
        rounded = secure_rule(rule, budget, lookups.batch)
        integers = cleared(out.shape, np.int64)
        _add(lookups, rounded.bounds[0], integers, 1 / budget.grid)
        if scale > 0:
            generator._add_integers(GAUSSIAN, budget.scale, integers.reshape(-1))
        write_grid(integers.reshape(-1), [out], budget.grid, divisor)
        return out
    sums = cleared(out.shape)
    backend = _settings.get_backend()
    if backend != "reference":
        _add(lookups, bound, sums)
    if backend != "native":
        gradients = reference.embedding_gradients(lookups.index, lookups.grads, lookups.rows)
        twin = reference.clipped_sums(gradients, bound).reshape(out.shape)
        if backend == "check":
            size = np.zeros(out.shape)
            _add(lookups, bound, size, absolute=True)
            _backend.compare("sums", sums, twin, 1e-10 * size + 1e-300)
        sums = sums if backend == "check" else twin
    key, first = generator._reserve(GAUSSIAN, sums.size) if scale > 0 else (None, 0)
    finish(sums.reshape(-1), [out], divisor, False, key, first, scale)
    return out


def _add(lookups: Lookups, bound: float, sums: Array, units: float = 0.0, absolute: bool = False) -> None:
    """Add clipped samples; with units, times them and rounded to integers."""
    factors = factors_of([lookups.norms()], bound, np.dtype(np.float64))
    for rows in lookups.tiles():
        sample, row, e = lookups.gathered(rows)
        f = factors[rows][sample]
        e = np.where(f[:, None] > 0, e, 0) * f[:, None]
        if absolute:
            e = np.abs(e)
        np.add.at(sums, row, np.rint(e * units).astype(np.int64) if units else e)
