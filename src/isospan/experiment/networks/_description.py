"""The network of a run, built from its description, which is saved with the weights."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from isospan._core.files import PathLike
from isospan._core.randomness import seeded
from isospan._core.tensor_files import load_tensors, save_tensors
from isospan.errors import FileFormatError, OptionError
from isospan.experiment._headers import are_all, check_fields, is_count, is_optional, is_text
from isospan.experiment._loading import load_installed, load_object
from isospan.experiment.networks import ConvAutoencoder

SCHEMA_VERSION = 1
Encoder = str | Callable[..., nn.Module]
"""``module:Class``, ``file.py:Class``, or the class itself."""

FIELDS = {
    "channels": (is_count, "a whole number of at least 1"),
    "size": (are_all(is_count, count=2), "two whole numbers of at least 1"),
    "latent_dim": (is_count, "a whole number of at least 1"),
    "width": (is_count, "a whole number of at least 1"),
    "periodic": (lambda value: isinstance(value, bool), "true or false"),
    "encoder": (is_optional(is_text), "a text or null"),
}


@dataclass(frozen=True)
class NetworkDescription:
    """The arguments from which the network is built.

    Attributes:
        channels: C.
        size: (H, W).
        latent_dim: D.
        width: channels of the first convolution.
        periodic: whether its convolutions use periodic padding.
        encoder: ``module:Class`` of a user's encoder, for information: :meth:`build` is given the class.
    """

    channels: int
    size: tuple[int, int]
    latent_dim: int
    width: int = 8
    periodic: bool = False
    encoder: str | None = None

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Return the description of a ``dataclasses.asdict`` record.

        Raises:
            FileFormatError: a field is missing or of another type.
        """
        check_fields(record, FIELDS, of="network")
        values: dict[str, Any] = {name: record[name] for name in FIELDS}
        values["size"] = tuple(record["size"])
        return cls(**values)

    def build(self, encoder: Encoder | None = None, *, seed: int = 0) -> ConvAutoencoder:
        """Build the network with random weights.

        Args:
            encoder: class or name of the user's encoder. The name in the description is never imported.
            seed: seed of the weights.

        Raises:
            OptionError: the encoder is missing, or cannot be imported or constructed.
        """
        if self.encoder is not None and encoder is None:
            raise OptionError(f"The network needs its encoder {self.encoder!r}, got none. Pass its class.")
        make = load_object(encoder) if isinstance(encoder, str) else encoder
        with seeded(seed):
            return self._assembled(None if make is None else self._make_encoder(make))

    def check_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Require that the weights have the shapes of the network, before it is built. A user's encoder is not checked.

        Raises:
            FileFormatError: weights are missing, or have other shapes.
        """
        try:
            with torch.device("meta"):
                expected = self._assembled(None).state_dict()
        except (OptionError, RuntimeError, OverflowError, TypeError) as error:
            raise FileFormatError(f"The description must be that of a network, got {self} ({error}).") from error
        for name, tensor in expected.items():
            if self.encoder is not None and name.startswith("encoder."):
                continue
            got = tuple(weights[name].shape) if name in weights else None
            if got != tuple(tensor.shape):
                raise FileFormatError(
                    f"The weights do not fit the network it describes: {name} must have shape {tuple(tensor.shape)}, "
                    f"got {'none' if got is None else got}."
                )

    def _assembled(self, encoder: nn.Module | None) -> ConvAutoencoder:
        return ConvAutoencoder(
            self.channels, self.size, self.latent_dim, width=self.width, periodic=self.periodic, encoder=encoder
        )

    def _make_encoder(self, make: Callable[..., nn.Module]) -> nn.Module:
        try:
            encoder = make(self.channels, self.size, self.latent_dim)
        except TypeError as error:
            raise OptionError(
                f"The encoder {getattr(make, '__name__', make)!r} must be constructed as Class(channels, size, "
                f"latent_dim) = ({self.channels}, {self.size}, {self.latent_dim}), got the error: {error}."
            ) from error
        if not isinstance(encoder, nn.Module):
            raise OptionError(f"The encoder must be an nn.Module, got {type(encoder).__name__}. Name its class.")
        return encoder


def save_network(path: PathLike, model: nn.Module, description: NetworkDescription, run: dict[str, Any]) -> None:
    """Write the weights by name, with the description and a record of the run in the header."""
    save_tensors(path, model.state_dict(), kind="network", schema=SCHEMA_VERSION, network=asdict(description), run=run)


def load_network(
    path: PathLike, *, trust: bool = False, encoder: Encoder | None = None
) -> tuple[ConvAutoencoder, dict[str, Any]]:
    """Return the network, in evaluation mode on the CPU, and the record of its run.

    The checksum of the file is verified where it has one.

    Args:
        path: path of the file.
        trust: import the encoder that the file names, from an installed module. Importing runs code: set it only for
            files whose author you trust.
        encoder: class or name of the user's encoder, instead of the name in the file.

    Raises:
        FileFormatError: the file is missing, damaged, or of another program or version; or a field has another type, or
            weights are not finite.
        OptionError: the network has a user's encoder, which is neither passed nor trusted, or is not an
            ``nn.Module``.
    """
    header, weights = load_tensors(
        path,
        lambda header, tensors: ((header["network"], header["run"]), tensors),
        kind="network",
        schema=SCHEMA_VERSION,
        what="a network that isospan wrote",
        remedy="Pass the directory of a finished run.",
    )
    try:
        description = NetworkDescription.from_dict(header[0])
        check_fields(header[1], {}, of="run")
        description.check_weights(weights)
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)}: {error}") from error
    model = description.build(_encoder(description.encoder, os.fspath(path), trust=trust, given=encoder))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise FileFormatError(f"The weights in {path} do not fit the network it describes ({error}).") from error
    bad = [name for name, weight in model.named_parameters() if not bool(weight.isfinite().all())]
    bad += [name for name, buffer in model.named_buffers() if bool(buffer.isnan().any())]  # masks may be infinite
    if bad:
        raise FileFormatError(
            f"{path} must hold finite weights, but {', '.join(bad)} are not. Train the network again."
        )
    return model.eval(), header[1]


def _encoder(named: str | None, path: str, *, trust: bool, given: Encoder | None) -> Encoder | None:
    """Return the encoder that the user gave, else the one that the file names if it is trusted."""
    if named is None and given is not None:
        raise OptionError(f"The network in {path} has the encoder of isospan, got encoder={given!r}. Leave it out.")
    if named is None or given is not None:
        return given
    if not trust:
        raise OptionError(
            f"The network in {path} names the encoder {named!r}, which is not imported unasked, since importing runs "
            "code. Pass the class with encoder=CLASS; or trust=True, if you trust who wrote the file and the module "
            "is installed."
        )
    try:
        found = load_installed(named)
    except OptionError as error:
        raise OptionError(f"{error} Pass the class with encoder=CLASS, such as encoder={named!r}.") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise OptionError(
            f"The encoder that {path} names must be a subclass of nn.Module, got {found!r} for {named!r}. It is not "
            "called. Pass the class with encoder=CLASS."
        )
    return found
