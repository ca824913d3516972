"""Dicts that remember what was there, so that a trace can go back at the cost of what has been added since."""

from __future__ import annotations

from typing import Any, Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_MISSING: Final = object()


class Past:
    """What the dicts of one trace held before each change, the latest last."""

    __slots__ = ("_changes",)

    def __init__(self) -> None:
        self._changes: list[tuple[Undoable[Any, Any], Any, Any]] = []

    def now(self) -> int:
        """The point to :meth:`go_back` to."""
        return len(self._changes)

    def note(self, where: Undoable[Any, Any], key: Any, before: Any) -> None:
        """Remember a change."""
        self._changes.append((where, key, before))

    def go_back(self, point: int) -> None:
        """Undo all changes since ``point``."""
        while len(self._changes) > point:
            where, key, before = self._changes.pop()
            where.put_back(key, before)


class Undoable(dict[K, V]):
    """A dict whose new entries can be undone; entries are set one by one."""

    __slots__ = ("_past",)

    def __init__(self, past: Past) -> None:
        super().__init__()
        self._past = past

    def __setitem__(self, key: K, value: V) -> None:
        self._past.note(self, key, self.get(key, _MISSING))
        super().__setitem__(key, value)

    def setdefault(self, key: K, default: V) -> V:
        """What there is at the key, which is ``default`` from now on if there was nothing."""
        if key not in self:
            self[key] = default
        return self[key]

    def put_back(self, key: K, before: Any) -> None:
        """Have what was there before a change."""
        if before is _MISSING:
            del self[key]
        else:
            super().__setitem__(key, before)
