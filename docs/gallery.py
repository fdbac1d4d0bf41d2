"""Draws docs/gallery-*.svg: every family's losses and their gradients, computed by fastloss itself.

``python docs/gallery.py`` (needs matplotlib). The pictures have a light background of their own, for dark pages.
GE2E is not among them: its centroids make it a function of many vectors at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

import fastloss as fl

FOLDER = Path(__file__).parent
# Okabe and Ito's colours, told apart with every kind of colour vision; dashes tell apart lines that touch.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5F5F5F")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.4)), "-", (0, (6, 2)), (0, (2, 1.4)), (0, (7, 1.5, 1.5, 1.5)))
mpl.rcParams |= {
    "svg.fonttype": "path", "svg.hashsalt": "fastloss", "font.size": 10, "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#9A9A9A", "axes.linewidth": 0.8,
    "xtick.color": "#555555", "ytick.color": "#555555", "axes.labelcolor": "#333333", "grid.color": "#E4E4E4",
    "axes.facecolor": "#FFFFFF", "figure.facecolor": "#FFFFFF", "savefig.facecolor": "#FFFFFF", "legend.fontsize": 9,
}  # fmt: skip


class Curve(NamedTuple):
    """A label, and what gives losses and gradients along the axis, one call to fastloss."""

    label: str
    along: Callable[[np.ndarray], tuple[Any, Any]]


class Panel(NamedTuple):
    """A title, the axis, and the curves; ``limits`` of losses and of gradients."""

    title: str
    axis: str
    x: np.ndarray
    curves: Sequence[Curve]
    limits: tuple[tuple[float, float], tuple[float, float]]
    legend: str = "upper right"


def target(loss: Any, value: float, **keywords: Any) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """A loss of one prediction along the axis, for one target."""
    return lambda x: loss.value_and_grad(x, np.full(x.shape, value), reduction="none", **keywords)


def rows(loss: Any, label: Any, logits: bool = True, **keywords: Any) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """A loss of three classes: the first one's logit along the axis, 0 and -1 for the others, and the first's gradient.

    On probabilities: the first one's along the axis, and a gradient that keeps their sum, as the softmax's does.
    """

    def along(x: np.ndarray) -> tuple[Any, Any]:
        others = (0 * x, 0 * x - 1) if logits else ((1 - x) * 0.75, (1 - x) * 0.25)
        labels = np.tile(label, (len(x), 1)) if np.ndim(label) else np.full(len(x), label)
        value, grad = loss.value_and_grad(np.stack([x, *others], axis=1), labels, reduction="none", **keywords)
        return value, grad @ ([1, 0, 0] if logits else [1, -0.75, -0.25])

    return along


def on_circle(x: np.ndarray) -> np.ndarray:
    """Vectors of length 1 at angles in degrees."""
    angle = np.deg2rad(x)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def by_angle(value_and_grad: Callable[[np.ndarray], tuple[Any, Any]]) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """The loss of a vector at an angle, and its derivative with respect to the angle in radians."""

    def along(x: np.ndarray) -> tuple[Any, Any]:
        value, grad = value_and_grad(on_circle(x))
        return value, (grad * on_circle(x + 90)).sum(axis=1)

    return along


def by_distance(loss: Any, label: Any, **keywords: Any) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """A loss of two points, by their distance."""

    def along(x: np.ndarray) -> tuple[Any, Any]:
        points = np.stack([x, 0 * x], axis=1)
        value, grads = loss.value_and_grad(points, 0 * points, np.full(len(x), label), reduction="none", **keywords)
        return value, grads[0][:, 0]

    return along


def triplet(**keywords: Any) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """The triplet loss by the positive's distance, with the negative at distance 1."""

    def along(x: np.ndarray) -> tuple[Any, Any]:
        anchor, positive = np.zeros((len(x), 2)), np.stack([x, 0 * x], axis=1)
        negative = np.tile([0.0, 1.0], (len(x), 1))
        value, grads = fl.triplet_margin_loss.value_and_grad(anchor, positive, negative, reduction="none", **keywords)
        return value, grads[1][:, 0]

    return along


def ranking(x: np.ndarray) -> tuple[Any, Any]:
    """The margin ranking loss of a score that should be higher than 0."""
    value, grads = fl.margin_ranking_loss.value_and_grad(x, 0 * x, np.ones(len(x)), margin=1.0, reduction="none")
    return value, grads[0]


def info_nce(x: np.ndarray) -> tuple[Any, Any]:
    """InfoNCE of a query at an angle from its key, with one negative at a right angle to the key on the other side."""
    keys = np.tile([1.0, 0.0], (len(x), 1))
    value, grads = fl.info_nce_loss.value_and_grad(x, keys, np.array([[0.0, -1.0]]), temperature=0.5, reduction="none")
    return value, grads[0]


def arcface(margin: float) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """ArcFace of an embedding at an angle from its class's centre, with another centre at a right angle to it."""
    centers = np.array([[1.0, 0.0], [0.0, -1.0]])

    def along(x: np.ndarray) -> tuple[Any, Any]:
        labels = np.zeros(len(x), int)
        value, grads = fl.arcface_loss.value_and_grad(x, centers, labels, scale=4.0, margin=margin, reduction="none")
        return value, grads[0]

    return along


def cosine(label: int, margin: float = 0.0) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """The cosine embedding loss of a vector at an angle from another."""

    def along(x: np.ndarray) -> tuple[Any, Any]:
        other, labels = np.tile([1.0, 0.0], (len(x), 1)), np.full(len(x), label)
        value, grads = fl.cosine_embedding_loss.value_and_grad(x, other, labels, margin=margin, reduction="none")
        return value, grads[0]

    return along


def center(x: np.ndarray) -> tuple[Any, Any]:
    """Center loss of a point by its distance from the centre."""
    points = np.stack([x, 0 * x], axis=1)
    value, grads = fl.center_loss.value_and_grad(points, np.zeros((1, 2)), np.zeros(len(x), int), reduction="none")
    return value, grads[0][:, 0]


def dice(squared: bool) -> Callable[[np.ndarray], tuple[Any, Any]]:
    """Dice loss of four pixels, two of them in the mask, where these have a probability and the others a tenth."""
    mask = np.array([1.0, 1.0, 0.0, 0.0])

    def along(x: np.ndarray) -> tuple[Any, Any]:
        pixels = np.where(mask == 1, x[:, None], 0.1)
        targets = np.tile(mask, (len(x), 1))
        value, grad = fl.dice_loss.value_and_grad(pixels, targets, squared=squared, axis=1, reduction="none")
        return value, np.asarray(grad) @ mask

    return along


R, Z = np.linspace(-4, 4, 801), np.linspace(-5, 5, 801)
P, D, A = np.linspace(0.005, 0.995, 397), np.linspace(0, 2.5, 501), np.linspace(0, 180, 361)


def families() -> dict[str, list[Panel]]:
    """What is drawn: a file for each family, a column for each panel."""
    return {
        "regression": [
            Panel("Squared, absolute, and between", "residual  r = x − t", R, [
                Curve("mse", target(fl.mse_loss, 0)), Curve("half_mse", target(fl.half_mse_loss, 0)),
                Curve("l1", target(fl.l1_loss, 0)), Curve("huber, δ = 1", target(fl.huber_loss, 0)),
                Curve("smooth_l1, β = 2", target(fl.smooth_l1_loss, 0, beta=2.0)),
            ], ((0, 6), (-4, 4)), "upper center"),
            Panel("Smooth ones, and a quantile", "residual  r = x − t", R, [
                Curve("huber, δ = 1", target(fl.huber_loss, 0)), Curve("log_cosh", target(fl.log_cosh_loss, 0)),
                Curve("pseudo_huber, δ = 1", target(fl.pseudo_huber_loss, 0)),
                Curve("quantile 0.9", target(fl.quantile_loss, 0, quantile=0.9)),
            ], ((0, 4), (-1.2, 1.2)), "upper center"),
            Panel("Counts and amounts, target 2", "logarithm of the predicted mean", np.linspace(-2, 2.5, 451), [
                Curve("poisson_nll", target(fl.poisson_nll_loss, 2)), Curve("gamma_nll", target(fl.gamma_nll_loss, 2)),
                Curve("tweedie, p = 1.5", target(fl.tweedie_loss, 2)),
            ], ((0, 14), (-6, 6))),
        ],
        "binary": [
            Panel("Cross-entropies, label 1", "logit  x", Z, [
                Curve("binary_cross_entropy_with_logits", target(fl.binary_cross_entropy_with_logits, 1)),
                Curve("the same, pos_weight 2", target(fl.binary_cross_entropy_with_logits, 1, pos_weight=2.0)),
                Curve("focal, γ = 2", target(fl.focal_loss, 1)),
                Curve("focal, γ = 2, α = 0.25", target(fl.focal_loss, 1, alpha=0.25)),
                Curve("poly, ε = 1", target(fl.poly_loss, 1)),
            ], ((0, 8), (-2.1, 0.3))),
            Panel("Margins, label +1", "margin  t · x", Z, [
                Curve("hinge", target(fl.hinge_loss, 1)), Curve("squared_hinge", target(fl.squared_hinge_loss, 1)),
                Curve("soft_margin", target(fl.soft_margin_loss, 1)),
                Curve("exponential (label 1)", target(fl.exponential_loss, 1)),
            ], ((0, 6), (-5, 0.5))),
            Panel("Of probabilities, label 1", "probability", P, [
                Curve("binary_cross_entropy", target(fl.binary_cross_entropy, 1)),
                Curve("balanced, weight 2", target(fl.balanced_cross_entropy, 1, pos_weight=2.0, neg_weight=1.0)),
                Curve("dice, squared (4 pixels)", dice(True)), Curve("dice, plain (4 pixels)", dice(False)),
            ], ((0, 5), (-10, 0.5))),
        ],
        "multiclass": [
            Panel("Cross-entropies of three classes", "logit of the right class (others 0 and −1)", Z, [
                Curve("cross_entropy", rows(fl.cross_entropy, 0)),
                Curve("the same, smoothing 0.2", rows(fl.cross_entropy, 0, label_smoothing=0.2)),
                Curve("softmax_focal, γ = 2", rows(fl.softmax_focal_loss, 0)),
                Curve("poly, ε = 1", rows(fl.poly_cross_entropy, 0)),
            ], ((0, 6), (-1.4, 0.4))),
            Panel("Margins", "logit of the right class (others 0 and −1)", Z, [
                Curve("cross_entropy", rows(fl.cross_entropy, 0)),
                Curve("multiclass_hinge", rows(fl.multiclass_hinge_loss, 0)),
                Curve("the same, crammer-singer", rows(fl.multiclass_hinge_loss, 0, variant="crammer-singer")),
            ], ((0, 8), (-2.2, 0.3))),
            Panel("Of probabilities", "probability of the first class", P, [
                Curve("categorical, sparse: first is right", rows(fl.sparse_categorical_cross_entropy, 0, False)),
                Curve("kl_divergence from (0.6, 0.3, 0.1)", rows(fl.kl_divergence, [0.6, 0.3, 0.1], False)),
                Curve("categorical, the same labels", rows(fl.categorical_cross_entropy, [0.6, 0.3, 0.1], False)),
            ], ((0, 5), (-10, 10))),
        ],
        "metric": [
            Panel("By distance", "distance", D, [
                Curve("contrastive, similar", by_distance(fl.contrastive_loss, 1)),
                Curve("contrastive, dissimilar", by_distance(fl.contrastive_loss, 0)),
                Curve("triplet (negative at 1)", triplet()), Curve("triplet, squared", triplet(squared=True)),
                Curve("center", center),
            ], ((0, 3), (-1.2, 3)), "upper left"),
            Panel("By angle", "angle in degrees", A, [
                Curve("cosine_embedding, +1", by_angle(cosine(1))),
                Curve("cosine_embedding, −1, m = 0.2", by_angle(cosine(-1, 0.2))),
                Curve("info_nce, τ = 0.5", by_angle(info_nce)),
                Curve("arcface, s = 4, m = 0", by_angle(arcface(0.0))),
                Curve("arcface, s = 4, m = 0.5", by_angle(arcface(0.5))),
            ], ((0, 7), (-1.2, 6)), "upper left"),
            Panel("By score", "score that should be the higher one, minus the other", Z, [
                Curve("margin_ranking, m = 1", ranking),
            ], ((0, 6), (-1.2, 0.3))),
        ],
    }  # fmt: skip


def draw(family: str, panels: Sequence[Panel], folder: Path) -> Path:
    """Losses above, their gradients below, the legend over both."""
    figure, axes = plt.subplots(
        2, len(panels), figsize=(4.3 * len(panels), 6.4), sharex="col", height_ratios=(1.25, 1), layout="constrained"
    )
    for column, panel in enumerate(panels):
        above, below = axes[:, column]
        for curve, color, dashes in zip(panel.curves, COLORS, DASHES, strict=False):
            value, grad = curve.along(panel.x)
            above.plot(panel.x, value, color=color, linestyle=dashes, linewidth=2, label=curve.label)
            # A jump is drawn as a gap: the gradient has no values between.
            slope = np.asarray(grad, float).copy()
            jump = np.flatnonzero(np.abs(np.diff(slope)) > 12 * np.ptp(panel.limits[1]) / len(panel.x))
            slope[jump] = np.nan
            below.plot(panel.x, slope, color=color, linestyle=dashes, linewidth=2)
        for row, limits in zip((above, below), panel.limits, strict=True):
            row.set_xlim(panel.x[0], panel.x[-1])
            row.set_ylim(*limits)
            row.grid(linewidth=0.8)
            row.set_axisbelow(True)
            row.axhline(0, color="#9A9A9A", linewidth=0.8, zorder=1)
        above.set_title(panel.title, loc="left")
        above.legend(loc=panel.legend, frameon=True, framealpha=0.9, edgecolor="none", borderpad=0.3, handlelength=2.8)
        below.set_xlabel(panel.axis)
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("gradient")
    path = folder / f"gallery-{family}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def main(folder: Path = FOLDER) -> list[Path]:
    """Draw all families."""
    return [draw(family, panels, folder) for family, panels in families().items()]


if __name__ == "__main__":
    mpl.use("svg")
    for written in main():
        print(written)
