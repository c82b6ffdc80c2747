"""Encoders: torch's layers with the dense weights, causality, padding, order, and what a draw of dropout keeps."""

import pytest
import torch

from isospan.errors import DtypeError, FrozenError, GroupMismatchError, OptionError, RepresentationError, ShapeError
from isospan.groups import SO2, SO3, CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.models import TransformerEncoder, TransformerEncoderLayer
from isospan.models._network import NormGates
from isospan.models._regular.network import RegularNetwork
from isospan.nn import Linear
from isospan.representations import direct_sum
from isospan.testing import assert_equivariant

GROUPS = {
    "C1": CyclicGroup(1),
    "C4": CyclicGroup(4),
    "D6": DihedralGroup(6),
    "Q8": QuaternionGroup(),
    "A5": IcosahedralGroup(),
    "SO2": SO2(),
    "SO3": SO3(),
}
B, T = 3, 6
D4 = DihedralGroup(4)


def tokens(rep, *shape):
    return torch.randn(*shape, rep.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def random_(module):
    """Parameters far from their start, where biases are zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator).mul_(0.3)
    return module.double()


def encoder(group=D4, **options):
    irreps = group.irreps() if group.order() else group.irreps(2)
    rep_in, rep_out = direct_sum([irreps[0], irreps[-1]]), direct_sum([irreps[-1], 2 * irreps[0]])
    return random_(TransformerEncoder(rep_in, rep_out, **{"d_model": 24, "nhead": 2, **options})).eval()


def dense_layer(layer):
    """torch's layer with the dense weights; it would take its own norms for LayerNorm if it did not train."""
    gates = next((m for m in layer.feedforward if isinstance(m, NormGates)), None)
    inside = () if gates is None else (gates.mixing,)
    first, second = (each for each in layer.feedforward.modules() if hasattr(each, "weight") and each not in inside)
    D, F = layer.rep_in.size, first.rep_out.size
    activation = gates or torch.relu
    plain = torch.nn.TransformerEncoderLayer(
        D, layer.self_attn.num_heads, F, 0.0, activation, batch_first=True, norm_first=True
    ).double()
    plain.norm1, plain.norm2 = (torch.nn.RMSNorm(D, elementwise_affine=False) for _ in range(2))
    plain.self_attn = layer.self_attn.export()
    plain.linear1, plain.linear2 = first.export(), second.export()
    return plain.train()


class TestValues:
    @pytest.mark.parametrize("name", GROUPS)
    @pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")  # torch warns of masks of two types
    def test_layers_are_torch_s_with_the_dense_weights(self, name):
        group = GROUPS[name]
        unit = group.regular_representation if group.order() else direct_sum(group.irreps(2))
        layer = random_(TransformerEncoderLayer(2 * unit, 2, 3 * unit.size, dropout=0.0))
        plain, x = dense_layer(layer), tokens(2 * unit, B, T)
        kind = RegularNetwork if group.order() else Linear
        assert any(isinstance(module, kind) for module in layer.feedforward.modules())
        blocked, padding = torch.eye(T, dtype=torch.bool), torch.arange(T).expand(B, T) > 3
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        for masks in (
            {},
            {"src_mask": blocked},
            {"src_mask": torch.randn(T, T).double(), "src_key_padding_mask": padding},
            {"src_mask": future, "is_causal": True},
        ):
            torch.testing.assert_close(layer(x, **masks), plain(x, **masks))

    @pytest.mark.parametrize("positional_encoding", [True, False])
    def test_encoders_are_torch_s_between_two_linear_layers(self, positional_encoding):
        model, mask = (
            encoder(num_layers=3, dropout=0.0, positional_encoding=positional_encoding),
            torch.randn(T, T).double(),
        )
        x = tokens(model.rep_in, B, T)
        plain = torch.nn.TransformerEncoder(
            dense_layer(model.layers[0]),
            3,
            norm=torch.nn.RMSNorm(model.norm.rep_in.size, elementwise_affine=False),
            enable_nested_tensor=False,
        )
        plain.layers = torch.nn.ModuleList(map(dense_layer, model.layers))
        h = model.embedding.export()(x)
        h = model.positions(h) if positional_encoding else h
        torch.testing.assert_close(model(x, mask), model.head.export()(plain.train()(h, mask)))

    @pytest.mark.parametrize("name", [name for name, group in GROUPS.items() if group.order()])
    def test_exports_are_torch_s_and_share_nothing(self, name):
        model = encoder(GROUPS[name], num_layers=3)
        plain, x = model.export(), tokens(model.rep_in, B, T)
        assert all(type(module).__module__.startswith("torch.nn") for module in plain.modules())
        first, middle, last = plain
        causal, padding = torch.ones(T, T, dtype=torch.bool).triu(1), torch.rand(B, T) > 0.7
        padding[:, 0] = False
        expected, masked = model(x), model(x, None, padding, True)
        for context in (torch.enable_grad, torch.no_grad):  # torch has a second implementation for inference
            with context():
                torch.testing.assert_close(plain(x), expected)
                torch.testing.assert_close(last(middle(first(x), causal, padding)), masked)
        with torch.no_grad():
            for parameter in plain.parameters():
                parameter.zero_()
        torch.testing.assert_close(model(x), expected)

    def test_causal_outputs_are_those_of_the_past(self):
        model = encoder(positional_encoding=True)
        x = tokens(model.rep_in, B, T)
        y = model(x, is_causal=True)
        for t in range(1, T):
            torch.testing.assert_close(model(x[:, :t], is_causal=True), y[:, :t])
            assert not torch.allclose(model(x)[:, :t], y[:, :t])

    def test_padding_is_not_read(self):
        model = encoder(positional_encoding=True)
        x, lengths = tokens(model.rep_in, B, T), (6, 4, 1)
        padding = torch.arange(T) >= torch.tensor(lengths).unsqueeze(1)
        y = model(x.masked_fill(padding.unsqueeze(-1), 1e3), src_key_padding_mask=padding)
        for sample, length in enumerate(lengths):
            torch.testing.assert_close(y[sample, :length], model(x[sample, :length]))

    def test_a_sample_of_padding_alone_leaves_gradients_finite(self):
        model, padding = encoder(), torch.arange(B).unsqueeze(1).expand(B, T) == 1
        y = model.train()(tokens(model.rep_in, B, T), src_key_padding_mask=padding)
        y[~padding].square().sum().backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())

    def test_leading_dimensions_are_a_batch(self):
        model = encoder(positional_encoding=True)
        x = tokens(model.rep_in, 2, B, T)
        torch.testing.assert_close(model(x), torch.stack([model(part) for part in x]))


class TestSymmetry:
    @pytest.mark.parametrize("name", GROUPS)
    @pytest.mark.parametrize("options", [{}, {"positional_encoding": True, "num_layers": 3, "bias": False}], ids=str)
    def test_of_the_group(self, name, options):
        model, padding = encoder(GROUPS[name], **options), torch.rand(B, T) > 0.8
        x = tokens(model.rep_in, B, T)
        assert_equivariant(lambda x: model(x, None, padding, True), model.rep_in, model.rep_out, x=x)
        assert model(x).std(1).min() > 0

    def test_of_a_draw_of_dropout(self):
        model = encoder(dropout=0.5).train()
        x = tokens(model.rep_in, B, T)

        def drawn(x):
            torch.manual_seed(0)
            return model(x)

        assert_equivariant(drawn, model.rep_in, model.rep_out, x=x)
        assert not torch.allclose(drawn(x), model.eval()(x))

    def test_order_matters_with_positions_only(self):
        for positional_encoding in (True, False):
            model = encoder(positional_encoding=positional_encoding)
            x, order = tokens(model.rep_in, B, T), torch.tensor([3, 5, 0, 1, 4, 2])
            assert torch.allclose(model(x[:, order]), model(x)[:, order]) != positional_encoding


def test_learns_to_repeat_the_token_before():
    """Of a past of n others whose order is unknown, a mean is the best guess: it misses 1 - 1/n of the variance."""
    vector, mean_of_past = D4.irreps()[-1], (0 + 1 / 2 + 2 / 3) / 3
    generator = torch.Generator().manual_seed(0)

    def loss_after_training(positional_encoding):
        torch.manual_seed(0)
        model = TransformerEncoder(vector, vector, 32, 2, 1, 32, 0.0, positional_encoding=positional_encoding)
        optimizer, losses = torch.optim.Adam(model.parameters(), 1e-2), []
        for _ in range(150):
            x = torch.randn(64, 4, 2, generator=generator)
            loss = (model(x, is_causal=True)[:, 1:] - x[:, :-1]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return sum(losses[-20:]) / 20

    assert loss_after_training(True) < mean_of_past / 2
    assert loss_after_training(False) > 0.9 * mean_of_past


def test_frozen_encoders_follow_their_parameters():
    model, other = encoder(), encoder()
    x, expected = tokens(model.rep_in, B, T), model(tokens(model.rep_in, B, T))
    torch.testing.assert_close(model.freeze()(x), expected)
    with pytest.raises(FrozenError):
        model.train()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(-0.5)
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(model(x), other(x))
    assert model.unfreeze().train()(x).requires_grad


# torch's exporter warns of torch's own functions
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["D6", "SO2"])
def test_frozen_encoders_reach_onnx(name, tmp_path):
    pytest.importorskip("onnxscript")
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator
    model = encoder(GROUPS[name], num_layers=1, positional_encoding=True).float().freeze()
    x = tokens(model.rep_in, B, T).float()
    torch.onnx.export(model, (x,), tmp_path / "encoder.onnx", dynamo=True)
    session = evaluator(str(tmp_path / "encoder.onnx"))
    (y,) = session.run(None, {session.input_names[0]: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), model(x), rtol=1e-3, atol=1e-4)


def test_widths_are_those_that_heads_can_share():
    vector, regular = D4.irreps()[-1], D4.regular_representation
    for width, nhead, hidden_rep, expected in (
        (24, 4, None, 32),  # copies of 8 for four heads
        (33, 4, None, 64),
        (96, 4, 4 * regular, 96),  # three copies of what four heads share as it is
        (10, 3, direct_sum([3 * vector, 6 * D4.irreps()[0]]), 12),
        (13, 2, vector, 16),
    ):
        rep = vector if hidden_rep is not None else regular
        model = TransformerEncoder(rep, rep, width, nhead, hidden_rep=hidden_rep)
        assert model.norm.rep_in.size == expected


class TestBadInput:
    regular, vector = D4.regular_representation, D4.irreps()[-1]

    def test_options(self):
        for name in ("num_layers", "nhead"):
            with pytest.raises(OptionError, match=f"{name} must be at least 1, got 0"):
                TransformerEncoder(self.regular, self.regular, **{name: 0})
        with pytest.raises(OptionError, match="must be at least 1, got 0"):
            TransformerEncoder(self.regular, self.regular, dim_feedforward=0)
        with pytest.raises(OptionError, match="between 0 and 1, got 2"):
            TransformerEncoder(self.regular, self.regular, dropout=2)
        with pytest.raises(OptionError, match="'relu'"):
            TransformerEncoder(self.regular, self.regular, activation="relu")

    def test_representations(self):
        with pytest.raises(RepresentationError, match="3 heads"):
            TransformerEncoderLayer(4 * self.regular, 3)
        with pytest.raises(RepresentationError, match=r"every irrep of the output 'psi_4', but lacks \['psi_4'\]"):
            TransformerEncoder(D4.irreps()[0], self.vector, hidden_rep=D4.irreps()[0])
        with pytest.raises(RepresentationError, match="must contain every irrep of the input"):
            TransformerEncoderLayer(2 * SO2().irrep(3), 2)
        with pytest.raises(RepresentationError, match="no trivial irrep"):
            TransformerEncoder(self.vector, self.vector, hidden_rep=self.vector, positional_encoding=True)
        with pytest.raises(OptionError, match="no module for positions"):
            TransformerEncoder(self.vector, self.vector, positional_encoding=True).export()
        with pytest.raises(OptionError, match="no module for NormGates"):
            TransformerEncoder(SO2().irrep(1), SO2().irrep(1)).export()
        with pytest.raises(GroupMismatchError):
            TransformerEncoder(self.vector, CyclicGroup(4).regular_representation)

    def test_data(self):
        model, x = TransformerEncoder(self.vector, self.vector, 16, 2, 1), torch.zeros(B, T, 2)
        with pytest.raises(ShapeError, match="D = 2"):
            model(x[..., :1])
        with pytest.raises(ShapeError, match="key_padding_mask"):
            model(x, src_key_padding_mask=torch.zeros(T, B))
        with pytest.raises(DtypeError, match="attn_mask"):
            model(x, torch.zeros(T, T, dtype=torch.int32))
        with pytest.raises(ShapeError, match="last axis but one"):
            model(x[0, 0])
