"""The demo's figure: eight panels, one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fastloss.demo import digits, embedding, membership
from fastloss.demo._text import mean_and_spread
from fastloss.demo.digits import Training
from fastloss.demo.embedding import Search
from fastloss.demo.imbalance import Scores
from fastloss.demo.membership import Attack
from fastloss.demo.outliers import OUTLIER_SHARE, Errors
from fastloss.demo.private import DELTA, PLANTED, Setting, Trained

# Okabe and Ito's colours, told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"

CAVEAT = (
    "Of the privacy panels: clipping and few steps stopped this attack, as \u201cclipped, short\u201d shows, but they "
    "promise nothing;\nnoise adds the promise (black bars), and that of epsilon = 4 and 8 is next to nothing. One "
    "simple attack that fails is no proof of safety.\nSettings were chosen while looking at these images, and the "
    "noise is seeded."
)


def draw(
    trainings: Sequence[Training],
    errors: Sequence[Errors],
    scores: Sequence[Scores],
    searches: Sequence[Search],
    trained: Sequence[Trained],
    attacks: Sequence[Attack],
    output: Path,
) -> None:
    """Draw the results of all parts and save them as PNG."""
    figure = Figure(figsize=(12.5, 18.5))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12, wspace=0.04, hspace=0.06)
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(4, 2)
    _draw_accuracy(panels[0, 0], trainings)
    _draw_times(panels[0, 1], trainings)
    _draw_outliers(panels[1, 0], errors)
    _draw_imbalance(panels[1, 1], scores)
    _draw_embedding(panels[2, 0], searches)
    _draw_private(panels[2, 1], trained)
    everyone = [membership.mean_and_error(a.everyone) for a in attacks]
    planted = [membership.mean_and_error(a.planted) for a in attacks]
    _draw_attacks(panels[3, 0], "Membership attack by the loss: all images", attacks, everyone)
    _draw_attacks(panels[3, 1], f"The same on {PLANTED} planted outliers (wrong labels)", attacks, planted)
    figure.supxlabel(CAVEAT, fontsize=9.5, color="#444444")
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, format="png", dpi=130)


def _draw_accuracy(panel: Any, trainings: Sequence[Training]) -> None:
    """Lines for fastloss, and the reference as rings upon them: they should coincide."""
    for model, color in zip(digits.MODELS, (BLUE, ORANGE), strict=True):
        for t in trainings:
            if t.model != model or t.implementation == "NumPy by hand":
                continue
            epochs = np.arange(1, len(t.accuracy) + 1)
            percent = 100 * np.array(t.accuracy)
            if t.implementation == "fastloss":
                panel.plot(epochs, percent, color=color, label=f"{model}, fastloss")
            else:
                panel.plot(epochs, percent, "o", color=color, mfc="none", ms=6, label=f"{model}, reference")
    panel.set(title="Digits: accuracy with fastloss and with its reference", xlabel="epoch", ylabel="test accuracy (%)")
    panel.legend(loc="lower right", frameon=False)
    panel.grid(alpha=0.25)


def _draw_times(panel: Any, trainings: Sequence[Training]) -> None:
    """A bar for every training: the loss call, and the rest of the step."""
    places = np.array([k + 0.7 * list(digits.MODELS).index(t.model) for k, t in enumerate(trainings)])
    loss = np.array([t.loss_seconds * 1e6 for t in trainings])
    rest = np.array([t.step_seconds * 1e6 for t in trainings]) - loss
    panel.barh(places, loss, color=ORANGE, label="loss and its gradient")
    panel.barh(places, rest, left=loss, color=GREY, alpha=0.55, label="matrix products, update")
    for place, a, b in zip(places, loss, rest, strict=True):
        panel.text(a + b, place, f"  {a:.0f} + {b:.0f}", va="center", fontsize=9)
    for model in digits.MODELS:
        first = places[[t.model == model for t in trainings]].min()
        panel.text(0, first - 0.5, f" {model}", va="bottom", weight="bold")
    panel.set_yticks(places, [t.implementation for t in trainings])
    panel.set_ylim(places.max() + 0.6, places.min() - 1.1)
    panel.set_xlim(0, 1.2 * float((loss + rest).max()))
    panel.set(title="Digits: time of a training step of 64 images", xlabel="microseconds (median)")
    panel.legend(loc="upper right", frameon=False, bbox_to_anchor=(1, 0.9))


def _draw_outliers(panel: Any, errors: Sequence[Errors]) -> None:
    """Two bars for every loss: trained on clean and on spoiled targets."""
    places = np.arange(len(errors))
    groups = (
        ("clean training targets", BLUE, -0.2, [mean_and_spread(e.clean) for e in errors]),
        (f"{OUTLIER_SHARE:.0%} of them spoiled", ORANGE, 0.2, [mean_and_spread(e.spoiled) for e in errors]),
    )
    for label, color, shift, values in groups:
        means, spreads = np.transpose(values)
        panel.bar(places + shift, means, 0.38, yerr=spreads, color=color, capsize=4, label=label)
        for place, mean, spread in zip(places + shift, means, spreads, strict=True):
            panel.text(place, mean + spread + 1.5, f"{mean:.0f}", ha="center", fontsize=9)
    panel.set_xticks(places, [e.loss for e in errors])
    panel.set(title="Diabetes: what outliers do to the fit", xlabel="loss that was minimised",
              ylabel="mean absolute error, clean test data\n(units of the target, 25 to 346)")  # fmt: skip
    panel.margins(y=0.15)
    panel.legend(loc="upper right", frameon=False)


def _tick(setting: Setting) -> str:
    return setting.name.removeprefix("epsilon = ").replace(" ", "\n")


def _lines(panel: Any, names: Sequence[str], settings: Sequence[Setting], values: Any) -> None:
    """A line for every loss, moved a little so that error bars stay apart; values (settings, losses, 2)."""
    shown = list(dict.fromkeys(settings))
    places = np.arange(len(shown))
    points = np.reshape(values, (len(shown), -1, 2))
    for k, (name, color, mark) in enumerate(zip(names, (BLUE, ORANGE, GREEN), "os^", strict=True)):
        mean, spread = points[:, k].T
        panel.errorbar(places + 0.1 * (k - 1), mean, spread, fmt=mark, color=color, capsize=3, ms=6, label=name)
        noised = np.isfinite([s.epsilon for s in shown])
        panel.plot(places[noised] + 0.1 * (k - 1), mean[noised], color=color, alpha=0.6)
    panel.set_xticks(places, [_tick(s) for s in shown])
    panel.axvline(np.argmax(noised) - 0.5, color="#BBBBBB", lw=1)
    panel.set_xlabel(f"epsilon, at delta = {DELTA:g} (left of the line: no noise, none)")
    panel.grid(alpha=0.25)


def _draw_private(panel: Any, trained: Sequence[Trained]) -> None:
    """Accuracy with error bars for every budget."""
    values = [100 * np.array(mean_and_spread(r.accuracy)) for r in trained]
    _lines(panel, list(dict.fromkeys(r.loss for r in trained)), [r.setting for r in trained], values)
    panel.set(title="Private training: accuracy against epsilon", ylabel="test accuracy (%)")
    label = f"mean and deviation, {len(trained[0].accuracy)} trainings"
    panel.legend(loc="lower left", frameon=False, title=label, alignment="left")


def _draw_attacks(panel: Any, title: str, attacks: Sequence[Attack], values: Sequence[tuple[float, float]]) -> None:
    """Advantages with standard errors, and what they can't exceed."""
    settings = list(dict.fromkeys(a.setting for a in attacks))
    _lines(panel, list(dict.fromkeys(a.loss for a in attacks)), [a.setting for a in attacks], values)
    for place, setting in enumerate(settings):
        if np.isfinite(setting.epsilon):
            most = membership.bound(setting.epsilon)
            panel.plot([place - 0.4, place + 0.4], [most, most], color="black", lw=2,
                       label="no attack can exceed" if place + 1 == len(settings) else None)  # fmt: skip
    panel.axhline(0, color=GREY, lw=1, ls="--")
    panel.set(title=title, ylabel="advantage (0: guessing, 1: certainty)", ylim=(-0.1, 1.1))
    panel.legend(loc="lower left", frameon=False, bbox_to_anchor=(0.42, 0.26))


def _draw_imbalance(panel: Any, scores: Sequence[Scores]) -> None:
    """Three bars for every loss: balanced accuracy with both thresholds, and PR-AUC."""
    places = np.arange(len(scores))
    for shift, values, color, label in (
        (-0.27, [s.balanced_accuracy for s in scores], ORANGE, "balanced accuracy, threshold at 1/2"),
        (0.0, [s.moved for s in scores], BLUE, "balanced accuracy, threshold moved"),
        (0.27, [s.average_precision for s in scores], GREEN, "area under precision-recall curve"),
    ):
        means, spreads = np.transpose([mean_and_spread(v) for v in values])
        panel.bar(places + shift, means, 0.25, yerr=spreads, color=color, capsize=3, label=label)
        for place, mean, spread in zip(places + shift, means, spreads, strict=True):
            panel.text(place, mean + spread + 0.01, f"{mean:.2f}", ha="center", fontsize=8.5)
    panel.set_xticks(places, [s.loss.replace(" cross", "\ncross").replace(", ", ",\n") for s in scores])
    panel.set_ylim(0, 1.3)
    panel.set(title="Imbalance: eights, 1 image in 42", xlabel="loss that was minimised", ylabel="on test data")
    panel.legend(loc="upper left", frameon=False, fontsize=9, ncols=1)


def _draw_embedding(panel: Any, searches: Sequence[Search]) -> None:
    """New images of the seen digits in two directions each: pixels to the left, what was learnt to the right."""
    from matplotlib import colormaps

    panel.set_title("Embedding: new images in their two main directions")
    panel.set_axis_off()
    for place, method in enumerate(("pixels", embedding.RANKING)):
        search = next(s for s in searches if s.method == method)
        vectors, labels = search.pictures[0]
        vectors = embedding.unit(vectors)
        vectors = vectors - vectors.mean(axis=0)
        points = vectors @ np.linalg.svd(vectors, full_matrices=False)[2][:2].T
        inset = panel.inset_axes((0.52 * place, 0, 0.48, 0.85))
        for digit in np.unique(labels):
            own = points[labels == digit]
            color = colormaps["tab10"](int(digit))
            inset.scatter(*own.T, s=9, color=color, alpha=0.6, linewidths=0)
            inset.text(*np.median(own, axis=0), str(digit), weight="bold", ha="center", va="center",
                       bbox={"facecolor": "white", "edgecolor": color, "boxstyle": "circle,pad=0.2"})  # fmt: skip
        inset.set_title(f"{method}\nmean average precision {search.precision[0]:.2f}", fontsize=10)
        inset.set_xticks([])
        inset.set_yticks([])
        inset.spines[:].set_color("#BBBBBB")
