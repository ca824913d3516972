"""What becomes of a tool that a model calls: never an exception, because the model is told.

A *decision* about a call says which tool it is (by position) and has its typed arguments, or says what is wrong with
it. It is read when the workflow runs; what follows it, :func:`perform`, is ordinary language: a switch over the tools.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from orchestrator.dsl.declare import path_of
from orchestrator.dsl.declared.made import Made, is_made_by
from orchestrator.dsl.models.messages import Message, ToolCall
from orchestrator.dsl.models.offered import Offered, offered, tagged, tools_of
from orchestrator.dsl.operations.expressions import narrow
from orchestrator.dsl.regions.failing import attempt
from orchestrator.dsl.regions.switching import switch
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tool import Tool, tool
from orchestrator.dsl.tracing.constants import constant_type, is_symbolic
from orchestrator.dsl.tracing.lifting import feed_text, lift
from orchestrator.dsl.tracing.tracer import require_tracer
from orchestrator.dsl.types.typing import union
from orchestrator.errors import TraceError

if TYPE_CHECKING:
    from pydantic import BaseModel

LONGEST_FAILURE: Final = 2_000
"""Characters that a model is told of a failure."""


@dataclass(frozen=True)
class Toolbox:
    """Tools as an agent has them: what the model is offered, and what the workflow gives beside."""

    tools: tuple[Tool[..., Any], ...]
    offered: Offered
    deps: Mapping[str, Any]
    """Arguments that no model sees."""

    @classmethod
    def of(cls, callee: str, tools: Any, deps: Any = None) -> Toolbox:
        """Raises :class:`TraceError` with all that is wrong with the tools, or with what no tool takes."""
        known, given = tools_of(callee, tools), {} if deps is None else deps
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            fix = 'deps is a dict from names of parameters to what they get: deps={"db": db}'
            raise TraceError("ORCH-D041", f"{callee}: deps", where=user_location(), fix=fix)
        unknown = [name for name in given if not any(name in each.boundary.params for each in known)]
        if unknown:
            names = sorted({name for each in known for name in each.boundary.params})
            fix = f"the tools' parameters are {', '.join(names)}"
            raise TraceError("ORCH-D041", f"{callee}: no tool takes `{unknown[0]}`", where=user_location(), fix=fix)
        bound = tuple(_bound(each, given) for each in known)
        late = {name: value for name, value in given.items() if _is_value(value)}
        return cls(bound, offered(callee, bound, list(given)), late)


def _is_value(given: object) -> bool:
    """Whether it can be an argument of an op; anything else is bound to the function."""
    return is_symbolic(given) or constant_type(given) is not None


def _bound(each: Tool[..., Any], deps: Mapping[str, Any]) -> Tool[..., Any]:
    held = {n: value for n, value in deps.items() if n in each.boundary.params and not _is_value(value)}
    return replace(each, fn=partial(each.fn, **held)) if held else each


def perform(call: ToolCall, box: Toolbox) -> Message:
    """Make a call that a model wants; the message that tells it what came of that."""
    reading = _reading(box.offered)
    decision: Any = reading.read(call)
    action: Any = decision.action

    def called(position: int) -> str:
        each, parameters = box.tools[position], box.offered.parameters[position]
        arguments: Any = narrow(action, reading.calls[position]).args  # type: ignore[attr-defined]
        given = {p.name: getattr(arguments, p.field) for p in parameters}
        given |= {name: value for name, value in box.deps.items() if name in each.boundary.params}
        return attempt(
            lambda: f"{each(**given)}",
            lambda error: f"{each.name} failed: {error.kind}: {error.message[:LONGEST_FAILURE]}",
        )

    cases: dict[int, Callable[[], str]] = {number: partial(called, number) for number in range(len(box.tools))}
    told = switch(decision.position, cases, lambda: narrow(action, reading.invalid).problem)  # type: ignore[attr-defined]
    tracer = require_tracer("react")
    args = {
        "role": lift(tracer, "tool"),
        "call_id": lift(tracer, call.id),
        "content0": feed_text(tracer, told, "a result"),
    }
    return tracer.builtin("message", args, Message)  # type: ignore[return-value]


@dataclass(frozen=True)
class _Reading:
    """How calls of some tools are read."""

    calls: tuple[type[BaseModel], ...]
    """It has, for each tool, what a decision's ``action`` is at its position."""
    invalid: type[BaseModel]
    """It is what the ``problem`` of a call is that is none."""
    read: Tool[..., Any]
    """It leads from a call to a decision."""


def call_reader(tools: Sequence[Tool[..., Any]], hidden: Collection[str] = ()) -> Tool[..., Any]:
    """The tool that reads a call of one of ``tools``, by a model that does not see the parameters ``hidden``."""
    return _reading(offered("react", tools, hidden)).read


@lru_cache(maxsize=128)
def _reading(known: Offered) -> _Reading:
    from pydantic import Field, create_model

    pairs = list(zip(known.names, known.arguments, strict=True))
    calls = tuple(tagged(f"{name}_action_{known.suffix}", name, args=arguments) for name, arguments in pairs)
    invalid = tagged(f"invalid_{known.suffix}", "", problem=str)
    chosen = Field(discriminator="tool") if calls else ...
    decided: dict[str, Any] = {"position": (int, ...), "action": (union(*calls, invalid), chosen)}
    decision = create_model(f"decision_{known.suffix}", **decided)

    def read_call(call: ToolCall) -> Any:
        from orchestrator.runtime.failures import ReplyError
        from orchestrator.runtime.values.at_run_time import parsed_reply

        if call.name not in known.names:
            offered_names = ", ".join(known.names) or "none"
            problem = f"There is no tool {call.name[:200]!r}; the tools are: {offered_names}"
            return decision(position=len(pairs), action=invalid(problem=problem))
        position = known.names.index(call.name)
        try:
            arguments = parsed_reply(known.arguments[position], call.arguments.strip() or "{}")
        except ReplyError as error:
            problem = f"This is no legal call of {call.name}: {error}"
            return decision(position=len(pairs), action=invalid(problem=problem))
        return decision(position=position, action=calls[position](args=arguments))

    read_call.__annotations__["return"] = decision
    types = {each.__name__: each for each in (decision, invalid, *calls, *known.arguments)}
    is_made_by(read_call, Made(path_of(call_reader), known.of, known.hidden, types))
    # a builtin: it takes no time worth planning, and no conversation pauses for it
    read = tool(read_call, name=f"builtin.read_call_{known.suffix}", effects="pure")
    return _Reading(calls, invalid, read)
