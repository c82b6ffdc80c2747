r"""The Ant, a robot with four equal legs, simulated by MuJoCo: dynamics with the symmetry of a square.

The robot and its control step of 0.05 s are those of gymnasium (Schulman et al., High-dimensional continuous control
using generalized advantage estimation, 2016), on a flat floor. A state is given in the frame of the torso. It does not
contain the position and heading of the robot, on which the physics does not depend.

Only the friction differs from gymnasium. There a pyramid approximates the friction cone. Where the torso touches the
floor, the pyramid is aligned with the axes of the world, so the physics depends on the heading. Here the cone is round,
and the contact solver iterates to a tolerance of 1e-12.
"""

from importlib import import_module
from importlib.resources import files
from math import ceil, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isospan._core.checks import check_count
from isospan.datasets._simulation import Progress
from isospan.errors import MissingPackageError, NonFiniteError, OptionError
from isospan.groups import DihedralGroup
from isospan.representations import Representation, direct_sum

STATE, ACTION = 26, 8
SUBSTEPS = 5
"""Steps of the integrator, 0.01 s each, in a control step."""

TOLERANCE = 1e-12
"""Tolerance of the contact solver; MuJoCo's default is 1e-8."""

UPRIGHT = np.array([0.75, 0, 0, 1, *[0] * 6, 0, 1, 0, -1, 0, -1, 0, 1, *[0] * 8])
"""The robot at rest with its ankles bent, as in gymnasium."""

WARM_UP = 10
"""Control steps before the first sample of a trajectory."""

MEMORY = 0.8
"""Correlation of the torques of one control step with those of the next."""


def ant_steps(
    n: int,
    *,
    seed: int = 0,
    snapshots: int = 10,
    interval: int = 5,
    torques: tuple[float, float] = (0.1, 1.0),
    progress: Progress | None = None,
) -> Tensor:
    r"""Simulate n control steps of the Ant, a robot with four legs, under random torques.

    It is the Ant of gymnasium, with isotropic friction. :func:`ant_representations` describes the states, and how the
    symmetry acts on them.

    A trajectory starts upright, with joints displaced by up to 0.2 rad and the torso at a height of 0.55 to 0.95. The
    torques are :math:`\tanh(s a)` of the largest possible. Here a is an autoregressive process of unit variance,
    independent for every joint, and the strength s is uniform in `torques` for each trajectory. The distribution has
    the symmetry of the robot.

    Samples are ordered by trajectory: ``j * snapshots`` to ``(j + 1) * snapshots - 1`` are steps of trajectory j in
    order of time. Cut the test set at a multiple of `snapshots`: then no trajectory is in both sets.

    Args:
        n: Number of samples. Sample i depends only on `seed` and i, so more samples begin with fewer.
        seed: Seed of the initial states and torques.
        snapshots: Samples taken from one trajectory.
        interval: Control steps from one sample to the next.
        torques: Smallest and largest strength s of a trajectory.
        progress: Called as ``progress(done, total)``.

    Returns:
        States, actions and the states one control step later, of shape (n, 26 + 8 + 26), float32.

    Raises:
        MissingPackageError: MuJoCo or gymnasium, which has the robot, is not installed.
        OptionError: A parameter is out of its range.
        NonFiniteError: The simulation diverged; MuJoCo writes ``MUJOCO_LOG.TXT`` in the current folder.

    Example:
        >>> steps = ant_steps(20)  # doctest: +SKIP
        >>> state, action, later = steps.split((26, 8, 26), dim=1)  # doctest: +SKIP
    """
    _check_parameters(n, snapshots, interval, torques)
    simulator = Simulator()
    samples = np.empty((ceil(n / snapshots), snapshots, STATE + ACTION + STATE))
    for j, trajectory in enumerate(samples):
        _simulate(simulator, np.random.default_rng([seed, j]), trajectory, interval, torques)
        if progress is not None:
            progress(min(n, (j + 1) * snapshots), n)
    return _finite(samples).flatten(0, 1)[:n].float()


def ant_representations() -> tuple[Representation, Representation]:
    r"""Return the representations of the dihedral group of the square on states and on actions.

    ======== ========================================= ==========================
    columns  entries of a state                        representation
    ======== ========================================= ==========================
    0        height of the torso, m                    trivial
    1:4      direction up, in the torso's frame        vector
    4:7      velocity, in the torso's frame, m/s       vector
    7:10     angular velocity, in that frame, rad/s    pseudovector
    10:18    joint angles, rad                         that of the actions
    18:26    joint rates, rad/s                        that of the actions
    ======== ========================================= ==========================

    The actions are the torques of the joints. Joints are ordered hip 1, ankle 1, hip 2, ..., ankle 4. The rotation r by
    90° maps leg k to leg k + 1. The reflection s, :math:`y \to -y` in the torso's frame, swaps legs 1 and 4, and legs 2
    and 3. Both are symmetries of the simulated robot and its contacts, up to the rounding of float64.

    Example:
        >>> state, action = ant_representations()
        >>> state
        Representation('state of the ant', group=DihedralGroup(4), size=26)
        >>> [block.size for block in action.blocks]  # hips and ankles
        [4, 4]
    """
    group = DihedralGroup(4)
    rotation, reflection = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.diag([1, -1, 1])
    vector = Representation(group, [rotation, reflection], name="vector")
    spin = Representation(group, [rotation, -reflection], name="pseudovector")  # the reflection has determinant -1
    joints = Representation(group, [_rotated_joints(), _reflected_joints()], name="joints of the ant")
    summands = [group.trivial_representation, vector, vector, spin, joints, joints]
    return direct_sum(summands, name="state of the ant"), joints


class Simulator:
    """MuJoCo's Ant, with states in the torso's frame."""

    def __init__(self) -> None:
        self.mujoco, path = _import_mujoco()
        self.model = self.mujoco.MjModel.from_xml_path(path)
        self.model.opt.cone = self.mujoco.mjtCone.mjCONE_ELLIPTIC
        self.model.opt.tolerance = TOLERANCE
        # without this, MuJoCo resets a diverged state
        self.model.opt.disableflags |= self.mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self.data = self.mujoco.MjData(self.model)
        # joint 0 is the free torso, and motors and joints are ordered differently
        self.motors = self.model.actuator_trnid[:, 0] - 1

    def set_state(self, state: np.ndarray) -> None:
        """Set the state at the origin, with the smallest rotation from upright."""
        height, up, velocity, spin, angles, rates = np.split(state, [1, 4, 7, 10, 18])
        self.mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = np.concatenate([[0, 0], height, _smallest_rotation(up), angles])
        self.data.qvel[:] = np.concatenate([self._frame() @ velocity, spin, rates])

    def step(self, action: np.ndarray) -> None:
        """Advance by one control step."""
        self.data.ctrl[:] = action[self.motors]
        self.mujoco.mj_step(self.model, self.data, SUBSTEPS)

    def state(self) -> np.ndarray:
        """Return the state in the torso's frame."""
        q, v, frame = self.data.qpos, self.data.qvel, self._frame()
        return np.concatenate([q[2:3], frame[2], frame.T @ v[:3], v[3:6], q[7:], v[6:]])

    def _frame(self) -> np.ndarray:
        """Return the axes of the torso in the world, as the columns of a matrix (3, 3)."""
        matrix = np.empty(9)
        self.mujoco.mju_quat2Mat(matrix, self.data.qpos[3:7] / np.linalg.norm(self.data.qpos[3:7]))
        return matrix.reshape(3, 3)


def _simulate(
    simulator: Simulator,
    rng: np.random.Generator,
    trajectory: np.ndarray,
    interval: int,
    torques: tuple[float, float],
) -> None:
    """Fill the steps (snapshots, 60) of one trajectory in place."""
    state, strength = UPRIGHT.copy(), rng.uniform(*torques)
    state[0] += rng.uniform(-0.2, 0.2)
    state[10:18] += rng.uniform(-0.2, 0.2, ACTION)
    simulator.set_state(state)
    a = rng.standard_normal(ACTION)
    for t in range(WARM_UP + interval * (len(trajectory) - 1) + 1):
        action = np.tanh(strength * a)
        before = simulator.state()
        simulator.step(action)
        if t >= WARM_UP and (t - WARM_UP) % interval == 0:
            trajectory[(t - WARM_UP) // interval] = np.concatenate([before, action, simulator.state()])
        a = MEMORY * a + sqrt(1 - MEMORY**2) * rng.standard_normal(ACTION)


def _smallest_rotation(up: np.ndarray) -> np.ndarray:
    """Return the quaternion of the smallest rotation from a unit vector to the z axis; from -z, by 180° about x."""
    up = up / np.linalg.norm(up)
    quaternion = np.array([1 + up[2], up[1], -up[0], 0]) if up[2] > -1 else np.array([0.0, 1, 0, 0])
    return quaternion / np.linalg.norm(quaternion)


def _rotated_joints() -> np.ndarray:
    """Return the rotation of the joints: leg k to leg k + 1; the axes of ankles 1 and 3 have the opposite sign."""
    return np.kron(np.roll(np.eye(4), 1, axis=0), np.eye(2)) @ np.diag([1, -1, 1, 1, 1, -1, 1, 1])


def _reflected_joints() -> np.ndarray:
    """Return the reflection of the joints: it swaps legs 1 and 4, legs 2 and 3, and reverses the hips."""
    return np.kron(np.eye(4)[::-1], np.diag([-1, 1]))


def _import_mujoco() -> tuple[Any, str]:
    """Return the module mujoco, and the path of gymnasium's model of the robot."""
    try:
        return import_module("mujoco"), str(files("gymnasium").joinpath("envs/mujoco/assets/ant.xml"))
    except ImportError as error:
        raise MissingPackageError(
            f"The Ant needs MuJoCo and gymnasium, and one of them is missing ({error}). "
            "Install them: pip install 'isospan[mujoco]'."
        ) from error


def _finite(states: np.ndarray) -> Tensor:
    if not np.isfinite(states).all():
        raise NonFiniteError(
            "The states of the Ant must be finite, but the simulation diverged. Pass lower velocities or weaker "
            "torques."
        )
    return torch.from_numpy(states)


def _check_parameters(n: int, snapshots: int, interval: int, torques: tuple[float, float]) -> None:
    for name, value in {"n": n, "snapshots": snapshots, "interval": interval}.items():
        check_count(value, what=name)
    if not 0 <= torques[0] <= torques[1]:
        raise OptionError(f"torques must be (smallest, largest) with 0 <= smallest <= largest, got {torques}.")
