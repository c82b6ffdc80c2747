"""From a robot and a molecule to their representations, and what their symmetry is worth in a regression.

Run ``python examples/symmetry.py [DIR]``: it prints the decompositions and the errors, and writes a network and two
figures to DIR.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from isospan.groups import DihedralGroup, TetrahedralGroup
from isospan.models import EMLP
from isospan.representations import Representation, direct_sum
from isospan.symmetric import cov, lstsq
from isospan.testing import assert_equivariant

torch.manual_seed(0)
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")

# [robot]
# A robot with four legs, a hip and an ankle each. A quarter turn moves every leg to the next; a mirror swaps two pairs
# of legs. Which joint goes where, and whether it then turns the other way round, is all that has to be known.
turn_to = [2, 3, 4, 5, 6, 7, 0, 1]  # hip 1, ankle 1, hip 2, ...: where the quarter turn moves each joint
turn_sign = [1, -1, 1, 1, 1, -1, 1, 1]
mirror_to = [6, 7, 4, 5, 2, 3, 0, 1]
mirror_sign = [-1, 1, -1, 1, -1, 1, -1, 1]


def signed_permutation(targets: list[int], signs: list[int]) -> np.ndarray:
    """The matrix that moves coordinate i to ``targets[i]`` with a sign."""
    matrix = np.zeros((len(targets), len(targets)))
    matrix[targets, range(len(targets))] = signs
    return matrix


generators = [signed_permutation(turn_to, turn_sign), signed_permutation(mirror_to, mirror_sign)]
joints = Representation(DihedralGroup(4), generators, name="joints of the robot")
print(joints, "\n")

# [molecule]
# Methane: a rotation moves its hydrogens, and turns the vector at each of its five atoms.
rotations = TetrahedralGroup()
corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
vector = Representation(rotations, lambda g: g.value, name="vector")
hydrogens = Representation(rotations, lambda g: (corners @ g.value.T @ corners.T > 2).T, name="hydrogens")
displacements = vector + (hydrogens & vector)  # of the carbon, and of the four hydrogens
print(displacements, "\n")

# [regression]
# Accelerations that depend on the robot's state in an equivariant way, seen with as much noise as signal.
state = direct_sum([joints, joints], name="angles and velocities")
truth = lstsq(torch.randn(100, 16), torch.randn(100, 8), state, joints).double()  # some equivariant map
test = torch.randn(1000, 16, dtype=torch.float64)
for samples in (16, 64, 256):
    x = torch.randn(samples, 16, dtype=torch.float64)
    y = x @ truth.T
    y = y + y.std() * torch.randn(samples, 8)
    maps = {"equivariant": lstsq(x, y, state, joints), "any": torch.linalg.lstsq(x, y, driver="gelsd").solution.T}
    error = {
        name: (test @ (A - truth).T).square().mean() / (test @ truth.T).square().mean() for name, A in maps.items()
    }
    print(
        f"{samples:3d} samples: relative error {error['equivariant']:.3f} with the symmetry, {error['any']:.3f} without"
    )
assert_equivariant(lambda s: s @ maps["equivariant"].T, state, joints)

print("\ncovariance of the angles, which commutes with the group:\n", cov(test[:, :8], joints).round(decimals=2))

# [network]
model = EMLP(state, joints, hidden_units=(64, 64))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
x = torch.randn(512, 16)
y = torch.tanh(x @ truth.T.float())
for _ in range(100):
    loss = (model(x) - y).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
assert_equivariant(model, state, joints)

torch.save(model.state_dict(), out / "robot.pt")
again = EMLP(state, joints, hidden_units=(64, 64))
again.load_state_dict(torch.load(out / "robot.pt"))
again.freeze()  # for inference
plain = model.export()  # torch.nn.Sequential of Linear and ReLU
print(f"\nnetwork: error {loss:.3f} of {y.var():.3f}; plain copy off by {(plain(x) - again(x)).abs().max():.0e}")

# [figures]
for rep, file in ((joints, "robot.png"), (displacements, "molecule.png")):
    rep.plot().figure.savefig(out / file, dpi=150, bbox_inches="tight")
