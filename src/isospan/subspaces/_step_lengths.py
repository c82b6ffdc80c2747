"""Lengths of steps, beside the distances of latents of the data."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from isospan._core.warnings import warn
from isospan.subspaces._patterns import reciprocal, root

DEVIATIONS = 3
"""Standard deviations of the squared distance above its mean, beyond which a step is long."""


class Distances(NamedTuple):
    r"""Mean and standard deviation of the squared distance of two latents.

    For independent normal latents of variances λ along the axes of a metric they are :math:`2 \sum \lambda` and
    :math:`\sqrt{8 \sum \lambda^2}`. All λ are 1 in the metric of :math:`\Sigma^{-1}`, so the mean is 2 rank Σ.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, first: float, second: float) -> "Distances":
        """From the sums of λ and of λ²."""
        return cls(2 * first, (8 * second) ** 0.5)

    @classmethod
    def plain(cls, cov_zz: Tensor) -> "Distances":
        """In the plain metric: λ are the eigenvalues of Σ."""
        return cls.of(float(cov_zz.trace()), float(cov_zz.square().sum()))

    @classmethod
    def least(cls, cov_zz: Tensor) -> "Distances":
        r"""A lower bound in the metric of :math:`\Sigma^{-1}`, without a decomposition.

        A matrix R has at least the rank :math:`(\operatorname{tr} R)^2 / \|R\|_F^2`, here the correlation matrix.
        """
        unit = reciprocal(cov_zz.diagonal().clamp(min=0).sqrt())
        R = unit[:, None] * cov_zz * unit
        rank = float(R.trace().square() * reciprocal(R.square().sum()))
        return cls.of(rank, rank)

    def longer(self, squared_length: Tensor) -> int:
        """How many steps are longer than the distances, by three standard deviations."""
        return int((squared_length > self.mean + DEVIATIONS * self.deviation).sum())

    def warn_of(self, squared_length: Tensor) -> None:
        """Warn of steps that are longer."""
        if n_long := self.longer(squared_length):
            ratio = float(squared_length.max() / self.mean) ** 0.5
            warn(
                f"{n_long} of {squared_length.numel()} steps are longer than the typical distance of two latents of "
                f"the data, by up to {ratio:.2g} times, so they leave the latents that the decoder was trained on. "
                "Ask for a smaller change, keep fewer of the other quantities, or edit through the decoder."
            )


class Whitening(NamedTuple):
    r"""Coordinates u of steps, :math:`\delta = u L^\top` and :math:`u = \delta V^\top`.

    Attributes:
        L: steps of the coordinates (D, r), as columns.
        V: coordinates of the steps that they span (r, D).
        distances: of latents of the data, in these coordinates.
    """

    L: Tensor
    V: Tensor
    distances: Distances

    @classmethod
    def of(cls, cov_zz: Tensor) -> "Whitening":
        r"""Coordinates in which latents are white: :math:`\Sigma = L L^\top`, r the rank of Σ.

        The length of u is that of the step in the metric of :math:`\Sigma^{-1}`.
        """
        L, V = root(cov_zz)
        varies = V.any(1)
        rank = int(varies.sum())
        return cls(L[:, varies], V[varies], Distances.of(rank, rank))

    @classmethod
    def plain(cls, cov_zz: Tensor) -> "Whitening":
        """The latents themselves, in units of their root mean square deviation."""
        identity, deviation = torch.eye(len(cov_zz)).to(cov_zz), cov_zz.diagonal().mean().sqrt()
        return cls(deviation * identity, reciprocal(deviation) * identity, Distances.plain(cov_zz / deviation**2))


def steps_aside(x: Tensor) -> bool:
    """Whether the values of a tensor cannot be looked at: a compiler traces, ``vmap`` maps, or it has none."""
    return torch.compiler.is_compiling() or is_functorch_wrapped_tensor(x) or x.is_meta
