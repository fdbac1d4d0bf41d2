"""The losses that fastloss has and torch.nn.functional has not, as functions of tensors.

Their functions are made from the loss objects: the same names, parameters and defaults, ``dim`` for ``axis``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import fastloss as fl
from fastloss.torch._autograd import run
from fastloss.torch._common import documented
from fastloss.torch._tensors import class_axis

_DIM = """\
dim : int, optional
    The class dimension; by default 1, or 0 where there is no other.
"""
_DIMS = """\
dim : int or tuple of int, optional
    The dimensions that are summed over; by default all.
"""


def _tensors(loss: Any, *, mirrored: bool = False) -> Callable[..., Any]:
    """The function of tensors that a loss object makes."""
    name, row = loss.__name__, loss.kind == "rowwise"
    given = list(inspect.signature(loss).parameters.values())
    arrays = [p for p in given if p.kind is p.POSITIONAL_ONLY]
    keywords = {p.name: repr(p.default) for p in given if p.kind is p.KEYWORD_ONLY}
    del keywords["out"], keywords["reduction"]
    taken = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in arrays)
    passed = {k: k for k in loss._parameter_names}
    if "axis" in keywords:
        passed["axis"] = f"class_axis({arrays[0].name}, dim)" if row else "dim"
        keywords = {("dim" if k == "axis" else k): ("None" if k == "axis" else v) for k, v in keywords.items()}
    signature = ", ".join(f"{k}={v}" for k, v in keywords.items())
    common = "reduction='mean'"
    parameters = "".join(f"{v}, " for v in passed.values())
    tensors = "".join(f"{p.name}, " for p in arrays)
    source = (
        f"def {name}({taken}, *, {signature}, {common}):\n"
        f"    return run(loss, ({tensors}), reduction, ({parameters}), mirrored={mirrored},\n"
        "               sample_weight=sample_weight, denominator=denominator)\n"
    )
    namespace: dict[str, Any] = {"run": run, "loss": loss, "class_axis": class_axis}
    exec(compile(source, f"<fastloss.torch.{name}>", "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    function.__module__ = "fastloss.torch"
    has = [*loss.gradients, *loss.scalars] if loss.kind == "several" else [p.name for p in arrays[: 1 + mirrored]]
    # The loss's own words: summary, formula and own parameters, without what all losses share.
    said = inspect.cleandoc(loss.__doc__).split("\nsample_weight : ")[0].replace("Parameters\n----------\n", "")
    said = said.replace(" : array_like", " : Tensor")
    if loss.kind == "several" and loss.scalars:
        said = said.replace(f"{', '.join(loss.scalars)} : float", f"{', '.join(loss.scalars)} : float or Tensor")
    if "axis" in passed:
        said = said.split("\naxis : ")[0] + "\n" + (_DIM if row else _DIMS)
    function.__doc__ = said
    return documented(function, f"Gradients: {', '.join(has)}.")


half_mse_loss = _tensors(fl.half_mse_loss, mirrored=True)
log_cosh_loss = _tensors(fl.log_cosh_loss, mirrored=True)
pseudo_huber_loss = _tensors(fl.pseudo_huber_loss, mirrored=True)
quantile_loss = _tensors(fl.quantile_loss, mirrored=True)
gamma_nll_loss = _tensors(fl.gamma_nll_loss)
tweedie_loss = _tensors(fl.tweedie_loss)
balanced_cross_entropy = _tensors(fl.balanced_cross_entropy)
focal_loss = _tensors(fl.focal_loss)
poly_loss = _tensors(fl.poly_loss)
hinge_loss = _tensors(fl.hinge_loss)
squared_hinge_loss = _tensors(fl.squared_hinge_loss)
exponential_loss = _tensors(fl.exponential_loss)
softmax_focal_loss = _tensors(fl.softmax_focal_loss)
poly_cross_entropy = _tensors(fl.poly_cross_entropy)
multiclass_hinge_loss = _tensors(fl.multiclass_hinge_loss)
categorical_cross_entropy = _tensors(fl.categorical_cross_entropy)
sparse_categorical_cross_entropy = _tensors(fl.sparse_categorical_cross_entropy)
kl_divergence = _tensors(fl.kl_divergence)
dice_loss = _tensors(fl.dice_loss)
contrastive_loss = _tensors(fl.contrastive_loss)
center_loss = _tensors(fl.center_loss)
info_nce_loss = _tensors(fl.info_nce_loss)
multiple_negatives_ranking_loss = _tensors(fl.multiple_negatives_ranking_loss)
arcface_loss = _tensors(fl.arcface_loss)
ge2e_loss = _tensors(fl.ge2e_loss)
