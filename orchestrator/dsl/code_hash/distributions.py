"""Versions of third-party distributions, by the packages that are imported of them.

They are recorded beside a hash and not in it, as most updates of a library change nothing that a tool does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Distribution and version for each package; a package that no distribution owns up to is left out."""
    found: dict[str, str] = {}
    for package in packages:
        found |= _versions(package)
    return dict(sorted(found.items()))


@cache
def _versions(package: str) -> Mapping[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {package: version(package)}  # most are called like their package, and that is quick to find out
    except PackageNotFoundError:
        return {name: version(name) for name in sorted(set(_all().get(package, [])))}


@cache
def _all() -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions

    return packages_distributions()
