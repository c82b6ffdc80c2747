"""Named errors and warnings of isospan.

Every error raised on purpose is an :class:`IsospanError`. Those caused by a value that the caller passed are also
:class:`ValueError` (or :class:`TypeError`), so code that catches the built-in classes keeps working. A message says
what must hold, what arrived, and what to do.
"""


class IsospanError(Exception):
    """Base class of all errors that isospan raises on purpose."""


class ShapeError(IsospanError, ValueError):
    """A tensor has the wrong number of dimensions or sizes that do not fit together."""


class NameMismatchError(IsospanError, ValueError):
    """The quantities named in one argument are not those named in another."""


class NonFiniteError(IsospanError, ValueError):
    """Data contain NaN or infinity."""


class DegenerateDataError(IsospanError, ValueError):
    """Data carry no information: fewer than two samples, a constant quantity, nothing at all."""


class DimensionError(IsospanError, ValueError):
    """A subspace or latent dimension cannot be realised (k < 1, or the sum of k above D for a partition)."""


class DtypeError(IsospanError, TypeError, ValueError):
    """A tensor has a data type that cannot hold real values (integers, booleans, complex numbers)."""


class DeviceMismatchError(IsospanError, ValueError):
    """Tensors that are used together lie on different devices."""


class OptionError(IsospanError, ValueError):
    """An option has a value that is not among the choices, or outside its range."""


class MissingArgumentError(IsospanError, TypeError):
    """A quantity function was not given an argument it needs."""


class FileFormatError(IsospanError, ValueError):
    """A file is missing, damaged, or not of the kind that was asked for."""


class FileWriteError(IsospanError, OSError):
    """A file cannot be written: the disk is full, a quota is used up, or the directory may not be written to."""


class MissingPackageError(IsospanError, ImportError):
    """A package that is not installed with isospan is needed; the message names the extra that brings it."""


class NotSolvedError(IsospanError, RuntimeError):
    """A result was asked for before there were data to solve for it."""


class GroupError(IsospanError, ValueError):
    """What was given does not define a group, a subgroup or an element of one."""


class GroupMismatchError(IsospanError, ValueError):
    """Elements or representations of different groups are used together."""


class RepresentationError(IsospanError, ValueError):
    """Matrices are not an orthogonal representation of their group."""


class EquivarianceError(IsospanError, AssertionError):
    """A map does not commute with the group; also an AssertionError, since tests raise it."""


class FrozenError(IsospanError, RuntimeError):
    """A layer whose dense weight is held for inference was to be trained."""


class NumericalWarning(UserWarning):
    """The result is right but differs from what was asked for (for example k above the rank)."""
