"""Process-wide settings of the decompositions.

Example:
    >>> from isospan.settings import config
    >>> with config.context(use_cpu_fallback=True):
    ...     config.use_cpu_fallback
    True
    >>> config.use_cpu_fallback
    False
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self

from isospan._core.checks import check_flag
from isospan.errors import OptionError

__all__ = ["Settings", "config"]


@dataclass(kw_only=True)
class Settings:
    """How decompositions are computed.

    Attributes:
        use_cpu_fallback: decompose on the CPU and move the result back (for devices without the routine).

    Raises:
        OptionError: a setting does not exist, or its value is none of its choices.
    """

    use_cpu_fallback: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        """Set one setting after checking that it exists and that its value is valid."""
        known = [field.name for field in fields(self)]
        if name not in known:
            raise OptionError(f"There is no setting {name!r}. The settings are {', '.join(known)}.")
        if name == "use_cpu_fallback":
            check_flag(value, what=name)
        object.__setattr__(self, name, value)

    @contextmanager
    def context(self, **changes: Any) -> Iterator[Self]:
        """Change settings inside a ``with`` block and restore them afterwards, also after an error."""
        before = dict(vars(self))
        try:
            for name, value in changes.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)


config: Settings = Settings()
"""The settings of this process."""


def __dir__() -> list[str]:
    return __all__
