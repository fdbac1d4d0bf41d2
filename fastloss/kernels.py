"""For Cython and C: where the header is, and the numbers that the kernels take for a loss's parameters.

The functions themselves are in ``kernels.pxd`` and ``include/fastloss_kernels.h``, not here.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import fastloss as fl
from fastloss import _core


def get_include() -> str:
    """Return the folder of ``fastloss_kernels.h``, for ``include_dirs``.

    Returns
    -------
    str
        An absolute path.

    Examples
    --------
    >>> import os
    >>> import fastloss as fl
    >>> os.listdir(fl.get_include())
    ['fastloss_kernels.h']
    """
    return str(Path(__file__).resolve().parent / "include")


def parameters(name: str, /, **given: object) -> list[float]:
    """Return the numbers for ``fastloss_loss_init`` that a loss's keywords mean, checked as a call checks them.

    Parameters
    ----------
    name : str
        A pointwise loss.
    **given
        Its own keywords; those left out have their defaults. An array parameter (``pos_weight``) is not one of them: it
        is the kernel's ``aux``.

    Returns
    -------
    list of float

    Raises
    ------
    TypeError, ValueError
        If it is no pointwise loss, or has no such keyword, or the value is out of range.

    Examples
    --------
    >>> from fastloss import kernels
    >>> kernels.parameters("huber_loss", delta=2.0)
    [2.0]
    >>> kernels.parameters("focal_loss", alpha=0.25)  # gamma, whether there is an alpha, alpha
    [2.0, 1.0, 0.25]
    """
    if name not in _core.names_of_pointwise():
        raise ValueError(f"name = {name!r} is not a pointwise loss; expected one of {', '.join(pointwise_names())}")
    loss: Any = getattr(fl, name)
    pointwise = loss.kind == "pointwise"  # margin_ranking_loss has two gradients
    own = loss._parameter_names[1 if pointwise and loss._array_parameter else 0 :]
    for keyword in given:
        if keyword not in own:
            raise TypeError(f"{keyword} is no parameter of {name} for the kernels; expected {', '.join(own) or 'none'}")
    declared = inspect.signature(loss).parameters
    values = tuple(given.get(k, declared[k].default) for k in own)
    if pointwise:
        numbers = loss._numbers(*loss._check(values).values())
    else:
        numbers = [loss._checks[k](v, k) for k, v in zip(own, values, strict=True)]
    return [float(number) for number in numbers]


def pointwise_names() -> list[str]:
    """Return the names that ``fastloss_loss_init`` knows.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from fastloss import kernels
    >>> kernels.pointwise_names()[:3]
    ['mse_loss', 'half_mse_loss', 'l1_loss']
    """
    return list(_core.names_of_pointwise())
