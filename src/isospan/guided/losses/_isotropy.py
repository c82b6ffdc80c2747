"""How evenly the latents vary in the directions outside all subspaces."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from isospan._core.autocast import full_precision
from isospan._core.checks import check_choice, check_count
from isospan.errors import DegenerateDataError, NonFiniteError
from isospan.guided.losses._global_sums import GlobalSums
from isospan.guided.losses._inputs import centred, checked_bases, checked_latents, rescaled, stacked
from isospan.guided.losses._precomputed_gradient import Gradients, with_precomputed_gradient
from isospan.linalg import add_gram_, eigh, orthogonal_complement, orthonormal_rows

Spectrum = Literal["singular", "variance"]


def isotropy_loss(z: Tensor, W: Mapping[str, Tensor], n_dir: int = 32, *, spectrum: Spectrum = "singular") -> Tensor:
    r"""Return how unevenly the latents vary over the directions outside all subspaces.

    .. math:: L_\text{singular} = \operatorname{mean}_{i \le n} \Bigl(\frac{s_i}{\bar s} - 1\Bigr)^2, \qquad
              L_\text{variance} = d \, \frac{\|C\|_F^2}{\operatorname{tr}(C)^2} - 1

    with the n largest singular values s of :math:`z_c (I - P)` and its covariance C. Here :math:`z_c` are the latents
    minus their mean, and P is the projector on the span of all rows of W, which need not be orthogonal. At most
    d = min(B - 1, D - rank W) singular values differ from zero, and n = min(n_dir, d). The variance form is the squared
    coefficient of variation of the d eigenvalues of C. It counts all directions, and needs no decomposition of the
    latents.

    Both are 0 where the d singular values are equal, where d = 0, and where the latents vary only inside the subspaces.
    The gradient in z is exact, and finite everywhere. P counts as constant, so W gets no gradient.

    Args:
        z: latents (B, D), B ≥ 2.
        W: bases {name: (k, D)}.
        n_dir: largest number n of singular values, at least 1; the variance form ignores it.
        spectrum: ``"singular"`` or ``"variance"``.

    Returns:
        Scalar without unit, in the precision of z (float32 for half precision).
        Values are not checked: NaN or infinity in an argument makes it NaN or infinite.

    Raises:
        OptionError: another spectrum, or n_dir < 1.
        NameMismatchError: W is not a dict of names.
        ShapeError: z or W has another shape.
        DtypeError: a tensor is not real floating point.
        DeviceMismatchError: W is on another device than z.
        DegenerateDataError: fewer than two samples, or no quantity; for second derivatives of the singular form also
            singular values that coincide.

    Example:
        >>> import torch
        >>> e = torch.eye(3, dtype=torch.float64)
        >>> z = torch.cat([e, -e]) * torch.tensor([9.0, 2.0, 2.0])
        >>> isotropy_loss(z, {"a": e[:1]}), isotropy_loss(z, {"b": e[1:2]}) > 0.3
        (tensor(0., dtype=torch.float64), tensor(True))
    """
    check_isotropy_options(spectrum, n_dir)
    z = checked_latents(z)
    with full_precision(z):
        zc, W_all = rescaled(centred(z))[0], stacked(checked_bases(W, z)).detach()
        kernel = partial(variance_spread, W_all) if spectrum == "variance" else partial(_free_spread, W_all, n_dir)
        return with_precomputed_gradient(kernel, zc)


def check_isotropy_options(spectrum: str, n_dir: int) -> None:
    """Require a known spectrum and at least one direction."""
    check_choice(spectrum, get_args(Spectrum), what="isotropy spectrum")
    check_count(n_dir, what="n_dir, the number of leading singular values,")


def _free_spread(W_all: Tensor, n_dir: int, needed: Sequence[bool], zc: Tensor) -> tuple[Tensor, Gradients]:
    """The singular form and its gradient in the centred latents."""
    F = leading_free_directions(zc, W_all, n_dir)
    value, (gradient,) = singular_spread(needed, zc @ F.mT, rounding_of(zc))
    return value, (None if gradient is None else gradient @ F,)


def variance_spread(
    W_all: Tensor, needed: Sequence[bool], zc: Tensor, *, sums: GlobalSums | None = None
) -> tuple[Tensor, Gradients]:
    """The variance form and its gradient in the centred latents.

    With the free part X, its Gram matrix G and H = G/tr G, the value is d ‖H‖² - 1, and the gradient in X
    4 d/tr G (X H - ‖H‖² X).
    """
    X, N, d = _free_part(zc, W_all, sums)
    if N is None:
        G = X @ X.mT
    else:
        G = X.mT @ X if sums is None else sums.gram(N)
    trace = G.diagonal().sum()
    total = torch.maximum(trace, rounding_of(zc, sums).square())
    H = G / total
    norm = H.square().sum()
    value = d * norm - (trace / total) ** 2
    if not needed[0]:
        return value, (None,)
    H = (H - norm * torch.eye(len(H), dtype=H.dtype, device=H.device)) * (4 * d / total)
    return value, (H @ X if N is None else X @ (H @ N),)


def rounding_of(zc: Tensor, sums: GlobalSums | None = None) -> Tensor:
    """64 eps of the norm of the latents; a smaller free part is the rounding error of latents inside the subspaces."""
    squares = zc.detach().square().sum() if sums is None else sums.scatter_zz.trace().to(zc.dtype)
    return 64 * torch.finfo(zc.dtype).eps * squares.sqrt() + torch.finfo(zc.dtype).tiny ** 0.5


def singular_spread(
    needed: Sequence[bool], U: Tensor, rounding: Tensor, *, squares: Tensor | None = None
) -> tuple[Tensor, Gradients]:
    """The singular form and its gradient in U = zc Fᵀ, the coordinates in the leading singular directions F.

    With s_i = ‖U_i‖ and their mean m, the value is f = var(s)/m². The gradient is df/ds = 2 (s/m - 1 - f)/(n m) times
    ds_i/dU_i = U_i/s_i. For constant F this is the derivative of a singular value (Hellmann-Feynman), since an error of
    F changes s only to second order. Nothing is divided by a difference of singular values, so equal ones do no harm.
    Where s = 0 the derivative is 0. A mean m below ``rounding`` is replaced by it, so f is 0 where the latents lie
    inside the subspaces. ``squares`` are the s² of the global batch, where U is a shard of it.
    """
    n, tiny = U.shape[1], torch.finfo(U.dtype).tiny ** 0.5
    if n == 0:
        return U.new_zeros(()), (torch.zeros_like(U),)
    s = torch.linalg.vector_norm(U, dim=0) if squares is None else squares.clamp(min=0).sqrt()
    variance, mean = torch.var_mean(s, correction=0)
    m = torch.maximum(mean, rounding)
    f = variance / m.square()
    if not needed[0]:
        return f, (None,)
    return f, (U * ((s / m - (f + 1)).mul_(2 / n) / (s.clamp(min=tiny) * m)),)


def leading_free_directions(zc: Tensor, W_all: Tensor, n_dir: int, *, sums: GlobalSums | None = None) -> Tensor:
    """Orthonormal directions (n, D) outside the span of W in which the latents have their leading singular values."""
    X, N, d = _free_part(zc, W_all, sums)
    if sums is not None and N is not None:
        G = sums.gram(N)
    else:
        tall = X.mT if N is None else X
        with_graph = torch.is_grad_enabled() and X.requires_grad
        G = tall.mT @ tall if with_graph else add_gram_(X.new_zeros(tall.shape[1], tall.shape[1]), tall)
    try:
        eigenvalues, vectors = eigh(G, upper=True)
    except NonFiniteError:  # NaN in the latents makes the loss NaN
        eigenvalues, vectors = G.diagonal(), torch.full_like(G, torch.nan)
    n = min(n_dir, d)
    _check_distinct(eigenvalues, n)
    leading = vectors[:, vectors.shape[1] - n :]
    return normalize(leading.mT @ X) if N is None else leading.mT @ N


def _check_distinct(eigenvalues: Tensor, n: int) -> None:
    """Require that the n leading eigenvalues (ascending) differ, if they have a graph.

    Directions of equal eigenvalues have no derivative. The first derivative of the loss holds the directions constant
    and does not need it; the second does.
    """
    if n and torch.is_grad_enabled() and eigenvalues.requires_grad:
        values = eigenvalues.detach()
        gaps = values.diff(prepend=values.new_zeros(1))
        cutoff = len(values) * torch.finfo(values.dtype).eps * values[-1]
        if not (gaps[-n:] > cutoff).all() or not (gaps[1:] != 0).all():
            raise DegenerateDataError(
                f"Second derivatives of the isotropy loss need {n} leading singular values that differ and are not "
                'zero, got some that coincide. Use spectrum="variance" (isotropy="variance"), or a smaller n_dir.'
            )


def _free_part(zc: Tensor, W_all: Tensor, sums: GlobalSums | None) -> tuple[Tensor, Tensor | None, int]:
    """X with the singular values of zc (I - P), the basis N of its columns, and the largest possible rank d.

    X is zc Nᵀ with an orthonormal basis N of the complement of all subspaces. For few samples, X = zc (I - P) and its
    B x B Gram matrix are cheaper, and N is None. A shard does not have that matrix of the global batch.
    """
    B, D = (len(zc) if sums is None else sums.count), zc.shape[1]
    W_all = W_all.detach()
    if sums is not None or B > D - len(W_all):
        N = orthogonal_complement(W_all)
        return zc @ N.mT, N, min(B - 1, len(N))
    Q = orthonormal_rows(W_all)
    X = zc - (zc @ Q.mT) @ Q
    return X - (X @ Q.mT) @ Q, None, B - 1  # twice, since the first time leaves rounding errors inside the span
