"""Calls of tools in the pieces that endpoints send, which number, name and repeat them in their own ways."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.runtime.engines.endpoint.called import Calls
from orchestrator.runtime.engines.endpoint.reply import Reply, UnfinishedError


def piece(index: Any = 0, own_id: Any = None, **function: Any) -> dict[str, Any]:
    """A delta with a piece of a call."""
    numbered = {} if index is None else {"index": index}
    return {"tool_calls": [{**numbered, **({"id": own_id} if own_id else {}), "function": function}]}


LOOK = ("look", '{"key": 1}')
SHOW = ("show", '{"key": 2}')


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([{"tool_calls": [{"index": 0, "id": "a"}]}, piece(name="look", arguments='{"key": 1}')], [LOOK]),
        ([piece(own_id="a", name=None), piece(name="look"), piece(arguments='{"key": 1}')], [LOOK]),
        ([piece(own_id="a", name="lo"), piece(name="ok", arguments='{"key": 1}')], [LOOK]),
        ([piece(name="look", arguments='{"key"'), piece(name="look", arguments=": 1}")], [LOOK]),
        ([piece(name="look", arguments='{"key": {}'), piece(name="look", arguments="}")], [("look", '{"key": {}}')]),
        ([piece(name="look", arguments='{"key": 1}'), piece(name="show", arguments='{"key": 2}')], [LOOK, SHOW]),
        ([piece(None, name="look", arguments='{"key"'), piece(None, arguments=": 1}"),
          piece(None, name="show", arguments='{"key": 2}')], [LOOK, SHOW]),
        ([piece(None, name="look"), piece(None, name="show", arguments='{"key": 2}')], [("look", "{}"), SHOW]),
        ([piece(1, "a", name="look"), piece(1, arguments='{"key": 1}')], [LOOK]),
        ([{"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look"}},
                          {"index": 0, "function": {"arguments": '{"key"'}}]}, piece(arguments=": 1}")], [LOOK]),
        ([{**piece(name="look", arguments='{"key": 1}'),
           "function_call": {"name": "look", "arguments": '{"key": 1}'}}], [LOOK]),
        ([{"function_call": {"name": "look", "arguments": '{"key"'}}, {"function_call": {"arguments": ": 1}"}}],
         [LOOK]),
        ([piece(arguments='{"key": 1}')], [("?", '{"key": 1}')]),
    ],
    ids=[
        "the id before the name", "no name at first", "a name in parts", "the name in each piece",
        "the name again behind a bracket", "all numbered 0, without ids", "not numbered, without ids",
        "no arguments", "numbered from 1", "two pieces of one call in a delta", "said in both ways", "said the old way",
        "never a name",
    ],
)  # fmt: skip
def test_pieces_become_the_calls_that_the_model_made(deltas: list[Any], expected: list[Any]) -> None:
    calls = Calls()
    for delta in deltas:
        calls.add(delta)
    assert [(call.name, call.arguments) for call in calls.found()] == expected


def test_a_message_beside_an_empty_delta_is_what_has_been_said_already() -> None:
    whole = {"content": "Hi", "tool_calls": piece(name="look", arguments='{"key": 1}')["tool_calls"]}
    events = [
        {"choices": [{"index": 0, "delta": {"content": "Hi"}}]},
        {"choices": [{"index": 0, "delta": piece(name="look", arguments='{"key": 1}')}]},
        {"choices": [{"index": 0, "delta": {}, "message": whole, "finish_reason": "tool_calls"}]},
    ]
    reply = Reply(1)
    assert "".join(text for event in events for _, text, _ in reply.feed(event)) == "Hi"
    assert [(call.name, call.arguments) for call in reply.calls()[0]] == [LOOK]


def test_whole_replies_with_one_index_are_not_one_text() -> None:
    choices = [{"index": 0, "message": {"content": text}, "finish_reason": "stop"} for text in "ab"]
    with pytest.raises(UnfinishedError, match="one index"):
        list(Reply(2).feed({"choices": choices}))
