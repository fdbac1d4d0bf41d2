"""What a row of the tables of losses of several arrays is. Not here: the rows, and what is true (truth_several.py)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = tuple[Array, ...]
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Corner:
    """Arrays and the exact answer: the unreduced loss and all gradients of its sum; None where it is left open."""

    arrays: tuple[Any, ...]
    value: Any
    gradients: tuple[Any, ...] | None = None
    parameters: Parameters = field(default_factory=dict)
    dtype: str | None = None  # the only type it concerns


@dataclass(frozen=True)
class WorkedArrays:
    """A number worked out in a source document."""

    source: str
    arrays: tuple[Any, ...]
    value: Any
    parameters: Parameters = field(default_factory=dict)
    rel: float = 1e-14


@dataclass(frozen=True)
class SeveralCase:
    """Everything about one loss of several arrays.

    ``inputs(rng, shape, dtype, parameters)`` makes its arrays, ``shape`` being that of the first; at ``smooth`` ones no
    derivative jumps, so that the truth has one. ``separate`` is False where rows of the loss share arrays or sums, so
    that a part of the rows is another problem.
    """

    name: str
    inputs: Callable[[np.random.Generator, tuple[int, ...], np.dtype[Any], Parameters], Arrays]
    smooth: Callable[[np.random.Generator, tuple[int, ...], np.dtype[Any], Parameters], Arrays]
    ulps: float = 4
    parameters: tuple[Parameters, ...] = ({},)
    corners: tuple[Corner, ...] = ()
    worked: tuple[WorkedArrays, ...] = ()
    separate: bool = True
    shapes: tuple[tuple[int, ...], ...] = ((40, 1), (40, 3), (30, 33), (6, 5, 64), (20, 300))
    many: tuple[int, ...] = (2503, 67)  # enough work for several threads
    aliases: tuple[str, ...] = ()
    kind: str = "several"
    has_hessian: bool = False

    def arrays(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, parameters: Parameters) -> Arrays:
        """Arrays of a type, hard ones among them."""
        return self.inputs(rng, shape, np.dtype(dtype), parameters)
