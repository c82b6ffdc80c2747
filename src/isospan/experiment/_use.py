"""Using a trained run: read the quantities of new fields, edit them, and score the run."""

import os
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, Self, TypeAlias, overload

import numpy as np
import torch
from torch import Tensor

from isospan._core.files import PathLike, explained
from isospan._core.launch import check_usable
from isospan._core.warnings import warn
from isospan.errors import (
    DegenerateDataError,
    FileFormatError,
    NameMismatchError,
    NumericalWarning,
    OptionError,
)
from isospan.evaluation import Evaluation, evaluate_moments
from isospan.experiment._data import Source, read_source
from isospan.experiment._edits import Change, Edited, parse_change
from isospan.experiment._headers import are_all, check_fields, is_count, is_dict_of, is_number, is_optional, is_text
from isospan.experiment._loading import load_installed, load_object
from isospan.experiment._names import check_quantity_names
from isospan.experiment._targets import ARRAY, Function, Quantity, Targets, parse_quantities
from isospan.experiment.networks import ConvAutoencoder
from isospan.experiment.networks._description import Encoder, load_network
from isospan.experiment.readers._fields import as_list
from isospan.experiment.samples import Samples, read_batches, select
from isospan.experiment.training import encode_samples, encoded_moments
from isospan.quantities.fields import BUILTIN_QUANTITIES
from isospan.subspaces import LatentSpace

FAR = 5.0
"""Distance of a target from the mean of the training data, in standard deviations, from which :func:`edit` warns."""
Functions = Mapping[str, str | Function]
Arrays: TypeAlias = dict[str, np.ndarray]

RECORD = {
    "channels": (are_all(is_text), "a list of names"),
    "quantities": (is_dict_of(is_text), "a dict of strings"),
    "dims": (
        is_dict_of(
            lambda pair: are_all(is_optional(is_count), count=2)(pair) and pair[1] is not None  # n may be None
        ),
        "a dict of pairs (n, k)",
    ),
    "settings": (is_dict_of(lambda value: True), "a dict"),
}
SETTINGS = {
    "sample_dim": (lambda value: value is None or is_text(value) or value == 0 or is_count(value), "a name or number"),
    "fill": (is_optional(is_number), "a finite number or null"),
    "dx": (lambda value: is_number(value) or are_all(is_number, count=2)(value), "one number or two"),
    "periodic": (lambda value: isinstance(value, bool), "true or false"),
}


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The network and the latent space of a finished run.

    Names in its files are only imported with ``trust=True``, since importing runs code. Decoding and editing need no
    function of a quantity; computing the quantity from fields does.

    Attributes:
        model: the network, in evaluation mode.
        space: its latent space.
        record: the settings and quantities of the run.
        functions: {name: how} of quantities, instead of the names in the files.
        trust: whether functions named in the files are imported from installed modules.
    """

    model: ConvAutoencoder
    space: LatentSpace
    record: Mapping[str, Any]
    functions: Functions = field(default_factory=dict)
    trust: bool = False

    def __repr__(self) -> str:
        names = shorten(", ".join(self.space.names), 120, placeholder=" …")
        return f"TrainedRun({type(self.model).__name__}, {names}; latent_dim={self.space.latent_dim})"

    @classmethod
    def load(
        cls,
        directory: PathLike,
        *,
        device: str = "cpu",
        encoder: Encoder | None = None,
        quantities: Functions | None = None,
        trust: bool = False,
    ) -> Self:
        """Load a finished run.

        Args:
            directory: directory of the run.
            device: device to compute on.
            encoder: class or name of the user's encoder, if the run was trained with one.
            quantities: {name: function or its name} of quantities with functions of the user.
            trust: import from installed modules the encoder and functions that the files name and that are not passed.
                Importing runs code: set it only for files whose author you trust.

        Raises:
            FileFormatError: the directory has no finished run, or a file is damaged, or a field in it has another type.
            NameMismatchError: ``quantities`` has a name that the run does not have.
            OptionError: the device cannot be used, or the encoder is neither passed nor trusted.
        """
        check_usable(device)
        directory = Path(directory)
        if not (directory / "model.safetensors").is_file():
            raise FileFormatError(f"{os.fspath(directory)} must hold a finished run, but has no model.safetensors.")
        space = _load_space(directory / "space.safetensors")
        model, record = load_network(directory / "model.safetensors", trust=trust, encoder=encoder)
        _check_record(record, space, directory)
        unknown = sorted(set(quantities or {}) - set(space.names))
        if unknown:
            raise NameMismatchError(f"The run has the quantities {space.names}, got {unknown}. Correct the names.")
        return cls(model.to(device), space.to(device=device), record, dict(quantities or {}), trust)

    def open(self, files: PathLike | Sequence[PathLike]) -> Source:
        """Open the fields of files: the variables that the network was trained on."""
        settings, paths = self.record["settings"], as_list(files)
        channels = None if all(path.suffix == ".npy" for path in paths) else self.record["channels"] or None
        return read_source(paths, variable=channels, sample_dim=settings["sample_dim"], fill=settings["fill"])

    def encode(self, samples: Samples) -> Tensor:
        """Return the latents (N, D) of samples."""
        return encode_samples(self.model, samples)

    @overload
    def decode(self, samples: Samples, *, std: Literal[False] = False) -> Arrays: ...
    @overload
    def decode(self, samples: Samples, *, std: Literal[True]) -> tuple[Arrays, Arrays]: ...
    def decode(self, samples: Samples, *, std: bool = False) -> Arrays | tuple[Arrays, Arrays]:
        """Return every quantity {name: (N, ...)}, read from the latents of samples.

        They are float64, so that a quantity with a large offset keeps its digits.

        Args:
            samples: the fields.
            std: return also the standard deviations of the errors, in a second dict of the same shapes.

        Raises:
            NotSolvedError: ``std`` of a run of version 0.1.0, whose files have no residuals.
        """
        z = self.encode(samples).double()
        if not std:
            return _arrays(self.space.decode(z))
        y, deviations = self.space.decode(z, std=True)
        return _arrays(y), _arrays(deviations)

    def edit(
        self,
        z: Tensor,
        targets: Mapping[str, Tensor],
        quantities: Targets | None = None,
        *,
        linear: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Edited:
        """Change latents (N, D) so that quantities reach their targets {name: (N, ...)} and the others do not change.

        If an edited quantity is a function of the fields, the edit goes through the decoder: the quantity of the
        decoded fields has the target. See :meth:`isospan.subspaces.LatentSpace.edit`.

        Args:
            z: the latents.
            targets: values to set the quantities to.
            quantities: computes the quantities that are functions of the fields, before and after.
            linear: edit by one matrix product, so that the quantities that are read from the latents have the targets.
            progress: called as ``progress(done, total)`` after each pass of the decoder.

        Warns:
            NumericalWarning: a target is far from the training data, or cannot be reached; or the run is of version
                0.1.0, so the step is the shortest instead of the shortest in the metric of the latents' covariance.
        """
        self._warn_if_far(targets)
        if self.space.cov_zz is None:
            warn(
                "This run is of version 0.1.0, whose files have no covariance of the latents. The edit takes the "
                "shortest step instead of the one along the patterns of the data. Train again to edit along patterns."
            )
        before = self.fields(z)
        functions = quantities.functions(self.space.names) if quantities else Targets(())
        differentiable = Targets(()) if linear or self.space.cov_zz is None else self._differentiable(functions, before)
        decoded = tuple(name for name in differentiable.names if name in targets)
        if decoded:
            edited = self.space.edit(
                z,
                targets,
                keep=[name for name in self.space.names if name not in targets],
                decoder=self.model.decode,
                quantities=lambda fields: differentiable(Samples(fields)),
                progress=progress,
            )
        else:
            edited = self.space.edit(z, targets, metric="euclidean" if self.space.cov_zz is None else "covariance")
        after = self.fields(edited)
        computed = [_computed(functions, fields) if functions.names else {} for fields in (before, after)]
        readings = self.space.decode(z), self.space.decode(edited)
        scales = {name: float(scale) for name, scale in self.space.y_scale.items()}
        return Edited(before, after, dict(targets), *readings, edited, *computed, scales=scales, decoded=decoded)

    def _differentiable(self, functions: Targets, fields: Tensor) -> Targets:
        """The functions with a gradient by the fields; a warning names the others."""
        found = functions.differentiable(fields.to(next(self.model.parameters()).device))
        if others := [name for name in functions.names if name not in found.names]:
            warn(
                f"The functions of {others} have no gradient by the fields, so these quantities are edited and kept as "
                "they are read from the latents. Compute them with torch, without NumPy and torch.no_grad()."
            )
        return found

    def targets(self, names: Collection[str] | None = None, source: Source | None = None) -> Targets:
        """Return the quantities of the run that can be computed: functions of the fields, and arrays of a source.

        Args:
            names: names of the quantities; by default all. Only their functions are imported.
            source: the fields, with the arrays of their files; without it arrays are left out.

        Warns:
            NumericalWarning: a function is left out, since it is neither passed nor trusted, or cannot be imported.
        """
        settings, dims = self.record["settings"], self.record["dims"]
        dx = tuple(settings["dx"]) if isinstance(settings["dx"], list) else settings["dx"]
        n = {name: pooled for name, (pooled, _) in dims.items()}
        wanted = self.space.names if names is None else names
        found = tuple(quantity for name in wanted for quantity in self._found(name, source))
        return Targets(found, dx=dx, periodic=settings["periodic"], n=n)

    def _targets_of_edit(self, names: Collection[str]) -> Targets:
        """Return these quantities and, to measure side effects, the others that can be computed from the fields.

        Warns:
            NumericalWarning: the function of one of these quantities is left out.
        """
        edited = self.targets(names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericalWarning)  # what is not edited need not be computed
            others = self.targets([name for name in self.space.names if name not in names])
        return replace(edited, quantities=edited.quantities + others.quantities)

    def _found(self, name: str, source: Source | None) -> tuple[Quantity, ...]:
        """The quantity, or none where its function or array is not available."""
        where = {"variables": source.variables, "left_out": source.left_out} if source else {}
        if name in self.functions:
            return parse_quantities({name: self.functions[name]}, load=load_object, **where)
        how = self.record["quantities"][name] or name
        if how.startswith(ARRAY) and source is None:
            return ()
        if how.startswith(ARRAY) or how in BUILTIN_QUANTITIES:
            return parse_quantities({name: how}, **where)
        try:
            return parse_quantities({name: how}, load=load_installed if self.trust else _not_trusted)
        except OptionError as error:
            warn(
                f"Quantity {name!r} is decoded and edited, but not computed from fields. {error} Pass the function "
                f"with quantities={{{name!r}: FUNCTION}}."
            )
            return ()

    def _warn_if_far(self, targets: Mapping[str, Tensor]) -> None:
        for name, y in targets.items():
            mean, scale = self.space.y_mean[name].to(y), self.space.y_scale[name].to(y)
            far = float(((y.flatten(1) - mean) / scale).square().mean(1).sqrt().max())
            if far > FAR:
                warn(
                    f"A target of {name!r} is {far:.2g} standard deviations from the mean of the training data, which "
                    "hardly ever exceed 3, so the network extrapolates. Choose a target closer to the mean."
                )

    @torch.no_grad()
    def fields(self, z: Tensor) -> Tensor:
        """Return the fields (N, C, H, W) decoded from latents, in batches."""
        batches = read_batches(Samples(z), 256)
        return torch.cat([self.model.decode(batch.tensors()[0]).cpu() for batch in batches])


@overload
def decode(
    directory: PathLike,
    files: PathLike | Sequence[PathLike],
    *,
    std: Literal[False] = False,
    device: str = "cpu",
    encoder: Encoder | None = None,
    trust: bool = False,
) -> Arrays: ...
@overload
def decode(
    directory: PathLike,
    files: PathLike | Sequence[PathLike],
    *,
    std: Literal[True],
    device: str = "cpu",
    encoder: Encoder | None = None,
    trust: bool = False,
) -> tuple[Arrays, Arrays]: ...
def decode(
    directory: PathLike,
    files: PathLike | Sequence[PathLike],
    *,
    std: bool = False,
    device: str = "cpu",
    encoder: Encoder | None = None,
    trust: bool = False,
) -> Arrays | tuple[Arrays, Arrays]:
    """Read every quantity of the fields in files.

    Args:
        directory: directory of a finished run.
        files: files of fields with the same variables and size.
        std: return also the standard deviations of the errors; see :meth:`TrainedRun.decode`.
        device: device to compute on.
        encoder: see :meth:`TrainedRun.load`.
        trust: see :meth:`TrainedRun.load`.

    Returns:
        {name: (N, ...)}, pooled as in the run, in the units of the quantity; with ``std`` a pair of these.
    """
    run = TrainedRun.load(directory, device=device, encoder=encoder, trust=trust)
    samples = run.open(files).samples
    return run.decode(samples, std=True) if std else run.decode(samples)


def edit(
    directory: PathLike,
    files: PathLike | Sequence[PathLike],
    changes: Mapping[str, Change],
    *,
    device: str = "cpu",
    encoder: Encoder | None = None,
    quantities: Functions | None = None,
    trust: bool = False,
    linear: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Edited:
    """Change quantities of the fields in files, with as little change of the other quantities as possible.

    Quantities that are functions of the fields are edited through the decoder; see :meth:`TrainedRun.edit`.

    Args:
        directory: directory of a finished run.
        files: files of fields with the same variables and size.
        changes: {name: target}. A number is set everywhere. ``"*1.5"`` and ``"+0.2"`` change the value read from the
            latent. An array, or the path of a ``.npy`` or ``.npz`` file, is pooled as in the run if it is not yet.
        device: device to compute on.
        encoder: see :meth:`TrainedRun.load`.
        quantities: {name: function or its name} of quantities with functions of the user.
        trust: see :meth:`TrainedRun.load`.
        linear: see :meth:`TrainedRun.edit`.
        progress: see :meth:`TrainedRun.edit`.

    Warns:
        NumericalWarning: the function of a changed quantity is neither passed nor trusted, so that it is edited by the
            matrix product and its edit fidelity is not computed; or a target is far from the training data, a step is
            long, or the decoded fields show less than half of a change.

    Raises:
        NameMismatchError: the run does not have such a quantity.
        OptionError: a change has another form.
        ShapeError: the shape of an array does not fit.
    """
    run = TrainedRun.load(directory, device=device, encoder=encoder, quantities=quantities, trust=trust)
    source = run.open(files)
    z = run.encode(source.samples).double()  # float64: a quantity with a large offset keeps its digits
    read = run.space.decode(z)
    unknown = sorted(set(changes) - set(read))
    if unknown or not changes:
        raise NameMismatchError(
            f"The changes must name some of the quantities {list(read)}, got {list(changes)}. Correct the names."
        )
    targets = {name: parse_change(name, how, read[name]) for name, how in changes.items()}
    edited = run.edit(z, targets, run._targets_of_edit(changes), linear=linear, progress=progress)
    return replace(edited, sample_coordinate=source.sample_coordinate)


def probe(
    directory: PathLike,
    files: PathLike | Sequence[PathLike],
    *,
    device: str = "cpu",
    encoder: Encoder | None = None,
    quantities: Functions | None = None,
    trust: bool = False,
) -> Evaluation:
    """Score a run on fields in files, from which its quantities can be computed. Probes are cross-fitted on halves.

    A score is NaN where half of the samples are fewer than two for each degree of freedom of the probe's input. The
    inputs are the k coordinates (``subspace_r2``, ``cross_r2``), the D latents (``rank_k_probe_r2``,
    ``linear_probe_r2``) or the P entries of a quantity (``target_r2``). Constant or repeated inputs do not count.
    ``decoder_r2`` needs no probe.

    Quantities whose functions are neither passed nor trusted are not scored, and their subspaces count as free.

    Args:
        directory: directory of a finished run.
        files: files of fields with the same variables and size, and with the arrays that are quantities.
        device: device to compute on.
        encoder: see :meth:`TrainedRun.load`.
        quantities: {name: function or its name} of quantities with functions of the user.
        trust: see :meth:`TrainedRun.load`.

    Warns:
        NumericalWarning: some quantities or probes are left out.

    Raises:
        OptionError: no quantity can be computed, or the files lack the array of one.
    """
    run = TrainedRun.load(directory, device=device, encoder=encoder, quantities=quantities, trust=trust)
    source = run.open(files)
    targets = run.targets(source=source)
    if not targets.names:
        raise OptionError(
            f"At least one of the quantities {run.space.names} must be computed from the fields, and none can be. Pass "
            "their functions with quantities={NAME: FUNCTION}, or trust=True if you trust who wrote the run."
        )
    samples = source.with_quantities([quantity.variable for quantity in targets.quantities if quantity.variable])
    first, second = (
        encoded_moments(run.model, half, targets, target_covariance=targets.several) for half in halves(samples)
    )
    return evaluate_moments(_restricted(run.space, targets.names), [(second, first), (first, second)])


def halves(samples: Samples) -> tuple[Samples, Samples]:
    """Split samples into two halves, without reading them.

    Raises:
        DegenerateDataError: a half would have fewer than two samples.

    Example:
        >>> [len(half) for half in halves(Samples(torch.zeros(5, 1, 4, 4)))]
        [2, 3]
    """
    n = len(samples)
    if n < 4:
        raise DegenerateDataError(f"Cross-fitting needs at least 4 samples, got {n}. Pass files of more samples.")
    return select(samples, [range(n // 2)]), select(samples, [range(n // 2, n)])


def _not_trusted(reference: str) -> Any:
    raise OptionError(
        f"The files of the run name the function {reference!r}, which is only imported with trust=True and from an "
        "installed module, since importing runs code."
    )


def _load_space(path: Path) -> LatentSpace:
    remedy = "Pass the directory of a finished run."
    with explained(path, what="is not a latent space that can be used", remedy=remedy):
        space = LatentSpace.load(path)
        check_quantity_names(space.names)
        return space


def _check_record(record: Mapping[str, Any], space: LatentSpace, directory: Path) -> None:
    """Require that a record has fields of the right types, and the quantities of the space."""
    check_fields(record, RECORD, of="run")
    check_fields(record["settings"], SETTINGS, of="settings of the run")
    names = [sorted(record[what]) for what in ("quantities", "dims")]
    if names != [sorted(space.names)] * 2:
        raise FileFormatError(
            f"The files in {os.fspath(directory)} must be of one run, got a space with {sorted(space.names)}, "
            f"quantities {names[0]} and sizes of {names[1]}. Pass the directory of a finished run."
        )
    unlike = {name: n for name, (n, _) in record["dims"].items() if n and space.shapes[name][-1:] != (n,)}
    if unlike:
        raise FileFormatError(
            f"The pooled sizes must be those of the space, {dict(space.shapes)}, got {unlike} in "
            f"{os.fspath(directory)}. Pass the directory of a finished run."
        )
    k = {name: len(W) for name, W in space.W.items()}
    other = {name: k_run for name, (_, k_run) in record["dims"].items() if k_run != k[name]}
    if other:
        raise FileFormatError(
            f"The subspace dimensions must be those of the space, k = {k}, got {other} in {os.fspath(directory)}. Pass "
            "the directory of a finished run."
        )


def _restricted(space: LatentSpace, names: Sequence[str]) -> LatentSpace:
    """Return the space with the subspaces of these quantities only."""
    parts = ("W", "A", "y_mean", "y_scale", "shapes", "residual_std", "scores", "n_samples")
    held = {what: getattr(space, what) for what in parts if getattr(space, what) is not None}
    return replace(space, **{what: {name: values[name] for name in names} for what, values in held.items()})


def _arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: values.cpu().numpy() for name, values in tensors.items()}


def _computed(quantities: Targets, fields: Tensor) -> dict[str, Tensor]:
    """Compute quantities of fields, in batches."""
    batches = [quantities(batch) for batch in read_batches(Samples(fields), 256)]
    return {name: torch.cat([y[name] for y in batches]) for name in quantities.names}
