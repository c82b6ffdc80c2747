"""The losses against their formulas written out in float64, their derivatives, and what they are invariant under."""

from itertools import combinations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from isospan.guided.losses import alignment_loss, combined_loss, disentanglement_loss, isotropy_loss, stability_loss

from .strategies import batches, eps, laid_out, layouts, matrix, near, normal, orthogonal, outcome, seeds, units

doubles, one, none = st.just(torch.float64), st.just(1.0), st.just(0.0)
small = st.integers(8, 12)
mild_units = st.integers(-12, 12).map(lambda exponent: 10.0**exponent)


@st.composite
def cases(draw, **options):
    """Z, W, A, Y, W_prev; the decoders give values in the units of Y."""
    batch = draw(batches(**options))
    D, seed = batch.z.shape[1], draw(seeds)
    k = {name: draw(st.integers(1, min(2, D))) for name in batch.y}
    z_unit = float(batch.z.double().std(0, correction=0).norm())
    W = {name: matrix(seed + i, k[name], D).to(batch.z) for i, name in enumerate(k)}
    P = {name: y[0].numel() for name, y in batch.y.items()}
    unit = {name: float(y.double().std(0, correction=0).norm()) / z_unit for name, y in batch.y.items()}
    A = {name: (unit[name] * normal(seed + 7, k[name], P[name])).to(batch.z) for name in k}
    previous = {name: W_q + 0.3 * normal(seed + 9, *W_q.shape).to(W_q) for name, W_q in W.items()}
    return batch.z, W, A, batch.y, previous


def centred(x):
    return x - x.mean(0)


def alignment(Z, W, A, Y):
    errors = [(centred(Z) @ W[q].mT @ A[q] - centred(Y[q].reshape(len(Z), -1))).square().mean() for q in W]
    return torch.stack(errors).mean()


def disentanglement(Z, W):
    S = {q: centred(Z) @ W_q.mT for q, W_q in W.items()}
    S = {q: s / s.std(0).where(s.std(0) > 1e-12 * s.abs().max(), torch.inf) for q, s in S.items()}
    pairs = [(S[i].mT @ S[j] / len(Z)).square().sum() / S[i].shape[1] for i, j in combinations(W, 2)]
    return torch.stack(pairs).mean() if pairs else Z.sum() * 0


def free(Z, W):
    """Zc (I - P), and how many singular values may differ from zero."""
    W_all = torch.cat(list(W.values()))
    P = torch.linalg.pinv(W_all, rtol=1e-5) @ W_all
    return centred(Z) @ (torch.eye(Z.shape[1]) - P), min(
        len(Z) - 1, Z.shape[1] - int(torch.linalg.matrix_rank(W_all, rtol=1e-5))
    )


def leaves_the_subspaces(Z, W):
    """Whether the free part is more than rounding, whose evenness is arbitrary; the losses end at 64 eps."""
    z, w = Z.double(), {q: W_q.double() for q, W_q in W.items()}
    size = float(free(z, w)[0].norm() / centred(z).norm())
    return size == 0 or size > 1e4 * eps(Z)


def isotropy(Z, W, n_dir=32):
    X, d = free(Z, W)
    s = torch.linalg.svdvals(X)[: min(n_dir, d)]
    empty = len(s) == 0 or s.mean() < 1e-9 * centred(Z).norm()
    return Z.sum() * 0 if empty else (s / s.mean() - 1).square().mean()


def isotropy_of_variance(Z, W):
    X, d = free(Z, W)
    C = X.mT @ X
    return (
        Z.sum() * 0
        if d == 0 or C.trace() < 1e-18 * centred(Z).square().sum()
        else d * C.square().sum() / C.trace() ** 2 - 1
    )


def stability(W, W_prev):
    return torch.stack([(W_q - W_prev[q]).square().sum() for q, W_q in W.items()]).mean()


def in_double(case):
    return tuple(x.double() if isinstance(x, torch.Tensor) else {q: t.double() for q, t in x.items()} for x in case)


@given(cases(units=mild_units), layouts)
def test_values_are_those_of_the_formulas(case, layout):
    # float32 has an eps of 1e-7, and data 1e3 standard deviations off lose 1e3 of it, in both numbers of a ratio;
    # float64 is 1e9 times finer, and the oracle, which centres in it, loses as much
    Z, W, A, Y, W_prev = case
    assume(leaves_the_subspaces(Z, W))
    z, w, a, y, w_prev = in_double(case)
    moved = laid_out(Z, layout), W, A, {q: laid_out(t, layout) for q, t in Y.items()}
    tolerance = 1e-9 if Z.dtype == torch.float64 else 2e-3
    expected = {
        "alignment": (alignment_loss(*moved), alignment(z, w, a, y)),
        "disentanglement": (disentanglement_loss(moved[0], W), disentanglement(z, w)),
        "isotropy": (isotropy_loss(moved[0], W, 3), isotropy(z, w, 3)),
        "stability": (stability_loss(W, W_prev), stability(w, w_prev)),
    }
    for ours, theirs in expected.values():
        near(ours, theirs, tolerance, unit=1.0 if ours is not expected["alignment"][0] else theirs)
        assert ours.dtype == Z.dtype
    terms = combined_loss(*moved, W_prev, n_dir=3, return_terms=True)
    for term, (ours, _) in expected.items():
        near(terms[term], ours, 1e3 * eps(Z), unit=1 + ours)


@given(cases(units=mild_units))
def test_the_spread_of_variances(case):
    # as above
    (Z, W, *_), (z, w, *_) = case, in_double(case)
    assume(leaves_the_subspaces(Z, W))
    near(
        isotropy_loss(Z, W, spectrum="variance"),
        isotropy_of_variance(z, w),
        1e-9 if Z.dtype == torch.float64 else 2e-3,
        unit=1.0,
    )


@given(cases(offsets=st.sampled_from([1e6, -1e6]), units=one))
def test_an_offset_of_a_million_standard_deviations_costs_no_digits_of_the_data(case):
    # both sides are given the same rounded data, which float32 holds to 6 % of a deviation: less than that says that
    # they are centred in float64, where an offset of 1e6 costs 1e6 eps = 2e-10
    Z, W, A, Y, _ = case
    z, w, a, y, _ = in_double(case)
    near(alignment_loss(Z, W, A, Y), alignment(z, w, a, y), 1e-6 if Z.dtype == torch.float64 else 2e-2)
    near(disentanglement_loss(Z, W), disentanglement(z, w), 1e-6 if Z.dtype == torch.float64 else 2e-2, unit=1.0)


@given(cases(units=units))
def test_every_unit_gives_a_finite_value_and_gradient_or_a_named_error(case):
    Z, W, A, Y, W_prev = case
    z, w, a, y, _ = in_double(case)
    exact = alignment(z.requires_grad_(), w, a, y)
    slopes = torch.autograd.grad(exact, z)[0].abs().max()
    fits = (
        max(exact.detach(), slopes) < torch.finfo(Z.dtype).max / 2
    )  # half, since rounding may pass the largest number
    Z = Z.requires_grad_()
    for loss in (
        *[lambda: combined_loss(Z, W, A, Y, W_prev)] * bool(fits),
        lambda: disentanglement_loss(Z, W),
        lambda: isotropy_loss(Z, W),
    ):
        value = outcome(loss)
        if value is not None:
            (gradient,) = torch.autograd.grad(value, Z)
            assert value.isfinite()
            assert gradient.isfinite().all()


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@given(cases(dtypes=doubles, units=one, offsets=none, samples=small, max_names=2))
def test_first_and_second_derivatives(check, case):
    # differences of step 1e-6 are exact to about 1e-6 of third derivatives, which are large near coordinates of
    # deviation 1e-3
    Z, W, A, Y, _ = case
    Z = Z.requires_grad_()
    S = centred(Z.detach()) @ torch.cat(list(W.values())).mT
    if S.std(0).min() < 1e-3 or torch.linalg.matrix_rank(centred(Z.detach())) < Z.shape[1]:
        return  # a constant coordinate or a missing direction has no derivative
    losses = [lambda Z: alignment_loss(Z, W, A, Y), lambda Z: disentanglement_loss(Z, W)]
    losses += [lambda Z: isotropy_loss(Z, W, spectrum="variance"), lambda Z: isotropy_loss(Z, W)]
    for function in losses:
        assert check(function, (Z,), atol=1e-4, rtol=1e-3)


@given(cases(dtypes=doubles, offsets=none), seeds, st.sampled_from([1e-5, 0.3, 1e4]))
def test_rotations_orders_and_units(case, seed, scale):
    # rounding of a rotation, 1e-15, over coordinates or a free part that may be a small share of the latents
    Z, W, A, Y, _ = case
    assume(leaves_the_subspaces(Z, W))
    Q, order = orthogonal(seed, Z.shape[1]), torch.randperm(len(Z), generator=torch.Generator().manual_seed(seed))
    z, w = (Z @ Q.mT)[order], {q: W_q @ Q.mT for q, W_q in W.items()}
    y = {q: scale * t[order] + 3 * scale * t.std() for q, t in Y.items()}
    a = {q: scale * A_q for q, A_q in A.items()}
    near(alignment_loss(z, w, a, y), scale**2 * alignment_loss(Z, W, A, Y), 1e-8)
    near(disentanglement_loss(scale * z, w), disentanglement_loss(Z, W), 1e-8, unit=1.0)
    near(isotropy_loss(scale * z, w), isotropy_loss(Z, W), 1e-6, unit=1.0)
