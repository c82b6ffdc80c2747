"""Arguments have one name, place and default everywhere."""

import importlib
import inspect

import pytest

PACKAGES = "evaluation linalg moments plotting quantities quantities.fields settings sizing subspaces".split()
"""Packages that keep the rules."""

INSTEAD = {
    "Z": "z",
    "Y": "y",
    "targets": "y",
    "pooled": "y",
    "bins": "n",
    "n_bins": "n",
    "max_bins": "max_n",
    "pooling_mode": "mode",
    "bin_threshold": "n_threshold",
    "variance_threshold": "threshold",
    "default_threshold": "threshold",
    "pool_per_quantity": "n_per_quantity",
    "regularization": "ridge",
}
"""Names of arguments that do not occur, and what to say."""

BY_POSITION = {"k", "dim", "group"}
"""Optional arguments that may be passed by position."""

DEFAULTS = {"method": ("regression",), "orthogonal": (False,), "device": (None,), "dtype": (None,), "mode": ("avg",)}
"""Defaults that an optional argument may have."""


def callables(package: str) -> dict[str, inspect.Signature]:
    """Signatures of the public functions, classes and methods of a package, by name."""
    module = importlib.import_module(f"isospan.{package}")
    found = {name: getattr(module, name) for name in module.__all__ if inspect.isroutine(getattr(module, name))}
    for name in module.__all__:
        if inspect.isclass(cls := getattr(module, name)):
            found[name] = cls
            methods = {key: getattr(cls, key) for key in vars(cls) if not key.startswith("_")}
            found |= {f"{name}.{key}": method for key, method in methods.items() if inspect.isroutine(method)}
    return {name: inspect.signature(function) for name, function in found.items()}


SIGNATURES = {f"{package}.{name}": s for package in PACKAGES for name, s in callables(package).items()}


def faults(signature: inspect.Signature) -> list[str]:
    """What breaks a rule."""
    found = []
    for p in signature.parameters.values():
        if p.name in INSTEAD:
            found.append(f"{p.name} should be {INSTEAD[p.name]}")
        if p.default is not p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in BY_POSITION:
            found.append(f"{p.name} should be passed by keyword")
        if p.default is not p.empty and p.default not in DEFAULTS.get(p.name, (p.default,)):
            found.append(f"{p.name} should be {DEFAULTS[p.name]} by default")
        if p.annotation is p.empty and p.name != "self":
            found.append(f"{p.name} needs an annotation")
    return found


def test_there_are_signatures_of_every_kind() -> None:
    kinds = {"sizing.solve_dims", "moments.Moments", "moments.Moments.of", "subspaces.LatentSpace.edit"}
    assert kinds < set(SIGNATURES)


@pytest.mark.parametrize("name", [name for name in SIGNATURES if name != "evaluation.Evaluation"])
def test_arguments_keep_the_rules(name: str) -> None:
    assert not faults(SIGNATURES[name])


def test_each_rule_finds_its_fault() -> None:
    def bad(Z: int, ridge: float = 1.0, *, method: str = "covariance", y=None) -> None: ...

    assert faults(inspect.signature(bad)) == [
        "Z should be z",
        "ridge should be passed by keyword",
        "method should be ('regression',) by default",
        "y needs an annotation",
    ]
