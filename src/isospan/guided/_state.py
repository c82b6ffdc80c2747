"""The state of a guidance objective: what it holds, saves and loads."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from isospan._core.checks import check_named, check_shape
from isospan._core.missing import Missing
from isospan._core.states import EXTRA, KeepsPrecision, as_bytes, check_entries, from_bytes, saved_buffers
from isospan.errors import DimensionError, FileFormatError, OptionError, ShapeError
from isospan.guided._batch import Shapes
from isospan.guided._recent import Recent
from isospan.guided._solution import Solution
from isospan.moments import Moments
from isospan.subspaces import Method
from isospan.subspaces._solve import needs_target_covariance

PARTS = ("moments", "solution", "recent")
"""Submodules that are made when the shapes of the targets are known."""


class ObjectiveState(KeepsPrecision):
    """Buffers of an objective, which depend on its options and on the shapes of the targets."""

    k: dict[str, int]
    latent_dim: int
    method: Method
    separation: float
    missing: Missing
    shapes: Shapes
    solve_steps: list[int]
    step: Tensor
    epoch: Tensor
    in_period: Tensor  # samples, or weight, since the start of a period of blocks; (S,) with missing="skip"
    filled: Tensor  # 1 from when the running moments fill most of the memory
    moments: Moments  # None before the shapes are known
    solution: Solution  # None before the shapes are known
    recent: Recent  # None before the shapes are known

    def _make_empty(self) -> None:
        """Make the counters, and no parts yet."""
        self.shapes = {}
        self.solve_steps = []
        for counter in ("step", "epoch", "filled"):
            self.register_buffer(counter, torch.zeros((), dtype=torch.int64))
        pairs = len(self.k) * (len(self.k) - 1) // 2 * needs_target_covariance(self.method, self.separation)
        clocks = () if self.missing == "raise" else (1 + len(self.k) + pairs,)
        self.register_buffer("in_period", torch.zeros(clocks, dtype=torch.float64))
        for part in PARTS:
            self.register_module(part, None)

    @property
    def solved(self) -> bool:
        """Whether there are subspaces yet."""
        return bool(self.solve_steps) or (self.solution is not None and int(self.solution.solves) > 0)

    def get_extra_state(self) -> Tensor:
        """Return shapes and the steps of solves as JSON bytes: a state_dict holds nothing but tensors."""
        return as_bytes(
            {
                "latent_dim": self.latent_dim,
                "target_covariance": needs_target_covariance(self.method, self.separation),
                "k": self.k,
                "shapes": self.shapes,
                "solve_steps": self.solve_steps,
            }
        )

    def set_extra_state(self, state: Tensor) -> None:
        """Make the buffers that the rest of the state_dict fills, in the order of quantities that it has."""
        record = self._checked_record(state)
        self.k, self.solve_steps = record["k"], record["solve_steps"]
        self._allocate(record["shapes"])

    def check_state(self, state: Mapping[str, Tensor], *, strict: bool = True) -> None:
        """Require a state of the same quantities, dimensions and options.

        Raises:
            FileFormatError: it is no state of this version.
            NameMismatchError: the state is of other quantities.
            DimensionError: it has other dimensions of the latents or subspaces.
            OptionError: it is of a method or separation that keeps other moments.
            ShapeError: its targets have other shapes than those seen or given here, or a tensor has another shape.
            NonFiniteError: a tensor contains NaN or infinity.
        """
        if not strict and EXTRA not in state:
            return super().check_state(state, strict=False)
        record = self._checked_record(state.get(EXTRA))
        children = {name: part for name, part in self.named_children() if isinstance(part, KeepsPrecision)}
        parts = {name: part for name, part in children.items() if name not in PARTS}
        if record["shapes"]:
            parts["moments"] = self._make_moments(record["shapes"], device="meta")
            parts["solution"] = Solution(record["k"], self.latent_dim, parts["moments"].target_dims)
            parts["recent"] = Recent(self.latent_dim, parts["moments"].target_dims)
        expected = {name: buffer for name, buffer in self.named_buffers(recurse=False)}
        for name, part in parts.items():
            own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            part.check_state(own, strict=strict)
            expected |= {f"{name}.{key}": buffer for key, buffer in saved_buffers(part).items()}
        check_entries(expected, state, strict=strict)

    def _checked_record(self, state: Tensor | None) -> dict[str, Any]:
        """What a state says of itself, with shapes as tuples; raises what :meth:`check_state` does."""
        record = from_bytes(
            state, ("latent_dim", "target_covariance", "k", "shapes", "solve_steps"), what="a guidance objective"
        )
        check_named(self.k, record["k"], what="The state to load", against="this objective")
        if (record["latent_dim"], record["k"]) != (self.latent_dim, self.k):
            raise DimensionError(
                f"The state to load must have latent_dim = {self.latent_dim} and the subspace dimensions k = {self.k}, "
                f"got {record['latent_dim']} and {record['k']}. Make the objective with those of the state."
            )
        if record["target_covariance"] != (needed := needs_target_covariance(self.method, self.separation)):
            raise OptionError(
                f"The state to load must be of a method and separation that {'need' if needed else 'do not need'} the "
                f"covariance of the targets, as method={self.method!r} and separation={self.separation:g} here. Make "
                "the objective with the options of the state."
            )
        shapes, steps = record["shapes"], record["solve_steps"]
        if not isinstance(steps, list) or not all(isinstance(step, int) for step in steps):
            raise FileFormatError(f"The state to load must have a list of solve_steps, got {steps!r:.80}.")
        shapes = {} if shapes == {} else self._checked_shapes(shapes)
        if shapes and self.shapes and shapes != self.shapes:
            raise ShapeError(f"The state to load must have targets of the shapes {self.shapes}, got {shapes}.")
        return record | {"shapes": {name: shapes[name] for name in record["k"] if shapes}}

    def _checked_shapes(self, shapes: Mapping[str, Sequence[int]]) -> Shapes:
        check_named(self.k, shapes, what="shapes", against="k")
        return {name: check_shape(shapes[name], what=f"The shape of quantity {name!r}") for name in self.k}

    def _make_moments(
        self, shapes: Mapping[str, tuple[int, ...]], *, device: torch.device | str | None = None
    ) -> Moments:
        with torch.inference_mode(False):  # buffers that training changes later
            return Moments(
                self.latent_dim,
                {name: torch.Size(shape).numel() for name, shape in shapes.items()},
                target_covariance=needs_target_covariance(self.method, self.separation),
                missing=self.missing,
                device=self.step.device if device is None else device,
            )

    def _allocate(self, shapes: Shapes) -> None:
        """Make empty buffers for targets of these shapes, where there are none; for no shapes, none."""
        if shapes == self.shapes and self.moments is not None and list(self.moments.names) == list(self.k):
            return
        self.shapes = shapes
        self.register_module("moments", self._make_moments(shapes) if shapes else None)
        with torch.inference_mode(False):
            solution = Solution(self.k, self.latent_dim, self.moments.target_dims) if shapes else None
            recent = Recent(self.latent_dim, self.moments.target_dims) if shapes else None
        self.register_module("solution", solution and solution.to(self.step.device))
        self.register_module("recent", recent and recent.to(self.step.device))

    def _used_k(self) -> dict[str, int]:
        """Subspace dimensions, as far as the shapes are known at most the entries of the quantity."""
        return {name: min(k, torch.Size(self.shapes[name]).numel()) if self.shapes else k for name, k in self.k.items()}
