"""Equivariant transformer encoders."""

from math import gcd
from typing import cast

import torch
from torch import Tensor, nn

from isospan._core.checks import check_count
from isospan.errors import OptionError
from isospan.models._hidden import check_signal, hidden_representations
from isospan.models._network import equivariant_network, plain_network, steps
from isospan.nn import Dropout, Linear, MultiheadAttention, PositionalEncoding, RMSNorm
from isospan.nn._base.cached_weight import Freezes
from isospan.nn._base.layer import Device, to_device
from isospan.representations import Representation


class TransformerEncoderLayer(Freezes):
    r"""A transformer layer: residual attention between tokens, and a residual network of every token.

    .. math:: x' = x + \operatorname{attention}(\operatorname{norm} x), \qquad
              y = x' + \operatorname{network}(\operatorname{norm} x')

    with the arguments of torch.nn.TransformerEncoderLayer, and its ``norm_first=True``. Norms are those of all features
    of a token. They have no scales, since linear maps follow. In training, parts of both terms are dropped
    (:class:`isospan.nn.Dropout`), and weights of the attention.

    Args:
        rep: representation of every token.
        nhead: number of heads of the attention.
        dim_feedforward: width of the network of every token, rounded up to whole copies; four times rep.size where
            None.
        dropout: probability of dropping.
        activation: of that network, as in :class:`EMLP`.
        hidden_rep: representation of whose copies the network's hidden layer consists, as in :class:`EMLP`.
        bias: whether linear maps have invariant biases.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Attributes:
        rep_in: rep.
        rep_out: rep.

    Shapes:
        src (..., T, rep.size) to the same.

    Raises:
        RepresentationError: the heads cannot share the irreps of rep evenly, or the hidden layer lacks one.
        OptionError: a number out of range, or an unknown activation.
        ShapeError: an input or a mask without the shape above.
        DtypeError: an input that is not floating point, or a mask that is neither boolean nor floating point.

    Source: Vaswani et al., Attention is all you need, 2017; Xiong et al., On Layer Normalization in the Transformer
    Architecture, 2020.

    Example:
        >>> import torch
        >>> from isospan.groups import DihedralGroup
        >>> rep = 4 * DihedralGroup(3).regular_representation
        >>> TransformerEncoderLayer(rep, nhead=2)(torch.randn(8, 10, 24), is_causal=True).shape
        torch.Size([8, 10, 24])
    """

    def __init__(
        self,
        rep: Representation,
        nhead: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        activation: str = "ReLU",
        hidden_rep: Representation | None = None,
        bias: bool = True,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.rep_in: Representation = rep
        self.rep_out: Representation = rep
        width = 4 * rep.size if dim_feedforward is None else dim_feedforward
        (inner,) = hidden_representations(rep, (width,), hidden_rep)
        check_signal(rep, inner, rep)
        self.norm1: RMSNorm = RMSNorm(rep, elementwise_affine=False)
        self.norm2: RMSNorm = RMSNorm(rep, elementwise_affine=False)
        self.self_attn: MultiheadAttention = MultiheadAttention(rep, nhead, dropout, bias)
        self.feedforward: nn.Sequential = equivariant_network([rep, inner, rep], activation, bias=bias)
        self.dropout1: Dropout = Dropout(rep, dropout)
        self.dropout2: Dropout = Dropout(rep, dropout)
        to_device(self, device, dtype)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Return y (..., T, rep.size); masks are those of :class:`isospan.nn.MultiheadAttention`."""
        x = self.norm1(src)
        attended, _ = self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)
        x = src + self.dropout1(attended)
        return x + self.dropout2(self.feedforward(self.norm2(x)))

    def export(self) -> nn.TransformerEncoderLayer:
        """Return torch's layer of the same function that shares nothing with this one.

        It is for inference: in training it would drop single coordinates, which breaks the symmetry.
        """
        first, activation, second = plain_network(steps(self.feedforward))
        size, heads, p = self.rep_in.size, self.self_attn.num_heads, self.dropout1.p
        # in evaluation torch takes the norms around a bare ReLU or GELU for LayerNorm
        plain = nn.TransformerEncoderLayer(
            size, heads, 1, p, nn.Sequential(activation), batch_first=True, norm_first=True
        )
        norms = {name: nn.RMSNorm(size, elementwise_affine=False) for name in ("norm1", "norm2")}
        parts = {**norms, "self_attn": self.self_attn.export(), "linear1": first, "linear2": second}
        for name, part in parts.items():
            plain.add_module(name, part)
        return plain.train(self.training)


class TransformerEncoder(Freezes):
    r"""An equivariant transformer encoder of tokens of one representation.

    .. math:: f(\rho_\text{in}(g) x_1, \ldots, \rho_\text{in}(g) x_T)_t = \rho_\text{out}(g) f(x_1, \ldots, x_T)_t

    It consists of a linear layer to the hidden representation, ``num_layers`` of :class:`TransformerEncoderLayer`, a
    norm, and a linear layer to the output. Without positions, a permutation of the tokens permutes the output in the
    same way.

    Args:
        rep_in: representation of every token of the input.
        rep_out: representation of every token of the output.
        d_model: width of the layers, rounded up to whole copies that the heads can share evenly.
        nhead: number of heads of every attention.
        num_layers: number of layers.
        dim_feedforward: width of the networks of every token; four times that of the layers where None.
        dropout: probability of dropping weights of the attention, and parts of what a layer adds.
        activation: as in :class:`EMLP`.
        hidden_rep: as in :class:`EMLP`.
        bias: as in :class:`EMLP`.
        positional_encoding: whether positions are added to the invariant features of the tokens, see
            :class:`isospan.nn.PositionalEncoding`.
        device: of the parameters and constants.
        dtype: of the parameters and constants.

    Shapes:
        src (..., T, rep_in.size) to (..., T, rep_out.size).

    Raises:
        GroupMismatchError: representations of two groups.
        RepresentationError: as for :class:`EMLP`, or the hidden representation has no trivial irrep for positions.
        OptionError: a number out of range, or an unknown name.
        ShapeError: an input or a mask without the shape above.
        DtypeError: an input that is not floating point, or a mask that is neither boolean nor floating point.

    Source: Vaswani et al., Attention is all you need, 2017.

    Example:
        >>> import torch
        >>> from isospan.groups import DihedralGroup
        >>> from isospan.testing import assert_equivariant
        >>> vector, regular = DihedralGroup(4).irreps()[-1], DihedralGroup(4).regular_representation
        >>> model = TransformerEncoder(vector + regular, vector, d_model=32, positional_encoding=True).eval()
        >>> assert_equivariant(model, vector + regular, vector, x=torch.randn(3, 20, 10))
    """

    def __init__(
        self,
        rep_in: Representation,
        rep_out: Representation,
        d_model: int = 128,
        nhead: int = 4,
        num_layers: int = 2,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        activation: str = "ReLU",
        hidden_rep: Representation | None = None,
        bias: bool = True,
        *,
        positional_encoding: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.rep_in: Representation = rep_in
        self.rep_out: Representation = rep_out
        hidden = _shared_by_heads(rep_in, d_model, nhead, hidden_rep)
        check_signal(rep_in, hidden, rep_out)
        self.embedding: Linear = Linear(rep_in, hidden, bias=bias)
        self.positions: PositionalEncoding | nn.Identity = (
            PositionalEncoding(hidden) if positional_encoding else nn.Identity()
        )
        self.layers: nn.ModuleList = nn.ModuleList(
            TransformerEncoderLayer(hidden, nhead, dim_feedforward, dropout, activation, hidden_rep, bias)
            for _ in range(check_count(num_layers, what="num_layers"))
        )
        self.norm: RMSNorm = RMSNorm(hidden, elementwise_affine=False)
        self.head: Linear = Linear(hidden, rep_out, bias=bias)
        to_device(self, device, dtype)

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Return y (..., T, rep_out.size).

        Args:
            src: (..., T, rep_in.size).
            mask: (T, T) or (B * nhead, T, T), True where a token may not look, or numbers to add to the scores.
            src_key_padding_mask: (..., T), True at tokens that no other may look at. Their own output has no meaning.
            is_causal: whether a token may look only at those up to itself, besides the masks.
        """
        x = self.positions(self.embedding(src))
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, is_causal)
        return self.head(self.norm(x))

    def export(self) -> nn.Sequential:
        """Return a linear layer, a torch.nn.TransformerEncoder, which takes the masks, and a linear layer.

        They compute the same and share nothing with this model. They are for inference, as the layers' exports are.

        Raises:
            OptionError: torch has no module for positions.
        """
        if not isinstance(self.positions, nn.Identity):
            raise OptionError(
                "torch has no module for positions, so an encoder with positional_encoding=True has no plain "
                "counterpart. Use torch.export.export(model.freeze(), ...)."
            )
        layers = [cast(TransformerEncoderLayer, layer).export() for layer in self.layers]
        norm = nn.RMSNorm(self.norm.rep_in.size, elementwise_affine=False)
        encoder = nn.TransformerEncoder(layers[0], len(layers), norm, enable_nested_tensor=False)
        encoder.layers = nn.ModuleList(layers)
        return nn.Sequential(self.embedding.export(), encoder, self.head.export()).train(self.training)


def _shared_by_heads(
    rep_in: Representation, width: int, nhead: int, hidden_rep: Representation | None
) -> Representation:
    """The fewest copies of the hidden representation of at least a width whose irreps the heads can share evenly."""
    (unit,) = hidden_representations(rep_in, (1,), hidden_rep)
    heads = check_count(nhead, what="nhead")
    copies = heads // gcd(heads, *(component.multiplicity for component in unit.isotypic))
    (hidden,) = hidden_representations(rep_in, (width,), copies * unit)
    return hidden
