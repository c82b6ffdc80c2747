"""The import paths of spacelearn 0.1.0.

Example:
    >>> from isospan.compat.spacelearn import combined_loss, solve_subspaces
    >>> from isospan.compat.spacelearn.data import input_to_quantity
    >>> from isospan.compat.spacelearn.optim import minimal_latent_dim
"""

from collections.abc import Callable

from torch import Tensor

from isospan.compat.spacelearn._keywords import renamed as _renamed
from isospan.guided.losses import combined_loss
from isospan.sizing import solve_dims
from isospan.subspaces._solve import principal_directions as _principal_directions
from isospan.subspaces._solve import solve_subspaces
from isospan.subspaces._solve import subspaces as _subspaces

principal_directions: Callable[..., dict[str, tuple[Tensor, Tensor]]] = _renamed(
    _principal_directions, targets="pooled_targets"
)
subspaces: Callable[..., dict[str, Tensor]] = _renamed(_subspaces, targets="pooled_global")

__all__ = ["combined_loss", "principal_directions", "solve_dims", "solve_subspaces", "subspaces"]
