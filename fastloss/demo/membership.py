"""Was this image trained on? The loss gives it away: a membership-inference attack on the models of private.py.

The attack of Yeom et al. (2018): who has a loss below a threshold is taken for a member. Its advantage is the share of
members found minus the share of others accused; the threshold is the one that was best on the models of the other
worlds, so that guessing has an expected advantage of 0. Since a coin decides about each image alone, differential
privacy bounds what any attack can have on any image (Humphries et al. 2023):

    advantage <= (e^epsilon - 1 + 2 delta) / (e^epsilon + 1)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastloss.demo._text import table
from fastloss.demo.private import DELTA, PLANTED, Setting, Trained, World

Array = NDArray[Any]


@dataclass(frozen=True)
class Attack:
    """Advantages against one loss and one setting, one per world."""

    loss: str
    setting: Setting
    everyone: list[float] = field(default_factory=list)
    planted: list[float] = field(default_factory=list)  # the attack on the planted outliers alone


def bound(epsilon: float, delta: float = DELTA) -> float:
    """What no attack's advantage exceeds."""
    return min((math.expm1(epsilon) + 2 * delta) / (math.exp(epsilon) + 1), 1.0) if epsilon < 700 else 1.0


def best_threshold(losses: Array, members: Array) -> float:
    """The loss up to which accusing everybody has the largest advantage; -inf where none has any."""
    order = np.argsort(losses, kind="stable")
    ordered, known = losses[order], members[order]
    gain = np.cumsum(known / max(known.sum(), 1) - ~known / max((~known).sum(), 1))
    ends = np.append(ordered[1:] != ordered[:-1], True)  # equal losses are accused together
    k = int(np.argmax(np.where(ends, gain, -np.inf)))
    return float(ordered[k]) if gain[k] > 0 else -math.inf


def advantage(losses: Array, members: Array, threshold: float) -> float:
    """Share of the members accused minus share of the others accused."""
    accused = losses <= threshold
    return float(np.mean(accused[members]) - np.mean(accused[~members]))


def attack_each(losses: list[Array], members: list[Array]) -> list[float]:
    """The advantage in every world, with the threshold of all others."""
    found = []
    for k, (own, known) in enumerate(zip(losses, members, strict=True)):
        others = [np.concatenate([*x[:k], *x[k + 1 :]]) for x in (losses, members)]
        found.append(advantage(own, known, best_threshold(*others)))
    return found


def run(worlds: list[World], results: list[Trained]) -> list[Attack]:
    """Attack all models."""
    attacks = []
    for r in results:
        ordinary, planted = (
            attack_each(
                [losses[who] for losses, who in zip(r.losses, chosen, strict=True)],
                [world.members[who] for world, who in zip(worlds, chosen, strict=True)],
            )
            for chosen in ([np.ones(len(w.members), bool) for w in worlds], [w.planted for w in worlds])
        )
        attacks.append(Attack(r.loss, r.setting, ordinary, planted))
    return attacks


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))


def report(attacks: list[Attack]) -> str:
    """The table of advantages: means, and the standard errors that matter."""
    names = list(dict.fromkeys(a.loss for a in attacks))
    rows = []
    for setting in dict.fromkeys(a.setting for a in attacks):
        chosen = [a for a in attacks if a.setting == setting]
        everyone = [f"{mean_and_error(a.everyone)[0]:.2f}" for a in chosen]
        planted = ["{:.2f} +- {:.2f}".format(*mean_and_error(a.planted)) for a in chosen]
        rows.append([setting.name, *everyone, *planted, f"{bound(setting.epsilon):.2f}"])
    largest = max(mean_and_error(a.everyone)[1] for a in attacks)
    return table(
        f"Membership: advantage of an attack by the loss, on all images and on {PLANTED} with a planted wrong label",
        ["budget", f"all: {names[0]}", *names[1:], f"planted: {names[0]}", *names[1:], "bound"],
        rows,
        f"Mean and standard error (of all: at most {largest:.2f}); 0 is guessing, 1 is certainty. Bound: what no\n"
        "attack on any image can exceed. What it shows: every loss gives its outliers away, while the average over\n"
        "all images looks harmless; private models give away little. What it doesn't: that noise is what stopped\n"
        "this attack. Clipping and few steps did (see the rows without noise, of which the long one leaks again),\n"
        "but they promise nothing: stronger attacks find more. The bound is the promise, and from epsilon = 4 on a\n"
        "weak one.",
    )
