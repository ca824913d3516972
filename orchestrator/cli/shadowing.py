"""Files beside a workflow that share a name with the standard library or with what orch needs: ``queue.py``.

The folder of a workflow stands first on Python's path, as for any script, and so such a file would be what *everybody*
imports by that name, this program included. Here the installed module keeps its name, and the user is told which file
is in the way: once when the workflow is loaded, and again where an import of it fails.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from orchestrator.cli.screen import say
from orchestrator.shadows import Shadow, shadows


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
        for shadow in shadows(folder, elsewhere):
            _installed.shadows[shadow.name] = shadow
            if shadow.path != target:
                say(f"note: {shadow.why}; {shadow.fix}", colour="yellow")


def shadowed_by(failure: BaseException) -> Shadow | None:
    """The shadow that explains why an import failed, or why a module lacks a name."""
    name = failure.name if isinstance(failure, ImportError) else None
    if isinstance(failure, AttributeError) and isinstance(failure.obj, ModuleType):
        name = failure.obj.__name__
    return _installed.shadows.get((name or "").partition(".")[0])


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
