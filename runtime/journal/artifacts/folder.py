"""Artifacts in a folder of this machine, or of one that several mount.

``20261130/9f86d081…`` holds the bytes of ``20261130-9f86d081…``. A file is written beside that under a name of its
own, synced, renamed, and the folder is synced: at no moment does the name lead to a part of the content, and several
processes that put the same at once put it twice under one name.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from time import time

from orchestrator.runtime.journal.artifacts.base import (
    checked,
    ended_before,
    entry_named,
    entry_of,
    missing,
    name_of,
    parts_of,
)


class Folder:
    """Keeps artifacts below ``path``, which is made when something is put."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    @property
    def url(self) -> str:
        """What opens it again."""
        return f"file://{self._path}"  # fsspec takes a path as it is, without %20

    def put(self, data: bytes, name: str | None = None) -> str:
        """Keep bytes; their name, which they may have been given a moment ago."""
        name = name or name_of(data, time())
        day, digest = parts_of(name)
        file = self._path / day / digest
        if not _holds(file, data):
            _make(file.parent)
            _write(file, data)
        _sync(file.parent)  # whoever has put it may not have come to this
        _sync(self._path)
        return name

    def get(self, name: str, of: str = "a value of a run") -> bytes:
        """What was put. Raises :class:`~orchestrator.runtime.journal.artifacts.base.LostArtifactError`."""
        day, digest = parts_of(name, of)
        try:
            data = (self._path / day / digest).read_bytes()
        except FileNotFoundError:
            raise missing(name, of, self.url, has_any=self._path.is_dir() and any(self._path.iterdir())) from None
        return checked(data, name, of, self.url)

    def names(self, before: float) -> Iterator[str]:
        """The names of what was put on days that ended before a Unix time in seconds, and of drafts."""
        try:
            days = sorted(each.name for each in os.scandir(self._path) if ended_before(each.name, before))
        except FileNotFoundError:
            return
        for day in days:
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._path / day) as files:
                yield from (name for each in files if (name := entry_named(day, each.name)))

    def remove(self, names: Collection[str]) -> int:
        """Remove what is there; how many there were."""
        removed = 0
        entries = [entry_of(each) for each in names]
        for day, file in entries:
            with suppress(FileNotFoundError):
                (self._path / day / file).unlink()
                removed += 1
        for day in {day for day, _ in entries}:
            with suppress(OSError):  # it holds others
                (self._path / day).rmdir()
        return removed


def _holds(file: Path, data: bytes) -> bool:
    """Whether a file holds exactly these bytes, durably."""
    try:
        with file.open("rb") as kept:
            if os.fstat(kept.fileno()).st_size != len(data) or kept.read() != data:
                return False
            os.fsync(kept.fileno())
    except FileNotFoundError:
        return False
    return True


def _write(file: Path, data: bytes) -> None:
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(file)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def _make(folder: Path) -> None:
    """Make a folder and those that it is in, durably."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
