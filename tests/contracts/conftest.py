"""Every layer and model for every kind of group, in the basis that the group comes in and in a random one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from isospan import models, nn
from isospan.groups import SO2, SO3, AlternatingGroup, CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.nn._base.cached_weight import Freezes
from isospan.representations import Representation, change_of_basis, direct_sum
from isospan.testing import TOLERANCE

GROUPS = {
    "C4": CyclicGroup(4),
    "D6": DihedralGroup(6),
    "A4": AlternatingGroup(4),
    "Q8": QuaternionGroup(),
    "A5": IcosahedralGroup(),
    "SO2": SO2(),
    "SO3": SO3(),
}
TRACED_GROUPS = ("D6", "SO2")
"""Groups of the traced contracts in the default run, and of large networks; the slow run has all of the others."""


def some_irreps(group):
    """Two trivial copies, two of the largest irrep and one of the second; the sum, in a random basis, and plain."""
    irreps = group.irreps() if group.order() else group.irreps(2)
    plain = direct_sum([2 * irreps[0], irreps[1], 2 * irreps[-1]])
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(plain.size, plain.size)))[0]
    return change_of_basis(plain, Q)


def permuted(group):
    """The regular representation and a trivial one besides, so that there are two invariants."""
    return group.regular_representation + group.trivial_representation


BASES = {"random basis": some_irreps, "permuted": permuted}
REPS = {
    (name, basis): make(group)
    for name, group in GROUPS.items()
    for basis, make in BASES.items()
    if basis == "random basis" or group.order()
}

CHANNELS = -1
"""The place of the channels in a shape."""
VECTORS, SERIES, TOKENS = (CHANNELS,), (CHANNELS, 5), (5, CHANNELS)
"""Shapes of one sample: (C,), a time series (C, T) and a sequence (T, C)."""


def axis(shape):
    """The axis of the channels, from the end."""
    return shape.index(CHANNELS) - len(shape)


class Moments(torch.nn.Module):
    """The covariance of a Gaussian times its mean: a tensor, which tracing takes."""

    def __init__(self, rep, covariance):
        super().__init__()
        self.gaussian = nn.MultivariateNormal(rep, covariance)
        self.rep_in, self.rep_out = self.gaussian.rep_in, rep

    def forward(self, x: Tensor) -> Tensor:
        mean, L = self.gaussian.mean_and_scale_tril(x)
        return (L @ (L.mT @ mean.unsqueeze(-1))).squeeze(-1)


class Attention(Freezes):
    """The tensor that attention returns, of tokens and others or of tokens alone."""

    def __init__(self, rep):
        super().__init__()
        self.attention = nn.MultiheadAttention(2 * rep, num_heads=2)
        self.rep_in = self.rep_out = 2 * rep

    def forward(self, x: Tensor, others: Tensor | None = None) -> Tensor:
        others = x if others is None else others
        return self.attention(x, others, others, need_weights=False)[0]


@dataclass(frozen=True)
class Entry:
    """What is special about a layer or model.

    ``public`` is the class, and ``make`` makes one for a representation; by default the class itself does. It has an
    attribute ``rep_in``, and ``rep_out`` unless its output is invariant.
    """

    public: type
    make: Callable[[Representation], torch.nn.Module] | None = None
    shape: tuple[int, ...] = VECTORS
    shape_out: tuple[int, ...] | None = None  # that of the input; all that matters is where the channels are
    second: Callable[[torch.nn.Module], Representation] | None = None  # of a second input, as conditions are
    shape_second: tuple[int, ...] = VECTORS
    any_batch: bool = True  # takes any number of leading dimensions, also none
    tolerance: Callable[[str, torch.dtype], float] = lambda group, dtype: TOLERANCE[dtype]
    scale: float = 1.0  # of the data
    buffers: tuple[str, ...] = ()  # last names of those that the state holds besides parameters
    trains_otherwise: bool = False  # computes other things in training than in evaluation
    slow_to_trace: bool = False  # in the slow run alone, and for two groups
    has: Callable[[str, str], bool] = lambda group, basis: True  # which groups and bases it is for
    exports: Callable[[str], bool] = lambda group: True  # for which groups, if it has an ``export()``


def finite(group: str) -> bool:
    """Whether hidden layers are permutations: torch has no gates that learn of norms, nor invariants of vectors."""
    return GROUPS[group].order() is not None


LAYERS = {
    "Linear": Entry(nn.Linear, lambda rep: nn.Linear(rep, rep)),
    "IsotypicLinear": Entry(
        nn.Linear,
        lambda rep: nn.Linear(4 * rep, 4 * rep, kernel="isotypic"),
        has=lambda group, basis: group in ("D6", "Q8", "SO3") and basis == "random basis",
    ),
    "Conv1d": Entry(
        nn.Conv1d,
        lambda rep: nn.Conv1d(rep, rep, 3, padding=1, padding_mode="circular"),
        shape=SERIES,
        any_batch=False,
    ),
    "IsotypicConv1d": Entry(
        nn.Conv1d,
        lambda rep: nn.Conv1d(6 * rep, 6 * rep, 9, padding=4, kernel="isotypic"),
        shape=SERIES,
        any_batch=False,
        has=lambda group, basis: group == "A4" or (group, basis) == ("D6", "permuted"),
    ),
    "ConvTranspose1d": Entry(
        nn.ConvTranspose1d, lambda rep: nn.ConvTranspose1d(rep, rep, 3, stride=2), shape=SERIES, any_batch=False
    ),
    "ChangeOfBasis": Entry(nn.ChangeOfBasis),
    "IsotypicBasis": Entry(nn.IsotypicBasis, lambda rep: nn.IsotypicBasis(rep, learnable=True)),
    "IrrepNorm": Entry(nn.IrrepNorm),
    "IrrepInvariants": Entry(nn.IrrepInvariants),
    # log-variances are exponentiated
    "Gaussian": Entry(nn.MultivariateNormal, lambda rep: Moments(rep, "diagonal"), scale=0.3),
    # of A5 in the permutation basis it takes 1952 numbers
    "FullGaussian": Entry(
        nn.MultivariateNormal,
        lambda rep: Moments(rep, "full"),
        scale=0.3,
        has=lambda group, basis: (group, basis) != ("A5", "permuted"),
    ),
    "BatchNorm1d": Entry(
        nn.BatchNorm1d,
        any_batch=False,
        buffers=("running_mean", "running_var", "num_batches_tracked"),
        trains_otherwise=True,
    ),
    "LayerNorm": Entry(nn.LayerNorm),
    "RMSNorm": Entry(nn.RMSNorm),
    "Dropout": Entry(nn.Dropout, trains_otherwise=True),
    "Pointwise": Entry(
        nn.Pointwise, lambda rep: nn.Pointwise(rep, "SiLU"), has=lambda group, basis: basis == "permuted"
    ),
    "NormActivation": Entry(nn.NormActivation),
    "GatedActivation": Entry(nn.GatedActivation),
    # band-limited functions of Lie groups are sampled on a grid
    "FourierActivation": Entry(
        nn.FourierActivation,
        tolerance=lambda group, dtype: max(TOLERANCE[dtype], 1e-3 if GROUPS[group].order() is None else 0.0),
    ),
    "SelfAttention": Entry(nn.MultiheadAttention, Attention, shape=TOKENS),
    "CrossAttention": Entry(
        nn.MultiheadAttention,
        Attention,
        shape=TOKENS,
        second=lambda layer: layer.rep_in,
        shape_second=(7, CHANNELS),
        has=lambda group, basis: basis == "random basis",
    ),
    "PositionalEncoding": Entry(nn.PositionalEncoding, shape=TOKENS),
    "TimeDistributed": Entry(nn.TimeDistributed, lambda rep: nn.TimeDistributed(nn.NormActivation(rep)), shape=SERIES),
    "FiLM": Entry(nn.FiLM, lambda rep: nn.FiLM(rep, rep), second=lambda layer: layer.rep_cond),
    "FiLMOverTime": Entry(nn.FiLM, lambda rep: nn.FiLM(rep, rep), shape=SERIES, second=lambda layer: layer.rep_cond),
    "EMLP": Entry(models.EMLP, lambda rep: models.EMLP(rep, rep, hidden_units=(24, 24)), exports=finite),
    "IMLP": Entry(models.IMLP, lambda rep: models.IMLP(rep, 3, hidden_units=(24, 24)), exports=finite),
    "TransformerEncoderLayer": Entry(
        models.TransformerEncoderLayer,
        lambda rep: models.TransformerEncoderLayer(2 * rep, 2, dim_feedforward=24),
        shape=TOKENS,
        trains_otherwise=True,
        exports=finite,
    ),
    "TransformerEncoder": Entry(
        models.TransformerEncoder,
        lambda rep: models.TransformerEncoder(rep, rep, 24, nhead=2, num_layers=1, dim_feedforward=24),
        shape=TOKENS,
        trains_otherwise=True,
        exports=finite,
    ),
    # wide networks are computed in isotypic blocks
    "WideEMLP": Entry(
        models.EMLP,
        lambda rep: models.EMLP(rep, rep, hidden_units=(330, 330)),
        has=lambda group, basis: group in ("D6", "Q8") and basis == "random basis",
    ),
    "TemporalCNN": Entry(
        models.TemporalCNN,
        lambda rep: models.TemporalCNN(rep, rep, hidden_units=(8, 8), window=12),
        shape=(CHANNELS, 12),
        shape_out=VECTORS,
        any_batch=False,
        buffers=("running_mean", "running_var", "num_batches_tracked"),
        trains_otherwise=True,
        exports=finite,
    ),
    "UNet1d": Entry(
        models.UNet1d,
        lambda rep: models.UNet1d(rep, rep, rep, hidden_units=(8, 8), kernel_size=3, cond_units=8),
        # bfloat16 rounds what each of twenty layers gives
        tolerance=lambda group, dtype: (4 if dtype == torch.bfloat16 else 1) * TOLERANCE[dtype],
        shape=SERIES,
        second=lambda layer: layer.rep_cond,
        any_batch=False,
        slow_to_trace=True,
        has=lambda group, basis: basis == "random basis",
    ),
    # a single level is traced in a fraction of the time
    "ShallowUNet1d": Entry(
        models.UNet1d,
        lambda rep: models.UNet1d(rep, rep, rep, hidden_units=(8,), kernel_size=3, cond_units=8),
        shape=SERIES,
        second=lambda layer: layer.rep_cond,
        any_batch=False,
        has=lambda group, basis: basis == "random basis",
    ),
}


@dataclass(frozen=True)
class Case:
    """A layer and what it acts on."""

    name: str
    group: str
    basis: str

    def make(self) -> torch.nn.Module:
        torch.manual_seed(0)
        return (self.entry.make or self.entry.public)(self.rep)

    @property
    def entry(self) -> Entry:
        return LAYERS[self.name]

    @property
    def rep(self) -> Representation:
        return REPS[self.group, self.basis]

    def inputs(self, layer, *, samples=6, dtype=torch.float32) -> tuple[Tensor, ...]:
        """Values of all inputs."""
        generator = torch.Generator().manual_seed(1)
        return tuple(
            self.entry.scale
            * torch.randn(samples, *(rep.size if n == CHANNELS else n for n in shape), dtype=dtype, generator=generator)
            for rep, shape in self._spaces(layer)
        )

    def action(self, layer) -> dict:
        """How the group acts, as arguments of ``assert_equivariant``."""
        reps, shapes = zip(*self._spaces(layer), strict=True)
        return {
            "rep_in": reps,
            "rep_out": getattr(layer, "rep_out", None),
            "dim": [axis(shape) for shape in shapes],
            "dim_out": axis(self.entry.shape_out or self.entry.shape),
        }

    def _spaces(self, layer) -> list[tuple[Representation, tuple[int, ...]]]:
        first = (layer.rep_in, self.entry.shape)
        return [first] if self.entry.second is None else [first, (self.entry.second(layer), self.entry.shape_second)]

    def __str__(self):
        return f"{self.name}-{self.group}-{self.basis}"


CASES = [Case(name, *where) for name, entry in LAYERS.items() for where in REPS if entry.has(*where)]
ONE_BASIS = list({(case.name, case.group): case for case in reversed(CASES)}.values())[::-1]
"""Every layer for every group, in the random basis where it takes one."""
TRACED = [case for case in ONE_BASIS if case.group in TRACED_GROUPS or not case.entry.slow_to_trace]
"""Those that are traced: large networks for two groups alone, since small ones of their kind are for all."""
EXPORTED = [case for case in ONE_BASIS if hasattr(case.make(), "export") and case.entry.exports(case.group)]
"""Those that become a plain module of torch."""


def params(cases, fast):
    """All cases, of which those of other groups than ``fast`` are slow, and those of large networks."""
    slow = [case.group not in fast or case.entry.slow_to_trace for case in cases]
    return [
        pytest.param(case, id=str(case), marks=pytest.mark.slow if is_slow else ())
        for case, is_slow in zip(cases, slow, strict=True)
    ]
