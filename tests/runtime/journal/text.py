"""Events as the text of a log, and back."""

from __future__ import annotations

from orchestrator.runtime.journal.events import Event
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.lines.wire import Wire
from orchestrator.runtime.program.program import Program


class Codec:
    """The text of the events of one program's runs."""

    def __init__(self, program: Program) -> None:
        self._wire = Wire(program, Chats())

    def dumps(self, event: Event) -> str:
        line = self._wire.write(event)
        return line.text if line.state is None else f"{line.text}\t{line.state}"

    def loads(self, text: str) -> Event:
        head, tab, state = text.partition("\t")
        return self._wire.read([*loads(head), loads(state)] if tab else loads(head))
