"""Phase separation of a binary mixture: fields of the Cahn-Hilliard equation, simulated.

The composition u in [-1, 1] of a mixture that separates into its two phases follows

    du/dt = lap(u^3 - u - gamma lap u)

on a periodic square. It is the gradient flow of the free energy

    F = integral of (u^2 - 1)^2 / 4 + gamma |grad u|^2 / 2

The mean of u is conserved, and F does not increase (Cahn & Hilliard, J. Chem. Phys. 28, 1958).
"""

import numpy as np
import torch
from torch import Tensor

from isospan._core.grids import forward_transform, inverse_transform
from isospan.datasets._simulation import Progress, chunk_length, simulate_chunks, squared_wave_number
from isospan.errors import OptionError

STEP_PER_GAMMA = 0.25
"""Longest step over gamma. The scheme dissipates F while step <= 8 gamma / max|3 u^2 - 1|^2, here for |u| <= 1.49."""


def cahn_hilliard(
    n: int,
    *,
    size: int = 64,
    seed: int = 0,
    gamma: float = 2.0,
    spacing: float = 1.0,
    times: tuple[float, float] = (40.0, 400.0),
    means: tuple[float, float] = (-0.3, 0.3),
    noise: float = 0.2,
    progress: Progress | None = None,
) -> Tensor:
    r"""Simulate n independent compositions, each from its own noise, mean and age.

    Sample i starts from ``u = m_i + noise * N(0, 1)``, with the mean composition ``m_i`` uniform in `means`. It ends at
    the time ``t_i``, log-uniform in `times`: from the first domains to coarse ones. The fastest growing sinusoid has
    the wavelength :math:`2 \pi \sqrt{2 \gamma / (1 - 3 m^2)}` and the rate
    :math:`(1 - 3 m^2)^2 / (4 \gamma)`.

    Args:
        n: Number of samples. Sample i depends only on `seed` and i (up to rounding), so more samples begin with fewer.
        size: Grid points along each side.
        seed: Seed of the means, times and noise.
        gamma: Gradient energy coefficient; interfaces are ``tanh(x / sqrt(2 gamma))``, which the grid
            resolves for ``gamma >= spacing**2``.
        spacing: Distance of grid points.
        times: Earliest and latest time of a sample.
        means: Smallest and largest mean composition m. Mixtures separate spontaneously for ``|m| < 0.577``.
        noise: Standard deviation of the initial fluctuations.
        progress: Called as ``progress(done, total)``.

    Returns:
        Compositions of shape (n, 1, size, size), float32.

    Raises:
        OptionError: A parameter is out of its range.

    Example:
        >>> u = cahn_hilliard(2, size=16, times=(5.0, 10.0))
        >>> u.shape, u.dtype
        (torch.Size([2, 1, 16, 16]), torch.float32)
    """
    _check_parameters(n, size, gamma, spacing, times)
    u, ages = _initial_states(n, size, seed, times, means, noise)
    step = STEP_PER_GAMMA * gamma
    steps = (ages / step).round().long().clamp(min=1)

    def simulate(chunk: Tensor) -> None:
        u[chunk] = _evolve_to_ages(u[chunk], steps[chunk], step, gamma, spacing)

    of_similar_age = steps.argsort().split(chunk_length(size))
    for done in simulate_chunks(simulate, of_similar_age[::-1]):  # longest first, for balanced threads
        if progress is not None:
            progress(done, n)
    return u[:, None].float()


def advance(field: Tensor, steps: int, tau: float, gamma: float, spacing: float) -> Tensor:
    r"""Advance compositions (..., size, size) by steps of the semi-implicit Fourier scheme, of first order in the step.

    .. math:: \hat u^{+} = \frac{\hat u - \tau k^2 \, \widehat{(u^3 - u)}}{1 + \tau \gamma k^4}

    The stiff term is implicit, and the nonlinear one explicit. The mode k = 0, the mean, does not change.
    """
    k2 = squared_wave_number(field, spacing)
    implicit = 1 / (1 + tau * gamma * k2**2)
    explicit = tau * k2 * implicit
    u_hat = forward_transform(field)
    for _ in range(steps):
        reaction = field * (field * field - 1)
        u_hat = implicit * u_hat - explicit * forward_transform(reaction)
        field = inverse_transform(u_hat, field)
    return field


def _initial_states(
    n: int, size: int, seed: int, times: tuple[float, float], means: tuple[float, float], noise: float
) -> tuple[Tensor, Tensor]:
    """Return noisy mixtures (n, size, size) and the times (n,) at which their simulations end, float64."""
    fields, ages = np.empty((n, size, size)), np.empty(n)
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        mean = rng.uniform(*means)
        ages[i] = times[0] * (times[1] / times[0]) ** rng.uniform()
        fluctuation = rng.standard_normal((size, size))
        fields[i] = mean + noise * (fluctuation - fluctuation.mean())
    return torch.from_numpy(fields), torch.from_numpy(ages)


def _evolve_to_ages(u: Tensor, steps: Tensor, step: float, gamma: float, spacing: float) -> Tensor:
    """Advance field b by ``steps[b]`` steps. The numbers of steps are ascending, so finished fields come first."""
    fields = u.clone()
    for b, more in enumerate(steps.diff(prepend=steps.new_zeros(1)).tolist()):
        fields[b:] = advance(fields[b:], more, step, gamma, spacing)
    return fields


def _check_parameters(n: int, size: int, gamma: float, spacing: float, times: tuple[float, float]) -> None:
    if n < 1 or size < 4:
        raise OptionError(f"cahn_hilliard needs n >= 1 samples of size >= 4, got n={n}, size={size}.")
    if not (gamma > 0 and spacing > 0):
        raise OptionError(f"gamma and spacing must be positive, got gamma={gamma}, spacing={spacing}.")
    if not 0 < times[0] <= times[1]:
        raise OptionError(f"times must be (earliest, latest) with 0 < earliest <= latest, got {times}.")
