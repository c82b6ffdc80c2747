"""The ascent to a joint frame: derivatives against differences, and an optimum that rounding does not move."""

import warnings

import pytest
import torch

from isospan.compat.spacelearn._solve import subspaces
from isospan.errors import NumericalWarning
from isospan.linalg import nearest_frame
from isospan.subspaces._partition import ExplainedVariance, joint_frame

D, SIZES = 9, [3, 2, 1]


def problem(*, with_metric=True):
    g = torch.Generator().manual_seed(0)
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    eye = torch.eye(D, dtype=torch.float64)
    X = rand(D, D)
    metric = X @ X.mT + eye if with_metric else None
    forms = [T @ T.mT - 0.3 * U @ U.mT for T, U in ((rand(D, 3), rand(D, 2)) for _ in SIZES)]
    return forms, metric, lambda W: ExplainedVariance(forms, metric, SIZES, W), rand


def tangent(W, X):
    """Directions in which W stays orthonormal and no basis is rotated within its span."""
    S = X @ W.mT
    S = (S + S.mT) / 2 + torch.block_diag(*(torch.ones(k, k) for k in SIZES)) * (S - S.mT) / 2
    return X - S @ W


@pytest.mark.parametrize("with_metric", [True, False])
def test_derivatives_are_those_of_differences(with_metric):
    forms, metric, at, rand = problem(with_metric=with_metric)
    W = torch.linalg.qr(rand(D, sum(SIZES))).Q.mT
    here, step, other, h = at(W), tangent(W, rand(*W.shape)), tangent(W, rand(*W.shape)), 1e-4
    ahead, behind = (at(nearest_frame(W + s * step)) for s in (h, -h))
    G = torch.eye(D, dtype=torch.float64) if metric is None else metric
    terms = [
        (torch.linalg.inv(V @ G @ V.mT) * (V @ H @ V.mT)).sum() for V, H in zip(W.split(SIZES), forms, strict=True)
    ]
    assert here.value == pytest.approx(float(sum(terms)), rel=1e-12)
    # errors of central differences are h² times higher derivatives, and rounding / h²
    assert float((here.gradient * step).sum()) == pytest.approx((ahead.value - behind.value) / (2 * h), rel=1e-5)
    curved = (ahead.value - 2 * here.value + behind.value) / h**2
    assert float((here.curvature(step) * step).sum()) == pytest.approx(curved, rel=1e-4)
    mixed = float((here.curvature(step) * other).sum())
    assert mixed == pytest.approx(float((here.curvature(other) * step).sum()), rel=1e-10)


def test_the_optimum_does_not_depend_on_rounding():
    forms, metric, at, rand = problem()
    best = [torch.linalg.eigh(H)[1][:, -k:].mT for H, k in zip(forms, SIZES, strict=True)]
    start = dict(zip("abc", best, strict=True))
    noise = 1 + 1e-15 * rand(D, D)
    found, shaken = (
        joint_frame({n: (H * s + (H * s).mT) / 2 for n, H in zip("abc", forms, strict=True)}, metric, start)
        for s in (1.0, noise)
    )
    W = torch.cat(list(found.values()))
    assert float(at(W).gradient.norm()) < 1e-10 * abs(at(W).value)
    for name, W_q in found.items():
        torch.testing.assert_close(shaken[name], W_q, rtol=0, atol=1e-11)


@pytest.mark.parametrize("with_metric", [True, False])
def test_the_preconditioner_is_symmetric_and_positive_on_steps(with_metric):
    _, _, at, rand = problem(with_metric=with_metric)
    W = torch.linalg.qr(rand(D, sum(SIZES))).Q.mT
    here, step, other = at(W), tangent(W, rand(*W.shape)), tangent(W, rand(*W.shape))
    there = here.precondition(step)
    torch.testing.assert_close(there, tangent(W, there), rtol=0, atol=1e-12)
    assert float((there * step).sum()) > 0
    assert float((there * other).sum()) == pytest.approx(float((here.precondition(other) * step).sum()), rel=1e-10)


def test_an_uneven_metric_costs_few_steps():
    g = torch.Generator().manual_seed(1)
    wide, sizes = 40, [8, 8]
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    Q = torch.linalg.qr(rand(wide, wide)).Q
    metric = Q * torch.logspace(0, -4, wide, dtype=torch.float64) @ Q.mT
    half = Q * torch.logspace(0, -2, wide, dtype=torch.float64) @ Q.mT
    forms = [half @ T @ T.mT @ half / wide for T in (rand(wide, 20), rand(wide, 20))]
    start = torch.linalg.qr(rand(wide, sum(sizes))).Q.mT.split(sizes)
    found = joint_frame(dict(zip("ab", forms, strict=True)), metric, dict(zip("ab", start, strict=True)))
    W = torch.cat(list(found.values()))
    here = ExplainedVariance(forms, metric, sizes, W)
    # lengths of a gradient in the metric of the costs are gains
    assert float((here.precondition(here.gradient) * here.gradient).sum()) < 1e-9 * here.value


@pytest.mark.parametrize("seed", [0, 1])
def test_the_optimum_is_reached_from_afar(seed):
    """A random start, explained variances of different sizes and costs from 1 to 1e-4: it takes 50 to 100 steps."""
    g = torch.Generator().manual_seed(seed)
    wide, sizes = 20, [6, 6]
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    rand(wide, wide)
    forms = [T @ T.mT for T in (rand(wide, k) for k in sizes)]
    Q = torch.linalg.qr(rand(wide, wide)).Q
    metric = Q * torch.logspace(0, -4, wide, dtype=torch.float64) @ Q.mT
    start = dict(zip("ab", torch.linalg.qr(rand(wide, sum(sizes))).Q.mT.split(sizes), strict=True))
    found = joint_frame(dict(zip("ab", forms, strict=True)), metric, start)
    here = ExplainedVariance(forms, metric, sizes, torch.cat(list(found.values())))
    assert float(here.gradient.norm()) < 1e-9 * here.value  # 1e-12, and above 1 before


def awkward(kind):
    """Latents and quantities in which metric or form are singular."""
    g = torch.Generator().manual_seed(3)
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    z = rand(200, 10)
    if kind == "mirrored":
        z = torch.cat([z, -z])
    elif kind == "dead":
        z[:, 6:] = 0
    elif kind == "repeated":
        z = torch.cat([z[:, :5], z[:, :5]], 1)
    known = z[:, :4] @ rand(4, 6) + 0.3 * rand(len(z), 6), z[:, 2:6] @ rand(4, 5)
    # an even quantity of mirrored latents has no covariance with them, but for rounding
    return z, dict(zip("ab", (known[0], known[1] ** 2 if kind == "mirrored" else known[1]), strict=True))


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
@pytest.mark.parametrize("kind", ["whole", "mirrored", "dead", "repeated"])
def test_singular_metrics_and_forms_have_an_optimum_too(kind, ridge):
    z, y = awkward(kind)
    k = {"a": 2, "b": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)  # of ranks below k
        free, joint = (subspaces(z, y, k, method="regression", ridge=ridge, orthogonal=o) for o in (False, True))
    W = torch.cat(list(joint.values()))
    torch.testing.assert_close(W @ W.mT, torch.eye(4, dtype=W.dtype), rtol=0, atol=1e-10)
    polar = dict(zip(k, nearest_frame(torch.cat(list(free.values()))).split(2), strict=True))
    variances = [sum(explained(z, y[name], bases[name]) for name in k) for bases in (polar, joint, free)]
    assert variances[0] - 1e-10 <= variances[1] <= variances[2] + 1e-10
    if kind != "repeated":  # whose quantities both halves of the latent explain
        assert variances[1] > variances[0] + 1e-3


def test_the_more_separation_the_less_leakage():
    z, y = awkward("whole")
    bases = [subspaces(z, y, 2, method="regression", orthogonal=True, separation=s) for s in (0.0, 1.0, 30.0, 1000.0)]
    none, some, much, all_but = (leaked(z, y, W) for W in bases)
    assert some < 0.9 * none
    assert max(much, all_but) < 0.5 * some


def explained(z, y, W):
    """Explained variance of y, by least squares from the coordinates."""
    s, t = (z - z.mean(0)) @ W.mT, y - y.mean(0)
    rest = t - s @ torch.linalg.lstsq(s, t, driver="gelsd").solution
    return float(1 - rest.square().sum() / t.square().sum())


def leaked(z, y, W):
    """Excess leakage, summed over the two quantities."""
    both = [
        explained(torch.cat([z @ W[j].mT, y[j]], 1), y[i], torch.eye(2 + y[j].shape[1], dtype=z.dtype))
        for i, j in ("ab", "ba")
    ]
    alone = [explained(y[j], y[i], torch.eye(y[j].shape[1], dtype=z.dtype)) for i, j in ("ab", "ba")]
    return sum(both) - sum(alone)
