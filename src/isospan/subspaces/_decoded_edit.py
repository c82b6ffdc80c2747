"""Edits through a decoder: steps of latents until the quantities of the decoded output reach their targets."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from isospan._core.checks import as_floating, as_kept, as_names, check_count, check_number
from isospan._core.decoding import Decoder, Progress, Quantities, quantities_of
from isospan._core.modes import evaluating
from isospan._core.warnings import warn
from isospan.errors import NameMismatchError, OptionError, ShapeError
from isospan.subspaces._editor import as_target
from isospan.subspaces._lbfgs import minimise
from isospan.subspaces._step_lengths import Distances, Whitening

LOW = 0.5
"""Fidelity below which an edit is warned of."""


class Space(Protocol):
    """The attributes of a :class:`LatentSpace` that an edit uses, as described there."""

    @property
    def names(self) -> list[str]: ...
    @property
    def W(self) -> Mapping[str, Tensor]: ...
    @property
    def A(self) -> Mapping[str, Tensor]: ...
    @property
    def z_mean(self) -> Tensor: ...
    @property
    def y_mean(self) -> Mapping[str, Tensor]: ...
    @property
    def y_scale(self) -> Mapping[str, Tensor]: ...
    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...
    @property
    def classes(self) -> Mapping[str, int]: ...


class Computed:
    """Quantities of latents: computed from the decoded output, or read from the latent where the output gives none.

    Args:
        space: the space that reads the others.
        decoder: maps latents (n, D) to an output.
        quantities: maps the output to quantities.
    """

    def __init__(self, space: Space, decoder: Decoder | None, quantities: Quantities | None) -> None:
        if not callable(decoder) or not (callable(quantities) or isinstance(quantities, Mapping)):
            raise OptionError(
                "decoder must be a function of latents, and quantities a function of its output or a dict of functions,"
                f" got {type(decoder).__name__} and {type(quantities).__name__}. Pass both, or neither."
            )
        self.space, self.decoder, self.quantities = space, decoder, quantities

    def __call__(self, z: Tensor) -> dict[str, Tensor]:
        """Return what the decoded output gives, {name: (n, P)} in float64; NaN where the output is not finite."""
        output, broken = self.decoder(z), None
        if isinstance(output, Tensor) and output.shape[:1] == z.shape[:1] and not output.isfinite().all():
            finite = output.isfinite().flatten(1).all(1)
            output = torch.where(finite.reshape(-1, *[1] * (output.dim() - 1)), output, 0.0)
            broken = ~finite[:, None]
        given = quantities_of(output, self.quantities)
        names = as_names(given, self.space.names, of="The space holds")
        y = {name: self._flat(name, given[name], len(z)) for name in names}
        return y if broken is None else {name: values.masked_fill(broken, torch.nan) for name, values in y.items()}

    def read(self, z: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Return what the space reads of latents in float64, {name: (n, P)}."""
        space, read = self.space, {}
        for name in names:
            M = (space.W[name].double().mT @ space.A[name].double()).to(z.device)
            read[name] = space.y_mean[name].to(z) + (z - space.z_mean.to(z)) @ M
        return read

    def _flat(self, name: str, y: Any, n: int) -> Tensor:
        y, P = as_floating(y, what=f"Quantity {name!r} of the decoded output"), len(self.space.y_mean[name])
        if y.shape[:1] != (n,) or y.numel() != n * P:
            raise ShapeError(
                f"Quantity {name!r} of the decoded output must have shape {(n, *self.space.shapes[name])}, got "
                f"{tuple(y.shape)}. Compute it as for the space, pooled to the same resolution."
            )
        return y.double().reshape(n, P)


class _Objective:
    r"""The function of whitened coordinates u that an edit minimises, for each of n latents.

    .. math:: \sum_q \frac{\|y_q - t_q\|^2}{P_q \sigma_q^2} + \lambda \Bigl(\|u\|^2
              + \sum_j \frac{\|y_j - y_j^0\|^2}{P_j \sigma_j^2}\Bigr)

    with the edited quantities q, the kept ones j, and their values :math:`y^0` before the edit.
    """

    def __init__(
        self,
        computed: Computed,
        z: Tensor,
        targets: Mapping[str, Tensor],
        keep: Collection[str] | Literal["others"],
        L: Tensor,
        penalty: float,
    ) -> None:
        self.computed, self.z, self.x, self.L, self.penalty = computed, z, z.double(), L, penalty
        self.targets, self.keep = targets, keep
        self.before: dict[str, Tensor] = {}
        self.given: list[str] = []
        self.kept: list[str] = []

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values (n,) and the gradients (n, r)."""
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            y = self.quantities(self.latents(u))
            value = self.penalty * (u.square().sum(1) + self._error(y, self.before, self.kept))
            value = value + self._error(y, self.targets, self.targets)
            (gradient,) = torch.autograd.grad(value.sum(), u)
        return value.detach(), gradient

    def latents(self, u: Tensor) -> Tensor:
        """Latents of coordinates, in float64."""
        return self.x + u @ self.L.mT

    def quantities(self, x: Tensor) -> dict[str, Tensor]:
        """Quantities of latents that are edited or kept. The first call decides which these are."""
        y = self.computed(x.to(self.z.dtype))
        if not self.before:
            self._check(y, x)
        y |= self.computed.read(x, [name for name in (*self.targets, *self.kept) if name not in y])
        if not self.before:
            self.before = {name: values.detach() for name, values in y.items()}
        return y

    def _check(self, y: Mapping[str, Tensor], x: Tensor) -> None:
        names = list(self.targets)
        self.given = [name for name in names if name in y]
        if not self.given:
            raise NameMismatchError(
                f"quantities must give at least one of the edited quantities {names} of the decoded output, got "
                f"{list(y)}. Pass its function, or edit without a decoder."
            )
        for name in self.given:
            if x.requires_grad and not y[name].requires_grad:
                raise OptionError(
                    f"Quantity {name!r} of the decoded output must be differentiable by the latents, got a tensor "
                    "without a gradient. Compute it with torch, without torch.no_grad() and .detach()."
                )
        if isinstance(self.keep, str) and self.keep == "others":
            self.kept = [name for name in y if name not in names]
        else:
            self.kept = as_kept(self.keep, self.computed.space.names, names, of="The space holds")

    def _error(self, y: Mapping[str, Tensor], aims: Mapping[str, Tensor], names: Collection[str]) -> Tensor | float:
        scale = self.computed.space.y_scale
        return sum((((y[name] - aims[name]) / float(scale[name])).square().mean(1) for name in names), 0.0)


def decoded_edit(
    computed: Computed,
    z: Tensor,
    y: Mapping[str, Any],
    start: Tensor,
    whitening: Whitening,
    *,
    keep: Collection[str] | Literal["others"],
    steps: int,
    penalty: float,
    batch_size: int,
    progress: Progress | None,
) -> Tensor:
    """Return latents (..., D) whose decoded output has the targets; see :meth:`LatentSpace.edit`.

    Args:
        computed: the quantities of latents.
        z: latents (..., D).
        y: targets by name.
        start: the latents (..., D) of the edit without the decoder.
        whitening: the coordinates of steps.
        keep: what is kept.
        steps: passes of the decoder.
        penalty: λ.
        batch_size: latents that are decoded at a time.
        progress: called after each pass.
    """
    steps = check_count(steps, what="steps", least=3)
    penalty = check_number(penalty, what="penalty")
    batch_size = check_count(batch_size, what="batch_size")
    space = computed.space
    targets = {
        name: as_target(value, space.shapes[name], z, name=name, classes=space.classes.get(name))
        for name, value in y.items()
    }
    if not z.numel():
        return z.clone()
    with torch.inference_mode(False), torch.no_grad(), evaluating(computed.decoder):
        # A clone of a tensor of inference mode is a normal one, which autograd can record.
        flat, first = z.reshape(-1, z.shape[-1]).clone(), (start.double() - z.double()).reshape(-1, z.shape[-1])
        flat_targets = {name: t.reshape(len(flat), -1).clone() for name, t in targets.items()}
        L, V = (matrix.to(flat.device).clone() for matrix in whitening[:2])
        parts = [slice(i, i + batch_size) for i in range(0, len(flat), batch_size)]
        edited, report = [], _Report(space, len(parts) * (steps - 1), progress)
        for i, part in enumerate(parts):
            aims = {name: t[part] for name, t in flat_targets.items()}
            objective = _Objective(computed, flat[part], aims, keep, L, penalty)
            u = first[part] @ V.mT
            least = minimise(partial(report.counted, objective), torch.zeros_like(u), u, calls=steps - 1)
            report.passed((i + 1) * (steps - 1))
            edited.append(objective.latents(least.x).to(z.dtype))
            report.add(objective, edited[-1], least.x, least.failed)
    report.warn(whitening.distances)
    return torch.cat(edited).reshape(z.shape)


class _Report:
    """Counts passes, and collects what an edit is warned of."""

    def __init__(self, space: Space, total: int, progress: Progress | None) -> None:
        self.space, self.total, self.progress, self.done = space, total, progress, 0
        self.products: dict[str, Tensor] = {}
        self.squared_length: list[Tensor] = []
        self.n_failed = 0

    def counted(self, f: Callable[[Tensor], tuple[Tensor, Tensor]], u: Tensor) -> tuple[Tensor, Tensor]:
        """Call a function, and report a pass."""
        found = f(u)
        self.passed(self.done + 1)
        return found

    def passed(self, done: int) -> None:
        """Report that some passes are done."""
        if self.progress is not None and done > self.done:
            self.progress(done, self.total)
        self.done = done

    def add(self, objective: _Objective, edited: Tensor, u: Tensor, failed: Tensor) -> None:
        """Compare what a batch was asked with what its decoded output has."""
        after = objective.quantities(edited.double())
        for name in objective.given:
            asked, shown = (values - objective.before[name] for values in (objective.targets[name], after[name]))
            finite = (shown.isfinite() & asked.isfinite()).all(1)
            products = torch.stack([(shown * asked)[finite].sum(), asked[finite].square().sum()])
            self.products[name] = self.products.get(name, 0.0) + products / asked.shape[1]
        self.squared_length.append(u.square().sum(1))
        self.n_failed += int(failed.sum())

    def warn(self, distances: Distances) -> None:
        """Warn of outputs that are not finite, of long steps, and of low fidelity."""
        squared_length = torch.cat(self.squared_length)
        if self.n_failed:
            warn(
                f"The decoded output of {self.n_failed} of {len(squared_length)} samples was not finite at some step. "
                "These samples keep the best latent whose output was finite. Ask for a smaller change."
            )
        distances.warn_of(squared_length, or_else="raise the penalty")
        low = {
            name: shown / asked
            for name, (shown, asked) in ((n, pair.tolist()) for n, pair in self.products.items())
            if asked > 1e-12 * float(self.space.y_scale[name]) ** 2 and shown < LOW * asked
        }
        if low:
            fidelity = ", ".join(f"{value:.2f} of the change of {name!r}" for name, value in low.items())
            warn(
                f"The decoded output shows {fidelity} that was asked (edit fidelity). Ask for a smaller change, "
                "keep fewer of the other quantities, take more steps, or train a decoder for edits (EditLoss)."
            )
