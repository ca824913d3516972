"""Tools that must run at most once: what they offer for when nobody knows whether they did.

An attempt that took too long, was cancelled or died may have happened. It is repeated only if the tool takes an
idempotency key, or if its check says that it did not happen::

    def was_paid(order: str) -> Happened[Receipt] | Literal["did not happen", "unknown"]:
        found = bank.find(order)
        return Happened(found) if found else "did not happen"

    @tool(effects="once", check=was_paid)
    def pay(order: str, cents: int) -> Receipt: ...

    @tool(effects="once", key="key")
    def charge(order: str, cents: int, key: str = "") -> Receipt:
        return bank.charge(order, cents, idempotency_key=key)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, Literal, TypeVar

from orchestrator.dsl.declared.policy import Opts
from orchestrator.dsl.declared.tool_spec import ToolSpec
from orchestrator.dsl.source.location import definition_of
from orchestrator.dsl.types.typing import assignable, type_string
from orchestrator.errors import Diagnostic, SourceLoc

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Happened(Generic[R]):
    """It happened, and this is what the tool returned or would have returned."""

    result: R


DidNotHappen = Literal["did not happen"]
Unknown = Literal["unknown"]
Verdict = Happened[R] | DidNotHappen | Unknown
"""What a check answers. An exception means unknown, and so does anything else."""


def is_unrepeatable(tool: ToolSpec[..., Any]) -> bool:
    """Whether nothing says that the tool may be repeated."""
    return tool.effects == "once" and tool.key is None and tool.check is None


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters that can be given by name."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(name for name, each in inspect.signature(function).parameters.items() if each.kind in by_name)


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether the function has a parameter of this name; a substitute in a test may have none."""
    parameters = inspect.signature(function).parameters
    return name in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def once_problems(tool: ToolSpec[..., Any]) -> Iterator[Diagnostic]:
    """What is wrong with the tool's ``key`` and ``check``."""
    where, params = definition_of(tool.fn), tool.boundary.params
    for option, given in (("key", tool.key), ("check", tool.check)):
        if given is not None and tool.effects != "once":
            message = f"tool `{tool.name}` has a {option}, and its effects are {tool.effects!r}"
            why = "it says how a tool that must run at most once may be repeated, and this one may be anyway"
            yield Diagnostic("ORCH-D043", message, where, why, f'leave {option} out, or declare effects="once"')
    if tool.key is not None:
        yield from _key_problems(tool)
    if tool.check is None:
        return
    if not callable(tool.check):
        fix = "give a function that takes parameters of the tool and says whether the call happened"
        yield Diagnostic("ORCH-D043", f"tool `{tool.name}`: check={tool.check!r}", where, None, fix)
        return
    for name in _required(tool.check):
        if name not in params:
            message = f"the check of tool `{tool.name}` takes `{name}`, which is no parameter of the tool"
            fix = f"it can take {', '.join(f'`{each}`' for each in params) or 'none'}"
            yield Diagnostic(
                "ORCH-D043", message, definition_of(tool.check), "it is asked with the call's arguments", fix
            )


def key_params(tool: ToolSpec[..., Any]) -> tuple[str, ...]:
    """The parameters that are the tool's key."""
    key = tool.key
    return (key,) if isinstance(key, str) else tuple(key) if isinstance(key, (list, tuple)) else ()


def made_params(tool: ToolSpec[..., Any]) -> tuple[str, ...]:
    """Those of them that the runtime can make: texts."""
    params = tool.boundary.params
    return tuple(name for name in params if name in key_params(tool) and assignable(str, params[name]))


def _key_problems(tool: ToolSpec[..., Any]) -> Iterator[Diagnostic]:
    where, boundary, key = definition_of(tool.fn), tool.boundary, tool.key
    is_many = isinstance(key, (list, tuple)) and len(key) > 0
    if not is_many and not isinstance(key, str):
        fix = 'name the parameter that takes it: key="key", or those that are it together: key=("order", "number")'
        yield Diagnostic("ORCH-D043", f"tool `{tool.name}`: key={key!r} names no parameter", where, None, fix)
        return
    for name in key_params(tool):
        if not isinstance(name, str) or name not in boundary.params:
            close = get_close_matches(str(name), boundary.params, n=1)
            fix = 'name the parameter that takes it: key="key", with `key: str`'
            fix = f"did you mean {close[0]!r}?" if close else fix
            message = f"tool `{tool.name}`: key={name!r} is none of its parameters"
            yield Diagnostic("ORCH-D043", message, where, "the key is handed to the tool as that argument", fix)
        elif not assignable(str, boundary.params[name]) and not (is_many and name in boundary.required):
            message = f"the key of tool `{tool.name}` is a text, and `{name}` is {type_string(boundary.params[name])}"
            why = "a call that leaves it out would have the key of any other such call" if is_many else None
            fix = f"leave out the default of `{name}`" if is_many else f"write `{name}: str`"
            yield Diagnostic("ORCH-D043", message, where, why, fix)


def _required(function: Callable[..., Any]) -> Iterator[str]:
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            yield name


def repeats(opts: Opts) -> bool:
    """Whether an op with these opts is tried again."""
    retry = opts.get("retry")
    return isinstance(retry, dict) and retry["attempts"] > 1


def retried(tool: str, where: SourceLoc) -> Diagnostic:
    """What is said of a call with a retry, of a tool that must not be repeated."""
    return Diagnostic(
        "ORCH-D043",
        f"tool `{tool}` has a retry, and must run at most once",
        where,
        'its effects are "once", the default, and an attempt that took too long or died may have happened',
        'leave retry out, or say why it may be repeated: key="..." if it takes an idempotency key, '
        'check=... if something tells whether it happened, effects="idempotent" if doing it twice is harmless',
    )


def retried_around(kind: str, inside: Mapping[SourceLoc, str], where: SourceLoc) -> Diagnostic:
    """What is said of an op with a retry, with such calls inside."""
    name = "map_" if kind == "map" else kind
    calls = ", ".join(f"`{tool}` at {place}" for place, tool in inside.items())
    return Diagnostic(
        "ORCH-D043",
        f"{name} has a retry, and there is a tool in it that must run at most once",
        where,
        f"a retry of {name} would repeat {calls}",
        "move the retry to those ops inside that may be repeated, or give the tool a key= (it takes an "
        "idempotency key), a check= (it tells whether a call happened) or the effects that it has",
    )
