"""``python -m benchmarks [NAME ...]`` runs the named benchmarks, or every module here that has a ``main``."""

import importlib
import pkgutil
import sys

import benchmarks

names = sys.argv[1:] or [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.ispkg and m.name[0] != "_"]
for name in names:
    main = getattr(importlib.import_module(f"benchmarks.{name}"), "main", None)
    if main is not None:
        print(f"\n== {name}")
        main()
