"""The table of names: every entry takes the same arguments and keeps batch, grid and dtype."""

import inspect
import math

import pytest
import torch

from isospan.errors import OptionError, ShapeError
from isospan.quantities.fields import BUILTIN_QUANTITIES, large_scale_energy, small_scale_energy

OF_VELOCITY = {"divergence", "vorticity", "strain_rate", "kinetic_energy"}
POINTWISE = {"local_mean", "local_variance", "enstrophy"}
PERIODIC_ONLY = {
    "stream_function",
    "velocity_from_vorticity",
    "kinetic_energy_from_vorticity",
    "strain_rate_from_vorticity",
}


def field_for(name, dtype=torch.float32):
    return torch.randn(3, 2 if name in OF_VELOCITY else 1, 8, 12, dtype=dtype)


CASES = [(name, p) for name in BUILTIN_QUANTITIES for p in (True, False) if p or name not in PERIODIC_ONLY]


@pytest.mark.parametrize(("name", "periodic"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_quantity(name, periodic, dtype):
    field = field_for(name, dtype)
    result = BUILTIN_QUANTITIES[name](field, dx=(0.1, 0.2), periodic=periodic)
    assert result.shape == (3, 2 if name == "velocity_from_vorticity" else 1, 8, 12)
    assert result.dtype == dtype
    assert result.isfinite().all()
    one = BUILTIN_QUANTITIES[name](field[1:2], dx=(0.1, 0.2), periodic=periodic)
    torch.testing.assert_close(result[1:2], one)  # samples do not see each other


@pytest.mark.parametrize("name", sorted(set(BUILTIN_QUANTITIES) - POINTWISE - OF_VELOCITY))
def test_spacing_is_checked(name):
    with pytest.raises(OptionError, match="dx must be a positive number"):
        BUILTIN_QUANTITIES[name](field_for(name), dx=-1.0, periodic=True)


@pytest.mark.parametrize("name", BUILTIN_QUANTITIES)
def test_named_for_its_function_and_documented(name):
    function = BUILTIN_QUANTITIES[name]
    assert function.__name__ == name
    assert {"dx", "periodic"} <= set(inspect.signature(function).parameters)
    assert ">>>" in function.__doc__


@pytest.mark.parametrize("name", BUILTIN_QUANTITIES)
def test_a_series_is_not_a_field(name):
    with pytest.raises(ShapeError, match="must have shape"):
        BUILTIN_QUANTITIES[name](torch.zeros(8), dx=1.0, periodic=True)


def test_the_two_scales_make_up_the_variance():
    field = torch.randn(2, 1, 16, 24, dtype=torch.float64) + 3
    total = large_scale_energy(field, dx=0.5) + small_scale_energy(field, dx=0.5)
    torch.testing.assert_close(total.mean((-2, -1)), field.var((-2, -1), correction=0))


def test_eight_grid_spacings_are_the_limit():
    x = torch.arange(48).double()
    for length, small in ((6, 1.0), (8, 1.0), (12, 0.0)):
        wave = torch.sin(2 * math.pi * x / length).repeat(48, 1)
        energy = small_scale_energy(wave, dx=0.3, periodic=True).mean()
        assert energy.item() == pytest.approx(small / 2, abs=1e-12)
