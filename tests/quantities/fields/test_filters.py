"""Band energies against Parseval's theorem, local statistics against loops."""

import math

import pytest
import scipy.fft
import torch

from isospan.errors import OptionError, ShapeError
from isospan.quantities.fields import band_filter, local_mean, local_variance, spectral_band_energy

BANDS = [(0, 0.4), (0.4, 1.1), (1.1, 2.5), (2.5, math.inf)]


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 12, 10), (9, 7)])
def test_bands_add_up(shape, periodic):
    field = torch.randn(shape, dtype=torch.float64)
    parts = [band_filter(field, *band, periodic=periodic) for band in BANDS]
    torch.testing.assert_close(sum(parts), field)
    energies = [spectral_band_energy(field, *band, periodic=periodic).mean((-2, -1)) for band in BANDS]
    torch.testing.assert_close(sum(energies), (field**2).mean((-2, -1)))


def test_parseval_of_one_band():
    field = torch.randn(8, 12, dtype=torch.float64)
    ky, kx = torch.fft.fftfreq(8, 0.25, dtype=torch.float64), torch.fft.fftfreq(12, 0.5, dtype=torch.float64)
    k = 2 * math.pi * torch.sqrt(ky[:, None] ** 2 + kx**2)
    amplitudes = torch.fft.fft2(field) / field.numel()
    expected = (amplitudes.abs() ** 2)[(k >= 2) & (k < 7)].sum()
    energy = spectral_band_energy(field, 2, 7, dx=(0.25, 0.5), periodic=True)
    torch.testing.assert_close(energy.mean(), expected)


def test_edges_are_those_of_a_cosine_transform():
    field = torch.randn(8, 6, dtype=torch.float64)
    k = torch.sqrt((math.pi * torch.arange(8) / 8)[:, None] ** 2 + (math.pi * torch.arange(6) / 6) ** 2).numpy()
    coefficients = scipy.fft.dctn(field.numpy(), norm="ortho") * ((k >= 0.5) & (k < 2))
    expected = torch.from_numpy(scipy.fft.idctn(coefficients, norm="ortho"))
    torch.testing.assert_close(band_filter(field, 0.5, 2.0), expected)


@pytest.mark.parametrize("n", [16, 60, 64, 100])
def test_a_wave_number_on_the_edge_belongs_to_the_upper_band(n):
    """On a box of 2 pi the wave numbers are whole but for rounding."""
    h = 2 * math.pi / n
    wave = torch.sin(3 * h * torch.arange(n).double()).repeat(n, 1)
    torch.testing.assert_close(band_filter(wave, 3, 4, dx=h, periodic=True), wave)
    assert band_filter(wave, 2, 3, dx=h, periodic=True).abs().max() < 1e-12


def test_dtype_and_gradient():
    field = torch.randn(4, 6)
    assert spectral_band_energy(field, 0, 1).dtype == torch.float32
    assert spectral_band_energy(field.half(), 0, 1).dtype == torch.float16
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: spectral_band_energy(f, 0.3, 2), x)


@pytest.mark.parametrize("band", [(-1, 2), (2, 2), (3, 2), (math.nan, 2)])
def test_bad_band(band):
    with pytest.raises(OptionError, match="0 <= low < high"):
        spectral_band_energy(torch.zeros(4, 4), *band)


def windows(field, size, periodic):
    """The points around each point, as a list of 1-D tensors, row by row."""
    H, W = field.shape
    half = size // 2
    for i in range(H):
        for j in range(W):
            rows, columns = (range(c - half, c + half + 1) for c in (i, j))
            if periodic:
                yield torch.stack([field[r % H, c % W] for r in rows for c in columns])
            else:
                yield torch.stack([field[r, c] for r in rows for c in columns if 0 <= r < H and 0 <= c < W])


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("size", "offset"), [(1, 0.0), (3, 0.0), (5, 1e6)])
def test_local_statistics_equal_loops(size, offset, periodic):
    field = torch.randn(6, 7, dtype=torch.float64) + offset
    mean = torch.stack([w.mean() for w in windows(field, size, periodic)]).reshape(6, 7)
    variance = torch.stack([w.var(correction=0) for w in windows(field, size, periodic)]).reshape(6, 7)
    stacked = torch.stack([field, field + 1]).unsqueeze(1)
    torch.testing.assert_close(local_mean(stacked, window=size, periodic=periodic)[1, 0], mean + 1)
    # an offset of 1e6 leaves ten digits to the data
    result = local_variance(stacked, window=size, periodic=periodic)[0, 0]
    torch.testing.assert_close(result, variance, atol=1e-9, rtol=1e-9)


def test_constant_field_has_no_variance():
    assert local_variance(torch.full((5, 5), 0.1)).max() == 0


def test_local_statistics_errors():
    with pytest.raises(OptionError, match="odd number of points, at least 1, got 4"):
        local_mean(torch.zeros(8, 8), window=4)
    with pytest.raises(ShapeError, match=r"window of 5 points needs as many along each axis, got shape \(4, 8\)"):
        local_variance(torch.zeros(4, 8))
