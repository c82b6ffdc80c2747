r"""Quantities of incompressible plane flows, from the vorticity ω alone.

On a periodic box the vorticity determines the flow: with the stream function ψ,

.. math:: \nabla^2 \psi = -\omega, \qquad u = \psi_y, \quad v = -\psi_x,

solved for each Fourier mode, so it is exact for the modes of the grid. The mean vorticity of a periodic flow is 0, so a
mean in the data is ignored. Arguments and errors are those of :mod:`isospan.quantities.fields`. Functions that solve
for the flow raise :class:`~isospan.errors.OptionError` for ``periodic=False``.
"""

import torch
from torch import Tensor

from isospan._core.grids import Spacing, check_field, forward_transform, inverse_transform, wave_numbers
from isospan.errors import OptionError, ShapeError
from isospan.quantities.fields._flows import kinetic_energy, strain_rate
from isospan.quantities.fields._grid import odd_wave_numbers
from isospan.quantities.fields._scalars import gradient_magnitude_squared


def stream_function(vorticity: Tensor, *, dx: Spacing = 1.0, periodic: bool = True) -> Tensor:
    r"""Return the periodic ψ of mean 0 with :math:`-\nabla^2 \psi = \omega`, from ω (..., H, W).

    Example:
        >>> import torch
        >>> x = torch.arange(8, dtype=torch.float64) * 2 * torch.pi / 8
        >>> omega = torch.sin(2 * x).expand(8, 8)
        >>> torch.allclose(stream_function(omega, dx=2 * torch.pi / 8), omega / 4)
        True
    """
    return inverse_transform(_stream_coefficients(vorticity, dx, periodic), vorticity)


def velocity_from_vorticity(vorticity: Tensor, *, dx: Spacing = 1.0, periodic: bool = True) -> Tensor:
    r"""Return the velocity :math:`(\psi_y, -\psi_x)` of mean 0, (..., 2, H, W), from ω (..., 1, H, W) or (H, W).

    Example:
        >>> import torch
        >>> x = torch.arange(8, dtype=torch.float64) * 2 * torch.pi / 8
        >>> u, v = velocity_from_vorticity(torch.sin(x).expand(8, 8), dx=2 * torch.pi / 8)
        >>> torch.allclose(u, torch.zeros(8, 8).double()), torch.allclose(v, -torch.cos(x).expand(8, 8))
        (True, True)
    """
    omega = _one_channel(vorticity)
    psi = _stream_coefficients(omega, dx, periodic)
    ky, kx = odd_wave_numbers(omega, dx)
    velocity = torch.cat([1j * ky * psi, -1j * kx * psi], dim=-3).to(psi.dtype)
    return inverse_transform(velocity, omega)


def kinetic_energy_from_vorticity(vorticity: Tensor, *, dx: Spacing = 1.0, periodic: bool = True) -> Tensor:
    r"""Return the kinetic energy :math:`\tfrac12 (u^2 + v^2)` of the flow with this vorticity (..., 1, H, W).

    Example:
        >>> import torch
        >>> kinetic_energy_from_vorticity(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 1, 8, 8])
    """
    return kinetic_energy(velocity_from_vorticity(vorticity, dx=dx, periodic=periodic))


def strain_rate_from_vorticity(vorticity: Tensor, *, dx: Spacing = 1.0, periodic: bool = True) -> Tensor:
    """Return the magnitude of the rate of strain of the flow with this vorticity (..., 1, H, W).

    Example:
        >>> import torch
        >>> strain_rate_from_vorticity(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 1, 8, 8])
    """
    velocity = velocity_from_vorticity(vorticity, dx=dx, periodic=periodic)
    return strain_rate(velocity, dx=dx, periodic=True)


def enstrophy(vorticity: Tensor, *, dx: Spacing = 1.0, periodic: bool = True) -> Tensor:
    r"""Return the enstrophy density :math:`\tfrac12 \omega^2`. dx and periodic are not used.

    Example:
        >>> import torch
        >>> enstrophy(torch.full((1, 2), 4.0))
        tensor([[8., 8.]])
    """
    check_field(vorticity)
    return vorticity**2 / 2


def palinstrophy_density(vorticity: Tensor, *, dx: Spacing = 1.0, periodic: bool = True) -> Tensor:
    r"""Return :math:`\tfrac12 |\nabla \omega|^2`, which the dissipation of enstrophy is proportional to.

    The grid may have edges.

    Example:
        >>> import torch
        >>> palinstrophy_density(torch.arange(4.0).repeat(3, 1), periodic=False)[0]
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    return gradient_magnitude_squared(vorticity, dx=dx, periodic=periodic) / 2


def _stream_coefficients(vorticity: Tensor, dx: Spacing, periodic: bool) -> Tensor:
    r"""Return the Fourier coefficients :math:`\hat\psi = \hat\omega / \kappa^2`, 0 for the mean."""
    if not periodic:
        raise OptionError("The flow follows from its vorticity on a periodic box only, got periodic=False.")
    ky, kx = wave_numbers(vorticity, dx)
    inverse = (ky**2 + kx**2).reciprocal()
    inverse[0, 0] = 0.0
    omega = forward_transform(vorticity)
    return omega * inverse.to(omega.real.dtype)


def _one_channel(vorticity: Tensor) -> Tensor:
    check_field(vorticity)
    if vorticity.dim() > 2 and vorticity.shape[-3] != 1:
        raise ShapeError(f"A vorticity must have shape (..., 1, H, W) or (H, W), got {tuple(vorticity.shape)}.")
    return vorticity if vorticity.dim() > 2 else vorticity[None]
