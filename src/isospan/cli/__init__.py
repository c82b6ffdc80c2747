"""The command ``isospan``: options, messages, tables, progress."""

from isospan.cli._commands import app

__all__ = ["app"]
