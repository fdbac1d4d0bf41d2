"""Who is measured on what: for every loss the calls of each library, on the same ordinary inputs.

Not the inputs of the tests: those are full of extremes, which slow some libraries down. What a call does: mean
loss and its gradient with respect to the prediction, in the inputs' type, on ``THREADS`` threads. Each is
checked against the float64 reference before anyone times it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from cases import BY_NAME, CASES

import fastloss as fl
from bench import idiomatic

try:
    import torch
except ImportError:
    torch = None
try:
    from sklearn._loss import loss as sklearn_loss
except ImportError:
    sklearn_loss = None

Array = np.ndarray[Any, Any]
THREADS = 2
POINTWISE_SIZES = ((100,), (10_000,), (1_000_000,), (16_000_000,))
ROW_SIZES = ((64, 10), (4096, 10), (1024, 1000), (512, 32000))

# Largest relative errors with which a call still counts as right.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


@dataclass(frozen=True)
class Problem:
    """A loss and the arrays that every library gets."""

    name: str
    prediction: Array
    target: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.prediction.shape

    @property
    def terms(self) -> int:
        """What the mean divides by."""
        return self.target.size


@dataclass(frozen=True)
class Call:
    """``run()`` is timed; ``reset()``, where there is one, is not; ``result()`` reads what the last run() left."""

    library: str
    run: Callable[[], Any]
    result: Callable[[Any], tuple[float, Array]] = lambda returned: returned
    reset: Callable[[], None] | None = None


def sizes(name: str) -> tuple[tuple[int, ...], ...]:
    return ROW_SIZES if BY_NAME[name].rowwise else POINTWISE_SIZES


@lru_cache(maxsize=1)
def problem(name: str, shape: tuple[int, ...], dtype: str) -> Problem:
    """Ordinary inputs for the domain of a loss."""
    rng = np.random.default_rng(0)

    def normal(spread: float) -> Array:
        return rng.standard_normal(shape, dtype) * np.dtype(dtype).type(spread)

    domain = BY_NAME[name].inputs.__name__
    if domain == "residuals":
        x, t = normal(1), normal(1)
    elif domain == "probabilities":
        x, t = rng.random(shape, dtype) * np.dtype(dtype).type(0.98) + np.dtype(dtype).type(0.01), None
    elif domain in ("binary_logits", "signed_scores"):
        x, t = normal(3), None
    elif domain == "logit_rows":
        x, t = normal(3), rng.integers(0, shape[-1], shape[:-1])
    else:
        raise ValueError(f"no ordinary inputs for {domain}: say here what they are")
    if t is None:
        t = rng.integers(0, 2, shape).astype(dtype)
        if domain == "signed_scores":
            t = 2 * t - 1
    return Problem(name, x, t)


@lru_cache(maxsize=1)
def truth(name: str, shape: tuple[int, ...], dtype: str) -> tuple[float, Array]:
    """Mean and gradient by the reference, in float64."""
    p = problem(name, shape, dtype)
    values, grad = getattr(fl.reference, name).value_and_grad(p.prediction, p.target, reduction="none")
    grad = np.asarray(grad, np.float64) / p.terms
    return float(np.sum(values, dtype=np.float64)) / p.terms, grad


def error(call: Call, name: str, shape: tuple[int, ...], dtype: str) -> float:
    """Largest relative error of the value and of the gradient (the latter relative to its largest element)."""
    value, grad = truth(name, shape, dtype)
    if call.reset:
        call.reset()
    got_value, got_grad = call.result(call.run())
    largest = float(np.abs(grad).max())
    worst = float(np.abs(np.asarray(got_grad, np.float64).reshape(shape) - grad).max()) / largest
    return max(abs(float(got_value) - value) / abs(value), worst)


def calls(p: Problem) -> Iterator[Call]:
    """The calls of all libraries that have this loss and are installed; fastloss first."""
    loss, x, t = getattr(fl, p.name), p.prediction, p.target
    grad = np.empty_like(x)
    yield Call("fastloss", lambda: loss.value_and_grad(x, t, grad_out=grad))
    yield Call("fastloss, new array", lambda: loss.value_and_grad(x, t))
    yield Call("numpy", lambda: getattr(idiomatic, p.name)(x, t))
    twin = getattr(fl.reference, p.name)
    if x.size <= 2_000_000:  # it is written to be read; minutes and gigabytes beyond
        yield Call("reference", lambda: twin.value_and_grad(x, t))
    if torch is not None and p.name in TORCH:
        yield torch_call(p)
    if sklearn_loss is not None and p.name in SKLEARN:
        yield sklearn_call(p)


# ---- torch: eager forward and backward, on a leaf that has no gradient yet ----


def torch_hinge(x: Any, t: Any) -> Any:
    return torch.relu(1 - t * x).mean()


def torch_squared_hinge(x: Any, t: Any) -> Any:
    return torch.relu(1 - t * x).square().mean()


TORCH: dict[str, Callable[[Any, Any], Any]] = {}
if torch is not None:
    F = torch.nn.functional
    TORCH = {
        "mse_loss": F.mse_loss,
        "half_mse_loss": lambda x, t: F.mse_loss(x, t) / 2,
        "l1_loss": F.l1_loss,
        "huber_loss": F.huber_loss,
        "smooth_l1_loss": F.smooth_l1_loss,
        "binary_cross_entropy": F.binary_cross_entropy,
        "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
        "hinge_loss": torch_hinge,
        "squared_hinge_loss": torch_squared_hinge,
        "cross_entropy": F.cross_entropy,
    }


def torch_call(p: Problem) -> Call:
    torch.set_num_threads(THREADS)
    function = TORCH[p.name]
    x = torch.from_numpy(p.prediction).detach().requires_grad_()
    t = torch.from_numpy(p.target)

    def run() -> Any:
        loss = function(x, t)
        loss.backward()
        return loss

    def reset() -> None:
        x.grad = None

    return Call("torch", run, lambda loss: (loss.item(), x.grad.numpy()), reset)


# ---- scikit-learn: its private losses; they give unreduced losses and the gradient of the sum ----

SKLEARN: dict[str, Callable[[Problem], Any]] = {}
if sklearn_loss is not None:
    SKLEARN = {
        "half_mse_loss": lambda p: sklearn_loss.HalfSquaredError(),
        "l1_loss": lambda p: sklearn_loss.AbsoluteError(),
        "huber_loss": lambda p: sklearn_loss.HuberLoss(delta=1.0),
        "binary_cross_entropy_with_logits": lambda p: sklearn_loss.HalfBinomialLoss(),
        "cross_entropy": lambda p: sklearn_loss.HalfMultinomialLoss(n_classes=p.shape[-1]),
    }


def sklearn_call(p: Problem) -> Call:
    loss = SKLEARN[p.name](p)
    y = p.target.astype(p.prediction.dtype)
    losses, grad = np.empty_like(y), np.empty_like(p.prediction)

    def run() -> Any:
        loss.loss_gradient(y, p.prediction, loss_out=losses, gradient_out=grad, n_threads=THREADS)
        return losses.mean()

    return Call("scikit-learn", run, lambda value: (value, grad / p.terms))


NAMES = tuple(case.name for case in CASES)
