"""Using what was trained: read the quantities of new fields, and change them."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from isospan._core.files import explained
from isospan._core.numpy_files import open_npy, open_npz
from isospan._core.warnings import warn
from isospan.errors import (
    DegenerateDataError,
    DtypeError,
    FileFormatError,
    NameMismatchError,
    OptionError,
    ShapeError,
)
from isospan.evaluation._evaluation import Evaluation, evaluate_moments
from isospan.experiment._config import PathLike, check_device
from isospan.experiment._data import Source, read_source
from isospan.experiment._headers import are_all, check_fields, is_count, is_dict_of, is_number, is_optional, is_text
from isospan.experiment._loading import load_installed, load_object
from isospan.experiment._names import check_quantity_names
from isospan.experiment._targets import ARRAY, Function, Quantity, Targets, parse_quantities
from isospan.experiment.networks import ConvAutoencoder
from isospan.experiment.networks._description import Encoder, load_network
from isospan.experiment.samples import Samples, select
from isospan.experiment.samples._samples import read_batches
from isospan.experiment.training import encode_samples, encoded_moments
from isospan.quantities import pool
from isospan.quantities.fields import BUILTIN_QUANTITIES
from isospan.subspaces._latent_space import BY_QUANTITY, LatentSpace

FAR = 5.0
"""Standard deviations from the mean of the training data beyond which a target is unlike all that was trained on."""
Change = str | float | PathLike | Tensor | np.ndarray
Functions = Mapping[str, str | Function]

RECORD = {
    "channels": (are_all(is_text), "a list of names"),
    "quantities": (is_dict_of(is_text), "a dict of texts"),
    "dims": (
        is_dict_of(
            lambda pair: are_all(is_optional(is_count), count=2)(pair) and pair[1] is not None  # n is None of a vector
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
    """The network and the latent space that a run wrote.

    No name in its files is imported unless ``trust`` says so, since importing runs code. All quantities are decoded and
    edited without their functions, which only the comparison with the fields needs.

    Attributes:
        model: the network, in evaluation mode.
        space: its latent space.
        record: what the run was asked for.
        functions: quantities that were passed again {name: how}, instead of the names in the files.
        trust: whether functions that the files name are imported from installed modules.
    """

    model: ConvAutoencoder
    space: LatentSpace
    record: Mapping[str, Any]
    functions: Functions = field(default_factory=dict)
    trust: bool = False

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
        """Read the results in a directory.

        Args:
            directory: of a finished run.
            device: where to compute.
            encoder: the class of the encoder, or its name, if the run was trained with one of the user.
            quantities: {name: function or its name} of quantities that functions of the user compute.
            trust: import the encoder and the functions that the files name and that were not passed, from installed
                modules. Importing runs code: set it only for files whose author you trust.

        Raises:
            FileFormatError: it holds no finished run, or its files are damaged, or a field in them is of another type.
            NameMismatchError: ``quantities`` names one that the run does not hold.
            OptionError: the device cannot be used, or the encoder is not passed and not trusted.
        """
        check_device(device)
        directory = Path(directory)
        if not (directory / "model.safetensors").is_file():
            raise FileFormatError(f"{os.fspath(directory)} holds no finished run: there is no model.safetensors in it.")
        space = _load_space(directory / "space.safetensors")
        model, record = load_network(directory / "model.safetensors", trust=trust, encoder=encoder)
        _check_record(record, space, directory)
        unknown = sorted(set(quantities or {}) - set(space.names))
        if unknown:
            raise NameMismatchError(f"The run holds the quantities {space.names}, got {unknown}. Name some of these.")
        return cls(model.to(device), space.to(device=device), record, dict(quantities or {}), trust)

    def open(self, files: Sequence[PathLike]) -> Source:
        """Open the fields of files, by the names of the variables that the network was trained on."""
        settings = self.record["settings"]
        channels = None if all(Path(file).suffix == ".npy" for file in files) else self.record["channels"] or None
        return read_source(files, variable=channels, sample_dim=settings["sample_dim"], fill=settings["fill"])

    def encode(self, samples: Samples) -> Tensor:
        """Return the latents (N, D) of samples."""
        return encode_samples(self.model, samples)[0]

    def decode(self, samples: Samples) -> dict[str, np.ndarray]:
        """Return every quantity {name: (N, ...)} as it is read from the latents of samples.

        In float64, so that a quantity keeps the digits of its units.
        """
        return {name: y.cpu().numpy() for name, y in self.space.decode(self.encode(samples).double()).items()}

    def edit(self, z: Tensor, targets: Mapping[str, Tensor], quantities: Targets | None = None) -> "Edited":
        """Move latents (N, D) so that quantities reach their targets {name: (N, ...)} and the others stay.

        Args:
            z: the latents.
            targets: what the quantities shall be.
            quantities: recomputes those that are functions of the fields, from the fields before and after.

        Warns:
            NumericalWarning: a target is far from all that was trained on, or cannot be reached.
        """
        self._warn_if_far(targets)
        edited = self.space.edit(z, targets)
        before, after = self.fields(z), self.fields(edited)
        quantities = quantities.functions(targets) if quantities else None
        computed = [_computed(quantities, fields) for fields in (before, after)] if quantities else [{}, {}]
        readings = self.space.decode(z), self.space.decode(edited)
        return Edited(before, after, dict(targets), *readings, edited, *computed)

    def targets(self, names: Collection[str] | None = None, source: Source | None = None) -> Targets:
        """Return quantities of the run that can be computed: functions of the fields, and arrays of a source.

        Args:
            names: of the quantities; all by default. Only their functions are imported.
            source: the fields, whose files hold the arrays; without it arrays are left out.

        Warns:
            NumericalWarning: a function is left out, since it was neither passed nor is trusted, or is not there.
        """
        settings, dims = self.record["settings"], self.record["dims"]
        dx = tuple(settings["dx"]) if isinstance(settings["dx"], list) else settings["dx"]
        bins = {name: n for name, (n, _) in dims.items()}
        wanted = self.space.names if names is None else names
        found = tuple(quantity for name in wanted for quantity in self._found(name, source))
        return Targets(found, dx=dx, periodic=settings["periodic"], bins=bins)

    def _found(self, name: str, source: Source | None) -> tuple[Quantity, ...]:
        """The quantity, or none where its function or array is not at hand."""
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
                f"Quantity {name!r} is read and edited, but not computed from fields. {error} Pass the function with "
                f"quantities={{{name!r}: FUNCTION}}."
            )
            return ()

    def _warn_if_far(self, targets: Mapping[str, Tensor]) -> None:
        for name, y in targets.items():
            mean, scale = self.space.y_mean[name].to(y), self.space.y_scale[name].to(y)
            far = float(((y.flatten(1) - mean) / scale).square().mean(1).sqrt().max())
            if far > FAR:
                warn(
                    f"A target of {name!r} is {far:.2g} standard deviations from the mean of the training data, of "
                    "which hardly any is farther than 3: what the network makes of it was never trained. Ask for less."
                )

    @torch.no_grad()
    def fields(self, z: Tensor) -> Tensor:
        """Return the fields (N, C, H, W) of latents, a batch at a time."""
        batches = read_batches(Samples(z), 256)
        return torch.cat([self.model.decode(batch.tensors()[0]).cpu() for batch in batches])


@dataclass(frozen=True, eq=False)
class Edited:
    """Fields before and after an edit.

    Attributes:
        before: what the network makes of the latents as they were (N, C, H, W).
        after: of the edited latents.
        targets: what the quantities were set to {name: (N, ...)}.
        read_before: every quantity, read from the latents as they were.
        read_after: every quantity, read from the edited latents.
        latents: the edited latents (N, D).
        computed_before: quantities that are functions of the fields, computed from ``before``.
        computed_after: the same from ``after``.
        sample_coordinate: what counts the samples of NetCDF, HDF5 and Zarr files, an ``xarray.DataArray``.
    """

    before: Tensor
    after: Tensor
    targets: dict[str, Tensor]
    read_before: dict[str, Tensor]
    read_after: dict[str, Tensor]
    latents: Tensor
    computed_before: dict[str, Tensor] = field(default_factory=dict)
    computed_after: dict[str, Tensor] = field(default_factory=dict)
    sample_coordinate: Any = None

    def achieved(self, name: str) -> float:
        r"""Return the share of the asked change that the quantity, computed from the fields, makes; 1 is all of it.

        .. math:: \langle y' - y,\, t - \hat y\rangle \,/\, \|t - \hat y\|^2

        with y, y' computed from the fields before and after, :math:`\hat y` read before, and the target t. NaN where
        the quantity is no function of the fields, or nothing was asked for.
        """
        if name not in self.computed_after:
            return float("nan")
        asked = (self.targets[name] - self.read_before[name]).double().cpu()
        made = (self.computed_after[name] - self.computed_before[name]).double().cpu()
        return float((made * asked).sum() / asked.square().sum())


def decode(
    directory: PathLike,
    files: PathLike | Sequence[PathLike],
    *,
    device: str = "cpu",
    encoder: Encoder | None = None,
    trust: bool = False,
) -> dict[str, np.ndarray]:
    """Read every quantity of the fields in files.

    Args:
        directory: of a finished run.
        files: with fields of the same variables and size.
        device: where to compute.
        encoder: see :meth:`TrainedRun.load`, for a run with an encoder of the user.
        trust: import names that the files hold and that were not passed; see :meth:`TrainedRun.load`.

    Returns:
        {name: (N, ...)}, pooled as in the run, in the quantity's units.
    """
    run = TrainedRun.load(directory, device=device, encoder=encoder, trust=trust)
    return run.decode(run.open(_listed(files)).samples)


def edit(
    directory: PathLike,
    files: PathLike | Sequence[PathLike],
    changes: Mapping[str, Change],
    *,
    device: str = "cpu",
    encoder: Encoder | None = None,
    quantities: Functions | None = None,
    trust: bool = False,
) -> Edited:
    """Change quantities of the fields in files, and leave the other quantities as they were.

    Args:
        directory: of a finished run.
        files: with fields of the same variables and size.
        changes: {name: target}. A number is set everywhere; ``"*1.5"`` and ``"+0.2"`` change what is read from the
            latent; an array, or the path of a ``.npy`` or ``.npz`` file, is pooled as in the run where it is not yet.
        device: where to compute.
        encoder: see :meth:`TrainedRun.load`, for a run with an encoder of the user.
        quantities: {name: function or its name} of the quantities that functions of the user compute.
        trust: import names that the files hold and that were not passed; see :meth:`TrainedRun.load`.

    Warns:
        NumericalWarning: the function of a changed quantity was not passed and is not trusted, so that what the edit
            achieves of it is not computed; or a target is far from all that was trained on.

    Raises:
        NameMismatchError: the run holds no such quantity.
        OptionError: a change cannot be understood.
        ShapeError: an array does not fit.
    """
    run = TrainedRun.load(directory, device=device, encoder=encoder, quantities=quantities, trust=trust)
    source = run.open(_listed(files))
    z = run.encode(source.samples).double()  # in which quantities keep the digits of their units
    read = run.space.decode(z)
    unknown = sorted(set(changes) - set(read))
    if unknown or not changes:
        raise NameMismatchError(
            f"The run holds the quantities {list(read)}, got {list(changes)}. Name at least one of them."
        )
    targets = {name: parse_change(name, how, read[name]) for name, how in changes.items()}
    return replace(run.edit(z, targets, run.targets(changes)), sample_coordinate=source.sample_coordinate)


def probe(
    directory: PathLike,
    files: PathLike | Sequence[PathLike],
    *,
    device: str = "cpu",
    encoder: Encoder | None = None,
    quantities: Functions | None = None,
    trust: bool = False,
) -> Evaluation:
    """Score a run on the fields of files, for which its quantities can be computed; probes are cross-fitted on halves.

    A score is NaN where half of the samples are fewer than two for each degree of freedom of the probe's input. The
    inputs are the k coordinates (``subspace_r2``, ``cross_r2``), the D latents (``rank_k_probe_r2``,
    ``linear_probe_r2``) or the P entries of a quantity (``target_r2``). Constant or repeated inputs do not count.
    ``decoder_r2`` needs no probe.

    Quantities whose functions were not passed and are not trusted have no score, and their subspaces count as free.

    Args:
        directory: of a finished run.
        files: with fields of the same variables and size, and the arrays that are quantities.
        device: where to compute.
        encoder: see :meth:`TrainedRun.load`, for a run with an encoder of the user.
        quantities: {name: function or its name} of the quantities that functions of the user compute.
        trust: import names that the files hold and that were not passed; see :meth:`TrainedRun.load`.

    Warns:
        NumericalWarning: some quantities or probes were left out.

    Raises:
        OptionError: no quantity can be computed, or the files do not hold the array of one.
    """
    run = TrainedRun.load(directory, device=device, encoder=encoder, quantities=quantities, trust=trust)
    source = run.open(_listed(files))
    targets = run.targets(source=source)
    if not targets.names:
        raise OptionError(
            f"None of the quantities {run.space.names} can be computed from the fields, so there is nothing to score. "
            "Pass their functions with quantities={NAME: FUNCTION}, or trust=True if you trust who wrote the run."
        )
    samples = source.with_known([quantity.variable for quantity in targets.quantities if quantity.variable])
    first, second = (
        encoded_moments(run.model, half, targets, target_covariance=targets.several) for half in halves(samples)
    )
    return evaluate_moments(_of(run.space, targets.names), [(second, first), (first, second)])


def halves(samples: Samples) -> tuple[Samples, Samples]:
    """Split samples in the middle, each half where it is.

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
        f"The files of the run name its function {reference!r}. Importing a name runs code, so no name of a file is "
        "imported unasked; trust=True allows it, for installed modules."
    )


def _load_space(path: Path) -> LatentSpace:
    remedy = "Pass the directory of a finished run."
    with explained(path, what="holds no latent space that can be used", remedy=remedy):
        space = LatentSpace.load(path)
        check_quantity_names(space.names)
        return space


def _check_record(record: Mapping[str, Any], space: LatentSpace, directory: Path) -> None:
    """Require a record of the types that are used, and of the quantities of the space."""
    check_fields(record, RECORD, of="run")
    check_fields(record["settings"], SETTINGS, of="settings of the run")
    names = [sorted(record[what]) for what in ("quantities", "dims")]
    if names != [sorted(space.names)] * 2:
        raise FileFormatError(
            f"The files in {os.fspath(directory)} must be of one run, got a space of {sorted(space.names)}, quantities "
            f"{names[0]} and sizes of {names[1]}. Pass the directory of a finished run."
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


def _of(space: LatentSpace, names: Sequence[str]) -> LatentSpace:
    """The space with the subspaces of these quantities alone."""
    parts = {what: {name: getattr(space, what)[name] for name in names} for what in (*BY_QUANTITY, "shapes")}
    return LatentSpace(z_mean=space.z_mean, **parts)


def _computed(quantities: Targets, fields: Tensor) -> dict[str, Tensor]:
    """Quantities of fields, a batch at a time."""
    batches = [quantities(batch) for batch in read_batches(Samples(fields), 256)]
    return {name: torch.cat([y[name] for y in batches]) for name in quantities.names}


def parse_change(name: str, how: Change, read: Tensor) -> Tensor:
    """Return what a quantity shall be, from what is read of it (N, ...).

    Example:
        >>> parse_change("heat", "*1.5", torch.tensor([[2.0, 4.0]])), parse_change("heat", "3", torch.zeros(1, 2))
        (tensor([[3., 6.]]), tensor([[3., 3.]]))
    """
    if isinstance(how, str) and how[:1] in ("*", "+"):
        factor = _number(name, how[1:])
        return read * factor if how[0] == "*" else read + factor
    if isinstance(how, Tensor | np.ndarray):
        return _fitting(name, torch.as_tensor(how), read)
    if not isinstance(how, int | float) and Path(how).suffix in (".npy", ".npz"):
        return _fitting(name, _load_array(Path(how), name), read)
    return torch.full_like(read, _number(name, how))


def _number(name: str, text: object) -> float:
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise OptionError(
            f"{name!r} cannot be set to {text!r}. Give a number, '*1.5', '+0.2', or the path of a .npy or .npz file."
        ) from None


def _load_array(path: Path, name: str) -> Tensor:
    """The array of a .npy file, or that of this name in a .npz file."""
    if not path.is_file():
        raise FileFormatError(f"The target of {name!r} must be a file that exists, got {path}. Check the path.")
    remedy = f"Save it with numpy.save, or with numpy.savez under the name {name!r}."
    with explained(path, what=f"cannot be read as an array of numbers for {name!r}", remedy=remedy):
        arrays = open_npz(path) if path.suffix == ".npz" else open_npy(path, name)
        return torch.from_numpy(np.array(arrays[name].values))


def _fitting(name: str, target: Tensor, read: Tensor) -> Tensor:
    """Bring an array to (N, ...): one for all samples is repeated, and one at full resolution is pooled."""
    if target.is_complex():
        raise DtypeError(f"The target of {name!r} must be real, got {target.dtype}.")
    target = target.to(read)
    shape = tuple(read.shape[1:])
    if len(shape) == 3 and tuple(target.shape[-2:]) != shape[-2:] and target.dim() >= 2:
        grid = target.shape[-2:]
        target = pool(target.reshape(-1, 1, *grid), shape[-1]).reshape(*target.shape[:-2], *shape[-2:])
    try:
        return torch.broadcast_to(target, read.shape)
    except RuntimeError:
        raise ShapeError(
            f"The target of {name!r} must fit (N, ...) = {tuple(read.shape)}, got {tuple(target.shape)}. Give one "
            f"sample of shape {shape}, or one for each of the {len(read)} samples."
        ) from None


def _listed(files: PathLike | Sequence[PathLike]) -> list[PathLike]:
    return [files] if isinstance(files, str | os.PathLike) else list(files)
