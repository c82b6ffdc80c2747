"""Decompositions where the settings want them: on the device of the matrix, or on the CPU with the result moved back.

The moments, the guided latent spaces and their training decompose by these alone, so ``use_cpu_fallback`` reaches all
of it. They are exact whatever the ``solver_mode``.

Example:
    >>> import torch
    >>> from isospan.settings import config
    >>> with config.context(use_cpu_fallback=True):
    ...     eigh(torch.diag(torch.tensor([2.0, 1.0])))[0]
    tensor([1., 2.])
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from isospan._core.checks import check_finite
from isospan.settings import config

P = ParamSpec("P")
R = TypeVar("R")


def decomposition(routine: Callable[P, R]) -> Callable[P, R]:
    """Make a routine of tensors run on the CPU under ``use_cpu_fallback``; its results return to the first's device.

    Where it fails because a tensor is not finite, it raises :class:`~isospan.errors.NonFiniteError`.
    """

    @functools.wraps(routine)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not config.use_cpu_fallback:
            return _checked(routine, *args, **kwargs)
        on_cpu: tuple[Any, ...] = tuple(x.cpu() if isinstance(x, Tensor) else x for x in args)
        result: Any = _checked(routine, *on_cpu, **kwargs)
        device = next(x.device for x in args if isinstance(x, Tensor))
        return result.to(device) if isinstance(result, Tensor) else tuple(part.to(device) for part in result)  # type: ignore[return-value]

    return run


def _checked(routine: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a routine of LAPACK's, which says of NaN or infinity that it did not converge."""
    try:
        return routine(*args, **kwargs)
    except torch.linalg.LinAlgError:
        for x in args:
            if isinstance(x, Tensor):
                check_finite(x, what="The matrix")
        raise


@decomposition
def eigh(G: Tensor, *, upper: bool = False) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors (columns) of a symmetric matrix, of which one triangle is read."""
    eigenvalues, vectors = torch.linalg.eigh(G, UPLO="U" if upper else "L")
    return eigenvalues, vectors


@decomposition
def svd(A: Tensor, *, full_matrices: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, Vh) with A = U diag(S) Vh."""
    U, S, Vh = torch.linalg.svd(A, full_matrices=full_matrices)
    return U, S, Vh


@decomposition
def svdvals(A: Tensor) -> Tensor:
    """Singular values, descending."""
    return torch.linalg.svdvals(A)


@decomposition
def qr(A: Tensor, *, complete: bool = False) -> tuple[Tensor, Tensor]:
    """(Q, R) with A = Q R."""
    Q, R = torch.linalg.qr(A, mode="complete" if complete else "reduced")
    return Q, R


@decomposition
def pinv(A: Tensor, *, atol: float | None = None, rtol: float | None = None, hermitian: bool = False) -> Tensor:
    """Pseudo-inverse; singular values below rtol times the largest, or below atol, count as zero."""
    return torch.linalg.pinv(A, atol=atol, rtol=rtol, hermitian=hermitian)
