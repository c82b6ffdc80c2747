"""A loss term that trains a decoder to follow edits of its latents."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from isospan._core.checks import as_names, check_latents, check_not_empty, check_targets
from isospan._core.decoding import Decoder, Quantities, quantities_of
from isospan._core.labels import encoded
from isospan.errors import NameMismatchError, ShapeError
from isospan.subspaces import Editor, LatentSpace


class EditLoss:
    r"""Mean squared error of quantities of decoded edits.

    Each sample of a batch is edited in one quantity q, to the value of another sample:

    .. math:: L = \frac1B \sum_i \frac{1}{P_q} \bigl\| (g_q(f(z_i')) - y_{q,\pi(i)}) / \sigma_q \bigr\|^2,
        \qquad z_i' = \mathrm{edit}(z_i, \{q : y_{q,\pi(i)}\}), \quad q = q(i)

    f is the decoder, g the quantities of its output, :math:`\sigma_q` the scale of the space. Batches are divided
    evenly among the quantities. A random cyclic shift pairs the samples. The edits are the affine maps of
    :meth:`~isospan.subspaces.LatentSpace.editor`, solved once; make a new loss after the space has been solved again.
    One evaluation costs one pass through the decoder.

    Gradients reach the decoder, and the encoder too unless z is detached.

    Args:
        space: the space whose edits are trained.
        names: quantities to edit, those that are functions of the output; by default all of the space.

    Raises:
        NameMismatchError: the space has no such quantity.
        NotSolvedError: the space does not hold the covariance of the latents.

    Example:
        >>> from isospan.subspaces import solve_subspaces
        >>> z = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> loss = EditLoss(solve_subspaces(z, {"sum": z.sum(1)}, k=1, ridge=0.0))
        >>> exact = loss(z, {"sum": z.sum(1)}, lambda z: 2 * z, lambda x: {"sum": x.sum(1) / 2})
        >>> ignored = loss(z, {"sum": z.sum(1)}, lambda z: 0 * z, lambda x: {"sum": x.sum(1) / 2})
        >>> round(float(exact), 6), round(float(ignored))
        (0.0, 1)
    """

    def __init__(self, space: LatentSpace, names: Collection[str] | None = None) -> None:
        names = space.names if names is None else as_names(names, space.names, of="The space holds")
        self.editors: dict[str, Editor] = {name: space.editor([name]) for name in names}
        self.scales: dict[str, Tensor] = {name: space.y_scale[name] for name in names}
        self.classes: Mapping[str, int] = space.classes

    def __repr__(self) -> str:
        return f"EditLoss({list(self.editors)})"

    def __call__(
        self,
        z: Tensor,
        y: Mapping[str, Tensor],
        decoder: Decoder,
        quantities: Quantities,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            z: latents (B, D), at least two.
            y: {name: (B, ...)} true values of the quantities of these samples, of class labels also classes (B,);
                others are ignored.
            decoder: maps latents (B, D) to the output of the network, in the order of the batch, so that it may use
                skip connections of the same samples.
            quantities: maps outputs to {name: (B, ...)}, or the function of each quantity by name.
            generator: of the shift and of the division among the quantities; by default that of torch.

        Raises:
            NameMismatchError: y or ``quantities`` lacks a quantity.
            DegenerateDataError: the batch has a single sample.
            ShapeError, DtypeError, DeviceMismatchError: z, y or a quantity does not fit.
        """
        z, names = check_latents(z, finite=False), list(self.editors)
        y = self._selected(y, z, what="y")
        first, shift = (int(torch.randint(n, (), generator=generator)) for n in (len(names), len(z) - 1))
        other = torch.arange(len(z), device=z.device).roll(shift + 1)
        rows = {name: slice((i - first) % len(names), None, len(names)) for i, name in enumerate(names)}
        edited = torch.empty_like(z)
        for name, some in rows.items():
            target = y[name][other[some]].reshape(-1, *self.editors[name].shapes[name])
            edited[some] = self.editors[name](z[some], {name: target})
        shown = self._selected(quantities_of(decoder(edited), quantities), z, what="The quantities of the output")
        errors = [
            ((shown[name] - y[name][other])[some] / self.scales[name].to(z)).square().mean(1).sum()
            for name, some in rows.items()
        ]
        return torch.stack(errors).sum() / len(z)

    def _selected(self, y: Mapping[str, Tensor], z: Tensor, *, what: str) -> dict[str, Tensor]:
        """The targets (B, P) of the edited quantities."""
        check_not_empty(y, what=what)
        if missing := [name for name in self.editors if name not in y]:
            raise NameMismatchError(
                f"{what} must name all of {list(self.editors)}, got {sorted(y)} without {missing}. Pass them, or make "
                "the loss of fewer quantities: EditLoss(space, names)."
            )
        known = encoded({name: y[name] for name in self.editors}, self.classes)
        flat = check_targets(known, batch=len(z), device=z.device, finite=False, what=what)
        for name, editor in self.editors.items():
            if flat[name].shape[1] != editor.y_mean[name].numel():
                raise ShapeError(
                    f"{what}: {name!r} must have shape {(len(z), *editor.shapes[name])}, as in the space, got "
                    f"{tuple(known[name].shape)}. Compute it as for the space, pooled to the same resolution."
                )
        return flat
