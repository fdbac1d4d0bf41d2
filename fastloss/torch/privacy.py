"""DP-SGD on per-sample gradients that tensors carry as ``grad_sample``, as those of Opacus' GradSampleModule do.

Clipping and noise are those of ``fastloss.privacy``: what is claimed for them, and what is not, is said there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from fastloss import privacy
from fastloss.privacy.noise import as_generator
from fastloss.torch._tensors import Array, array_of, tensor_of

__all__ = ["clip_and_noise", "grad_samples", "swap_step"]


def grad_samples(parameters: Iterable[Any]) -> list[Array]:
    """Per-sample gradients of parameters as arrays, for the functions of ``fastloss.privacy``.

    Parameters
    ----------
    parameters : iterable of Tensor
        Each with ``grad_sample``: a tensor of shape (B, ...), or a list of them, one for each backward pass, which
        are then joined. Those that don't require grad are left out.

    Returns
    -------
    list of ndarray
        Views of the gradients, each (B, ...).

    Raises
    ------
    TypeError, ValueError
        If a parameter has no per-sample gradient, or one that is not on the CPU.

    Examples
    --------
    >>> import torch
    >>> from fastloss.torch import privacy
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad_sample = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    >>> privacy.grad_samples([weight])[0].shape
    (2, 2)
    """
    return [_grad_sample(p, k) for k, p in enumerate(parameters) if p.requires_grad]


def clip_and_noise(
    parameters: Iterable[Any],
    max_grad_norm: Any,
    noise_multiplier: float,
    *,
    expected_batch_size: float | None = None,
    reduction: str = "mean",
    mechanism: str = "gaussian",
    norm: str | None = None,
    mode: str = "flat",
    nonfinite: str = "zero",
    rng: Any = None,
    secure: bool = False,
) -> None:
    """Clip per-sample gradients, add them up, add noise, divide; the result is every parameter's ``grad``.

    Between ``loss.backward()`` and the step of any optimizer, it makes that a step of DP-SGD. What was used is gone:
    ``grad_sample`` of every parameter is None afterwards, so that nothing is used twice.

    Parameters
    ----------
    parameters : iterable of Tensor
        As for `grad_samples`. All gradients of a sample have one joint norm.
    max_grad_norm, noise_multiplier, expected_batch_size, reduction, mechanism, norm, mode, nonfinite, secure
        As for ``fastloss.privacy.clip_and_noise``; with ``mode="per_layer"`` a list of bounds, one for each parameter
        that requires grad.
    rng : None or NoiseGenerator
        None: keyed by the operating system. A generator: its next values. (An integer seed would repeat the same
        noise in every step, and raises.)

    Raises
    ------
    TypeError, ValueError
        As ``fastloss.privacy.clip_and_noise`` and `grad_samples`; nothing is then written.

    Examples
    --------
    >>> import torch
    >>> from fastloss.torch import privacy
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad_sample = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    >>> privacy.clip_and_noise([weight], 5.0, 0.0, expected_batch_size=2)
    >>> weight.grad
    tensor([1.6500, 2.2000])
    """
    used = [p for p in parameters if p.requires_grad]
    if rng is not None and hasattr(rng, "__index__"):
        raise TypeError(f"rng = {rng!r} is an integer; expected None or a NoiseGenerator, as one seed for every step "
                        "would repeat its noise")  # fmt: skip
    results = privacy.clip_and_noise(
        grad_samples(used),
        max_grad_norm,
        noise_multiplier,
        expected_batch_size=expected_batch_size,
        reduction=reduction,
        mechanism=mechanism,
        norm=norm,
        mode=mode,
        nonfinite=nonfinite,
        rng=rng,
        secure=secure,
    )
    for parameter, result in zip(used, results, strict=True):
        parameter.grad = tensor_of(result, parameter.dtype)
        parameter.grad_sample = None


def swap_step(optimizer: Any, *, rng: Any = None) -> Any:
    """Let an optimizer of Opacus clip, add up and draw noise with fastloss; all else of it stays as it is.

    Accountants' hooks, schedulers, ``BatchMemoryManager`` and ``zero_grad`` go on working. Two things differ. The
    factor of a row is C / norm rounded down, never above the bound, where Opacus has C / (norm + 1e-6); and a row
    that holds NaN or infinity contributes nothing, where Opacus' sum becomes NaN.

    Parameters
    ----------
    optimizer : opacus.optimizers.DPOptimizer
        As ``make_private`` returns it, without a generator and with ``secure_mode=False`` (for noise that is hardened
        against attacks on floating-point arithmetic, see ``secure`` of `clip_and_noise`).
    rng : None, int or NoiseGenerator
        None: keyed by the operating system. An integer seeds one generator for all steps: reproducible, **not
        private**.

    Returns
    -------
    opacus.optimizers.DPOptimizer
        The optimizer itself.

    Raises
    ------
    TypeError, ValueError
        For any other class (per-layer, adaptive and distributed optimizers clip by rules of their own), or one with a
        generator or ``secure_mode``.

    Examples
    --------
    >>> from fastloss.torch import privacy
    >>> model, optimizer, loader = PrivacyEngine().make_private(...)  # doctest: +SKIP
    >>> optimizer = privacy.swap_step(optimizer)  # doctest: +SKIP
    """
    from opacus.optimizers import DPOptimizer

    if type(optimizer) is not DPOptimizer:
        raise TypeError(f"optimizer is a {type(optimizer).__name__}; expected a DPOptimizer of Opacus")
    if optimizer.generator is not None:
        raise ValueError("optimizer has a torch.Generator; expected none, as fastloss draws the noise: rng = ...")
    if optimizer.secure_mode:
        raise ValueError("optimizer has secure_mode = True; expected False: hardened noise is that of "
                         "clip_and_noise(..., secure=True)")  # fmt: skip
    step = _Step(optimizer, as_generator(rng))
    optimizer.clip_and_accumulate = step.clip_and_accumulate
    optimizer.add_noise = step.add_noise
    return optimizer


class _Step:
    """The two parts of an Opacus optimizer's step that are swapped; its marks against double use are kept."""

    def __init__(self, optimizer: Any, generator: privacy.NoiseGenerator) -> None:
        from opacus.optimizers import optimizer as marks

        self.optimizer, self.generator = optimizer, generator
        self.check, self.mark = marks._check_processed_flag, marks._mark_as_processed
        self.total: privacy.ClippedSum | None = None

    def clip_and_accumulate(self) -> None:
        """Clip the rows, and add them to what earlier parts of this batch have left in ``summed_grad``."""
        parameters = self.optimizer.params
        for parameter in parameters:
            self.check(parameter.grad_sample)
        before = None if parameters[0].summed_grad is None else self.total
        self.total = privacy.clip_and_sum(
            [_grad_sample(p, k) for k, p in enumerate(parameters)], self.optimizer.max_grad_norm, accumulate=before
        )
        for parameter, added in zip(parameters, self.total.sum, strict=True):
            parameter.summed_grad = tensor_of(added, parameter.dtype)
            self.mark(parameter.grad_sample)

    def add_noise(self) -> None:
        """Noise on the sums, which become ``grad``."""
        parameters = self.optimizer.params
        for parameter in parameters:
            self.check(parameter.summed_grad)
        if self.total is None:
            raise ValueError("clipped is None; expected clip_and_accumulate() before add_noise()")
        noised = privacy.add_noise(self.total, self.optimizer.noise_multiplier, reduction="sum", rng=self.generator)
        for parameter, result in zip(parameters, noised, strict=True):
            parameter.grad = tensor_of(result, parameter.dtype)
            self.mark(parameter.summed_grad)


def _grad_sample(parameter: Any, k: int) -> Array:
    """The per-sample gradient of one parameter, joined where there are several."""
    given = getattr(parameter, "grad_sample", None)
    name = f"parameters[{k}].grad_sample"
    if isinstance(given, list) and given:
        given = given[0] if len(given) == 1 else torch.cat(given)
    if given is None or isinstance(given, list):
        raise ValueError(f"{name} is {given!r}; expected per-sample gradients: is the model a GradSampleModule, and "
                         "has backward() been called?")  # fmt: skip
    return array_of(given, name)
