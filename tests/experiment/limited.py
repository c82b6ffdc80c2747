"""Run commands under a limit of memory that the kernel holds: ``python limited.py BYTES LIMITS COMMANDS`` (JSON).

The first commands warm up libraries and buffers on small data. Then the memory in use plus BYTES is the limit,
and larger allocations fail. LIMITS are values of constants, by name, that decide how much is read at a time.
"""

import importlib
import json
import resource
import sys
from pathlib import Path

from isospan.cli import app


def data_bytes():
    """Private writable memory, which is what the limit counts; not what is mapped from files."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")]
    return 1024 * int(line.split()[1])


def main(limit, constants, commands):
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    *warm_ups, command = commands
    for arguments in warm_ups:
        app(arguments, standalone_mode=False)
    allowed = data_bytes() + limit
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    app(command, standalone_mode=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3]))
