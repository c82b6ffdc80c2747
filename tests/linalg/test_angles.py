"""Principal angles against scipy and against constructed angles."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from isospan.errors import DtypeError, ShapeError
from isospan.linalg import grassmann_distance, principal_angles


@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (2, 4), (4, 2), (1, 1), (5, 5)])
def test_equals_scipy(k1, k2):
    W1, W2 = torch.randn(k1, 12, dtype=torch.float64), torch.randn(k2, 12, dtype=torch.float64)
    angles = principal_angles(W1, W2)
    # scipy gives the larger angles first
    np.testing.assert_allclose(angles, subspace_angles(W1.T.numpy(), W2.T.numpy())[::-1], atol=1e-13)
    assert (angles.diff() >= 0).all()
    assert grassmann_distance(W1, W2).item() == pytest.approx(angles.norm().item())


@pytest.mark.parametrize("angle", [1e-12, 1e-8, 1e-3, 0.5, np.pi / 4, 1.2, np.pi / 2 - 1e-9])
def test_tiny_and_nearly_right_angles_keep_their_digits(angle):
    e = torch.eye(4, dtype=torch.float64)
    rotated = torch.stack([np.cos(angle) * e[0] + np.sin(angle) * e[2], e[1]])
    # relative precision at small angles, where the cosine alone would leave 1e-8
    assert principal_angles(e[:2], rotated)[-1].item() == pytest.approx(angle, rel=1e-6, abs=1e-16)


def test_depends_on_the_spans_only():
    W1, W2 = torch.randn(3, 7, dtype=torch.float64), torch.randn(2, 7, dtype=torch.float64)
    mixed = torch.randn(3, 3, dtype=torch.float64) @ W1
    torch.testing.assert_close(principal_angles(mixed, W2), principal_angles(W1, W2), rtol=0, atol=1e-12)
    assert grassmann_distance(mixed, W1) < 1e-12
    torch.testing.assert_close(principal_angles(W2, W1), principal_angles(W1, W2), rtol=0, atol=1e-14)


def test_bases_of_different_precision():
    e = torch.eye(3)
    assert principal_angles(e[:1], e.double()[1:2]).dtype == torch.float64
    assert principal_angles(e[:1].half(), e[1:2].bfloat16()).rad2deg().tolist() == [90.0]


def test_bad_bases():
    with pytest.raises(ShapeError, match=r"of the same D, got \(2, 3\) and \(2, 4\)"):
        principal_angles(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(ShapeError, match="same D"):
        principal_angles(torch.ones(3), torch.ones(3))
    with pytest.raises(DtypeError, match="A basis must be floating point"):
        principal_angles(torch.ones(2, 3).long(), torch.ones(2, 3))
