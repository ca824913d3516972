"""The tools that a model wants to call, put together from the pieces in which an endpoint sends them.

By the standard a piece says by an index which call it goes on with, and only the first has an id and a name. Endpoints
number all calls 0, number none, send the id before the name, the name in parts, or both in every piece. So a piece
begins another call if its id says so, or if it has a name and no id, and what has come of the last call is whole.

>>> calls = Calls()
>>> for function in ({"name": "look"}, {"name": "_up", "arguments": '{"key"'}, {"arguments": ": 1}"}):
...     _ = calls.add({"tool_calls": [{"index": 0, "function": function}]})
>>> calls.found()
(ToolCall(name='look_up', arguments='{"key": 1}', id=''),)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.dsl.models.messages import ToolCall
from orchestrator.runtime.engines.surrogates import well_formed

_CALL_CHARS: Final = 500
"""What a call takes beside its name and arguments."""
_PIECE_CHARS: Final = 20
"""What a piece counts for at least, so that pieces without an end are too long some time."""
_NAMELESS: Final = "?"
"""What stands for the name of a call that never got one."""


@dataclass(slots=True)
class _Call:
    id: str
    index: Any
    """What the endpoint numbers it, if it does."""
    names: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "".join(self.names) or _NAMELESS

    @property
    def is_whole(self) -> bool:
        """Whether it has a name, and arguments that nothing can be added to."""
        if not self.arguments or not self.arguments[-1].rstrip().endswith("}"):
            return False
        try:
            json.loads("".join(self.arguments))
        except ValueError:
            return False
        return bool(self.names)


class Calls:
    """The calls of one sample."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def __str__(self) -> str:
        return "; ".join(f"{call.name}({''.join(call.arguments)})" for call in self._calls)

    @property
    def are_cut(self) -> bool:
        """Whether something may be missing of one of them, in a reply that was cut off."""
        return not all(call.is_whole for call in self._calls)

    def found(self) -> tuple[ToolCall, ...]:
        """What has come of them."""
        return tuple(ToolCall(call.name, well_formed("".join(call.arguments)) or "{}", call.id) for call in self._calls)

    def add(self, delta: Mapping[str, Any]) -> int:
        """Take the pieces in a delta, or in a message; gives how many characters that takes, about."""
        return sum(self._piece(call, function) for call, function in _pieces(delta))

    def _piece(self, given: Mapping[str, Any], function: Mapping[str, Any]) -> int:
        name, own_id = str(function.get("name") or ""), str(given.get("id") or "")
        call = self._continued(name, own_id, given.get("index"))
        chars = len(name) + _PIECE_CHARS
        if call is None:
            call = _Call(own_id, given.get("index"))
            self._calls.append(call)
            chars += _CALL_CHARS
        call.id = call.id or own_id
        if name and not call.arguments and call.names != [name]:
            call.names.append(name)
        arguments = function.get("arguments") or ""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)  # some send the object itself
        if text:
            call.arguments.append(text)
        return chars + len(text)

    def _continued(self, name: str, own_id: str, index: Any) -> _Call | None:
        """The call that a piece goes on with; None where it begins another."""
        numbered = [each for each in self._calls if index is not None and each.index == index]
        last = (numbered or (self._calls if index is None else []))[-1:]
        if not last or (own_id and last[0].id and own_id != last[0].id):
            return None
        is_next = name and not own_id and (last[0].is_whole or (index is None and last[0].names))
        return None if is_next else last[0]


def _pieces(delta: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """What each piece says of its call, and of the function."""
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, Mapping):
            function = call.get("function", call)
            yield call, function if isinstance(function, Mapping) else {}
    alone = delta.get("function_call")
    if isinstance(alone, Mapping) and not calls:  # some say the only call in both ways
        yield alone, alone
