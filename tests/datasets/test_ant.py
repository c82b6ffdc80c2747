"""The simulated Ant against its symmetry, gymnasium's environment and its own description."""

from importlib import import_module

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from isospan.datasets import _ant as ant
from isospan.datasets import ant_representations, ant_steps
from isospan.errors import MissingPackageError, NonFiniteError, OptionError
from isospan.testing import equivariance_error

LEGS = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
ANKLES = np.array([(-1, 1), (1, 1), (-1, 1), (1, 1)])
"""Directions of the legs 1 to 4 and axes of their ankles in the plane, as in gymnasium's file."""


@pytest.fixture(scope="module")
def steps():
    """States and torques of 30 trajectories, in float64; directions are unit vectors."""
    _need_mujoco()
    state, action, _ = ant_steps(150, snapshots=5, seed=1).double().split((26, 8, 26), dim=1)
    state[:, 1:4] /= torch.linalg.vector_norm(state[:, 1:4], dim=1, keepdim=True)
    return state, action


def step(state, action):
    """The states (n, 26) one control step later."""
    simulator, later = ant.Simulator(), []
    for x, a in zip(state.double().numpy(), action.double().numpy(), strict=True):
        simulator.set_state(x)
        simulator.step(a)
        later.append(simulator.state())
    return torch.from_numpy(np.stack(later)).to(state)


def _need_mujoco():
    pytest.importorskip("mujoco")
    pytest.importorskip("gymnasium")


def joints_from_geometry(matrix):
    """How a rotation or mirror of the plane moves hips and ankles: axes are pseudovectors."""
    result, det = np.zeros((8, 8)), round(np.linalg.det(matrix))
    for leg in range(4):
        (to,) = np.flatnonzero((LEGS == matrix @ LEGS[leg]).all(1))
        ankle = det * matrix @ ANKLES[leg]
        result[2 * to, 2 * leg] = det
        result[2 * to + 1, 2 * leg + 1] = 1 if (ankle == ANKLES[to]).all() else -1
        assert (abs(ankle) == abs(ANKLES[to])).all()
    return result


def test_the_representation_is_that_of_the_geometry():
    state, action = ant_representations()
    for g in state.group.elements:
        matrix = state(g)[1:3, 1:3]
        space = np.block([[matrix, np.zeros((2, 1))], [np.zeros((1, 2)), np.eye(1)]])
        np.testing.assert_array_equal(action(g), joints_from_geometry(np.rint(matrix)))
        blocks = [np.eye(1), space, space, np.linalg.det(space) * space, action(g), action(g)]
        start = 0
        for block in blocks:
            stop = start + len(block)
            np.testing.assert_allclose(state(g)[start:stop, start:stop], block, atol=1e-15)
            start = stop
        assert start == state.size == 26


def test_the_simulation_has_the_symmetry_contacts_and_falls_included(steps):
    state, action = steps
    rep_state, rep_action = ant_representations()
    later = step(state, action)
    scale = (later - state).std(0)
    assert (state[:, 0] < 0.4).any()  # the torso is near the floor, or on it
    for g in rep_state.group.elements:
        G, H = torch.from_numpy(rep_state(g)), torch.from_numpy(rep_action(g))
        error = (step(state @ G.T, action @ H.T) - later @ G.T) / scale
        assert error.abs().max() < 1e-10  # seen: 2e-13; rounding, which contacts amplify


def test_hips_that_keep_their_sign_in_the_mirror_are_no_symmetry(steps):
    state, action = (x[:20] for x in steps)
    mirror = np.abs(joints_from_geometry(np.diag([1, -1])))
    rep, _ = ant_representations()
    G = torch.from_numpy(rep(rep.group.generators[1]))
    H = torch.from_numpy(mirror)
    assert (step(state @ G.T, action @ H.T) - step(state, action) @ G.T).abs().max() > 0.1


def test_public_check_of_equivariance(steps):
    rep_state, rep_action = ant_representations()
    x = torch.cat(steps, dim=1)[:10]
    assert equivariance_error(lambda x: step(x[:, :26], x[:, 26:]), rep_state + rep_action, rep_state, x=x) < 1e-10


@pytest.mark.filterwarnings("ignore")  # what gymnasium warns of is not ours
def test_a_step_is_that_of_gymnasium_wherever_the_robot_is_and_faces(steps):
    """The environment with a round friction cone, its states read by SciPy's rotations."""
    pytest.importorskip("imageio")  # without it gymnasium has no environments of MuJoCo
    env = import_module("gymnasium").make("Ant-v5").unwrapped
    env.model.opt.cone, env.model.opt.tolerance = 1, 1e-12
    env.reset(seed=0)
    rng, motors = np.random.default_rng(0), [6, 7, 0, 1, 2, 3, 4, 5]  # the file lists the motors of leg 4 first
    later = step(*steps)
    for state, action, expected in zip(*(x.numpy() for x in (*steps, later)), strict=True):
        height, up, velocity, spin, angles, rates = np.split(state, [1, 4, 7, 10, 18])
        lean, _ = Rotation.align_vectors([[0, 0, 1]], [up])
        turn = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi)) * lean
        quaternion = turn.as_quat()[[3, 0, 1, 2]]
        env.data.qacc_warmstart[:] = 0
        env.set_state(
            np.concatenate([rng.uniform(-3, 3, 2), height, quaternion, angles]),
            np.concatenate([turn.apply(velocity), spin, rates]),
        )
        env.step(action[motors])
        q, v = env.data.qpos, env.data.qvel
        after = Rotation.from_quat(q[[4, 5, 6, 3]])
        found = [q[2:3], after.inv().apply([0, 0, 1]), after.inv().apply(v[:3]), v[3:6], q[7:], v[6:]]
        np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-8)  # sums in other frames round differently


def test_samples_are_steps_in_order_of_trajectories():
    _need_mujoco()
    samples = ant_steps(23, snapshots=5, interval=1, seed=4)
    assert samples.shape == (23, 60)
    assert samples.dtype == torch.float32
    state, action, later = samples.split((26, 8, 26), dim=1)
    # float32 of a state, restarted without what the solver remembers
    torch.testing.assert_close(step(state, action), later, rtol=0, atol=1e-3)
    follows = [torch.equal(later[i], state[i + 1]) for i in range(22)]
    assert follows == [(i + 1) % 5 != 0 for i in range(22)]
    torch.testing.assert_close(torch.linalg.vector_norm(state[:, 1:4], dim=1), torch.ones(23))


def test_torques_are_bounded_and_of_the_asked_strength():
    _need_mujoco()
    weak, strong = (ant_steps(30, snapshots=3, torques=(s, s))[:, 26:34] for s in (0.1, 2.0))
    assert weak.std() == pytest.approx(0.1, rel=0.2)  # 240 correlated numbers
    assert 0.7 < strong.std() < 1
    assert strong.abs().max() <= 1


def test_sample_i_depends_on_the_seed_and_i_only():
    _need_mujoco()
    assert torch.equal(ant_steps(3, snapshots=2, seed=2), ant_steps(9, snapshots=2, seed=2)[:3])
    assert not torch.equal(ant_steps(3, snapshots=2, seed=2), ant_steps(3, snapshots=2, seed=3))


def test_progress_reaches_the_end():
    _need_mujoco()
    calls = []
    ant_steps(5, snapshots=2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_upside_down_is_a_state_as_others():
    _need_mujoco()
    state = torch.tensor(ant.UPRIGHT)
    state[0] = 3.0
    state[1:4] = torch.tensor([0.0, 0.0, -1.0])
    (later,) = step(state[None], torch.zeros(1, 8, dtype=torch.float64))
    assert later[3] < -0.99
    assert later[6] == pytest.approx(9.81 * 0.05, rel=0.05)  # falls along its own +z


def test_divergence_is_an_error(tmp_path, monkeypatch):
    _need_mujoco()
    monkeypatch.chdir(tmp_path)  # where MuJoCo writes its log
    state = torch.tensor(ant.UPRIGHT)
    state[18] = 1e200
    monkeypatch.setattr(ant, "UPRIGHT", state.numpy())
    with pytest.raises(NonFiniteError, match="diverged"):
        ant_steps(1)


def test_without_mujoco_the_error_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(ant, "import_module", missing)
    with pytest.raises(MissingPackageError, match=r"mujoco.*pip install 'isospan\[mujoco\]'"):
        ant_steps(1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n": 0}, "n must be at least 1"),
        ({"snapshots": 0}, "snapshots"),
        ({"interval": 0}, "interval"),
        ({"torques": (0.5, 0.2)}, r"\(0.5, 0.2\)"),
        ({"torques": (-1.0, 0.2)}, r"\(-1.0, 0.2\)"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(OptionError, match=message):
        ant_steps(**{"n": 1, **parameters})
