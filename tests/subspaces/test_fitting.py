"""Latent spaces from moments: those of the data at once, read by a naive least squares."""

import numpy as np
import pytest
import torch

from isospan.errors import DegenerateDataError
from isospan.guided._objective import SpaceObjective
from isospan.moments import Moments
from isospan.subspaces import LatentSpace, solve_from_moments, solve_subspaces

D = 6


@pytest.fixture
def data():
    g = torch.Generator().manual_seed(2)
    z = torch.randn(300, D, generator=g, dtype=torch.float64) @ torch.randn(D, D, generator=g, dtype=torch.float64) + 3
    noise = torch.randn(300, 4, generator=g, dtype=torch.float64)
    y = {"a": (z[:, :2] ** 2 @ torch.randn(2, 4, generator=g, dtype=torch.float64) + noise).view(300, 2, 2)}
    return z, y | {"b": 1e3 * z[:, 3] + noise[:, 0]}


@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize("batch", [7, 300])
def test_it_is_the_space_of_an_objective_that_solved_the_same_data_at_once(data, orthogonal, batch):
    z, y = data
    k = {"a": 2, "b": 1}
    objective = SpaceObjective(k, D, orthogonal=orthogonal)
    objective.solve(z, y)
    rows = zip(z.split(batch), y["a"].split(batch), y["b"].split(batch), strict=True)
    moments = Moments.of_batches(((z, {"a": a, "b": b}) for z, a, b in rows), target_covariance=True)
    space = solve_from_moments(moments, k, shapes={"a": (2, 2), "b": ()}, orthogonal=orthogonal)
    decoded, expected = space.decode(z), objective.space.decode(z)
    for name in k:
        assert decoded[name].shape == y[name].shape
        # float64 sums in another order; the iteration of the joint frame ends where it gains less than 1e-8
        scale = float(y[name].std())
        torch.testing.assert_close(decoded[name], expected[name], rtol=0, atol=(1e-4 if orthogonal else 1e-9) * scale)


def test_at_full_rank_it_decodes_by_least_squares(data):
    z, y = data
    space = solve_from_moments(Moments.of(z, y), {"a": 4, "b": 1}, ridge=0.0)
    design = np.column_stack([np.ones(len(z)), z.numpy()])
    for name in y:
        flat = y[name].reshape(len(z), -1).numpy()
        expected = design @ np.linalg.lstsq(design, flat, rcond=None)[0]
        np.testing.assert_allclose(space.decode(z)[name].numpy(), expected, rtol=1e-8, atol=1e-8)


def test_shapes_are_flat_unless_given(data):
    assert solve_from_moments(Moments.of(*data), 1).shapes == {"a": (4,), "b": (1,)}


def test_a_constant_quantity_is_named(data):
    z, y = data
    with pytest.raises(DegenerateDataError, match=r"\['b'\] have been constant over 300 samples"):
        solve_from_moments(Moments.of(z, y | {"b": torch.ones(300, dtype=torch.float64)}), 1)


def test_spaces_hold_the_covariance_of_the_latents(data, tmp_path):
    """Of one batch, of a stream, of an objective while it trains, and in a file."""
    z, y = data
    expected = np.cov(z.numpy().T, bias=True)
    objective = SpaceObjective({"a": 2, "b": 1}, D, memory=10_000)  # so long that no weight decays
    for rows in torch.arange(len(z)).split(30):
        objective(z[rows], {name: value[rows] for name, value in y.items()})
    stream = ((z[rows], {name: value[rows] for name, value in y.items()}) for rows in torch.arange(len(z)).split(7))
    spaces = [solve_subspaces(z, y, 1), solve_from_moments(Moments.of_batches(stream), 1), objective.space]
    spaces[0].save(tmp_path / "space.safetensors")
    for space in (*spaces, LatentSpace.load(tmp_path / "space.safetensors")):
        np.testing.assert_allclose(space.cov_zz, expected, rtol=1e-12, atol=1e-12)  # float64 sums in another order
    single = solve_subspaces(z.float(), y, 1)
    assert (single.cov_zz.dtype, single.to(dtype=torch.float64).cov_zz.dtype) == (torch.float32, torch.float64)
