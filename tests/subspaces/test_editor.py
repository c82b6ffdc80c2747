"""An edit is the shortest step in its metric, of any shape, and one affine map."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from isospan.errors import DtypeError, NameMismatchError, NonFiniteError, NumericalWarning, OptionError, ShapeError
from isospan.moments import Moments
from isospan.subspaces import solve_from_moments

pytestmark = pytest.mark.filterwarnings("ignore:.* steps are longer than:isospan.errors.NumericalWarning")
N, D = 300, 8
METRICS = ["covariance", "joint", "euclidean"]


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def solved(n=N, *, k=None, noise=0.5):
    """A space of latents with correlated directions, and three quantities with noise; c has the shape ()."""
    z = normal(0, n, D) @ (torch.eye(D).double() + 0.4 * normal(1, D, D)) + 2
    y = {"a": z @ normal(2, D, 4), "b": z @ normal(3, D, 2), "c": z @ normal(4, D)}
    y = {name: value + noise * value.std() * normal(5 + i, *value.shape) for i, (name, value) in enumerate(y.items())}
    y["a"] = y["a"].reshape(n, 2, 2)
    return solve_from_moments(
        Moments.of(z, y), k or {"a": 2, "b": 2, "c": 1}, shapes={n: t.shape[1:] for n, t in y.items()}, ridge=0.0
    ), z


def by_formula(space, z, y, metric, kept):
    """Each formula as it stands, in NumPy: a kept quantity is a row with Δ = 0 and a residual of 1e-12."""
    cov = np.eye(D) if metric == "euclidean" else space.cov_zz.numpy()
    M, R, change = [], [], []
    for name in [*y, *kept]:
        scale = float(space.y_scale[name])
        read = (space.W[name].mT @ space.A[name]).mT.numpy() / scale
        now = space.decode(z)[name].reshape(len(z), -1).numpy() / scale
        residual = 1 - np.trace(read @ space.cov_zz.numpy() @ read.T) / len(read)
        M.append(read)
        R += [max(residual, 0.0) if metric == "joint" and name in y else 0.0] * len(read)
        change.append(y[name].reshape(len(z), -1).numpy() / scale - now if name in y else np.zeros_like(now))
    M, change = np.concatenate(M), np.concatenate(change, 1)
    gram = M @ cov @ M.T + np.diag(R)
    if metric == "joint":
        P = len(R) - sum(len(space.y_mean[name]) for name in kept)
        gram += np.diag([0.0] * P + [1e-12] * (len(R) - P))
        return change @ np.linalg.solve(gram, M @ cov)
    return change @ np.linalg.pinv(gram, rcond=1e-11) @ M @ cov


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("keep", ["others", ["c"], ()])
@pytest.mark.parametrize("names", [["b"], ["b", "c"], ["a"]])
def test_an_edit_is_its_formula(metric, keep, names):
    space, z = solved()
    if set(keep) & set(names):
        keep = ()
    kept = [n for n in space.names if n not in names] if keep == "others" else keep
    targets = {name: space.decode(z.flip(0))[name] for name in names}
    edited = space.edit(z, targets, keep=keep, metric=metric)
    # rounding over the condition of all read-outs, 1e2; the joint formula has a residual of 1e-12 on what is kept
    np.testing.assert_allclose(edited - z, by_formula(space, z, targets, metric, kept), rtol=0, atol=1e-7)
    after, before = space.decode(edited), space.decode(z)
    for name in kept:
        np.testing.assert_allclose(after[name], before[name], rtol=0, atol=1e-9 * float(space.y_scale[name]))
    if metric != "joint":
        for name in names:
            np.testing.assert_allclose(after[name], targets[name], rtol=0, atol=1e-9 * float(space.y_scale[name]))


def test_the_joint_step_is_the_mean_given_the_target():
    """For one scalar with the best read-out, δ is the regression of the latents on the quantity itself."""
    n = 2000
    z = normal(0, n, D) @ normal(1, D, D)
    y = z @ normal(2, D) + 3 * normal(3, n)
    space = solve_from_moments(Moments.of(z, {"y": y}), 1, shapes={"y": ()}, ridge=0.0)
    step = space.edit(z, {"y": space.decode(z)["y"] + 1.0}, metric="joint") - z
    zc, yc = (z - z.mean(0)).numpy(), (y - y.mean()).numpy()
    # least squares of z on y; its residuals are those of the sample, so only rounding is left
    np.testing.assert_allclose(step, np.broadcast_to(zc.T @ yc / (yc @ yc), (n, D)), rtol=0, atol=1e-10)


def test_the_default_stays_in_the_data_where_the_shortest_step_leaves_it():
    """Two latents that are nearly the same read a quantity by one: both move, and their difference does not grow."""
    shared = normal(0, N, 1)
    z = torch.cat([shared + 0.05 * normal(1, N, 1), shared + 0.05 * normal(2, N, 1)], 1)
    space = replace(
        solve_from_moments(Moments.of(z, {"y": shared[:, 0]}), 1, shapes={"y": ()}, ridge=0.0),
        W={"y": torch.tensor([[1.0, 0.0]]).double()},
        A={"y": torch.ones(1, 1).double()},
    )
    step = space.edit(z, {"y": space.decode(z)["y"] + 1}) - z
    np.testing.assert_allclose(step, [[1.0, 1.0]] * N, atol=0.01)  # the regression of one latent on the other
    step = space.edit(z, {"y": space.decode(z)["y"] + 1}, metric="euclidean") - z
    np.testing.assert_allclose(step, [[1.0, 0.0]] * N, atol=1e-12)


def test_an_editor_is_one_affine_map():
    space, z = solved()
    editor = space.editor(["b", "c"], keep="a", metric="joint")
    assert repr(editor) == "Editor(latent_dim=8, names=['b', 'c'])"
    y = {name: space.decode(z.flip(0))[name] for name in ("c", "b")}
    np.testing.assert_allclose(editor(z, y), space.edit(z, y, keep="a", metric="joint"), rtol=0, atol=1e-12)
    middle = editor((z + z.flip(0)) / 2, {name: (t + t.flip(0)) / 2 for name, t in y.items()})
    np.testing.assert_allclose(middle, (editor(z, y) + editor(z, y).flip(0)) / 2, rtol=0, atol=1e-11)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(D,), (3, D), (2, 3, D), (0, D)])
def test_leading_axes_stay(shape, metric):
    space, z = solved()
    x = z[:6].reshape(-1)[: int(np.prod(shape))].reshape(shape)
    flat = x.reshape(-1, D)
    target = space.decode(z[10])["a"]
    calls = {
        "encode": lambda x: space.encode(x)["b"],
        "decode": lambda x: space.decode(x)["a"],
        "edit": lambda x: space.edit(x, {"a": target}, metric=metric),
        "erase": lambda x: space.erase(x, ["a"]),
        "free": space.free,
        "project": lambda x: space.project(x, "a"),
    }
    for name, call in calls.items():
        expected = call(flat)
        got = call(x)
        assert got.shape == (*shape[:-1], *expected.shape[1:]), name
        torch.testing.assert_close(got.reshape(expected.shape), expected, msg=name)


# bfloat16 and float16 have rounded latents and results of size 10; float32 has rounded products
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float64, 0.0), (torch.float32, 1e-4), (torch.bfloat16, 0.1), (torch.float16, 0.02)]
)
def test_the_dtype_that_comes_in_goes_out(dtype, error):
    space, z = solved()
    x = z[:5].to(dtype)
    target = {"b": space.decode(z[:5].flip(0))["b"]}
    calls = {
        "encode": lambda x: space.encode(x)["b"],
        "decode": lambda x: space.decode(x)["b"],
        "edit": lambda x: space.edit(x, target),
        "erase": lambda x: space.erase(x, ["a"]),
        "free": space.free,
        "project": lambda x: space.project(x, "a"),
    }
    for name, call in calls.items():
        got, expected = call(x), call(x.double())
        assert got.dtype == dtype, name
        torch.testing.assert_close(got.double(), expected, rtol=0, atol=error * float(expected.abs().max()), msg=name)


def test_autocast_does_not_round_products():
    space, z = solved()
    z = z.float()
    with torch.autocast("cpu", torch.bfloat16):
        got = [space.decode(z)["a"], space.erase(z, "a"), space.edit(z, {"c": 1.0}), space.free(z)]
    expected = [space.decode(z)["a"], space.erase(z, "a"), space.edit(z, {"c": 1.0}), space.free(z)]
    torch.testing.assert_close(got, expected)


def test_targets_broadcast():
    """A number, an array, one target for all, one for each token."""
    space, z = solved()
    tokens = z[:12].reshape(3, 4, D)
    one = np.arange(4.0).reshape(2, 2)
    for given in (one, torch.from_numpy(one).float(), np.broadcast_to(one, (3, 4, 2, 2)), one[None]):
        after = space.decode(space.edit(tokens, {"a": given}))["a"]
        nearest = space.decode(space.edit(tokens, {"a": torch.from_numpy(one).expand(3, 4, 2, 2)}))["a"]
        torch.testing.assert_close(after, nearest, rtol=0, atol=1e-9)
    for given in (2, 2.0, np.float32(2), torch.tensor(2.0), np.full((4,), 2.0), np.full((3, 1), 2.0)):
        after = space.decode(space.edit(tokens, {"c": given}))["c"]
        torch.testing.assert_close(after, torch.full((3, 4), 2.0).double(), rtol=0, atol=1e-9)
    numbers = space.decode(space.edit(tokens, {"b": 1.5}))["b"]
    torch.testing.assert_close(numbers, torch.full((3, 4, 2), 1.5).double(), rtol=0, atol=1e-9)


def test_bad_input():
    space, z = solved()
    with pytest.raises(OptionError, match=r"Invalid metric: 'mahalanobis'\. Choose one of 'covariance', 'joint'"):
        space.edit(z, {"c": 1.0}, metric="mahalanobis")
    with pytest.raises(NameMismatchError, match=r"either changed or kept, got \['c'\] in both"):
        space.edit(z, {"c": 1.0}, keep=["a", "c"])
    with pytest.raises(NameMismatchError, match=r"The space holds the quantities \['a', 'b', 'c'\], got \['x'\]"):
        space.edit(z, {"c": 1.0}, keep="x")
    with pytest.raises(NameMismatchError, match="Targets must name the quantities of the editor"):
        space.editor("c")(z, {"b": 1.0})
    with pytest.raises(ShapeError, match=r"The space has D = 8, got latents of shape \(300, 4\).*movedim"):
        space.edit(z[:, :4], {"c": 1.0})
    with pytest.raises(ShapeError, match=r"\(300, 2, 2\), one for each latent, or \(2, 2\), one for all, got \(3,\)"):
        space.edit(z, {"a": torch.ones(3)})
    with pytest.raises(ShapeError, match=r"shape \(\), one for each latent, or \(\), one for all, got \(5,\)"):
        space.edit(z[0], {"c": torch.ones(5)})
    with pytest.raises(NonFiniteError, match="The target of 'c' must be finite"):
        space.edit(z, {"c": float("nan")})
    with pytest.raises(DtypeError, match="The target of 'c' must be floating point"):
        space.edit(z, {"c": np.arange(N)})


@pytest.mark.parametrize("row", [[0.0, 0.0, 1.0, 0.0], *([1.0, 0.1 * i, 0.0, -1.0] for i in range(1, 6))])
def test_directions_without_variance_do_not_move(row):
    """A read-out of a latent that is constant, or of a sum less itself, cannot be reached by steps inside the data."""
    z = normal(0, N, 4) + 0.3
    z[:, 2] = 1.0
    z[:, 3] = z[:, :2] @ torch.tensor(row).double()[:2]
    space = solve_from_moments(Moments.of(z, {"y": z[:, 0]}), 1, shapes={"y": ()}, ridge=0.0)
    dead = replace(space, W={"y": torch.tensor([row]).double()})
    for metric in ("covariance", "joint"):
        with pytest.warns(NumericalWarning, match=r"Only 0 of 1 directions of \['y'\] vary over the data"):
            assert torch.equal(dead.edit(z, {"y": 5.0}, metric=metric), z)
    assert (dead.edit(z, {"y": 5.0}, metric="euclidean") != z).any()


def test_units_of_latents_do_not_change_an_edit():
    """The Euclidean step depends on them."""
    space, z = solved()
    units = torch.logspace(-4, 4, D, dtype=torch.float64)
    for metric in ("covariance", "joint"):
        S = replace(
            space,
            W={name: W / units for name, W in space.W.items()},
            z_mean=space.z_mean * units,
            cov_zz=space.cov_zz * units * units[:, None],
        )
        expected = space.edit(z, {"a": space.decode(z.flip(0))["a"]}, metric=metric)
        edited = S.edit(z * units, {"a": space.decode(z.flip(0))["a"]}, metric=metric)
        np.testing.assert_allclose(edited / units, expected, rtol=0, atol=1e-8)


class Reads(nn.Module):
    def __init__(self, space, editor):
        super().__init__()
        self.space, self.editor = space, editor

    def forward(self, z, y):
        space = self.space
        return (
            space.encode(z)["a"],
            space.decode(z)["a"],
            space.edit(z, {"b": y}),
            space.edit(z, {"c": 1.0}, keep=(), metric="joint"),
            space.erase(z, ["a", "c"]),
            space.free(z),
            space.project(z, "a"),
            self.editor(z, {"b": y}),
        )


@pytest.fixture
def tokens():
    """A module with all methods, tokens (2, 3, D) and targets."""
    torch.compiler.reset()
    space, z = solved()
    x = z[:6].reshape(2, 3, D)
    return Reads(space, space.editor("b")), x, space.decode(x.flip(0))["b"]


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_all_compiles_without_a_graph_break(tokens, backend):
    module, x, y = tokens
    torch.testing.assert_close(torch.compile(module, fullgraph=True, backend=backend)(x, y), module(x, y))


def test_all_exports(tokens):
    module, x, y = tokens
    torch.testing.assert_close(torch.export.export(module, (x, y)).module()(x, y), module(x, y))


def test_a_compiled_function_uses_the_space_that_it_is_given():
    torch.compiler.reset()
    compiled = torch.compile(
        lambda space, z: (space.free(z), space.edit(z, {"c": 1.0})), fullgraph=True, backend="eager"
    )
    for k, noise in ((2, 0.5), (2, 0.1), (1, 0.1)):
        space, z = solved(k={"a": k, "b": k, "c": 1}, noise=noise)
        torch.testing.assert_close(compiled(space, z), (space.free(z), space.edit(z, {"c": 1.0})))


def test_all_maps_over_samples():
    space, z = solved()
    y = space.decode(z.flip(0))["b"]
    module = Reads(space, space.editor("b"))
    torch.testing.assert_close(torch.vmap(module)(z, y), module(z, y))


def test_an_edit_has_a_gradient():
    space, z = solved()
    z, y = z[:2].requires_grad_(), space.decode(z[3:5])["b"].requires_grad_()
    assert torch.autograd.gradcheck(lambda z, y: space.edit(z, {"b": y}), (z, y))


def test_a_name_that_is_repeated_counts_once():
    space, z = solved()
    assert torch.equal(space.editor(["b", "b"])(z, {"b": 5.0}), space.edit(z, {"b": 5.0}))


def test_weak_directions_of_many_latents_in_float32_are_edited():
    z = normal(0, 800, 256).float()
    y = {"a": torch.stack([z[:, 0], 0.003 * z[:, 1]], 1)}
    space = solve_from_moments(Moments.of(z, y), 2).to(dtype=torch.float32)
    target = torch.tensor([0.0, 0.02])
    torch.testing.assert_close(
        space.decode(space.edit(z[:3], {"a": target}))["a"], target.expand(3, 2), rtol=0, atol=1e-5
    )


def test_quantities_that_determine_each_other_are_not_said_to_be_constant():
    z = normal(0, N, 3)
    space = solve_from_moments(Moments.of(z, {"p": z[:, 0], "q": z[:, 1]}), 1, shapes={"p": (), "q": ()}, ridge=0.0)
    angle = torch.tensor(1e-8, dtype=torch.float64)
    near = replace(
        space,
        W=space.W | {"p": torch.eye(3).double()[:1], "q": torch.stack([angle.cos(), angle.sin(), 0 * angle])[None]},
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        near.edit(z, {"p": 1.0, "q": 1.0})
    assert not [warning for warning in caught if "vary over the data" in str(warning.message)]
