"""Squared singular values of a matrix from its smaller Gram matrix, in float64."""

import torch
from torch import Tensor

from isospan.settings import config


def gram_spectrum(x_centred: Tensor) -> Tensor:
    r"""Squared singular values of X (N, P), the eigenvalues of :math:`X X^\top` or :math:`X^\top X`, the smaller one.

    In float64 whatever the dtype of X and the solver mode of the settings. Their absolute error is about eps = 2e-16
    times the largest, so sums of them are exact to rounding, while singular values below 1e-8 of the largest are lost;
    take :func:`isospan.linalg.singular_values` where those matter.

    Args:
        x_centred: matrix (N, P). The name is a reminder: for variances the columns have mean 0.

    Returns:
        min(N, P) eigenvalues, descending, at least 0, float64.

    Example:
        >>> import torch
        >>> gram_spectrum(torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 4.0]]))
        tensor([16.,  9.], dtype=torch.float64)
    """
    x = x_centred.double()
    return symmetric_spectrum(x @ x.mT if x.shape[-2] <= x.shape[-1] else x.mT @ x)


def symmetric_spectrum(G: Tensor) -> Tensor:
    """Eigenvalues of a symmetric positive semi-definite matrix (n, n), descending, rounding below 0 removed.

    Example:
        >>> import torch
        >>> symmetric_spectrum(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        tensor([2., 1.])
    """
    eigenvalues = torch.linalg.eigvalsh(G.cpu() if config.use_cpu_fallback else G)
    return eigenvalues.to(G.device).flip(-1).clamp(min=0)
