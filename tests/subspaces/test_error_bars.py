"""Error bars: residuals from moments, the leverage of least squares, and split conformal intervals."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from isospan._core.tensor_files import save_tensors
from isospan.errors import (
    DegenerateDataError,
    NameMismatchError,
    NonFiniteError,
    NotSolvedError,
    NumericalWarning,
    OptionError,
    ShapeError,
)
from isospan.guided import SpaceObjective
from isospan.moments import Moments
from isospan.subspaces import LatentSpace, solve_from_moments, solve_subspaces
from isospan.subspaces._latent_space import BY_QUANTITY

D = 6


def data(n, seed=0, dtype=torch.float64):
    """Latents with a mean and correlations; a field of shape (2, 2), a number, noise whose size varies."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, D, generator=g, dtype=torch.float64)
    z = z @ torch.randn(D, D, generator=torch.Generator().manual_seed(99), dtype=torch.float64) + 3
    noise = torch.randn(n, 5, generator=g, dtype=torch.float64) * (1 + z[:, :1].abs())
    field = z[:, :4] * torch.tensor([1.0, -2.0, 30.0, 0.1]) + 100 + 0.3 * noise[:, :4]
    return z.to(dtype), {"field": field.reshape(n, 2, 2).to(dtype), "sum": (z.sum(1) + noise[:, 4]).to(dtype)}


def rows(z, y, some):
    return z[some], {name: values[some] for name, values in y.items()}


def residuals(space, z, y):
    """Float64 residuals of a naive decoder {name: (N, P)}."""
    found = {}
    for name in space.names:
        W, A = space.W[name].double().numpy(), space.A[name].double().numpy()
        decoded = space.y_mean[name].numpy() + (z.double() - space.z_mean).numpy() @ W.T @ A
        found[name] = y[name].double().reshape(len(z), -1).numpy() - decoded
    return found


@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_residuals_are_those_of_the_data(ridge, orthogonal):
    z, y = data(80)
    space = solve_subspaces(z, y, {"field": 2, "sum": 1}, ridge=ridge, orthogonal=orthogonal)
    assert space.n_samples == {"field": 80, "sum": 80}
    for name, r in residuals(space, z, y).items():
        # variances cancel to a share of 1e-4 of the largest, from float64 moments
        np.testing.assert_allclose(space.residual_std[name], np.sqrt((r**2).mean(0)), rtol=1e-10)


def test_an_objective_gives_the_residuals_of_its_moments():
    z, y = data(200)
    objective = SpaceObjective({"field": 2, "sum": 1}, D)
    space = objective.solve(z, y)
    for name, r in residuals(space, z, y).items():
        np.testing.assert_allclose(space.residual_std[name], np.sqrt((r**2).mean(0)), rtol=1e-10)
    np.testing.assert_allclose(objective.space.residual_std["sum"], space.residual_std["sum"], rtol=1e-6)


def test_a_perfect_decoder_has_no_error():
    z, _ = data(50)
    space = solve_subspaces(z, {"first": z[:, :2]}, ridge=0.0)
    # variances near 10 cancel to rounding
    assert float(space.decode(z, std=True)[1]["first"].max()) < 1e-6


def test_standard_deviations_are_those_of_least_squares_where_k_is_p():
    """The textbook's variance of a prediction, s² (1 + x (X X)⁻¹ x) with an intercept in X."""
    z, y = data(20)
    space = solve_subspaces(z, y, {"field": 4, "sum": 1}, ridge=0.0)
    new, _ = data(7, seed=1)
    X, x = (np.hstack([np.ones((len(part), 1)), part.numpy()]) for part in (z, new))
    leverage = np.einsum("ni,ij,nj->n", x, np.linalg.inv(X.T @ X), x)
    for name, target in y.items():
        target = target.reshape(20, -1).numpy()
        rss = ((target - X @ np.linalg.lstsq(X, target, rcond=None)[0]) ** 2).sum(0)
        expected = np.sqrt((1 + leverage)[:, None] * rss / (20 - D - 1))
        std = space.decode(new, std=True)[1][name]
        assert std.shape == (7, *space.shapes[name])
        # float64 solves of a covariance of condition 1e3
        np.testing.assert_allclose(std.reshape(7, -1), expected, rtol=1e-8)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_standard_deviations_of_few_samples_are_right_in_the_mean(k):
    """A regression of rank k below P, on 40 samples: the mean of squared errors over variances.

    For a t distribution it is ν/(ν - 2), 1.06 to 1.09. Without the leverage of the complete latent it is above 1.3.
    """
    g, ratios = torch.Generator().manual_seed(k), []
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    for _ in range(80):
        z, M = rand(140, 16), rand(16, k) @ rand(k, 4)
        y = z @ M + rand(140, 4)
        space = solve_subspaces(z[:40], {"a": y[:40]}, k, ridge=0.0)
        decoded, std = space.decode(z[40:], std=True)
        ratios.append(float(((decoded["a"] - y[40:]) / std["a"]).square().mean()))
    assert 1.0 < np.mean(ratios) < 1.18


def test_the_mean_leverage_is_that_of_the_degrees_of_freedom():
    z, y = data(60)
    space = solve_subspaces(z, y, {"field": 3, "sum": 1}, ridge=0.0)
    leverage = space._leverage
    for name, k, P in (("field", 3, 4), ("sum", 1, 1)):
        h = k * (D + P - k) / (P * 60)
        np.testing.assert_allclose(leverage.growth(z - space.z_mean)[name].mean(), 1 + 1 / 60 + h, rtol=1e-10)
        np.testing.assert_allclose(leverage.freedom()[name], 1 - 1 / 60 - h, rtol=1e-12)


def test_latents_that_do_not_vary_are_no_parameters():
    z, y = data(60)
    mixed = z @ torch.randn(D, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    wide = torch.cat([z, torch.full((60, 3), 7.0).double(), mixed], 1)
    for dtype in (torch.float64, torch.float32):
        one, other = (solve_subspaces(x.to(dtype), y, {"field": 4, "sum": 1}, ridge=0.0) for x in (z, wide))
        for name, std in one.decode(z.to(dtype), std=True)[1].items():
            # float32 covariances, of condition 1e3
            torch.testing.assert_close(other.decode(wide.to(dtype), std=True)[1][name], std, rtol=5e-3, atol=0)


def growth(space, name, z):
    """Root (N, 1) of 1 + 1/n + h, by dense inverses."""
    zc, cov, W = (z - space.z_mean).numpy(), space.cov_zz.numpy(), space.W[name].numpy()
    share = len(W) / len(space.y_mean[name])
    whole = np.einsum("ni,ij,nj->n", zc, np.linalg.inv(cov), zc)
    own = np.einsum("ni,ij,nj->n", zc @ W.T, np.linalg.inv(W @ cov @ W.T), zc @ W.T)
    return np.sqrt(1 + (1 + share * whole + (1 - share) * own) / space.n_samples[name])[:, None]


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_an_interval_is_a_quantile_of_held_out_scores(level):
    z, y = data(140)
    space = solve_subspaces(*rows(z, y, slice(60)), {"field": 2, "sum": 1})
    held_out, new = rows(z, y, slice(60, 98)), rows(z, y, slice(98, 140))
    low, high = space.calibrate(*held_out).interval(new[0], level=level)
    r, decoded = residuals(space, *held_out), space.decode(new[0])
    rank = {0.5: 20, 0.9: 36, 0.95: 38}[level]  # of 38 samples
    for name in space.names:
        q = np.sort(np.abs(r[name]) / growth(space, name, held_out[0]), axis=0)[rank - 1]
        expected = q * growth(space, name, new[0])
        middle = decoded[name].reshape(42, -1).numpy()
        np.testing.assert_allclose(low[name].reshape(42, -1), middle - expected, rtol=1e-9)
        np.testing.assert_allclose(high[name].reshape(42, -1), middle + expected, rtol=1e-9)


def test_calibrated_deviations_are_those_of_the_held_out_data():
    z, y = data(500)
    space = replace(solve_subspaces(*rows(z, y, slice(100)), {"field": 2, "sum": 1}), n_samples=None)
    held_out = rows(z, y, slice(100, 500))
    calibrated = space.calibrate(*held_out)
    for name, r in residuals(space, *held_out).items():
        std = calibrated.decode(z[:2], std=True)[1][name].reshape(2, -1)
        np.testing.assert_allclose(std, np.sqrt((r**2).mean(0, keepdims=True)).repeat(2, 0), rtol=1e-10)


@pytest.mark.parametrize("n_held_out", [19, 39])
def test_intervals_cover_at_the_level_whatever_the_distribution(n_held_out):
    """Few held-out samples of a skewed noise of large tails. Of 19 the mean coverage at 0.9 is 18/20, by exchange."""
    g, covered = torch.Generator().manual_seed(0), []
    z = torch.randn(20_000, 3, generator=g, dtype=torch.float64)
    noise = torch.empty(len(z), 2, dtype=torch.float64).exponential_(generator=g) ** 3 * (1 + z[:, :1] ** 2)
    y = {"a": z[:, :2] ** 2 + noise}
    space = solve_subspaces(*rows(z, y, slice(50)), 2)
    for part in range(50, len(z) - 100, 100):
        fitted, scored = slice(part, part + n_held_out), slice(part + n_held_out, part + 100)
        low, high = space.calibrate(*rows(z, y, fitted)).interval(z[scored], level=0.9)
        covered.append(((low["a"] <= y["a"][scored]) & (y["a"][scored] <= high["a"])).double().mean(0))
    covered = torch.stack(covered)
    error = covered.std(0) / len(covered) ** 0.5
    assert ((covered.mean(0) - 0.9).abs() < 4 * error).all()
    assert float(error.max()) < 0.01


def test_many_held_out_samples_are_thinned_to_thousandths():
    z, y = data(6000)
    space = solve_subspaces(*rows(z, y, slice(1000)), {"field": 2, "sum": 1})
    held_out = rows(z, y, slice(1000, 6000))
    calibrated = space.calibrate(*held_out)
    assert {name: tuple(s.shape) for name, s in calibrated.scores.items()} == {"field": (999, 4), "sum": (999, 1)}
    low, high = calibrated.interval(held_out[0], level=0.9)
    inside = (low["field"] <= held_out[1]["field"]) & (held_out[1]["field"] <= high["field"])
    # rank 900 of 999 is rank ceil(0.9 * 5001) = 4501 of 5000, so these scores themselves are inside
    assert (inside.sum(0) == 4501).all()
    assert calibrated.interval(z[:1], level=0.999)
    with pytest.raises(OptionError, match=r"level must be at most 0\.999 for .* Choose a lower level\.$"):
        calibrated.interval(z[:1], level=0.9995)


def solved(n=100, dtype=torch.float64):
    z, y = data(n + 40, dtype=dtype)
    space = solve_subspaces(*rows(z, y, slice(n)), {"field": 2, "sum": 1})
    return space, space.calibrate(*rows(z, y, slice(n, None))), z, y


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_shapes_and_dtypes_are_those_of_the_latents(dtype):
    space, calibrated, z, _ = solved()
    # float32 latents of a covariance of condition 1e3; half precision is rounded to 8 bits, latents too
    rtol = {torch.float64: 1e-12, torch.float32: 1e-4}.get(dtype, 0.02)
    for some in (space, calibrated):
        expected = some.decode(z[:6], std=True)[1]
        for shape in ((6, D), (2, 3, D)):
            y, std = some.decode(z[:6].to(dtype).reshape(shape), std=True)
            for name in some.names:
                assert y[name].shape == std[name].shape == (*shape[:-1], *some.shapes[name])
                assert y[name].dtype == std[name].dtype == dtype
                torch.testing.assert_close(
                    std[name].double().reshape(expected[name].shape), expected[name], rtol=rtol, atol=0
                )
    low, high = calibrated.interval(z[0].to(dtype))
    assert low["field"].shape == (2, 2)
    assert low["sum"].shape == ()
    assert high["sum"].dtype == dtype
    assert calibrated.decode(z[:0], std=True)[1]["field"].shape == (0, 2, 2)


def test_a_stored_float32_space_has_the_same_error_bars():
    space, calibrated, z, _ = solved()
    for some in (space, calibrated):
        single = some.to(dtype=torch.float32)
        assert single.n_samples == some.n_samples
        for name, std in some.decode(z[:6], std=True)[1].items():
            # the covariance, of condition 1e3, is rounded to float32
            torch.testing.assert_close(single.decode(z[:6], std=True)[1][name], std, rtol=1e-3, atol=0)


def test_copies_and_files_keep_error_bars(tmp_path):
    for some in solved()[:2]:
        z = solved()[2][:5]
        some.save(tmp_path / "space.safetensors")
        for other in (
            copy.deepcopy(some),
            pickle.loads(pickle.dumps(some)),
            LatentSpace.load(tmp_path / "space.safetensors"),
        ):
            for name, std in some.decode(z, std=True)[1].items():
                assert torch.equal(other.decode(z, std=True)[1][name], std)
            assert (other.scores is None) == (some.scores is None)
    assert torch.equal(other.interval(z)[0]["sum"], some.interval(z)[0]["sum"])


class Errors(torch.nn.Module):
    def __init__(self, space):
        super().__init__()
        self.space = space

    def forward(self, z):
        return self.space.decode(z, std=True), self.space.interval(
            z, level=0.8
        ) if self.space.scores is not None else ()


@pytest.mark.parametrize("calibrated", [False, True])
def test_error_bars_compile_export_and_map(calibrated):
    module, z = Errors(solved()[calibrated]), solved()[2][:5]
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(z), module(z))
    torch.testing.assert_close(torch.export.export(module, (z,)).module()(z), module(z))
    torch.testing.assert_close(torch.vmap(module)(z), module(z))


def test_a_first_call_in_inference_mode_or_a_transform_leaves_nothing_behind():
    for first in (lambda f, z: torch.inference_mode()(f)(z), lambda f, z: torch.func.grad(f)(z)):
        space, _, z, _ = solved()
        space = replace(space)  # which has kept nothing yet
        first(lambda z, space=space: space.decode(z, std=True)[1]["sum"].sum(), z[0])
        x = z[:3].clone().requires_grad_()
        copy.deepcopy(space).decode(x, std=True)[1]["sum"].sum().backward()
        own = z[:3].clone().requires_grad_()
        space.decode(own, std=True)[1]["sum"].sum().backward()
        assert torch.equal(own.grad, x.grad)
        assert x.grad.any()


def test_a_compiled_function_uses_the_space_that_it_is_given():
    torch.compiler.reset()
    compiled = torch.compile(lambda space, z: space.decode(z, std=True), fullgraph=True, backend="eager")
    for space, _, z, _ in (solved(100), solved(60)):
        space.decode(z, std=True)  # what is kept with the space is no constant of the graph
        torch.testing.assert_close(compiled(space, z), space.decode(z, std=True))


def test_a_file_of_the_second_version_has_no_error_bars_until_it_is_calibrated(tmp_path):
    space, _, z, y = solved()
    tensors = {f"{what}.{i}": getattr(space, what)[n] for what in BY_QUANTITY for i, n in enumerate(space.names)}
    header = {"names": space.names, "shapes": [list(space.shapes[name]) for name in space.names]}
    path = tmp_path / "space.safetensors"
    tensors |= {"z_mean": space.z_mean, "cov_zz": space.cov_zz}
    save_tensors(path, tensors, kind="LatentSpace", schema=2, **header)
    old = LatentSpace.load(path)
    assert old.residual_std is old.scores is old.n_samples is None
    assert torch.equal(old.erase(z, "sum"), space.erase(z, "sum"))
    with pytest.raises(NotSolvedError, match=r"does not hold: it is of an earlier file.*solve_subspaces\(z, y\)"):
        old.decode(z, std=True)
    low, high = old.calibrate(z[100:], {name: v[100:] for name, v in y.items()}).interval(z[:3])
    assert (low["sum"] < high["sum"]).all()
    old.save(path)
    assert LatentSpace.load(path).residual_std is None


def test_residuals_without_degrees_of_freedom_are_refused():
    z, y = data(D + 1)
    space = solve_subspaces(z, {"sum": y["sum"]}, 1, ridge=0.0)
    with pytest.raises(DegenerateDataError, match=r"\{'sum': '7'\}.*space\.calibrate\(z, y\)"):
        space.decode(z, std=True)
    held_out, target = data(30, seed=1)
    assert space.calibrate(held_out, {"sum": target["sum"]}).decode(z, std=True)[1]["sum"].isfinite().all()


def test_freedom_that_is_rounding_is_none():
    z = torch.randn(4, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    space = solve_subspaces(z, {"v": z[:, :10] ** 2}, 3)
    assert abs(float(space._leverage.freedom()["v"])) < 1e-15  # 1 - 1/4 - 3 (3 + 10 - 3) / (10 · 4) = 0
    with pytest.raises(DegenerateDataError, match=r"\{'v': '4'\}"):
        space.decode(z, std=True)


def test_a_level_close_to_zero_takes_the_smallest_score():
    _, calibrated, z, _ = solved()
    low, high = calibrated.interval(z[:5], level=1e-12)
    narrow = calibrated.interval(z[:5], level=1 / 41)  # of 40 scores the first
    torch.testing.assert_close((low, high), narrow, rtol=0, atol=0)


def test_digits_that_a_dtype_does_not_hold_are_told_of_intervals_too():
    z, y = data(80)
    y = {"sum": y["sum"] + 1e9}
    space = solve_subspaces(*rows(z, y, slice(40)), 1).calibrate(*rows(z, y, slice(40, 80)))
    with pytest.warns(NumericalWarning, match=r"float32 holds \['sum'\]"):
        space.interval(z[:3].float())


def test_bad_input():
    space, calibrated, z, y = solved()
    with pytest.raises(NotSolvedError, match=r"Pass such data to space\.calibrate\(z, y\)"):
        space.interval(z)
    for level in (0.0, 1.0, float("nan"), "0.9"):
        with pytest.raises(OptionError, match="level must be a number above 0 and below 1"):
            calibrated.interval(z, level=level)
    with pytest.raises(OptionError, match=r"at most 0\.9756 .* of 40 held-out samples, got 0\.99\..*at least 99\."):
        calibrated.interval(z, level=0.99)
    with pytest.raises(OptionError, match="std must be True or False"):
        space.decode(z, std=1)
    with pytest.raises(NameMismatchError, match="Targets must name the quantities of the space"):
        space.calibrate(z, {"sum": y["sum"]})
    with pytest.raises(ShapeError, match="'field' must have 4 entries"):
        space.calibrate(z, y | {"field": y["field"][:, 0]})
    with pytest.raises(NonFiniteError):
        space.calibrate(z, y | {"sum": y["sum"] / 0})
    with pytest.raises(ShapeError, match=r"residual_std of quantity 'field' must have shape \(P\), P = 4"):
        replace(space, residual_std=space.residual_std | {"field": torch.ones(3).double()})
    with pytest.raises(ShapeError, match=r"scores of quantity 'field' must have shape \(m, P\), P = 4"):
        replace(calibrated, scores=calibrated.scores | {"field": torch.ones(4).double()})
    with pytest.raises(OptionError, match="scores of quantity 'sum' must be at least 0 and sorted"):
        replace(calibrated, scores=calibrated.scores | {"sum": calibrated.scores["sum"].flip(0)})
    with pytest.raises(OptionError, match="residual_std of quantity 'sum' must be at least 0, got a least value of -1"):
        replace(space, residual_std=space.residual_std | {"sum": -torch.ones(1).double()})
    with pytest.raises(OptionError, match="n_samples of quantity 'sum' must be a number above 0"):
        replace(space, n_samples=space.n_samples | {"sum": 0})
    with pytest.raises(NameMismatchError, match="n_samples"):
        replace(space, n_samples={"sum": 3})


def test_merged_moments_give_the_residuals_of_all_data():
    z, y = data(90)
    parts = [Moments.of(*rows(z, y, some)) for some in (slice(30), slice(30, 90))]
    space = solve_from_moments(parts[0].merge(parts[1]), {"field": 2, "sum": 1}, shapes={"field": (2, 2), "sum": ()})
    assert space.n_samples["sum"] == 90
    for name, r in residuals(space, z, y).items():
        np.testing.assert_allclose(space.residual_std[name], np.sqrt((r**2).mean(0)), rtol=1e-10)
