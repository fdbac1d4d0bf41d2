"""Why a target is missed: what was measured about it, in the words of the report. Not here: the cells themselves.

``measure()`` takes the figures that the cells do not give: what a row and what an element of few classes cost, what a
call costs that has nothing to do, and how far from exact the activations of fastloss and of its peers are.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from typing import Any

import numpy as np

import fastloss as fl
from bench import THREADS, idiomatic
from bench.limits import rate
from bench.measure import medians
from bench.problems import ACTIVATIONS, Array, Call, Problem
from bench.results import Found
from bench.rivals import rivals
from fastloss import _core

Figures = dict[str, Any]
FEW_CLASSES = (2, 4, 8, 16)


def measure(rounds: int) -> Figures:
    return {
        "few": few_classes(rounds),
        "rows": rows_in_cache(rounds),
        "calls": idle_calls(rounds),
        "ulps": activation_ulps(),
        "new": new_array(rounds),
    }


def few_classes(rounds: int) -> dict[str, float]:
    """Nanoseconds of a row and of an element of cross_entropy, 4096 rows, one thread: a line through four widths."""
    calls = []
    for classes in FEW_CLASSES:
        p = Problem("cross_entropy", (4096, classes), "float32")
        x, t, grad = p.prediction, p.target, np.empty_like(p.prediction)

        def run(x: Array = x, t: Array = t, grad: Array = grad) -> Any:
            return fl.cross_entropy.value_and_grad(x, t, grad_out=grad)

        calls.append(Call(str(classes), run, threads=1))
    found = medians(calls, rounds)
    slope, start = np.polyfit(FEW_CLASSES, [found[str(c)] / 4096 * 1e9 for c in FEW_CLASSES], 1)
    return {"row": float(start), "element": float(slope)}


def rows_in_cache(rounds: int) -> dict[str, dict[str, float]]:
    """Nanoseconds an element of 64 rows of 1000 classes, one thread, by type: of what is done with them, and of the
    bare exponential.
    """
    found = {}
    for dtype in ("float32", "float64"):
        p = Problem("cross_entropy", (64, 1000), dtype)
        x, t, out = p.prediction, p.target, np.empty_like(p.prediction)
        soft = idiomatic.softmax(x)
        calls = [
            Call("logsumexp", lambda x=x: fl.logsumexp(x), threads=1),  # type: ignore[misc]
            Call("softmax", lambda x=x, out=out: fl.softmax(x, out=out), threads=1),  # type: ignore[misc]
            Call("log_softmax", lambda x=x, out=out: fl.log_softmax(x, out=out), threads=1),  # type: ignore[misc]
        ]
        for name, target in (("cross_entropy", t), ("cross_entropy of probabilities", soft)):

            def run(x: Array = x, target: Array = target, out: Array = out) -> Any:
                return fl.cross_entropy.value_and_grad(x, target, grad_out=out)

            calls.append(Call(name, run, threads=1))
        found[dtype] = {name: seconds / x.size * 1e9 for name, seconds in medians(calls, rounds).items()}
        found[dtype]["exp"] = rate("exp", dtype) * THREADS * 1e9
    return found


def idle_calls(rounds: int) -> dict[str, float]:
    """Seconds of calls on next to nothing."""
    x, t, grad = np.ones((1, 2), "float32"), np.zeros(1, np.int64), np.empty((1, 2), "float32")
    noise, out = fl.privacy.NoiseGenerator(0), np.empty(2, "float32")
    a, product = np.ones((10, 10), "float32"), np.empty((10, 10), "float32")
    calls = [
        Call("product", lambda: np.matmul(a, a, out=product)),
        Call("cross_entropy", lambda: fl.cross_entropy.value_and_grad(x, t, grad_out=grad)),
        Call("mse_loss", lambda: fl.mse_loss.value_and_grad(x, x, grad_out=grad)),
        Call(
            "clip_and_noise",
            lambda: fl.privacy.clip_and_noise(x, 1.0, 1.0, expected_batch_size=1, rng=noise, out=out),
        ),
    ]
    return medians(calls, rounds)


def activation_ulps() -> dict[str, dict[str, float]]:
    """Largest error of every library's activation in float32, in ULP, over the inputs of its cell."""
    found: dict[str, dict[str, float]] = {}
    for name in ACTIVATIONS:
        p = Problem(name, (1000, 1000), "float32", kind="activation")
        exact = getattr(idiomatic, name)(p.prediction.astype(np.float64))
        unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
        ours = Call("fastloss", lambda p=p, name=name: getattr(fl, name)(p.prediction), lambda y: (1.0, y))  # type: ignore[misc]
        found[name] = {}
        for call in (ours, *rivals(p)):
            got = np.asarray(call.result(call.run())[1], np.float64).reshape(exact.shape)
            found[name][call.library] = float(np.max(np.abs(got - exact) / unit))
    return found


def page_faults() -> int:
    """Of this process, where the system tells."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def new_array(rounds: int) -> dict[str, float]:
    """Seconds of filling 64 MiB that are there, of NumPy's that are new, and of fastloss's new results, on one thread;
    page faults of NumPy's.
    """
    given = np.ones(2**24, "float32")

    def new() -> None:
        np.empty(2**24, "float32").fill(1)

    before = page_faults()
    new()
    faults = page_faults() - before
    calls = [
        Call("given", lambda: given.fill(1)),
        Call("new", new),
        Call("kept", lambda: _core.new_array((2**24,), given.dtype).fill(1)),
    ]
    found = medians(calls, rounds)
    return {**found, "faults": float(faults)}


def about_new_outputs(figures: Figures) -> str:
    """Why large new outputs are dear."""
    new = figures["new"]
    return (
        f"Of large new arrays, the system's clearing of their pages is what costs: 64 MiB are filled in "
        f"{new['given'] * 1e3:.1f} ms where they are there, in {new['new'] * 1e3:.1f} ms where they are new "
        f"({new['faults']:.0f} page faults: NumPy asks for huge pages). So results of 8 MiB and more take the pages of "
        f"earlier ones that are gone ({new['kept'] * 1e3:.1f} ms): of a loop's calls, the first one or two pay. Peers "
        "make new arrays, where they are not given any."
    )


def about_small_calls(figures: Figures) -> str:
    """Why some losses cost more than their share on small arrays."""
    return (
        "Similarity losses (`info_nce_loss`, `multiple_negatives_ranking_loss`, `arcface_loss`, `ge2e_loss`) divide\n"
        "ten to twenty rows by their lengths, which takes a sum, a root and a quotient each, make one product for the\n"
        "scores and one for each gradient, and take gradients back through the lengths; of few embeddings in one go,\n"
        f"for NumPy's BLAS, called from Python, takes {figures['calls']['product'] * 1e6:.1f} µs for a product of\n"
        "10×10 alone. What the others take is taking the buffers of two to six arrays and returning the results."
    )


def _few(f: Found, w: Figures) -> str:
    row, element = w["few"]["row"], w["few"]["element"]
    rows, classes = f.cell.problem["shape"]
    assert f.best is not None
    wanted = f.best[1] / f.cell.target / rows * 1e9
    return (
        f"On one thread a row costs {row:.1f} ns and an element {element:.2f} ns (a line through C = 2, 4, 8, 16): its "
        "label checked before anything is written, a logarithm and a reciprocal in double, and the way into lanes and "
        f"back. The target is {wanted:.1f} ns a row with its {classes} elements, on two threads."
    )


def _ulps(f: Found, w: Figures) -> str:
    errors = w["ulps"][f.cell.problem["name"]]
    ours = errors["fastloss"]
    others = ", ".join(f"{name} {ulps:.3g}" for name, ulps in errors.items() if name != "fastloss")
    return (
        f"The price of exactness: exponents are not rounded before the exponential, and quotients are corrected. The "
        f"largest error on these inputs in float32 is {ours:.2f} ULP; that of peers: {others}. {_floors(f, w)}"
    )


def _rows(f: Found, w: Figures) -> str:
    cost = w["rows"][f.cell.problem["dtype"]]
    return (
        f"In the caches, on one thread, an element of a row of 1000 takes {cost['exp']:.2f} ns for the bare "
        "exponential; "
        f"{cost['logsumexp']:.2f} in logsumexp, which finds the largest and adds up in double besides; "
        f"{cost['softmax']:.2f} in softmax and {cost['log_softmax']:.2f} in log_softmax, which pass over it once more; "
        f"{cost['cross_entropy']:.2f} in cross_entropy, with probabilities "
        f"{cost['cross_entropy of probabilities']:.2f}."
    )


def _activation(f: Found, w: Figures) -> str:
    return f"{_rows(f, w)} {_ulps(f, w)}"


def _call(f: Found, w: Figures) -> str:
    idle = w["calls"].get(f.cell.problem["name"], w["calls"]["mse_loss"])
    return f"{idle * 1e6:.1f} µs of it are the call itself (arguments, buffers), as on two elements."


def _clip(f: Found, w: Figures) -> str:
    return (
        "Every sum is made in double (8 bytes a column), row by row in a fixed order, from rows whose norms come "
        "first: two passes over each row's tile, the second from cache, and the sums are read and written once for "
        f"every eight rows, or two where rows are long. {_call(f, w)}"
    )


def _one_row(f: Found, w: Figures) -> str:
    return (
        "Two parallel passes with a meeting between them over a row that fits no core's own cache; the floor is the "
        "bare exponential's rate on a cached array."
    )


def _both(f: Found, w: Figures) -> str:
    return (
        f"The traffic alone would take {f.moved * 1e3:.2f} ms and the arithmetic alone {f.arithmetic * 1e3:.2f} ms; a "
        "row is passed over three times (maximum, exponentials, gradient), only in part at once with its traffic."
    )


def _spread(f: Found, w: Figures) -> str:
    return (
        f"Exponential, logarithm and quotient share what two of them need: the loop's arithmetic alone takes "
        f"{f.one_thread / 2 / f.limit:.2f} of the limit on each of two threads (from the time on one)."
    )


def _soft(f: Found, w: Figures) -> str:
    return (
        "Beside every exponential a target is read, multiplied and summed twice, and read again for the gradient. "
        f"{_rows(f, w)} {_floors(f, w)}"
    )


def _floors(f: Found, w: Figures) -> str:
    return (
        f"One thread takes {f.one_thread * 1e6:.0f} µs, {f.one_thread / f.ours:.2f} times as long; the traffic alone "
        f"would take {f.moved * 1e6:.0f} µs and the arithmetic alone {f.arithmetic * 1e6:.0f} µs."
    )


# The first pattern that fits a cell's name says why.
REASONS: tuple[tuple[str, Callable[[Found, Figures], str]], ...] = (
    ("cross_entropy 4096*", _few),
    ("cross_entropy 1×4e6*", _one_row),
    ("cross_entropy * in place *", _both),
    ("sigmoid*", _ulps),
    ("softplus*", _ulps),
    ("softmax*", _activation),
    ("log_softmax*", _activation),
    ("logsumexp*", _activation),
    ("clip_and_noise*", _clip),
    ("*loss 1e4*", _call),
    ("*loss 100 *", _call),
    ("binary_cross_entropy_with_logits*", _spread),
    ("focal_loss*", _spread),
    ("cross_entropy * probabilities *", _soft),
    ("*", _floors),
)


def reason(f: Found, figures: Figures) -> str:
    """One paragraph about a missed cell: how much of the limit its target is, and what was measured about it."""
    parts = []
    if f.best is not None and f.ratio is not None and not f.met:
        asked = f.limit * f.cell.target / f.best[1]
        place = "beyond the limit" if asked > 1 else f"{asked:.2f} of the limit"
        parts.append(f"{f.ratio:.2f}× of {f.cell.target:g}×; the target would be {place}, reached are {f.share:.2f}.")
    if not f.share_met:
        parts.append(f"{f.share:.2f} of the limit, {f.cell.share:g} wanted.")
    if figures:
        parts += [why(f, figures) for pattern, why in REASONS if fnmatch(f.cell.name, pattern)][:1]
    return " ".join(parts)
