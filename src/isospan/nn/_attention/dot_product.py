"""Attention in several heads between given linear maps."""

from math import sqrt
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout, linear, scaled_dot_product_attention, softmax

from isospan._core.checks import check_count
from isospan.errors import ShapeError
from isospan.nn._attention.masks import additive_mask, open_rows
from isospan.nn._base.layer import check_features, check_probability


class DotProductAttention(nn.Module):
    """Dot-product attention between two given linear maps, equivariant where these are.

    Args:
        in_proj: linear layer to queries, keys and values of all heads, in this order.
        out_proj: linear layer from the values of all heads.
        num_heads: number of heads.
        dropout: probability that a weight is dropped while training.
    """

    in_proj: Any
    out_proj: Any

    def __init__(self, in_proj: nn.Module, out_proj: nn.Module, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads: int = check_count(num_heads, what="num_heads")
        self.dropout: float = check_probability(dropout)
        self.in_proj, self.out_proj = in_proj, out_proj

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return y (..., L, D), and the weights (..., L, S), or (..., num_heads, L, S) where they are not averaged.

        Args:
            query: (..., L, D).
            key: (..., S, D).
            value: (..., S, D).
            key_padding_mask: (..., S), True at keys to leave out, or numbers to add to the scores.
            need_weights: whether to return weights, which costs memory and time; else None is returned for them.
            attn_mask: (L, S) or (B * num_heads, L, S), True where a query may not look, or numbers to add.
            average_attn_weights: whether weights are means over the heads.
            is_causal: whether query i may look only at the keys up to i, besides the masks.
        """
        _check_tokens(query, key, value, self.in_proj.in_features)
        q, k, v = self._heads(query, key, value)
        causal = is_causal and (need_weights or attn_mask is not None or key_padding_mask is not None)
        mask = additive_mask(q, key.shape[-2], attn_mask=attn_mask, key_padding_mask=key_padding_mask, is_causal=causal)
        closed = None
        if mask is not None:
            mask, closed = open_rows(mask)
        p = self.dropout if self.training else 0.0
        if need_weights:
            weights = _weights(q, k, mask, closed, p)
            y = weights @ v
        else:
            weights = None
            y = scaled_dot_product_attention(q, k, v, mask, p, is_causal=is_causal and mask is None)
            y = y if closed is None else y.masked_fill(closed, 0.0)
        y = self.out_proj(y.transpose(-3, -2).flatten(-2))
        return y, weights.mean(-3) if weights is not None and average_attn_weights else weights

    def _heads(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Queries, keys and values (..., num_heads, T, d), by one product where all are of the same tokens."""
        if query is key and key is value:
            parts = self.in_proj(query).chunk(3, dim=-1)
        else:
            W, b = self.in_proj.weight, self.in_proj.bias
            biases = (None, None, None) if b is None else b.chunk(3)
            maps = zip((query, key, value), W.chunk(3), biases, strict=True)
            parts = [linear(*each) for each in maps]
        return [part.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2) for part in parts]

    def extra_repr(self) -> str:
        """The heads and the dropout."""
        return f"num_heads={self.num_heads}, dropout={self.dropout}"


def _weights(q: Tensor, k: Tensor, mask: Tensor | None, closed: Tensor | None, p: float) -> Tensor:
    """Weights (..., num_heads, L, S), of which a share p is dropped."""
    scores = q @ k.mT / sqrt(q.shape[-1])
    weights = softmax(scores if mask is None else scores + mask, dim=-1).to(q.dtype)
    return dropout(weights if closed is None else weights.masked_fill(closed, 0.0), p)


def _check_tokens(query: Tensor, key: Tensor, value: Tensor, size: int) -> None:
    for tokens in (query, key, value):
        check_features(tokens, size)
    fits = key.shape[:-1] == value.shape[:-1] and query.shape[:-2] == key.shape[:-2]
    if query.dim() < 2 or not fits:
        raise ShapeError(
            f"Attention maps query (..., L, {size}), key and value (..., S, {size}) of the same batch, got "
            f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}. Tokens are the last axis but one."
        )
