"""Every layer for every kind of group, in the basis that the group comes in and in a random one."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from isospan import nn
from isospan.groups import SO2, SO3, AlternatingGroup, CyclicGroup, DihedralGroup, IcosahedralGroup, QuaternionGroup
from isospan.representations import Representation, conjugate_by, directsum

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
"""Groups of the traced contracts in the default run; the slow run has all."""


def some_irreps(group):
    """Two trivial copies, two of the largest irrep and one of the second; the sum, in a random basis, and plain."""
    irreps = group.irreps() if group.order() else group.irreps(2)
    plain = directsum([2 * irreps[0], irreps[1], 2 * irreps[-1]])
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(plain.size, plain.size)))[0]
    return conjugate_by(plain, Q)


def permuted(group):
    """The regular representation and a trivial one besides, so that there are two invariants."""
    return group.regular_representation + group.trivial_representation


BASES = {"turned": some_irreps, "permuted": permuted}


class Moments(torch.nn.Module):
    """The covariance of a Gaussian times its mean: a tensor, which tracing takes."""

    def __init__(self, rep, covariance):
        super().__init__()
        self.gaussian = nn.MultivariateNormal(rep, covariance)
        self.rep_in, self.rep_out = self.gaussian.rep_in, rep

    def forward(self, x: Tensor) -> Tensor:
        mean, L = self.gaussian.mean_and_scale_tril(x)
        return (L @ (L.mT @ mean.unsqueeze(-1))).squeeze(-1)


LAYERS = {
    "Linear": lambda rep: nn.Linear(rep, rep),
    "Conv1d": lambda rep: nn.Conv1d(rep, rep, 3, padding=1, padding_mode="circular"),
    "ConvTranspose1d": lambda rep: nn.ConvTranspose1d(rep, rep, 3, stride=2),
    "ChangeOfBasis": nn.ChangeOfBasis,
    "IsotypicBasis": lambda rep: nn.IsotypicBasis(rep, learnable=True),
    "IrrepNorm": nn.IrrepNorm,
    "IrrepInvariants": nn.IrrepInvariants,
    "Gaussian": lambda rep: Moments(rep, "diagonal"),
    "FullGaussian": lambda rep: Moments(rep, "full"),
    "BatchNorm1d": nn.BatchNorm1d,
    "LayerNorm": nn.LayerNorm,
    "RMSNorm": nn.RMSNorm,
    "Dropout": nn.Dropout,
    "Pointwise": lambda rep: nn.Pointwise(rep, "SiLU"),
    "NormActivation": nn.NormActivation,
    "GatedActivation": nn.GatedActivation,
    "FourierActivation": nn.FourierActivation,
}
LARGE = {("FullGaussian", "A5")}
"""Cases whose representation has thousands of dimensions in the permutation basis."""


@dataclass(frozen=True)
class Case:
    """A layer and what it acts on."""

    name: str
    group: str
    basis: str

    def make(self) -> torch.nn.Module:
        torch.manual_seed(0)
        return LAYERS[self.name](self.rep)

    @property
    def rep(self) -> Representation:
        return REPS[self.group, self.basis]

    @property
    def dim(self) -> int:
        """The axis of the channels."""
        return -2 if "Conv" in self.name else -1

    def data(self, layer, *, samples=6, dtype=torch.float32):
        shape = (samples, layer.rep_in.size, 5) if self.dim == -2 else (samples, layer.rep_in.size)
        # the log-variances of a Gaussian are exponentiated
        size = 0.3 if "Gaussian" in self.name else 1.0
        return size * torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(1))

    def __str__(self):
        return f"{self.name}-{self.group}-{self.basis}"


REPS = {
    (name, basis): make(group)
    for name, group in GROUPS.items()
    for basis, make in BASES.items()
    if basis == "turned" or group.order()
}
CASES = [
    Case(name, group, basis)
    for name in LAYERS
    for group, basis in REPS
    if (basis == "permuted" or name != "Pointwise") and (basis == "turned" or (name, group) not in LARGE)
]
TURNED = [case for case in CASES if case.basis == "turned" or case.name == "Pointwise"]


def params(cases, fast):
    """All cases, of which those of other groups than ``fast`` are slow."""
    return [pytest.param(case, id=str(case), marks=() if case.group in fast else pytest.mark.slow) for case in cases]
