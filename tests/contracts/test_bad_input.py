"""Every argument of every public function: what is none raises an error of isospan, and NumPy arrays are tensors."""

import copy
import inspect

import numpy as np
import pytest
import torch

from isospan import guided, linalg, moments, sizing, subspaces, symmetric
from isospan.compat.spacelearn import _solve as spacelearn
from isospan.compat.spacelearn import optim, util
from isospan.compat.spacelearn._space import Space
from isospan.compat.spacelearn.loss import disentanglement_loss_original
from isospan.errors import IsospanError
from isospan.groups import CyclicGroup
from isospan.guided import EveryEpochs, EverySteps, ExponentialSchedule, SpaceObjective
from isospan.moments import Moments
from isospan.subspaces import LatentSpace

NAN, N, D, P = float("nan"), 8, 4, 3
REP = CyclicGroup(4).regular_representation


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def without(bad, kind):
    return {other: value for other, value in bad.items() if other != kind}


def filled(value, *shape):
    return torch.full(shape, value, dtype=torch.float64)


Z, Y, W, A = (
    normal(0, N, D),
    {"a": normal(1, N, P)},
    {"a": torch.linalg.qr(normal(2, D, 2))[0].T},
    {"a": normal(3, 2, P)},
)
NO_TENSOR = {
    "none": None,
    "text": "x",
    "whole": 3,
    "fraction": 1.5,
    "bool": True,
    "nan": NAN,
    "list": [[1.0]],
    "integers": torch.ones(D, D).long(),
    "booleans": torch.ones(D, D).bool(),
    "complex": torch.ones(D, D) * 1j,
    "sparse": torch.eye(D).to_sparse(),
    "objects": np.array([[None]]),
}
NO_MATRIX = NO_TENSOR | {"scalar": torch.tensor(1.0), "vector": torch.ones(D)}
MATRIX = NO_MATRIX | {"NaN": filled(NAN, D, D), "infinite": filled(torch.inf, D, D)}
SQUARE = MATRIX | {"oblong": torch.ones(2, 3)}
NO_DICT = {"none": None, "text": "x", "whole": 3, "fraction": 1.5, "bool": True, "nan": NAN, "list": ["a"], "empty": {}}


def named(values, **more):
    """What is no dict, dicts of other names, and one of each bad value."""
    return NO_DICT | {
        "number": {1: 2},
        "other": {"b": 1},
        **{f"of {kind}": {"a": value} for kind, value in values.items()},
    }


LATENTS = NO_MATRIX | {"no samples": torch.ones(0, D), "no columns": torch.ones(N, 0)}
FINITE_LATENTS = LATENTS | {"NaN": filled(NAN, N, D)}
TARGETS = named(NO_TENSOR | {"scalar": torch.tensor(1.0), "short": torch.ones(N - 1, P)})
FINITE_TARGETS = TARGETS | {"NaN": {"a": filled(NAN, N, P)}}
BASES = named(NO_MATRIX | {"wide": torch.ones(2, D + 1), "no rows": torch.ones(0, D)})
FINITE_BASES = BASES | {"NaN": {"a": filled(NAN, 2, D)}}
LATENT = without(without(FINITE_LATENTS, "no samples"), "vector") | {"wide": torch.ones(N, D + 1)}
"""No latents (..., D)."""
TARGET = without(without(FINITE_TARGETS, "of whole"), "of fraction")
TARGET = without(TARGET, "of scalar")
"""No targets that broadcast to latents, which numbers do."""
SAMPLES = FINITE_LATENTS | {"wide": torch.ones(N, D + 1)}
NUMBER = {"none": None, "text": "x", "bool": True, "nan": NAN, "negative": -1, "complex": 1j, "tensor": torch.ones(2)}
COUNT = NUMBER | {"fraction": 1.5, "zero": 0, "infinite": torch.inf, "half": torch.tensor(1.5), "dict": {1: 2}}
FRACTION = NUMBER | {"zero": 0, "above 1": 1.5, "infinite": torch.inf}

FLAG = {"none": None, "text": "x", "whole": 3, "fraction": 1.5, "nan": NAN, "tensor": torch.ones(2)}
CHOICE = {"none": None, "text": "x", "whole": 3, "list": [1], "array": np.ones(2), "tensor": torch.ones(2)}
K = COUNT | {"other": {"b": 1}, "zero of one": {"a": 0}, "number": {1: 2}}
REPRESENTATION = {"none": None, "text": "x", "whole": 3, "nan": NAN, "tensor": torch.eye(D)}
DEVICE = {"text": "x", "fraction": 1.5, "list": [1]}
DTYPE = {"none": None, "text": "x", "whole": 3, "integers": torch.int64}
MOMENTS = {"none": None, "text": "x", "whole": 3, "nan": NAN, "tensor": Z, "dict": {}}
SHAPES = NO_DICT | {
    "other": {"b": (P,)},
    "number": {"a": 3},
    "text of one": {"a": "x"},
    "sizes": {"a": (-1, -3)},
    "P": {"a": (9,)},
}
PREVIOUS = without(FINITE_BASES, "none") | {"rows": {"a": torch.eye(D)}}
CLASSES = without(named(without(COUNT, "none") | {"one": 1}), "none")
CLASSES = without(CLASSES, "empty")
WEIGHTS = {
    "text": "x",
    "negative": filled(-1.0, N),
    "NaN": filled(NAN, N),
    "long": torch.ones(N + 1),
    "complex": torch.ones(N) * 1j,
}
SOLVER = {
    "k": K,
    "method": CHOICE,
    "orthogonal": FLAG,
    "separation": NUMBER | {"alone": 1.0},
    "previous": PREVIOUS,
    "ridge": NUMBER,
}
PARTIAL = {"missing": "raise", "classes": None, "weights": None}
NO_PARTIAL = {"missing": CHOICE, "classes": CLASSES, "weights": WEIGHTS}
SOLVE = {
    "k": 2,
    "method": "regression",
    "orthogonal": False,
    "separation": 0.0,
    "previous": None,
    "ridge": 0.1,
}
QUANTITIES = named(NO_TENSOR | {"scalar": torch.tensor(1.0), "NaN": filled(NAN, N, P), "one sample": torch.ones(1, P)})
BATCHES = NO_DICT | {"numbers": [3], "pairs of none": [(None, None)], "triples": [(1, 2, 3)], "texts": ["ab"]}

seen = lambda: Moments.of(Z, Y)  # noqa: E731
space = lambda: subspaces.solve_from_moments(seen(), k=1)  # noqa: E731
objective = lambda: SpaceObjective({"a": 1}, D, schedule=EverySteps(1))  # noqa: E731
KEEP = without(NO_DICT, "empty") | {"edited": ["a"], "other": ["b"]}
FIELDS = ("W", "A", "z_mean", "y_mean", "y_scale", "shapes", "cov_zz", "residual_std", "scores", "n_samples", "classes")


def fields():
    held = space()
    return {name: getattr(held, name) for name in FIELDS}


solved = lambda: spacelearn.solve_from_moments(seen(), 2)  # noqa: E731
LOSS = {"z": LATENTS, "W": BASES, "A": named(NO_MATRIX | {"tall": torch.ones(D, P)}), "y": TARGETS}
DECODERS = named(NO_MATRIX | {"tall": torch.ones(D, P), "NaN": filled(NAN, 1, P)})

# a name, a function, good arguments (made anew for each call), and what is bad for each of them
CASES = {
    "linalg.add_gram_": (linalg.add_gram_, lambda: {"G": filled(0.0, D, D), "x": Z}, {"G": NO_MATRIX, "x": NO_MATRIX}),
    "linalg.complete_rows": (
        linalg.complete_rows,
        lambda: {"W": W["a"], "k": 3},
        {"W": MATRIX, "k": without(COUNT, "zero") | {"above D": D + 1}},
    ),
    "linalg.eigh": (linalg.eigh, lambda: {"G": Z.T @ Z, "upper": True}, {"G": SQUARE, "upper": FLAG}),
    "linalg.fix_signs": (linalg.fix_signs, lambda: {"W": Z}, {"W": MATRIX}),
    "linalg.gram_spectrum": (linalg.gram_spectrum, lambda: {"x": Z}, {"x": MATRIX}),
    "linalg.grassmann_distance": (
        linalg.grassmann_distance,
        lambda: {"W1": W["a"], "W2": W["a"]},
        {"W1": MATRIX, "W2": MATRIX},
    ),
    "linalg.matrix_exp": (linalg.matrix_exp, lambda: {"X": Z[:D]}, {"X": NO_MATRIX | {"oblong": torch.ones(2, 3)}}),
    "linalg.mirror_": (
        linalg.mirror_,
        lambda: {"G": Z[:D].clone()},
        {"G": {"none": None, "text": "x", "whole": 3, "vector": torch.ones(D), "oblong": torch.ones(2, 3)}},
    ),
    "linalg.nearest_frame": (linalg.nearest_frame, lambda: {"M": W["a"]}, {"M": MATRIX | {"tall": Z}}),
    "linalg.nested_frame": (linalg.nested_frame, lambda: {"W": W["a"]}, {"W": MATRIX | {"tall": Z}}),
    "linalg.orthogonal_complement": (
        linalg.orthogonal_complement,
        lambda: {"W": W["a"], "rank": 2},
        {"W": MATRIX, "rank": without(COUNT, "none") | {"above k": 3}},
    ),
    "linalg.orthonormal_rows": (linalg.orthonormal_rows, lambda: {"W": W["a"]}, {"W": MATRIX}),
    "linalg.pinv": (
        linalg.pinv,
        lambda: {"A": Z.T @ Z, "atol": 0.0, "rtol": 0.0, "hermitian": True},
        {"A": SQUARE, "atol": without(NUMBER, "none"), "rtol": without(NUMBER, "none"), "hermitian": FLAG},
    ),
    "linalg.power_of_two": (
        linalg.power_of_two,
        lambda: {"x": Z, "dim": (0,)},
        {
            "x": NO_TENSOR | {"scalar": torch.tensor(1.0), "empty": torch.ones(0, 2)},
            "dim": {"none": None, "text": "x", "whole": 3, "large": (5,), "texts": ("x",)},
        },
    ),
    "linalg.principal_angles": (
        linalg.principal_angles,
        lambda: {"W1": W["a"], "W2": W["a"]},
        {"W1": MATRIX, "W2": MATRIX},
    ),
    "linalg.procrustes_rotation": (
        linalg.procrustes_rotation,
        lambda: {"W": W["a"], "W_previous": W["a"].flip(0)},
        {"W": MATRIX, "W_previous": MATRIX},
    ),
    "linalg.qr": (linalg.qr, lambda: {"A": Z, "complete": False}, {"A": MATRIX, "complete": FLAG}),
    "linalg.solve_gram": (
        linalg.solve_gram,
        lambda: {"G": Z.T @ Z, "C": Z.T, "ridge": 0.1},
        {"G": SQUARE | {"large": torch.eye(9)}, "C": MATRIX | {"tall": torch.ones(9, P)}, "ridge": NUMBER},
    ),
    "linalg.svd": (linalg.svd, lambda: {"A": Z, "full_matrices": False}, {"A": MATRIX, "full_matrices": FLAG}),
    "linalg.svdvals": (linalg.svdvals, lambda: {"A": Z}, {"A": MATRIX}),
    "linalg.symmetric_spectrum": (linalg.symmetric_spectrum, lambda: {"G": Z.T @ Z}, {"G": SQUARE}),
    "linalg.top_left_singular": (
        linalg.top_left_singular,
        lambda: {"C": Z, "k": 1},
        {"C": MATRIX, "k": COUNT | {"large": D + 1}},
    ),
    "moments.Moments": (
        Moments,
        lambda: {
            "latent_dim": D,
            "target_dims": {"a": P},
            "target_covariance": False,
            "missing": "raise",
            "device": "cpu",
        },
        {
            "latent_dim": COUNT,
            "target_dims": without(named(COUNT), "other"),
            "target_covariance": FLAG,
            "missing": CHOICE,
            "device": DEVICE,
        },
    ),
    "moments.Moments.of": (
        Moments.of,
        lambda: {"z": Z, "y": Y, "target_covariance": False, "precision": torch.float64} | PARTIAL,
        {"z": FINITE_LATENTS, "y": FINITE_TARGETS, "target_covariance": FLAG, "precision": DTYPE} | NO_PARTIAL,
    ),
    "moments.Moments.of_batches": (
        Moments.of_batches,
        lambda: {"batches": [(Z, Y)], "target_covariance": False},
        {"batches": BATCHES, "target_covariance": FLAG},
    ),
    "moments.Moments.update": (
        lambda z, y: seen().update(z, y),
        lambda: {"z": Z, "y": Y},
        {"z": FINITE_LATENTS, "y": FINITE_TARGETS},
    ),
    "moments.Moments.merge": (
        lambda other: seen().merge(other),
        lambda: {"other": seen()},
        {"other": MOMENTS | {"sizes": Moments(D, {"a": 1})}},
    ),
    "moments.Moments.decay_": (
        lambda factor: seen().decay_(factor),
        lambda: {"factor": 0.5},
        {"factor": NUMBER | {"above 1": 1.5}},
    ),
    "moments.Moments.all_reduce_": (
        lambda group: seen().all_reduce_(group),
        lambda: {"group": None},
        {"group": {"text": "x", "whole": 3}},
    ),
    "moments.Moments.scaled": (
        lambda factors, shift: seen().scaled(factors, shift=shift),
        lambda: {"factors": {"a": torch.ones(P)}, "shift": {"a": torch.ones(())}},
        {
            "factors": named(NO_TENSOR | {"long": torch.ones(9), "NaN": filled(NAN, P)}),
            "shift": without(named(NO_TENSOR | {"NaN": filled(NAN, P)}), "none"),
        },
    ),
    "moments.Moments.split": (
        lambda stacked: seen().split(stacked),
        lambda: {"stacked": torch.ones(2, P)},
        {"stacked": {"none": None, "text": "x", "whole": 3, "scalar": torch.tensor(1.0), "long": torch.ones(9)}},
    ),
    "moments.Moments.load_state_dict": (
        lambda state_dict: seen().load_state_dict(state_dict),
        lambda: {"state_dict": seen().state_dict()},
        {"state_dict": NO_DICT | {"NaN": seen().state_dict() | {"scatter_zz": filled(NAN, D, D)}}},
    ),
    "moments.merged": (
        moments.merged,
        lambda: {"parts": [seen(), seen()]},
        {"parts": {"none": None, "text": "x", "whole": 3, "empty": [], "numbers": [1, 2]}},
    ),
    "sizing.pooled_resolutions": (
        sizing.pooled_resolutions,
        lambda: {"y": Y, "max_n": 4, "threshold": 0.9, "per_quantity": True},
        {
            "y": QUANTITIES,
            "max_n": COUNT | {"one": 1},
            "threshold": FRACTION | {"other": {"b": 0.5}, "text of one": {"a": "x"}},
            "per_quantity": FLAG,
        },
    ),
    "sizing.subspace_dims": (
        sizing.subspace_dims,
        lambda: {"y": Y, "threshold": 0.9, "per_quantity": True},
        {"y": QUANTITIES, "threshold": FRACTION | {"mixed": {"b": 0.5, 1: 0.5}}, "per_quantity": FLAG},
    ),
    "sizing.solve_dims": (
        sizing.solve_dims,
        lambda: {
            "y": Y,
            "n_threshold": 0.9,
            "k_threshold": 0.9,
            "max_n": 4,
            "mode": "avg",
            "n_per_quantity": True,
            "k_per_quantity": True,
        },
        {
            "y": QUANTITIES,
            "n_threshold": FRACTION,
            "k_threshold": FRACTION,
            "max_n": COUNT,
            "mode": CHOICE,
            "n_per_quantity": FLAG,
            "k_per_quantity": FLAG,
        },
    ),
    "sizing.threshold_sweep": (
        sizing.threshold_sweep,
        lambda: {
            "y": Y,
            "n_thresholds": [0.9],
            "k_thresholds": [0.9],
            "max_n": 4,
            "mode": "avg",
            "n_per_quantity": True,
            "free_frac": 0.3,
            "num_heads": 2,
        },
        {
            "y": QUANTITIES,
            "n_thresholds": without(FRACTION, "tensor") | {"number": 0.9, "empty": [], "texts": ["x"]},
            "k_thresholds": without(FRACTION, "tensor") | {"number": 0.9, "empty": []},
            "max_n": COUNT,
            "mode": CHOICE,
            "n_per_quantity": FLAG,
            "free_frac": NUMBER | {"one": 1},
            "num_heads": without(COUNT, "none"),
        },
    ),
    "sizing.minimal_latent_dim": (
        sizing.minimal_latent_dim,
        lambda: {"k": 2, "Q": 2, "free_frac": 0.3, "num_heads": 2},
        {"k": COUNT, "Q": COUNT, "free_frac": NUMBER | {"one": 1}, "num_heads": without(COUNT, "none")},
    ),
    **{
        f"spacelearn.{routine.__name__}": (routine, lambda: {"A": Z}, {"A": MATRIX})
        for routine in (util.full, util.left, util.right, util.singular_values)
    },
    "spacelearn.optimal_bins": (
        optim.optimal_bins,
        lambda: {
            "pooled_targets_coarse": Y,
            "max_bins": 4,
            "variance_threshold": 0.9,
            "default_threshold": None,
            "per_quantity": True,
        },
        {
            "pooled_targets_coarse": QUANTITIES,
            "max_bins": COUNT | {"one": 1},
            "variance_threshold": FRACTION | {"other": {"b": 0.5}, "text of one": {"a": "x"}},
            "per_quantity": FLAG,
        },
    ),
    "spacelearn.k_per_q": (
        optim.k_per_q,
        lambda: {"pooled_global": Y, "threshold": {}, "default_threshold": 0.9, "per_quantity": True},
        {
            "pooled_global": QUANTITIES,
            "threshold": FRACTION | {"mixed": {"b": 0.5, 1: 0.5}},
            "default_threshold": without(FRACTION, "none"),
            "per_quantity": FLAG,
        },
    ),
    "spacelearn.Space": (
        Space,
        lambda: {"W": W, "A": A, "V": {"a": torch.ones(P)}},
        {
            "W": without(BASES, "of wide"),
            "A": named(NO_MATRIX | {"tall": torch.ones(D, P)}),
            "V": named(NO_TENSOR | {"long": torch.ones(9)}),
        },
    ),
    "spacelearn.Space.to": (
        lambda target: solved().to(target),
        lambda: {"target": torch.float32},
        {"target": {"none": None, "text": "x", "fraction": 1.5, "integers": torch.int64}},
    ),
    "subspaces.LatentSpace": (
        LatentSpace,
        fields,
        {
            "W": FINITE_BASES,
            "A": DECODERS,
            "z_mean": NO_TENSOR | {"scalar": torch.tensor(1.0), "long": torch.ones(9), "NaN": filled(NAN, D)},
            "y_mean": named(NO_TENSOR | {"long": torch.ones(9), "NaN": filled(NAN, P)}),
            "y_scale": named(NO_TENSOR | {"long": torch.ones(9), "NaN": filled(NAN)}),
            "shapes": SHAPES,
            "cov_zz": without(NO_MATRIX, "none") | {"large": torch.eye(9), "NaN": filled(NAN, D, D)},
            "residual_std": without(named(NO_TENSOR | {"long": torch.ones(9), "NaN": filled(NAN, P)}), "none"),
            "scores": without(named(NO_TENSOR | {"vector": torch.ones(9), "NaN": filled(NAN, 1, P)}), "none"),
            "n_samples": without(named({"none": None, "text": "x", "zero": 0, "nan": NAN}), "none"),
            "classes": CLASSES,
        },
    ),
    "subspaces.LatentSpace.encode": (lambda z: space().encode(z), lambda: {"z": Z}, {"z": LATENT}),
    "subspaces.LatentSpace.decode": (lambda z: space().decode(z), lambda: {"z": Z}, {"z": LATENT}),
    "subspaces.LatentSpace.edit": (
        lambda z, y, keep, metric: space().edit(z, y=y, keep=keep, metric=metric),
        lambda: {"z": Z, "y": Y, "keep": "others", "metric": "covariance"},
        {"z": LATENT, "y": TARGET, "keep": KEEP, "metric": CHOICE},
    ),
    "subspaces.LatentSpace.editor": (
        lambda names, keep, metric, z, y: space().editor(names, keep=keep, metric=metric)(z, y),
        lambda: {"names": ["a"], "keep": (), "metric": "joint", "z": Z, "y": Y},
        {"names": without(NO_DICT, "list"), "keep": KEEP, "metric": CHOICE, "z": LATENT, "y": TARGET},
    ),
    "subspaces.eraser": (
        lambda moments, names, keep, z: subspaces.eraser(moments, names, keep=keep)(z),
        lambda: {"moments": seen(), "names": ["a"], "keep": (), "z": Z},
        {
            "moments": MOMENTS,
            "names": without(NO_DICT, "list"),
            "keep": KEEP | without(without(FINITE_BASES, "empty"), "list"),
            "z": LATENT,
        },
    ),
    "subspaces.LatentSpace.erase": (
        lambda z, names: space().erase(z, names),
        lambda: {"z": Z, "names": ["a"]},
        {"z": {"none": None, "wide": torch.ones(N, 9)}, "names": without(NO_DICT, "list")},
    ),
    "subspaces.LatentSpace.free": (
        lambda z: space().free(z),
        lambda: {"z": Z},
        {"z": {"none": None, "wide": torch.ones(N, 9)}},
    ),
    "subspaces.LatentSpace.project": (
        lambda z, name: space().project(z, name),
        lambda: {"z": Z, "name": "a"},
        {"z": {"none": None, "wide": torch.ones(N, 9)}, "name": NO_DICT},
    ),
    "subspaces.LatentSpace.check_width": (
        lambda z: space().check_width(z),
        lambda: {"z": Z},
        {"z": LATENT},
    ),
    "subspaces.LatentSpace.to": (
        lambda device, dtype: space().to(device=device, dtype=dtype),
        lambda: {"device": "cpu", "dtype": torch.float32},
        {"device": DEVICE, "dtype": without(DTYPE, "none")},
    ),
    "subspaces.LatentSpace.save": (
        lambda path: space().save(path),
        dict,
        {"path": {"none": None, "whole": 3, "fraction": 1.5}},
    ),
    "subspaces.LatentSpace.load": (LatentSpace.load, dict, {"path": {"none": None, "fraction": 1.5, "tensor": Z}}),
    "subspaces.decoders_from_moments": (
        subspaces.decoders_from_moments,
        lambda: {"moments": seen(), "W": W, "ridge": 0.0},
        {"moments": MOMENTS, "W": FINITE_BASES, "ridge": NUMBER},
    ),
    "subspaces.fit_decoders": (
        subspaces.fit_decoders,
        lambda: {"W": W, "z": Z, "y": Y, "ridge": 0.0},
        {"W": FINITE_BASES, "z": FINITE_LATENTS, "y": FINITE_TARGETS, "ridge": NUMBER},
    ),
    "spacelearn.principal_directions": (
        spacelearn.principal_directions,
        lambda: {"z": Z, "pooled_targets": Y},
        {"z": FINITE_LATENTS, "pooled_targets": FINITE_TARGETS},
    ),
    "spacelearn.solve_from_moments": (
        spacelearn.solve_from_moments,
        lambda: {"moments": seen()} | SOLVE,
        {"moments": MOMENTS} | SOLVER | {"k": without(K, "none")},
    ),
    "subspaces.solve_subspaces": (
        subspaces.solve_subspaces,
        lambda: {"z": Z, "y": Y} | SOLVE | PARTIAL,
        {"z": FINITE_LATENTS, "y": FINITE_TARGETS}
        | SOLVER
        | NO_PARTIAL
        | {"k": without(K, "none"), "separation": without(NUMBER, "none")},
    ),
    "spacelearn.solve_subspaces": (
        spacelearn.solve_subspaces,
        lambda: {"Z": Z, "Y": Y} | SOLVE,
        {"Z": FINITE_LATENTS, "Y": FINITE_TARGETS} | SOLVER | {"k": without(K, "none")},
    ),
    "spacelearn.subspaces": (
        spacelearn.subspaces,
        lambda: {"Z": Z, "pooled_global": Y} | SOLVE,
        {"Z": FINITE_LATENTS, "pooled_global": FINITE_TARGETS} | SOLVER | {"k": without(K, "none")},
    ),
    "subspaces.solve_from_moments": (
        subspaces.solve_from_moments,
        lambda: {
            "moments": seen(),
            "k": 2,
            "shapes": None,
            "method": "regression",
            "orthogonal": False,
            "separation": 0.0,
            "previous": None,
            "ridge": 0.1,
            "classes": None,
        },
        {"moments": MOMENTS, "shapes": without(SHAPES, "none"), "classes": CLASSES}
        | SOLVER
        | {"k": without(K, "none"), "separation": without(NUMBER, "none")},
    ),
    "subspaces.subspace_change": (
        subspaces.subspace_change,
        lambda: {"W_old": W["a"], "W_new": W["a"]},
        {"W_old": MATRIX, "W_new": MATRIX},
    ),
    "symmetric.cov": (
        symmetric.cov,
        lambda: {"x": Z, "y": Z, "rep_x": REP, "rep_y": REP, "correction": 1},
        {
            "x": SAMPLES,
            "y": SAMPLES,
            "rep_x": REPRESENTATION,
            "rep_y": REPRESENTATION,
            "correction": NUMBER | {"large": N},
        },
    ),
    "symmetric.equivariant_projection": (
        symmetric.equivariant_projection,
        lambda: {"A": Z[:D], "rep_x": REP, "rep_y": REP},
        {"A": MATRIX | {"oblong": torch.ones(2, 3)}, "rep_x": REPRESENTATION, "rep_y": REPRESENTATION},
    ),
    "symmetric.invariant_projector": (
        symmetric.invariant_projector,
        lambda: {"rep": REP, "dtype": torch.float64, "device": "cpu"},
        {"rep": REPRESENTATION, "dtype": DTYPE, "device": DEVICE},
    ),
    "symmetric.irrep_coordinates": (
        symmetric.irrep_coordinates,
        lambda: {"x": Z, "rep_x": 4 * CyclicGroup(4).trivial_representation},
        {"x": SAMPLES, "rep_x": REPRESENTATION},
    ),
    "symmetric.lstsq": (
        symmetric.lstsq,
        lambda: {"x": Z, "y": Z, "rep_x": REP, "rep_y": REP, "ridge": 0.1, "rcond": 0.1},
        {
            "x": SAMPLES,
            "y": SAMPLES,
            "rep_x": REPRESENTATION,
            "rep_y": REPRESENTATION,
            "ridge": NUMBER,
            "rcond": without(NUMBER, "none") | {"one": 1},
        },
    ),
    "symmetric.mean": (symmetric.mean, lambda: {"x": Z, "rep_x": REP}, {"x": SAMPLES, "rep_x": REPRESENTATION}),
    "symmetric.orbit": (
        symmetric.orbit,
        lambda: {"x": Z, "rep": REP},
        {"x": NO_TENSOR | {"NaN": filled(NAN, D), "wide": torch.ones(N, 9)}, "rep": REPRESENTATION},
    ),
    "symmetric.group_average": (
        symmetric.group_average,
        lambda: {"x": Z, "rep": REP},
        {"x": NO_TENSOR | {"NaN": filled(NAN, D), "wide": torch.ones(N, 9)}, "rep": REPRESENTATION},
    ),
    "symmetric.var": (
        symmetric.var,
        lambda: {"x": Z, "rep_x": REP, "correction": 1},
        {"x": SAMPLES, "rep_x": REPRESENTATION, "correction": NUMBER | {"large": N}},
    ),
    "symmetric.var_mean": (
        symmetric.var_mean,
        lambda: {"x": Z, "rep_x": REP, "correction": 1},
        {"x": SAMPLES, "rep_x": REPRESENTATION, "correction": NUMBER},
    ),
    "guided.SpaceObjective": (
        SpaceObjective,
        lambda: {
            "k": {"a": 1},
            "latent_dim": D,
            "shapes": {"a": (P,)},
            "schedule": EverySteps(1),
            "method": "regression",
            "orthogonal": False,
            "separation": 0.0,
            "decoders": "refit",
            "weights": {"alignment": 1.0},
            "strength": 0.3,
            "memory": 80,
            "ridge": 0.1,
            "missing": "raise",
            "classes": None,
            "process_group": None,
        },
        {
            "k": NO_DICT
            | {
                "number": {1: 2},
                "zero": {"a": 0},
                "text of one": {"a": "x"},
                "large": {"a": 9},
                "reserved": {"free": 1},
            },
            "latent_dim": COUNT,
            "shapes": without(without(SHAPES, "P"), "none"),
            "schedule": {"text": "x", "whole": 3, "class": EverySteps},
            "method": CHOICE,
            "orthogonal": FLAG,
            "separation": without(NUMBER, "none") | {"alone": 1.0},
            "decoders": CHOICE,
            "weights": {
                "text": "x",
                "list": ["alignment"],
                "other": {"x": 1},
                "text of one": {"alignment": "x"},
                "negative": {"alignment": -1},
            },
            "strength": without(NUMBER, "none"),
            "memory": without(COUNT, "none") | {"small": 7},
            "ridge": NUMBER,
            "missing": CHOICE,
            "classes": CLASSES,
            "process_group": {"text": "x", "whole": 3},
        },
    ),
    "guided.SpaceObjective.forward": (
        lambda z, y: objective()(z, y),
        lambda: {"z": Z, "y": Y},
        {"z": FINITE_LATENTS | {"wide": torch.ones(N, 9)}, "y": FINITE_TARGETS},
    ),
    "guided.SpaceObjective.solve": (
        lambda z, y: objective().solve(z, y),
        lambda: {"z": Z, "y": Y},
        {"z": FINITE_LATENTS | {"wide": torch.ones(N, 9)}, "y": FINITE_TARGETS},
    ),
    "guided.SpaceObjective.total": (
        lambda task_loss, z, y, to_latents: objective().total_loss(task_loss, z, y, to_latents=to_latents),
        lambda: {"task_loss": torch.tensor(1.0), "z": Z, "y": Y, "to_latents": None},
        {
            "task_loss": NO_TENSOR | {"vector": torch.ones(3)},
            "z": FINITE_LATENTS,
            "y": FINITE_TARGETS,
            "to_latents": {"text": "x", "whole": 3, "to none": lambda z: None},
        },
    ),
    "guided.SpaceObjective.load_state_dict": (
        lambda state_dict: objective().load_state_dict(state_dict),
        lambda: {"state_dict": objective().state_dict()},
        {"state_dict": NO_DICT},
    ),
    "guided.SubspaceMonitor.update": (
        lambda objective: guided.SubspaceMonitor().update(objective),
        lambda: {"objective": objective()},
        {"objective": MOMENTS},
    ),
    "guided.SubspaceMonitor.angles": (
        lambda to: guided.SubspaceMonitor().angles(to),
        lambda: {"to": lambda i: i},
        {"to": {"none": None, "text": "x", "whole": 3}},
    ),
    "guided.SubspaceMonitor.load_state_dict": (
        lambda state: guided.SubspaceMonitor().load_state_dict(state),
        lambda: {"state": guided.SubspaceMonitor().state_dict()},
        {"state": NO_DICT | {"numbers": {"rows": 1, "bases": 2, "seen": 3}}},
    ),
    "guided.ExponentialSchedule": (
        ExponentialSchedule,
        lambda: {"first": 5, "growth": 1.5},
        {"first": NUMBER | {"zero": 0, "infinite": torch.inf}, "growth": NUMBER | {"one": 1, "infinite": torch.inf}},
    ),
    "guided.EverySteps": (EverySteps, lambda: {"n": 2}, {"n": COUNT}),
    "guided.EveryEpochs": (EveryEpochs, lambda: {"n": 2}, {"n": COUNT}),
    "guided.EverySteps.due_at_step": (EverySteps(2).due_at_step, lambda: {"step": 2}, {"step": NUMBER}),
    "guided.EveryEpochs.due_at_epoch": (EveryEpochs(2).due_at_epoch, lambda: {"epoch": 2}, {"epoch": NUMBER}),
    "guided.ExponentialSchedule.due_at_step": (
        ExponentialSchedule().due_at_step,
        lambda: {"step": 2},
        {"step": NUMBER},
    ),
    "guided.losses.alignment_loss": (guided.losses.alignment_loss, lambda: {"z": Z, "W": W, "A": A, "y": Y}, LOSS),
    "guided.losses.combined_loss": (
        guided.losses.combined_loss,
        lambda: {
            "z": Z,
            "W": W,
            "A": A,
            "y": Y,
            "W_prev": W,
            "n_dir": 2,
            "weights": None,
            "isotropy": "singular",
            "unbiased": False,
            "metric": "frobenius",
            "global_moments": None,
            "return_terms": False,
        },
        LOSS
        | {
            "W_prev": without(BASES, "none"),
            "n_dir": COUNT,
            "weights": {
                "text": "x",
                "list": ["alignment"],
                "other": {"x": 1},
                "text of one": {"alignment": "x"},
                "complex": {"alignment": 1j},
            },
            "isotropy": CHOICE,
            "unbiased": FLAG,
            "metric": CHOICE,
            "global_moments": without(MOMENTS, "none") | {"sizes": Moments(D, {"a": 1})},
            "return_terms": FLAG,
        },
    ),
    "guided.losses.disentanglement_loss": (
        guided.losses.disentanglement_loss,
        lambda: {"z": Z, "W": W, "unbiased": True},
        {"z": LATENTS, "W": BASES, "unbiased": FLAG},
    ),
    "spacelearn.disentanglement_loss_original": (
        disentanglement_loss_original,
        lambda: {"Z": Z, "W": W},
        {"Z": LATENTS, "W": BASES},
    ),
    "guided.losses.isotropy_loss": (
        guided.losses.isotropy_loss,
        lambda: {"z": Z, "W": W, "n_dir": 2, "spectrum": "singular"},
        {"z": LATENTS, "W": BASES, "n_dir": COUNT, "spectrum": CHOICE},
    ),
    "guided.losses.stability_loss": (
        guided.losses.stability_loss,
        lambda: {"W": W, "W_prev": W, "metric": "frobenius"},
        {"W": without(BASES, "of wide"), "W_prev": without(BASES, "none"), "metric": CHOICE},
    ),
}
ELSEWHERE = {  # types, or of tensors that moments hold
    *("guided.Schedule", "guided.SubspaceMonitor", "sizing.ThresholdSweep", "subspaces.Method", "subspaces.Metric"),
    *("subspaces.Editor", "subspaces.Eraser"),
    *("moments.check_moments", "moments.sum_over_ranks_", "moments.varies", "moments.Rows", "moments.add_weighted_"),
    *("moments.decay_", "moments.filled", "moments.merge_", "moments.present", "moments.sum_states_"),
    "guided.EditLoss",
}


@pytest.mark.parametrize("name", CASES)
def test_each_bad_argument_raises_an_error_of_isospan(name):
    call, good, bad = CASES[name]
    raw = {}
    for argument, values in bad.items():
        for kind, value in values.items():
            try:
                call(**good() | {argument: value})
            except IsospanError:
                continue
            except Exception as error:
                raw[argument, kind] = f"{type(error).__name__}: {str(error)[:100]}"
            else:
                raw[argument, kind] = "accepted"
    assert not raw


def test_every_public_name_and_argument_is_in_the_table():
    missing = []
    for package in (linalg, moments, sizing, subspaces, symmetric, guided, guided.losses):
        for name in package.__all__:
            full_name = f"{package.__name__.removeprefix('isospan.')}.{name}"
            if full_name in ELSEWHERE:
                continue
            if full_name not in CASES:
                missing.append(full_name)
                continue
            parameters = set(inspect.signature(getattr(package, name)).parameters)
            missing += [(full_name, argument) for argument in parameters - CASES[full_name][2].keys()]
    assert not missing


def as_arrays(value):
    if isinstance(value, torch.Tensor):
        return value.numpy()
    return {name: as_arrays(x) for name, x in value.items()} if isinstance(value, dict) else value


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Moments):
        return list(value.buffers())
    if isinstance(value, LatentSpace):
        return tensors_in(vars(value))
    if isinstance(value, dict | Space):
        return [tensor for part in value.values() for tensor in tensors_in(part)]
    return [tensor for part in value for tensor in tensors_in(part)] if isinstance(value, tuple | list) else []


IN_PLACE_OR_STATES = ("linalg.add_gram_", "linalg.mirror_", "moments.Moments.split")


@pytest.mark.parametrize(
    "name", [name for name in CASES if name not in IN_PLACE_OR_STATES and "state_dict" not in name]
)
def test_numpy_arrays_work_where_tensors_do(name):
    call, good, _ = CASES[name]
    arguments = good()
    if not tensors_in(arguments):
        pytest.skip("takes no tensor")
    expected, got = (tensors_in(call(**a)) for a in (copy.deepcopy(arguments), as_arrays(arguments)))
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
