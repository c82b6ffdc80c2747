"""Erasure of quantities from all of the latent, from second moments."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from isospan._core.checks import (
    as_floating,
    as_kept,
    as_latents,
    as_names,
    check_bases,
    check_device,
    check_disjoint,
    check_finite,
)
from isospan._core.tensor_files import load_tensors, save_tensors
from isospan._core.warnings import warn
from isospan.errors import OptionError, ShapeError
from isospan.linalg import svd
from isospan.moments import Moments, check_moments
from isospan.subspaces._patterns import erased, reciprocal, root
from isospan.subspaces._solve import check_latents_vary, target_scales

SCHEMA_VERSION = 1
LEAST_CORRELATION = 1e-6
"""Correlation of a direction with a quantity below which it counts as rounding; its probe has an R² of 1e-12."""


@dataclass(frozen=True, eq=False)
class Eraser:
    r"""A projection of latents (..., D) that removes what r filters read; :func:`eraser` makes it.

    .. math:: z' = z - (z - \bar z)\, F^\top P, \qquad F P^\top = I

    A filter, a row of F, reads a coordinate. The pattern of this row is the direction along which the coordinate is
    removed. Where latent directions are correlated, the two differ (Haufe et al. 2014).

    Attributes:
        z_mean: mean latent (D,), which does not change.
        filters: F (r, D).
        patterns: P (r, D).

    Raises:
        ShapeError: sizes do not fit together.
        DtypeError, NonFiniteError: a tensor is not real, or not finite.
        DeviceMismatchError: the tensors are on several devices.
        OptionError: :math:`F P^\top` is not the identity, so the map is no projection.

    Example:
        >>> import torch
        >>> erase = Eraser(torch.zeros(2), filters=torch.tensor([[1.0, 0.0]]), patterns=torch.tensor([[1.0, 0.5]]))
        >>> erase(torch.tensor([2.0, 3.0]))
        tensor([0., 2.])
    """

    z_mean: Tensor
    filters: Tensor
    patterns: Tensor

    def __post_init__(self) -> None:
        """Check that sizes fit together."""
        for what in ("z_mean", "filters", "patterns"):
            tensor = as_floating(getattr(self, what), what=what)
            check_finite(tensor, what=what)
            object.__setattr__(self, what, tensor)
            check_device(tensor, self.z_mean.device, what=what, against="the mean latents")
        shape = tuple(self.filters.shape)
        if len(shape) != 2 or self.z_mean.shape != shape[1:] or self.patterns.shape != shape:
            raise ShapeError(
                "An eraser needs z_mean (D,), filters (r, D) and patterns (r, D), got "
                f"{tuple(self.z_mean.shape)}, {shape} and {tuple(self.patterns.shape)}. Make it with eraser(moments)."
            )
        if not shape[0]:
            return
        product = self.filters.double() @ self.patterns.double().mT
        error = float((product - torch.eye(shape[0]).to(product)).abs().max())
        if not error < torch.finfo(self.filters.dtype).eps ** 0.375:  # filters of units far apart round more
            raise OptionError(
                "The products of filters and patterns must be the identity, else what is erased is not the coordinate "
                f"of the filter; they differ by {error:.3g}. Make it with eraser(moments)."
            )

    def __repr__(self) -> str:
        return f"Eraser(latent_dim={len(self.z_mean)}, rank={len(self.filters)})"

    def __call__(self, z: Tensor) -> Tensor:
        """Return latents (..., D) without what the filters read, in their dtype."""
        return erased(as_latents(z, len(self.z_mean), of="The eraser"), self.z_mean, self.filters, self.patterns)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the eraser as safetensors with a JSON header and a checksum; the file appears whole or not at all.

        Raises:
            FileWriteError: the file cannot be written, such as on a full disk.
        """
        save_tensors(path, vars(self), kind="Eraser", schema=SCHEMA_VERSION)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an eraser written by :meth:`save`.

        Raises:
            FileFormatError: the file is missing, damaged, something else, or of a newer schema, or holds NaN.
        """
        parse: Any = lambda header, tensors: cls(**tensors)  # noqa: E731
        remedy = "Pass a file that save() wrote."
        return load_tensors(path, parse, kind="Eraser", schema=SCHEMA_VERSION, what="a readable eraser", remedy=remedy)


@torch.no_grad()
def eraser(moments: Moments, names: Collection[str], *, keep: Collection[str] | Mapping[str, Tensor] = ()) -> Eraser:
    r"""Return the least change of latents after which no linear probe reads some quantities (LEACE).

    With the latent covariance :math:`\Sigma = L L^\top`, the cross-covariance C of latents and quantities, and U an
    orthonormal basis of the columns of :math:`L^{-1} C`,

    .. math:: z' = z - L\, U U^\top L^{-1} (z - \bar z), \qquad \operatorname{cov}(z', y) = 0 .

    The best linear probe of z' is then the mean of the quantity. Of all affine maps with this property, it has the
    least mean squared change of z, in any norm. It does not depend on the dimension k of any subspace.

    With ``keep``, the coordinates :math:`s = V (z - \bar z)` of filters V do not change, and only what y adds to them
    is erased: the part of y that is uncorrelated with s. For that, the columns of :math:`L^{-1} C` are made orthogonal
    to those of :math:`L^\top V^\top`. A probe of z' reads y as well as a probe of s, and no better.

    Args:
        moments: of latents and quantities; a covariance of the quantities is not needed.
        names: quantities to erase, or the name of one.
        keep: quantities whose best linear read-out does not change; or bases {name: (k, D)}, such as some of the ``W``
            of a :class:`LatentSpace`, whose coordinates do not change.

    Returns:
        The eraser, in float64. Directions in which the latents have no variance, such as of constant latents or of
        fewer samples than D, do not change.

    Raises:
        NameMismatchError: the moments have no such quantity, none is named, or one is both erased and kept.
        DegenerateDataError: a quantity is constant, or the latents are, or the moments have seen no samples.
        DtypeError, ShapeError, NonFiniteError, DeviceMismatchError: these are no moments, or a basis does not fit.

    Warns:
        NumericalWarning: nothing is erased. This happens if the kept quantities have as many entries as the latent has
            dimensions. Pass their bases, of k rows, instead of their names.

    Source: Belrose et al., LEACE: Perfect linear concept erasure in closed form, 2023.

    Example:
        >>> import torch
        >>> z = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> y = {"sum": z.sum(1, keepdim=True)}
        >>> erase = eraser(Moments.of(z, y), ["sum"])
        >>> float(Moments.of(erase(z), y).cov_zy["sum"].abs().max()) < 1e-12
        True
    """
    check_moments(moments)
    names = as_names(names, moments.names, of="The moments hold")
    L, inverse = root(moments.cov_zz)
    check_latents_vary(moments)
    C = torch.cat(_correlations(moments, names, inverse), 1)
    if kept := _kept_columns(moments, names, keep, L, inverse):
        Q = _basis(torch.cat(kept, 1))
        for _ in range(2):  # the second time removes the rounding of the first
            C = C - Q @ (Q.mT @ C)
    U = _basis(C)
    if not U.shape[1]:
        warn(
            f"Nothing of {names} is erased: a linear probe of what is kept reads all that one of the latents reads. "
            "Keep fewer directions: bases {name: (k, D)}, such as some of the W of a space."
        )
    return Eraser(moments.z_mean.clone(), filters=U.mT @ inverse, patterns=(L @ U).mT)


def _correlations(moments: Moments, names: Collection[str], inverse: Tensor) -> list[Tensor]:
    """Covariances (D, P) of whitened latents with standardised quantities."""
    scale, cov_zy = target_scales(moments, names), moments.cov_zy
    return [inverse @ cov_zy[name] / scale[name] for name in names]


def _kept_columns(
    moments: Moments,
    names: Collection[str],
    keep: Collection[str] | Mapping[str, Tensor],
    L: Tensor,
    inverse: Tensor,
) -> list[Tensor]:
    """Covariances (D, k) of whitened latents with the coordinates that do not change."""
    if not isinstance(keep, Mapping):
        return _correlations(moments, as_kept(keep, moments.names, names, of="The moments hold"), inverse)
    if not keep:
        return []
    check_disjoint(names, keep, how="erased")
    bases = check_bases(keep, latent_dim=moments.latent_dim, device=moments.z_mean.device, what="keep")
    columns = [L.mT @ W.double().mT for W in bases.values()]
    return [column * reciprocal(torch.linalg.vector_norm(column, dim=0)) for column in columns]


def _basis(columns: Tensor) -> Tensor:
    """Orthonormal basis (D, r) of columns whose lengths are correlations."""
    U, s, _ = svd(columns)
    return U[:, s > LEAST_CORRELATION]
