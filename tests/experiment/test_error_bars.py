"""Held-out samples calibrate a space, and are covered by intervals of the other half."""

import pytest
import torch

from isospan.experiment._error_bars import calibrated
from isospan.experiment.samples import Samples
from isospan.subspaces import solve_subspaces


def latents(batch):
    return batch.tensors()[0].flatten(1)


def quantities(batch):
    x = latents(batch)
    return {"squares": (x[:, :2] ** 2).float(), "sum": (x.sum(1) + x[:, 0] ** 2).double()}


def made(n):
    x = torch.randn(n, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fitted, held_out = Samples(x[:100]), Samples(x[100:])
    return solve_subspaces(latents(fitted), quantities(fitted), {"squares": 2, "sum": 1}), held_out


def test_a_space_is_calibrated_on_all_held_out_samples():
    space, held_out = made(500)
    found, intervals = calibrated(space, held_out, latents, quantities)
    expected = space.calibrate(latents(held_out), quantities(held_out))
    assert torch.equal(found.scores["sum"], expected.scores["sum"])
    for name, P in (("squares", 2), ("sum", 1)):
        assert intervals[name].true.shape == intervals[name].inside.shape == (400, P)
    # every second sample, then the others; each from the 200 others, so 181/201 are inside in the mean
    y = quantities(held_out)["sum"][:, None]
    assert torch.equal(intervals["sum"].true, torch.cat([y[::2], y[1::2]]))
    assert abs(intervals["sum"].coverage - 0.9) < 0.04
    half = space.calibrate(latents(held_out)[1::2], {k: v[1::2] for k, v in quantities(held_out).items()})
    torch.testing.assert_close(intervals["sum"].low[:200, 0], half.interval(latents(held_out)[::2])[0]["sum"])


@pytest.mark.parametrize("n", [1, 2, 17])
def test_few_held_out_samples_calibrate_without_intervals(n):
    space, held_out = made(100 + n)
    found, intervals = calibrated(space, held_out, latents, quantities)
    assert found.scores["sum"].shape == (n, 1)
    assert intervals == {}
    assert calibrated(*made(118), latents, quantities)[1]
