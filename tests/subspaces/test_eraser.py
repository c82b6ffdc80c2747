"""After an erasure no linear probe reads the quantity, and no smaller change does that."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import nn

from isospan.errors import (
    DegenerateDataError,
    FileFormatError,
    NameMismatchError,
    NotSolvedError,
    NumericalWarning,
    OptionError,
    ShapeError,
)
from isospan.moments import Moments, merged
from isospan.subspaces import Eraser, LatentSpace, eraser, solve_from_moments

N, D = 400, 8


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlated(n=N, *, seed=0):
    """Latents with correlated directions of unlike variances; quantities a (3 entries), b (2) and one with noise."""
    z = normal(seed, n, D) @ (torch.eye(D).double() + 0.5 * normal(seed + 1, D, D)) * torch.logspace(-1, 1, D) + 3
    y = {"a": z @ normal(seed + 2, D, 3), "b": z @ normal(seed + 3, D, 2) + 0.5 * normal(seed + 4, n, 2)}
    y["c"] = y["a"][:, 0] + y["b"][:, 0] + normal(seed + 5, n)
    return z, {name: value / value.std() + 7 for name, value in y.items()}


def covariance(x, y):
    """Largest sample covariance of two sets of columns, in units of their deviations."""
    x, y = (t.reshape(len(t), -1).numpy() for t in (x, y))
    xc, yc = x - x.mean(0), y - y.mean(0)
    return abs(xc.T @ yc / len(x)).max() / (xc.std() * yc.std())


def r2(x, y):
    """Of the linear probe by NumPy; directions of x that are rounding, such as what is erased, do not count."""
    x, y = (t.reshape(len(t), -1).numpy() for t in (x, y))
    x, y = x - x.mean(0), y - y.mean(0)
    return 1 - ((y - x @ np.linalg.lstsq(x, y, rcond=1e-10)[0]) ** 2).sum() / (y**2).sum()


def brute_force(z, x, *, to_keep=None):
    """LEACE by NumPy: Σ^½ (I - Π) Σ^-½ with eigenvectors of Σ, to the part of x that a regression on s leaves."""
    zc, xc = (t.reshape(len(t), -1).numpy() - t.reshape(len(t), -1).numpy().mean(0) for t in (z, x))
    if to_keep is not None:
        s = to_keep.numpy() - to_keep.numpy().mean(0)
        xc = xc - s @ np.linalg.lstsq(s, xc, rcond=1e-10)[0]
    w, V = np.linalg.eigh(zc.T @ zc / len(zc))
    w, V = w[w > 1e-10 * w[-1]], V[:, w > 1e-10 * w[-1]]
    whitened = (V / np.sqrt(w)).T @ zc.T @ xc / len(zc)
    U, s, _ = np.linalg.svd(whitened, full_matrices=False)
    U = U[:, s > 1e-6 * s[0]]
    return z.numpy() - zc @ (V / np.sqrt(w)) @ U @ U.T @ (V * np.sqrt(w)).T


# one standard deviation of the latents is up to 40, so 1e-10 is float64 rounding times the condition 1e3 of Σ^½
CLOSE = {"rtol": 0, "atol": 1e-10}


def test_no_linear_probe_reads_an_erased_quantity():
    z, y = correlated()
    erase = eraser(Moments.of(z, y), ["a", "c"])
    assert repr(erase) == "Eraser(latent_dim=8, rank=4)"
    without = erase(z)
    assert min(r2(z, y[name]) for name in ("a", "c")) > 0.5
    for name in ("a", "c"):
        assert covariance(without, y[name]) < 1e-12
        assert abs(r2(without, y[name])) < 1e-12
    np.testing.assert_allclose(without, brute_force(z, torch.cat([y["a"], y["c"][:, None]], 1)), **CLOSE)
    np.testing.assert_allclose(erase(without), without, **CLOSE)
    np.testing.assert_allclose(without.mean(0), z.mean(0), **CLOSE)


def test_it_is_the_eraser_of_concept_erasure():
    leace = pytest.importorskip("concept_erasure")
    z, y = correlated()
    for name in y:
        x = y[name].reshape(N, -1)
        fitter = leace.LeaceFitter(
            D, x.shape[1], shrinkage=False, constrain_cov_trace=False, svd_tol=1e-6, dtype=torch.float64
        )
        theirs = fitter.update(z, x).eraser(z)
        assert (eraser(Moments.of(z, y), name)(z) - theirs).abs().max() < 1e-10 * z.std()


def test_it_does_not_depend_on_the_dimension_of_the_subspace():
    """The 3 entries of a have rank 3; a subspace of k = 1 holds a part of it."""
    z, y = correlated()
    moments = Moments.of(z, {"a": y["a"]})
    space = solve_from_moments(moments, 1, ridge=0.0)
    assert r2(space.erase(z, "a"), y["a"]) > 0.01
    assert abs(r2(eraser(moments, "a")(z), y["a"])) < 1e-12
    full = solve_from_moments(moments, 3, ridge=0.0)
    np.testing.assert_allclose(full.erase(z, "a"), eraser(moments, "a")(z), **CLOSE)


def test_no_other_projection_changes_less():
    """Maps that also erase, along other directions, move the latents farther in every norm that is tried."""
    z, y = correlated()
    zc, x = z - z.mean(0), y["a"] - y["a"].mean(0)
    step = z - eraser(Moments.of(z, y), "a")(z)
    filters = torch.linalg.lstsq(zc.T @ zc, zc.T @ x).solution  # read-outs of a
    for seed in range(5):
        other = filters + torch.linalg.qr(torch.cat([zc.T @ x, normal(seed, D, D - 3)], 1)).Q[:, 3:6] / 10
        moved = zc @ other @ torch.linalg.solve(x.T @ zc @ other, x.T @ zc)
        assert covariance(zc - moved, x) < 1e-10
        metric = normal(seed + 20, D, D)
        assert (moved @ metric).square().sum() > (step @ metric).square().sum()


@pytest.mark.parametrize("by", ["name", "bases"])
def test_what_a_quantity_adds_to_a_kept_one_is_erased(by):
    """The kept coordinates do not change; a probe reads as much as they do."""
    z, y = correlated()
    moments = Moments.of(z, y)
    space = solve_from_moments(moments, {"a": 2, "b": 2, "c": 1})
    if by == "name":
        keep, s = ["b"], torch.from_numpy(LinearRegression().fit(z, y["b"]).predict(z))
    else:
        keep, s = {"b": space.W["b"]}, space.encode(z)["b"]
    without = eraser(moments, ["a", "c"], keep=keep)(z)
    np.testing.assert_allclose(without, brute_force(z, torch.cat([y["a"], y["c"][:, None]], 1), to_keep=s), **CLOSE)
    if by == "name":
        after = torch.from_numpy(LinearRegression().fit(z, y["b"]).predict(without))
    else:
        after = space.encode(without)["b"]
    np.testing.assert_allclose(after, s, rtol=0, atol=1e-10)
    for name in ("a", "c"):
        assert r2(without, y[name]) == pytest.approx(r2(s, y[name]), abs=1e-10)
        assert r2(z, y[name]) > r2(s, y[name]) + 0.005


def test_what_a_kept_quantity_explains_whole_is_not_erased():
    z, y = correlated()
    moments = Moments.of(z, {"b": y["b"], "twice": 2 * y["b"]})
    with pytest.warns(NumericalWarning, match=r"Nothing of \['twice'\] is erased"):
        erase = eraser(moments, "twice", keep="b")
    assert len(erase.filters) == 0
    assert torch.equal(erase(z), z)


def test_streamed_and_merged_moments_give_the_same_eraser():
    z, y = correlated()
    parts = [Moments.of(z[rows], {n: t[rows] for n, t in y.items()}) for rows in (slice(0, 50), slice(50, None))]
    pairs = ((z[i : i + 37], {n: t[i : i + 37] for n, t in y.items()}) for i in range(0, N, 37))
    whole = eraser(Moments.of(z, y), "a", keep="b")(z)
    for moments in (Moments.of_batches(pairs), merged(parts)):
        np.testing.assert_allclose(eraser(moments, "a", keep="b")(z), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n", [N, 6])
def test_singular_covariances(n):
    """Dead and repeated latents, and fewer samples than latents: directions without variance do not change."""
    z, y = correlated()
    z = torch.cat([z, torch.full((N, 1), 5.0), z[:, :1]], 1)[:n]
    y = {name: value[:n] for name, value in y.items()}
    erase = eraser(Moments.of(z, y), "a")
    without = erase(z)
    assert covariance(without, y["a"]) < 1e-10
    # the rank of Σ is cut alike; 1e-8 is rounding times the condition of few samples
    np.testing.assert_allclose(without, brute_force(z, y["a"]), rtol=0, atol=1e-8)
    assert torch.equal(without[:, D], z[:, D])
    # what is the same latent is read alike: the direction of their difference has no filter
    np.testing.assert_allclose(erase.filters[:, 0], erase.filters[:, -1], rtol=1e-6)


def test_units_of_latents_and_quantities_do_not_matter():
    z, y = correlated()
    units = torch.logspace(-9, 9, D, dtype=torch.float64)
    expected = eraser(Moments.of(z, y), ["a", "b"], keep="c")(z)
    moments = Moments.of(z * units, {"a": y["a"] * 1e12, "b": y["b"], "c": y["c"] * 1e-12})
    np.testing.assert_allclose(eraser(moments, ["a", "b"], keep="c")(z * units) / units, expected, rtol=0, atol=1e-8)


def test_labels_are_erased():
    """Indicators of classes sum to 1, so their rank is one less; the classes have one mean afterwards."""
    z, _ = correlated()
    label = torch.arange(N) % 3
    z = z + normal(9, 3, D)[label]
    onehot = torch.nn.functional.one_hot(label).double()
    erase = eraser(Moments.of(z, {"label": onehot}), "label")
    assert len(erase.filters) == 2
    means = torch.stack([erase(z)[label == i].mean(0) for i in range(3)])
    np.testing.assert_allclose(means, z.mean(0).expand(3, -1), rtol=0, atol=1e-10)


# eps of the dtype times latents of size 100, and the condition of the filters; bfloat16 is rounded at the end
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.5), (torch.float16, 0.06)]
)
@pytest.mark.parametrize("shape", [(D,), (2, 3, D), (0, D)])
def test_dtype_and_leading_axes_stay(dtype, error, shape):
    z, y = correlated()
    moments = Moments.of(z, y)
    x = z[:6].reshape(2, 3, D)[0, 0] if shape == (D,) else z[:6][: shape[0] * 3].reshape(shape)
    x = x.to(dtype)
    space = solve_from_moments(moments, 1)
    for erase in (eraser(moments, "a"), lambda z: space.erase(z, "a")):
        result, expected = erase(x), erase(x.double())
        assert (result.dtype, result.shape) == (dtype, shape)
        np.testing.assert_allclose(result.double(), expected, rtol=0, atol=error)


def test_a_saved_eraser_is_loaded(tmp_path):
    z, y = correlated()
    erase = eraser(Moments.of(z, y), "a")
    erase.save(tmp_path / "eraser.safetensors")
    assert torch.equal(Eraser.load(tmp_path / "eraser.safetensors")(z), erase(z))
    solve_from_moments(Moments.of(z, y), 1).save(tmp_path / "space.safetensors")
    with pytest.raises(FileFormatError, match="'LatentSpace' of schema 3, expected a 'Eraser' of schema 1"):
        Eraser.load(tmp_path / "space.safetensors")


def test_bad_input():
    z, y = correlated()
    moments = Moments.of(z, y)
    with pytest.raises(NameMismatchError, match=r"moments hold the quantities \['a', 'b', 'c'\], got \['x'\]"):
        eraser(moments, ["x"])
    with pytest.raises(NameMismatchError, match=r"either changed or kept, got \['a'\] in both"):
        eraser(moments, ["a", "b"], keep="a")
    with pytest.raises(ShapeError, match=r"'b' must have shape \(k, D\) with D = 8, got \(1, 3\)"):
        eraser(moments, "a", keep={"b": torch.ones(1, 3)})
    with pytest.raises(ShapeError, match=r"The eraser has D = 8, got latents of shape \(400, 3\)"):
        eraser(moments, "a")(z[:, :3])
    with pytest.raises(ShapeError, match=r"filters \(r, D\) and patterns \(r, D\), got \(2,\), \(1, 3\) and \(1, 2\)"):
        Eraser(torch.zeros(2), torch.ones(1, 3), torch.ones(1, 2))
    constant = Moments.of(z, {"a": y["a"], "same": torch.ones(N).double()})
    assert abs(r2(eraser(constant, "a")(z), y["a"])) < 1e-12
    with pytest.raises(DegenerateDataError, match=r"\['same'\] have been constant"):
        eraser(constant, "same")
    with pytest.raises(DegenerateDataError, match="seen no samples"):
        eraser(Moments(D, {"a": 1}), "a")


@pytest.mark.parametrize("names", [["a"], ["b", "c"], ["a", "b", "c"]])
def test_a_space_erases_along_patterns(names):
    """z - (z - z̄) Wᵀ (W Σ Wᵀ)⁺ W Σ: the coordinates become those of the mean, and do not covary with what is left."""
    z, y = correlated()
    space = solve_from_moments(Moments.of(z, y), {"a": 2, "b": 1, "c": 1})
    without = space.erase(z, names)
    W, zc = torch.cat([space.W[name] for name in names]).numpy(), (z - z.mean(0)).numpy()
    S = zc.T @ zc / N
    np.testing.assert_allclose(without, z.numpy() - zc @ W.T @ np.linalg.pinv(W @ S @ W.T) @ W @ S, **CLOSE)
    for name in names:
        assert covariance(without, space.encode(z)[name]) < 1e-11  # c is nearly a sum of a and b
        assert space.encode(without)[name].abs().max() < 1e-10


def test_erasing_a_subspace_by_an_orthogonal_projection_leaves_the_quantity_readable():
    """Two latents that are nearly the same: what is removed from one is read from the other."""
    shared = normal(0, N, 1)
    z = torch.cat([shared + 0.1 * normal(1, N, 1), shared + 0.1 * normal(2, N, 1), normal(3, N, 3)], 1)
    y = {"shared": shared[:, 0]}
    space = solve_from_moments(Moments.of(z, y), 1)
    w = torch.zeros(1, 5).double()
    w[0, 0] = 1
    one = LatentSpace(
        {"shared": w}, space.A, space.z_mean, space.y_mean, space.y_scale, space.shapes, cov_zz=space.cov_zz
    )
    assert r2(z - one.project(z, "shared"), y["shared"]) > 0.95
    # what is left is the difference of the two latents, which reads the noise of each
    assert r2(one.erase(z, "shared"), y["shared"]) < 0.6
    assert r2(space.erase(z, "shared"), y["shared"]) < 1e-4


def test_scales_of_coordinates_that_are_erased_together_do_not_matter():
    z, y = correlated()
    z = z * torch.cat([torch.full((1,), 1e-9), torch.ones(D - 1)]).double()
    space = solve_from_moments(Moments.of(z, {"a": y["c"], "b": y["c"]}), 1)
    space = replace(space, W={name: torch.eye(D)[i : i + 1].double() for i, name in enumerate("ab")})
    without = space.erase(z, ["a", "b"])
    for name in "ab":
        assert covariance(without, space.encode(z)[name]) < 1e-10
        assert space.encode(without)[name].abs().max() < 1e-6 * space.encode(z)[name].abs().max()


def test_a_space_without_covariance_says_so():
    z, y = correlated()
    space = solve_from_moments(Moments.of(z, y), 1)
    parts = {what: getattr(space, what) for what in ("W", "A", "z_mean", "y_mean", "y_scale", "shapes")}
    bare = LatentSpace(**parts)
    for call in (
        lambda: bare.erase(z, "a"),
        lambda: bare.edit(z, {"c": 1.0}),
        lambda: bare.editor("c", metric="joint"),
    ):
        with pytest.raises(NotSolvedError, match=r"does not hold.*solve_subspaces\(z, y\)"):
            call()
    assert bare.edit(z, {"c": 1.0}, metric="euclidean").shape == z.shape


class Erases(nn.Module):
    def __init__(self, erase):
        super().__init__()
        self.erase = erase

    def forward(self, z):
        return self.erase(z)


def test_it_compiles_exports_and_maps():
    z, y = correlated()
    erase = eraser(Moments.of(z, y), "a")
    torch.compiler.reset()
    compiled = torch.compile(Erases(erase), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(z), erase(z))
    batch = torch.export.Dim("batch", min=2, max=1000)
    program = torch.export.export(Erases(erase), (z[:5],), dynamic_shapes=({0: batch},))
    torch.testing.assert_close(program.module()(z), erase(z))
    torch.testing.assert_close(torch.vmap(erase)(z), erase(z))


def test_what_is_no_projection_is_refused():
    with pytest.raises(OptionError, match=r"must be the identity.* they differ by 1\."):
        Eraser(torch.zeros(2), torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.5]]))


def test_of_latents_in_float32_no_more_is_read_than_they_round():
    """The products of rounded filters and patterns are not the identity: a float64 probe read an R² of 0.3."""
    z = (normal(0, 2000, D) @ normal(1, D, D)).float()
    y = {"y": z.double() @ normal(2, D, 1)}
    erase = eraser(Moments.of(z, y), "y")
    assert float((erase(z) - erase(z.double())).abs().max() / z.abs().max()) < 2 * torch.finfo(torch.float32).eps


def test_bases_of_other_names_are_kept():
    z, y = correlated()
    V = normal(9, 2, D)
    erased = eraser(Moments.of(z, y), "a", keep={"components": V})(z)
    torch.testing.assert_close(erased @ V.T, z @ V.T, rtol=0, atol=1e-9)
    with pytest.raises(NameMismatchError, match=r"either erased or kept, got \['a'\] in both"):
        eraser(Moments.of(z, y), "a", keep={"a": V})
