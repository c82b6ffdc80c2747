"""Names of symm-learning give what isospan computes, against sums over the group."""

import numpy as np
import torch

from isospan.compat.symm_learning import linalg
from isospan.groups import CyclicGroup


def test_the_invariant_projector_has_the_default_dtype_of_torch():
    regular = CyclicGroup(3).regular_representation
    expected = torch.tensor(np.mean([regular(g) for g in regular.group.elements], 0))
    P = linalg.invariant_orthogonal_projector(rep_x=regular)
    torch.testing.assert_close(P, expected.float())
    torch.testing.assert_close(linalg.invariant_orthogonal_projector(regular, "cpu", torch.float64), expected)


def test_an_isotypic_signal_has_a_column_for_each_copy():
    x = torch.arange(12.0).reshape(2, 6)  # three copies of a plane, two samples
    rows = linalg.isotypic_signal2irreducible_subspaces(x=x, rep_x=3 * CyclicGroup(5).irreps()[1])
    assert rows.tolist() == [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]]
