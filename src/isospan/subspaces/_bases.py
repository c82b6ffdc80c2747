"""The leading basis of every quantity, and its rotation onto a previous one."""

from collections.abc import Mapping

import torch
from torch import Tensor

from isospan._core.checks import check_bases, check_named
from isospan._core.warnings import warn
from isospan.errors import ShapeError
from isospan.linalg import complete_rows, fix_signs, nested_frame, procrustes_rotation, top_left_singular
from isospan.subspaces._criteria import Criterion, whitener


def leading_bases(criterion: Criterion, sizes: Mapping[str, int], *, warns: bool = True) -> dict[str, Tensor]:
    """Maximise each criterion separately: W spans Fᵀ U with F G Fᵀ = I and U the leading singular vectors of F T."""
    F = whitener(criterion.metric) if isinstance(criterion.metric, Tensor) else None
    W = {}
    for name, T in criterion.cross.items():
        k = sizes[name]
        if isinstance(criterion.metric, Mapping):
            F = whitener(criterion.metric[name])
        U, s = top_left_singular(T if F is None else F @ T, min(k, len(T if F is None else F)))
        values, cutoff = s.tolist(), max(T.shape) * torch.finfo(s.dtype).eps
        rank = sum(value > cutoff * values[0] for value in values)
        if rank < k and warns:
            warn(
                f"Quantity {name!r} covaries with only {rank} latent directions, fewer than k = {k}; the basis was "
                "completed with directions that explain nothing. Use a smaller k or more samples."
            )
        W[name] = complete_rows(U[:rank] if F is None else nested_frame(U[:rank] @ F), k)
    return W


def oriented(W: Mapping[str, Tensor], previous: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Fix signs, or rotate each basis within its span onto the previous one."""
    if previous is None:
        rows = fix_signs(torch.cat(list(W.values())))
        return dict(zip(W, rows.split([len(W_q) for W_q in W.values()]), strict=True))
    check_named(W, previous, what="previous", against="the targets")
    some = next(iter(W.values()))
    bases = check_bases(previous, latent_dim=some.shape[1], device=some.device, what="previous")
    for name, W_q in W.items():
        if bases[name].shape != W_q.shape:
            raise ShapeError(
                f"previous of quantity {name!r} must be a basis {tuple(W_q.shape)} like the new one, got "
                f"{tuple(bases[name].shape)}. Solve with the same k, or without previous."
            )
    return {name: procrustes_rotation(W_q, bases[name].to(W_q)) for name, W_q in W.items()}
