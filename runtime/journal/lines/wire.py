"""What is written of a run's events: one line of JSON each, by the keys of ops, and back.

What a loop's turn hands on stands behind its line and a tab, or what differs from the turn before
(:mod:`~orchestrator.runtime.journal.lines.live`). The path in a line is made of keys
(:mod:`~orchestrator.runtime.journal.lines.paths`), and its values are written by the types that the program gives
them, at once: whoever has them may change them a moment later. A line is read by the program that executes the run
now; a path that this has not got is another version's.
"""

from __future__ import annotations

from orchestrator.runtime.journal.artifacts.apart import Apart
from orchestrator.runtime.journal.events import Event
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.line import Data, Line
from orchestrator.runtime.journal.lines.readers import READERS
from orchestrator.runtime.journal.lines.texts import Texts
from orchestrator.runtime.journal.lines.writers import WRITERS
from orchestrator.runtime.program.program import Program


class Wire:
    """Writes and reads the events of one run."""

    def __init__(self, program: Program, chats: Chats, apart: Apart | None = None) -> None:
        self._texts = Texts(program, chats, apart)

    def write(self, event: Event) -> Line:
        """The line of an event. Raises what :func:`~orchestrator.runtime.journal.lines.stored.encode` raises."""
        return WRITERS[type(event)](self._texts, event)

    def read(self, data: Data) -> Event:
        """The event of a line. Raises ``UnknownPathError`` where the program has no such op, and ``ValueError``."""
        kind, at, path, *rest = data
        if kind not in READERS:
            raise ValueError(f"{kind!r} is no kind of event")
        return READERS[kind](self._texts, at, path, *rest)
