"""Decompositions on the device of the matrix, or with ``use_cpu_fallback`` on the CPU.

Moments, guided latent spaces and their training use only these decompositions, so the setting applies to all of them.
Each takes a matrix or a batch of them (..., m, n). Half precision is computed in float32. A matrix that is not real,
not finite or of another shape is an error of :mod:`isospan.errors`.

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
    """Run a function of tensors on the CPU under ``use_cpu_fallback``; the results are on the device of the first."""

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
    """Return the ascending eigenvalues and the eigenvectors (columns) of a symmetric matrix; one triangle is read."""
    triangle = "U" if check_flag(upper, what="upper") else "L"
    eigenvalues, vectors = torch.linalg.eigh(as_matrices(G, what="The matrix", square=True), UPLO=triangle)
    return eigenvalues, vectors


@decomposition
def svd(A: Tensor, *, full_matrices: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return (U, S, Vh) with A = U diag(S) Vh."""
    check_flag(full_matrices, what="full_matrices")
    U, S, Vh = torch.linalg.svd(as_matrices(A, what="The matrix"), full_matrices=full_matrices)
    return U, S, Vh


@decomposition
def svdvals(A: Tensor) -> Tensor:
    """Return the singular values, descending."""
    return torch.linalg.svdvals(as_matrices(A, what="The matrix"))


@decomposition
def qr(A: Tensor, *, complete: bool = False) -> tuple[Tensor, Tensor]:
    """Return (Q, R) with A = Q R."""
    mode = "complete" if check_flag(complete, what="complete") else "reduced"
    Q, R = torch.linalg.qr(as_matrices(A, what="The matrix"), mode=mode)
    return Q, R


@decomposition
def pinv(A: Tensor, *, atol: float | None = None, rtol: float | None = None, hermitian: bool = False) -> Tensor:
    """Return the pseudo-inverse; singular values below rtol times the largest, or below atol, count as zero."""
    A = as_matrices(A, what="The matrix", square=check_flag(hermitian, what="hermitian"))
    atol, rtol = (
        None if cutoff is None else check_number(cutoff, what=what) for what, cutoff in (("atol", atol), ("rtol", rtol))
    )
    return torch.linalg.pinv(A, atol=atol, rtol=rtol, hermitian=hermitian)
