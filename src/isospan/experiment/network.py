"""The network of a run: made from its description, saved with it, loaded from it."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import nn

from isospan._tensor_files import load_tensors, save_tensors
from isospan.errors import FileFormatError, OptionError
from isospan.experiment.loading import load_object
from isospan.training import ConvAutoencoder, seeded

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class NetworkDescription:
    """All that is needed to make the network again, except its weights.

    Attributes:
        channels: C.
        size: (H, W).
        latent_dim: D.
        width: channels of the first convolution.
        periodic: whether its convolutions wrap around.
        encoder: ``module:Class`` of a user's encoder.
    """

    channels: int
    size: tuple[int, int]
    latent_dim: int
    width: int = 8
    periodic: bool = False
    encoder: str | None = None

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Return the description that ``dataclasses.asdict`` wrote down."""
        return cls(**{**record, "size": tuple(record["size"])})

    def build(self, encoder: Callable[..., nn.Module] | None = None, *, seed: int = 0) -> ConvAutoencoder:
        """Make the network, with weights of this seed.

        Args:
            encoder: the class of a user's encoder, where it is not to be found by name.
            seed: of the weights.
        """
        make = encoder or (load_object(self.encoder) if self.encoder else None)
        with seeded(seed):
            own = None if make is None else self._make_encoder(make)
            return ConvAutoencoder(
                self.channels, self.size, self.latent_dim, width=self.width, periodic=self.periodic, encoder=own
            )

    def _make_encoder(self, make: Callable[..., nn.Module]) -> nn.Module:
        try:
            encoder = make(self.channels, self.size, self.latent_dim)
        except TypeError as error:
            raise OptionError(
                f"The encoder {getattr(make, '__name__', make)!r} must be constructed as Class(channels, size, "
                f"latent_dim) = ({self.channels}, {self.size}, {self.latent_dim}); it says: {error}."
            ) from error
        if not isinstance(encoder, nn.Module):
            raise OptionError(f"The encoder must be an nn.Module, got {type(encoder).__name__}. Name its class.")
        return encoder


def save_network(
    path: str | os.PathLike[str], model: nn.Module, description: NetworkDescription, run: dict[str, Any]
) -> None:
    """Write the weights by their names, with the description and a record of the run in the header."""
    save_tensors(path, model.state_dict(), kind="network", schema=SCHEMA_VERSION, network=asdict(description), run=run)


def load_network(path: str | os.PathLike[str]) -> tuple[ConvAutoencoder, dict[str, Any]]:
    """Return the network, in evaluation mode on the CPU, and the record of its run.

    The checksum of the file is verified where it has one.

    Raises:
        FileFormatError: the file is missing, damaged, of another program or version, or its weights are not finite.
    """
    description, run, weights = load_tensors(
        path,
        lambda header, tensors: (NetworkDescription.from_dict(header["network"]), header["run"], tensors),
        kind="network",
        schema=SCHEMA_VERSION,
        what="a network that isospan wrote",
        remedy="Pass the directory of a finished run.",
    )
    model = description.build()
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
    return model.eval(), run
