r"""Quantities of plane flows, from the velocity (..., 2, H, W) with components (u, v) along x (W) and y (H).

Results are (..., 1, H, W). Arguments and errors are those of :mod:`isospan.quantities.fields`;
:class:`~isospan.errors.ShapeError` is also raised if there are not two components.
"""

import math

import torch
from torch import Tensor

from isospan._core.grids import Spacing, check_field
from isospan.errors import ShapeError
from isospan.quantities.fields._scalars import gradient_x, gradient_y


def divergence(velocity: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return the divergence :math:`\nabla \cdot \mathbf u = u_x + v_y`, 0 for an incompressible flow.

    Example:
        >>> import torch
        >>> x, y = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="xy")
        >>> divergence(torch.stack([2 * x, 3 * y]))[0, 0]
        tensor([5., 5., 5.])
    """
    u, v = components(velocity)
    return gradient_x(u, dx=dx, periodic=periodic) + gradient_y(v, dx=dx, periodic=periodic)


def vorticity(velocity: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return the vorticity :math:`\omega = v_x - u_y`, twice the local rate of rotation.

    Example:
        >>> import torch
        >>> x, y = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="xy")
        >>> vorticity(torch.stack([-y, x]))[0, 0]
        tensor([2., 2., 2.])
    """
    u, v = components(velocity)
    return gradient_x(v, dx=dx, periodic=periodic) - gradient_y(u, dx=dx, periodic=periodic)


def strain_rate(velocity: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return the magnitude of the rate of strain :math:`S = \tfrac12 (\nabla \mathbf u + \nabla \mathbf u^\top)`.

    .. math:: |S| = \sqrt{2 S_{ij} S_{ij}} = \sqrt{2 u_x^2 + 2 v_y^2 + (u_y + v_x)^2}

    It is 0 in rigid rotation, and the shear rate in plane shear. Where it is 0, its derivative is set to 0.

    Example:
        >>> import torch
        >>> x, y = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="xy")
        >>> strain_rate(torch.stack([4 * y, 0 * x]))[0, 0]
        tensor([4., 4., 4.])
    """
    u, v = components(velocity)
    grid = {"dx": dx, "periodic": periodic}
    stretching = (math.sqrt(2) * gradient_x(u, **grid), math.sqrt(2) * gradient_y(v, **grid))
    shearing = gradient_y(u, **grid) + gradient_x(v, **grid)
    return torch.linalg.vector_norm(torch.stack([*stretching, shearing], dim=-1), dim=-1)  # along the first axis: slow


def kinetic_energy(velocity: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return the kinetic energy :math:`\tfrac12 (u^2 + v^2)` per unit mass. dx and periodic are not used.

    Example:
        >>> import torch
        >>> kinetic_energy(torch.tensor([3.0, 4.0]).reshape(2, 1, 1))
        tensor([[[12.5000]]])
    """
    u, v = components(velocity)
    return (u**2 + v**2) / 2


def components(velocity: Tensor) -> tuple[Tensor, Tensor]:
    """Return the components u and v, each (..., 1, H, W)."""
    check_field(velocity)
    if velocity.dim() < 3 or velocity.shape[-3] != 2:
        raise ShapeError(
            f"A velocity must have shape (..., 2, H, W) with components (u, v), got {tuple(velocity.shape)}. "
            "Stack them along axis -3."
        )
    return velocity[..., :1, :, :], velocity[..., 1:, :, :]
