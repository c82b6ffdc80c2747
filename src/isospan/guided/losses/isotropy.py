"""How evenly the latents fill what the subspaces leave free."""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from isospan._checks import check_choice, check_finite
from isospan.errors import OptionError
from isospan.guided.losses.inputs import centred, checked_bases, exact_products, stacked
from isospan.linalg import gram, leading_singular_values, orthogonal_complement, orthonormal_rows

Spectrum = Literal["singular", "variance"]


def isotropy_loss(Z: Tensor, W: Mapping[str, Tensor], n_dir: int = 32, *, spectrum: Spectrum = "singular") -> Tensor:
    r"""Return the unevenness of the spectrum of the latents outside the span of all subspaces.

    .. math:: L_\text{singular} = \operatorname{mean}_{i \le n} \Bigl(\frac{s_i}{\bar s} - 1\Bigr)^2, \qquad
              L_\text{variance} = d \, \frac{\|C\|_F^2}{\operatorname{tr}(C)^2} - 1

    with the leading singular values s of :math:`Z_c (I - P)`, P the projector on the span of all rows of W (which need
    not be orthogonal to each other), and C the covariance of :math:`Z_c (I - P)`. Directions that vanish by
    construction never enter: d = min(B - 1, D - rank W) and n = min(n_dir, d). The variance form is the squared
    coefficient of variation of the d eigenvalues; it needs no decomposition of the latents and counts all directions.

    Both are 0 where the free spectrum is flat, where nothing is free and where the latents do not leave the span.
    The gradient is finite everywhere. It is exact in Z; the projector is held constant, so none goes to W.

    Args:
        Z: latents (B, D), B ≥ 2.
        W: bases {name: (k, D)}.
        n_dir: number of leading singular values, at least 1; the variance form ignores it.
        spectrum: ``"singular"`` or ``"variance"``.

    Returns:
        Scalar without unit, in the precision of Z.

    Raises:
        OptionError: another spectrum, or n_dir < 1.
        NonFiniteError: Z contains NaN or infinity (only ``"singular"``, where no decomposition exists).
        ShapeError, DtypeError, DeviceMismatchError, DegenerateDataError: what the message says.

    Example:
        >>> import torch
        >>> e = torch.eye(3, dtype=torch.float64)
        >>> z = torch.cat([e, -e]) * torch.tensor([9.0, 2.0, 2.0])
        >>> isotropy_loss(z, {"a": e[:1]}), isotropy_loss(z, {"b": e[1:2]}) > 0.3
        (tensor(0., dtype=torch.float64), tensor(True))
    """
    check_isotropy_options(spectrum, n_dir)
    with exact_products(Z):
        Zc = centred(Z)
        W_all = stacked(checked_bases(W, Z)).detach()
        if few_samples(Zc, W_all):
            return unevenness(*residual(Zc, W_all), n_dir=n_dir, spectrum=spectrum)
        free = Zc @ orthogonal_complement(W_all).mT
        return unevenness(free, min(len(Z) - 1, free.shape[1]), n_dir=n_dir, spectrum=spectrum)


def check_isotropy_options(spectrum: str, n_dir: int) -> None:
    """Require a known spectrum and at least one direction."""
    check_choice(spectrum, get_args(Spectrum), what="isotropy spectrum")
    if n_dir < 1:
        raise OptionError(f"n_dir, the number of leading singular values, must be at least 1, got {n_dir}.")


def few_samples(Zc: Tensor, W_all: Tensor) -> bool:
    """Whether the residual in latent coordinates is cheaper than coordinates in the complement."""
    return len(Zc) <= Zc.shape[1] - len(W_all)


def residual(Zc: Tensor, W_all: Tensor) -> tuple[Tensor, int]:
    """Zc (I - P), (B, D), and the number d of its singular values that are not zero by construction."""
    Q = orthonormal_rows(W_all)
    return Zc - (Zc @ Q.mT) @ Q, min(len(Zc) - 1, Zc.shape[1] - len(Q))


def unevenness(X: Tensor, d: int, *, n_dir: int, spectrum: Spectrum) -> Tensor:
    """Either loss, of a matrix X whose d leading singular values may differ from zero."""
    if d == 0:
        return X[:, :0].sum()
    if spectrum == "variance":
        C = gram(X if len(X) >= X.shape[1] else X.mT)
        total = C.diagonal().sum().square()
        return (d * C.square().sum() - total) / total.clamp(min=torch.finfo(X.dtype).tiny)
    s = _singular_values(X, min(n_dir, d))
    mean = s.mean()
    return (s - mean).square().mean() / mean.square().clamp(min=torch.finfo(X.dtype).tiny)


def _singular_values(X: Tensor, n: int) -> Tensor:
    try:
        return leading_singular_values(X, n)
    except torch.linalg.LinAlgError:
        check_finite(X, what="Latents z")
        raise
