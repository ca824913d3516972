"""What a model says in one step of an agent, and how it is read: never as an exception, because the model is told.

For a list of tools there is a JSON schema of the legal steps, ``{"thought": ..., "action": {"tool": ..., "args":
{...}}}``, and a *decision* about a reply: which tool it calls (by position) and with which typed arguments, or the
final answer, or what was wrong with it.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestrator.dsl.location import definition_of, user_location
from orchestrator.dsl.same import same_function
from orchestrator.dsl.tool import Tool, tool
from orchestrator.dsl.typing import TypeForm, json_schema, type_string, union
from orchestrator.errors import Diagnostic, TraceError

if TYPE_CHECKING:
    from pydantic import BaseModel

FINISH: Final = "finish"
"""The action that ends the conversation."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that the model gives; ``field`` is its name in the pydantic model of the arguments."""

    name: str
    type: TypeForm
    default: Any
    field: str

    @property
    def is_required(self) -> bool:
        """Whether the model must give it."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class Steps:
    """The legal steps with some tools. ``read`` is a tool from a reply to a ``decision``."""

    schema: str
    parameters: tuple[tuple[Parameter, ...], ...]
    """For each tool."""
    calls: tuple[type[BaseModel], ...]
    """For each tool, what the decision's ``action`` is at its position; two more follow."""
    finish: type[BaseModel]
    """Of a decision for the final ``answer``."""
    invalid: type[BaseModel]
    """Of a reply that is no legal step: what the ``problem`` is."""
    decision: type[BaseModel]
    read: Tool[..., Any]


def steps_of(tools: Sequence[Tool[..., Any]]) -> Steps:
    """The legal steps with ``tools``; raises :class:`TraceError` with all that keeps a model from calling them."""
    problems = [*_clashes(tools), *(problem for each in tools for problem in each.boundary.problems)]
    if not problems:
        problems = [problem for each in tools for problem in _ungivable(each)]
    if problems:
        raise TraceError.collect(problems)
    return _steps_of(tuple(map(_Known, tools)))


@dataclass(frozen=True, eq=False)
class _Known:
    """A tool as the key of a cache: the same function with the same types under the same name is the same tool."""

    tool: Tool[..., Any]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Known) or self.tool.name != other.tool.name:
            return False
        ours, theirs = self.tool.boundary, other.tool.boundary  # annotations are no part of a function's code
        is_typed_alike = (ours.params, ours.returns) == (theirs.params, theirs.returns)
        return is_typed_alike and self.tool.key == other.tool.key and same_function(self.tool.fn, other.tool.fn)

    def __hash__(self) -> int:
        return hash(self.tool.name)


@lru_cache(maxsize=128)
def _steps_of(known: tuple[_Known, ...]) -> Steps:
    from pydantic import ConfigDict, Field, create_model

    from orchestrator.runtime.values import readable_again

    tools = [each.tool for each in known]
    parameters = tuple(tuple(_parameters(each)) for each in tools)
    described = [
        (each.name, [(p.name, type_string(p.type)) for p in own]) for each, own in zip(tools, parameters, strict=True)
    ]
    suffix = sha256(repr(described).encode()).hexdigest()[:8]

    def tagged(name: str, tag: str, **fields: Any) -> type[BaseModel]:
        members: dict[str, Any] = {"tool": (Literal[tag], tag), **{field: (tp, ...) for field, tp in fields.items()}}
        return create_model(f"{name}_{suffix}", **members)

    calls = []
    for each, own in _pairs(tools, parameters):
        fields: dict[str, Any] = {p.field: (readable_again(p.type), _field(p)) for p in own}
        forbid = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        arguments = create_model(f"{each.name}_arguments_{suffix}", __config__=forbid, **fields)
        calls.append(tagged(f"{each.name}_call", each.name, args=arguments))
    finish = tagged(FINISH, FINISH, answer=str)
    invalid = tagged("invalid", "", problem=str)
    said: dict[str, Any] = {"thought": (str, ...), "action": (union(*calls, finish), _by_tool(calls))}
    step = create_model(f"step_{suffix}", **said)
    decided: dict[str, Any] = {
        "position": (int, ...),
        "action": (union(*calls, finish, invalid), Field(discriminator="tool")),
    }
    decision = create_model(f"decision_{suffix}", **decided)
    positions = {name: position for position, name in enumerate([*(each.name for each in tools), FINISH])}

    def read_step(reply: str) -> Any:
        from orchestrator.runtime.failures import ReplyError
        from orchestrator.runtime.values import parsed_reply

        try:
            action = parsed_reply(step, reply).action
        except ReplyError as error:
            return decision(position=len(positions), action=invalid(problem=f"This is no legal step: {error}"))
        return decision(position=positions[action.tool], action=action)

    read_step.__annotations__["return"] = decision
    # a builtin: it takes no time worth planning, and no conversation pauses for it
    read = tool(read_step, name=f"builtin.read_step_{suffix}", effects="pure")
    schema = json_schema(step)
    assert schema is not None
    return Steps(schema, parameters, tuple(calls), finish, invalid, decision, read)


def _pairs(
    tools: Sequence[Tool[..., Any]], parameters: Sequence[Sequence[Parameter]]
) -> Iterator[tuple[Tool[..., Any], Sequence[Parameter]]]:
    return zip(tools, parameters, strict=True)


def _by_tool(calls: Sequence[type[BaseModel]]) -> Any:
    from pydantic import Field

    return Field(discriminator="tool") if calls else ...


def _field(parameter: Parameter) -> Any:
    from pydantic import Field

    default: dict[str, Any] = {}
    if not parameter.is_required:
        default["default_factory"] = lambda: parameter.default
    return Field(alias=parameter.name, **default)


def _parameters(each: Tool[..., Any]) -> Iterator[Parameter]:
    """The parameters that a model gives: all but an idempotency key, and what it cannot give and may be left out."""
    from pydantic import BaseModel

    defaults = {p.name: p.default for p in inspect.signature(each.fn).parameters.values()}
    for number, (name, tp) in enumerate(each.boundary.params.items()):
        if name != each.key and _has_schema(tp):
            unsafe = name.startswith(("_", "model_")) or hasattr(BaseModel, name)
            yield Parameter(name, tp, defaults[name], f"p{number}" if unsafe else name)


def _has_schema(tp: TypeForm) -> bool:
    try:
        json_schema(tp)
    except Exception:  # noqa: BLE001 - pydantic raises several kinds, and each means the same
        return False
    return True


def _clashes(tools: Sequence[Tool[..., Any]]) -> Iterator[Diagnostic]:
    counts = Counter(each.name for each in tools)
    for each in {each.name: each for each in tools}.values():
        where = definition_of(each.fn) or user_location()
        fix = f'give it another name: tool({getattr(each.fn, "__name__", "fn")}, name="{each.name}_2")'
        if each.name == FINISH:
            why = f"`{FINISH}` is how the model ends the conversation"
            yield Diagnostic("ORCH-D031", f"react cannot have a tool called `{FINISH}`", where, why, fix)
        elif counts[each.name] > 1:
            why = "the model calls tools by their names"
            yield Diagnostic("ORCH-D031", f"react has {counts[each.name]} tools called `{each.name}`", where, why, fix)


def _ungivable(each: Tool[..., Any]) -> Iterator[Diagnostic]:
    where = definition_of(each.fn) or user_location()
    for name in each.boundary.params:
        tp = each.boundary.params[name]
        if name in each.boundary.required and name != each.key and not _has_schema(tp):
            yield Diagnostic(
                "ORCH-D041",
                f"a model cannot give `{name}` of tool `{each.name}`, which is {type_string(tp)}",
                where,
                "the model gives arguments as JSON, and that type has no JSON schema",
                f"bind it before: functools.partial({each.name}, {name}=...)",
            )
