"""Two-dimensional decaying turbulence: vorticity fields of the Navier-Stokes equations, simulated.

The vorticity of an incompressible flow on a periodic square of side 2 pi follows

    d omega / dt + u . grad omega = nu lap omega

Kinetic energy E = <u^2 + v^2> / 2 and enstrophy Z = <omega^2> / 2 satisfy dE/dt = -2 nu Z and dZ/dt <= 0. Small
vortices merge into larger ones (McWilliams, J. Fluid Mech. 146, 1984).
"""

from collections.abc import Iterable
from math import ceil

import numpy as np
import torch
from torch import Tensor

from isospan._core.grids import forward_transform, inverse_transform
from isospan.datasets._simulation import Progress, chunk_length, simulate_chunks, squared_wave_number
from isospan.datasets._vorticity_equation import LENGTH, VorticityEquation, retained_modes
from isospan.errors import OptionError
from isospan.quantities.fields import velocity_from_vorticity


def decaying_turbulence(
    n: int,
    *,
    size: int = 64,
    viscosity: float = 1e-2,
    seed: int = 0,
    snapshots: int = 4,
    first_time: float = 6.0,
    interval: float = 3.0,
    peaks: tuple[float, float] = (2.0, 4.0),
    courant: float = 0.8,
    progress: Progress | None = None,
) -> Tensor:
    r"""Simulate vorticity fields of decaying turbulence, several from each flow.

    A flow starts from random phases with :math:`\langle u^2 + v^2 \rangle = 1` and the energy spectrum
    :math:`E(k) \propto k^4 \exp(-2 k^2 / k_0^2)`, with the peak :math:`k_0` uniform in `peaks`.

    Samples are ordered by flow: ``j * snapshots`` to ``(j + 1) * snapshots - 1`` are the snapshots of flow j in order
    of time. Cut the test set from the end, at a multiple of `snapshots`: then no flow is in both sets.

    :mod:`isospan.quantities.fields` computes the stream function, the velocity and other quantities, with
    ``dx = 2 * pi / size``.

    Args:
        n: Number of samples. Sample i depends only on `seed` and i (up to rounding), so more samples begin with fewer.
        size: Grid points along each side.
        viscosity: nu. Size 64 resolves the default; the smallest resolved viscosity is proportional to ``size**-2``.
        seed: Seed of the initial flows.
        snapshots: Samples taken from one flow.
        first_time: Time of the first snapshot.
        interval: Time between snapshots; with the defaults, the correlation of neighbours is 0.4 to 0.7.
        peaks: Smallest and largest peak wave number of the initial energy spectrum.
        courant: Time step over the largest stable one, at most 1.
        progress: Called as ``progress(done, total)``.

    Returns:
        Vorticity of shape (n, 1, size, size), float32.

    Raises:
        OptionError: A parameter is out of its range.

    Example:
        >>> omega = decaying_turbulence(4, size=32, viscosity=0.05, snapshots=2)
        >>> omega.shape, omega.dtype
        (torch.Size([4, 1, 32, 32]), torch.float32)
    """
    _check_parameters(n, size, viscosity, snapshots, first_time, interval, peaks, courant)
    flows = ceil(n / snapshots)
    fields = torch.empty(flows, snapshots, size, size, device="cpu")

    def simulate(chunk: Tensor) -> None:
        omega = torch.stack([_initial_vorticity(size, seed, j, peaks) for j in chunk.tolist()])
        for snapshot, duration in enumerate([first_time] + [interval] * (snapshots - 1)):
            omega = evolve(omega, duration, viscosity=viscosity, courant=courant)
            fields[chunk, snapshot] = omega.float()

    for done in simulate_chunks(simulate, torch.arange(flows, device="cpu").split(chunk_length(size))):
        if progress is not None:
            progress(min(n, done * snapshots), n)
    return fields.flatten(0, 1)[:n, None]


def evolve(
    vorticity: Tensor,
    duration: float,
    *,
    viscosity: float,
    courant: float = 0.8,
    max_step: float | None = None,
) -> Tensor:
    r"""Advance vorticity in time: pseudo-spectral, dealiased by the 2/3 rule, classical fourth-order Runge-Kutta.

    Each field has its own step, computed from its speed before every step:

    .. math:: \tau = \texttt{courant} \left[ \frac{k_{max} \max(|u| + |v|)}{2.82} + \frac{\nu \max k^2}{2.78}
              \right]^{-1}

    Args:
        vorticity: Fields (..., size, size) on a square of side 2 pi, computed in float64. Modes that the 2/3 rule
            does not retain are set to 0, and so is the mean, which is 0 for a periodic flow.
        duration: Time to advance by.
        viscosity: nu, at least 0.
        courant: Time step over the largest stable one, at most 1.
        max_step: Longest step allowed, none by default.

    Returns:
        Vorticity of the shape and dtype of the input.

    Example:
        >>> x = torch.arange(16, dtype=torch.float64) * 2 * torch.pi / 16
        >>> vortices = torch.cos(x) * torch.cos(x)[:, None]  # of Taylor and Green: they decay as exp(-2 nu t)
        >>> later = evolve(vortices, 1.0, viscosity=0.1)
        >>> torch.allclose(later, vortices * torch.exp(torch.tensor(-0.2)), rtol=1e-4)
        True
    """
    equation = VorticityEquation(vorticity, viscosity)
    omega_hat = forward_transform(vorticity.double()) * retained_modes(vorticity)
    left = omega_hat.real.new_full((*vorticity.shape[:-2], 1, 1), duration)
    while bool((left > 0).any()):
        step = torch.minimum(courant * equation.largest_step(omega_hat), left).clamp(max=max_step or duration)
        omega_hat = equation.rk4_step(omega_hat, step)
        left = left - step
    return inverse_transform(omega_hat, vorticity)


def _initial_vorticity(size: int, seed: int, flow: int, peaks: tuple[float, float]) -> Tensor:
    """Return white noise scaled to |omega_hat|^2 ~ k E(k) and to unit speed.

    About 2 pi k modes have wave number k, and the spectrum of the vorticity is k^2 E(k).
    """
    rng = np.random.default_rng([seed, flow])
    peak = rng.uniform(*peaks)
    noise = torch.from_numpy(rng.standard_normal((size, size)))
    k2 = squared_wave_number(noise, LENGTH / size)
    amplitude = retained_modes(noise) * k2**1.25 * torch.exp(-k2 / peak**2)
    omega = torch.fft.irfft2(amplitude * torch.fft.rfft2(noise), s=(size, size))
    speed = velocity_from_vorticity(omega, dx=LENGTH / size).square().sum(-3).mean().sqrt()
    return omega / speed


def _check_parameters(
    n: int,
    size: int,
    viscosity: float,
    snapshots: int,
    first_time: float,
    interval: float,
    peaks: Iterable[float],
    courant: float,
) -> None:
    if n < 1 or size < 8 or snapshots < 1:
        raise OptionError(
            "decaying_turbulence needs n >= 1 samples of size >= 8 and snapshots >= 1, "
            f"got n={n}, size={size}, snapshots={snapshots}."
        )
    if not (first_time >= 0 and interval > 0):
        raise OptionError(
            f"first_time must be at least 0 and interval positive, got first_time={first_time}, interval={interval}."
        )
    low, high = peaks
    if not 1 <= low <= high < size / 3:
        raise OptionError(
            f"peaks must be (smallest, largest), from 1 to below size / 3 = {size / 3:.4g}, got {(low, high)}."
        )
    if not viscosity >= 0:
        raise OptionError(f"viscosity must be at least 0, got {viscosity}.")
    if not 0 < courant <= 1:
        raise OptionError(f"courant must be in (0, 1] for stable steps, got {courant}.")
