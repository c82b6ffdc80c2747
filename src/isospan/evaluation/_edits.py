"""Evaluation of edits: what the decoded output shows of an asked change, and what else changes."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from isospan._core.checks import check_latents, check_names, check_targets
from isospan._core.decoding import Decoder, Progress, Quantities, quantities_of
from isospan._core.labels import encoded
from isospan._core.modes import evaluating
from isospan.errors import NameMismatchError, NumericalWarning, ShapeError
from isospan.subspaces import LatentSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

BY_QUANTITY = ("linear_share", "linear_r2", "linear_step", "decoded_share", "decoded_r2", "decoded_step")
"""Attributes with one number a quantity."""
BY_PAIR = ("linear_side_effects", "decoded_side_effects", "specificity")
"""Attributes with one number for each two quantities."""


@dataclass(frozen=True, eq=False)
class EditEvaluation:
    r"""Fidelity, side effects, lengths and specificity of edits to the values of other samples.

    With the change a that is asked of a quantity of the decoded output, and the change c that it shows, over all
    samples and entries,

    .. math:: \text{share} = \frac{\sum a c}{\sum a^2}, \qquad R^2 = 1 - \frac{\sum (c - a)^2}{\sum a^2} .

    Attributes:
        names: names of the quantities, in the order of the matrices below.
        linear_share: share of the asked change by the linear edit.
        linear_r2: R² of the linear edit. Below 0 the result is farther from the target than the value before.
        linear_step: root mean square length of its steps, over that of the distance of two latents, both in the metric
            of the inverse covariance of the latents.
        decoded_share: share by the edit through the decoder.
        decoded_r2: R² of the edit through the decoder.
        decoded_step: length of its steps.
        linear_side_effects: (Q, Q), [i, j]: root mean square change of quantity j by the linear edit of i, in standard
            deviations of j. The diagonal is NaN.
        decoded_side_effects: the same by the edit through the decoder.
        specificity: (Q, Q), [i, j]: change of quantity i by its own linear steps, over its change by the linear steps
            of j, which are scaled to the same lengths. The diagonal is NaN.
        n_samples: how many samples were edited.
    """

    names: tuple[str, ...]
    linear_share: dict[str, float]
    linear_r2: dict[str, float]
    linear_step: dict[str, float]
    decoded_share: dict[str, float]
    decoded_r2: dict[str, float]
    decoded_step: dict[str, float]
    linear_side_effects: Tensor
    decoded_side_effects: Tensor
    specificity: Tensor
    n_samples: int

    @property
    def largest_side_effect(self) -> dict[str, float]:
        """The largest side effect of each edit through the decoder; NaN for a single quantity."""
        rows = self.decoded_side_effects.tolist()
        return {name: _extreme(row, max) for name, row in zip(self.names, rows, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dicts, ready for JSON."""
        return {
            "names": list(self.names),
            "n_samples": self.n_samples,
            **{key: dict(getattr(self, key)) for key in BY_QUANTITY},
            **{key: getattr(self, key).tolist() for key in BY_PAIR},
        }

    def to_frame(self) -> "DataFrame":
        """Return one row a quantity (needs pandas)."""
        from pandas import DataFrame

        return DataFrame(self._columns(), index=list(self.names))

    def __repr__(self) -> str:
        columns = self._columns()
        width = max(map(len, ("quantity", *self.names)))
        lines = ["  ".join([f"{'quantity':<{width}}", *columns])]
        for name in self.names:
            cells = (f"{values[name]:>{len(heading)}.3f}" for heading, values in columns.items())
            lines.append("  ".join([f"{name:<{width}}", *cells]))
        return "\n".join([f"Edits of {self.n_samples} samples to the values of others", *lines])

    def _columns(self) -> dict[str, dict[str, float]]:
        """Numbers by quantity; of the matrices the largest side effect and the least specificity."""
        specificity = [_extreme(row, min) for row in self.specificity.tolist()]
        return {
            **{key: getattr(self, key) for key in BY_QUANTITY},
            "side_effect": self.largest_side_effect,
            "specificity": dict(zip(self.names, specificity, strict=True)),
        }

    def plot(self) -> "Figure":
        """Draw fidelity, side effects of the edits through the decoder, and specificity (needs matplotlib)."""
        from isospan.plotting import plot_edits

        return plot_edits(self)


def evaluate_edits(
    space: LatentSpace,
    decoder: Decoder,
    quantities: Quantities,
    z: Tensor,
    y: Mapping[str, Tensor],
    *,
    steps: int = 30,
    penalty: float = 1e-3,
    batch_size: int = 256,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> EditEvaluation:
    """Edit each quantity of held-out latents to its value in another sample, and compare the decoded output.

    Each edit is made twice, linearly and through the decoder, as by :meth:`~isospan.subspaces.LatentSpace.edit` with
    its other defaults. The asked change is the difference of the target and the value of the decoded output before.

    Args:
        space: the latent space.
        decoder: maps latents (n, D) to an output.
        quantities: maps the output to {name: (n, ...)}, or the function of each quantity by name.
        z: held-out latents (N, D).
        y: true quantities {name: (N, ...)}, in their units; these are edited. Of class labels also classes (N,).
        steps: how often an edit through the decoder computes it, at most.
        penalty: of the length of a step, and of the change of the other quantities.
        batch_size: latents that are decoded at a time.
        generator: draws which samples give the targets; by default sample i takes the value of sample i + N/2.
        progress: called as ``progress(done, total)`` after each pass of the decoder in an edit through it.

    Raises:
        NameMismatchError: y names quantities that the space or the output do not have.
        ShapeError, DtypeError, NonFiniteError: z, y or the output do not fit.
        DegenerateDataError: fewer than two samples.
        NotSolvedError: the space does not hold the covariance of the latents.

    Example:
        >>> import torch
        >>> from isospan.subspaces import solve_subspaces
        >>> z = torch.randn(200, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> quantities = {"first": lambda x: x[:, :1], "square": lambda x: x[:, 1:2] ** 2 + x[:, 1:2]}
        >>> y = {name: function(z) for name, function in quantities.items()}
        >>> evaluation = evaluate_edits(solve_subspaces(z, y, k=1), lambda z: z, quantities, z, y)
        >>> {name: round(r2, 2) for name, r2 in evaluation.decoded_r2.items()}
        {'first': 1.0, 'square': 1.0}
    """
    z = check_latents(z)
    space.check_width(z)
    flat = check_targets(encoded(y, space.classes), batch=len(z), device=z.device)
    flat = {name: values.double() for name, values in flat.items()}
    check_known(space, flat)
    N, names = len(z), [name for name in space.names if name in flat]
    order = torch.arange(N).roll(-(N // 2))
    if generator is not None:
        order = torch.randperm(N, generator=generator)
        order = torch.empty_like(order).scatter_(0, order, order.roll(1))  # a cycle: no sample keeps its own value
    measure = _Measure(space, decoder, quantities, z, batch_size)
    check_names(names, set(names) & set(measure.before), what="The decoded output", against="y")
    targets = {name: flat[name][order.to(z.device)].reshape(N, *space.shapes[name]) for name in names}
    linear, decoded = dict[str, Tensor](), dict[str, Tensor]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)  # the result has the numbers
        for i, name in enumerate(names):
            aim = {name: targets[name]}
            linear[name] = space.edit(z, aim)
            decoded[name] = space.edit(
                z,
                aim,
                decoder=decoder,
                quantities=quantities,
                steps=steps,
                penalty=penalty,
                batch_size=batch_size,
                progress=_part(progress, i, len(names)),
            )
    scores: dict[str, dict[str, float]] = {key: {} for key in BY_QUANTITY}
    side: dict[str, list[list[float]]] = {"linear": [], "decoded": []}
    for name in names:
        for how, edited in (("linear", linear[name]), ("decoded", decoded[name])):
            change = measure.change(edited)
            share, r2 = fidelity(targets[name].reshape(N, -1) - measure.before[name], change[name])
            scores[f"{how}_share"][name], scores[f"{how}_r2"][name] = share, r2
            scores[f"{how}_step"][name] = float(space.step_length(z, edited).square().mean().sqrt())
            side[how].append([measure.effect(change, j) if j != name else float("nan") for j in names])
    return EditEvaluation(
        names=tuple(names),
        **scores,
        linear_side_effects=torch.tensor(side["linear"], dtype=torch.float64),
        decoded_side_effects=torch.tensor(side["decoded"], dtype=torch.float64),
        specificity=torch.tensor(
            [[measure.specificity(i, linear[i], linear[j]) if i != j else float("nan") for j in names] for i in names],
            dtype=torch.float64,
        ),
        n_samples=N,
    )


def fidelity(asked: Tensor, shown: Tensor) -> tuple[float, float]:
    """Return the share of an asked change (N, P) that is shown, and R², over the samples that are finite.

    Example:
        >>> fidelity(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5], [1.0]]))
        (0.5, 0.75)
    """
    finite = (asked.isfinite() & shown.isfinite()).all(1)
    asked, shown = asked[finite].double(), shown[finite].double()
    total = asked.square().sum()
    return float((asked * shown).sum() / total), float(1 - (shown - asked).square().sum() / total)


class _Measure:
    """The quantities of decoded latents, beside those before the edits."""

    def __init__(
        self, space: LatentSpace, decoder: Decoder, quantities: Quantities, z: Tensor, batch_size: int
    ) -> None:
        self.space, self.decoder, self.quantities, self.z, self.batch_size = space, decoder, quantities, z, batch_size
        self.before = self._decoded(z)

    @torch.no_grad()
    def _decoded(self, z: Tensor) -> dict[str, Tensor]:
        with evaluating(self.decoder):
            parts = [quantities_of(self.decoder(some), self.quantities) for some in z.split(self.batch_size)]
        return {name: torch.cat([part[name] for part in parts]).double().reshape(len(z), -1) for name in parts[0]}

    def change(self, edited: Tensor) -> dict[str, Tensor]:
        """Changes of the quantities of the decoded output."""
        return {name: after - self.before[name] for name, after in self._decoded(edited).items()}

    def effect(self, change: Mapping[str, Tensor], name: str) -> float:
        """Root mean square change in standard deviations."""
        return float(change[name].square().nanmean().sqrt() / self.space.y_scale[name])

    def specificity(self, name: str, own: Tensor, other: Tensor) -> float:
        """Effect of the steps of a quantity over that of other steps, scaled to the same lengths."""
        length, from_other = (self.space.step_length(self.z, edited) for edited in (own, other))
        ratio = torch.where(from_other > 0, length / from_other, 0.0)[:, None]
        same = self.z.double() + ratio * (other.double() - self.z.double())
        by_own, by_other = (self.effect(self.change(z), name) for z in (own, same.to(self.z.dtype)))
        return float(torch.tensor(by_own, dtype=torch.float64) / by_other)  # infinity, or NaN, where by_other is 0


def check_known(space: LatentSpace, y: Mapping[str, Tensor]) -> None:
    """Require quantities of the space, with its numbers of entries."""
    if unknown := sorted(set(y) - set(space.names)):
        raise NameMismatchError(f"The space holds the quantities {space.names}, got {unknown} too. Leave them out.")
    for name, values in y.items():
        if values.shape[1] != (P := len(space.y_mean[name])):
            raise ShapeError(
                f"Targets of quantity {name!r} must have P = {P} entries, as in the space, got {values.shape[1]}. Pool "
                "them as in training."
            )


def _part(progress: Progress | None, i: int, n: int) -> Progress | None:
    """The progress of part i of n equal ones."""
    return progress and (lambda done, total: progress(i * total + done, n * total))


def _extreme(row: list[float], of: Callable[..., float]) -> float:
    return of((value for value in row if not isnan(value)), default=float("nan"))
