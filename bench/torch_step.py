"""Training steps of small networks with torch's layers: losses of fastloss.torch and torch's own, in turn.

``python -m bench.torch_step`` prints a table, and writes it to a file with ``-o``. A step is the forward pass, the
loss, the backward pass and the update; "loss" is the loss and its backward pass alone, of the same logits. What is
compared are medians of interleaved rounds; both give the same loss and gradients, which is checked first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

import fastloss.torch as F
from bench import page
from bench.measure import medians
from bench.problems import Call

T = torch.nn.functional
Loss = Callable[[Any, Any, Any], Any]  # (functions, output, target)
ROUNDS = 25


@dataclass
class Workload:
    """A network with its data, and a loss of its output by the functions of either library."""

    name: str
    network: Any
    inputs: Any
    target: Any
    loss: Loss


def mlp(*sizes: int) -> Any:
    layers: list[Any] = []
    for n, m in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(n, m), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def focal(functions: Any, x: Any, t: Any) -> Any:
    if functions is F:
        return F.focal_loss(x, t, alpha=0.25)
    # torchvision's sigmoid_focal_loss
    p = torch.sigmoid(x)
    p_t = p * t + (1 - p) * (1 - t)
    loss = T.binary_cross_entropy_with_logits(x, t, reduction="none") * (1 - p_t) ** 2
    return (loss * (0.25 * t + 0.75 * (1 - t))).mean()


def info_nce(functions: Any, x: Any, keys: Any) -> Any:
    if functions is F:
        return F.info_nce_loss(x, keys)
    scores = T.normalize(x, dim=-1) @ T.normalize(keys, dim=-1).T / 0.07
    return T.cross_entropy(scores, torch.arange(len(x)))


def workloads() -> Iterator[Workload]:
    torch.manual_seed(0)

    def plain(name: str, **options: Any) -> Loss:
        return lambda functions, x, t: getattr(functions, name)(x, t, **options)

    def labels(classes: int, *shape: int) -> Any:
        return torch.randint(0, classes, shape)

    normal = torch.randn
    smooth = {"label_smoothing": 0.1}
    yield Workload("digits: 64 rows, 10 classes, `cross_entropy`", mlp(64, 128, 10), normal(64, 64), labels(10, 64),
                   plain("cross_entropy"))  # fmt: skip
    yield Workload("1024 rows, 1000 classes, `cross_entropy`, smoothing", mlp(64, 128, 1000), normal(1024, 64),
                   labels(1000, 1024), plain("cross_entropy", **smooth))  # fmt: skip
    yield Workload("vocabulary: 256 rows, 32000 classes, `cross_entropy`", torch.nn.Linear(64, 32000),
                   normal(256, 64), labels(32000, 256), plain("cross_entropy"))  # fmt: skip
    pixels = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 21, 1))
    yield Workload("pixels: 4×128×128, 21 classes, `cross_entropy`", pixels, normal(4, 3, 128, 128),
                   labels(21, 4, 128, 128), plain("cross_entropy", ignore_index=20))  # fmt: skip
    yield Workload("regression: 16384×16, `huber_loss`", mlp(16, 64, 16), normal(16384, 16), normal(16384, 16),
                   plain("huber_loss"))  # fmt: skip
    yield Workload("labels: 512×4000, `binary_cross_entropy_with_logits`", mlp(64, 64, 4000), normal(512, 64),
                   (torch.rand(512, 4000) < 0.01).float(), plain("binary_cross_entropy_with_logits"))  # fmt: skip
    yield Workload("anchors: 512×4000, `focal_loss`", mlp(64, 64, 4000), normal(512, 64),
                   (torch.rand(512, 4000) < 0.01).float(), focal)  # fmt: skip
    yield Workload("pairs: 1024×128, `info_nce_loss`", mlp(64, 128), normal(1024, 64), normal(1024, 128), info_nce)
    yield Workload("pairs: 8192×256, `info_nce_loss`", mlp(64, 256), normal(8192, 64), normal(8192, 256), info_nce)


def step_of(work: Workload, functions: Any, library: str) -> Call:
    parameters = list(work.network.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.0)

    def run() -> Any:
        optimizer.zero_grad()
        loss = work.loss(functions, work.network(work.inputs), work.target)
        loss.backward()
        optimizer.step()
        return loss

    return Call(library, run, lambda loss: (loss.item(), None))


def loss_of(work: Workload, functions: Any, library: str) -> Call:
    output = work.network(work.inputs).detach()

    def run() -> Any:
        loss = work.loss(functions, output.requires_grad_(), work.target)
        return torch.autograd.grad(loss, output)

    return Call(library, run, lambda gradients: (0.0, None))


def check(work: Workload) -> None:
    """Both libraries compute the same."""
    found = []
    for functions in (F, T):
        work.network.zero_grad()
        loss = work.loss(functions, work.network(work.inputs), work.target)
        loss.backward()
        found.append((loss.item(), [p.grad.clone() for p in work.network.parameters()]))
    (value, gradients), (want, expected) = found
    assert math.isclose(value, want, rel_tol=2e-5), (work.name, value, want)
    for got, right in zip(gradients, expected, strict=True):
        assert (got - right).abs().max() <= 1e-4 * right.abs().max(), work.name


def private_steps() -> Iterator[tuple[str, list[Call]]]:
    """Opacus' optimizer with its own step and with fastloss's, on per-sample gradients that are there."""
    try:
        from opacus.optimizers import DPOptimizer
    except ImportError:
        return
    for batch, *sizes in ((256, 64, 128, 10), (128, 256, 512, 100)):
        calls = []
        for library in ("fastloss", "torch"):
            parameters = list(mlp(*sizes).parameters())
            samples = [torch.randn(batch, *p.shape) for p in parameters]
            optimizer = DPOptimizer(
                torch.optim.SGD(parameters, lr=0.0), noise_multiplier=1.1, max_grad_norm=1.0, expected_batch_size=batch
            )
            if library == "fastloss":
                F.privacy.swap_step(optimizer)

            def run(optimizer: Any = optimizer, parameters: Any = parameters, samples: Any = samples) -> Any:
                optimizer.zero_grad()
                for p, g in zip(parameters, samples, strict=True):
                    p.grad_sample = g.view(g.shape)
                return optimizer.step()

            calls.append(Call(library, run, lambda result: (0.0, None)))
        count = sum(p.numel() for p in parameters)
        yield f"Opacus' step: {batch} samples, {count} parameters", calls


def written(seconds: float) -> str:
    """Three digits, in microseconds or milliseconds."""
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def table(rounds: int, threads: int) -> Iterator[str]:
    yield "| work | what | with torch's own | with fastloss | ratio |"
    yield "|---|---|---|---|---|"

    def row(name: str, what: str, calls: list[Call]) -> str:
        found = medians([replace(call, threads=threads) for call in calls], rounds)
        ours, theirs = found["fastloss"], found["torch"]
        return f"| {name} | {what} | {written(theirs)} | {written(ours)} | {theirs / ours:.2f} |"

    for work in workloads():
        check(work)
        for what, make in (("step", step_of), ("loss", loss_of)):
            yield row(work.name, what, [make(work, F, "fastloss"), make(work, T, "torch")])
    for name, calls in private_steps():
        yield row(name, "optimizer.step()", calls)


def main() -> int:
    given = page.options("torch_step", __doc__, ROUNDS)
    torch.set_num_threads(given.threads)
    lines = page.shown(table(given.rounds, given.threads))
    how = (f"From `python -m bench.torch_step`: {given.threads} threads, float32, torch {torch.__version__}, "
           f"medians of {given.rounds} interleaved\nrounds; ratio: torch's time by fastloss's.")  # fmt: skip
    page.write(given.output, "Steps with torch's layers: losses of fastloss.torch beside torch's own", how, lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
