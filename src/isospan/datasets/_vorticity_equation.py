"""The two-dimensional Navier-Stokes equations in vorticity form: Fourier discretisation and time step."""

from math import pi

import torch
from torch import Tensor

from isospan._core.grids import wave_numbers

LENGTH = 2 * pi
"""Side of the domain."""

OSCILLATION_LIMIT, DECAY_LIMIT = 2.82, 2.78
"""Largest product of step and rate for which RK4 is stable: for pure oscillation (2 sqrt 2), and for pure decay."""


def retained_modes(grid: Tensor) -> Tensor:
    """Return the mask of the modes that the 2/3 rule retains: |kx| and |ky| below size / 3, without k = 0.

    Products of these modes do not alias. The mode k = 0 is the mean vorticity, which is 0 for a periodic flow.
    """
    size = grid.shape[-1]
    ky, kx = wave_numbers(grid, LENGTH / size)
    return (kx < size / 3) & (ky.abs() < size / 3) & (kx**2 + ky**2 > 0)


class VorticityEquation:
    r"""Rate of change of vorticity modes, and the largest stable step of RK4.

    The divergence form needs four transforms. With the mask M of retained modes

    .. math:: \dot{\hat\omega} = M \left[ (k_x^2 - k_y^2) \widehat{uv} + k_x k_y \widehat{(v^2 - u^2)} \right]
              - \nu k^2 \hat\omega

    (Basdevant, J. Comput. Phys. 50, 1983). Only viscosity changes energy and enstrophy.
    """

    def __init__(self, grid: Tensor, viscosity: float) -> None:
        ky, kx = wave_numbers(grid, LENGTH / grid.shape[-1])
        keep = retained_modes(grid)
        k2 = kx**2 + ky**2
        self.grid_shape = grid.shape[-2:]
        self.largest_wave_number = float(kx[keep[:1]].max())
        self.to_velocity = torch.stack((1j * ky / k2, -1j * kx / k2)).where(keep, 0)
        self.from_stress = torch.stack((kx**2 - ky**2, kx * ky)) * keep
        self.decay = viscosity * k2 * keep

    def velocity(self, omega_hat: Tensor) -> Tensor:
        """Return the velocity (u, v) on the grid (..., 2, size, size): i (ky, -kx) / k^2 times the modes."""
        return torch.fft.irfft2(self.to_velocity * omega_hat.unsqueeze(-3), s=self.grid_shape)

    def rate(self, omega_hat: Tensor) -> Tensor:
        """Return the time derivative of modes (..., size, size // 2 + 1)."""
        u, v = self.velocity(omega_hat).unbind(-3)
        stress_hat = torch.fft.rfft2(torch.stack((u * v, v * v - u * u), dim=-3))
        return (self.from_stress * stress_hat).sum(-3) - self.decay * omega_hat

    def largest_step(self, omega_hat: Tensor) -> Tensor:
        r"""Return the largest stable step of each field, of shape (..., 1, 1).

        .. math:: 1 / \tau = k_{max} \max(|u| + |v|) / 2.82 + \nu \max(k^2) / 2.78

        The eigenvalues of advection and diffusion, times this step, are in a rhombus where RK4 is stable.
        """
        speed = self.velocity(omega_hat).abs().sum(-3).amax((-2, -1), keepdim=True)
        return 1 / (speed * self.largest_wave_number / OSCILLATION_LIMIT + self.decay.max() / DECAY_LIMIT)

    def rk4_step(self, omega_hat: Tensor, step: Tensor) -> Tensor:
        """Advance by the classical fourth-order Runge-Kutta method."""
        first = self.rate(omega_hat)
        second = self.rate(omega_hat + step / 2 * first)
        third = self.rate(omega_hat + step / 2 * second)
        fourth = self.rate(omega_hat + step * third)
        return omega_hat + step / 6 * (first + 2 * second + 2 * third + fourth)
