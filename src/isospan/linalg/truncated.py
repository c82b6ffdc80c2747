"""The leading singular subspace of a matrix, exactly, without the rest of the decomposition."""

import torch
from torch import Tensor


def top_left_singular(C: Tensor, k: int) -> tuple[Tensor, Tensor]:
    r"""Return the k leading left singular vectors of C as rows, and their singular values.

    They are the leading eigenvectors of :math:`C C^\top` (or come from :math:`C^\top C` where that is smaller),
    computed in the dtype of C; pass float64.

    Args:
        C: matrix (D, P).
        k: how many, at most min(D, P).

    Returns:
        W (k, D) with orthonormal rows, and s (k,), descending.

    Example:
        >>> import torch
        >>> W, s = top_left_singular(torch.diag(torch.tensor([1.0, 3.0, 2.0])), 2)
        >>> W.abs(), s
        (tensor([[0., 1., 0.],
                [0., 0., 1.]]), tensor([3., 2.]))
    """
    U, S, _ = torch.linalg.svd(C, full_matrices=False)
    return U[:, :k].mT.contiguous(), S[:k]
