"""Mean loss and all gradients of the losses of several arrays: fastloss, its reference, and torch's eager mode."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import SEVERAL

import fastloss as fl
from bench.problems import Call

SIZES = {"dice_loss": ((16, 64, 64), (16, 512, 512))}  # of the first array; of all others: rows of embeddings
ORDINARY = ((64, 128), (8192, 256))
LIBRARIES = ("fastloss", "fastloss, new arrays", "reference", "torch")
TOLERANCE = 2e-5


def torch_value(torch: Any, name: str, tensors: list[Any]) -> Any:
    """The loss as a user of torch writes it; None where torch has nothing of the kind."""
    functional = torch.nn.functional
    if name == "contrastive_loss":
        x1, x2, similar = tensors
        d = functional.pairwise_distance(x1, x2, eps=0.0)
        return torch.mean(similar * d**2 + (1 - similar) * torch.clamp(1 - d, min=0) ** 2) / 2
    if name == "center_loss":
        x, centers, target = tensors
        return ((x - centers[target]) ** 2).sum(-1).mean() / 2
    if name == "dice_loss":
        p, g = tensors
        return 1 - 2 * (p * g).sum() / ((p * p).sum() + (g * g).sum())
    if name == "triplet_margin_loss":
        return functional.triplet_margin_loss(*tensors, eps=0.0)
    own = getattr(functional, name, None)
    return own and own(*tensors)


def call_of(library: str, name: str, arrays: tuple[Any, ...]) -> tuple[Call, Callable[[], float]] | None:
    """The call, and the value it gives."""
    loss = getattr(fl, name)
    if library == "reference":
        twin = getattr(fl.reference, name)
        return Call(library, lambda: twin.value_and_grad(*arrays)), lambda: twin(*arrays)
    if library.startswith("fastloss"):
        fresh = [np.empty_like(arrays[loss.arrays.index(g)]) for g in loss.gradients]
        out = None if library != "fastloss" else tuple(fresh) if len(fresh) > 1 else fresh[0]
        return Call(library, lambda: loss.value_and_grad(*arrays, grad_out=out)), lambda: loss(*arrays)
    torch = pytest.importorskip("torch")
    torch.set_num_threads(fl.get_num_threads())
    tensors = [torch.from_numpy(np.array(a)) for a in arrays]
    leaves = [tensors[loss.arrays.index(g)].requires_grad_() for g in loss.gradients]
    if torch_value(torch, name, tensors) is None:
        return None

    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        torch_value(torch, name, tensors).backward()

    return Call(library, run), lambda: float(torch_value(torch, name, tensors).detach())


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("case", "shape"),
    [
        pytest.param(case, shape, id=f"{case.name}-{'x'.join(map(str, shape))}")
        for case in SEVERAL
        for shape in SIZES.get(case.name, ORDINARY)
    ],
)
def bench_value_and_gradients(
    benchmark: Any, measure: Callable[[Call], None], case: Any, shape: tuple[int, ...], library: str
) -> None:
    arrays = case.smooth(np.random.default_rng(0), shape, np.dtype(np.float32), {})
    found = call_of(library, case.name, arrays)
    if found is None:
        pytest.skip("torch has no such loss")
    call, value = found
    exact = float(getattr(fl.reference, case.name)(*arrays))
    error = abs(value() - exact) / max(abs(exact), 1e-30)
    benchmark.group = f"{case.name} {'x'.join(map(str, shape))} float32"
    benchmark.extra_info |= {"library": library, "correct": error <= TOLERANCE, "error": error}
    if library.startswith("fastloss"):
        assert error <= TOLERANCE
    measure(call)
