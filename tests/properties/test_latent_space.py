"""Encode, decode, edit and erase: each undoes or leaves what it must, on any space and any batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isospan.subspaces import LatentSpace

from .strategies import dtypes, eps, laid_out, latent_spaces, layouts, near, normal, orthogonal, seeds, unchanged

samples = st.integers(0, 5)


def unit_of(space):
    return float(next(iter(space.y_scale.values())))


pytestmark = pytest.mark.filterwarnings(  # targets are drawn at random, so some are far from the data
    "ignore:. of . steps are longer:isospan.errors.NumericalWarning"
)


def reachable(space, name, seed, n):
    """Values of a quantity that its k directions can reach."""
    return space.y_mean[name] + normal(seed, n, len(space.W[name])) @ space.A[name]


@given(latent_spaces(), samples, seeds, layouts, dtypes)
def test_an_edit_is_decoded_and_changes_nothing_else(space, n, seed, layout, dtype):
    # eps times the condition of all decoders together, which random subspaces do not bound: allowed is 1e5
    z = laid_out(normal(seed, n, space.latent_dim, dtype=dtype), layout)
    edited = space.names[0]
    target = reachable(space, edited, seed + 1, n)
    same = unchanged(z, target)
    after = space.edit(z, {edited: target})
    assert (after.dtype, after.shape) == (dtype, z.shape)
    for name, y in space.decode(after).items():
        expected = target if name == edited else space.decode(z)[name]
        near(y, expected, 1e5 * torch.finfo(dtype).eps, unit=unit_of(space))
    assert same()


@given(latent_spaces(), st.integers(1, 4), seeds)
def test_an_edit_is_the_shortest_that_numpy_finds(space, n, seed):
    # two solves of the same equations: eps times a condition of up to 1e7
    z, edited = normal(seed, n, space.latent_dim), space.names[:1]
    target = reachable(space, edited[0], seed + 1, n)
    rows = {name: (space.W[name].mT @ space.A[name] / unit_of(space)).mT.numpy() for name in space.names}
    change = ((target - space.decode(z)[edited[0]]) / unit_of(space)).numpy()
    equations = np.concatenate([rows[name] for name in space.names])
    wanted = np.concatenate([change if name in edited else np.zeros((n, len(rows[name]))) for name in space.names], 1)
    shortest = np.linalg.lstsq(equations, wanted.T, rcond=1e-10)[0].T
    near(space.edit(z, {edited[0]: target}, metric="euclidean") - z, shortest, 1e-8, unit=1 + abs(shortest).max())


@pytest.mark.filterwarnings("ignore:Only . of . directions:isospan.errors.NumericalWarning")
@given(latent_spaces(independent=False), st.integers(1, 4), seeds, st.sampled_from([0.0, 1e-16]))
def test_directions_that_other_quantities_fill_do_not_move(space, n, seed, rounding):
    """The others keep their values, and a step is never longer than the asked change over the weakest decoder."""
    # rows that are off by 1e-16 move others by no more than 1e-6; the weakest decoder has the singular value 0.5,
    # so a step is at most twice the change
    W = {name: W_q + rounding * normal(seed + 2, *W_q.shape) for name, W_q in space.W.items()}
    space = replace(space, W=W)
    z, edited = normal(seed, n, space.latent_dim), space.names[0]
    target = reachable(space, edited, seed + 1, n)
    after = space.edit(z, {edited: target}, metric="euclidean")
    before, unit = space.decode(z), unit_of(space)
    for name in space.names[1:]:
        near(space.decode(after)[name], before[name], 1e-6, unit=unit)
    change = torch.linalg.vector_norm((target - before[edited]) / unit, dim=1)
    assert (torch.linalg.vector_norm(after - z, dim=1) <= 2.1 * change + 1e-6).all()


@given(latent_spaces(isotropic=True), samples, seeds, st.booleans())
def test_erasing_is_a_projection(space, n, seed, independent):
    """An orthogonal one for latents of covariance 1."""
    # products with orthonormal rows round by 1e-15 of latents up to 10; decoded values by somewhat more
    z, names = normal(seed, n, space.latent_dim), space.names
    erased = space.erase(z, names)
    near(space.erase(erased, names), erased, 1e-12, unit=10.0)
    for name in names:
        near(space.encode(erased)[name], torch.zeros(n, len(space.W[name])), 1e-12, unit=10.0)
        near(space.decode(erased)[name], space.y_mean[name].expand(n, -1), 1e-10, unit=unit_of(space))
    near(space.free(erased), space.free(z), 1e-12, unit=10.0)
    lengths = [torch.linalg.vector_norm(part, dim=1) ** 2 for part in (z - space.z_mean, z - erased, space.free(z))]
    near(lengths[0], lengths[1] + lengths[2], 1e-12, unit=1e3)


@given(latent_spaces(), samples, seeds, layouts, dtypes)
def test_each_latent_is_used_alone(space, n, seed, layout, dtype):
    # the same products in another order, times the condition of the decoders in edits
    z = normal(seed, n, space.latent_dim, dtype=dtype)
    target = {name: reachable(space, name, seed + 1, n) for name in space.names[-1:]}
    calls = [
        lambda z, t: space.decode(z),
        lambda z, t: space.encode(z),
        lambda z, t: {"z": space.erase(z, space.names)},
    ]
    calls += [lambda z, t: {"z": space.edit(z, t)}, lambda z, t: {"s": space.free(z)}]
    for call in calls:
        whole = call(laid_out(z, layout), target)
        for i in range(n):
            alone = call(z[i : i + 1], {name: y[i : i + 1] for name, y in target.items()})
            for name in whole:
                near(alone[name][0], whole[name][i], 1e4 * eps(z), unit=max(1.0, unit_of(space)))


@given(latent_spaces(), st.integers(1, 5), seeds)
def test_a_rotated_space_gives_rotated_latents(space, n, seed):
    # an edit solves equations, whose condition may be large; erasing and decoding only multiply
    z, Q = normal(seed, n, space.latent_dim), orthogonal(seed + 1, space.latent_dim)
    rotated = LatentSpace(
        {name: W @ Q.mT for name, W in space.W.items()},
        space.A,
        Q @ space.z_mean,
        space.y_mean,
        space.y_scale,
        space.shapes,
        cov_zz=Q @ space.cov_zz @ Q.mT,
    )
    target = {space.names[0]: reachable(space, space.names[0], seed + 2, n)}
    near(rotated.edit(z @ Q.mT, target), space.edit(z, target) @ Q.mT, 1e-8, unit=1e3)
    near(rotated.erase(z @ Q.mT, space.names), space.erase(z, space.names) @ Q.mT, 1e-12, unit=10.0)
    for name, y in rotated.decode(z @ Q.mT).items():
        near(y, space.decode(z)[name], 1e-12, unit=10 * unit_of(space))


@given(latent_spaces(independent=False), dtypes)
def test_loading_gives_what_was_saved(tmp_path_factory, space, dtype):
    path = tmp_path_factory.mktemp("space") / "s.safetensors"
    space = space.to(dtype=dtype)
    space.save(path)
    loaded = LatentSpace.load(path)
    assert loaded.names == space.names
    assert dict(loaded.shapes) == dict(space.shapes)
    for part in ("W", "A", "y_mean", "y_scale"):
        assert all(torch.equal(getattr(loaded, part)[name], getattr(space, part)[name]) for name in space.names)
    assert torch.equal(loaded.z_mean, space.z_mean)
    assert torch.equal(loaded.cov_zz, space.cov_zz)
    assert loaded.z_mean.dtype == dtype
