"""Files beside a workflow that share a name with the standard library or with what orch needs: ``queue.py``.

The folder of a workflow stands first on Python's path, as for any script, and so such a file would be what *everybody*
imports by that name, this program included. Here the installed module keeps its name, and the user is told which file
is in the way: once when the workflow is loaded, and again where an import of it fails.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

import click

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


class _Installed:
    """A finder in front of all others: for the names of shadows, it looks everywhere but beside the workflow."""

    def __init__(self) -> None:
        self.shadows: dict[str, Shadow] = {}
        self.folders: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for any name that is no shadow's, and for modules that are built in."""
        if path is not None or fullname not in self.shadows:
            return None
        return PathFinder.find_spec(fullname, [each for each in sys.path if each not in self.folders], target)


_installed = _Installed()


def beside(*folders: Path, target: Path) -> None:
    """Make what is in the folders importable, the last one first, shadows excepted.

    Shadows are named on stderr, unless one is the ``target`` itself.
    """
    if sys.path[:1] == [str(folders[-1])]:
        return
    elsewhere = [each for each in sys.path if each and each not in (*_installed.folders, *map(str, folders))]
    _forget_namesakes(folders[-1])
    if _installed not in sys.meta_path:
        sys.meta_path.insert(0, _installed)
    for folder in dict.fromkeys(folders):
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        sys.path.insert(0, str(folder))
        _installed.folders.append(str(folder))
        for shadow in _shadows(folder, elsewhere):
            _installed.shadows[shadow.name] = shadow
            if shadow.path != target:
                click.secho(f"note: {shadow.why}; {shadow.fix}", fg="yellow", err=True)


def shadowed_by(failure: BaseException) -> Shadow | None:
    """The shadow that explains why an import failed, or why a module lacks a name."""
    name = failure.name if isinstance(failure, ImportError) else None
    if isinstance(failure, AttributeError) and isinstance(failure.obj, ModuleType):
        name = failure.obj.__name__
    return _installed.shadows.get((name or "").partition(".")[0])


def _shadows(folder: Path, elsewhere: Sequence[str]) -> list[Shadow]:
    taken = (sys.stdlib_module_names - _NOBODYS) | _names_in(each for each in elsewhere if "-packages" in each)
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


def _forget_namesakes(folder: Path) -> None:
    """Of the modules that another workflow's folder gave, forget those that this folder has as well."""
    for name in list(sys.modules):
        top = name.partition(".")[0]
        origin = getattr(sys.modules.get(top), "__file__", None)
        if origin is None or not _gave(origin) or Path(origin).is_relative_to(folder):
            continue
        if (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file():
            del sys.modules[name]


def _gave(origin: str) -> bool:
    """Whether a top-level module came from a folder that :func:`beside` made importable."""
    path = Path(origin)
    place = path.parent.parent if path.name == "__init__.py" else path.parent
    return str(place) in _installed.folders
