"""Which files the user's code reads while it is traced, and whether they are still what they were.

Folders that it lists and databases of SQLite that it opens are files too. In WAL mode what is new in a database stands
in a file beside it until somebody moves it there, so that file counts as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from orchestrator.dsl.source.location import is_user_file

_CODE: Final = frozenset({".py", ".pyc", ".so", ".pyd"})
_OF_THE_SYSTEM: Final = ("/proc/", "/sys/", "/dev/")
"""Files there are new whenever one looks."""
_LISTING: Final = frozenset({"os.listdir", "os.scandir"})
_READING: Final = _LISTING | {"open", "sqlite3.connect"}
_opened: ContextVar[set[str] | None] = ContextVar("orchestrator_files_opened", default=None)
_hooks: list[object] = []


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file as it was when it was read; ``stamp`` is None where there was none."""

    path: str
    stamp: tuple[int, int, int] | None

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is still the same, as far as its size and times tell."""
        return _stamp(self.path) == self.stamp


@contextmanager
def noting_files() -> Iterator[list[FileRead]]:
    """The files that are opened in this context, code excepted; the list is filled at the end."""
    if not _hooks:  # an audit hook stays for the life of the process, so there is one, from the first trace on
        _hooks.append(_hook)
        sys.addaudithook(_hook)
    opened: set[str] = set()
    found: list[FileRead] = []
    token = _opened.set(opened)
    try:
        yield found
    finally:
        _opened.reset(token)
        found += [FileRead(path, _stamp(path)) for path in sorted(opened)]


def _hook(
    event: str, args: tuple[object, ...], reading: frozenset[str] = _READING, at: ContextVar[set[str] | None] = _opened
) -> None:
    """What Python calls at each event, also at its exit, when the names of modules are gone: so it has its own."""
    if event not in reading or (opened := at.get()) is None:
        return
    what = "." if args[0] is None and event in _LISTING else args[0]
    if not isinstance(what, (str, bytes, os.PathLike)) or (event == "open" and _writes(*args[1:3])):
        return
    if event == "os.listdir" and what in sys.path:  # an import looks where a module is
        return
    name = os.fsdecode(what)
    if event == "sqlite3.connect":
        name = unquote(urlsplit(name).path) if name.startswith("file:") else name
    path = Path(name).absolute()
    if path.suffix not in _CODE and not str(path).startswith(_OF_THE_SYSTEM) and is_user_file(str(path)):
        opened.add(str(path))
        if event == "sqlite3.connect":
            opened.add(f"{path}-wal")


def _writes(mode: object, flags: object) -> bool:
    """Whether a file is opened with this mode, or else with these flags, to be written."""
    if isinstance(mode, str):
        return not set(mode).isdisjoint("wax+")
    return isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) != 0


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
