"""The change of a basis against a loop over directions."""

import pytest
import torch

from isospan.errors import DegenerateDataError, DtypeError, NonFiniteError, ShapeError
from isospan.subspaces import subspace_change


def frame(k, D=7):
    return torch.linalg.qr(torch.randn(D, k, dtype=torch.float64))[0].T


@pytest.mark.parametrize(("k_old", "k_new"), [(3, 3), (2, 4), (1, 1)])
def test_against_a_loop(k_old, k_new):
    old, new = frame(k_old), frame(k_new)
    change = subspace_change(old, new)
    best = [max(abs(float(a @ b)) for b in new) for a in old]
    assert change["per_dir_cos"].tolist() == pytest.approx(best)
    assert change["mean_cos_sim"].item() == pytest.approx(sum(best) / k_old)
    degrees = torch.tensor(best).acos().rad2deg().mean()
    assert change["mean_angle_deg"].item() == pytest.approx(degrees.item(), rel=1e-4)  # float32 oracle
    assert change["similarity_matrix"].shape == (k_old, k_new)


def test_signs_and_order_do_not_count():
    W = frame(3)
    change = subspace_change(W, -W.flip(0))
    assert change["mean_angle_deg"] == 0
    torch.testing.assert_close(change["per_dir_cos"], torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize(("degrees", "expected"), [(9e-4, 0.0), (2e-3, 2e-3)])
def test_tiny_angles_are_zero(degrees, expected):
    e, angle = torch.eye(3, dtype=torch.float64), torch.tensor(degrees, dtype=torch.float64).deg2rad()
    rotated = (angle.cos() * e[:1]) + angle.sin() * e[1:2]
    assert subspace_change(e[:1], rotated)["mean_angle_deg"].item() == pytest.approx(expected, rel=1e-4)


def test_no_gradient_and_no_nan_beyond_one():
    W = (frame(2).float() * (1 + 1e-6)).requires_grad_()
    change = subspace_change(W, W)
    assert change["mean_angle_deg"] == 0
    assert not change["mean_cos_sim"].requires_grad


def test_bad_bases():
    with pytest.raises(ShapeError, match=r"of the same D, got \(2, 3\) and \(2, 4\)"):
        subspace_change(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(ShapeError, match="same D"):
        subspace_change(torch.ones(0, 3), torch.ones(2, 3))
    with pytest.raises(DtypeError, match="A basis must be floating point"):
        subspace_change(torch.ones(2, 3).int(), torch.ones(2, 3))


def test_lengths_of_rows_do_not_matter():
    """Of rows of any length, the cosines of their directions; 60 degrees by hand."""
    old = torch.tensor([[3.0, 0.0], [1e-30, 1e-30]], dtype=torch.float64)
    new = torch.tensor([[1e20, 3**0.5 * 1e20]], dtype=torch.float64)
    change = subspace_change(old, new)
    # 45 and 60 degrees are 15 apart
    expected = torch.tensor([60.0, 15.0], dtype=torch.float64).deg2rad().cos()
    torch.testing.assert_close(change["per_dir_cos"], expected)
    assert change["mean_angle_deg"].item() == pytest.approx(37.5)


def test_rows_that_are_no_directions():
    with pytest.raises(DegenerateDataError, match="row of zeros"):
        subspace_change(torch.eye(2), torch.zeros(1, 2))
    with pytest.raises(NonFiniteError, match="A basis must be finite"):
        subspace_change(torch.eye(2), torch.full((1, 2), float("nan")))
    assert subspace_change(torch.eye(2).half(), torch.eye(2).double())["mean_cos_sim"] == 1
