"""Tools for a model that calls none: it is asked for a step as JSON, and its calls are read out of that.

A request with tools becomes one without: the system prompt lists them, the calls of earlier turns are the steps that
the model wrote, and what came of them is what the user says. The reply is bound by the schema of a step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from orchestrator.dsl.models.messages import Message, Reply, ToolCall
from orchestrator.dsl.models.offered import FINISH
from orchestrator.runtime.engines.base import GenerateRequest, Sampling

INSTRUCTIONS: Final = """In each turn give a thought and one action: call a tool, or finish with the answer.
Tools:
{tools}"""


def in_steps(request: GenerateRequest) -> GenerateRequest:
    """The request in words that every engine knows; itself where it has nothing to do with tools."""
    sampling = request.sampling
    if not sampling.tools and not any(message.calls or message.role == "tool" for message in request.messages):
        return request
    messages = list(_said(request.messages))
    if sampling.tools and sampling.tool_choice != "none":
        listing = "\n".join(f"- {each['signature']}" for each in sampling.tools)
        messages = _instructed(messages, INSTRUCTIONS.format(tools=listing))
        sampling = replace(sampling, schema=_bound(sampling))
    return replace(request, messages=tuple(messages), sampling=replace(sampling, tools=()))


def _bound(sampling: Sampling) -> dict[str, Any]:
    """The schema of a step; without the steps that a ``tool_choice`` forbids."""
    schema = json.loads(json.dumps(sampling.steps))
    if sampling.tool_choice == "auto":
        return schema  # type: ignore[no-any-return]
    action = schema["properties"]["action"]
    tags: dict[str, str] = action.get("discriminator", {}).get("mapping", {})
    wanted = [
        ref
        for tag, ref in tags.items()
        if (tag != FINISH if sampling.tool_choice == "required" else tag == sampling.tool_choice)
    ]
    if wanted:
        schema["properties"]["action"] = {"anyOf": [{"$ref": ref} for ref in wanted]}
    return schema  # type: ignore[no-any-return]


def _said(messages: Sequence[Message]) -> Iterator[Message]:
    """The turns as texts; what came of several calls of one turn is one turn of the user's."""
    results: list[str] = []
    for message in messages:
        if message.role == "tool":
            results.append(message.content)
            continue
        if results and message.role == "user" and not message.parts:
            message = replace(message, content="\n\n".join([*results, message.content]))  # noqa: PLW2901
        elif results:
            yield Message("user", "\n\n".join(results))
        results = []
        yield replace(message, content=_step(message), calls=()) if message.calls else message
    if results:
        yield Message("user", "\n\n".join(results))


def _step(message: Message) -> str:
    """The turn as the model wrote it, or as it would have: a step for each call."""
    if message.content.lstrip().startswith("{"):
        return message.content
    steps = [
        {"thought": message.content, "action": {"tool": call.name, "args": _arguments(call)}} for call in message.calls
    ]
    return "\n".join(json.dumps(step, ensure_ascii=False) for step in steps)


def _arguments(call: ToolCall) -> object:
    try:
        return json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments


def _instructed(messages: list[Message], text: str) -> list[Message]:
    if messages and messages[0].role == "system":
        return [replace(messages[0], content=f"{messages[0].content}\n{text}"), *messages[1:]]
    return [Message("system", text), *messages]


class _Action(BaseModel):
    model_config = ConfigDict(extra="allow")

    tool: str
    args: Any = None
    answer: str | None = None


class _Step(BaseModel):
    model_config = ConfigDict(extra="allow")

    thought: str = ""
    action: _Action


def reply_in(text: str) -> Reply:
    """What a step says; what is no step is a reply with a problem."""
    from orchestrator.runtime.failures import ReplyError
    from orchestrator.runtime.values.at_run_time import parsed_reply

    try:
        step = parsed_reply(_Step, text)
        if step.action.tool == FINISH and step.action.answer is None:
            raise ReplyError("action.finish.answer: Field required")
    except ReplyError as error:
        return Reply(text, problem=f"This is no legal step: {error}", is_final=False)
    if step.action.tool == FINISH:
        return Reply(step.action.answer)
    arguments = json.dumps({} if step.action.args is None else step.action.args, ensure_ascii=False)
    return Reply(text, [ToolCall(step.action.tool, arguments)], is_final=False)


def is_step(text: str) -> bool:
    """Whether a text is a step, or begins like one."""
    return text.lstrip().startswith("{") and '"action"' in text
