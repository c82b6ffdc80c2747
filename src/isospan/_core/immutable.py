"""Immutable objects."""

from typing import Any, ClassVar, Self

import numpy as np


class Immutable:
    """Base of classes whose fields are set once, by :meth:`_set`, and whose arrays are read-only.

    ``functools.cached_property`` works on them. A copy is the object itself. A pickle has the fields without the values
    named in ``_transient``, which are computed again. Frozen dataclasses may derive from this class.
    """

    _transient: ClassVar[frozenset[str]] = frozenset()

    def _set(self, **fields: Any) -> None:
        self.__dict__.update({name: read_only(value) for name, value in fields.items()})

    def __post_init__(self) -> None:
        self._set(**self.__dict__)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name!r} cannot be set. Build a new one.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name!r} cannot be deleted.")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self._transient}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(**state)


def read_only(value: Any) -> Any:
    """Return the value; an array, or each array of a tuple, becomes read-only."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, tuple):
        for item in value:
            read_only(item)
    return value
