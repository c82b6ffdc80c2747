"""Rings of springs against closed forms, conservation laws, their symmetry and SciPy's integrator."""

from math import pi, sin

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from isospan.datasets import spring_ring, spring_ring_representation
from isospan.datasets._springs import evolve
from isospan.errors import OptionError


def states(n=4, masses=7, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 2 * masses)))


def energy(state, alpha=1.0, beta=1.0):
    u, p = state.chunk(2, dim=-1)
    r = u.roll(-1, -1) - u
    return (p**2 / 2 + r**2 / 2 + alpha / 3 * r**3 + beta / 4 * r**4).sum(-1)


def derivative(_time, state, alpha, beta):
    """Hamilton's equations, a mass at a time."""
    n = len(state) // 2
    u, p = state[:n], state[n:]
    tension = [(r := u[(i + 1) % n] - u[i]) + alpha * r**2 + beta * r**3 for i in range(n)]
    return np.concatenate([p, [tension[i] - tension[i - 1] for i in range(n)]])


@pytest.mark.parametrize("masses", [3, 4, 8])
def test_waves_on_linear_springs_oscillate_at_the_frequencies_of_the_theory(masses):
    time = 2.7
    for k in range(1, masses):
        omega = 2 * sin(pi * k / masses)
        wave = torch.cos(2 * pi * k * torch.arange(masses, dtype=torch.float64) / masses + 0.3)
        later = evolve(torch.cat((wave, 0 * wave)), time, alpha=0, beta=0, max_step=0.01)
        phase = torch.tensor(omega * time)
        expected = torch.cat((wave * phase.cos(), -omega * wave * phase.sin()))
        # of fourth order: the error is about time * (omega * step)^4, at most 4e-7, times a small constant
        torch.testing.assert_close(later, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (-0.7, 0.4), (0.0, 2.0), (0.0, 0.0)])
def test_trajectories_are_those_of_another_integrator(alpha, beta):
    start = states(1, masses=5)[0]
    arguments = {"args": (alpha, beta), "method": "DOP853", "rtol": 1e-12, "atol": 1e-12}
    expected = solve_ivp(derivative, (0, 3), start.numpy(), **arguments).y[:, -1]
    later = evolve(start, 3.0, alpha=alpha, beta=beta, max_step=0.002)
    assert (later - start).abs().max() > 0.5
    np.testing.assert_allclose(later, expected, atol=1e-7)  # steps of 0.002 err by about (10 * 0.002)^4


def test_fourth_order_convergence_in_the_step():
    coarse, middle, fine = (evolve(states(), 2.0, max_step=step) for step in (0.02, 0.01, 0.005))
    ratio = (coarse - middle).norm() / (middle - fine).norm()
    assert ratio.item() == pytest.approx(16, rel=0.1)  # the next order adds a few per cent


def test_energy_does_not_drift():
    """The errors of a symplectic method stay bounded: after a hundred times they are those after one."""
    start = states()
    before = energy(start)
    short, long = ((energy(evolve(start, time)) - before).abs() / before for time in (3.0, 300.0))
    assert long.max() < 2e-3
    assert long.mean() < 10 * short.mean()


def test_momentum_is_conserved_and_time_runs_back():
    start = states()
    later = evolve(start, 2.0)
    u, p = later.chunk(2, dim=1)
    back = evolve(torch.cat((u, -p), dim=1), 2.0)
    # rounding of 120 substeps, which the motion amplifies
    torch.testing.assert_close(p.sum(1), start[:, 7:].sum(1), rtol=0, atol=1e-13)
    torch.testing.assert_close(back, torch.cat((start[:, :7], -start[:, 7:]), dim=1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("masses", [3, 4, 5, 8])
def test_the_symmetry_is_exact_bit_for_bit(masses):
    rep, start = spring_ring_representation(masses), states(masses=masses)
    later = evolve(start, 2.0)
    for g in rep.group.elements:
        matrix = torch.from_numpy(rep(g))
        assert torch.equal(evolve(start @ matrix.T, 2.0), later @ matrix.T)


def test_a_mirror_that_keeps_the_sign_is_no_symmetry_of_springs_with_a_cubic_term():
    start, places = states(masses=6), -torch.arange(6) % 6
    mirror = torch.cat((places, 6 + places))
    assert (evolve(start[:, mirror], 1.0) - evolve(start, 1.0)[:, mirror]).abs().max() > 0.1
    torch.testing.assert_close(evolve(start[:, mirror], 1.0, alpha=0), evolve(start, 1.0, alpha=0)[:, mirror])


def test_the_representation_permutes_masses_as_documented():
    rep = spring_ring_representation(5)
    assert rep.group.order() == 10
    turn, mirror = (rep(g) for g in rep.group.generators)
    u, p = np.arange(1.0, 6), np.arange(10.0, 15)
    for matrix, places, sign in ((turn, [4, 0, 1, 2, 3], 1), (mirror, [0, 4, 3, 2, 1], -1)):
        np.testing.assert_array_equal(matrix @ np.concatenate([u, p]), sign * np.concatenate([u[places], p[places]]))


def test_samples_start_as_described_and_end_where_they_evolve_to():
    samples = spring_ring(4000, masses=6, temperature=0.5, duration=1.5, alpha=0.5)
    assert samples.shape == (4000, 2, 12)
    assert samples.dtype == torch.float32
    before, after = samples.unbind(1)
    u, p = before.double().chunk(2, dim=1)
    assert max(u.sum(1).abs().max(), p.sum(1).abs().max()) < 1e-5  # float32
    # the centre of mass takes a sixth; 24,000 numbers estimate a variance to 1 per cent
    assert float(u.var(0).mean()) == pytest.approx(0.25 * 5 / 6, rel=0.04)
    assert float(p.var(0).mean()) == pytest.approx(0.5 * 5 / 6, rel=0.04)
    # what float32 rounds away at the start grows a little
    torch.testing.assert_close(after, evolve(before, 1.5, alpha=0.5), rtol=0, atol=1e-5)


def test_sample_i_depends_on_the_seed_and_i_only():
    assert torch.equal(spring_ring(3, seed=2), spring_ring(40, seed=2)[:3])
    assert not torch.allclose(spring_ring(3, seed=2), spring_ring(3, seed=3), atol=0.1)


def test_states_keep_their_dtype_and_batch():
    start = states(6).float().view(2, 3, 14)
    later = evolve(start, 1.0)
    assert later.dtype == torch.float32
    assert later.shape == (2, 3, 14)
    torch.testing.assert_close(later.view(6, 14), evolve(start.view(6, 14), 1.0))
    assert torch.equal(evolve(start, 0.0), start)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n": 0}, "at least 1, got 0"),
        ({"masses": 2}, "at least 3 masses, got 2"),
        ({"temperature": -1.0}, r"got -1\.0"),
        ({"duration": -1.0}, r"must be at least 0, got -1\.0"),
        ({"beta": 0.0}, r"alpha=1\.0, beta=0\.0"),
        ({"alpha": 0.0, "beta": -1.0}, r"beta=-1\.0"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(OptionError, match=message):
        spring_ring(**{"n": 2, **parameters})


def test_bad_rings():
    with pytest.raises(OptionError, match="at least 3"):
        spring_ring_representation(2)
