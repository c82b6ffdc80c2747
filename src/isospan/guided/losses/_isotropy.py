"""How evenly the latents fill what the subspaces leave free."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from isospan._core.autocast import full_precision
from isospan._core.checks import check_choice, check_count
from isospan.errors import DegenerateDataError, NonFiniteError
from isospan.guided.losses._fused import Gradients, with_gradient
from isospan.guided.losses._inputs import centred, checked_bases, checked_latents, in_units, stacked
from isospan.guided.losses._whole import Whole
from isospan.linalg import add_gram_, eigh, orthogonal_complement, orthonormal_rows

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
        ShapeError, DtypeError, DeviceMismatchError, DegenerateDataError: what the message says. NaN is not looked for.

    Example:
        >>> import torch
        >>> e = torch.eye(3, dtype=torch.float64)
        >>> z = torch.cat([e, -e]) * torch.tensor([9.0, 2.0, 2.0])
        >>> isotropy_loss(z, {"a": e[:1]}), isotropy_loss(z, {"b": e[1:2]}) > 0.3
        (tensor(0., dtype=torch.float64), tensor(True))
    """
    check_isotropy_options(spectrum, n_dir)
    Z = checked_latents(Z)
    with full_precision(Z):
        Zc, W_all = in_units(centred(Z))[0], stacked(checked_bases(W, Z)).detach()
        spread = partial(variance_spread, W_all) if spectrum == "variance" else partial(free_spread, W_all, n_dir)
        return with_gradient(spread, Zc)


def check_isotropy_options(spectrum: str, n_dir: int) -> None:
    """Require a known spectrum and at least one direction."""
    check_choice(spectrum, get_args(Spectrum), what="isotropy spectrum")
    check_count(n_dir, what="n_dir, the number of leading singular values,")


def free_spread(
    W_all: Tensor, n_dir: int, needed: Sequence[bool], Zc: Tensor, *, whole: Whole | None = None
) -> tuple[Tensor, Gradients]:
    """Value and gradient in Zc of the spread of the leading singular values outside the span of W."""
    F = leading_free_directions(Zc, W_all, n_dir, whole=whole)
    value, (gradient,) = singular_spread(needed, Zc @ F.mT, rounding_of(Zc, whole))
    return value, (None if gradient is None else gradient @ F,)


def variance_spread(
    W_all: Tensor, needed: Sequence[bool], Zc: Tensor, *, whole: Whole | None = None
) -> tuple[Tensor, Gradients]:
    """Value d ‖H‖² - 1 of H = G/tr G, G the Gram matrix of the free part X; gradient in X 4 d/tr G (X H - ‖H‖² X)."""
    X, N, d = _free_part(Zc, W_all, whole)
    if N is None:
        G = X @ X.mT
    else:
        G = X.mT @ X if whole is None else whole.gram(N)
    trace = G.diagonal().sum()
    total = torch.maximum(trace, rounding_of(Zc, whole).square())
    H = G / total
    norm = H.square().sum()
    value = d * norm - (trace / total) ** 2
    if not needed[0]:
        return value, (None,)
    H = (H - norm * torch.eye(len(H), dtype=H.dtype, device=H.device)) * (4 * d / total)
    return value, (H @ X if N is None else X @ (H @ N),)


def rounding_of(Zc: Tensor, whole: Whole | None) -> Tensor:
    """Below this, the free part of the latents is rounding of what lies in the subspaces: 64 eps of their norm."""
    squares = Zc.detach().square().sum() if whole is None else whole.scatter_zz.trace().to(Zc.dtype)
    return 64 * torch.finfo(Zc.dtype).eps * squares.sqrt() + torch.finfo(Zc.dtype).tiny ** 0.5


def singular_spread(
    needed: Sequence[bool], U: Tensor, rounding: Tensor, *, squares: Tensor | None = None
) -> tuple[Tensor, Gradients]:
    """Value f = var(s)/m² of s_i = ‖U_i‖ with mean m; df/ds = 2 (s/m - 1 - f)/(n m) and ds_i/dU_i = U_i/s_i.

    With U = Zc P for constant unit directions p this is the loss: to second order in the error of p, s = ‖Zc p‖ is the
    singular value, and its derivative is that of the singular value (Hellmann-Feynman). Differences of singular values
    occur nowhere, so ties do no harm; where s = 0 the derivative is 0. A mean below ``rounding`` counts as that, so f
    is 0 where nothing is free. Where U is a part of a whole batch, ``squares`` are the s² of the whole.
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


def leading_free_directions(Zc: Tensor, W_all: Tensor, n_dir: int, *, whole: Whole | None = None) -> Tensor:
    """Unit directions (n, D) outside the span of W along which the latents have their leading singular values."""
    X, N, d = _free_part(Zc, W_all, whole)
    if whole is not None and N is not None:
        G = whole.gram(N)
    else:
        tall = X.mT if N is None else X
        with_graph = torch.is_grad_enabled() and X.requires_grad
        G = tall.mT @ tall if with_graph else add_gram_(X.new_zeros(tall.shape[1], tall.shape[1]), tall)
    try:
        eigenvalues, vectors = eigh(G, upper=True)
    except NonFiniteError:  # NaN in the latents makes the loss NaN
        eigenvalues, vectors = G.diagonal(), torch.full_like(G, torch.nan)
    n = min(n_dir, d)
    _check_apart(eigenvalues, n)
    leading = vectors[:, vectors.shape[1] - n :]
    return normalize(leading.mT @ X) if N is None else leading.mT @ N


def _check_apart(eigenvalues: Tensor, n: int) -> None:
    """Require, where these have a graph, that the n leading ones (ascending) differ.

    Else the directions have no derivative. In the first one of the loss they are constant: this concerns second ones.
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


def _free_part(Zc: Tensor, W_all: Tensor, whole: Whole | None) -> tuple[Tensor, Tensor | None, int]:
    """X with the singular values of Zc (I - P), and how many of them may differ from zero.

    X are coordinates Zc Nᵀ in the orthonormal complement N of all subspaces; with few samples it is cheaper to take
    X = Zc (I - P) itself and to work on its B x B side (then N is None), which a part of a whole batch does not have.
    """
    B, D = (len(Zc) if whole is None else whole.count), Zc.shape[1]
    W_all = W_all.detach()
    if whole is not None or B > D - len(W_all):
        N = orthogonal_complement(W_all)
        return Zc @ N.mT, N, min(B - 1, len(N))
    Q = orthonormal_rows(W_all)
    X = Zc - (Zc @ Q.mT) @ Q
    return X - (X @ Q.mT) @ Q, None, B - 1  # twice, so that nothing in the span is left where X is rounding alone
