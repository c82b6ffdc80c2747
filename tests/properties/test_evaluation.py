"""Scores are those of a naive cross-fit in NumPy, and do not depend on units, rotations or the order of samples."""

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from isospan.evaluation import evaluate
from isospan.moments import Moments
from isospan.subspaces import LatentSpace, solve_from_moments

from .strategies import batches, laid_out, layouts, near, orthogonal, seeds, unchanged

many = st.integers(24, 40)
plain = batches(dtypes=st.just(torch.float64), units=st.just(1.0), offsets=st.just(0.0), samples=many)


def space_of(batch, k=1, **options):
    return solve_from_moments(Moments.of(batch.z, batch.y), k=k, **options)


def score(x, y, ridge=1e-6):
    """R² of y from x by two halves, each predicted from the other."""
    half, errors = len(x) // 2, 0.0
    for fit, scored in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
        xc, yc = x[fit] - x[fit].mean(0), y[fit] - y[fit].mean(0)
        G = xc.T @ xc
        B = np.linalg.pinv(G + ridge * np.trace(G) / len(G) * np.eye(len(G)), rcond=1e-13, hermitian=True) @ xc.T @ yc
        errors += ((y[scored] - y[fit].mean(0) - (x[scored] - x[fit].mean(0)) @ B) ** 2).sum()
    return 1 - errors / ((y - y.mean(0)) ** 2).sum()


@given(batches(samples=many), layouts)
def test_scores_are_those_of_a_naive_cross_fit(batch, layout):
    # data 1e3 standard deviations off zero cost 1e6 eps = 2e-10 of their squares, which the condition of a fit
    # multiplies, most for the whole latent (linear_probe_r2)
    z, y = batch.double()
    space, other = space_of(batch), batch.map(lambda x: laid_out(x, layout))
    same = unchanged(other.z, *other.y.values())
    evaluation = evaluate(space, other.z, other.y)
    for i, a in enumerate(space.names):
        for j, b in enumerate(space.names):
            near(evaluation.cross_r2[i, j], score(z @ space.W[b].double().numpy().T, y[a]), 1e-6, unit=1.0)
            if i != j:
                near(evaluation.target_r2[i, j], score(y[b], y[a]), 1e-6, unit=1.0)
        near(evaluation.linear_probe_r2[a], score(z, y[a]), 1e-5, unit=1.0)
        assert evaluation.subspace_r2[a] <= 1 + 1e-9
        assert evaluation.decoder_r2[a] <= 1 + 1e-9
        decoded = space.decode(batch.z.double())[a].reshape(len(z), -1).numpy()
        r2 = 1 - ((decoded - y[a]) ** 2).sum() / ((y[a] - y[a].mean(0)) ** 2).sum()
        near(evaluation.decoder_r2[a], r2, 1e-6, unit=1.0)
    assert same()


@given(plain, seeds, st.sampled_from([1e-4, 30.0]))
def test_scores_have_no_unit(batch, seed, unit):
    # rounding, 1e-15, times at most 1 / ridge = 1e6 where latents are of low rank; a hundred times that
    Q, space = orthogonal(seed, batch.z.shape[1]), space_of(batch)
    scaled = {part: {q: unit * t for q, t in getattr(space, part).items()} for part in ("A", "y_mean", "y_scale")}
    rotated = {q: W @ Q.mT for q, W in space.W.items()}
    moved = LatentSpace(W=rotated, z_mean=Q @ space.z_mean, shapes=space.shapes, **scaled)
    before = evaluate(space, batch.z, batch.y)
    after = evaluate(moved, batch.z @ Q.mT, {q: unit * y for q, y in batch.y.items()})
    for part in ("subspace_r2", "linear_probe_r2", "rank_k_probe_r2", "decoder_r2", "variance_share"):
        ours, theirs = getattr(before, part), getattr(after, part)
        near(list(ours.values()), list(theirs.values()), 1e-7, unit=1.0)
    near(after.cross_r2, before.cross_r2, 1e-7, unit=1.0)


@given(plain)
def test_shares_of_variance_add_up_and_the_full_probe_bounds_the_others(batch):
    # equal but for rounding, 1e-15, and a fit without ridge of latents that may be of low rank
    assume(len(batch.y) <= batch.z.shape[1])
    space = space_of(batch, orthogonal=True, separation=0.0)
    evaluation = evaluate(space, batch.z, batch.y, fit=(batch.z, batch.y), ridge=0.0)
    near(sum(evaluation.variance_share.values()), 1.0, 1e-9)
    for q in space.names:  # on the data that they are fitted on
        assert evaluation.decoder_r2[q] <= evaluation.subspace_r2[q] + 1e-9
        assert evaluation.subspace_r2[q] <= evaluation.rank_k_probe_r2[q] + 1e-9 <= evaluation.linear_probe_r2[q] + 2e-9
