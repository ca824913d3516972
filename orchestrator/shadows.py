"""Files in a folder that share a name with the standard library or with what this program needs: ``queue.py``.

Where such a folder stands first on Python's path, the file is what *everybody* imports by that name, this program and
Ray's workers included.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

_NOBODYS: Final = frozenset({"antigravity", "idlelib", "test", "this", "turtle", "turtledemo"})
"""Modules of the standard library that no library imports; a folder called ``test`` is in no one's way."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A file, or a package's folder, that is not what its name imports."""

    name: str
    path: Path

    @property
    def why(self) -> str:
        owner = "the standard library" if self.name in sys.stdlib_module_names else "a package that orch needs"
        return f"`import {self.name}` gives the module of {owner}, not {self.path}"

    @property
    def fix(self) -> str:
        return f"rename {self.path.name}, and what imports it"


def shadows(folder: Path, elsewhere: Iterable[object]) -> list[Shadow]:
    """Those in the folder, of modules in the folders ``elsewhere``, as they stand on Python's path, where nothing but
    strings counts."""
    installed = (each for each in elsewhere if isinstance(each, str) and "-packages" in each)
    taken = (sys.stdlib_module_names - _NOBODYS) | _names_in(installed)
    found = []
    for name in sorted(_names_in([str(folder)]) & taken):
        path = next((each for each in (folder / name, folder / f"{name}.py") if _is_module(each)), None)
        if path is not None and (name in sys.stdlib_module_names or name in _dependencies()):
            found.append(Shadow(name, path))
    return found


def _names_in(folders: Iterable[str]) -> set[str]:
    """What may be imported from there, and more; nothing of a folder that cannot be listed."""
    found: set[str] = set()
    for folder in folders:
        with suppress(OSError):
            found.update(name.partition(".")[0] for name in os.listdir(folder))  # noqa: PTH208 - only the names
    return found


def _is_module(path: Path) -> bool:
    return path.is_file() if path.suffix == ".py" else (path / "__init__.py").is_file()


@cache
def _dependencies() -> frozenset[str]:
    """Modules of every distribution that this one requires, directly or not, extras included."""
    known = {_canonical(each.name): each for each in metadata.distributions() if each.name}
    found: set[str] = set()
    waiting = ["orchestrator"]
    while waiting:
        name = waiting.pop()
        if name in found or name not in known:
            continue
        found.add(name)
        waiting += [_canonical(re.split(r"[^\w.-]", each, maxsplit=1)[0]) for each in known[name].requires or ()]
    providers = metadata.packages_distributions()
    return frozenset(
        module for module, names in providers.items() if not found.isdisjoint(_canonical(name) for name in names)
    )


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
