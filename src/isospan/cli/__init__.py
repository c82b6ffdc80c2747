"""The command ``isospan``: its options, messages, tables and progress bar."""

from isospan.cli._commands import app

__all__ = ["app"]
