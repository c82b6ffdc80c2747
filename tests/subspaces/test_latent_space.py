"""A latent space reads, edits and erases exactly what its definition says."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from isospan._core.tensor_files import save_tensors
from isospan.errors import (
    DtypeError,
    FileFormatError,
    NameMismatchError,
    NonFiniteError,
    NotSolvedError,
    NumericalWarning,
    OptionError,
    ShapeError,
)
from isospan.moments import Moments
from isospan.subspaces import solve_from_moments, solve_subspaces
from isospan.subspaces._latent_space import BY_QUANTITY, LatentSpace

D = 12
METRICS = ["covariance", "euclidean"]
"""The metrics of exact edits."""


def covariance(seed, n=D):
    """A covariance whose eigenvalues are between 0.1 and 10."""
    Q = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed + 100), dtype=torch.float64)).Q
    return Q * torch.logspace(-1, 1, n, dtype=torch.float64) @ Q.mT


def make_space(dtype=torch.float64, *, orthogonal=False, seed=0):
    g = torch.Generator().manual_seed(seed)
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    dims = {"a": (3, (2, 4)), "b.c": (2, (2,)), "scalar": (1, ())}
    frame = torch.linalg.qr(rand(D, 6)).Q.mT if orthogonal else None
    W, A, y_mean, start = {}, {}, {}, 0
    for name, (k, shape) in dims.items():
        W[name] = frame[start : start + k] if orthogonal else torch.linalg.qr(rand(D, k)).Q.mT.contiguous()
        start += k
        P = torch.Size(shape).numel()
        A[name], y_mean[name] = rand(k, P) * 10 ** len(name), rand(P)
    space = LatentSpace(
        W=W,
        A=A,
        z_mean=rand(D),
        y_mean=y_mean,
        y_scale={n: A[n].norm() for n in A},
        shapes={n: s for n, (_, s) in dims.items()},
        cov_zz=covariance(seed),
    )
    return space.to(dtype=dtype), rand(5, D).to(dtype)


def test_the_text_tells_the_sizes_and_no_numbers():
    space, _ = make_space()
    k, shapes = "{'a': 3, 'b.c': 2, 'scalar': 1}", "{'a': (2, 4), 'b.c': (2,), 'scalar': ()}"
    assert repr(space) == f"LatentSpace(latent_dim={D}, k={k}, shapes={shapes})"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_decode_is_the_formula(dtype):
    space, z = make_space()
    z = z.to(dtype)
    decoded = space.decode(z)
    for name in space.names:
        expected = (
            space.y_mean[name].numpy()
            + (z.double() - space.z_mean).numpy() @ space.W[name].numpy().T @ space.A[name].numpy()
        )
        assert decoded[name].shape == (5, *space.shapes[name])
        assert decoded[name].dtype == dtype
        # float32 products of values up to 1e6 (scale of the decoders); a bfloat16 result is rounded once more
        rtol = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 4e-3}[dtype]
        np.testing.assert_allclose(
            decoded[name].double().reshape(5, -1), expected, rtol=rtol, atol=rtol * float(space.y_scale[name])
        )
    one = space.decode(z[:1])
    torch.testing.assert_close(one["a"][0], decoded["a"][0])


def test_decoding_in_half_precision_says_what_is_out_of_range():
    """Deviations of 1e6, where the largest float16 is 65504; another quantity keeps its digits."""
    space, z = make_space()
    with pytest.warns(NumericalWarning, match=r"float16 holds \['scalar'\]"):
        decoded = space.decode(z.half())
    expected = space.decode(z.half().double())
    torch.testing.assert_close(decoded["a"], expected["a"].half(), rtol=2e-3, atol=2e-2)  # eps of float16 is 1e-3


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("orthogonal", [False, True])
def test_edit_solves_the_constrained_least_squares_problem(orthogonal, metric):
    space, z = make_space(orthogonal=orthogonal)
    reachable = space.decode(z.flip(0))["a"]
    edited = space.edit(z, {"a": reachable}, metric=metric)
    after, before = space.decode(edited), space.decode(z)
    # float64 rounding over the condition number of all maps together, 16 here, with a margin
    np.testing.assert_allclose(after["a"], reachable, atol=1e-9)
    for name in ("b.c", "scalar"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-9 * float(space.y_scale[name]))
    # oracle: minimum-norm solution of all equations stacked, brute force, in coordinates of covariance 1
    L = np.linalg.cholesky(space.cov_zz.numpy()) if metric == "covariance" else np.eye(D)
    rows = {n: (space.W[n].mT @ space.A[n]).mT.numpy() / float(space.y_scale[n]) for n in space.names}
    stacked = np.concatenate([rows[n] for n in space.names])
    rhs = np.concatenate(
        [((reachable - before["a"]).reshape(5, -1) / space.y_scale["a"]).numpy(), np.zeros((5, 2)), np.zeros((5, 1))], 1
    )
    step = np.linalg.lstsq(stacked @ L, rhs.T, rcond=1e-12)[0].T @ L.T
    np.testing.assert_allclose(edited - z, step, atol=1e-9)  # the same condition number


@pytest.mark.parametrize("metric", METRICS)
def test_edit_of_an_unreachable_target_is_the_nearest_decodable_value(metric):
    space, z = make_space()
    target = torch.randn(2, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    after = space.decode(space.edit(z, {"a": target}, metric=metric))["a"].reshape(5, -1)
    A = space.A["a"].numpy()
    wanted = target.flatten() - space.y_mean["a"]
    nearest = np.linalg.lstsq(A.T, wanted.numpy(), rcond=None)[0] @ A + space.y_mean["a"].numpy()
    np.testing.assert_allclose(after, np.tile(nearest, (5, 1)), atol=1e-9)  # rounding, as above


@pytest.mark.parametrize("metric", METRICS)
def test_edit_all_quantities_at_once(metric):
    space, z = make_space()
    targets = space.decode(z.roll(1, 0))
    after = space.decode(space.edit(z, targets, metric=metric))
    for name, y in targets.items():
        # the same condition number, and targets that are themselves decoded
        np.testing.assert_allclose(after[name], y, atol=1e-8 * float(space.y_scale[name]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_edit_of_lower_precision_reaches_weak_directions(dtype, metric):
    """A decoder whose singular values fall to 1e-3 of the largest, in a large latent space."""
    g = torch.Generator().manual_seed(1)
    rand = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)  # noqa: E731
    frames = [torch.linalg.qr(rand(n, 8)).Q.mT for n in (512, 8, 8)]
    A = frames[1] * torch.logspace(0, -3, 8, dtype=torch.float64) @ frames[2]
    space = LatentSpace(
        W={"a": frames[0]},
        A={"a": A},
        z_mean=torch.zeros(512).double(),
        y_mean={"a": torch.zeros(8).double()},
        y_scale={"a": torch.ones(()).double()},
        shapes={"a": (8,)},
        cov_zz=covariance(1, 512),
    )
    z, wanted = rand(4, 512).to(dtype), rand(4, 512).to(dtype)
    edited = space.edit(z, {"a": space.decode(wanted.double())["a"].float()}, metric=metric)
    assert edited.dtype == dtype
    # float32 targets of size 1 over a singular value of 1e-3, and float32 latents
    np.testing.assert_allclose(space.encode(edited)["a"], space.encode(wanted)["a"], atol=1e-3)


def test_edit_of_a_stored_float32_space_does_not_follow_its_rounding():
    """A decoder of rank 1 that was rounded has a second direction of 1e-8, which no target shall be divided by."""
    space, z = make_space()
    A = torch.tensor([[1.0], [1 / 3], [0.1]]) @ torch.randn(1, 8, generator=torch.Generator().manual_seed(0)) / 3
    rounded = replace(space.to(dtype=torch.float32), A=dict(space.to(dtype=torch.float32).A) | {"a": A})
    for metric in METRICS:
        step = rounded.edit(z, {"a": torch.ones(2, 4).double()}, metric=metric) - z
        assert float(step.norm(dim=1).max()) < 100


def test_edit_warns_where_subspaces_coincide():
    space, z = make_space()
    space = replace(space, W=dict(space.W) | {"b.c": space.W["a"][:2]})
    with pytest.warns(NumericalWarning, match="Only 1 of 3 directions"):
        edited = space.edit(z, {"a": torch.zeros(2, 4).double()})
    # float64 rounding of a decoder of 1e3, with a margin
    np.testing.assert_allclose(space.decode(edited)["b.c"], space.decode(z)["b.c"], atol=1e-9)


def test_erase_leaves_nothing_to_a_probe_inside_the_subspace():
    space, z = make_space()
    z = torch.cat([z, z.roll(1, 1), z.roll(2, 1)])
    erased = space.erase(z, ["a"])
    # rounding of latents of size 1
    assert float(space.encode(erased)["a"].abs().max()) < 1e-13
    assert float(space.encode(space.erase(z, "scalar"))["scalar"].abs().max()) < 1e-13
    np.testing.assert_allclose(space.erase(erased, ["a"]), erased, atol=1e-13)


def test_patterns_are_the_regression_of_latents_on_coordinates():
    """In the order of the names."""
    z = np.random.default_rng(0).normal(size=(50, D)) @ covariance(1).numpy()
    moments = Moments.of(torch.from_numpy(z), {"a": torch.from_numpy(z[:, :2]), "b": torch.from_numpy(z[:, 1:4])})
    space = solve_from_moments(moments, {"a": 2, "b": 2})
    for names in ("a", ["b", "a"]):
        W = np.concatenate([space.W[name].numpy() for name in ([names] if names == "a" else names)])
        zc = z - z.mean(0)
        expected = np.linalg.lstsq(zc @ W.T, zc, rcond=None)[0]
        np.testing.assert_allclose(space.patterns(names), expected, atol=1e-9)  # normal equations against QR
    with pytest.raises(NameMismatchError, match=r"got \['x'\]"):
        space.patterns("x")
    with pytest.raises(NotSolvedError, match="covariance"):
        replace(space, cov_zz=None).patterns("a")


def test_free_is_what_is_outside():
    space, z = make_space()
    free = space.free(z)
    assert free.shape == (5, D - 6)
    W = torch.cat(list(space.W.values())).numpy()
    zc = (z - space.z_mean).numpy()
    outside = zc - zc @ np.linalg.pinv(W) @ W
    # two float64 projectors, numpy's by a pseudo-inverse
    np.testing.assert_allclose((free**2).sum(1), (outside**2).sum(1), rtol=1e-10)


def test_project_is_idempotent():
    space, z = make_space()
    part = space.project(z, "a")
    np.testing.assert_allclose(space.project(part + space.z_mean, "a"), part, atol=1e-13)  # rounding at size 1


def test_save_and_load(tmp_path):
    space, z = make_space()
    path = tmp_path / "deep" / "space.safetensors"
    space.save(path)
    again = LatentSpace.load(path)
    assert torch.equal(again.cov_zz, space.cov_zz)
    assert again.names == space.names
    assert dict(again.shapes) == dict(space.shapes)
    for name, y in space.decode(z).items():
        assert torch.equal(again.decode(z)[name], y)
    assert [p.name for p in path.parent.iterdir()] == ["space.safetensors"]


def test_foreign_and_damaged_files(tmp_path):
    space, _ = make_space()
    path = tmp_path / "space.safetensors"
    space.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match="not a readable latent space"):
        LatentSpace.load(path)
    with pytest.raises(FileFormatError, match="not a readable latent space"):
        LatentSpace.load(tmp_path / "missing.safetensors")
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    header["__metadata__"]["isospan"] = header["__metadata__"]["isospan"].replace('"schema": 3', '"schema": 9')
    newer = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(newer)) + newer + whole[8 + size :])
    with pytest.raises(FileFormatError, match="schema 9"):
        LatentSpace.load(path)


def test_a_file_of_the_first_version_is_read(tmp_path):
    """It has no covariance: all but erasing, and editing in the metric of the data, works."""
    space, z = make_space()
    tensors = {f"{what}.{i}": getattr(space, what)[n] for what in BY_QUANTITY for i, n in enumerate(space.names)}
    header = {"names": space.names, "shapes": [list(space.shapes[name]) for name in space.names]}
    path = tmp_path / "space.safetensors"
    save_tensors(path, tensors | {"z_mean": space.z_mean}, kind="LatentSpace", schema=1, **header)
    again = LatentSpace.load(path)
    assert again.cov_zz is None
    for name, y in space.decode(z).items():
        assert torch.equal(again.decode(z)[name], y)
    edit = {"y": {"scalar": 1.0}, "metric": "euclidean"}
    assert torch.equal(again.edit(z, **edit), space.edit(z, **edit))
    with pytest.raises(NotSolvedError, match=r"it is of an earlier file.*Solve it again, with solve_subspaces\(z, y\)"):
        again.erase(z, "a")
    again.save(path)
    assert LatentSpace.load(path).cov_zz is None


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_space_that_is_not_finite_is_refused(tmp_path, value):
    space, _ = make_space()
    next(iter(space.A.values()))[0, 0] = float(value)
    space.save(tmp_path / "space.safetensors")
    with pytest.raises(FileFormatError, match=r"space\.safetensors is not .*NonFiniteError: The tensor 'A\.0'"):
        LatentSpace.load(tmp_path / "space.safetensors")


def test_bad_input():
    space, z = make_space()
    with pytest.raises(ShapeError, match="D = 12"):
        space.decode(z[:, :4])
    with pytest.raises(NonFiniteError):
        space.decode(z / 0)
    with pytest.raises(NameMismatchError, match="holds the quantities"):
        space.edit(z, {"x": z})
    with pytest.raises(NameMismatchError, match="Name at least one"):
        space.erase(z, [])
    with pytest.raises(ShapeError, match="must have shape"):
        space.edit(z, {"a": torch.zeros(5, 3).double()})
    with pytest.raises(
        ShapeError, match=r"shape \(5, 2, 4\), one for each latent, or \(2, 4\), one for all, got \(3, 2, 4\)"
    ):
        space.edit(z, {"a": torch.zeros(3, 2, 4).double()})
    with pytest.raises(DtypeError, match=r"target of 'scalar' must be a torch\.Tensor, got bool"):
        space.edit(z, {"scalar": True})
    with pytest.raises(DtypeError, match=r"z must be floating point, got torch\.int64"):
        space.edit(z.long(), {"scalar": z[:, 0]})
    with pytest.raises(ShapeError, match="needs W"):
        replace(space, shapes=dict(space.shapes) | {"a": (9,)})
    assert space.decode(z[:0])["a"].shape == (0, 2, 4)


def test_summary_counts_what_is_free():
    assert "free         6  of D = 12" in make_space()[0].summary()


def test_directions_that_others_fill_do_not_move():
    """D = 6, one quantity of k = 6 beside one of k = 1: nothing is left to move, and nothing moves far."""
    z = torch.randn(200, 6).double()
    moments = Moments.of(z, {"all": z, "one": z[:, :1] + 2 * z[:, 1:2]})
    space = solve_from_moments(moments, {"all": 6, "one": 1}, ridge=0.0)
    with pytest.warns(NumericalWarning, match=r"Only 0 of 1 directions of \['one'\]"):
        edited = space.edit(z, {"one": space.decode(z)["one"] + 1})
    torch.testing.assert_close(edited, z)


@pytest.mark.parametrize(("times", "moves"), [(3.0, True), (1 / 3, False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_direction_counts_as_blocked_below_an_angle(times, moves, dtype):
    """The quantity b differs from what a fills by an angle of ``times`` 1e-4."""
    angle = times * 1e-4
    one = {"y_mean": torch.zeros(1, dtype=dtype), "y_scale": torch.ones((), dtype=dtype)}
    e = torch.eye(3, dtype=torch.float64)
    W = {"a": e[:1].to(dtype), "b": (e[:1] + angle * e[1:2]).to(dtype)}
    space = LatentSpace(
        W=W,
        A=dict.fromkeys(W, torch.ones(1, 1, dtype=dtype)),
        z_mean=torch.zeros(3, dtype=dtype),
        **{what: dict.fromkeys(W, value) for what, value in one.items()},
        shapes=dict.fromkeys(W, (1,)),
        cov_zz=torch.eye(3, dtype=dtype),
    )
    z, target = torch.zeros(1, 3, dtype=torch.float64), torch.full((1,), angle, dtype=torch.float64)
    if moves:
        edited = space.edit(z, {"b": target})
        # the angle as the dtype holds it
        torch.testing.assert_close(edited, e[1:2], rtol=torch.finfo(dtype).eps / angle, atol=1e-6)
    else:
        with pytest.warns(NumericalWarning, match="Only 0 of 1"):
            edited = space.edit(z, {"b": target})
        assert torch.equal(edited, z)


def test_the_part_inside_a_subspace_does_not_depend_on_its_basis():
    z = torch.randn(20, 4).double()
    moments = Moments.of(z, {"a": z[:, :2]})
    space = solve_from_moments(moments, 2)
    mixed = replace(space, W={"a": torch.tensor([[2.0, 0.0], [1.0, 0.5]]).double() @ space.W["a"]})
    torch.testing.assert_close(mixed.project(z, "a"), space.project(z, "a"))


def two_quantities(W, dtype=torch.float64):
    """A space with decoders 1 and scale 1 of quantities named a, b."""
    W = {name: rows.to(dtype) for name, rows in W.items()}
    return LatentSpace(
        W=W,
        A={name: torch.eye(len(rows), dtype=dtype) for name, rows in W.items()},
        z_mean=torch.zeros(W["a"].shape[1], dtype=dtype),
        y_mean={name: torch.zeros(len(rows), dtype=dtype) for name, rows in W.items()},
        y_scale=dict.fromkeys(W, torch.ones((), dtype=dtype)),
        shapes={name: (len(rows),) for name, rows in W.items()},
        cov_zz=torch.eye(W["a"].shape[1], dtype=dtype),
    )


@pytest.mark.parametrize("angle", [1e-5, 1e-8, 1e-9, 1e-12])
def test_no_step_is_huge_where_another_quantity_reads_almost_the_same(angle):
    """An exact step would be 1 / angle long, and would miss by what rounding leaves of the angle."""
    e = torch.eye(3, dtype=torch.float64)
    space = two_quantities({"a": e[:1], "b": torch.stack([normalize(e[0] + angle * e[1], dim=0), e[2]])})
    with pytest.warns(NumericalWarning, match="Only 0 of 1"):
        edited = space.edit(torch.zeros(1, 3, dtype=torch.float64), {"a": torch.ones(1).double()})
    assert not edited.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3])
def test_quantities_of_latents_of_other_scales_are_reached_together(scale, dtype):
    """One quantity lies on a latent of a small or large deviation: its rows are long or short, and count alike."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(500, 64, generator=g, dtype=torch.float64)
    z[:, 0] *= scale
    space = solve_from_moments(Moments.of(z, {"a": z[:, 0] / scale, "b": z[:, 1]}), 1, ridge=0.0).to(dtype=dtype)
    edited = space.edit(z[:5], {"a": torch.full((1,), 3.0).double(), "b": torch.full((1,), -2.0).double()})
    decoded = space.decode(edited)
    # the tolerance is eps of the dtype of the space, over the scale of the latents
    tolerance = 1e3 * torch.finfo(dtype).eps * max(1, scale, 1 / scale)
    torch.testing.assert_close(decoded["a"], torch.full((5, 1), 3.0).double(), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(decoded["b"], torch.full((5, 1), -2.0).double(), rtol=tolerance, atol=tolerance)


def test_decoding_in_float32_says_where_digits_are_lost():
    z = torch.randn(300, 4)
    y = {"julian": 2_460_000.5 + 0.1 * z[:, 0].double(), "plain": 300 + z[:, 1].double()}
    space = solve_from_moments(Moments.of(z, y), 1, ridge=0.0)
    with pytest.warns(NumericalWarning, match=r"float32 holds \['julian'\] .* z.double\(\)"):
        space.decode(z)
    torch.testing.assert_close(space.decode(z.double())["julian"][:, 0], y["julian"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_scale_that_is_not_positive_is_refused(scale):
    space, *_ = make_space()
    name = space.names[0]
    with pytest.raises(OptionError, match=rf"The scale of quantity '{name}' must be larger than 0"):
        replace(space, y_scale=space.y_scale | {name: torch.tensor(scale)})


@pytest.mark.parametrize(("entry", "value"), [((0, 1), 9.0), ((2, 2), -1.0)])
def test_a_matrix_that_is_no_covariance_is_refused(entry, value):
    space, *_ = make_space()
    cov_zz = space.cov_zz.clone()
    cov_zz[entry] = value
    with pytest.raises(OptionError, match=r"cov_zz must be a covariance, symmetric"):
        replace(space, cov_zz=cov_zz)


def test_the_length_of_a_step_is_that_over_the_distance_of_two_latents():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(500, 4, generator=generator, dtype=torch.float64) @ torch.randn(4, 4, generator=generator).double()
    space = solve_subspaces(z, {"sum": z.sum(1)}, k=1)
    a, b = z[:250], z[250:]
    precision = torch.linalg.inv(torch.from_numpy(np.cov(z.numpy().T)))
    expected = ((b - a) @ precision * (b - a)).sum(1).div(2 * 4).sqrt()
    lengths = space.step_length(a, b)
    torch.testing.assert_close(lengths, expected, rtol=0.01, atol=0)  # the space divides by n, NumPy by n - 1
    assert space.step_length(a[0].float(), b[0].float()).shape == ()
    torch.testing.assert_close(space.step_length(a.reshape(25, 10, 4), b.reshape(25, 10, 4)), lengths.reshape(25, 10))
