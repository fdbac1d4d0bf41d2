"""``python -m fastloss demo``: what fastloss is for, on real data, in six parts and one figure.

One file per part, to be read as examples: ``digits`` (training classifiers), ``outliers`` (regression with bad data),
``imbalance`` (a rare class), ``embedding`` (search by similarity), ``private`` (training with differential privacy) and
``membership`` (an attack on what it trained). Needs the packages of the extra ``demo``.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

# Import name: name on the package index.
PACKAGES = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "tqdm": "tqdm", "dp_accounting": "dp-accounting"}


class MissingPackages(ImportError):
    """A package that the demo needs is not installed."""


def require_packages() -> None:
    """Raise MissingPackages, naming what is missing and how to get it."""
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingPackages(
            f"the demo needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed here; "
            f"to install: pip install {' '.join(missing)}   (or: pip install 'fastloss[demo]')"
        )


def run_demo(*, output: Path, seed: int = 0, quiet: bool = False) -> None:
    """Run all parts, print their tables and save the figure.

    Parameters
    ----------
    output
        Where the figure goes, a PNG file.
    seed
        Of splits, initial weights, batches and noise.
    quiet
        No progress bars.

    Raises
    ------
    MissingPackages
        Where scikit-learn, matplotlib, tqdm or dp-accounting is not installed.
    """
    require_packages()
    from fastloss.demo import digits, embedding, figure, imbalance, membership, outliers, private

    start = time.perf_counter()
    trainings = digits.run(seed=seed, quiet=quiet)
    print(digits.report(trainings), end="\n\n")
    errors = outliers.run(seed=seed, quiet=quiet)
    print(outliers.report(errors), end="\n\n")
    scores = imbalance.run(seed=seed, quiet=quiet)
    print(imbalance.report(scores), end="\n\n")
    searches = embedding.run(seed=seed, quiet=quiet)
    print(embedding.report(searches), end="\n\n")
    worlds, trained = private.run(seed=seed, quiet=quiet)
    print(private.report(trained), end="\n\n")
    attacks = membership.run(worlds, trained)
    print(membership.report(attacks), end="\n\n")
    figure.draw(trainings, errors, scores, searches, trained, attacks, output)
    print(f"Figure: {output}. All of it took {time.perf_counter() - start:.0f} s.")
