"""What counts as constant, on data of which the rounding is known."""

import pytest
import torch

from isospan.compat.spacelearn._solve import solve_subspaces
from isospan.errors import DegenerateDataError
from isospan.evaluation._scores import squared_deviation
from isospan.experiment.samples import Samples, field_statistics
from isospan.moments import Moments, varies
from isospan.sizing import subspace_dims
from isospan.subspaces import solve_from_moments

Z = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("times", "expected"), [(0.5, False), (2.0, True)])
@pytest.mark.parametrize("mean", [1.0, -273.15, 1e9])
def test_the_least_deviation_that_counts(mean, times, expected):
    """A deviation of 64 eps of the mean, 1.4e-14 of it, divides rounding from what varies."""
    mean = torch.tensor(mean, dtype=torch.float64)
    deviation = times * 64 * 2.0**-52 * mean.abs()
    assert varies(deviation**2, mean) == expected


def test_rounding_of_a_constant_does_not_vary_and_the_smallest_change_of_digits_does():
    """0.1 has no exact mean; numbers that differ in the last 9 bits of 53 have a deviation of 2^-44 of the mean."""
    constant = torch.full((1000, 1), 0.1, dtype=torch.float64)
    steps = 1 + torch.arange(1000, dtype=torch.float64)[:, None].remainder(2) * 2.0**-43
    z = torch.randn(1000, 2).double()
    moments = Moments.of(z, {"constant": constant, "steps": steps})
    means, variances = moments.y_mean, moments.var_y
    assert {name: varies(variances[name], means[name]) for name in means} == {
        "constant": False,
        "steps": True,
    }


@pytest.mark.parametrize(
    "refuse",
    [
        lambda y: solve_subspaces(Z, {"q": y}, k=1),
        lambda y: solve_from_moments(Moments.of(Z, {"q": y}), 1),
        lambda y: squared_deviation("q", Moments.of(Z, {"q": y})),
        lambda y: subspace_dims({"q": y}),
        lambda y: field_statistics(Samples(y.reshape(-1, 1, 1, 1))),
    ],
)
def test_what_is_constant_in_float32_alone_is_said_to_need_float64(refuse):
    y = 1e10 + torch.arange(300.0, dtype=torch.float64)[:, None]  # float32 holds multiples of 1024 here
    assert y.float().unique().numel() == 1
    refuse(y)
    with pytest.raises(DegenerateDataError, match="constant in float32: read or keep them as float64"):
        refuse(y.float())
