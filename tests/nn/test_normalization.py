"""Normalisations: torch's for the trivial group, brute force for the others; whole copies are dropped."""

import numpy as np
import pytest
import torch

from isospan.errors import DegenerateDataError, DtypeError, OptionError, RepresentationError, ShapeError
from isospan.groups import SO3, CyclicGroup, DihedralGroup
from isospan.nn import BatchNorm1d, Dropout, LayerNorm, RMSNorm
from isospan.representations import change_of_basis
from isospan.testing import assert_equivariant

TRIVIAL = 5 * CyclicGroup(1).trivial_representation
OPTIONS = [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}, {"eps": 0.1, "momentum": 0.3}]


def copies(rep, x):
    z = x @ torch.tensor(rep.change_of_basis)
    return z.split([irrep.size for irrep in rep.irreps], dim=-1)


def randomise(module):
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module.double()


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", [(7, 5), (3, 5, 4)])
def test_batch_norm_of_the_trivial_group_is_torch_s(options, shape):
    ours, theirs = BatchNorm1d(TRIVIAL, **options).double(), torch.nn.BatchNorm1d(5, **options).double()
    for _ in range(3):
        x = 2 + torch.randn(shape, dtype=torch.float64)
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_batch_norm_of_any_group_is_brute_force(reps):
    rep, x = reps[0], 1 + torch.randn(20, reps[0].size, dtype=torch.float64)
    norm = randomise(BatchNorm1d(rep))
    expected, shift = [], iter(norm.bias)
    for irrep, part, scale in zip(rep.irreps, copies(rep, x), norm.weight, strict=True):
        centred = part - part.mean() if irrep.is_trivial else part
        normal = centred / (centred.square().mean() + norm.eps).sqrt()
        expected.append(scale * normal + (next(shift) if irrep.is_trivial else 0))
    expected = torch.cat(expected, -1) @ torch.tensor(rep.change_of_basis).T
    torch.testing.assert_close(norm(x), expected)
    norm.running_var.uniform_(0.5, 2)
    assert_equivariant(norm.eval(), rep, rep, x=x)


def test_statistics_of_a_batch_are_those_of_its_orbit():
    rep = DihedralGroup(3).regular_representation
    x = torch.randn(10, rep.size, dtype=torch.float64)
    moved = torch.cat([x @ torch.tensor(rep(g)).T for g in rep.group.elements])
    once, augmented = BatchNorm1d(rep, momentum=None).double(), BatchNorm1d(rep, momentum=None).double()
    once(x), augmented(moved)
    torch.testing.assert_close(once.running_mean, augmented.running_mean)
    # the degrees of freedom of the trivial copies differ: 10/9 and 60/59
    torch.testing.assert_close(once.running_var[1:], augmented.running_var[1:])


def test_batch_norm_refuses_one_sample():
    with pytest.raises(DegenerateDataError, match="two samples, got 1"):
        BatchNorm1d(TRIVIAL)(torch.zeros(1, 5))
    assert BatchNorm1d(TRIVIAL).eval()(torch.zeros(1, 5)).shape == (1, 5)
    with pytest.raises(ShapeError, match="D = 5"):
        BatchNorm1d(TRIVIAL)(torch.zeros(3, 4))
    with pytest.raises(DtypeError, match="floating point"):
        BatchNorm1d(TRIVIAL)(torch.ones(3, 5, dtype=torch.int64))


def test_layer_and_rms_norm_of_the_trivial_group_are_torch_s():
    x = 2 + torch.randn(3, 4, 5, dtype=torch.float64)
    for ours, theirs in [(LayerNorm(TRIVIAL), torch.nn.LayerNorm(5)), (RMSNorm(TRIVIAL), torch.nn.RMSNorm(5))]:
        ours, theirs = randomise(ours), theirs.double()
        theirs.load_state_dict(ours.state_dict())
        torch.testing.assert_close(ours(x), theirs(x))


def test_layer_norm_of_any_group_is_brute_force(reps):
    rep, x = reps[0], 1 + torch.randn(4, reps[0].size, dtype=torch.float64)
    norm = randomise(LayerNorm(rep))
    parts = copies(rep, x)
    trivial = torch.cat([p for irrep, p in zip(rep.irreps, parts, strict=True) if irrep.is_trivial], -1)
    mean = trivial.mean(-1, keepdim=True)
    parts = [p - mean if irrep.is_trivial else p for irrep, p in zip(rep.irreps, parts, strict=True)]
    size = (torch.cat(parts, -1).square().mean(-1, keepdim=True) + norm.eps).sqrt()
    shifts = [*norm.bias, *[0] * (len(parts) - len(norm.bias))]
    expected = torch.cat([w * p / size + b for w, p, b in zip(norm.weight, parts, shifts, strict=True)], -1)
    torch.testing.assert_close(norm(x), expected @ torch.tensor(rep.change_of_basis).T)
    assert_equivariant(norm, rep, rep, x=x)


def test_rms_norm_is_equivariant(reps):
    norm = randomise(RMSNorm(reps[0]))
    assert_equivariant(norm, reps[0], reps[0])
    x = torch.randn(4, reps[0].size, dtype=torch.float64)
    torch.testing.assert_close(
        RMSNorm(reps[0], elementwise_affine=False).double()(x).square().mean(-1).sqrt().sum(), 4 + 0 * x[0, 0]
    )


def test_layer_norm_refuses_to_erase_the_only_invariant():
    rep = CyclicGroup(4).regular_representation
    with pytest.raises(RepresentationError, match=r"always be zero. Use RMSNorm"):
        LayerNorm(rep)
    assert LayerNorm(SO3().irrep(1)).bias is None


def test_dropout_drops_whole_copies(reps):
    rep, x = reps[0], torch.randn(2000, reps[0].size, dtype=torch.float64)
    dropped = Dropout(rep, p=0.25).double()(x)
    for before, after in zip(copies(rep, x), copies(rep, dropped), strict=True):
        kept = after.abs().sum(-1) > 1e-9
        # four standard deviations of 2000 draws
        assert kept.double().mean().item() == pytest.approx(0.75, abs=0.04)
        torch.testing.assert_close(after[kept], before[kept] / 0.75)


def test_dropout_drops_whole_orbits_of_permuted_coordinates():
    group = DihedralGroup(3)
    regular, point = group.regular_representation, group.trivial_representation
    pairs = group.quotient_representation(group.subgroup([group.generators[0]]))
    P = np.eye(16)[np.random.default_rng(0).permutation(16)]
    rep = change_of_basis(regular + point + pairs + regular + point, P)
    orbits = {frozenset(np.flatnonzero(sum(rep(g)[:, i] for g in group.elements)).tolist()) for i in range(16)}
    assert sorted(map(len, orbits)) == [1, 1, 2, 6, 6]
    x = 1 + torch.rand(4000, 16)
    dropped = Dropout(rep, p=0.25)(x)
    kept = []
    for orbit in orbits:
        part, before = dropped[:, list(orbit)], x[:, list(orbit)]
        kept.append(part.any(-1).float())
        torch.testing.assert_close(part, before * kept[-1][:, None] / 0.75)
    # four standard deviations of 4000 draws, of means and of correlations
    torch.testing.assert_close(torch.stack(kept).mean(-1), torch.full((5,), 0.75), rtol=0, atol=0.03)
    torch.testing.assert_close(torch.corrcoef(torch.stack(kept)), torch.eye(5), rtol=0, atol=0.065)

    def one_draw(x):
        torch.manual_seed(3)
        return Dropout(rep)(x)

    assert_equivariant(one_draw, rep, rep)


def test_a_draw_of_dropout_is_equivariant(reps):
    layer = Dropout(reps[0]).double()

    def one_draw(x):
        torch.manual_seed(3)
        return layer(x)

    assert_equivariant(one_draw, reps[0], reps[0])
    x = torch.randn(3, reps[0].size)
    assert layer.eval()(x) is x
    with pytest.raises(OptionError, match=r"between 0 and 1, got 1\.5"):
        Dropout(reps[0], p=1.5)


def test_half_precision_takes_statistics_in_single():
    rep = 2 * DihedralGroup(3).regular_representation
    for norm in (BatchNorm1d(rep), LayerNorm(rep), RMSNorm(rep)):
        x = 100 + torch.randn(50, rep.size)
        y = norm(x.bfloat16())
        assert y.dtype == torch.bfloat16
        # the input has lost its digits, 100 has steps of 0.5 in bfloat16; the output must not lose more
        torch.testing.assert_close(y.float(), norm(x.bfloat16().float()), rtol=0.01, atol=0.01)
    assert np.isfinite(y.float().detach().numpy()).all()
