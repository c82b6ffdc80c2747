"""Programs written for spacelearn 0.1.0 run with the import root replaced, and get the same numbers."""

import importlib
import inspect
import itertools
import math
from collections import defaultdict
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from isospan.compat import spacelearn as ours
from isospan.compat.spacelearn.loss import disentanglement_loss_original

PUBLIC_NAMES = {
    "": ["combined_loss", "principal_directions", "solve_dims", "solve_subspaces", "subspaces"],
    ".data": [
        "compute_Q",
        "ensure_dim",
        "input_to_quantity",
        "pool",
        "pool_targets",
        "spatial_pool_targets",
        "to_device",
    ],
    ".loss": [
        "alignment_loss",
        "disentanglement_loss",
        "disentanglement_loss_original",
        "isotropy_loss",
        "stability_loss",
    ],
    ".optim": ["fit_decoders", "k_per_q", "minimal_latent_dim", "optimal_bins", "subspace_change"],
    ".settings": ["Settings", "config"],
    ".util": ["full", "left", "right", "singular_values"],
}


@pytest.mark.parametrize(("module", "names"), PUBLIC_NAMES.items())
def test_every_import_path_exists(module: str, names: list[str]) -> None:
    there = importlib.import_module(f"isospan.compat.spacelearn{module}")
    assert sorted(there.__all__) == names
    for name in names:
        assert getattr(getattr(there, name), "__module__", "isospan.settings").startswith("isospan.")


@pytest.mark.parametrize(("module", "names"), PUBLIC_NAMES.items())
def test_arguments_have_the_names_of_spacelearn(module: str, names: list[str]) -> None:
    pytest.importorskip("spacelearn")
    mine, other = (importlib.import_module(f"{root}spacelearn{module}") for root in ("isospan.compat.", ""))
    for name in set(names) & set(vars(other)) - {"config"}:
        ours_, theirs_ = (parameters_by_name(getattr(package, name)) for package in (mine, other))
        assert set(theirs_) <= set(ours_), name
        assert [p for p in ours_ if p in theirs_] == theirs_ or name == "Settings"


def parameters_by_name(function: object) -> list[str]:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind not in variadic]


def test_a_renamed_argument_arrives() -> None:
    z, y = torch.randn(20, 6), {"a": torch.randn(20, 4)}
    W = ours.subspaces(Z=z, pooled_global=y, k=2)
    assert torch.equal(W["a"], ours.subspaces(z, y, 2)["a"])
    optim, data = (importlib.import_module(f"isospan.compat.spacelearn.{name}") for name in ("optim", "data"))
    assert torch.equal(optim.fit_decoders(W=W, Z=z, pooled_global=y)["a"], optim.fit_decoders(W, z, y)["a"])
    assert optim.k_per_q(pooled_global=y, per_quantity=False) == optim.k_per_q(y, per_quantity=False)
    assert torch.equal(data.pool(chunks=y["a"], n_bins=2, mode="max"), data.pool(y["a"], 2, "max"))
    A, losses = optim.fit_decoders(W, z, y), importlib.import_module("isospan.compat.spacelearn.loss")
    assert losses.alignment_loss(Z=z, W=W, A=A, Y=y) == losses.alignment_loss(z, W, A, y)
    assert losses.disentanglement_loss(Z=z, W=W | {"b": W["a"]}) == losses.disentanglement_loss(z, W | {"b": W["a"]})
    assert losses.isotropy_loss(Z=z, W=W, n_dir=2) == losses.isotropy_loss(z, W, 2)
    assert ours.combined_loss(Z=z, W=W, A=A, Y=y, W_prev=W) == ours.combined_loss(z, W, A, y, W)
    with pytest.raises(TypeError, match="pooled_global"):
        optim.fit_decoders(W=W, Z=z)


def slope(samples: Tensor) -> Tensor:
    return samples.diff(dim=-1)


def energy(samples: Tensor) -> Tensor:
    return samples.square()


def smooth_fields(n: int) -> Tensor:
    """Fields (n, 1, 16, 16) with few modes, so that few bins and directions suffice."""
    x = torch.linspace(0, 2 * math.pi, 16)
    waves = torch.stack([torch.sin(x + phase) for phase in (0.0, 1.0, 2.5)])
    return torch.einsum("nij,ix,jy->nxy", torch.randn(n, 3, 3), waves, waves).unsqueeze(1)


def train(root: str) -> list[float]:
    """The training program of spacelearn's guide: size the latent, solve now and then, descend the combined loss."""
    solve_dims = importlib.import_module(root).solve_dims
    solve_subspaces = importlib.import_module(root).solve_subspaces
    combined_loss = importlib.import_module(root).combined_loss
    input_to_quantity = importlib.import_module(f"{root}.data").input_to_quantity
    minimal_latent_dim = importlib.import_module(f"{root}.optim").minimal_latent_dim

    data = smooth_fields(256)
    reference = data[:100]
    collected = defaultdict(list)
    for sample in reference:
        collected["A"].append(slope(samples=sample))
        collected["B"].append(energy(samples=sample))
    targets = {name: torch.stack(values) for name, values in collected.items()}

    dims = solve_dims(targets, max_bins=6, bin_thresholds=0.8, k_thresholds={"A": 0.9, "B": 0.85}, k_per_quantity=True)
    n = next(iter(dims.values()))[0]
    k = {name: k_q for name, (_, k_q) in dims.items()}
    quantities = input_to_quantity(n, "avg", A=slope, B=energy)

    model = nn.Sequential(
        nn.Flatten(), nn.Linear(256, 64), nn.Tanh(), nn.Linear(64, minimal_latent_dim(k, free_frac=0.1))
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses: list[float] = []
    W_prev = None
    for epoch in range(5):
        if epoch % 2 == 0:
            with torch.no_grad():
                Z_ref = model(reference)
            space = solve_subspaces(Z_ref, quantities(samples=reference), k=k)
            W, A = space.W, space.A
            W_prev = W_prev or {name: w.clone() for name, w in W.items()}
        for batch in data.split(64):
            loss = combined_loss(model(batch), W, A, quantities(samples=batch), W_prev)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        W_prev = {name: w.clone() for name, w in W.items()}
    return losses


def test_the_training_program_of_the_guide_runs_and_learns() -> None:
    losses = train("isospan.compat.spacelearn")
    assert all(math.isfinite(loss) for loss in losses)
    # Between two solves W and A stand still, so each pair of epochs (8 steps) is a descent on one loss.
    assert losses[7] < losses[0]
    assert losses[15] < losses[8]


@pytest.fixture
def theirs() -> ModuleType:
    """spacelearn itself, with its exact solver."""
    module = pytest.importorskip("spacelearn")
    config = importlib.import_module("spacelearn.settings").config
    before, config.solver_mode = config.solver_mode, "svd"
    yield module
    config.solver_mode = before


def part(package: ModuleType, name: str) -> ModuleType:
    return importlib.import_module(f"{package.__name__}.{name}")


@pytest.fixture
def latents() -> Tensor:
    return torch.randn(80, 24, dtype=torch.float64)


@pytest.fixture
def targets(latents: Tensor) -> dict[str, Tensor]:
    """Quantities that depend on different latent coordinates, so that their order of importance is clear."""
    scale = torch.linspace(3, 1, 6, dtype=torch.float64)
    noise = torch.randn(2, 80, 6, dtype=torch.float64)
    return {
        "a": (latents[:, :6] * scale + 0.1 * noise[0]).reshape(80, 2, 3),
        "b": latents[:, 8:14] * scale + 0.1 * noise[1],
    }


# Both compute in float64 with a few thousand operations a number: agreement to 1e-9 leaves three digits to spare.
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def projectors(W: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: w.mT @ w for name, w in W.items()}


def test_subspaces_and_directions_agree_up_to_sign(
    theirs: ModuleType, latents: Tensor, targets: dict[str, Tensor]
) -> None:
    k = {"a": 3, "b": 4}
    torch.testing.assert_close(
        projectors(ours.subspaces(latents, targets, k)), projectors(theirs.subspaces(latents, targets, k)), **CLOSE
    )
    mine, other = ours.principal_directions(latents, targets), theirs.principal_directions(latents, targets)
    for name in targets:
        # Theirs divide by the norm plus 1e-8.
        torch.testing.assert_close(torch.outer(*mine[name]), torch.outer(*other[name]), rtol=1e-7, atol=1e-7)


def test_solve_subspaces_decodes_the_same(theirs: ModuleType, latents: Tensor, targets: dict[str, Tensor]) -> None:
    mine, other = ours.solve_subspaces(latents, targets, k=4), theirs.solve_subspaces(latents, targets, k=4)
    assert list(mine) == list(other)
    for name in targets:
        (W, A, V), (W_other, A_other, V_other) = mine[name], other[name]
        torch.testing.assert_close(W.mT @ A, W_other.mT @ A_other, **CLOSE)
        assert (W.shape, A.shape, V.shape) == (W_other.shape, A_other.shape, V_other.shape)


def test_decoders_agree(theirs: ModuleType, latents: Tensor, targets: dict[str, Tensor]) -> None:
    W = theirs.subspaces(latents, targets, 4)
    mine, other = (part(package, "optim").fit_decoders(W, latents, targets) for package in (ours, theirs))
    torch.testing.assert_close(mine, other, **CLOSE)


def test_losses_agree(theirs: ModuleType, latents: Tensor, targets: dict[str, Tensor]) -> None:
    # Mutually orthogonal bases: elsewhere their isotropy does not project the subspaces out.
    frame = torch.linalg.qr(torch.randn(24, 8, dtype=torch.float64)).Q.mT
    W = {"a": frame[:4], "b": frame[4:]}
    W_prev = {name: w.roll(1, 0) for name, w in W.items()}
    A = part(theirs, "optim").fit_decoders(W, latents, targets)
    for name, arguments in {
        "alignment_loss": (latents, W, A, targets),
        "disentanglement_loss": (latents, W),
        "isotropy_loss": (latents, W, 10),
        "stability_loss": (W, W_prev),
    }.items():
        mine, other = (getattr(part(package, "loss"), name)(*arguments) for package in (ours, theirs))
        # Theirs start from a float32 zero and add 1e-8 to what they divide by.
        torch.testing.assert_close(mine.double(), other.double(), rtol=1e-6, atol=1e-7)
    mine, other = (package.combined_loss(latents, W, A, targets, W_prev, n_dir=10) for package in (ours, theirs))
    torch.testing.assert_close(mine.double(), other.double(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("k", [[2, 3, 1], [2]])
def test_the_original_disentanglement_against_its_formula(k: list[int]) -> None:
    """The mean of the squared entries of C_ij, whose standardised coordinates are divided by B."""
    z = torch.randn(9, 7, dtype=torch.float64, requires_grad=True)
    W = {name: torch.randn(size, 7, dtype=torch.float64) for name, size in zip("abc", k, strict=False)}
    S = [(z - z.mean(0)) @ w.mT for w in W.values()]
    S = [s / s.std(0) for s in S]
    pairs = [(s.mT @ t / len(z)).square().mean() for s, t in itertools.combinations(S, 2)]
    expected = torch.stack(pairs).mean() if pairs else torch.zeros((), dtype=torch.float64)
    # two float64 evaluations of the same sums
    torch.testing.assert_close(disentanglement_loss_original(z, W), expected, rtol=1e-11, atol=0)
    assert torch.autograd.gradgradcheck(lambda z: disentanglement_loss_original(z, W), z, fast_mode=True)
    assert torch.autograd.gradcheck(lambda z: disentanglement_loss_original(z, W), z)


def test_sizes_agree(theirs: ModuleType) -> None:
    fields = smooth_fields(64)
    Y = {"slope": slope(fields), "energy": energy(fields)}
    for per_quantity in (False, True):
        options = {"pool_per_quantity": per_quantity, "k_per_quantity": per_quantity}
        assert ours.solve_dims(Y, 8, 0.9, {"slope": 0.8}, **options) == theirs.solve_dims(
            Y, 8, 0.9, {"slope": 0.8}, **options
        )
    mine, other = part(ours, "optim"), part(theirs, "optim")
    assert mine.optimal_bins(Y, 8, {"energy": 0.7}) == other.optimal_bins(Y, 8, {"energy": 0.7})
    assert mine.k_per_q(Y, 0.95) == other.k_per_q(Y, 0.95)
    assert mine.minimal_latent_dim({"a": 9, "b": 5}, num_heads=8) == other.minimal_latent_dim(
        {"a": 9, "b": 5}, num_heads=8
    )
    assert mine.minimal_latent_dim(5, Q=3, free_frac=0.25) == other.minimal_latent_dim(5, Q=3, free_frac=0.25)


def test_subspace_change_agrees(theirs: ModuleType) -> None:
    old, new = torch.linalg.qr(torch.randn(2, 24, 4, dtype=torch.float64)).Q.mT
    mine, other = (part(package, "optim").subspace_change(old, new) for package in (ours, theirs))
    assert set(mine) == set(other)
    torch.testing.assert_close(dict(mine), dict(other), **CLOSE)


def test_pooling_and_quantities_agree(theirs: ModuleType) -> None:
    fields = smooth_fields(8)
    for mode in ("avg", "max"):
        mine, other = (
            part(package, "data").input_to_quantity(3, mode, slope, B=energy)(samples=fields)
            for package in (ours, theirs)
        )
        torch.testing.assert_close(mine, other)
    series = torch.randn(8, 30)
    assert torch.equal(part(ours, "data").pool(series, 5), part(theirs, "data").pool(series, 5))


def test_decorators_agree(theirs: ModuleType) -> None:
    def shape(x: Tensor, y: Tensor) -> tuple[torch.Size, torch.Size]:
        return x.shape, y.shape

    field = torch.zeros(4, 4)
    for package in (ours, theirs):
        wrapped = part(package, "data").ensure_dim(part(package, "data").to_device(shape, device="cpu"), dims=4)
        assert wrapped(field, y=field) == ((1, 1, 4, 4), (1, 1, 4, 4))


def test_decompositions_agree(theirs: ModuleType) -> None:
    A = torch.randn(6, 4, dtype=torch.float64)
    for name in ("left", "right", "full", "singular_values"):
        mine, other = (getattr(part(package, "util"), name)(A) for package in (ours, theirs))
        # Signs of singular vectors are free.
        torch.testing.assert_close([m.abs() for m in mine], [o.abs() for o in other], **CLOSE)
