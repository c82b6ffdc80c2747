"""The change of a basis between two solves."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from isospan._core.checks import as_floating, check_device, check_finite, working_dtype
from isospan.errors import DegenerateDataError, ShapeError

LEAST_ANGLE = 1e-3


@torch.no_grad()
def subspace_change(W_old: Tensor, W_new: Tensor) -> dict[str, Tensor]:
    r"""Return the cosine between each row of a basis and the nearest row of another.

    .. math:: G_{ij} = \frac{|w_i \cdot w'_j|}{\|w_i\| \|w'_j\|}, \qquad c_i = \max_j G_{ij}, \qquad
              \theta_i = \arccos c_i

    with the rows w of one basis and w' of the other, of any length. It depends on the bases;
    :func:`isospan.linalg.principal_angles` and :func:`isospan.linalg.grassmann_distance` compare the subspaces.

    Args:
        W_old: basis (k, D).
        W_new: basis (k', D).

    Returns:
        "mean_cos_sim" and "mean_angle_deg", scalars (an angle below 0.001° counts as 0); "per_dir_cos" (k,), c;
        "similarity_matrix" (k, k'), G. No gradient.

    Raises:
        ShapeError: the bases are not matrices of the same width D.
        DegenerateDataError: a row is zero, which is no direction.
        DtypeError, NonFiniteError, DeviceMismatchError: a basis is not real, not finite, or on another device.

    Example:
        >>> import torch
        >>> e = torch.eye(3)
        >>> subspace_change(e[:2], -e[1:])["per_dir_cos"]
        tensor([0., 1.])
    """
    W_old, W_new = (as_floating(W, what="A basis") for W in (W_old, W_new))
    check_device(W_new, W_old.device, what="W_new", against="the rows of W_old")
    if W_old.dim() != 2 or W_new.dim() != 2 or W_old.shape[1] != W_new.shape[1] or 0 in (len(W_old), len(W_new)):
        raise ShapeError(
            f"Bases must be (k, D) and (k', D) of the same D, got {tuple(W_old.shape)} and {tuple(W_new.shape)}."
        )
    similarity = (_directions(W_old) @ _directions(W_new).mT).abs().clamp(max=1)
    cosine = similarity.amax(1)
    angle = torch.rad2deg(torch.acos(cosine))
    angle = torch.where(angle < LEAST_ANGLE, 0.0, angle)
    change = {
        "mean_cos_sim": cosine.mean(),
        "mean_angle_deg": angle.mean(),
        "per_dir_cos": cosine,
        "similarity_matrix": similarity,
    }
    return {name: value.to(working_dtype(W_old, W_new)) for name, value in change.items()}


def _directions(W: Tensor) -> Tensor:
    """Rows divided by their lengths, at any scale; in float64, since a cosine near 1 holds half of its digits."""
    W = W.double()
    largest = W.abs().amax(1, keepdim=True)
    check_finite(W, what="A basis")
    if not (largest > 0).all():
        raise DegenerateDataError("Every row of a basis must be a direction, got a row of zeros. Leave it out.")
    return normalize(W / largest)
