"""How much a basis changed between two solves."""

import torch
from torch import Tensor

from isospan._checks import check_floating
from isospan.errors import ShapeError

LEAST_ANGLE = 1e-3


@torch.no_grad()
def subspace_change(W_old: Tensor, W_new: Tensor) -> dict[str, Tensor]:
    r"""Return how well each old direction is matched by its best new one.

    .. math:: G = |W_\text{old} W_\text{new}^\top|, \qquad c_i = \max_j G_{ij}, \qquad \theta_i = \arccos c_i

    It depends on the bases; :func:`isospan.linalg.principal_angles` and :func:`isospan.linalg.grassmann_distance`
    compare the subspaces.

    Args:
        W_old: basis (k, D), orthonormal rows.
        W_new: basis (k', D), orthonormal rows.

    Returns:
        "mean_cos_sim" and "mean_angle_deg", scalars (an angle below 0.001° counts as 0); "per_dir_cos" (k,), c;
        "similarity_matrix" (k, k'), G. No gradient.

    Raises:
        ShapeError: the bases are not matrices of the same width D.

    Example:
        >>> import torch
        >>> e = torch.eye(3)
        >>> subspace_change(e[:2], -e[1:])["per_dir_cos"]
        tensor([0., 1.])
    """
    for W in (W_old, W_new):
        check_floating(W, what="A basis")
    if W_old.dim() != 2 or W_new.dim() != 2 or W_old.shape[1] != W_new.shape[1] or 0 in (len(W_old), len(W_new)):
        raise ShapeError(
            f"Bases must be (k, D) and (k', D) of the same D, got {tuple(W_old.shape)} and {tuple(W_new.shape)}."
        )
    similarity = (W_old @ W_new.mT).abs().clamp(max=1)
    cosine = similarity.amax(1)
    angle = torch.rad2deg(torch.acos(cosine))
    angle = torch.where(angle < LEAST_ANGLE, 0.0, angle)
    return {
        "mean_cos_sim": cosine.mean(),
        "mean_angle_deg": angle.mean(),
        "per_dir_cos": cosine,
        "similarity_matrix": similarity,
    }
