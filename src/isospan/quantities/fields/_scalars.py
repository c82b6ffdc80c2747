"""Quantities of scalar fields: derivatives, and the energy density of phase separation.

Every quantity of :mod:`isospan.quantities.fields` takes a field (..., H, W), the distance ``dx`` of grid points (one
number, or (along H, along W)), and whether the grid is ``periodic``. x runs along W and y along H. Channels are
treated one by one. Units follow from those of the field and of dx; dtype and device are kept.

All of them raise :class:`~isospan.errors.ShapeError` if the field has fewer than two axes or too few points for the
stencil (3, or 4 for second derivatives at an edge), :class:`~isospan.errors.DtypeError` if it is not floating point,
and :class:`~isospan.errors.OptionError` if dx is not positive.
"""

import torch
from torch import Tensor

from isospan._core.grids import Spacing
from isospan.quantities.fields._grid import derivative, second_derivative


def gradient_x(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return :math:`\partial f / \partial x`, along W, by central differences of second order (one-sided at edges).

    Example:
        >>> import torch
        >>> gradient_x(torch.tensor([[0.0, 1.0, 4.0, 9.0]]))
        tensor([[0., 2., 4., 6.]])
    """
    return derivative(field, -1, dx=dx, periodic=periodic)


def gradient_y(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return :math:`\partial f / \partial y`, along H, by central differences of second order (one-sided at edges).

    Example:
        >>> import torch
        >>> gradient_y(torch.tensor([[0.0], [1.0], [4.0]]), dx=0.5).flatten()
        tensor([0., 4., 8.])
    """
    return derivative(field, -2, dx=dx, periodic=periodic)


def gradient_magnitude(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return :math:`|\nabla f| = \sqrt{f_x^2 + f_y^2}`; where it is 0, its derivative is set to 0.

    Example:
        >>> import torch
        >>> x, y = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="xy")
        >>> gradient_magnitude(3 * x + 4 * y)[0]
        tensor([5., 5., 5.])
    """
    components = [slope(field, dx=dx, periodic=periodic) for slope in (gradient_x, gradient_y)]
    return torch.linalg.vector_norm(torch.stack(components, dim=-1), dim=-1)  # along the first axis: ten times slower


def gradient_magnitude_squared(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return :math:`|\nabla f|^2 = f_x^2 + f_y^2`.

    Example:
        >>> import torch
        >>> x, y = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="xy")
        >>> gradient_magnitude_squared(3 * x + 4 * y)[0]
        tensor([25., 25., 25.])
    """
    return gradient_x(field, dx=dx, periodic=periodic) ** 2 + gradient_y(field, dx=dx, periodic=periodic) ** 2


def laplacian(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False) -> Tensor:
    r"""Return :math:`\nabla^2 f = f_{xx} + f_{yy}` by the five-point stencil (one-sided of second order at edges).

    Example:
        >>> import torch
        >>> x, y = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="xy")
        >>> laplacian(x**2 + 3 * y**2)[0]
        tensor([8., 8., 8., 8.])
    """
    f_yy, f_xx = (second_derivative(field, axis, dx=dx, periodic=periodic) for axis in (-2, -1))
    return f_xx + f_yy


def local_free_energy(field: Tensor, *, dx: Spacing = 1.0, periodic: bool = False, gamma: float = 2.0) -> Tensor:
    r"""Return the free energy density of a composition u in [-1, 1] (Cahn and Hilliard, 1958).

    .. math:: e = \tfrac14 (u^2 - 1)^2 + \tfrac{\gamma}{2} |\nabla u|^2

    The gradient energy coefficient γ is that of :func:`isospan.datasets.cahn_hilliard`, with the same default.

    Example:
        >>> import torch
        >>> local_free_energy(torch.zeros(3, 3))[0], local_free_energy(torch.ones(3, 3))[0]
        (tensor([0.2500, 0.2500, 0.2500]), tensor([0., 0., 0.]))
    """
    gradient_energy = gamma / 2 * gradient_magnitude_squared(field, dx=dx, periodic=periodic)
    return (field**2 - 1) ** 2 / 4 + gradient_energy
