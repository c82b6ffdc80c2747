"""Streamed scatter against numpy."""

import numpy as np
import pytest
import torch

from isospan.sizing._spectra import Scatter


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [0, 3, 47], [20, 0, 30]])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_equals_numpy_whatever_the_batches(sizes, offset):
    x = torch.randn(50, 4, dtype=torch.float64) + offset
    scatter = Scatter(4)
    for rows in x.split(sizes):
        scatter.add(rows)
    # data at 1e6 carry 1e-10 of rounding
    atol = 1e-8 if offset else 1e-13
    np.testing.assert_allclose(scatter.matrix, 50 * np.cov(x.T.numpy(), bias=True), atol=atol)
    np.testing.assert_allclose(scatter.mean, x.numpy().mean(0), rtol=1e-14, atol=1e-14)
    assert scatter.count == 50


def test_float32_batches_are_summed_in_float64():
    x = torch.randn(1000, 3) + 100
    whole = Scatter(3).add(x)
    parts = Scatter(3)
    for rows in x.split(7):
        parts.add(rows)
    # rounding of 1000 float64 sums
    torch.testing.assert_close(parts.matrix, whole.matrix, rtol=1e-12, atol=1e-9)
    assert parts.matrix.dtype == torch.float64
