"""Masks of attention as terms of the scores: minus infinity where a query may not look."""

import torch
from torch import Tensor

from isospan.errors import DtypeError, ShapeError


def additive_mask(
    q: Tensor, keys: int, *, attn_mask: Tensor | None, key_padding_mask: Tensor | None, is_causal: bool
) -> Tensor | None:
    """The sum of all masks, which broadcasts to the scores (..., heads, L, keys); None where there is none.

    Args:
        q: queries (..., heads, L, d), whose precision the mask gets.
        keys: number of keys S.
        attn_mask: (L, S), or (B heads, L, S); boolean, True where a query may not look, or floating and added.
        key_padding_mask: (..., S), the same for keys that no query may look at.
        is_causal: whether query i may look at the keys up to i only.

    Raises:
        ShapeError, DtypeError: a mask of another shape, or neither boolean nor floating.
    """
    *lead, heads, queries, _ = q.shape
    terms = []
    if attn_mask is not None:
        shapes = [(queries, keys), (torch.Size(lead).numel() * heads, queries, keys)]
        term = _additive(attn_mask, shapes, q.dtype, what="attn_mask (L, S) or (B * num_heads, L, S)")
        terms.append(term if term.dim() == 2 else term.view(*lead, heads, queries, keys))
    if key_padding_mask is not None:
        term = _additive(key_padding_mask, [(*lead, keys)], q.dtype, what="key_padding_mask (B, S)")
        terms.append(term.unsqueeze(-2).unsqueeze(-2))
    if is_causal:
        future = torch.ones(queries, keys, dtype=torch.bool, device=q.device).triu(1)
        terms.append(_infinite(future, q.dtype))
    return sum(terms[1:], terms[0]) if terms else None


def open_rows(mask: Tensor) -> tuple[Tensor, Tensor]:
    """A mask without rows of minus infinity alone, and which rows were such, (..., 1).

    A softmax of such a row has no value, and its gradient is NaN, even where the result is not used.
    """
    closed = (mask == float("-inf")).all(-1, keepdim=True)
    return mask.masked_fill(closed, 0.0), closed


def _additive(mask: Tensor, shapes: list[tuple[int, ...]], dtype: torch.dtype, *, what: str) -> Tensor:
    if mask.shape not in shapes:
        expected = " or ".join(str(shape) for shape in shapes)
        raise ShapeError(f"{what} must have shape {expected} here, got {tuple(mask.shape)}.")
    if mask.dtype == torch.bool:
        return _infinite(mask, dtype)
    if not mask.is_floating_point():
        raise DtypeError(
            f"{what} must be boolean (True where not to look) or floating point (added to scores), got {mask.dtype}. "
            "Convert it with .bool()."
        )
    return mask.to(dtype)


def _infinite(blocked: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(blocked.shape, dtype=dtype, device=blocked.device).masked_fill(blocked, float("-inf"))
