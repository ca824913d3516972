"""Artifacts at a URL that fsspec knows: a bucket, a server, the memory of the process.

An object store shows an object when all of it is there. On any other file system the bytes are written under a name of
their own and moved. How durable they are then is the file system's affair.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Final

from orchestrator.redaction import shown
from orchestrator.runtime.journal.artifacts.base import (
    checked,
    ended_before,
    entry_named,
    entry_of,
    missing,
    name_of,
    parts_of,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_WHOLE: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory"})
"""Protocols whose writes are seen wholly or not at all."""


class Remote:
    """Keeps artifacts below ``root`` of a file system of fsspec's."""

    def __init__(self, files: AbstractFileSystem, root: str, url: str) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self._url = shown(url)
        protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
        self._is_whole = not _WHOLE.isdisjoint(protocols)

    @property
    def url(self) -> str:
        """What opens it again, without a password."""
        return self._url

    def put(self, data: bytes, name: str | None = None) -> str:
        """Keep bytes; their name, which they may have been given a moment ago."""
        name = name or name_of(data, time())
        path = self._path(*parts_of(name))
        if self._size(path) == len(data):
            return name
        if self._is_whole:
            self._files.pipe_file(path, data)
            return name
        draft = f"{path}.{secrets.token_hex(8)}"
        self._files.makedirs(self._files._parent(path), exist_ok=True)
        try:
            self._files.pipe_file(draft, data)
            self._files.mv(draft, path)
        except BaseException:
            with suppress(OSError):
                self._files.rm_file(draft)
            raise
        return name

    def get(self, name: str, of: str = "a value of a run") -> bytes:
        """What was put. Raises :class:`~orchestrator.runtime.journal.artifacts.base.LostArtifactError`."""
        try:
            data = self._files.cat_file(self._path(*parts_of(name, of)))
        except FileNotFoundError:
            raise missing(name, of, self.url, has_any=bool(self._listed(self._root))) from None
        return checked(data, name, of, self.url)

    def names(self, before: float) -> Iterator[str]:
        """The names of what was put on days that ended before a Unix time in seconds, and of drafts."""
        for day in self._listed(self._root):
            if ended_before(day, before):
                yield from (name for file in self._listed(f"{self._root}/{day}") if (name := entry_named(day, file)))

    def remove(self, names: Collection[str]) -> int:
        """Remove what is there; how many there were."""
        removed = 0
        for day, file in [entry_of(each) for each in names]:
            with suppress(FileNotFoundError):
                self._files.rm_file(self._path(day, file))
                removed += 1
        return removed

    def _path(self, day: str, file: str) -> str:
        return f"{self._root}/{day}/{file}"

    def _size(self, path: str) -> int | None:
        self._files.invalidate_cache()
        try:
            size = self._files.size(path)
        except FileNotFoundError:
            return None
        return size if isinstance(size, int) else None

    def _listed(self, folder: str) -> list[str]:
        self._files.invalidate_cache()
        try:
            return sorted(each.rstrip("/").rpartition("/")[2] for each in self._files.ls(folder, detail=False))
        except FileNotFoundError:
            return []
