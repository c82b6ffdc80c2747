"""Equivariant attention between tokens."""

from math import gcd

import numpy as np
import torch
from torch import Tensor, nn

from isospan._core.checks import check_count
from isospan.errors import RepresentationError
from isospan.nn._attention.dot_product import DotProductAttention
from isospan.nn._base.cached_weight import Freezes
from isospan.nn._base.layer import Device
from isospan.nn._linear import Linear
from isospan.representations import Block, Representation, check_representation, direct_sum


class MultiheadAttention(Freezes, DotProductAttention):
    r"""Equivariant attention between tokens of one representation, with the arguments of torch.nn.MultiheadAttention.

    .. math:: y_i = b + W_o \bigoplus_h \sum_j \operatorname{softmax}_j
              \Bigl( \frac{q_{hi}^\top k_{hj}}{\sqrt{d}} \Bigr) v_{hj}, \qquad
              (q_h, k_h, v_h)_i = W_h x_i + b_h

    All W are equivariant and map to or from one copy of a representation of size d for every head. Representations are
    orthogonal, so the scores are invariant and mix the values by invariant weights. For the trivial group it is
    torch.nn.MultiheadAttention with ``batch_first=True``.

    Where the masks exclude all keys of a query, its weights are zero, its output is the bias of ``out_proj``, and
    gradients are finite.

    Args:
        rep: representation of every token.
        num_heads: number of heads.
        dropout: probability that a weight is dropped while training. Weights are invariant, so any draw is equivariant.
        bias: whether the linear maps have invariant biases.
        head_rep: representation of the queries, keys and values of one head. By default every head gets the same
            share of the copies of every irrep in rep. Irreps that it lacks are not passed on between tokens.
        device: of the parameters.
        dtype: of the parameters.

    Attributes:
        rep_in: rep.
        rep_out: rep.
        in_proj: equivariant linear layer to the queries, keys and values of all heads, in this order.
        out_proj: equivariant linear layer from the values of all heads.

    Shapes:
        query (..., L, rep.size), key and value (..., S, rep.size) to (..., L, rep.size) and weights (..., L, S).

    Raises:
        RepresentationError: the heads cannot share the irreps of rep evenly.
        GroupMismatchError: head_rep is of another group.
        OptionError: num_heads or dropout out of range.
        ShapeError: an input or a mask without the shape above.
        DtypeError: an input that is not floating point, or a mask that is neither boolean nor floating point.

    Source: Vaswani et al., Attention is all you need, 2017; Fuchs et al., SE(3)-Transformers, 2020.

    Example:
        >>> from isospan.groups import DihedralGroup
        >>> from isospan.testing import assert_equivariant
        >>> rep = 4 * DihedralGroup(3).regular_representation
        >>> attention = MultiheadAttention(rep, num_heads=2)
        >>> x = torch.randn(8, 10, 24)
        >>> y, weights = attention(x, x, x)
        >>> y.shape, weights.shape
        (torch.Size([8, 10, 24]), torch.Size([8, 10, 10]))
        >>> assert_equivariant(lambda x: attention(x, x, x)[0], rep, rep, x=x)
    """

    embed_dim: int
    head_dim: int
    in_proj: Linear
    out_proj: Linear

    def __init__(
        self,
        rep: Representation,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        head_rep: Representation | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_representation(rep)
        head_rep = head_representation(rep, num_heads) if head_rep is None else head_rep
        heads = check_count(num_heads, what="num_heads") * head_rep
        in_proj = Linear(rep, 3 * heads, bias=bias, device=device, dtype=dtype)
        out_proj = Linear(heads, rep, bias=bias, device=device, dtype=dtype)
        super().__init__(in_proj, out_proj, num_heads, dropout)
        self.rep_in: Representation = rep
        self.rep_out: Representation = rep
        self.head_rep = head_rep
        self.embed_dim, self.head_dim = rep.size, head_rep.size

    def reset_parameters(self, *, generator: torch.Generator | None = None) -> None:
        """Draw maps that preserve the variance of white inputs, and set the biases to zero."""
        self.in_proj.reset_parameters(generator=generator)
        self.out_proj.reset_parameters(generator=generator)

    def export(self) -> nn.Module:
        """Return plain attention of the same maps that shares nothing with this one.

        It is torch.nn.MultiheadAttention where the heads together have the size of a token, as torch requires.
        Otherwise it is the same computation between two plain linear layers. For a query without keys, torch returns
        weights that are NaN.
        """
        in_proj, out_proj = self.in_proj.export(), self.out_proj.export()
        if self.num_heads * self.head_dim != self.embed_dim:
            return DotProductAttention(in_proj, out_proj, self.num_heads, self.dropout).train(self.training)
        biased = in_proj.bias is not None or out_proj.bias is not None
        plain = nn.MultiheadAttention(self.embed_dim, self.num_heads, self.dropout, biased, batch_first=True).to(
            in_proj.weight
        )
        state = {"in_proj_weight": in_proj.weight, "out_proj.weight": out_proj.weight}
        if biased:
            state |= {"in_proj_bias": _bias(in_proj), "out_proj.bias": _bias(out_proj)}
        plain.load_state_dict(state)
        return plain.train(self.training)

    def extra_repr(self) -> str:
        """The representations, the heads and the dropout."""
        return f"{self.rep_in.name}, head_rep={self.head_rep.name}, {super().extra_repr()}"


def head_representation(rep: Representation, num_heads: int) -> Representation:
    """The representation of one of several heads, which share the blocks of rep evenly, or else its irreps.

    The group mixes the coordinates of a block, so heads of copies of a permutation representation are such copies too.

    Raises:
        RepresentationError: an irrep whose multiplicity the number of heads does not divide.

    Example:
        >>> from isospan.groups import CyclicGroup
        >>> regular = CyclicGroup(3).regular_representation
        >>> head_representation(4 * regular, 2) == 2 * regular
        True
    """
    check_count(num_heads, what="num_heads")
    parts = [(block.multiplicity, _one_copy(rep, block)) for block in rep.blocks]
    if any(copies % num_heads for copies, _ in parts):
        parts = [(component.multiplicity, component.irrep) for component in rep.isotypic]
    uneven = {part.name: copies for copies, part in parts if copies % num_heads}
    if uneven:
        raise RepresentationError(
            f"{num_heads} heads must share the copies of every irrep of {rep.name!r} evenly, got multiplicities "
            f"{uneven}. Use a num_heads that divides {gcd(*(copies for copies, _ in parts))}, more copies of the "
            "representation, or pass head_rep, the representation of one head."
        )
    return direct_sum([copies // num_heads * part for copies, part in parts], name=f"1/{num_heads} of {rep.name}")


def _one_copy(rep: Representation, block: Block) -> Representation:
    """One copy of a block alone, with its coordinates in their order."""
    indices = np.argsort(np.argsort(block.indices[:1]))
    return Representation.from_blocks(rep.group, [Block(block.action, indices)], name=rep.name)


def _bias(layer: nn.Linear) -> Tensor:
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias
