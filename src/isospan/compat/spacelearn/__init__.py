"""The import paths of spacelearn 0.1.0.

Example:
    >>> from isospan.compat.spacelearn import combined_loss, solve_subspaces
    >>> from isospan.compat.spacelearn.data import input_to_quantity
    >>> from isospan.compat.spacelearn.optim import minimal_latent_dim
"""

from isospan.compat.spacelearn._keywords import combined_loss
from isospan.compat.spacelearn._sizes import solve_dims
from isospan.compat.spacelearn._solve import principal_directions, solve_subspaces, subspaces

__all__ = ["combined_loss", "principal_directions", "solve_dims", "solve_subspaces", "subspaces"]
