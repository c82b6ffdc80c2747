"""Gram spectra against the singular value decomposition of numpy."""

import numpy as np
import pytest
import torch

from isospan.errors import DtypeError, ShapeError
from isospan.linalg import add_gram_, gram_spectrum, mirror_, symmetric_spectrum
from isospan.linalg._eigenvalues import BLOCK
from isospan.settings import config


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(20, 7), (7, 20), (9, 9), (1, 5), (5, 1)])
def test_equals_squared_singular_values(shape, dtype):
    x = torch.randn(shape).to(dtype)
    spectrum = gram_spectrum(x)
    assert spectrum.dtype == torch.float64
    # eigenvalues of a float64 Gram matrix: rounding relative to the largest
    expected = np.linalg.svd(x.double().numpy(), compute_uv=False) ** 2
    np.testing.assert_allclose(spectrum, expected, rtol=0, atol=1e-14 * max(shape) * expected[0])


def test_rank_deficient_is_never_negative():
    x = torch.randn(30, 3) @ torch.randn(3, 12)
    spectrum = gram_spectrum(x.double())
    assert (spectrum >= 0).all()
    assert (spectrum[3:] < 1e-12 * spectrum[0]).all()
    assert (spectrum.diff() <= 0).all()


def test_the_cpu_fallback_never_changes_the_answer():
    x = torch.randn(400, 300)
    expected = gram_spectrum(x)
    with config.context(use_cpu_fallback=True):
        assert torch.equal(gram_spectrum(x), expected)


def test_symmetric_spectrum():
    assert symmetric_spectrum(torch.diag(torch.tensor([1.0, 3.0, 2.0]))).tolist() == [3.0, 2.0, 1.0]


@pytest.mark.parametrize("P", [1, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("N", [0, 1, 9])
def test_gram_of_any_layout(P, N, dtype):
    for x in (torch.randn(N, P, dtype=dtype), torch.randn(P, N, dtype=dtype).mT, torch.randn(2 * N, 3 * P)[::2, ::3]):
        x = x.to(dtype)
        G = torch.ones(P, P, dtype=dtype)
        torch.testing.assert_close(add_gram_(G, x).triu(), (1 + x.mT @ x).triu())


@pytest.mark.parametrize("P", [1, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
def test_gram_of_two_batches(P):
    x, y = torch.randn(2, 9, P, dtype=torch.float64)
    G = torch.zeros(P, P, dtype=torch.float64)
    expected = x.mT @ x + y.mT @ y
    mirror_(add_gram_(G, x))
    mirror_(add_gram_(G, y))  # mirroring in between does no harm
    torch.testing.assert_close(G, expected)
    assert torch.equal(G, G.mT)
    np.testing.assert_allclose(symmetric_spectrum(G.triu()), np.linalg.eigvalsh(expected)[::-1].clip(0), atol=1e-10)


def test_spectrum_above_one_block():
    for shape in ((BLOCK + 50, 2 * BLOCK), (2 * BLOCK, BLOCK + 50)):
        x = torch.randn(shape, dtype=torch.float64)
        expected = np.linalg.svd(x.numpy(), compute_uv=False) ** 2
        np.testing.assert_allclose(gram_spectrum(x), expected, rtol=1e-10)  # well conditioned, 500 rows


def test_a_gram_matrix_that_blas_would_copy_is_refused():
    x = torch.ones(3, 2)
    with pytest.raises(DtypeError, match=r"both be float32 or both float64, got torch\.float32 and torch\.float64"):
        add_gram_(torch.zeros(2, 2, dtype=torch.float64), x)
    with pytest.raises(DtypeError, match=r"got torch\.int64"):
        add_gram_(torch.zeros(2, 2).long(), x.long())
    with pytest.raises(ShapeError, match=r"contiguous .*strides \(1, 2\)"):
        add_gram_(torch.zeros(2, 2).mT, x)
    with pytest.raises(ShapeError, match=r"P = 2 columns of X, got \(3, 3\)"):
        add_gram_(torch.zeros(3, 3), x)
