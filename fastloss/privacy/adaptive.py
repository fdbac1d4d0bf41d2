"""A clipping bound that follows a quantile of the norms, privately (Andrew, Thakkar, McMahan, Ramaswamy 2021)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments
from fastloss.privacy.clip import clip_and_noise, per_sample_norms
from fastloss.privacy.noise import as_generator

Array = npt.NDArray[Any]

# The count's noise is made of so many steps of a grid that its halves lie on too.
STEPS = 2.0**20


class AdaptiveClipper:
    r"""Clip and noise with a bound C that is moved towards a quantile of the norms after every batch.

    .. math::

        \tilde b = \tfrac12 + \frac{\sum_i (b_i - \tfrac12) + N(0, \sigma_b^2)}{\text{expected batch size}}, \qquad
        C \leftarrow C \exp(-\eta (\tilde b - q)),

    with b_i = 1 where ``||g_i|| <= C`` (a sample that is not finite has 0). The shifted bits change the count by 1/2
    when a sample is added or removed, so the count is released with a noise multiplier of :math:`2 \sigma_b`. For count
    and gradients together to cost what a noise multiplier z costs, the gradients get the larger
    :math:`(z^{-2} - (2 \sigma_b)^{-2})^{-1/2}`; account for z.

    The count's noise is a discrete Gaussian, so the bound is hardened whether or not the gradients are (``secure``).

    Parameters
    ----------
    max_grad_norm : float
        The first bound C > 0.
    noise_multiplier : float
        z >= 0, of a whole step. With 0 the count is noised all the same, and results are **not private**.
    expected_batch_size : float
        What count and mean are divided by.
    quantile : float
        q in (0, 1): the share of samples that shall not be clipped.
    learning_rate : float
        eta > 0.
    count_noise : float, optional
        sigma_b, above z / 2: by default ``expected_batch_size / 20``.
    rng : None, int or NoiseGenerator
        As in `clip_and_noise`, for all noise of this object.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, among them ``noise_multiplier >= 2 * count_noise``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastloss.privacy import AdaptiveClipper
    >>> clipper = AdaptiveClipper(1.0, 1.0, 100, count_noise=5.0, rng=1)
    >>> round(clipper.noise_multiplier, 6)
    1.005038
    >>> grads = np.full((100, 4), 5.0)
    >>> for _ in range(60):
    ...     mean = clipper.clip_and_noise(grads)
    >>> 8 < clipper.max_grad_norm < 12  # all norms are 10
    True
    """

    def __init__(
        self,
        max_grad_norm: float,
        noise_multiplier: float,
        expected_batch_size: float,
        *,
        quantile: float = 0.5,
        learning_rate: float = 0.2,
        count_noise: float | None = None,
        rng: object = None,
    ) -> None:
        self.max_grad_norm = arguments.positive(max_grad_norm, "max_grad_norm")
        z = arguments.non_negative(noise_multiplier, "noise_multiplier")
        self.expected_batch_size = arguments.positive(expected_batch_size, "expected_batch_size")
        self.quantile = arguments.positive(quantile, "quantile")
        if self.quantile >= 1:
            raise ValueError(f"quantile = {quantile!r} is outside (0, 1)")
        self.learning_rate = arguments.positive(learning_rate, "learning_rate")
        default = self.expected_batch_size / 20
        self.count_noise = default if count_noise is None else arguments.positive(count_noise, "count_noise")
        if z >= 2 * self.count_noise:
            raise ValueError(f"noise_multiplier = {z!r} with count_noise = {self.count_noise!r}: expected less than "
                             "2 * count_noise, or nothing is left for the gradients")  # fmt: skip
        # z / sqrt(1 - (z / 2 sigma_b)^2), rounded up.
        ratio = z / (2 * self.count_noise)
        self.noise_multiplier = z / math.sqrt((1 - ratio) * (1 + ratio)) * (1 + 2.0**-50)
        self.generator = as_generator(rng)

    def clip_and_noise(self, grads: object, **options: Any) -> Any:
        """Clip and noise with the present bound, then move it.

        Parameters
        ----------
        grads : array_like (B, ...), or a list, tuple or dict of arrays with the same B
            Per-sample gradients.
        **options
            `reduction`, `nonfinite`, `secure` and `out` of the function `clip_and_noise`.

        Returns
        -------
        ndarray, or a list, tuple or dict of them
            The noised mean or sum.

        Raises
        ------
        TypeError, ValueError
            As the function does; the bound then stays.
        """
        unknown = set(options) - {"reduction", "nonfinite", "secure", "out"}
        if unknown:
            raise TypeError(f"clip_and_noise of an AdaptiveClipper takes no {sorted(unknown)[0]!r}; expected "
                            "reduction, nonfinite, secure or out")  # fmt: skip
        norms = per_sample_norms(grads)
        result = clip_and_noise(
            grads,
            self.max_grad_norm,
            self.noise_multiplier,
            expected_batch_size=self.expected_batch_size,
            rng=self.generator,
            **options,
        )
        self.update(norms)
        return result

    def update(self, norms: object) -> float:
        """Move the bound by the noised share of norms within it.

        Parameters
        ----------
        norms : array_like (B,)
            L2 norms of the batch's samples, as of `per_sample_norms` or `linear_norms`; NaN and inf count as clipped.

        Returns
        -------
        float
            The noised share, private at a noise multiplier of ``2 * count_noise``; it may lie outside [0, 1].

        Raises
        ------
        TypeError, ValueError
            For norms that are no such array.
        """
        lengths = arguments.as_array(norms, "norms")
        if lengths.ndim != 1:
            raise ValueError(f"norms has shape {lengths.shape}; expected (B,)")
        within = int(np.count_nonzero(lengths <= self.max_grad_norm))
        # sum (b - 1/2) is a multiple of 1/2, and of any smaller power of two.
        grid = math.ldexp(1.0, min(math.frexp(self.count_noise / STEPS)[1] - 1, -1))
        noise = int(self.generator.discrete_gaussian(1, self.count_noise / grid)[0])
        share = 0.5 + (within - lengths.size / 2 + noise * grid) / self.expected_batch_size
        self.max_grad_norm *= math.exp(-self.learning_rate * (share - self.quantile))
        return share

    def __repr__(self) -> str:
        return (
            f"AdaptiveClipper(max_grad_norm={self.max_grad_norm!r}, noise_multiplier={self.noise_multiplier!r}, "
            f"quantile={self.quantile!r}, count_noise={self.count_noise!r})"
        )
