"""Internal functions for all packages: checks, warnings, autocast, processes, files."""
