"""Modulation equals its formula, copy by copy, is the identity at initialisation, and says what does not fit."""

import numpy as np
import pytest
import torch

from isospan.errors import GroupMismatchError, RepresentationError, ShapeError
from isospan.groups import SO2, CyclicGroup, DihedralGroup
from isospan.nn import FiLM, NormActivation, TimeDistributed
from isospan.testing import assert_equivariant


def drawn(film):
    film = film.double()
    for parameter in film.parameters():
        torch.nn.init.normal_(parameter)
    return film


def products(rep, c):
    """Inner products of copies of each irrep, also with one transformed by an endomorphism, pair by pair."""
    z, values = rep.change_of_basis.T @ c, []
    for part in rep.isotypic:
        if part.irrep.is_trivial:
            continue
        copies = z[part.slice].reshape(part.multiplicity, -1)
        for s, E in enumerate(part.irrep.endomorphism_basis):
            pairs = [(i, j) for i in range(len(copies)) for j in range(i if s == 0 else i + 1, len(copies))]
            values += [copies[i] @ E @ copies[j] for i, j in pairs]
    return np.array(values)


def by_hand(film, h, c):
    """One vector: the factors and shifts of the map's dense weight, and a loop over the copies of the irreps."""
    rep = film.rep_in
    weight, bias = film.modulation.weight.detach().numpy(), film.modulation.bias
    factors, shift = np.split(
        weight @ np.concatenate([c, products(film.rep_cond, c)]) + (0 if bias is None else bias.detach().numpy()),
        [-rep.size],
    )
    if rep.is_permutation:
        return (1 + factors) * h + shift
    z, start = rep.change_of_basis.T @ h, 0
    for factor, irrep in zip(factors, rep.irreps, strict=True):
        z[start : start + irrep.size] *= 1 + factor
        start += irrep.size
    return rep.change_of_basis @ z + shift


def test_modulation_is_its_formula(reps):
    rep, rep_cond = reps
    film, rng = drawn(FiLM(rep, rep_cond)), np.random.default_rng(0)
    h, c = rng.normal(size=(3, rep.size)), rng.normal(size=(3, rep_cond.size))
    expected = np.stack([by_hand(film, *pair) for pair in zip(h, c, strict=True)])
    np.testing.assert_allclose(film(torch.tensor(h), torch.tensor(c)).detach(), expected, rtol=1e-9, atol=1e-9)


def test_coordinates_that_are_permuted_have_factors_of_their_own():
    legs = CyclicGroup(4).regular_representation
    film, rng = drawn(FiLM(2 * legs, legs)), np.random.default_rng(0)
    h, c = rng.normal(size=8), rng.normal(size=4)
    np.testing.assert_allclose(film(torch.tensor(h), torch.tensor(c)).detach(), by_hand(film, h, c), atol=1e-12)
    with torch.no_grad():
        factors = film.modulation(torch.tensor(np.concatenate([c, products(legs, c)])))[:4]
    assert factors.unique().numel() == 4


def test_series_are_modulated_at_every_time(reps):
    rep, rep_cond = reps
    film = drawn(FiLM(rep, rep_cond))
    h = torch.randn(3, rep.size, 5, dtype=torch.float64)
    c = torch.randn(3, rep_cond.size, dtype=torch.float64)
    torch.testing.assert_close(film(h, c), torch.stack([film(h[..., t], c) for t in range(5)], dim=-1))
    torch.testing.assert_close(film(h[0], c[0]), film(h, c)[0])


def test_it_is_the_identity_at_first(reps):
    rep, rep_cond = reps
    film = FiLM(rep, rep_cond).double()
    h, c = torch.randn(4, rep.size).double(), torch.randn(4, rep_cond.size).double()
    torch.testing.assert_close(film(h, c), h, rtol=0, atol=1e-12)
    torch.testing.assert_close(drawn(film).freeze()(h, c), film.unfreeze()(h, c))
    film.reset_parameters()
    torch.testing.assert_close(film(h, c), h, rtol=0, atol=1e-12)


def test_representations_that_share_no_irrep():
    """Invariants of a vector scale another kind of vector, which it can't shift; and a number scales a vector."""
    circle = SO2()
    for rep, rep_cond in [(circle.irrep(2), 2 * circle.irrep(1)), (circle.irrep(1), circle.trivial_representation)]:
        film = drawn(FiLM(rep, rep_cond))
        x = [torch.randn(5, rep.size).double(), torch.randn(5, rep_cond.size).double()]
        assert_equivariant(film, (rep, rep_cond), rep, x=x)
        assert not film(0 * x[0], x[1]).any()
        assert (film(*x) - x[0]).abs().max() > 0.1


def test_layers_over_time_act_at_every_time(group):
    rep = 2 * (group.irreps(1) if group.order() is None else group.irreps())[-1]
    layer = NormActivation(rep)
    x = torch.randn(3, rep.size, 5)
    torch.testing.assert_close(TimeDistributed(layer)(x), torch.stack([layer(x[..., t]) for t in range(5)], dim=-1))


class TestBadInput:
    rep = DihedralGroup(4).irreps()[-1]

    def test_groups(self):
        with pytest.raises(GroupMismatchError, match=r"DihedralGroup\(4\)"):
            FiLM(self.rep, CyclicGroup(4).trivial_representation)

    @pytest.mark.parametrize(("h", "c"), [((3, 3), (3, 2)), ((3, 2), (3, 3)), ((3, 5, 2), (3, 2)), ((3, 2), (2,))])
    def test_channels(self, h, c):
        with pytest.raises(ShapeError, match="D = 2, the size of the representation, got"):
            FiLM(self.rep, self.rep)(torch.zeros(h), torch.zeros(c))

    @pytest.mark.parametrize(("h", "c"), [((3, 2), (4, 2)), ((3, 2, 5), (4, 2)), ((2, 3, 2), (1, 3, 2))])
    def test_numbers_of_samples(self, h, c):
        with pytest.raises(ShapeError, match=r"Every sample must have a condition, got features of shape \(\d"):
            FiLM(self.rep, self.rep)(torch.zeros(h), torch.zeros(c))

    def test_series(self):
        with pytest.raises(ShapeError, match=r"\(B, D, T\) or \(D, T\) with D = 2"):
            TimeDistributed(NormActivation(self.rep))(torch.zeros(3, 5, 2))
        with pytest.raises(RepresentationError, match="got NoneType"):
            TimeDistributed(torch.nn.ReLU())
