"""An edit through a decoder minimises its objective for each latent, and the decoded output has the targets."""

import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from isospan.errors import NameMismatchError, NotSolvedError, NumericalWarning, OptionError, ShapeError
from isospan.subspaces import LatentSpace, solve_subspaces

D, N = 6, 40


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


Z = normal(0, 300, D) @ (torch.eye(D).double() + 0.5 * normal(1, D, D)) + 1
B, C = normal(2, D, 9) / 3, {"a": normal(3, 9, 2), "b": normal(4, 9, 1)}


def linear(z):
    return z @ B.to(z)


def read(x):
    return {name: x @ c.to(x) for name, c in C.items()}


def curved(z):
    return torch.tanh(linear(z))


def squares(x):
    return {name: (y + 0.3 * y.square()) for name, y in read(x).items()}


LINEAR = solve_subspaces(Z, read(linear(Z)), k=1)
CURVED = solve_subspaces(Z, squares(curved(Z)), k={"a": 2, "b": 1})


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* steps are longer than", NumericalWarning)
        yield


def solution(z, targets, kept, penalty):
    """Normal equations of the objective for a linear decoder, in NumPy."""
    H, right = penalty * np.linalg.inv(LINEAR.cov_zz.numpy()), 0.0
    for name in (*targets, *kept):
        M, scale = (B @ C[name]).numpy(), float(LINEAR.y_scale[name])
        weight = (1 if name in targets else penalty) / (M.shape[1] * scale**2)
        H = H + weight * M @ M.T
        if name in targets:
            right = right + weight * (targets[name].numpy() - z.numpy() @ M) @ M.T
    return z.numpy() + right @ np.linalg.inv(H)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 5e-4), (torch.float32, 5e-3)])
@pytest.mark.parametrize("keep", ["others", ()])
@pytest.mark.parametrize("penalty", [1e-3, 0.3])
def test_a_linear_decoder_has_the_closed_form(dtype, atol, keep, penalty):
    """A step ends where the value, of about 10, decreases by 1e-12 of it, or 1e-7 in float32: with the weight 1e-3,

    that is where the rest of the step is sqrt(10 · 1e-12 / 1e-3) = 1e-4, or some 1e-3 in float32.
    """
    z, t = Z[:N].to(dtype), normal(5, N, 2)
    edited = LINEAR.edit(z, {"a": t}, keep=keep, decoder=linear, quantities=read, penalty=penalty, steps=100)
    assert edited.dtype == dtype
    expected = solution(z.double(), {"a": t}, ["b"] if keep else [], penalty)
    np.testing.assert_allclose(edited.double().numpy(), expected, atol=atol)


def test_with_nothing_kept_it_is_the_mean_of_the_joint_normal_distribution():
    """With residuals of covariance λ P σ² I."""
    z, t, penalty = Z[:N], normal(5, N, 2), 0.1
    M, S = (B @ C["a"]).mT, LINEAR.cov_zz
    R = penalty * 2 * LINEAR.y_scale["a"] ** 2 * torch.eye(2).double()
    step = (t - z @ M.mT) @ torch.linalg.inv(M @ S @ M.mT + R) @ M @ S
    edited = LINEAR.edit(z, {"a": t}, keep=(), decoder=linear, quantities=read, penalty=penalty, steps=100)
    torch.testing.assert_close(edited, z + step, atol=1e-4, rtol=0)  # converged to 1e-5


def radial(penalty_free_cov=1.0):
    """A space with Σ = I, in which the first axis reads the squared norm."""
    one = torch.ones((), dtype=torch.float64)
    return LatentSpace(
        W={"r2": torch.eye(D).double()[:1]},
        A={"r2": torch.ones(1, 1).double()},
        z_mean=torch.zeros(D).double(),
        y_mean={"r2": torch.ones(1).double()},
        y_scale={"r2": one},
        shapes={"r2": ()},
        cov_zz=penalty_free_cov * torch.eye(D).double(),
    )


@pytest.mark.parametrize("target", [0.2, 3.0])
def test_a_quadratic_quantity_moves_along_the_radius(target):
    z, penalty = normal(6, 5, D), 0.05
    square = {"r2": lambda x: x.square().sum(1)}
    edited = radial().edit(z, {"r2": target}, decoder=lambda z: z, quantities=square, penalty=penalty, steps=200)
    for before, after in zip(z, edited, strict=True):
        r0 = float(before.norm())
        best = minimize_scalar(
            lambda r, r0=r0: (r**2 - target) ** 2 + penalty * (r - r0) ** 2, bounds=(0.1, 5), method="bounded"
        )
        torch.testing.assert_close(after, before * best.x / r0, atol=1e-3, rtol=0)


def objective(z, edited, targets, penalty):
    """The objective of :meth:`LatentSpace.edit`, a sample."""
    before, after = squares(curved(z)), squares(curved(edited))
    kept = [name for name in C if name not in targets]
    scale = {name: float(CURVED.y_scale[name]) for name in C}
    step = edited - z
    J = (step @ torch.linalg.inv(CURVED.cov_zz) * step).sum(-1)
    J = J + sum(((after[n] - before[n]) / scale[n]).square().mean(-1) for n in kept)
    return penalty * J + sum(((after[n] - t) / scale[n]).square().mean(-1) for n, t in targets.items())


def test_each_latent_has_the_minimum_that_lbfgs_of_torch_finds_for_it_alone():
    z, penalty = Z[:8], 0.01
    t = squares(curved(Z[100:108]))["a"]
    ours = objective(
        z,
        CURVED.edit(z, {"a": t}, decoder=curved, quantities=squares, penalty=penalty, steps=100),
        {"a": t},
        penalty,
    )
    for i in range(len(z)):
        x = z[i : i + 1].clone().requires_grad_()
        optimizer = torch.optim.LBFGS([x], max_iter=300, line_search_fn="strong_wolfe", tolerance_change=1e-12)

        def closure(x=x, optimizer=optimizer, i=i):
            optimizer.zero_grad()
            value = objective(z[i : i + 1], x, {"a": t[i : i + 1]}, penalty).sum()
            value.backward()
            return value

        optimizer.step(closure)
        alone = float(objective(z[i : i + 1], x.detach(), {"a": t[i : i + 1]}, penalty).sum())
        assert float(ours[i]) < 1.01 * alone + 1e-6  # another minimum may be lower


def test_the_decoded_output_has_the_target_where_the_linear_edit_has_not():
    z, t = Z[:N], squares(curved(Z[100 : 100 + N]))
    y = {"a": t["a"]}
    edited = CURVED.edit(z, y, decoder=curved, quantities=squares)
    error = [float((squares(curved(e))["a"] - t["a"]).square().sum()) for e in (z, CURVED.edit(z, y), edited)]
    assert error[1] > 0.1 * error[0]
    assert error[2] < 0.2 * error[1]


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_no_latent_depends_on_the_others(batch_size):
    t = squares(curved(Z[100:107]))["a"]
    settings = {"decoder": curved, "quantities": squares, "batch_size": batch_size}
    together = CURVED.edit(Z[:7], {"a": t}, **settings)
    for i in range(7):
        alone = CURVED.edit(Z[i], {"a": t[i]}, **settings)
        assert alone.shape == (D,)
        torch.testing.assert_close(alone, together[i], atol=1e-7, rtol=0)  # products of another shape round otherwise


def test_tokens_and_empty_batches():
    t = squares(curved(Z[100:106]))["a"]
    settings = {"decoder": curved, "quantities": squares}
    flat = CURVED.edit(Z[:6], {"a": t}, **settings)
    tokens = CURVED.edit(Z[:6].reshape(2, 3, D), {"a": t.reshape(2, 3, 2)}, **settings)
    torch.testing.assert_close(tokens.reshape(6, D), flat, atol=1e-7, rtol=0)
    assert CURVED.edit(Z[:0], {"a": 1.0}, **settings).shape == (0, D)


def test_a_sample_whose_output_is_not_finite_keeps_its_best_point_and_the_others_their_result():
    z, t = Z[:5], squares(curved(Z[100:105]))["a"]
    start = z[2]

    first = CURVED.edit(start, {"a": t[2]})

    def broken(z):
        return torch.where((z - first).square().sum(1, keepdim=True) < 0.01, torch.nan, curved(z))

    expected = CURVED.edit(z, {"a": t}, decoder=curved, quantities=squares)
    with pytest.warns(NumericalWarning, match="1 of 5 samples was not finite"):
        edited = CURVED.edit(z, {"a": t}, decoder=broken, quantities=squares)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(edited[others], expected[others], atol=1e-7, rtol=0)
    values = [objective(start[None], point[None], {"a": t[2:3]}, 1e-3) for point in (edited[2], start)]
    assert edited[2].isfinite().all()
    assert float(values[0]) <= float(values[1])

    def never(z):
        return torch.where(((z - start.to(z)).square().sum(1, keepdim=True) < 10), torch.nan, curved(z))

    with pytest.warns(NumericalWarning, match="was not finite"):
        edited = CURVED.edit(start, {"a": t[2]}, keep=["b"], decoder=never, quantities=squares)
    torch.testing.assert_close(edited, start)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(B.clone())
        self.norm = nn.BatchNorm1d(9, dtype=torch.float64)
        self.frozen = nn.Dropout(0.5).eval()
        self.calls = 0

    def forward(self, z):
        self.calls += 1
        assert not self.norm.training
        return torch.tanh(self.frozen(self.norm(z @ self.weight)))


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("bound", [False, True])
def test_the_decoder_is_as_before_afterwards(context, bound):
    network = Network()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with context():
        z = Z[:5].clone()
        edited = CURVED.edit(
            z, {"a": 0.3}, decoder=network.forward if bound else network, quantities=squares, penalty=0.01
        )
    assert not torch.equal(edited, z)
    assert not edited.requires_grad
    assert network.calls <= 30
    assert network.weight.grad is None
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert [m.training for m in (network, network.norm, network.frozen)] == [True, True, False]


def test_passes_are_reported_up_to_their_total():
    reports = []
    settings = {"decoder": curved, "quantities": squares, "batch_size": 4, "steps": 12}
    CURVED.edit(Z[:10], {"a": 0.3}, **settings, progress=lambda *report: reports.append(report))
    assert reports[-1] == (33, 33)
    done = [done for done, _ in reports]
    assert done == sorted(set(done))


def test_what_the_output_does_not_give_is_read_from_the_latent():
    only_a = {"a": lambda x: squares(x)["a"]}
    y, settings = {"a": 0.5, "b": 0.2}, {"decoder": curved, "quantities": only_a, "penalty": 1e-5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        edited = CURVED.edit(Z[:3], y, **settings)
        kept = CURVED.edit(Z[:3], {"a": 0.5}, keep=["b"], decoder=curved, quantities=only_a, penalty=1e-2)
        free = CURVED.edit(Z[:3], {"a": 0.5}, keep=(), decoder=curved, quantities=only_a, penalty=1e-2)
    assert float((CURVED.decode(edited)["b"] - 0.2).abs().max()) < 0.05
    before = CURVED.decode(Z[:3])["b"]
    moved = [float((CURVED.decode(z)["b"] - before).square().sum()) for z in (kept, free)]
    assert moved[0] < moved[1]


def test_a_change_that_the_output_does_not_show_is_warned_of():
    slight = {"a": lambda x: 0.01 * squares(x)["a"]}
    with pytest.warns(NumericalWarning, match=r"shows 0\.\d\d of the change of 'a'.*smaller change"):
        CURVED.edit(Z[:5], {"a": 10.0}, decoder=curved, quantities=slight)


@pytest.mark.parametrize("metric", ["covariance", "joint", "euclidean"])
def test_steps_that_are_longer_than_distances_of_latents_are_warned_of(metric):
    space = solve_subspaces(Z, {"a": Z @ normal(8, D, 1) + 0.01 * normal(9, 300, 1)}, k=1)
    scale = float(space.y_scale["a"])
    value = space.decode(Z[:2])["a"]
    shift = torch.tensor([[1.0], [100.0]]).double() * scale
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space.edit(Z[:1], {"a": value[:1] + shift[:1]}, metric=metric)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        space.edit(Z[:2], {"a": value + shift}, metric=metric)
    assert "1 of 2 steps are longer than the typical distance" in str(caught[-1].message)
    assert "edit through the decoder" in str(caught[-1].message)


def test_the_limit_of_a_long_step_is_that_of_the_distances_of_normal_latents():
    """Mean and deviation of squared distances of many pairs: of 2 χ², and of a sum with the eigenvalues of Σ."""
    first, second = normal(10, 20000, D) @ (L := torch.linalg.cholesky(CURVED.cov_zz).mT), normal(11, 20000, D) @ L
    difference = first - second
    white = (difference @ CURVED._whitening.V.mT).square().sum(1)
    plain = difference.square().sum(1) / CURVED.cov_zz.diagonal().mean()
    for squared, axes in ((white, CURVED._whitening), (plain, CURVED._plain_axes)):
        # 20,000 samples: 1 % of the mean, 3 % of the deviation
        assert float(squared.mean()) == pytest.approx(axes.distances.mean, rel=0.03)
        assert float(squared.std()) == pytest.approx(axes.distances.deviation, rel=0.05)


def test_latents_without_variance_do_not_move():
    z = Z.clone()
    z[:, 2] = 3.0
    space = solve_subspaces(z, squares(curved(z)), k=1)
    edited = space.edit(z[:5], {"a": 0.4}, decoder=curved, quantities=squares)
    assert torch.equal(edited[:, 2], z[:5, 2])
    assert space._whitening.distances.mean == 2 * (D - 1)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"decoder": curved}, OptionError, "Pass both, or neither"),
        ({"quantities": squares}, OptionError, "Pass both, or neither"),
        ({"decoder": curved, "quantities": lambda x: {"a": x[:, :2].detach()}}, OptionError, "differentiable"),
        ({"decoder": curved, "quantities": lambda x: {"a": x}}, ShapeError, r"shape \(3, 2\), got \(3, 9\)"),
        (
            {"decoder": curved, "quantities": lambda x: {"b": x[:, :1]}},
            NameMismatchError,
            r"at least one of .* \['b'\]",
        ),
        ({"decoder": curved, "quantities": lambda x: squares(x) | {"c": x}}, NameMismatchError, "The space holds"),
        ({"decoder": curved, "quantities": squares, "steps": 2}, OptionError, "steps must be at least 3"),
        ({"decoder": curved, "quantities": squares, "penalty": -1}, OptionError, "penalty must be a number"),
        ({"decoder": curved, "quantities": squares, "keep": ["a"]}, NameMismatchError, "either changed or kept"),
    ],
)
def test_what_an_edit_through_a_decoder_cannot_do(settings, error, message):
    with pytest.raises(error, match=message):
        CURVED.edit(Z[:3], {"a": 0.3}, **settings)


def test_it_needs_the_covariance_of_the_latents():
    parts = {what: getattr(CURVED, what) for what in ("W", "A", "z_mean", "y_mean", "y_scale", "shapes")}
    space = LatentSpace(**parts)
    with pytest.raises(NotSolvedError, match="covariance of the latents"):
        space.edit(Z[:3], {"a": 0.3}, metric="euclidean", decoder=curved, quantities=squares)
    assert space.edit(Z[:3], {"a": 0.3}, metric="euclidean").shape == (3, D)
