"""A latent space at a module of any model: read, erased and edited at every call."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from isospan._core.autocast import full_precision
from isospan._core.checks import as_names, check_not_empty, working_dtype
from isospan._core.warnings import warn
from isospan.errors import NameMismatchError, OptionError, ShapeError
from isospan.integrations._places import are_latents, replaced, tensors_in
from isospan.integrations._steps import Erasure, ReadOut, Step, Target
from isospan.subspaces import Eraser, LatentSpace

MOST_READ = 2**24
"""Numbers that are collected, 64 MiB in float32; beyond that the oldest calls are dropped."""

Read = Collection[str] | Callable[[dict[str, Tensor]], object]
"""Names of quantities to collect, or a function of all values."""


@contextmanager
def attach(
    module: nn.Module,
    space: LatentSpace,
    *,
    read: Read | None = None,
    edit: Mapping[str, Target] | None = None,
    erase: Collection[str] | Eraser | None = None,
    output: str | int | None = None,
) -> Iterator[dict[str, deque[Tensor]]]:
    r"""Read, erase and edit quantities in what a module outputs, at every call inside a ``with`` block.

    .. math:: y = \operatorname{decode}(z), \qquad z' = \operatorname{erase}(z), \qquad
              z'' = \operatorname{edit}(z')

    in this order, by a forward hook. The module may be any part of any model, such as a block of a language model, and
    may be called at every token of ``generate`` or several times a forward pass. The hook is removed at the end of the
    block, also after an exception. Equations are solved once, on entry; a call costs products with r × D matrices,
    where r is the number of coordinates that are erased or edited. Gradients flow through the changed latents.

    The edit is last, so it reaches its target also where quantities are erased. It does not change what the space reads
    of the others. What was erased stays uncorrelated with the latent, if targets are constants, or linear functions of
    the current value. For another order, attach twice: blocks on the same module apply in the order in which they were
    entered.

    Args:
        module: its output is, or holds, latents (..., D). In tuples, lists, dicts and dataclasses, such as the outputs
            of transformers, that is the only tensor whose last dimension is D.
        space: of these latents, such as of the hidden states of the module. It may be on another device.
        read: quantities to decode from z and to collect; or a function that is given all of them at every call, as
            {name: ``(..., *shape)``}, with gradients.
        edit: {name: target}, as for :meth:`LatentSpace.edit <isospan.subspaces.LatentSpace.edit>`; a target may also be
            a function from the current value ``(..., *shape)``, after erasure, to a target, such as
            ``lambda y: 1.2 * y``.
        erase: quantities whose coordinates are erased, as by :meth:`LatentSpace.erase
            <isospan.subspaces.LatentSpace.erase>`; or an :class:`~isospan.subspaces.Eraser`, which removes more.
        output: place of the latents where the output holds several tensors with D last: an index, a key or the name of
            a field, or several joined by dots, such as ``"hidden_states.3"``. The error lists the choices.

    Yields:
        The values of the quantities in ``read`` as {name: deque}, an entry a call, without gradients, on the device of
        the latents, in float32 (float64 for latents in float64). The entries hold at most 2\ :sup:`24` numbers
        together. Beyond that, the oldest are dropped; use a function for longer series.

    Raises:
        NameMismatchError: the space has no such quantity, or one is both edited and erased by name.
        NotSolvedError: the space does not hold the covariance of the latents, by which quantities are edited and
            erased.
        OptionError: module, space or eraser is something else; or, at a call, the place of the latents is not clear.
        ShapeError: the eraser is of other latents; or, at a call, no tensor has D last, or a target does not fit.
        DtypeError, NonFiniteError: a target is not real, or not finite.

    Warns:
        NumericalWarning: an edit reaches its target only in part; the module was never called; or values were dropped.

    Latents keep their dtype. The change is computed in float64, for half precision in float32. Values are not checked
    at calls, so NaN passes through. With nothing to change, the output is the same object. Under
    ``torch.nn.DataParallel`` the values of the replicas are collected in any order.

    Code that ``torch.compile`` has compiled before does not notice a hook inside it. Enter the block before the first
    call, or attach to the compiled module itself, which is not changed inside. Edits and erasure compile without graph
    breaks; a read breaks the graph.

    Example:
        >>> from isospan.subspaces import solve_subspaces
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        >>> x = torch.randn(200, 4)
        >>> with torch.no_grad():
        ...     space = solve_subspaces(model[:2](x), {"sum": x.sum(1)}, k=1)
        >>> with (
        ...     torch.no_grad(),
        ...     attach(model[1], space, edit={"sum": 2.0}),
        ...     attach(model[1], space, read="sum") as seen,
        ... ):
        ...     y = model(x)
        >>> seen["sum"][0][:3]
        tensor([2.0000, 2.0000, 2.0000])
    """
    with torch.inference_mode(False):  # else what is solved cannot be used with gradients later
        attachment = _Attachment(module, space, read=read, edit=edit, erase=erase, output=output)
    if attachment.does_nothing:
        yield attachment.values
        return
    handle = module.register_forward_hook(attachment.hook)
    try:
        yield attachment.values
    finally:
        handle.remove()
        attachment.is_active = False
    if not attachment.was_called:
        warn(
            f"{type(module).__name__} was not called inside the block, so nothing was read or changed. Attach to a "
            "module that the model calls. Code that was compiled before does not notice it: enter the block before the "
            "first call, or attach to the compiled module itself."
        )


class _Attachment:
    """The hook of one block, with what it has collected."""

    def __init__(
        self,
        module: nn.Module,
        space: LatentSpace,
        *,
        read: Read | None,
        edit: Mapping[str, Target] | None,
        erase: Collection[str] | Eraser | None,
        output: str | int | None,
    ) -> None:
        _check_types(module, space)
        self.of, self.latent_dim = type(module).__name__, space.latent_dim
        self.place = None if output is None else str(output)
        self.is_chosen = output is not None
        self.callback = read if callable(read) else None
        names = space.names if callable(read) else _names(read, space)
        self.values: dict[str, deque[Tensor]] = {} if callable(read) else {name: deque() for name in names}
        self.readouts = {name: ReadOut.solved(space, name, Erasure.of(space, ())) for name in names}
        self.step = _step(space, edit, erase)
        self.is_active, self.was_called, self.has_dropped, self.held = True, False, False, 0
        self.moved: dict[tuple[torch.device, torch.dtype], tuple[dict[str, ReadOut], Step | None]] = {}
        for parameter in module.parameters():
            if parameter.is_floating_point() and not parameter.is_meta:
                self.constants(parameter)
                break

    @property
    def does_nothing(self) -> bool:
        return not self.readouts and self.step is None

    def hook(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Return the changed output, or None where it does not change."""
        if not self.is_active:  # code compiled inside the block depends on this, and so ends with the block
            return None
        self.was_called = True
        z = self.latents(output)
        readouts, step = self.constants(z)
        with full_precision(z):
            x = z.to(_precision(z))
            if readouts:
                self.read({name: readout.at(x).to(working_dtype(z)) for name, readout in readouts.items()})
            if step is None:
                return None
            changed = step.apply(x).to(z.dtype)
        return changed if output is z else replaced(output, z, changed)

    def latents(self, output: Any) -> Tensor:
        """Return the tensor that holds the latents."""
        if isinstance(output, Tensor) and not self.is_chosen and are_latents(output, self.latent_dim):
            return output
        tensors = {".".join(map(str, place)): tensor for place, tensor in tensors_in(output)}
        choices = {place: tensor for place, tensor in tensors.items() if are_latents(tensor, self.latent_dim)}
        if self.place in choices:  # also one found before, where another tensor now has D last by chance
            return choices[self.place]
        if not choices:
            raise ShapeError(
                f"The output of {self.of} must hold a floating-point tensor whose last dimension is D = "
                f"{self.latent_dim} of the space, got {_listed(tensors) or type(output).__name__}. Attach to a module "
                "that outputs these latents, with their axis last, or solve a space from the outputs of this one."
            )
        if self.is_chosen or len({id(tensor) for tensor in choices.values()}) > 1:
            asked = f"output={self.place!r} is not among" if self.is_chosen else "only one may be the latents, got"
            raise OptionError(
                f"Of the output of {self.of}, {asked} the tensors whose last dimension is D = {self.latent_dim}: "
                f"{_listed(choices)}. Choose one by output=, or attach to a module inside that outputs it alone."
            )
        self.place = next(iter(choices))
        return choices[self.place]

    def constants(self, z: Tensor) -> tuple[dict[str, ReadOut], Step | None]:
        """Return what is solved on the device of the latents, in the precision of the computation."""
        key = (z.device, _precision(z))
        if key in self.moved:
            return self.moved[key]
        if torch.compiler.is_compiling():
            return self.constants_for(*key)
        with torch.inference_mode(False):  # else they cannot be used with gradients later
            self.moved[key] = self.constants_for(*key)
        return self.moved[key]

    def constants_for(self, device: torch.device, dtype: torch.dtype) -> tuple[dict[str, ReadOut], Step | None]:
        """Move what is solved."""
        readouts = {name: readout.to(device, dtype) for name, readout in self.readouts.items()}
        return readouts, None if self.step is None else self.step.to(device, dtype)

    def read(self, values: dict[str, Tensor]) -> None:
        """Pass the values of a call to the function of the user, or collect them."""
        if self.callback is not None:
            self.callback(values)
        elif torch.compiler.is_compiling():  # else each call would be compiled, since the number of calls is another
            collect: Any = torch.compiler.disable(self.collect)
            collect(values)
        else:
            self.collect(values)

    def collect(self, values: dict[str, Tensor]) -> None:
        """Append the values of a call."""
        for name, value in values.items():
            self.values[name].append(value.detach())
            self.held += value.numel()
        while self.held > MOST_READ and len(next(iter(self.values.values()))) > 1:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        """Drop the values of the oldest call."""
        self.held -= sum(collected.popleft().numel() for collected in self.values.values())
        if not self.has_dropped:
            self.has_dropped = True
            warn(
                f"More than {MOST_READ} numbers were read from {self.of}, so the oldest calls are dropped. Read fewer "
                "quantities, or pass read= a function that keeps what you need."
            )


def _check_types(module: Any, space: Any) -> None:
    if not isinstance(module, nn.Module):
        raise OptionError(f"module must be a torch.nn.Module, got {type(module).__name__}. Name a part of a model.")
    if not isinstance(space, LatentSpace):
        raise OptionError(
            f"space must be a LatentSpace, got {type(space).__name__}. Solve one with solve_subspaces(z, y), from "
            "outputs z of the module and quantities y."
        )


def _names(names: Collection[str] | None, space: LatentSpace) -> list[str]:
    """Names of quantities of the space, or none."""
    if names is None or (isinstance(names, Collection) and not len(names)):
        return []
    return as_names(names, space.names, of="The space holds")


def _step(space: LatentSpace, edit: Mapping[str, Target] | None, erase: Collection[str] | Eraser | None) -> Step | None:
    """Solve what changes the latents, if anything does."""
    if edit is None or (isinstance(edit, Mapping) and not edit):
        edit = {}
    else:
        check_not_empty(edit, what="edit")
    if not isinstance(erase, Eraser):
        erase = _names(erase, space)
        if both := sorted({*erase} & {*edit}):
            raise NameMismatchError(f"A quantity is either edited or erased, got {both} in both. Name it once.")
    elif len(erase.z_mean) != space.latent_dim:
        raise ShapeError(
            f"The eraser must be of latents with the D = {space.latent_dim} of the space, got D = {len(erase.z_mean)}. "
            "Make it from the moments of the outputs of this module."
        )
    return Step.of(space, erase, edit) if edit or isinstance(erase, Eraser) or erase else None


def _precision(z: Tensor) -> torch.dtype:
    """Twice that of the latents, as far as the device has it: rounded patterns would leave a part to read."""
    return torch.float32 if z.dtype.itemsize < 4 or z.device.type == "mps" else torch.float64


def _listed(tensors: Mapping[str, Tensor]) -> str:
    """Places and shapes, as text."""
    return ", ".join(
        f"{place!r} {tuple(tensor.shape)}" if place else f"{tuple(tensor.shape)}" for place, tensor in tensors.items()
    )
