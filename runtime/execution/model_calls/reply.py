"""What the text of a reply is to the workflow: a value of the type that the call declares, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from orchestrator.dsl.models.messages import Message, Reply, ToolCall
from orchestrator.dsl.sampling import matches
from orchestrator.runtime.engines.tool_steps import reply_in
from orchestrator.runtime.failures import ReplyError
from orchestrator.runtime.program.specs import Generate
from orchestrator.runtime.values.at_run_time import parsed_reply

MOST_CALLS: Final = 32
"""One reply may have so many. What a model wants to call beyond is left out of the conversation; the run says so."""
EMPTY: Final = "The reply is empty: answer, or call a tool."
MOST_SHOWN_CHARS: Final = 8_000
"""A model is shown so much of its bad reply; its beginning and its end are kept."""
_MOST_SHOWN: Final = 200


def reply_of(spec: Generate, text: str) -> Any:
    """The value of one sample; raises :class:`ReplyError` where its text is nothing that the call may give.

    A regular expression is asked here, too: an endpoint may not know it, or have ignored it.
    """
    if spec.sampling.constraint is not None and spec.sampling.constraint[0] == "regex":
        pattern = str(spec.sampling.constraint[1])
        if not matches(pattern, text):
            raise ReplyError(f"it does not match the regular expression {pattern[:_MOST_SHOWN]}")
    return parsed_reply(spec.returns, text)


def said_by(text: str, calls: Sequence[ToolCall] | None, cut_by: str | None = None) -> Reply:
    """What a model says that was offered tools; without ``calls`` of an engine that calls none its text is a step.

    Of what was cut off, by a limit that ``cut_by`` names, no call is made, and the model is told: one that seems
    whole may be what is left of another.
    """
    if calls is None:
        reply = reply_in(text)
        return replace(reply, problem=_cut("step", cut_by)) if cut_by and reply.problem else reply
    if cut_by and calls:
        shown = text or "; ".join(f"{call.name}({call.arguments})" for call in calls)
        problem = _cut(f"call of {calls[-1].name[:_MOST_SHOWN]}", cut_by)
        return Reply(shortened(shown, MOST_SHOWN_CHARS), problem=problem, is_final=False)
    if not calls and not text.strip():
        return Reply(problem=EMPTY, is_final=False)
    return Reply(text, list(calls[:MOST_CALLS]), is_final=not calls)


def _cut(what: str, limit: str) -> str:
    return f"Your {what} was cut off before its end by {limit}, and nothing was done. Answer again, much shorter."


def shortened(text: str, most: int) -> str:
    """The beginning and the end of a text that is longer than ``most`` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} … {text[-most // 2 :]}"


def numbered(reply: Reply, position: int) -> Reply:
    """A reply to so many messages, whose calls have ids, which their answers name."""
    if all(call.id for call in reply.calls):
        return reply
    calls = [replace(call, id=call.id or f"call_{position}_{number}") for number, call in enumerate(reply.calls)]
    return replace(reply, calls=calls)


def turn_of(reply: Any, text: str) -> Message:
    """What a reply is in the conversation."""
    if isinstance(reply, Reply):
        return Message("assistant", reply.text or text, calls=tuple(reply.calls))
    return Message("assistant", text)
