"""What a tool declares, as the program's word for a call of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from orchestrator.dsl.declared.once import key_params, parameters_of, takes
from orchestrator.dsl.declared.policy import parse_memory
from orchestrator.dsl.declared.tool_spec import ToolSpec
from orchestrator.runtime.program.specs import Once, ToolCall
from orchestrator.runtime.tools.streamed import Streamed, StreamedAsync


def tool_call(
    tool: ToolSpec[..., Any], callee: str, params: tuple[str, ...], place: str, *, retrieve: bool, code: str = ""
) -> ToolCall:
    """A call of ``tool``, which the IR calls ``callee``, with these parameters; ``code`` is its hash there."""
    return ToolCall(
        _collecting(tool),
        callee,
        tool.effects,
        tool.is_async,
        place,
        None if _positional(tool, params) else params,
        retrieve,
        once=_once(tool, params) if tool.effects == "once" else None,
        memory_bytes=None if tool.memory is None else parse_memory(tool.memory),
        code=code,
    )


def default_place(tool: ToolSpec[..., Any]) -> str:
    """Where the tool runs if nobody has placed it."""
    if tool.isolation is not None:
        return tool.isolation
    if tool.is_async:
        return "async"
    return "inline" if tool.cheap and tool.effects == "pure" and tool.timeout is None else "thread"


def _collecting(tool: ToolSpec[..., Any]) -> Callable[..., Any]:
    """What is called: of a generator, what makes a list of it."""
    if not tool.is_streaming:
        return tool.fn
    made = StreamedAsync if tool.is_async else Streamed
    return made(tool.fn, tool.max_items)


def _once(tool: ToolSpec[..., Any], params: tuple[str, ...]) -> Once:
    key = key_params(tool)
    made = tuple(name for name in key if name not in params and takes(tool.fn, name))
    check_params = parameters_of(tool.check) if tool.check is not None else ()
    return Once(key, made, params, tool.check, check_params)


def _positional(tool: ToolSpec[..., Any], params: tuple[str, ...]) -> bool:
    try:
        parameters = inspect.signature(tool.fn).parameters.values()
    except (TypeError, ValueError):
        return False
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(names[: len(params)]) == params
