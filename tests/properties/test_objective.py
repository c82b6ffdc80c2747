"""The objective does not depend on batches, names' order or units; its state continues bit for bit."""

import copy
import gc
import itertools

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.optim.swa_utils import AveragedModel

from isospan.errors import IsospanError
from isospan.guided import EverySteps, ExponentialSchedule, SpaceObjective

from .strategies import near, normal, orthogonal, outcome, plain_batches, seeds, unchanged

methods = st.sampled_from(["covariance", "regression", "correlation"])


def objective_of(batch, **options):
    options = {"schedule": EverySteps(3), "ridge": 1e-3} | options
    return SpaceObjective(dict.fromkeys(batch.y, 1), batch.z.shape[1], **options)


def fed(objective, batch, edges):
    for a, b in itertools.pairwise(edges):
        objective(batch.z[a:b], {name: y[a:b] for name, y in batch.y.items()})
    return objective


def same_state(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@given(plain_batches, st.sets(st.integers(1, 7), max_size=5), st.integers(8, 50))
def test_moments_do_not_depend_on_how_a_stream_is_cut(batch, cuts, memory):
    # sums of at most 24 samples in another order, with weights that decay: 3e-15 was seen
    never = EverySteps(10**9)
    n = len(batch.z)
    whole = fed(objective_of(batch, schedule=never, memory=memory), batch, [0, n])
    parts = fed(objective_of(batch, schedule=never, memory=memory), batch, sorted({0, n, *cuts}))
    for name, buffer in whole.moments.named_buffers():
        near(parts.moments.get_buffer(name), buffer, 1e-10, unit=buffer.abs().max() + 1e-3)


@given(plain_batches, methods, st.integers(0, 6), st.booleans())
def test_a_state_continues_bit_for_bit(batch, method, steps, orthogonal_subspaces):
    assume(not orthogonal_subspaces or len(batch.y) <= batch.z.shape[1])
    n = len(batch.z)
    options = {"method": method, "orthogonal": orthogonal_subspaces}
    objective = objective_of(batch, **options)
    for _ in range(steps):
        fed(objective, batch, [0, n])
    other = objective_of(batch, **options)
    other.load_state_dict(copy.deepcopy(objective.state_dict()))
    assert same_state(objective, other)
    losses = []
    for one in (objective, other):
        z = batch.z.clone().requires_grad_()
        losses.append((one(z, batch.y), torch.autograd.grad(one(z, batch.y), z)[0]))
    assert all(torch.equal(a, b) for a, b in zip(*losses, strict=True))
    assert same_state(objective, other)


@given(plain_batches)
def test_an_averaged_objective_follows_from_before_the_first_batch(batch):
    objective = objective_of(batch, shapes={name: tuple(y.shape[1:]) for name, y in batch.y.items()})
    model = torch.nn.ModuleList([torch.nn.Linear(1, 1), objective])
    averaged = AveragedModel(model)
    for _ in range(4):
        fed(objective, batch, [0, len(batch.z)])
        averaged.update_parameters(model)
    for name, y in objective.space.decode(batch.z).items():
        assert torch.equal(averaged.module[1].space.decode(batch.z)[name], y)


@given(plain_batches, st.permutations(range(3)))
def test_a_state_is_taken_in_by_name(batch, order):
    # the same numbers; only the order of quantities differs, of which products may depend by rounding
    names = list(batch.y)
    objective = fed(objective_of(batch), batch, [0, len(batch.z)])
    objective.solve(batch.z, batch.y)
    reordered = [names[i] for i in order if i < len(names)]
    other = SpaceObjective(dict.fromkeys(reordered, 1), batch.z.shape[1], schedule=EverySteps(3))
    other.load_state_dict(objective.state_dict())
    for name, y in objective.space.decode(batch.z).items():
        near(other.space.decode(batch.z)[name], y, 1e-8)


@given(plain_batches, methods, seeds, st.sampled_from([1e-6, 0.1, 1e6]))
def test_the_guidance_has_no_unit(batch, method, seed, unit):
    # rounding of a rotation, 1e-15, times at most 1 / ridge = 1e3, over columns that may be small
    Q, order = (
        orthogonal(seed, batch.z.shape[1]),
        torch.randperm(len(batch.z), generator=torch.Generator().manual_seed(seed)),
    )
    objectives = [objective_of(batch, method=method, schedule=EverySteps(1)) for _ in range(2)]
    before = objectives[0](batch.z, batch.y)
    moved = {name: unit * (y[order] + 7) for name, y in reversed(batch.y.items())}
    near(objectives[1](batch.z[order], moved), before, 1e-6, unit=1.0)
    rotated = objective_of(batch, method=method, schedule=EverySteps(1))(unit * batch.z @ Q.mT, batch.y)
    near(rotated, before, 1e-6, unit=1.0)
    assert 0 <= before <= 1 + 1e-9  # the unexplained share


@given(plain_batches, st.sampled_from([1e-12, 1e-3, 1e9, -1.0]))
def test_the_weight_follows_the_scale_of_the_task(batch, scale):
    # a ratio of norms: far above rounding, 2e-15, for a floor that only matters below a scale of 1e-12
    weights, v = [], normal(0, batch.z.shape[1])
    for factor in (1.0, scale):
        objective = objective_of(batch, schedule=EverySteps(1))
        for _ in range(4):
            z = batch.z.clone().requires_grad_()
            objective.total_loss(factor * (z @ v).square().mean(), z, batch.y).backward()
        weights.append(objective.terms["weight"])
    near(weights[1], abs(scale) * weights[0], 1e-6)


@given(plain_batches)
def test_evaluation_and_refused_batches_leave_the_state(batch):
    objective = objective_of(batch, schedule=EverySteps(1))
    fed(objective, batch, [0, len(batch.z)])
    before = copy.deepcopy(objective)
    objective.eval()(batch.z, batch.y)
    objective.train()
    assert outcome(objective, batch.z * torch.nan, batch.y) is None
    assert outcome(objective, batch.z[:, :-1], batch.y) is None
    assert same_state(objective, before)
    same = unchanged(batch.z, *batch.y.values())
    objective.space.decode(batch.z)
    objective(batch.z, batch.y)
    assert same()


BAD_OPTIONS = {
    "k": [{}, {"a": 0}, {"a": 1.5}, {"a": "1"}, {"free": 1}, None, 3, ["a"], {"a": 9}, {"a": 5, "b": 5}],
    "latent_dim": [0, -3, "8", 8.5, None, True],
    "schedule": [5, "often"],
    "method": ["pca", None],
    "separation": [-1.0, "1", float("nan")],
    "decoders": ["never", None],
    "weights": [{"beauty": 1.0}, {"alignment": "1"}, {"alignment": float("nan")}, 3],
    "strength": [-1.0, float("nan"), float("inf"), "1"],
    "memory": [-1, 0, 7, 0.9, "1600", float("nan")],
    "ridge": [-1.0, float("nan"), "0"],
}


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option in BAD_OPTIONS for value in BAD_OPTIONS[option]]
)
def test_bad_options_are_refused_when_it_is_made(option, value):
    with pytest.raises(IsospanError):
        SpaceObjective(**({"k": {"a": 1, "b": 1}, "latent_dim": 8, "orthogonal": True} | {option: value}))


@pytest.mark.slow
def test_three_thousand_steps():
    """Memory does not grow, the loss stays finite, and the state of any moment continues."""
    encoder = torch.nn.Linear(10, 8)
    optimizer = torch.optim.Adam(encoder.parameters())
    objective = SpaceObjective({"a": 2, "b": 2}, 8, orthogonal=True, schedule=ExponentialSchedule())
    alive = []
    for step in range(3000):
        x = normal(step, 32, 10, dtype=torch.float32)
        z = encoder(x)
        loss = objective.total_loss((z - x[:, :8]).square().mean(), z, {"a": x[:, :3] ** 2, "b": x[:, 3:6]})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
        if step % 1000 == 999:
            del z, loss
            gc.collect()
            alive.append(sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects()))
            other = SpaceObjective({"a": 2, "b": 2}, 8, orthogonal=True)
            other.load_state_dict(objective.state_dict())
            assert same_state(objective, other)
            del other
    assert max(alive) - min(alive) <= 3, alive
