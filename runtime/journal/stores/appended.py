"""What one claim has appended to its run, and no commit has written yet."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.runtime.journal.stores.base import Change


class Appended:
    """Rows in the making: everything between two snapshots is one row.

    >>> appended = Appended(epoch=1)
    >>> appended.add(b"a"), appended.add(b"b"), appended.add_snapshot(b"S"), appended.add(b"c")
    (None, None, None, None)
    >>> appended.rows()
    [(False, b'ab'), (True, b'S'), (False, b'c')]
    """

    __slots__ = ("_parts", "_rows", "change", "epoch", "size", "taken")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.change: Change | None = None
        """What becomes of the head; the latest word on each field."""
        self.taken: list[int] = []
        """Notices to remove."""
        self.size = 0
        """Bytes of all rows."""
        self._rows: list[tuple[bool, bytes]] = []
        self._parts: list[bytes] = []

    def add(self, data: bytes, change: Change | None = None, taken: Collection[int] = ()) -> None:
        """Add to the row in the making."""
        if data:
            self._parts.append(data)
            self.size += len(data)
        if change is not None:
            self.change = change if self.change is None else _then(self.change, change)
        if taken:
            self.taken.extend(taken)

    def add_snapshot(self, data: bytes) -> None:
        """Add a row that stands for everything before it."""
        self._seal()
        self._rows.append((True, data))
        self.size += len(data)

    def is_more_than_rows(self) -> bool:
        """Whether the head changes, or notices are taken."""
        return self.change is not None or bool(self.taken)

    def rows(self) -> list[tuple[bool, bytes]]:
        """Whether each is a snapshot, and what it holds."""
        self._seal()
        return self._rows

    def _seal(self) -> None:
        if self._parts:
            self._rows.append((False, self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)))
            self._parts = []


def _then(first: Change, second: Change) -> Change:
    return Change(
        second.status or first.status,
        first.why if second.why is None else second.why,
        first.wake_at if second.wake_at is None else second.wake_at,
        second.version or first.version,
        first.has_progressed or second.has_progressed,
    )
