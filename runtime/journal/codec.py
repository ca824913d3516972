"""Events as JSON text and back, for journals that leave the process.

Values are written and read by the types that the program gives their slots, so a journal is only readable together
with the program that wrote it, to which its run is pinned anyway.
"""

from __future__ import annotations

import json
from typing import Any

from orchestrator.runtime.events import Event, decode, encode
from orchestrator.runtime.journal.chats import Chats
from orchestrator.runtime.journal.stored import decode as load
from orchestrator.runtime.journal.stored import encode as dump
from orchestrator.runtime.journal.stored import loads
from orchestrator.runtime.program import Program


class Codec:
    """The JSON form of the events of one program's runs."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._chats = Chats()

    def dumps(self, event: Event) -> str:
        """One line of JSON. Raises ``NotKeptError`` for a value that has no JSON form."""
        return json.dumps(encode(event, self._dump), ensure_ascii=False, separators=(",", ":"))

    def loads(self, line: str) -> Event:
        """The event of a line. Raises ``ValueError`` for another version, or values of other types."""
        return decode(json.loads(line), self._load)

    def _dump(self, region: str, slot: int, value: object) -> object:
        return loads(dump(self._type(region, slot), value, self._chats))

    def _load(self, region: str, slot: int, value: object) -> object:
        return load(self._type(region, slot), value, self._chats)

    def _type(self, region: str, slot: int) -> Any:
        return self._program.returns if slot < 0 else self._program.regions[region].types[slot]
