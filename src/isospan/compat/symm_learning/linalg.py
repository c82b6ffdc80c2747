"""Linear algebra under the names of symm-learning."""

import torch
from torch import Tensor

from isospan.representations import Representation
from isospan.symmetric import invariant_projector, irrep_coordinates

__all__ = ["invariant_orthogonal_projector", "isotypic_signal2irreducible_subspaces"]


def invariant_orthogonal_projector(
    rep_x: Representation, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Return :func:`isospan.symmetric.invariant_projector`, by default on the CPU in the default dtype of torch.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> invariant_orthogonal_projector(CyclicGroup(2).regular_representation)
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]])
    """
    dtype = torch.get_default_dtype() if dtype is None else dtype
    return invariant_projector(rep_x, dtype=dtype, device="cpu" if device is None else device)


def isotypic_signal2irreducible_subspaces(x: Tensor, rep_x: Representation) -> Tensor:
    """Return :func:`isospan.symmetric.irrep_coordinates`.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> rotation = CyclicGroup(3).irreps()[1]
        >>> isotypic_signal2irreducible_subspaces(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 2 * rotation)
        tensor([[1., 3.],
                [2., 4.]])
    """
    return irrep_coordinates(x, rep_x)


def __dir__() -> list[str]:
    return __all__
