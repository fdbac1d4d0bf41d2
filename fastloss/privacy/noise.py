"""Noise: one generator object over a cryptographic stream. What is added to what is decided in clip.py."""

from __future__ import annotations

import hashlib
import operator
import os
import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments
from fastloss import _core, _settings
from fastloss.privacy import _backend
from fastloss.privacy._discrete import LARGEST_SCALE, law_of

Array = npt.NDArray[Any]

GAUSSIAN, LAPLACE = "gaussian", "laplace"
DISCRETE = {GAUSSIAN: "discrete_gaussian", LAPLACE: "discrete_laplace"}

_alive: weakref.WeakSet[NoiseGenerator] = weakref.WeakSet()


class NoiseGenerator:
    """A stream of Gaussian and Laplace noise.

    Values come from ChaCha20 (RFC 8439) and are a function of the key, the distribution, the type and
    the index alone: ``gaussian(5)`` twice gives what ``gaussian(10)`` gives, whatever the number of
    threads and the instruction set. Each distribution has its own count of values drawn; float32 and
    float64 values of a distribution share the count and come from independent streams (float32
    Laplace: the float64 value, rounded).

    Parameters
    ----------
    seed : int, optional
        None: a 256-bit key from the operating system, the only choice that protects anybody. An integer
        >= 0: the key is SHA-256 of the text ``"fastloss NoiseGenerator <seed>"``; the noise is reproducible
        and therefore **not private**.

    Notes
    -----
    The continuous Gaussian is Box-Muller with 32 random bits each for radius and angle in float32 (no value
    beyond 6.76) and 64 each in float64 (9.49); the Laplace uses a sign and 63 bits (45.06).
    These continuous samplers are **not hardened against floating-point attacks** (Mironov 2012): which
    doubles can occur reveals something about the value they were added to.

    A forked child of a process gives an unseeded generator a new key, so parent and child never share noise;
    copying or pickling an unseeded generator raises `TypeError`. A seeded one repeats in the child, and a
    copy or pickle of it goes on where it stood. Threads may share a generator.

    Examples
    --------
    >>> from fastloss.privacy import NoiseGenerator
    >>> NoiseGenerator(7).gaussian(2).tolist() == NoiseGenerator(7).gaussian(4)[:2].tolist()
    True
    """

    __slots__ = ("__weakref__", "_counts", "_key", "_lock", "_pid", "_seed")

    def __init__(self, seed: int | None = None) -> None:
        self._seed = None if seed is None else _check_seed(seed)
        self._restart()
        self._lock = threading.Lock()
        _alive.add(self)

    def _restart(self) -> None:
        """A new key and counts of 0."""
        if self._seed is None:
            key = os.urandom(32)
        else:
            key = hashlib.sha256(f"fastloss NoiseGenerator {self._seed}".encode()).digest()
        self._key = np.frombuffer(key, "<u4").astype(np.uint32)
        self._counts = dict.fromkeys((GAUSSIAN, LAPLACE, *DISCRETE.values()), 0)
        self._pid = os.getpid()

    def _reserve(self, distribution: str, n: int) -> tuple[Array, int]:
        """The key, and the index of the first of n values that nobody else will get."""
        with self._lock:
            # A child made by fork() outside Python, where no hook ran.
            if self._seed is None and self._pid != os.getpid():
                self._restart()
            first = self._counts[distribution]
            self._counts[distribution] = first + n
            return self._key, first

    def gaussian(
        self,
        shape: int | tuple[int, ...],
        scale: float = 1.0,
        dtype: npt.DTypeLike = np.float64,
        out: Array | None = None,
    ) -> Array:
        """Return the next Gaussian values, of mean 0.

        Parameters
        ----------
        shape : int or tuple of ints
            Shape of the result.
        scale : float
            Standard deviation, >= 0.
        dtype : {numpy.float32, numpy.float64}
            Type of the result.
        out : ndarray, optional
            Where the values go (in C order): of exactly that shape and type, any strides.

        Returns
        -------
        ndarray
            The values; `out` where it was given.

        Raises
        ------
        TypeError, ValueError
            For a shape, scale, type or output that is none.
        """
        return self._draw(GAUSSIAN, shape, scale, dtype, out)

    def laplace(
        self,
        shape: int | tuple[int, ...],
        scale: float = 1.0,
        dtype: npt.DTypeLike = np.float64,
        out: Array | None = None,
    ) -> Array:
        """Return the next Laplace values, of mean 0 and density ``exp(-|x| / scale) / (2 scale)``.

        Parameters
        ----------
        shape : int or tuple of ints
            Shape of the result.
        scale : float
            The scale b >= 0; the standard deviation is ``sqrt(2) * b``.
        dtype : {numpy.float32, numpy.float64}
            Type of the result.
        out : ndarray, optional
            Where the values go (in C order): of exactly that shape and type, any strides.

        Returns
        -------
        ndarray
            The values; `out` where it was given.

        Raises
        ------
        TypeError, ValueError
            For a shape, scale, type or output that is none.
        """
        return self._draw(LAPLACE, shape, scale, dtype, out)

    def discrete_gaussian(self, shape: int | tuple[int, ...], scale: float) -> Array:
        """Return the next integers with probabilities proportional to ``exp(-x**2 / (2 * scale**2))``.

        The sampler takes the same time whatever the values, without rejection and without floating point. Its total
        variation distance from the ideal law is below 4e-18 per value (the figure of a scale:
        `fastloss.privacy.sampler_delta`). The derivation is in ``csrc/privacy/discrete_gaussian.h``.

        Parameters
        ----------
        shape : int or tuple of ints
            Shape of the result.
        scale : float
            The parameter sigma, 0 <= scale < 2**40; from 1 on it is the standard deviation to within 1e-6 of itself.

        Returns
        -------
        ndarray of int64
            The values: a function of key, scale and index; the same bits on every machine.

        Raises
        ------
        TypeError, ValueError
            For a shape or scale that is none.

        Examples
        --------
        >>> from fastloss.privacy import NoiseGenerator
        >>> x = NoiseGenerator(1).discrete_gaussian(100_000, 20.0)
        >>> x.dtype.name, bool(abs(x.std() - 20) < 0.2)
        ('int64', True)
        """
        return self._draw_integers(GAUSSIAN, shape, scale)

    def discrete_laplace(self, shape: int | tuple[int, ...], scale: float) -> Array:
        """Return the next integers with probabilities proportional to ``exp(-abs(x) / scale)``.

        The sampler takes the same time whatever the values, without rejection and without floating point. Its total
        variation distance from the ideal law is below 5e-18 per value (the figure of a scale:
        `fastloss.privacy.sampler_delta`). The derivation is in ``csrc/privacy/discrete_laplace.h``.

        Parameters
        ----------
        shape : int or tuple of ints
            Shape of the result.
        scale : float
            The parameter b, 0 <= scale < 2**50.

        Returns
        -------
        ndarray of int64
            The values: a function of key, scale and index; the same bits on every machine.

        Raises
        ------
        TypeError, ValueError
            For a shape or scale that is none.

        Examples
        --------
        >>> from fastloss.privacy import NoiseGenerator
        >>> NoiseGenerator(1).discrete_laplace((2, 3), 0.0).tolist()
        [[0, 0, 0], [0, 0, 0]]
        """
        return self._draw_integers(LAPLACE, shape, scale)

    def _draw_integers(self, distribution: str, shape: object, scale: object) -> Array:
        sizes = _check_shape(shape)
        factor = arguments.non_negative(scale, "scale")
        if factor >= LARGEST_SCALE[distribution]:
            raise ValueError(
                f"scale = {scale!r} is too large; expected a number below {LARGEST_SCALE[distribution]:.0f}"
            )
        result = np.zeros(sizes, np.int64)
        self._add_integers(distribution, factor, result.reshape(-1))
        return result

    def _add_integers(self, distribution: str, scale: float, sums: Array) -> None:
        """Add the next values to flat int64 sums; with scale 0 nothing, but the values count as drawn."""
        key, first = self._reserve(DISCRETE[distribution], sums.size)
        if scale > 0:
            _backend.add_integers(distribution, law_of(distribution, scale), key, first, sums)

    def _draw(self, distribution: str, shape: object, scale: object, dtype: npt.DTypeLike, out: object) -> Array:
        sizes = _check_shape(shape)
        factor = arguments.non_negative(scale, "scale")
        real = np.dtype(dtype)
        if real not in (np.float32, np.float64) or not real.isnative:
            raise TypeError(f"dtype = {dtype!r} is not supported; expected numpy.float32 or numpy.float64")
        result = _core.new_array(sizes, real) if out is None else arguments.check_output(out, "out", sizes, real, [])
        key, first = self._reserve(distribution, result.size)
        backend = _settings.get_backend()
        if backend == "reference":
            _backend.noise(distribution, key, first, factor, result)
            return result
        _core.noise(distribution == LAPLACE, key, first, factor, result)
        if backend == "check":
            _backend.check_noise(distribution, key, first, factor, result)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        if self._seed is None:
            raise TypeError("an unseeded NoiseGenerator can't be copied or pickled: the copy would repeat its noise; "
                            "make a new one")  # fmt: skip
        return _restore, (self._seed, dict(self._counts))

    def __repr__(self) -> str:
        return "NoiseGenerator()" if self._seed is None else f"NoiseGenerator({self._seed})"


def _restore(seed: int, counts: dict[str, int]) -> NoiseGenerator:
    """A seeded generator where the pickled one stood."""
    generator = NoiseGenerator(seed)
    generator._counts.update(counts)
    return generator


def _after_fork() -> None:
    """In the child: new keys for unseeded generators, and locks that no lost thread holds."""
    for generator in list(_alive):
        generator._lock = threading.Lock()
        if generator._seed is None:
            generator._restart()
        else:
            generator._pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _check_seed(seed: object) -> int:
    if isinstance(seed, bool | np.bool_):
        raise TypeError(f"seed = {seed!r} is not an integer")
    try:
        value = operator.index(seed)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"seed = {seed!r} is not an integer; expected None or an integer >= 0") from error
    if value < 0:
        raise ValueError(f"seed = {value} is negative; expected None or an integer >= 0")
    return value


def _check_shape(shape: object) -> tuple[int, ...]:
    sizes = shape if isinstance(shape, tuple | list) else (shape,)
    try:
        result = tuple(operator.index(n) for n in sizes)
    except TypeError as error:
        raise TypeError(f"shape = {shape!r} is not an integer or a tuple of integers") from error
    if any(n < 0 for n in result):
        raise ValueError(f"shape = {shape!r} has a negative size")
    return result


def as_generator(rng: object) -> NoiseGenerator:
    """What ``rng`` stands for: None a new unseeded generator, an integer a new seeded one, a generator itself."""
    if isinstance(rng, NoiseGenerator):
        return rng
    if rng is None:
        return NoiseGenerator()
    if isinstance(rng, bool | np.bool_) or not hasattr(rng, "__index__"):
        raise TypeError(f"rng = {rng!r} is not a source of noise; expected None, an integer seed or a NoiseGenerator")
    return NoiseGenerator(_check_seed(rng))
