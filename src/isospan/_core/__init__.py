"""What every package builds on: checks, warnings, autocast, processes, files."""
