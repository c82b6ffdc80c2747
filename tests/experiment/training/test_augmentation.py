"""Shifts and reflections against torch.roll and torch.flip."""

import itertools

import pytest
import torch

from isospan.experiment.samples._samples import Samples
from isospan.experiment.samples._shards import Shard
from isospan.experiment.training._augmentation import can_shift, shifted


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def orbit(x):
    """Every shift and reflection of a field (C, H, W)."""
    flips = [x.flip(axes) if axes else x for axes in [(), (-1,), (-2,), (-2, -1)]]
    shifts = itertools.product(range(x.shape[-2]), range(x.shape[-1]))
    return [f.roll(s, (-2, -1)) for s in shifts for f in flips]


def test_each_result_is_a_shift_and_reflection_and_all_of_them_occur():
    x = torch.randn(1, 1, 3, 4)
    result = shifted(Samples(x.expand(2000, 1, 3, 4)), generator=generator()).fields
    candidates = torch.stack(orbit(x[0])).flatten(1)
    matches = (result.flatten(1)[:, None] == candidates[None]).all(2)
    assert (matches.sum(1) == 1).all()
    # 48 elements of 2000 draws: each is expected 42 times, fewer than 10 has odds below 1e-9
    assert (matches.sum(0) >= 10).all()


def test_arrays_are_shifted_with_the_fields_and_not_reflected():
    x = torch.arange(5 * 4.0).view(1, 1, 5, 4).repeat(50, 1, 1, 1)
    moved = shifted(Samples(x, {"twice": torch.cat([2 * x, 3 * x], 1)}), generator=generator())
    assert torch.equal(moved.quantities["twice"], torch.cat([2 * moved.fields, 3 * moved.fields], 1))
    shifts = {tuple(x[0, 0].roll((i, j), (0, 1)).flatten().tolist()) for i in range(5) for j in range(4)}
    assert {tuple(m.flatten().tolist()) for m in moved.fields} <= shifts


def test_vector_fields_are_only_shifted():
    x = torch.arange(2 * 3 * 3.0).view(1, 2, 3, 3).repeat(50, 1, 1, 1)
    moved = shifted(Samples(x), generator=generator()).fields
    shifts = {tuple(x[0].roll((i, j), (-2, -1)).flatten().tolist()) for i in range(3) for j in range(3)}
    assert {tuple(m.flatten().tolist()) for m in moved} == shifts


def test_the_generator_decides():
    x = Samples(torch.randn(8, 1, 6, 6))
    first, same, other = (shifted(x, generator=generator(seed)).fields for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_gradients_flow_back_to_where_values_came_from():
    x = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: shifted(Samples(x), generator=generator()).fields, x)


@pytest.mark.parametrize(
    ("shape", "expected"), [((4, 2, 6, 6), True), ((4, 1, 3, 3), False), ((4, 6, 6), False), ((4,), False)]
)
def test_only_fields_on_the_same_grid_can_be_shifted(shape, expected):
    assert can_shift(Samples(torch.zeros(4, 1, 6, 6), {"a": torch.zeros(shape)})) == expected
    assert can_shift(Samples(torch.zeros(4, 1, 6, 6)))


def test_shards_are_shifted_as_the_global_batch():
    x, parts = torch.randn(7, 1, 4, 5), [Shard(rank, 3) for rank in range(3)]
    whole = shifted(Samples(x), generator=generator()).fields
    rows = [shifted(Samples(x[p.rows(7)]), generator=generator(), shard=p, global_size=7).fields for p in parts]
    assert torch.equal(torch.cat(rows), whole)
