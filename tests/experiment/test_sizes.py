"""Sizes are those of solve_dims, on the samples that training sees."""

import pytest
import torch

from isospan.errors import DegenerateDataError, DimensionError
from isospan.experiment._sizes import solve_sizes
from isospan.experiment._targets import Targets, parse_quantities
from isospan.experiment.samples import Samples
from isospan.sizing import minimal_latent_dim, solve_dims


def targets(**quantities):
    return Targets(parse_quantities(quantities, variables=["age", "profile", "long"]))


@pytest.mark.parametrize("thresholds", [(0.95, 0.9), (0.93, 0.87), (1.0, 0.5)])
def test_they_are_those_of_solve_dims(fields, thresholds):
    samples, wanted = Samples(fields(60)), targets(local_mean="", gradient_x="")
    sizes = solve_sizes(samples, wanted, bin_threshold=thresholds[0], k_threshold=thresholds[1], max_bins=6)
    expected = solve_dims(
        wanted.unpooled(samples), n_threshold=thresholds[0], k_threshold=thresholds[1], max_n=6, n_per_quantity=True
    )
    assert sizes.dims == expected
    assert sizes.latent_dim == minimal_latent_dim(sizes.k)
    assert sizes.n == {name: n for name, (n, _) in expected.items()}


def test_numbers_and_short_series_are_not_pooled(fields):
    generator = torch.Generator().manual_seed(0)
    arrays = {
        "age": torch.randn(30, generator=generator),
        "profile": torch.randn(30, 5, generator=generator),
        "long": torch.randn(30, 50, generator=generator),
    }
    sizes = solve_sizes(Samples(fields(30), arrays), targets(age="", profile="", long="", local_mean=""), max_bins=6)
    assert sizes.dims["age"] == (None, 1)
    assert sizes.dims["profile"][0] is None
    assert 1 < sizes.dims["profile"][1] <= 5
    assert sizes.dims["long"][0] <= 6
    assert list(sizes.dims) == ["age", "profile", "long", "local_mean"]
    assert sizes.sweep.names == ("long", "local_mean")


def test_numbers_alone_need_no_sweep(fields):
    sizes = solve_sizes(Samples(fields(30), {"age": torch.arange(30.0)}), targets(age=""))
    assert sizes.dims == {"age": (None, 1)}
    assert sizes.sweep is None
    assert sizes.latent_dim == 2


def test_a_latent_dimension_that_was_asked_for_is_kept(fields):
    sizes = solve_sizes(Samples(fields(30)), targets(local_mean=""), latent_dim=77)
    assert sizes.latent_dim == 77
    assert sizes.least_latent_dim == minimal_latent_dim(sizes.k)


def test_shifts_add_the_modes_that_training_will_see():
    x = torch.zeros(40, 1, 16, 16)
    x[:, :, 5, 7] = torch.randn(40, 1)  # without shifts there is one mode
    wanted = Targets(parse_quantities({"itself": lambda x: x}), periodic=True)
    still, moved = (solve_sizes(Samples(x), wanted, augment=augment) for augment in (False, True))
    assert still.k["itself"] == 1
    assert moved.k["itself"] > 10


def test_of_many_samples_blocks_from_everywhere_are_read(fields):
    class Counting:
        def __init__(self, rows):
            self.rows, self.read = rows, set()

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, rows):
            self.read |= set(range(*rows.indices(len(self.rows))))
            return self.rows[rows]

    table = Counting(torch.randn(5000, 1, 8, 8))
    solve_sizes(Samples(table), targets(local_mean=""))
    assert len(table.read) == 2048
    assert min(table.read) == 0
    assert max(table.read) == 4999


def test_a_constant_quantity_is_named(fields):
    wanted = Targets(parse_quantities({"nothing": lambda x: 0 * x}))
    with pytest.raises(DegenerateDataError, match="'nothing'"):
        solve_sizes(Samples(fields(20)), wanted)


def test_a_latent_too_small_for_a_subspace_is_refused_before_training(fields):
    with pytest.raises(DimensionError, match=r"got D = 2 with k = \{'local_mean': \d+\}. Pass latent='auto', which is"):
        solve_sizes(Samples(fields(30)), targets(local_mean=""), latent_dim=2)
