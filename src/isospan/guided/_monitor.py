"""A record of the subspaces during training: their angles, R² and loss terms."""

import logging
from collections.abc import Callable, Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from isospan.errors import FileFormatError, OptionError
from isospan.evaluation._probes import SAMPLES_PER_INPUT, Pair, Probe, determined
from isospan.evaluation._scores import squared_deviation
from isospan.guided._objective import SpaceObjective
from isospan.guided._segments import BLOCKS
from isospan.linalg import principal_angles
from isospan.moments import Moments
from isospan.subspaces._decoders import decoders_from_moments

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Bases = Mapping[str, Tensor]

logger = logging.getLogger("isospan")


class SubspaceMonitor:
    r"""Records the subspaces of an objective during training, with a row for each solve and each end of an epoch.

    A row holds the step, the epoch, R² of every quantity and the terms of the loss. R² is that of decoders from the
    subspaces, fitted to the running moments without the noise of the loss. So it is R² on recent training samples:

    .. math:: R^2 = 1 - \sum \|y - \hat y\|^2 / \sum \|y - \bar y\|^2 .

    Subspaces and decoders were fitted to the samples on which R² is computed, so n samples of pure noise have an R² of
    up to d/n on average. Here d is the number of degrees of freedom of a ridge regression on all latents. It is D, or
    less where latents are constant, linearly dependent or far below the ridge. R² is NaN while n < 2d. In the long run
    running moments hold at least 7/8 of ``memory`` samples. If that is too few, a warning is logged once, with a memory
    that is enough. For R² on held-out data see :func:`isospan.evaluation.evaluate`.

    The bases of every solve are kept. The table has their principal angles to the bases before, the first and the last.
    A call of :meth:`update` between solves and ends of epochs only compares counters.

    Example:
        >>> encoder, monitor = torch.nn.Linear(10, 8), SubspaceMonitor()
        >>> objective = SpaceObjective({"energy": 2}, latent_dim=8)
        >>> for _ in range(12):
        ...     x = torch.randn(32, 10)
        ...     objective(encoder(x), {"energy": x[:, :3] ** 2}).backward()
        ...     _ = monitor.update(objective)
        >>> monitor.to_dict()["step"]
        [1, 2, 3, 5, 7, 11]
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.bases: list[Bases] = []
        self._seen = (0, 0)
        self._has_warned = False

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def names(self) -> list[str]:
        """Names of the quantities."""
        return list(self.bases[0]) if self.bases else []

    @torch.no_grad()
    def update(self, objective: SpaceObjective) -> bool:
        """Add a row if the objective was solved or ended an epoch since the last call.

        Returns:
            Whether a row was added. There is none before the first solve.

        Raises:
            OptionError: ``objective`` is no SpaceObjective.
        """
        if not isinstance(objective, SpaceObjective):
            raise OptionError(f"objective must be a SpaceObjective, got {type(objective).__name__}.")
        seen = (len(objective.solve_steps), int(objective.epoch))
        if not objective.solved or seen == self._seen:
            return False
        solved = seen[0] != self._seen[0]
        if solved:
            self.bases.append({name: W.cpu().clone() for name, W in objective.solution.W.items()})
        self.rows.append(
            {
                "step": int(objective.step),
                "epoch": seen[1],
                "solved": solved,
                "basis": len(self.bases) - 1,
                "r2": self._r2(objective),
                "terms": {name: float(value) for name, value in objective.terms.items()},
            }
        )
        self._seen = seen
        return True

    def angles(self, to: Callable[[int], int]) -> dict[str, list[list[float]]]:
        """Return the principal angles between the basis of each row and another basis, by quantity.

        Args:
            to: gives the index of the other basis in ``bases`` from that of the row; for a negative one the row is
                empty.

        Returns:
            {name: a list of k angles for each row}, in degrees, ascending.

        Raises:
            OptionError: ``to`` cannot be called.

        Example:
            >>> SubspaceMonitor().angles(lambda basis: basis - 1)
            {}
        """
        if not callable(to):
            raise OptionError(f"to must be a function of the index of a basis, got {to!r:.80}.")
        return {name: [self._angles(name, row, to(row["basis"])) for row in self.rows] for name in self.names}

    def to_dict(self) -> dict[str, Any]:
        """Return the table as lists by column.

        ``step``, ``epoch`` and ``solved`` have an entry for each row. ``r2`` and ``terms`` are dicts of such lists by
        name, with NaN where a term did not exist yet. ``angles``, ``from_first`` and ``to_last`` are dicts by quantity.
        For each row they have a list of the k principal angles to the basis before, the first and the last, in degrees.
        ``angles`` is empty in rows without a solve.
        """
        terms = dict.fromkeys(name for row in self.rows for name in row["terms"])
        return {
            **{key: [row[key] for row in self.rows] for key in ("step", "epoch", "solved")},
            "r2": {name: [row["r2"][name] for row in self.rows] for name in self.names},
            "terms": {name: [row["terms"].get(name, float("nan")) for row in self.rows] for name in terms},
            "angles": {
                name: [angles if row["solved"] else [] for row, angles in zip(self.rows, column, strict=True)]
                for name, column in self.angles(lambda basis: basis - 1).items()
            },
            "from_first": self.angles(lambda basis: 0),
            "to_last": self.angles(lambda basis: len(self.bases) - 1),
        }

    def to_frame(self) -> "DataFrame":
        """Return the table as a DataFrame, with the largest angle of each quantity (needs pandas)."""
        from pandas import DataFrame

        from isospan.plotting._figures import largest

        table = self.to_dict()
        columns = {key: table[key] for key in ("step", "epoch", "solved")}
        columns |= {f"r2 {name}": values for name, values in table["r2"].items()}
        for kind in ("angles", "from_first", "to_last"):
            columns |= {f"{kind} {name}": largest(rows) for name, rows in table[kind].items()}
        return DataFrame(columns | table["terms"])

    def plot(self) -> "Figure":
        """Plot the angles to the basis before, the first and the last, and R², over the steps (needs matplotlib)."""
        from isospan.plotting._figures import plot_drift

        return plot_drift(self)

    def state_dict(self) -> dict[str, Any]:
        """Return the record as dicts and lists of tensors, numbers and strings."""
        return {"rows": list(self.rows), "bases": [dict(W) for W in self.bases], "seen": list(self._seen)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace the record by one from :meth:`state_dict`, and continue it.

        Raises:
            FileFormatError: ``state`` is not from :meth:`state_dict`. The monitor does not change.
        """
        try:
            rows = [dict(row) for row in state["rows"]]
            bases: list[Bases] = [dict(W) for W in state["bases"]]
            n_solves, epoch = state["seen"]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise FileFormatError(f"The state to load is not that of a SubspaceMonitor ({error!r:.80}).") from error
        self.rows, self.bases, self._seen = rows, bases, (n_solves, epoch)

    def _angles(self, name: str, row: Mapping[str, Any], other: int) -> list[float]:
        if other < 0:
            return []
        return principal_angles(self.bases[other][name], self.bases[row["basis"]][name]).rad2deg().tolist()

    def _r2(self, objective: SpaceObjective) -> dict[str, float]:
        moments, W = objective.moments, objective.solution.W
        if not determined(float(moments.count), moments.cov_zz, ridge=objective.reading_ridge):
            self._warn_if_memory_is_too_small(objective)
            return dict.fromkeys(W, float("nan"))
        A = decoders_from_moments(moments, W, ridge=objective.reading_ridge)
        return {name: _r2(moments, name, W[name].mT @ A[name]) for name in W}

    def _warn_if_memory_is_too_small(self, objective: SpaceObjective) -> None:
        """Log once which memory R² needs, if more samples would not be enough."""
        moments, kept = objective.moments, 1 - 1 / BLOCKS
        if self._has_warned or determined(kept * objective.memory, moments.cov_zz, ridge=objective.reading_ridge):
            return
        enough = max(3, SAMPLES_PER_INPUT * objective.latent_dim)
        logger.warning(
            "R² of the quantities is not recorded: the running moments hold at most memory = %d samples, too few for "
            "D = %d latents. memory=%d is enough.",
            *(objective.memory, objective.latent_dim, BLOCKS * ceil(enough / kept / BLOCKS)),
        )
        self._has_warned = True


def _r2(moments: Moments, name: str, B: Tensor) -> float:
    """R² of a quantity for the linear map B (D, P) from the latents."""
    probe = Probe(moments.z_mean, moments.y_mean[name], B)
    return 1 - probe.squared_error(Pair.of_latents(moments, name)) / squared_deviation(name, moments)
