"""Attention: torch's with the dense weights, a loop over heads, masks, and what a query without keys gets."""

import numpy as np
import pytest
import torch

from isospan.errors import DtypeError, FrozenError, GroupMismatchError, OptionError, RepresentationError, ShapeError
from isospan.groups import SO2, CyclicGroup, DihedralGroup
from isospan.nn import Linear, MultiheadAttention, PositionalEncoding
from isospan.nn._attention.dot_product import DotProductAttention
from isospan.nn._attention.multihead import head_representation
from isospan.representations import direct_sum
from isospan.testing import assert_equivariant, equivariance_error

from .conftest import in_random_basis

B, H, L, S = 3, 2, 5, 7
REGULAR = 4 * DihedralGroup(3).regular_representation


def random_(module):
    """Parameters far from their start, where biases are zero."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator).mul_(0.5)
    return module


def tokens(rep, *shape, seed=0):
    return torch.randn(*shape, rep.size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def attention(rep=REGULAR, heads=H, **options):
    return random_(MultiheadAttention(rep, heads, **options).double()).eval()


def masks():
    """Every form of a mask; no row is blocked as a whole, for which torch has no value."""
    generator = torch.Generator().manual_seed(3)
    blocked = torch.rand(L, S, generator=generator) > 0.5
    each = torch.rand(B * H, L, S, generator=generator) > 0.5
    padding = torch.zeros(B, S, dtype=torch.bool)
    padding[0, 5:] = padding[2, 3:] = True
    blocked[:, 0] = each[:, :, 0] = False
    numbers, padding_numbers = torch.randn(L, S, generator=generator), torch.randn(B, S, generator=generator)
    causal = torch.nn.Transformer.generate_square_subsequent_mask(S)[:L]
    for attn_mask in (None, blocked, numbers.double(), each, causal.double()):
        for key_padding_mask in (None, padding, padding_numbers.double()):
            yield {"attn_mask": attn_mask, "key_padding_mask": key_padding_mask}


def naive(module, query, key, value, blocked):
    """One head and one query at a time, with nothing but numpy."""
    E = module.head_rep.size
    W, b = module.in_proj.weight.detach().numpy(), module.in_proj.bias
    b = np.zeros(len(W)) if b is None else b.detach().numpy()
    q, k, v = (
        x.numpy() @ W_i.T + b_i for x, W_i, b_i in zip((query, key, value), np.split(W, 3), np.split(b, 3), strict=True)
    )
    mixed = np.zeros((*q.shape[:2], q.shape[2]))
    for batch, i, h in np.ndindex(*q.shape[:2], module.num_heads):
        head = slice(h * E, (h + 1) * E)
        scores = np.array([q[batch, i, head] @ k[batch, j, head] / np.sqrt(E) for j in range(k.shape[1])])
        weights = np.exp(scores) * ~blocked[i]
        mixed[batch, i, head] = (weights / weights.sum()) @ v[batch, :, head]
    bias = module.out_proj.bias
    return mixed @ module.out_proj.weight.detach().numpy().T + (0 if bias is None else bias.detach().numpy())


class TestValues:
    @pytest.mark.parametrize("need_weights", [True, False])
    @pytest.mark.parametrize("average", [True, False])
    # torch warns of masks of two types, which it takes
    @pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")
    def test_is_torch_s_with_the_dense_weights(self, need_weights, average):
        module = attention()
        plain = module.export()
        assert type(plain) is torch.nn.MultiheadAttention
        x, y, z = tokens(REGULAR, B, L), tokens(REGULAR, B, S, seed=1), tokens(REGULAR, B, S, seed=2)
        for mask in masks():
            for key, value in ((y, y), (y, z)):
                options = {"need_weights": need_weights, "average_attn_weights": average, **mask}
                (ours, weights), (theirs, expected) = module(x, key, value, **options), plain(x, key, value, **options)
                torch.testing.assert_close(ours, theirs)
                assert (weights is None) == (expected is None)
                if weights is not None:
                    torch.testing.assert_close(weights, expected)

    @pytest.mark.parametrize("need_weights", [True, False])
    def test_self_attention_and_the_causal_hint(self, need_weights):
        module, x = attention(), tokens(REGULAR, B, L)
        mask = torch.ones(L, L, dtype=torch.bool).triu(1)
        expected, _ = module.export()(x, x, x, attn_mask=mask, is_causal=True)
        for options in ({"is_causal": True}, {"attn_mask": mask}, {"attn_mask": mask, "is_causal": True}):
            torch.testing.assert_close(module(x, x, x, need_weights=need_weights, **options)[0], expected)

    def test_is_torch_s_without_a_batch(self):
        module, x, y = attention(), tokens(REGULAR, L), tokens(REGULAR, S)
        each, padding = torch.rand(H, L, S) > 0.9, torch.arange(S) > 4
        for mask in ({}, {"attn_mask": each, "key_padding_mask": padding}):
            ours, theirs = module(x, y, y, **mask), module.export()(x, y, y, **mask)
            torch.testing.assert_close(ours, theirs)

    def test_leading_dimensions_are_a_batch(self):
        module, x, padding = attention(), tokens(REGULAR, 6, L), torch.rand(6, L) > 0.7
        expected, weights = module(x, x, x, padding)
        y, split = module(*3 * (x.unflatten(0, (2, 3)),), padding.unflatten(0, (2, 3)))
        torch.testing.assert_close(y.flatten(0, 1), expected)
        torch.testing.assert_close(split.flatten(0, 1), weights)

    def test_dropout_is_torch_s_for_one_draw(self):
        module, x = attention(dropout=0.4).train(), tokens(REGULAR, B, L)
        plain, drawn = module.export(), []
        for either in (module, plain):
            torch.manual_seed(0)
            drawn.append(either(x, x, x))
        torch.testing.assert_close(*drawn)
        assert (drawn[0][1] == 0).any()

    @pytest.mark.parametrize("need_weights", [True, False])
    def test_dropped_weights_have_the_mean_of_all(self, need_weights):
        module, x = attention(dropout=0.4), tokens(REGULAR, 1, L)
        expected, _ = module(x, x, x)
        draws = module.train()(*3 * (x.expand(20_000, -1, -1),), need_weights=need_weights)[0]
        error = (draws.mean(0) - expected[0]).abs() / (draws.std(0) / len(draws) ** 0.5)
        assert error.max() < 5  # standard errors, of 120 means
        assert draws.std(0).min() > 0

    def test_head_representation_of_the_user(self):
        group = DihedralGroup(4)
        rep, head = in_random_basis(group.regular_representation), group.irreps()[-1] + group.trivial_representation
        for options in ({}, {"bias": False}):
            module = attention(rep, 3, head_rep=head, **options)
            x, y, z = tokens(rep, B, L), tokens(rep, B, S, seed=1), tokens(rep, B, S, seed=2)
            blocked = np.random.default_rng(0).random((L, S)) > 0.7
            expected = torch.from_numpy(naive(module, x, y, z, blocked))
            plain = module.export()
            assert type(plain) is DotProductAttention
            assert {type(part) for part in plain.children()} == {torch.nn.Linear}
            for each in (module, plain):
                torch.testing.assert_close(each(x, y, z, attn_mask=torch.from_numpy(blocked))[0], expected)
            ours = {p.data_ptr() for p in module.parameters()}
            assert not ours & {p.data_ptr() for p in plain.parameters()}

    def test_exports_heads_without_invariants(self):
        """The heads have no biases, the output has one; torch has both or none."""
        group = DihedralGroup(4)
        rep = group.trivial_representation + group.irreps()[-1] + group.trivial_representation
        module, x = attention(rep, 2, head_rep=group.irreps()[-1]), tokens(rep, B, L)
        assert (module.in_proj.bias is None, module.out_proj.bias is None) == (True, False)
        torch.testing.assert_close(module.export()(x, x, x), module(x, x, x))


class TestSymmetry:
    @pytest.mark.parametrize("need_weights", [True, False])
    def test_of_the_group_for_every_kind_of_irrep(self, reps, need_weights):
        rep = in_random_basis(2 * reps[0])
        module = attention(rep, 2)
        assert module.head_dim == reps[0].size
        other, third = tokens(rep, B, S, seed=1), tokens(rep, B, S, seed=2)
        pair, mask = 3 * rep, torch.rand(L, S) > 0.6

        def cross(x):
            """Queries, keys and values of other tokens, moved together."""
            query, key, value = x.unflatten(-1, (3, -1)).unbind(-2)
            return module(query[:, :L], key, value, attn_mask=mask, need_weights=need_weights)[0]

        x = torch.cat([torch.nn.functional.pad(tokens(rep, B, L), (0, 0, 0, S - L)), other, third], dim=-1)
        assert_equivariant(cross, pair, rep, x=x)
        assert cross(x).abs().max() > 0.1

    def test_weights_are_invariant(self):
        module, x = attention(), tokens(REGULAR, B, L)
        error = equivariance_error(lambda x: module(x, x, x, average_attn_weights=False)[1], REGULAR, None, x=x)
        assert error < 1e-12

    def test_of_a_draw_of_dropout(self):
        module, x = attention(dropout=0.5).train(), tokens(REGULAR, B, L)

        def drawn(x):
            torch.manual_seed(0)
            return module(x, x, x, need_weights=False)[0]

        assert_equivariant(drawn, REGULAR, REGULAR, x=x)

    def test_of_tokens(self):
        module, x, order = attention(), tokens(REGULAR, B, L), torch.randperm(L)
        torch.testing.assert_close(module(*3 * (x[:, order],))[0], module(x, x, x)[0][:, order])

    def test_causal_outputs_are_those_of_the_past(self):
        module, x = attention(), tokens(REGULAR, B, L)
        for options in ({"need_weights": False}, {}, {"key_padding_mask": torch.zeros(B, L, dtype=torch.bool)}):
            y, _ = module(x, x, x, is_causal=True, **options)
            for t in range(1, L + 1):
                part = {**options, **({"key_padding_mask": torch.zeros(B, t).bool()} if len(options) and t else {})}
                torch.testing.assert_close(module(*3 * (x[:, :t],), is_causal=True, **part)[0], y[:, :t])


class TestClosedRows:
    """Queries that may look at no key."""

    @pytest.mark.parametrize("need_weights", [True, False])
    @pytest.mark.parametrize("floating", [True, False])
    def test_they_get_the_bias_and_finite_gradients(self, need_weights, floating):
        module, x = attention(), tokens(REGULAR, B, L).requires_grad_()
        mask = torch.zeros(L, L, dtype=torch.bool)
        mask[2] = True
        padding = torch.zeros(B, L, dtype=torch.bool)
        padding[1] = True
        if floating:
            mask, padding = (torch.zeros(m.shape).double().masked_fill(m, -torch.inf) for m in (mask, padding))
        y, weights = module(x, x, x, padding, need_weights, mask)
        for part in (y[:, 2], y[1]):
            torch.testing.assert_close(part, module.out_proj.bias.expand_as(part))
        if weights is not None:
            assert not weights[:, 2].any()
            assert not weights[1].any()
        y.square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in [x, *module.parameters()])
        assert x.grad[0].any()
        assert not x.grad[1].any()

    @pytest.mark.parametrize("need_weights", [True, False])
    def test_others_get_what_they_got_without_them(self, need_weights):
        module, x = attention(), tokens(REGULAR, B, L)
        mask = torch.eye(L, dtype=torch.bool)
        expected, _ = module.export()(x, x, x, attn_mask=mask)
        mask[2] = True
        y, _ = module(x, x, x, attn_mask=mask, need_weights=need_weights)
        rest = [0, 1, 3, 4]
        torch.testing.assert_close(y[:, rest], expected[:, rest])


@pytest.mark.parametrize("need_weights", [True, False])
def test_added_scores_are_trained(need_weights):
    module, x, bias = attention(), tokens(REGULAR, B, L), torch.zeros(L, L).double().requires_grad_()
    module(x, x, x, attn_mask=bias, need_weights=need_weights)[0].square().sum().backward()
    step = 1e-6 * torch.eye(L).double()
    difference = module(x, x, x, attn_mask=step)[0].square().sum() - module(x, x, x, attn_mask=-step)[0].square().sum()
    torch.testing.assert_close((bias.grad * step).sum(), difference.detach() / 2, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, L), (B, 0)])
def test_no_samples_or_tokens(shape):
    module, x = attention(), tokens(REGULAR, *shape)
    for need_weights in (True, False):
        assert module(x, x, x, need_weights=need_weights)[0].shape == x.shape


# torch's exporter warns of torch's own functions
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_exported_attention_reaches_onnx(tmp_path):
    pytest.importorskip("onnxscript")
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator
    module, x = attention().float(), tokens(REGULAR, B, L).float()
    torch.onnx.export(module.export(), (x, x, x), tmp_path / "attention.onnx")
    session = evaluator(str(tmp_path / "attention.onnx"))
    values = session.run(None, dict.fromkeys(session.input_names, x.numpy()))
    torch.testing.assert_close(torch.from_numpy(values[0]), module(x, x, x)[0], rtol=1e-4, atol=1e-5)


def test_frozen_attention_follows_its_parameters():
    module, x = attention(), tokens(REGULAR, B, L)
    expected = module(x, x, x)[0]
    torch.testing.assert_close(module.freeze()(x, x, x)[0], expected)
    with pytest.raises(FrozenError):
        module.train()
    other = attention()
    other.reset_parameters(generator=torch.Generator().manual_seed(1))
    module.load_state_dict(other.state_dict())
    torch.testing.assert_close(module(x, x, x), other(x, x, x))
    assert module.unfreeze()(x, x, x)[0].requires_grad


def test_heads_share_blocks_or_else_irreps():
    group = DihedralGroup(3)
    regular, trivial = group.regular_representation, group.trivial_representation
    assert head_representation(direct_sum([2 * trivial, 4 * regular]), 2) == trivial + 2 * regular
    head = head_representation(in_random_basis(direct_sum([2 * group.irreps()[0], 4 * group.irreps()[2]])), 2)
    assert [irrep.name for irrep in head.irreps] == ["psi_0", "psi_2", "psi_2"]
    mixed = head_representation(direct_sum([3 * trivial, regular, group.irreps()[1], 2 * group.irreps()[2]]), 2)
    assert {(c.irrep.name, c.multiplicity) for c in mixed.isotypic} == {("psi_0", 2), ("psi_1", 1), ("psi_2", 2)}


class TestBadInput:
    x = torch.zeros(B, L, REGULAR.size)

    def test_heads(self):
        group = DihedralGroup(3)
        with pytest.raises(RepresentationError, match=r"3 heads .*'psi_0': 4, .* that divides 4"):
            MultiheadAttention(REGULAR, 3)
        with pytest.raises(OptionError, match="num_heads must be at least 1, got 0"):
            MultiheadAttention(REGULAR, 0)
        with pytest.raises(OptionError, match="num_heads must be a whole number"):
            MultiheadAttention(REGULAR, 2.0)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="num_heads must be at least 1, got -1"):
            MultiheadAttention(REGULAR, -1, head_rep=group.irreps()[0])

    def test_groups_and_irreps(self):
        with pytest.raises(RepresentationError, match="got int"):
            MultiheadAttention(4, 2)
        with pytest.raises(GroupMismatchError):
            MultiheadAttention(REGULAR, 2, head_rep=CyclicGroup(3).regular_representation)
        with pytest.raises(RepresentationError, match="only the zero map commutes"):
            MultiheadAttention(2 * SO2().irrep(1), 2, head_rep=SO2().irrep(2))

    @pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
    def test_dropout(self, p):
        with pytest.raises(OptionError, match=f"between 0 and 1, got {p}"):
            MultiheadAttention(REGULAR, 2, dropout=p)

    def test_tokens(self):
        module, x = MultiheadAttention(REGULAR, 2), self.x
        with pytest.raises(ShapeError, match="D = 24"):
            module(x, x[..., :5], x)
        with pytest.raises(DtypeError, match="floating point"):
            module(x, x, x.long())
        for key, value in ((x[:, :3], x), (x[:2], x[:2]), (x[0], x[0])):
            with pytest.raises(ShapeError, match=r"Tokens are the last axis but one"):
                module(x, key, value)
        with pytest.raises(ShapeError, match=r"Tokens are the last axis but one"):
            module(x[0, 0], x[0, 0], x[0, 0])

    def test_masks(self):
        module, x = MultiheadAttention(REGULAR, 2), self.x
        for shape in ((L,), (L, S), (B, L, L), (2, L, L)):
            with pytest.raises(ShapeError, match=r"attn_mask .* must have shape \(5, 5\) or \(6, 5, 5\) here, got"):
                module(x, x, x, attn_mask=torch.zeros(shape))
        with pytest.raises(ShapeError, match=r"key_padding_mask .* must have shape \(3, 5\) here, got \(5, 3\)"):
            module(x, x, x, torch.zeros(L, B))
        for name, shape in (("attn_mask", (L, L)), ("key_padding_mask", (B, L))):
            with pytest.raises(DtypeError, match=rf"{name} .* must be boolean .* got torch.int64"):
                module(x, x, x, **{name: torch.zeros(shape, dtype=torch.int64)})


class TestPositionalEncoding:
    def test_is_the_one_of_its_source_for_the_trivial_group(self):
        size, time = 7, 12
        expected = np.empty((time, size))
        for t, i in np.ndindex(time, size):
            angle = t / 10_000 ** (2 * (i // 2) / size)
            expected[t, i] = np.cos(angle) if i % 2 else np.sin(angle)
        rep = size * CyclicGroup(1).trivial_representation
        encoding = PositionalEncoding(rep).double()
        torch.testing.assert_close(encoding(torch.zeros(time, size).double()), torch.from_numpy(expected))

    def test_moves_invariant_coordinates_only(self, reps):
        (rep, _), encoding = reps, PositionalEncoding(reps[0]).double()
        x = tokens(rep, B, L)
        added = encoding(x) - x
        assert_equivariant(encoding, rep, rep, x=x)
        invariant = rep.isotypic[0].multiplicity
        z = added[0].numpy() @ rep.change_of_basis
        assert np.linalg.matrix_rank(z[:, :invariant]) > 0
        assert abs(z[:, invariant:]).max(initial=0) < 1e-12
        torch.testing.assert_close(added[0], added[1])

    def test_tells_positions_apart_far_away(self):
        encoding = PositionalEncoding(REGULAR)
        p = encoding(torch.zeros(5000, REGULAR.size))
        assert torch.pdist(p[4000:]).min() > 0.01

    def test_bad_input(self):
        with pytest.raises(RepresentationError, match="invariant"):
            PositionalEncoding(SO2().irrep(1))
        with pytest.raises(ShapeError, match=r"\(\.\.\., T, 24\)"):
            PositionalEncoding(REGULAR)(torch.zeros(24))


def test_attention_follows_linear_layers_in_a_sequence():
    """What it maps is what the layers next to it map."""
    module = MultiheadAttention(REGULAR, 2)
    assert module.rep_in == module.rep_out == Linear(REGULAR, module.rep_in).rep_out
