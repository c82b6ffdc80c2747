"""Decompositions where the settings want them: on the device of the matrix, or on the CPU with the result moved back.

The moments, the guided latent spaces and their training decompose by these alone, so ``use_cpu_fallback`` reaches all
of it. They are exact whatever the ``solver_mode``. Each takes a matrix, or a batch of them
(..., m, n), float32 for half precision. One that is not real, not finite, or not of such a shape is an error of
:mod:`isospan.errors`.

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

from isospan._core.checks import as_matrices, check_flag, check_number
from isospan.settings import config

P = ParamSpec("P")
R = TypeVar("R")


def decomposition(routine: Callable[P, R]) -> Callable[P, R]:
    """Make a routine of tensors run on the CPU under ``use_cpu_fallback``; its results return to the first's device."""

    @functools.wraps(routine)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not config.use_cpu_fallback:
            return routine(*args, **kwargs)
        on_cpu: tuple[Any, ...] = tuple(x.cpu() if isinstance(x, Tensor) else x for x in args)
        result: Any = routine(*on_cpu, **kwargs)
        device = next((x.device for x in args if isinstance(x, Tensor)), torch.device("cpu"))
        return result.to(device) if isinstance(result, Tensor) else tuple(part.to(device) for part in result)  # type: ignore[return-value]

    return run


@decomposition
def eigh(G: Tensor, *, upper: bool = False) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors (columns) of a symmetric matrix, of which one triangle is read."""
    triangle = "U" if check_flag(upper, what="upper") else "L"
    eigenvalues, vectors = torch.linalg.eigh(as_matrices(G, what="The matrix", square=True), UPLO=triangle)
    return eigenvalues, vectors


@decomposition
def svd(A: Tensor, *, full_matrices: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, Vh) with A = U diag(S) Vh."""
    check_flag(full_matrices, what="full_matrices")
    U, S, Vh = torch.linalg.svd(as_matrices(A, what="The matrix"), full_matrices=full_matrices)
    return U, S, Vh


@decomposition
def svdvals(A: Tensor) -> Tensor:
    """Singular values, descending."""
    return torch.linalg.svdvals(as_matrices(A, what="The matrix"))


@decomposition
def qr(A: Tensor, *, complete: bool = False) -> tuple[Tensor, Tensor]:
    """(Q, R) with A = Q R."""
    mode = "complete" if check_flag(complete, what="complete") else "reduced"
    Q, R = torch.linalg.qr(as_matrices(A, what="The matrix"), mode=mode)
    return Q, R


@decomposition
def pinv(A: Tensor, *, atol: float | None = None, rtol: float | None = None, hermitian: bool = False) -> Tensor:
    """Pseudo-inverse; singular values below rtol times the largest, or below atol, count as zero."""
    A = as_matrices(A, what="The matrix", square=check_flag(hermitian, what="hermitian"))
    atol, rtol = (
        None if cutoff is None else check_number(cutoff, what=what) for what, cutoff in (("atol", atol), ("rtol", rtol))
    )
    return torch.linalg.pinv(A, atol=atol, rtol=rtol, hermitian=hermitian)
