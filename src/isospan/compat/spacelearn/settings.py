"""How decompositions are computed."""

from isospan.settings import Settings, config

__all__ = ["Settings", "config"]
