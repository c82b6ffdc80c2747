"""The least latent dimension, in exact arithmetic."""

from decimal import Decimal

import numpy as np
import pytest

from isospan.errors import DegenerateDataError, DimensionError, OptionError
from isospan.sizing import minimal_latent_dim


def test_a_decimal_fraction_is_taken_as_written():
    assert minimal_latent_dim(7, Q=1, free_frac=0.3) == 10
    assert minimal_latent_dim({"a": 3, "b": 4}, free_frac=0.3) == 10
    assert minimal_latent_dim(7, Q=1, free_frac=np.float64(0.3)) == 10


def test_definition_for_every_percentage():
    """D is the least whole number with D (100 - percent) >= 100 k."""
    for percent in range(100):
        free_frac = float(Decimal(percent) / 100)
        for k in range(1, 130):
            D = minimal_latent_dim(k, Q=1, free_frac=free_frac)
            assert (D - 1) * (100 - percent) < 100 * k <= D * (100 - percent)


@pytest.mark.parametrize(("heads", "D"), [(None, 46), (1, 46), (8, 48), (46, 46), (64, 64)])
def test_heads(heads, D):
    assert minimal_latent_dim(8, Q=4, num_heads=heads) == D


def test_q_counts_one_k_only():
    assert minimal_latent_dim(10, Q=3, free_frac=0) == 30
    assert minimal_latent_dim({"a": 4, "b": 6}, Q=999, free_frac=0.0) == 10
    assert minimal_latent_dim(np.int64(4), Q=np.int64(2), free_frac=0.0) == 8


def test_small_fractions_and_exponents():
    assert minimal_latent_dim(10**6, Q=1, free_frac=1e-6) == 1000002  # 1e12 / 999999 = 1000001.000001
    assert minimal_latent_dim(1, Q=1, free_frac=0.999) == 1000


@pytest.mark.parametrize("free_frac", [1.0, -0.1, 1.5, float("nan"), "0.3", None])
def test_bad_fraction(free_frac):
    with pytest.raises(OptionError, match=r"free_frac must be in \[0, 1\), got"):
        minimal_latent_dim(8, Q=4, free_frac=free_frac)


def test_bad_numbers():
    with pytest.raises(OptionError, match="Q, the number of quantities, is needed"):
        minimal_latent_dim(8)
    with pytest.raises(DimensionError, match="k of quantity 'b' must be at least 1, got 0"):
        minimal_latent_dim({"a": 1, "b": 0})
    with pytest.raises(DimensionError, match=r"k must be a whole number, got 2.5"):
        minimal_latent_dim(2.5, Q=1)
    with pytest.raises(OptionError, match="Q must be at least 1, got 0"):
        minimal_latent_dim(1, Q=0)
    with pytest.raises(OptionError, match="num_heads must be at least 1, got 0"):
        minimal_latent_dim(1, Q=1, num_heads=0)
    with pytest.raises(DegenerateDataError, match="k names no quantity"):
        minimal_latent_dim({})
