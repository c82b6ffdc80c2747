"""Constants of modules follow each representation, and take few bytes."""

import gc

import numpy as np
import pytest
import torch

from isospan.groups import CyclicGroup, FiniteGroup, QuaternionGroup
from isospan.nn import ChangeOfBasis, Conv1d, Linear
from isospan.nn._base.layer import Constants
from isospan.nn._linear import KERNELS
from isospan.representations import Representation, direct_sum

from .conftest import in_random_basis

IRREP = QuaternionGroup().irreps()[-1]
GIVEN = Representation(IRREP.group, list(IRREP.generators), name="given")
"""The same matrices, decomposed: in another basis than the irrep itself."""


@pytest.mark.parametrize("kind", KERNELS.values())
def test_equal_representations_may_have_two_bases(kind):
    point = IRREP.group.trivial_representation
    first, second = GIVEN + point + IRREP, IRREP + point + GIVEN
    assert first == second
    assert not np.allclose(first.change_of_basis, second.change_of_basis)
    for pair in [(first, second), (second, first), (first, first)]:
        maps = kind(*pair).double()
        coefficients = torch.randn(3, maps.dimension, dtype=torch.float64)
        torch.testing.assert_close(maps.expand(coefficients), maps.basis.synthesize(coefficients), rtol=0, atol=1e-13)


def test_one_name_and_equal_matrices_in_two_bases_share_nothing():
    first, second = direct_sum([IRREP, IRREP], name="latent"), (2 * GIVEN).renamed("latent")
    assert first == second
    other = Linear(first, first)
    layer = Linear(second, second).double()
    state, weight = layer.state_dict(), layer.weight
    torch.testing.assert_close(weight, layer.kernel.basis.synthesize(layer.coefficients), rtol=0, atol=1e-13)
    del other, layer
    gc.collect()
    alone = Linear(second, second).double()
    alone.load_state_dict(state)
    torch.testing.assert_close(alone.weight, weight)


def test_groups_of_another_name_share_nothing():
    group = CyclicGroup(4)
    other = FiniteGroup(group.graph.right, name="quarter turns")
    assert group == other
    first = ChangeOfBasis(group.regular_representation)
    for rep in (group.regular_representation, other.regular_representation):
        assert ChangeOfBasis(rep).rep_in.group.name == rep.group.name
    assert first.rep_in.group.name == group.name


def test_indices_have_the_smallest_integer_type_that_suffices():
    for largest, dtype in [(255, "uint8"), (256, "int16"), (2**15 - 1, "int16"), (2**15, "int32")]:
        constants, indices = Constants(), np.array([0, largest, 3])
        constants.register_indices("index", indices)
        assert constants.index.dtype == getattr(torch, dtype)
        assert constants.index.tolist() == indices.tolist()


def test_what_is_written_to_the_constants_of_one_module_reaches_no_other():
    first = ChangeOfBasis(GIVEN)
    x, expected = torch.randn(3, 4), ChangeOfBasis(GIVEN)
    for buffer in first.buffers():
        buffer.data = torch.zeros_like(buffer)
    torch.testing.assert_close(ChangeOfBasis(GIVEN)(x), expected(x))
    for buffer in ChangeOfBasis(GIVEN).buffers():
        buffer.zero_()
    torch.testing.assert_close(ChangeOfBasis(GIVEN)(x), expected(x))


@pytest.mark.parametrize("make", [Linear, lambda *reps: Conv1d(*reps, 3)], ids=["Linear", "Conv1d"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_constants_follow_a_state_that_is_assigned(make, device):
    rep = in_random_basis(2 * CyclicGroup(4).regular_representation)
    layer = make(rep, rep).double()
    with torch.device(device):
        other = make(rep, rep)
    other.load_state_dict(layer.state_dict(), assign=True)
    assert {buffer.dtype for buffer in other.buffers() if buffer.is_floating_point()} == {torch.float64}
    torch.testing.assert_close(other.weight, layer.weight, rtol=0, atol=0)
