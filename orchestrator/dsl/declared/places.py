"""Options of a tool that say where it runs: on the event loop, in a thread, or in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, get_args

from orchestrator.dsl.declared.policy import Opts, PolicyError, parse_memory
from orchestrator.dsl.declared.tool_spec import Isolation, ToolSpec


def is_record(cls: type) -> bool:
    """Whether instances only hold values, so that building one is cheap: dataclasses, models, named tuples."""
    return is_dataclass(cls) or issubclass(cls, tuple) or hasattr(cls, "__pydantic_validator__")


def place_opts(tool: ToolSpec[..., Any]) -> Opts:
    """The ``opts`` of a tool whose options have no :func:`place_problems`."""
    opts: Opts = {}
    if tool.cheap:
        opts["cheap"] = True
    if tool.isolation is not None:
        opts["isolation"] = tool.isolation
    if tool.memory is not None:
        opts["memory_bytes"] = parse_memory(tool.memory)
    return opts


def place_problems(tool: ToolSpec[..., Any]) -> Iterator[tuple[str, str | None, str]]:
    """What is wrong with them: what, why, and the fix."""
    if tool.isolation not in (None, *get_args(Isolation)):
        yield f"isolation={tool.isolation!r}", None, 'isolation is "thread" or "process", or is left out'
    if not isinstance(tool.cheap, bool):
        yield f"cheap={tool.cheap!r}", None, "cheap is True or False"
    elif tool.cheap:
        yield from _cheap_problems(tool)
    if tool.memory is not None:
        try:
            parse_memory(tool.memory)
        except PolicyError as wrong:
            yield f"memory={tool.memory!r}: {wrong}", None, wrong.fix
        if tool.isolation != "process":
            why = "only a process of its own has memory that can be bounded"
            yield f'memory={tool.memory!r} without isolation="process"', why, 'add isolation="process"'


def _cheap_problems(tool: ToolSpec[..., Any]) -> Iterator[tuple[str, str | None, str]]:
    why = "a cheap tool is called on the event loop, between other steps, and nothing can stop it"
    if tool.effects != "pure":
        yield f'cheap=True with effects="{tool.effects}"', why, 'leave cheap out, or declare effects="pure"'
    if tool.is_async:
        yield "cheap=True on an async tool", "it runs on the event loop anyway", "leave cheap out"
    for name, given in (("timeout", tool.timeout), ("isolation", tool.isolation)):
        if given is not None:
            yield f"cheap=True with {name}={given!r}", why, f"leave one of them out, cheap or {name}"
