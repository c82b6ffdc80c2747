"""Moments do not depend on how a stream is cut, ordered or stored, and follow every change of units."""

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from isospan.moments import Moments, merged

from .strategies import batches, laid_out, layouts, near, orthogonal, plain_batches, seeds, unchanged

EPS = np.finfo(np.float64).eps


def oracle(z, y):
    """Means and covariances (biased) of the joint columns, in float128."""
    joint = np.concatenate([z, *y.values()], 1).astype(np.longdouble)
    centred = joint - joint.mean(0)
    return joint.mean(0), centred.T @ centred / len(joint)


def assert_moments(moments, batch, tolerance=1e-12, of_mean=64 * EPS):
    # data 1e3 standard deviations off cost 1e3 eps = 2e-13 where they are centred; means cost some eps of their size
    z, y = batch.double()
    (mean, cov), D = oracle(z, y), z.shape[1]
    deviation = np.sqrt(np.diag(cov)) + 64 * EPS * abs(mean)
    unit = np.outer(deviation, deviation).astype(float)
    near(
        torch.cat([moments.z_mean, moments.target_mean]),
        mean,
        of_mean,
        unit=abs(mean).max() + deviation.max(),
    )
    near(moments.cov_zz, cov[:D, :D], tolerance, unit=unit[:D, :D])
    near(torch.cat(list(moments.cov_zy.values()), 1), cov[:D, D:], tolerance, unit=unit[:D, D:])
    near(moments.target_variance, np.diag(cov)[D:], tolerance, unit=np.diag(unit)[D:])
    assert moments.count == len(z)


@given(batches(), st.lists(st.integers(1, 23), max_size=6), st.booleans(), seeds)
def test_any_split_in_any_order_gives_the_moments_of_the_whole(batch, cuts, full, seed):
    n = len(batch.z)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    edges = sorted({0, n, *(cut for cut in cuts if cut < n)})
    parts = [order[a:b] for a, b in itertools.pairwise(edges)]
    pieces = [batch.map(lambda x, rows=rows: x[rows]) for rows in parts]
    stream = Moments.of_batches(((piece.z, piece.y) for piece in pieces), target_covariance=full)
    together = merged([Moments.of_batches([(piece.z, piece.y)], target_covariance=full) for piece in pieces])
    for moments in (Moments.of(batch.z, batch.y, target_covariance=full), stream, together):
        assert_moments(moments, batch)


@given(batches(), layouts)
def test_memory_layouts_do_not_matter_and_inputs_stay(batch, layout):
    other = batch.map(lambda x: laid_out(x, layout))
    same = unchanged(other.z, *other.y.values())
    assert_moments(Moments.of(other.z, other.y), batch)
    assert same()


@given(batches(offsets=st.just(0.0)))
def test_single_precision_loses_no_more_than_its_rounding(batch):
    # means and products of 24 numbers: less than one eps of float32 and 25 eps
    single = torch.finfo(torch.float32).eps
    assert_moments(Moments.of(batch.z, batch.y, precision=torch.float32), batch, 25 * single, of_mean=single)


@given(plain_batches, seeds, st.sampled_from([-1e3, 0.1, 7.0]), st.floats(-100, 100))
def test_affine_changes_of_latents_and_units(batch, seed, scale, shift):
    # a shift of 100 standard deviations costs 1e4 eps = 2e-12 of squares; the factor of scaled() is in float32
    Q = orthogonal(seed, batch.z.shape[1])
    before = Moments.of(batch.z, batch.y)
    after = Moments.of(scale * batch.z @ Q.mT + shift, {name: scale * y + shift for name, y in batch.y.items()})
    near(after.cov_zz, scale**2 * Q @ before.cov_zz @ Q.mT, 1e-8, unit=scale**2 + 1e-4)
    for name, C in before.cov_zy.items():
        near(after.cov_zy[name], scale**2 * Q @ C, 1e-8, unit=10 * scale**2 + 1e-4)
        near(
            before.scaled(dict.fromkeys(before.names, torch.tensor(scale))).var_y[name],
            scale**2 * before.var_y[name],
            1e-6,
        )


@given(batches(), st.floats(1e-3, 1))
def test_state_dict_and_decay_keep_the_covariance(batch, factor):
    # one multiplication and one division by the same factor
    moments = Moments.of(batch.z, batch.y)
    copy = Moments(moments.latent_dim, moments.target_dims)
    copy.load_state_dict(moments.half().state_dict())
    assert all(torch.equal(a, b) for a, b in zip(copy.buffers(), Moments.of(batch.z, batch.y).buffers(), strict=True))
    near(copy.decay_(factor).cov_zz, moments.cov_zz, 1e-12)
