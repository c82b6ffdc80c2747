"""The settings of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from isospan._core.files import PathLike
from isospan.errors import OptionError
from isospan.experiment._loading import reference_to
from isospan.experiment._targets import as_text
from isospan.quantities.fields import Spacing


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of :func:`isospan.experiment.train`.

    Attributes:
        quantities: {name: how}; see :func:`isospan.experiment.parse_quantities`.
        files: fields to read: ``.npz``, ``.npy``, NetCDF, HDF5 or Zarr.
        out: directory of the results.
        variable: names of the variables that are the channels; not needed where the files have only one.
        sample_dim: the dimension of the samples; by default the first.
        fill: replaces NaN and infinity in the files; by default they are an error.
        periodic: whether the fields are periodic in both directions.
        dx: distance of grid points, one number or (along H, along W).
        epochs: passes over the samples.
        batch_size: at least 2.
        lr: the highest learning rate.
        latent: the latent dimension D, or ``"auto"`` to choose it from the data.
        seed: seed of the weights, the order of samples, and their shifts and flips.
        device: ``"cpu"``, ``"cuda"`` or another device of torch.
        resume: continue from the checkpoints in ``out``.
        orthogonal: make the subspaces of different quantities mutually orthogonal.
        strength: of the guidance against the task, as of :class:`~isospan.guided.SpaceObjective`.
        encoder: ``module:Class``, or a class at the top of a module, called as ``Class(channels, size, latent_dim)``.
        width: channels of the first convolution.
        bin_threshold: explained variance from which the pooled resolution n follows.
        k_threshold: explained variance of the pooled quantity from which its subspace dimension k follows.
        max_bins: the largest n.
        test_fraction: fraction of the samples that is held out.
        test_blocks: number of blocks with held-out samples; 1 holds out the end, which tests extrapolation of a trend.
        augment: shift and flip each sample at random; by default if the fields are periodic.
        baseline: also train the same network without guidance, for comparison.
        title: heading of the report.

    Raises:
        OptionError: a number is out of its range, or the encoder cannot be imported by a name.

    Example:
        >>> TrainConfig(files=["run.nc"], quantities={"energy": "kinetic_energy"}).latent
        'auto'
    """

    quantities: Mapping[str, str | Callable[..., Tensor]]
    files: Sequence[PathLike] = ()
    out: PathLike = "isospan-run"
    variable: str | Sequence[str] | None = None
    sample_dim: str | int | None = None
    fill: float | None = None
    periodic: bool = False
    dx: Spacing = 1.0
    epochs: int = 16
    batch_size: int = 64
    lr: float = 3e-3
    latent: int | Literal["auto"] = "auto"
    seed: int = 0
    device: str = "cpu"
    resume: bool = False
    orthogonal: bool = False
    strength: float = 0.5
    encoder: str | Callable[..., nn.Module] | None = None
    width: int = 8
    bin_threshold: float = 0.95
    k_threshold: float = 0.90
    max_bins: int = 8
    test_fraction: float = 0.2
    test_blocks: int = 5
    augment: bool | None = None
    baseline: bool = True
    title: str = ""

    def __post_init__(self) -> None:
        """Check the settings that no later step checks."""
        if self.latent != "auto" and (not isinstance(self.latent, int) or self.latent < 1):
            raise OptionError(f"latent must be 'auto' or an integer of at least 1, got {self.latent!r}.")
        if self.epochs < 1:
            raise OptionError(f"epochs must be at least 1, got {self.epochs}.")
        if self.augment and not self.periodic:
            raise OptionError("Only periodic fields can be shifted, got augment=True with periodic=False.")
        if self.encoder_class is not None and self.encoder_reference is None:
            raise OptionError(
                "The encoder must be a class that can be imported when the network is loaded, got "
                f"{self.encoder!r}. Define it at the top of a module, or name it as 'module:Class'."
            )

    @property
    def augments(self) -> bool:
        """Whether training shifts and flips the fields."""
        return self.periodic if self.augment is None else self.augment

    @property
    def latent_dim(self) -> int | None:
        """D, or None where it is chosen from the data."""
        return None if self.latent == "auto" else self.latent

    @property
    def encoder_class(self) -> Callable[..., nn.Module] | None:
        """The class of a user's encoder, where it was not given by name."""
        return None if isinstance(self.encoder, str) else self.encoder

    @property
    def encoder_reference(self) -> str | None:
        """``module:Class`` of a user's encoder."""
        if self.encoder is None or isinstance(self.encoder, str):
            return self.encoder
        return reference_to(self.encoder)

    def settings(self) -> dict[str, Any]:
        """Return all settings that determine the result, as plain values, for the report and the checkpoints."""
        names = (
            "periodic dx epochs batch_size lr latent seed orthogonal strength width bin_threshold k_threshold max_bins "
            "test_fraction test_blocks sample_dim fill"
        )
        numbers = options_of(self, names)
        return {
            "files": [Path(file).name for file in self.files],
            "variable": [self.variable] if isinstance(self.variable, str) else list(self.variable or []),
            "quantities": {name: as_text(how) or name for name, how in self.quantities.items()},
            "encoder": self.encoder_reference or "convolutional",
            "augment": self.augments,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in numbers.items()},
        }


def options_of(config: Any, names: str) -> dict[str, Any]:
    """Return some settings by name, as the keyword arguments of a step of a run.

    Args:
        config: the settings.
        names: names of attributes, separated by spaces.

    Example:
        >>> options_of(TrainConfig(quantities={"vorticity": ""}), "epochs lr")
        {'epochs': 16, 'lr': 0.003}
    """
    return {name: getattr(config, name) for name in names.split()}
