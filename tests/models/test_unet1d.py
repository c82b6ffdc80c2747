"""U-Nets: equivariant in series and condition together, equal to plain networks of the same weights, for any length."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import conv1d, conv_transpose1d, linear, mish, pad

from isospan.errors import (
    FrozenError,
    GroupMismatchError,
    MissingArgumentError,
    OptionError,
    RepresentationError,
    ShapeError,
)
from isospan.groups import SO2, SO3, CyclicGroup, DihedralGroup, QuaternionGroup
from isospan.models import UNet1d
from isospan.models._condition import StepEmbedding
from isospan.representations import change_of_basis
from isospan.testing import assert_equivariant

LEGS = CyclicGroup(4).regular_representation
GROUPS = [CyclicGroup(4), DihedralGroup(6), QuaternionGroup(), SO2(), SO3()]


def in_random_basis(rep):
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(rep.size, rep.size)))[0]
    return change_of_basis(rep, Q)


def small(rep, rep_cond=None, **choices):
    return UNet1d(rep, rep, rep_cond, hidden_units=(8, 12), kernel_size=3, cond_units=8, **choices)


def drawn(model):
    model = model.double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def data(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
@pytest.mark.parametrize("T", [1, 6, 7])
def test_equivariant_in_series_and_condition_together(group, T):
    irreps = group.irreps() if group.order() else group.irreps(2)
    rep, rep_cond = in_random_basis(irreps[0] + irreps[-1]), in_random_basis(irreps[1] + irreps[0])
    model, step = drawn(small(rep, rep_cond, step_embed_dim=4)), torch.arange(3)
    xs = [data(3, rep.size, T), data(3, rep_cond.size)]
    assert_equivariant(lambda x, c: model(x, c, step), (rep, rep_cond), rep, x=xs, dim=[-2, -1])
    y = model(*xs, step)
    assert y.shape == xs[0].shape
    assert (model(xs[0], 2 * xs[1], step) - y).abs().max() > 1e-6
    assert (model(*xs, step + 1) - y).abs().max() > 1e-6


def plain_block(block, x):
    """Convolution, RMS norm and Mish of the dense weight."""
    h = conv1d(x, block.conv.weight, block.conv.bias, padding=1)
    return mish(h / (h.square().mean(1, keepdim=True) + 1e-5).sqrt())


def plain_level(level, x, c):
    for block in (level.first, level.second):
        h = plain_block(block.first, x)
        if block.film is not None:
            modulation = block.film.modulation
            context = torch.cat([c, block.film.invariants(c)[:, block.film._linear :]], dim=1)
            scale, shift = linear(context, modulation.weight, modulation.bias).unsqueeze(-1).chunk(2, dim=1)
            h = (1 + scale) * h + shift
        residual = block.residual
        x = plain_block(block.second, h) + (
            x if isinstance(residual, torch.nn.Identity) else conv1d(x, residual.weight, residual.bias)
        )
    return x


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("T", [5, 8])
def test_it_is_the_plain_network_of_its_weights(conditioned, T):
    """Two levels, where regular hidden features have Mish for an activation."""
    rep_cond = LEGS if conditioned else None
    model, x = drawn(small(2 * LEGS, rep_cond, step_embed_dim=4 if conditioned else None)), data(3, 8, T)
    given = (data(3, 4), torch.arange(3)) if conditioned else ()
    c = torch.cat([model.condition.vector(given[0]), model.condition.step(given[1])], dim=1) if conditioned else None
    beside = plain_level(model.down[0], x, c)
    downsample, upsample = model.downsample[0], model.upsample[0]
    h = plain_level(model.middle, conv1d(beside, downsample.weight, downsample.bias, stride=2, padding=1), c)
    h = conv_transpose1d(h, upsample.weight, upsample.bias, stride=2, padding=1)[..., :T]
    h = plain_block(model.last, plain_level(model.up[0], torch.cat([h, beside], dim=1), c))
    torch.testing.assert_close(model(x, *given), conv1d(h, model.head.weight, model.head.bias))


def test_steps_are_sinusoids():
    embedding = StepEmbedding(6).double()
    waves = [f(t * 10_000 ** (-i / 3)) for t in [999.0] for f in (np.sin, np.cos) for i in range(3)]
    expected = embedding.network(torch.tensor(waves, dtype=torch.float64))
    torch.testing.assert_close(embedding(torch.tensor(999)), expected)
    # phases of hundreds of radians are rounded to 3e-5 in single precision
    torch.testing.assert_close(
        copy.deepcopy(embedding).float()(torch.tensor([999]))[0], expected.float(), atol=1e-3, rtol=0
    )


def test_one_step_is_that_of_all_samples_and_a_batch_is_no_need():
    model = drawn(small(LEGS, LEGS, step_embed_dim=4))
    x, c = data(3, 4, 6), data(3, 4)
    y = model(x, c, torch.tensor(7))
    torch.testing.assert_close(y, model(x, c, torch.full((3,), 7)))
    torch.testing.assert_close(model(x[0], c[0], torch.tensor(7)), y[0])


def test_series_moved_by_a_multiple_of_the_levels_have_moved_values_but_near_the_ends():
    """A feature sees at most 50 steps to either side here: 13 kernel positions of 3 above, of 2 steps each below."""
    model, x = drawn(small(LEGS)), data(2, 4, 160)
    y = model(x)
    for shift, same in [(2, True), (4, True), (1, False)]:
        moved = model(x.roll(shift, dims=-1))
        difference = (moved[..., 55:105] - y.roll(shift, dims=-1)[..., 55:105]).abs().max()
        assert (difference < 1e-10) == same, shift
    assert (model(pad(x, (2, 0)))[..., 2:] - y).abs().max() > 1e-6  # zeros beyond the ends are seen


@pytest.mark.parametrize("group", [CyclicGroup(4), SO2()], ids=lambda group: group.name)
def test_training_lowers_a_loss_through_every_parameter(group):
    rep = group.regular_representation if group.order() else group.irrep(0) + 2 * group.irrep(1)
    model, x, c = small(rep, rep, step_embed_dim=4), torch.randn(8, rep.size, 7), torch.randn(8, rep.size)
    target, step, losses = torch.randn(8, rep.size, 7), torch.randint(50, (8,)), []
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(10):
        loss = (model(x, c, step) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert not [name for name, parameter in model.named_parameters() if (parameter == before[name]).all()]


def test_vectors_alone_make_more_than_linear_maps():
    vector = SO2().irrep(1)
    model, x = drawn(small(vector)), data(3, 2, 7)
    assert (model(-x) + model(x)).abs().max() < 1e-9  # rotated by half a circle
    assert (model(2 * x) - 2 * model(x)).abs().max() > 1e-2


def test_frozen_networks_give_the_same_and_do_not_train():
    model, xs = drawn(small(LEGS, LEGS)), (data(3, 4, 6), data(3, 4))
    y = model(*xs)
    torch.testing.assert_close(copy.deepcopy(model).freeze()(*xs), y, rtol=0, atol=1e-12)
    with pytest.raises(FrozenError):
        model.freeze().train()
    assert model.unfreeze().train()(*xs).requires_grad


def test_a_number_is_the_step_of_all_samples():
    model, x = drawn(small(LEGS, step_embed_dim=4)), data(3, 4, 6)
    torch.testing.assert_close(model(x, step=7), model(x, step=torch.full((3,), 7)), rtol=0, atol=1e-12)


def test_frozen_networks_export():
    model = small(LEGS, LEGS, step_embed_dim=4).freeze()
    xs = (torch.randn(3, 4, 5), torch.randn(3, 4), torch.arange(3))
    torch.testing.assert_close(torch.export.export(model, xs).module()(*xs), model(*xs))


@pytest.mark.parametrize("T", [15, 16])
def test_the_length_of_series_stays_open_where_a_network_is_exported(T):
    model, shapes = small(LEGS).freeze(), ({2: torch.export.Dim.DYNAMIC},)
    exported = torch.export.export(model, (torch.randn(2, 4, T),), dynamic_shapes=shapes).module()
    for x in (torch.randn(2, 4, other) for other in (3, 15, 16, 17, 63)):
        torch.testing.assert_close(exported(x), model(x))


class TestBadInput:
    x, c, step = torch.zeros(2, 4, 8), torch.zeros(2, 4), torch.zeros(2)

    def test_missing(self):
        with pytest.raises(MissingArgumentError, match="built with rep_cond needs cond, got none"):
            small(LEGS, LEGS)(self.x)
        with pytest.raises(MissingArgumentError, match="built with step_embed_dim needs step, got none"):
            small(LEGS, step_embed_dim=4)(self.x)

    def test_unwanted(self):
        with pytest.raises(OptionError, match=r"built without rep_cond takes no cond, got one"):
            small(LEGS)(self.x, self.c)
        with pytest.raises(OptionError, match="built without step_embed_dim takes no step"):
            small(LEGS)(self.x, step=self.step)

    def test_shapes(self):
        with pytest.raises(ShapeError, match=r"\(B, D, T\) or \(D, T\) with D = 4"):
            small(LEGS)(torch.zeros(2, 8, 4))
        with pytest.raises(ShapeError, match=r"its cond, of shape \(2, 4\) together, got \(2, 5\)"):
            small(LEGS, LEGS)(self.x, torch.zeros(2, 5))
        with pytest.raises(ShapeError, match=r"its cond, of shape \(2, 4\) together, got \(2,\)"):
            small(LEGS, LEGS, step_embed_dim=4)(self.x, self.step, self.c)
        with pytest.raises(ShapeError, match=r"at least one step, got \(2, 4, 0\)"):
            small(LEGS)(self.x[..., :0])
        with pytest.raises(ShapeError, match=r"its cond, of shape \(2, 4\) together, got \(3, 4\)"):
            small(LEGS, LEGS)(self.x, torch.zeros(3, 4))
        with pytest.raises(ShapeError, match=r"its step, of shape \(2,\) together, got \(3,\)"):
            small(LEGS, step_embed_dim=4)(self.x, step=torch.zeros(3))

    def test_outputs_that_gates_leave_zero(self):
        vector, pair = SO2().irrep(1), SO2().irrep(2)
        with pytest.raises(RepresentationError, match="the input 'frequency 1' has no irrep of it"):
            UNet1d(vector, pair)
        assert UNet1d(vector, pair, rep_cond=pair, hidden_units=(8,)).rep_out == pair

    def test_arguments(self):
        with pytest.raises(OptionError, match="odd kernel_size, got 4"):
            UNet1d(LEGS, LEGS, kernel_size=4)
        with pytest.raises(OptionError, match="even step_embed_dim, got 5"):
            UNet1d(LEGS, LEGS, step_embed_dim=5)
        with pytest.raises(GroupMismatchError, match=r"CyclicGroup\(4\).*CyclicGroup\(3\)"):
            UNet1d(LEGS, LEGS, CyclicGroup(3).regular_representation)
