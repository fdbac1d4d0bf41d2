"""GE2E: utterances against the centroids of all speakers, that of their own leaving the utterance itself out.

Centroids without an utterance, and all that goes through them, are worked out in float64 for all utterances at once;
the scores of other speakers come in tiles. Not here: the tiles (_products.py), lengths and projections (_unit.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastloss import _core, _products
from fastloss._arguments import Array
from fastloss._products import SPEAKERS, Kernel, Softmax, dead_rows, few_products, flat, run_tiles, total_of
from fastloss._several import Problem, Run
from fastloss._unit import dots, project, unit_rows


class SpeakerQueries:
    """Utterances as queries, with the scores of their own speakers; gradients are kept until all are known."""

    def __init__(self, unit: Array, own: Array, w: float, dead: Array | None, wanted: bool) -> None:
        self.unit, self.own, self.w, self.dead = unit, own, w, dead
        self.gradient = np.empty(unit.shape if wanted else (0, 0), unit.dtype)
        self.own_gradient = np.empty(len(unit))
        self.wanted = wanted

    def load(self, first: int, last: int) -> tuple[Array, Array]:
        """The tile's unit vectors times w, and w times the cosine with the own centroid; b moves all scores alike."""
        scaled = self.unit[first:last] * self.unit.dtype.type(self.w)
        if self.dead is not None:
            scaled[self.dead[first:last]] = 0
        return scaled, self.w * self.own[first:last]

    def store(self, first: int, last: int, gradient: Array | None, own: Array | None) -> None:
        """Keep the gradients."""
        if gradient is None:
            return
        if self.dead is not None:
            gradient[self.dead[first:last]] = 0
        self.gradient[first:last] = gradient
        self.own_gradient[first:last] = own


class Contrast:
    """The row kernel of the other variant, 1 - sigma(own) + the largest sigma of the others; ties to the lowest index.

    Scores as near to the largest as rounding are compared once more in float64, where equal centroids are equal.
    """

    def __init__(self, run: Run, label: Array, unit: Array, centroids: Array, own: Array, w: float, b: float) -> None:
        self.run, self.label, self.unit, self.centroids, self.own = run, label, unit, centroids, own
        self.weight, self.upstream, self.unreduced = flat(run.weight), flat(run.upstream), flat(run.unreduced)
        self.w, self.b = w, b
        self.slope_b = 0.0

    def __call__(
        self, scores: Array, first: int, last: int, own: Array | None, wanted: bool
    ) -> tuple[float, Array | None]:
        at, label = np.arange(last - first), self.label[first:last]
        scores[at, label] = -np.inf
        rival = self._largest(scores, first)
        e, c = self.unit[first:last], self.centroids[rival]
        cosine = dots(e.astype(np.float64), c.astype(np.float64))
        mine, other = self.w * self.own[first:last] + self.b, self.w * cosine + self.b
        miss, mine_slope = logistic(-mine), logistic(-mine) * logistic(mine)
        hit, other_slope = logistic(other), logistic(other) * logistic(-other)
        weight = np.ones(last - first) if self.weight is None else self.weight[first:last]
        dead = weight == 0
        values = np.where(dead, 0, weight * (miss + hit))
        if self.unreduced is not None:
            self.unreduced[first:last] = values
        if not wanted:
            return float(total_of(values.tolist())), None
        factor = self.run.scale * weight
        if self.upstream is not None:
            factor = factor * self.upstream[first:last]
        down, up = (np.where(dead, 0, factor * slope) for slope in (-mine_slope, other_slope))
        scores[...] = 0
        scores[at, rival] = up
        self.slope_b += float(np.sum(down + up))
        return float(total_of(values.tolist())), down

    def _largest(self, scores: Array, first: int) -> Array:
        rival = np.asarray(np.argmax(scores, axis=1))
        top = scores[np.arange(len(rival)), rival]
        close = (self.unit.shape[1] + 8) * np.finfo(scores.dtype).eps * abs(self.w)
        ties = scores >= (top - close)[:, None]
        for row in np.flatnonzero(np.count_nonzero(ties, axis=1) > 1):
            among = np.flatnonzero(ties[row])
            c = self.centroids[among]
            exact = dots(c, np.broadcast_to(self.unit[first + row], c.shape))
            rival[row] = among[np.argmax(self.w * exact)]
        return rival


def logistic(x: Array) -> Array:
    """1 / (1 + e^-x) without overflow."""
    z = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, z, 1) / (1 + z))


def ge2e_numbers(real: np.dtype[Any], values: dict[str, Any]) -> tuple[float]:
    """What the softmax variant takes of its parameters; else ValueError."""
    if values["variant"] != "softmax":
        raise ValueError("no short way")
    return (float(real.type(values["w"])),)


def ge2e(real: np.dtype[Any], arrays: tuple[Any, ...], values: dict[str, Any]) -> Problem:
    """What one call of ge2e_loss evaluates."""
    (embeddings,) = arrays
    if embeddings.ndim != 3:
        raise ValueError(f"embeddings have shape {embeddings.shape}; expected (speakers, utterances, D)")
    speakers, utterances, _ = embeddings.shape
    if utterances < 2 and speakers:
        raise ValueError(f"embeddings have shape {embeddings.shape}: {utterances} utterances a speaker; expected at "
                         "least 2, as a centroid leaves the utterance itself out")  # fmt: skip
    if values["variant"] == "contrast" and speakers == 1:
        raise ValueError(f"embeddings have shape {embeddings.shape}: 1 speaker; variant='contrast' needs at least 2")

    def run(r: Run) -> tuple[float, ...]:
        w, b = (float(real.type(values[name])) for name in ("w", "b"))
        return ge2e_run(r, real, embeddings, values["variant"], w, b)

    return Problem(embeddings.shape[:2], run)


def ge2e_run(run: Run, real: np.dtype[Any], embeddings: Array, variant: str, w: float, b: float) -> tuple[float, ...]:
    """Value, and where gradients are wanted the derivatives by w and b."""
    speakers, utterances, dimension = embeddings.shape
    n, wanted, dead = speakers * utterances, bool(run.gradients), dead_rows(run.weight)
    if not n or (dead is not None and dead.all()):
        for array in (*run.gradients, run.unreduced):
            if array is not None:
                array[...] = 0
        return (0.0, 0.0, 0.0) if wanted else (0.0,)
    speaker = np.repeat(np.arange(speakers), utterances)
    label = speaker if dead is None else np.where(dead, -1, speaker)
    if variant == "softmax" and _products.is_few(n, speakers, dimension):
        few = few_products(SPEAKERS, run, real, [embeddings], label, (w,), utterances=utterances)
        return (*few, 0.0) if wanted else few[:1]
    with np.errstate(all="ignore"):
        x = embeddings.astype(real, copy=False).astype(np.float64, order="C")
        rows = x.reshape(n, dimension)
        e, c, m = np.empty((n, dimension)), np.empty((speakers, dimension)), np.empty((n, dimension))
        others, whole, scale = np.empty((n, dimension)), np.empty((speakers, dimension)), np.empty(speakers)
        _core.centroids(False, [x, others, whole, scale], x.shape)
        inverse_e, inverse_c, inverse_m = unit_rows(rows, e), unit_rows(whole, c), unit_rows(others, m)
        own = np.clip(dots(e, m), -1, 1)
        unit, keys = e.astype(real), c.astype(real)
        kernel: Kernel
        if variant == "softmax":
            kernel = Softmax(label, flat(run.weight), flat(run.upstream), run.scale, None, flat(run.unreduced))
        else:
            kernel = Contrast(run, speaker, e, c, own, w, b)
        source = SpeakerQueries(unit, own, w, dead, wanted)
        dc = np.empty((speakers, dimension), real) if wanted else None
        total = run_tiles(n, speakers, source, keys, kernel, dc, wanted)
        if dc is None:
            return (total,)
        # The derivative by w is the sum of slopes times cosines; e . (sum of slopes times centroids) has all but one.
        pull, own_pull = source.gradient.astype(np.float64), source.own_gradient
        if dead is not None:
            e[dead], m[dead], own[dead], own_pull[dead] = 0, 0, 0, 0
        slope_w = dots(e, pull) + own_pull * own
        through_e, through_m, through_c = w * pull, own_pull[:, None] * w * e, dc.astype(np.float64)
        through_e += own_pull[:, None] * w * m
        project(e, inverse_e, through_e, through_e)
        project(m, inverse_m, through_m, through_m)
        project(c, inverse_c, through_c, through_c)
        gradient = through_e.reshape(x.shape)
        _core.centroids(True, [through_m, through_c, scale, gradient], x.shape)
        run.gradients[0][...] = gradient
        slope_b = kernel.slope_b if isinstance(kernel, Contrast) else 0.0
        return total, total_of(slope_w.tolist()), slope_b
