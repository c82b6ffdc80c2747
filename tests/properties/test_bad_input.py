"""Whatever a public function is given, it returns finite values or raises an error of isospan; nothing raw, no NaN."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isospan import evaluation, guided, linalg, quantities, sizing, subspaces, symmetric
from isospan.compat.spacelearn import _solve as spacelearn
from isospan.compat.spacelearn import util
from isospan.errors import IsospanError
from isospan.groups import DihedralGroup
from isospan.moments import Moments

from .strategies import normal, tensors_in

# k that is too large, and probes on few samples: results that are less than was asked for
pytestmark = pytest.mark.filterwarnings("ignore::isospan.errors.NumericalWarning")

N, D, P = 8, 4, 3
REP = DihedralGroup(3).regular_representation


def first_row(value: float):
    return lambda x: x.index_fill(0, torch.tensor([0]), value)


KINDS = {  # what somebody might pass for a tensor
    "good": lambda x: x,
    "nan": first_row(torch.nan),
    "infinite": first_row(torch.inf),
    "constant": torch.ones_like,
    "zero": torch.zeros_like,
    "huge": lambda x: 1e300 * x,
    "tiny": lambda x: 1e-300 * x,
    "array": lambda x: x.numpy(),
    "reversed array": lambda x: x.numpy()[::-1],
    "list": lambda x: x.tolist(),
    "none": lambda x: None,
    "text": lambda x: "z",
    "number": lambda x: 3.5,
    "integers": lambda x: x.long(),
    "booleans": lambda x: x > 0,
    "complex": lambda x: x.to(torch.complex128),
    "half": lambda x: x.half(),
    "bfloat16": lambda x: x.bfloat16(),
    "sparse": lambda x: x.to_sparse(),
    "column-major": lambda x: x.mT.contiguous().mT,
    "flat": lambda x: x.flatten(),
    "scalar": lambda x: x[0, 0],
    "deep": lambda x: x[:, None, :, None],
    "no rows": lambda x: x[:0],
    "no columns": lambda x: x[:, :0],
    "one row": lambda x: x[:1],
    "fewer rows": lambda x: x[:-1],
    "fewer columns": lambda x: x[:, :-1],
    "expanded": lambda x: x[:1].expand(len(x), -1),
    "duplicated columns": lambda x: x[:, :1].expand(-1, x.shape[1]),
    "requires a gradient": lambda x: x.clone().requires_grad_(),
}
COUNTS = [1, 2, 3, 99, 0, -1, 1.5, "2", None, True, {"a": 1}, {"b": 1}, [1]]


def y_of(y):
    return {"a": y}


W, A = torch.linalg.qr(normal(5, D, D))[0][:2], normal(6, 2, P)
SPACE = subspaces.solve_from_moments(Moments.of(normal(0, N, D), {"a": normal(1, N, P), "b": normal(2, N, 1)}), k=1)


def objective(z, y):
    return guided.SpaceObjective({"a": 1}, D, schedule=guided.EverySteps(1))(z, y_of(y))


CALLS = {
    "Moments.of": lambda z, y, k: list(Moments.of(z, y_of(y)).buffers()),
    "Moments.update": lambda z, y, k: list(Moments(D, {"a": P}).update(z, y_of(y)).buffers()),
    "Moments.of_batches": lambda z, y, k: list(Moments.of_batches([(z, y_of(y))] * 2).buffers()),
    "solve_subspaces": lambda z, y, k: spacelearn.solve_subspaces(z, y_of(y), k=k),
    "regression": lambda z, y, k: spacelearn.subspaces(z, y_of(y), k, method="regression", orthogonal=True),
    "correlation": lambda z, y, k: spacelearn.subspaces(z, y_of(y), k, method="correlation"),
    "principal_directions": lambda z, y, k: spacelearn.principal_directions(z, y_of(y)),
    "fit_decoders": lambda z, y, k: subspaces.fit_decoders({"a": W}, z, y_of(y)),
    "fit_decoders of a basis": lambda z, y, k: subspaces.fit_decoders(
        {"a": z}, normal(0, N, D), {"a": normal(1, N, P)}
    ),
    "subspace_change": lambda z, y, k: subspaces.subspace_change(z, W),
    "encode": lambda z, y, k: SPACE.encode(z),
    "decode": lambda z, y, k: SPACE.decode(z),
    "edit": lambda z, y, k: SPACE.edit(z, y_of(y)),
    "erase": lambda z, y, k: SPACE.erase(z, ["a"]),
    "erase by name": lambda z, y, k: SPACE.erase(normal(0, N, D), k),
    "free": lambda z, y, k: SPACE.free(z),
    "project": lambda z, y, k: SPACE.project(z, "a"),
    "evaluate": lambda z, y, k: evaluation.evaluate(SPACE, z, {"a": y, "b": normal(2, N, 1)}).decoder_r2,
    "SpaceObjective": lambda z, y, k: objective(z, y),
    "SpaceObjective.solve": lambda z, y, k: guided.SpaceObjective({"a": 1}, D).solve(z, y_of(y)),
    "disentanglement_loss": lambda z, y, k: guided.losses.disentanglement_loss(z, {"a": W, "b": W}),
    "isotropy_loss": lambda z, y, k: guided.losses.isotropy_loss(z, {"a": W}, k),
    "stability_loss": lambda z, y, k: guided.losses.stability_loss({"a": z}, {"a": y}),
    "alignment_loss": lambda z, y, k: guided.losses.alignment_loss(z, {"a": W}, {"a": A}, y_of(y)),
    "combined_loss": lambda z, y, k: guided.losses.combined_loss(z, {"a": W}, {"a": A}, y_of(y)),
    "subspace_dims": lambda z, y, k: sizing.subspace_dims(y_of(y)),
    "subspace_dims of a threshold": lambda z, y, k: sizing.subspace_dims({"a": normal(0, N, D)}, threshold=k),
    "pooled_resolutions": lambda z, y, k: sizing.pooled_resolutions(y_of(y), max_n=k),
    "solve_dims": lambda z, y, k: sizing.solve_dims(y_of(y), max_n=4),
    "minimal_latent_dim": lambda z, y, k: sizing.minimal_latent_dim(k, Q=2),
    "pool": lambda z, y, k: quantities.pool(y, k),
    "EverySteps": lambda z, y, k: guided.EverySteps(k),
    "ExponentialSchedule": lambda z, y, k: guided.ExponentialSchedule(k),
    "mean": lambda z, y, k: symmetric.mean(z, REP),
    "var": lambda z, y, k: symmetric.var(z, REP, correction=k),
    "cov": lambda z, y, k: symmetric.cov(z, y, REP, REP),
    "lstsq": lambda z, y, k: symmetric.lstsq(z, y, REP, REP),
    "lstsq of a ridge": lambda z, y, k: symmetric.lstsq(normal(0, N, 6), normal(1, N, 6), REP, REP, ridge=k),
    "orbit": lambda z, y, k: symmetric.orbit(z, REP),
    "group_average": lambda z, y, k: symmetric.group_average(z, REP),
    "equivariant_projection": lambda z, y, k: symmetric.equivariant_projection(z, REP, REP),
    "multiples": lambda z, y, k: (REP * k).size,
    "principal_angles": lambda z, y, k: linalg.principal_angles(z, W),
    "singular_values": lambda z, y, k: util.singular_values(z),
    "orthonormal_rows": lambda z, y, k: linalg.orthonormal_rows(z),
    "orthogonal_complement": lambda z, y, k: linalg.orthogonal_complement(z),
    "gram_spectrum": lambda z, y, k: linalg.gram_spectrum(z),
}
OF_GROUPS = ("mean", "var", "cov", "lstsq", "orbit", "group_average")
PASSES_NAN = {
    "disentanglement_loss",
    "isotropy_loss",
    "stability_loss",
    "alignment_loss",
    "combined_loss",
    "pool",
}
"""Documented to let NaN and infinity through, since looking for them costs time in every step."""


def problem(name: str, kind_z: str, kind_y: str, k) -> str:
    """What is wrong with the outcome; empty where nothing is."""
    z = normal(0, N, 6 if name in OF_GROUPS else D)
    y = normal(1, *(z.shape if name in OF_GROUPS else (N, P)))
    z = normal(0, 6, 6) if name == "equivariant_projection" else z
    try:
        result = CALLS[name](KINDS[kind_z](z), KINDS[kind_y](y), k)
    except IsospanError:
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:80]}"
    kinds = {kind_z, kind_y}
    if name in PASSES_NAN and kinds & {"nan", "infinite", "huge"}:
        return ""
    found = torch.cat(
        [torch.zeros(1), *(tensor.detach().flatten().to_dense().double() for tensor in tensors_in(result))]
    )
    if kinds & {"huge", "tiny"}:  # what float64 cannot hold may be infinite
        return "NaN" if found.isnan().any() else ""
    return "" if found.isfinite().all() else "NaN or infinite"


@pytest.mark.parametrize("name", CALLS)
def test_each_bad_argument_beside_good_ones(name):
    arguments = (
        [(kind, "good", 1) for kind in KINDS]
        + [("good", kind, 1) for kind in KINDS]
        + [("good", "good", k) for k in COUNTS]
    )
    problems = {(z, y, str(k)): found for z, y, k in arguments if (found := problem(name, z, y, k))}
    assert not problems


kinds = st.sampled_from(list(KINDS))


@pytest.mark.parametrize("name", CALLS)
@given(kinds, kinds, st.sampled_from(COUNTS))
def test_several_bad_arguments(name, kind_z, kind_y, k):
    assert not problem(name, kind_z, kind_y, k)
