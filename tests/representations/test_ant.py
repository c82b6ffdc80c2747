"""The symmetries of MuJoCo's Ant, a robot with four legs, from two signed permutation matrices."""

import numpy as np
import pytest

from isospan.groups import DihedralGroup, FiniteGroup
from isospan.representations import HomBasis, Representation

LEGS = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
ANKLES = [(-1, 1), (1, 1), (-1, 1), (1, 1)]
"""Axes of the ankles of the legs 1 to 4 in the plane, as in the Ant of gymnasium; those of the hips are vertical."""
D4 = DihedralGroup(4)

# joints: hip 1, ankle 1, hip 2, ... A quarter turn moves leg k to leg k + 1; it sends the ankle axes of the legs 1 and
# 3 to the opposite of the next. The mirror y -> -y swaps the legs 1 with 4 and 2 with 3; axes of rotation are
# pseudovectors, so hips turn the other way round and ankles do not.
TURN = np.zeros((8, 8))
MIRROR = np.zeros((8, 8))
for leg, (after_turn, sign, after_mirror) in enumerate([(1, -1, 3), (2, 1, 2), (3, -1, 1), (0, 1, 0)]):
    TURN[2 * after_turn, 2 * leg], TURN[2 * after_turn + 1, 2 * leg + 1] = 1, sign
    MIRROR[2 * after_mirror, 2 * leg], MIRROR[2 * after_mirror + 1, 2 * leg + 1] = -1, 1


@pytest.fixture
def joints():
    return Representation(D4, [TURN, MIRROR], name="joints of the ant")


def test_the_joints_decompose(joints):
    """Hips and ankles are four coordinates each, with one irrep of dimension 2 apiece."""
    assert FiniteGroup.from_matrices([TURN, MIRROR]) == D4
    assert [(block.multiplicity, block.size) for block in joints.blocks] == [(1, 4), (1, 4)]
    assert [(c.irrep.size, c.multiplicity) for c in joints.isotypic if c.irrep.size == 2] == [(2, 2)]
    assert joints.irreps.count(D4.irrep(4)) == 2
    Q = joints.change_of_basis
    for g in D4.elements:
        D, start = Q.T @ joints(g) @ Q, 0
        for irrep in joints.irreps:
            D[start : start + irrep.size, start : start + irrep.size] -= irrep(g)
            start += irrep.size
        np.testing.assert_allclose(D, 0, atol=1e-14)


def test_equivariant_maps_have_an_eighth_of_the_entries(joints):
    inner = np.mean([joints.character(g) ** 2 for g in D4.elements])
    assert HomBasis(joints, joints).dimension == round(inner) == 8


def test_the_simulated_robot_has_these_symmetries(joints):
    """Accelerations of the joints under torques transform as the joints do, at random angles and velocities."""
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_string(_model_file())
    data = mujoco.MjData(model)

    def accelerations(angles, velocities, torques):
        mujoco.mj_resetData(model, data)
        data.qpos[7:], data.qvel[6:], data.qfrc_applied[6:] = angles, velocities, torques
        mujoco.mj_forward(model, data)
        return data.qacc[6:].copy()

    state = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 8))
    for g in D4.elements:
        expected = joints(g) @ accelerations(*state)
        # the solver inverts a mass matrix of condition about 1e3
        np.testing.assert_allclose(accelerations(*(state @ joints(g).T)), expected, rtol=1e-9, atol=1e-9)


def _model_file():
    """A free torso with four legs of two capsules."""
    legs = "".join(
        f"""<body pos="{0.2 * x} {0.2 * y} 0">
              <joint type="hinge" axis="0 0 1"/>
              <geom type="capsule" size="0.08" fromto="0 0 0 {0.2 * x} {0.2 * y} 0"/>
              <body pos="{0.2 * x} {0.2 * y} 0">
                <joint type="hinge" axis="{a} {b} 0"/>
                <geom type="capsule" size="0.08" fromto="0 0 0 {0.4 * x} {0.4 * y} 0"/>
              </body>
            </body>"""
        for (x, y), (a, b) in zip(LEGS, ANKLES, strict=True)
    )
    return f"""<mujoco><option><flag contact="disable"/></option><worldbody>
      <body pos="0 0 1"><freejoint/><geom type="sphere" size="0.25"/>{legs}</body></worldbody></mujoco>"""
