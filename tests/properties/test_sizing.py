"""Sizes are those that NumPy counts, whatever the unit, the layout and the cut of a stream."""

import math
from fractions import Fraction

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from isospan.quantities import pool
from isospan.sizing import minimal_latent_dim, pooled_resolutions, solve_dims, subspace_dims, threshold_sweep

from .strategies import dtypes, laid_out, layouts, normal, orthogonal, seeds

fractions = st.sampled_from([0.05, 0.3, 0.5, 0.77, 0.9, 0.99, 1.0])
mild_units = st.integers(-15, 15).map(lambda exponent: 10.0**exponent)


@st.composite
def spectra(draw):
    """Data (N, P) with singular values that are known, of P ≥ rank features."""
    n, rank = draw(st.integers(4, 30)), draw(st.integers(1, 3))
    P, seed = draw(st.integers(rank, 40)), draw(seeds)
    s = torch.tensor(sorted(draw(st.lists(st.floats(0.2, 3), min_size=rank, max_size=rank)), reverse=True))
    left = torch.linalg.qr(normal(seed, n, rank) - normal(seed, n, rank).mean(0))[0]
    return left * s @ orthogonal(seed + 1, P)[:rank], s.double().numpy() ** 2


def least_count(variance, threshold):
    """The counts just below and just above a threshold: float32 rounds shares of variance by up to 1e-5."""
    share = np.cumsum(variance) / variance.sum()
    return min(int((share < threshold - 1e-5).sum()) + 1, len(variance)), min(
        int((share < threshold + 1e-5).sum()) + 1, len(variance)
    )


@given(spectra(), fractions, mild_units, st.sampled_from([0.0, 3.0]), dtypes, layouts, st.integers(1, 30))
def test_directions_are_counted_as_numpy_does(data, threshold, unit, offset, dtype, layout, cut):
    x, variance = data
    y = laid_out(((x + offset) * unit).to(dtype), layout)
    lowest, highest = least_count(variance, threshold)
    if dtype == torch.float64 or threshold < 1:  # rounding of float32 data adds modes
        k = subspace_dims({"a": y}, threshold=threshold)["a"]
        assert lowest <= k <= highest
        assert subspace_dims(iter([{"a": y[:cut]}, {"a": y[cut:]}]), threshold=threshold)["a"] == k
        n = pooled_resolutions({"a": y}, threshold=threshold)["a"]
        assert n == max(2, min(16, math.ceil(math.sqrt(k))))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(0, 99), st.none() | st.integers(1, 12))
def test_the_latent_dimension_is_the_least(k, percent, heads):
    D = minimal_latent_dim({str(i): k_i for i, k_i in enumerate(k)}, free_frac=percent / 100, num_heads=heads)
    free = 1 - Fraction(percent, 100)
    assert D * free >= sum(k)
    assert D % (heads or 1) == 0
    assert (D - (heads or 1)) * free < sum(k)


@given(seeds, st.sampled_from(["avg", "max"]), fractions, fractions, mild_units, st.booleans())
def test_sizes_of_fields_are_those_of_their_pooled_values(seed, mode, n_threshold, k_threshold, unit, streamed):
    field = unit * normal(seed, 14, 2, 6, 6)
    data = iter([{"a": field[:5]}, {"a": field[5:]}]) if streamed else {"a": field}
    n, k = solve_dims(data, n_threshold=n_threshold, k_threshold=k_threshold, max_n=5, mode=mode)["a"]
    assert n == pooled_resolutions({"a": field}, threshold=n_threshold, max_n=5)["a"]
    assert k == subspace_dims({"a": pool(field, n, mode=mode)}, threshold=k_threshold)["a"]
    sweep = threshold_sweep({"a": field}, n_thresholds=[n_threshold], k_thresholds=[k_threshold], max_n=5, mode=mode)
    assert (sweep.n["a"][0], sweep.k["a"][0][0]) == (n, k)
