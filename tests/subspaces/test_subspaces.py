"""Subspaces against scikit-learn, closed forms and the promises of the docstring."""

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import PLSSVD

from isospan.compat.spacelearn._solve import principal_directions, solve_from_moments, solve_subspaces, subspaces
from isospan.errors import (
    DegenerateDataError,
    DimensionError,
    DtypeError,
    NameMismatchError,
    NonFiniteError,
    NumericalWarning,
    OptionError,
    ShapeError,
)
from isospan.linalg import orthonormal_rows, principal_angles
from isospan.moments import Moments
from isospan.subspaces import fit_decoders

METHODS = ["covariance", "regression", "correlation"]
K = {"a": 3, "b": 2, "c": 1}


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture
def data():
    """Latents of unequal variance and an offset; three quantities that depend on them."""
    Z = randn(300, 9) * torch.linspace(0.3, 3, 9) + 7
    mix = randn(9, 12)
    Y = {
        "a": (torch.tanh(Z - 7) @ mix).reshape(300, 3, 4),
        "b": (Z - 7)[:, :5] ** 2 @ randn(5, 6) + (Z - 7)[:, 5:] @ randn(4, 6),
        "c": (Z - 7)[:, 0] * 2 + 0.1 * randn(300) - 4,
    }
    return Z, Y


def centred(x):
    x = x.reshape(len(x), -1)
    return x - x.mean(0)


def explained_variance(W, Z, y):
    """R² of the best linear decoder from Z Wᵀ, by numpy."""
    S, Y = (centred(Z) @ W.T).numpy(), centred(y).numpy()
    residual = Y - S @ np.linalg.lstsq(S, Y, rcond=None)[0]
    return 1 - (residual**2).sum() / (Y**2).sum()


def assert_same_span(W1, W2, tolerance=1e-9):
    assert W1.shape == W2.shape
    assert principal_angles(W1, W2).max() < tolerance


def test_principal_directions(data):
    Z, Y = data
    for name, (w, v) in principal_directions(Z, Y).items():
        U, _, Vh = np.linalg.svd((centred(Z).T @ centred(Y[name])).numpy())
        sign = np.sign(U[:, 0] @ w.numpy())
        np.testing.assert_allclose(w, sign * U[:, 0], atol=1e-10)
        np.testing.assert_allclose(v, sign * Vh[0], atol=1e-10)
        assert w[w.abs().argmax()] > 0


def test_covariance_is_plssvd(data):
    Z, Y = data
    W = subspaces(Z, Y, K)
    for name, k in K.items():
        x, y = Z.numpy(), Y[name].reshape(300, -1).numpy()
        oracle = PLSSVD(n_components=k, scale=False).fit(x, y).x_weights_
        # singular vectors up to sign
        np.testing.assert_allclose(np.abs(W[name].numpy() @ oracle), np.eye(k), atol=1e-8)


def test_regression_decodes_best(data):
    """Reduced-rank regression: the fit is the rank-k truncation of the least squares fit (Eckart and Young)."""
    Z, Y = data
    space = solve_subspaces(Z, Y, k=K, method="regression", ridge=0)
    for name, (W, A, _) in space.items():
        fit = centred(Z) @ torch.linalg.lstsq(centred(Z), centred(Y[name])).solution
        U, s, Vh = torch.linalg.svd(fit, full_matrices=False)
        best = (U[:, : K[name]] * s[: K[name]]) @ Vh[: K[name]]
        torch.testing.assert_close(centred(Z) @ W.T @ A, best, rtol=0, atol=1e-9 * best.abs().max().item())


def test_regression_ridge_is_the_closed_form(data):
    Z, Y = data
    C = centred(Z).T @ centred(Z) / 300
    root = torch.linalg.cholesky(C + 0.05 * C.trace() / 9 * torch.eye(9, dtype=torch.float64))
    W = subspaces(Z, Y, K, method="regression", ridge=0.05)
    for name, k in K.items():
        M = torch.linalg.solve_triangular(root, centred(Z).T @ centred(Y[name]), upper=False)
        basis = torch.linalg.svd(M).U[:, :k].T @ torch.linalg.inv(root)
        assert_same_span(W[name], basis)


def test_regression_sees_what_covariance_is_blind_to():
    """With nuisance directions ten times louder, covariance follows the noise and regression the quantity."""
    signal, nuisance = randn(400, 4), 10 * randn(400, 12)
    Z = torch.cat([signal, nuisance], 1) @ torch.linalg.qr(randn(16, 16))[0]
    Y = {"a": signal @ randn(4, 20) + 0.3 * randn(400, 20)}
    variances = [explained_variance(subspaces(Z, Y, 4, method=m)["a"], Z, Y["a"]) for m in ("covariance", "regression")]
    assert variances[0] < 0.5
    assert variances[1] > 0.95


def test_correlation_is_cca(data):
    """The correlations of W z with y are the largest there are: singular values of Q_zᵀ Q_y (Björck and Golub)."""
    Z, Y = data
    W = subspaces(Z, Y, K, method="correlation", ridge=0)
    Qz = torch.linalg.qr(centred(Z))[0]
    for name, k in K.items():
        Qy = orthonormal_rows(centred(Y[name]).T).T
        largest = torch.linalg.svdvals(Qz.T @ Qy)[:k]
        Qs = torch.linalg.qr(centred(Z) @ W[name].T)[0]
        torch.testing.assert_close(torch.linalg.svdvals(Qs.T @ Qy), largest, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("orthogonal", [False, True])
class TestEveryMethod:
    def test_shapes_frames_and_decoders(self, data, method, orthogonal):
        Z, Y = data
        space = solve_subspaces(Z, Y, k=K, method=method, orthogonal=orthogonal)
        A = fit_decoders(space.W, Z, Y)
        for name, k in K.items():
            W, A_q, V = space[name]
            P = Y[name][0].numel()
            assert (W.shape, A_q.shape, V.shape) == ((k, 9), (k, P), (P,))
            torch.testing.assert_close(W @ W.T, torch.eye(k, dtype=torch.float64), rtol=0, atol=1e-12)
            torch.testing.assert_close(A_q, A[name], rtol=1e-8, atol=1e-9)  # normal equations and SVD
            leading = torch.linalg.svd(W @ centred(Z).T @ centred(Y[name])).Vh[0]
            assert abs(V @ leading) == pytest.approx(1, abs=1e-10)

    def test_partition(self, data, method, orthogonal):
        if not orthogonal:
            return
        Z, Y = data
        W = torch.cat(list(subspaces(Z, Y, K, method=method, orthogonal=True).values()))
        torch.testing.assert_close(W @ W.T, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-12)

    def test_the_order_of_names_does_not_matter(self, data, method, orthogonal):
        Z, Y = data
        forward, backward = (
            subspaces(Z, targets, K, method=method, orthogonal=orthogonal) for targets in (Y, dict(reversed(Y.items())))
        )
        assert list(backward) == list(reversed(forward))
        for name in Y:
            # the joint iteration stops within 1e-8 of the optimum's value, so within 1e-4 of its place
            assert_same_span(forward[name], backward[name], 1e-3 if orthogonal else 1e-9)

    def test_offsets_units_and_rotations(self, data, method, orthogonal):
        """Shifting and scaling all data changes nothing; rotating the latents rotates the subspaces."""
        Z, Y = data
        rotation = torch.linalg.qr(randn(9, 9))[0]
        options = {"k": K, "method": method, "orthogonal": orthogonal}
        W = solve_subspaces(Z, Y, **options).W
        moved = solve_subspaces((1e3 * Z - 50) @ rotation, {n: 1e-3 * y + 1 for n, y in Y.items()}, **options).W
        for name in Y:
            assert_same_span(moved[name] @ rotation.T, W[name], 1e-3 if orthogonal else 1e-8)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize(("of_latents", "of_a"), [(0, 66), (0, -86), (66, 0), (-86, 0), (33, 83)])
    def test_the_unit_of_one_quantity_or_of_the_latents(self, data, method, orthogonal, dtype, of_latents, of_a):
        """2⁶⁶ is about 1e20 and 2⁻⁸⁶ about 1e-26: squares and products of such numbers are beyond float32."""
        Z, Y = data[0].to(dtype), {name: y.to(dtype) for name, y in data[1].items()}
        options = {"k": K, "method": method, "orthogonal": orthogonal}
        expected = solve_subspaces(Z, Y, **options)
        space = solve_subspaces(Z * 2.0**of_latents, Y | {"a": Y["a"] * 2.0**of_a}, **options)
        for name in Y:
            # powers of two scale without rounding; float32 means and the joint iteration round along the way
            tolerance = 1e-3 if orthogonal else 1e-6 if dtype == torch.float32 else 1e-9
            assert_same_span(space.W[name], expected.W[name], tolerance)
            assert float(space.V[name].norm()) == pytest.approx(1, rel=1e-6)

    def test_streams_equal_one_shot(self, data, method, orthogonal):
        Z, Y = data
        moments = Moments(9, {"a": 12, "b": 6, "c": 1}, target_covariance=True)
        for rows in torch.arange(300).split(37):
            moments.update(Z[rows], {name: y[rows] for name, y in Y.items()})
        options = {"k": K, "method": method, "orthogonal": orthogonal}
        one, streamed = solve_subspaces(Z, Y, **options), solve_from_moments(moments, **options)
        for name in Y:
            for part, other in zip(one[name], streamed[name], strict=True):
                # the demanded 1e-10, relative to the entries; joint optima are flat, which magnifies rounding
                scale = other.abs().max().item()
                torch.testing.assert_close(part, other, rtol=0, atol=(1e-8 if orthogonal else 1e-10) * scale)

    def test_the_same_on_every_run(self, data, method, orthogonal):
        first, second = (subspaces(*data, K, method=method, orthogonal=orthogonal) for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in K)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    def test_lower_precision_returns_float32(self, data, method, orthogonal, dtype):
        Z, Y = data
        Z = ((Z - 7) / 3).to(dtype).requires_grad_()
        Y = {name: y.to(dtype) for name, y in Y.items()}
        space = solve_subspaces(Z, Y, k=K, method=method, orthogonal=orthogonal)
        exact = solve_subspaces(
            Z.detach().double(), {n: y.double() for n, y in Y.items()}, k=K, method=method, orthogonal=orthogonal
        )
        for name in Y:
            assert {t.dtype for t in space[name]} == {torch.float32}
            assert not any(t.requires_grad for t in space[name])
            if not orthogonal:  # float32 rounding over the gaps of the spectrum, which are about 1 %
                assert_same_span(space.W[name].double(), exact.W[name], 1e-4)

    def test_previous_turns_the_bases_and_keeps_the_spans(self, data, method, orthogonal):
        Z, Y = data
        options = {"k": K, "method": method, "orthogonal": orthogonal}
        first = solve_subspaces(Z, Y, **options)
        rotated = {name: torch.linalg.qr(randn(len(W), len(W)))[0] @ W for name, W in first.W.items()}
        again = solve_subspaces(Z, Y, previous=rotated, **options)
        for name in Y:
            torch.testing.assert_close(again.W[name], rotated[name], rtol=0, atol=1e-10)
            decoded = again.W[name].T @ again.A[name]
            torch.testing.assert_close(decoded, first.W[name].T @ first.A[name], rtol=0, atol=1e-9)
            assert abs(again.V[name] @ first.V[name]) == pytest.approx(1, abs=1e-10)


def test_signs_are_fixed(data):
    W = torch.cat(list(subspaces(*data, K).values()))
    largest = W.gather(1, W.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_joint_frame_explains_more_than_one_polar_step(data):
    Z, Y = data
    free = subspaces(Z, Y, K, method="regression")
    stacked = torch.cat(list(free.values()))
    U, _, Vh = torch.linalg.svd(stacked, full_matrices=False)
    polar = dict(zip(K, (U @ Vh).split(list(K.values())), strict=True))
    joint = subspaces(Z, Y, K, method="regression", orthogonal=True)
    totals = [sum(explained_variance(W[name], Z, Y[name]) for name in K) for W in (polar, joint, free)]
    assert totals[0] < totals[1] <= totals[2] + 1e-12


def test_default_k_is_32_and_reduced_silently(data):
    Z, Y = data
    assert {name: len(W) for name, (W, _, _) in solve_subspaces(Z, Y).items()} == {"a": 9, "b": 6, "c": 1}
    wide = randn(200, 50)
    assert len(solve_subspaces(wide, {"a": wide})["a"][0]) == 32


def test_a_given_k_is_reduced_with_a_warning(data):
    Z, Y = data
    with pytest.warns(NumericalWarning, match=r"min\(D, P\), with D = 9 .* P entries .*'b': \(7, 6\)"):
        space = solve_subspaces(Z, Y, k=K | {"b": 7})
    assert len(space.W["b"]) == 6


def test_rank_below_k_completes_the_basis_with_a_warning():
    Z = randn(50, 8)
    Y = {"a": Z[:, :2] @ randn(2, 10)}
    few = Z[:5]
    for method in METHODS:
        with pytest.warns(NumericalWarning, match="'a' covaries with only 4 latent directions, fewer than k = 6"):
            W = subspaces(few, {"a": few @ randn(8, 10)}, 6, method=method, ridge=0)["a"]
        torch.testing.assert_close(W @ W.T, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-12)
    Z = torch.cat([Z[:, :3], torch.zeros(50, 5)], 1).double()
    with pytest.warns(NumericalWarning, match="only 2 latent directions"):
        space = solve_subspaces(Z, Y, k=4, method="regression", ridge=0)
    # what was added carries nothing
    assert explained_variance(space.W["a"], Z, Y["a"]) == pytest.approx(1, abs=1e-12)
    assert space.A["a"].abs().max() < 1e3


def test_rank_deficient_latents():
    """Copies of latents add nothing, and do no harm."""
    Z = randn(80, 4)
    Y = {"a": Z @ randn(4, 3) + 0.1 * randn(80, 3)}
    for method in METHODS:
        W = subspaces(torch.cat([Z, Z], 1), Y, 2, method=method, ridge=0)["a"]
        torch.testing.assert_close(W[:, :4], W[:, 4:], rtol=0, atol=1e-9)
        assert_same_span(W[:, :4], subspaces(Z, Y, 2, method=method, ridge=0)["a"], 1e-7)


def test_two_quantities_with_the_same_subspace_can_be_separated():
    Z = randn(100, 6)
    y = Z[:, :2] @ randn(2, 8)
    W = torch.cat(list(subspaces(Z, {"a": y, "b": y + 0.0}, 2, method="regression", orthogonal=True).values()))
    torch.testing.assert_close(W @ W.T, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-12)


class TestBadInput:
    @pytest.fixture
    def zy(self, data):
        return data

    def test_degenerate_data(self, zy):
        Z, Y = zy
        constant = Y | {"b": torch.full((300, 4), 0.1)}
        with pytest.raises(DegenerateDataError, match=r"\['b'\] have been constant over 300 samples"):
            solve_subspaces(Z, constant, k=1)
        with pytest.raises(DegenerateDataError, match="The latents are constant over 300 samples"):
            solve_subspaces(torch.full((300, 4), 0.1), Y, k=1)
        with pytest.raises(DegenerateDataError, match="At least 2 samples are needed, got a batch of 1"):
            solve_subspaces(Z[:1], {name: y[:1] for name, y in Y.items()})
        with pytest.raises(DegenerateDataError, match="Targets names no quantity"):
            solve_subspaces(Z, {})
        with pytest.raises(DegenerateDataError, match="seen no samples"):
            solve_from_moments(Moments(3, {"a": 2}))

    def test_dimensions(self, zy):
        Z, Y = zy
        with pytest.raises(DimensionError, match=r"sum of k = 10 at most D = 9.*latent dimension of at least 10"):
            solve_subspaces(Z, Y, k={"a": 5, "b": 4, "c": 1}, orthogonal=True)
        with pytest.raises(DimensionError, match="k of quantity 'a' must be at least 1, got 0"):
            solve_subspaces(Z, Y, k=0)
        with pytest.raises(DimensionError, match=r"whole number, got 2\.5"):
            solve_subspaces(Z, Y, k=2.5)
        with pytest.raises(ShapeError, match="at least one dimension"):
            solve_subspaces(Z[:, :0], Y)
        with pytest.raises(ShapeError, match="Targets of quantity 'a' must have one row for each of the 300 samples"):
            solve_subspaces(Z, Y | {"a": Y["a"][:10]})

    def test_names(self, zy):
        Z, Y = zy
        with pytest.raises(NameMismatchError, match=r"k must name the quantities of the targets.*missing \['c'\]"):
            solve_subspaces(Z, Y, k={"a": 1, "b": 1})
        with pytest.raises(NameMismatchError, match="previous must name"):
            solve_subspaces(Z, Y, k=1, previous={"a": randn(1, 9)})

    def test_previous_of_another_shape(self, zy):
        Z, Y = zy
        with pytest.raises(ShapeError, match=r"previous of quantity 'a' must be a basis \(3, 9\).*got \(1, 9\)"):
            solve_subspaces(Z, Y, k=K, previous=solve_subspaces(Z, Y, k=1))
        with pytest.raises(ShapeError, match="with D = 9, got"):
            solve_subspaces(Z, Y, k=1, previous={name: randn(1, 4) for name in Y})

    def test_values(self, zy):
        Z, Y = zy
        with pytest.raises(NonFiniteError, match="Targets of quantity 'c' must be finite, got 300"):
            solve_subspaces(Z, Y | {"c": Y["c"] / 0})
        with pytest.raises(DtypeError, match=r"Targets of quantity 'a' must be floating point, got torch\.int64"):
            solve_subspaces(Z, Y | {"a": Y["a"].long()})
        Z[0, 0] = float("nan")
        with pytest.raises(NonFiniteError, match="Latents z must be finite, got 1 NaN"):
            solve_subspaces(Z, Y)

    def test_options(self, zy):
        Z, Y = zy
        with pytest.raises(OptionError, match="Invalid method: 'pls'"):
            solve_subspaces(Z, Y, method="pls")
        with pytest.raises(OptionError, match="ridge must be a number of at least 0, got nan"):
            solve_subspaces(Z, Y, ridge=float("nan"))
        with pytest.raises(OptionError, match="needs the covariance of the targets"):
            solve_from_moments(Moments.of(Z, Y), 1, method="correlation")


def test_warnings_name_the_line_of_the_user():
    z = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    calls = [
        lambda: solve_subspaces(z, {"a": z[:, :2]}, k=3),
        lambda: solve_from_moments(Moments.of(z, {"a": z[:, :2]}), 3),
    ]
    for call in calls:
        with pytest.warns(NumericalWarning, match="k is at most min") as caught:
            call()
        assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("method", ["covariance", "regression", "correlation"])
def test_autocast_does_not_reach_a_solve(method):
    z = torch.randn(200, 12)
    y = {"a": z[:, :4] @ torch.randn(4, 6), "b": z[:, 2:5] ** 2}
    expected = solve_subspaces(z, y, k=3, method=method)
    with torch.autocast("cpu", torch.bfloat16):
        space = solve_subspaces(z, y, k=3, method=method)
    for name in y:
        assert torch.equal(space.W[name], expected.W[name])
        assert torch.equal(space.A[name], expected.A[name])
