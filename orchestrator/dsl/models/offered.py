"""Tools as a model is offered them: names, parameters and their JSON schemas, with nothing in it that is not its own.

A model gives the parameters that JSON can say, apart from an idempotency key and what is *hidden*: named in ``deps=``,
or annotated ``Hidden[Database]``. The same tools are described twice, because an engine that calls no tools is asked
for a *step* under a schema: ``{"thought": ..., "action": {"tool": ..., "args": {...}}}``, or the tool ``finish``.
"""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from orchestrator.dsl.source.location import definition_of, underlying, user_location
from orchestrator.dsl.source.same import same_function
from orchestrator.dsl.tool import Tool, tool
from orchestrator.dsl.tracing.constants import is_symbolic, named
from orchestrator.dsl.tracing.tracer import Value
from orchestrator.dsl.types.read_again import readable_again
from orchestrator.dsl.types.secret import holds_secret
from orchestrator.dsl.types.typing import TypeForm, json_schema, type_string, union
from orchestrator.errors import Diagnostic, TraceError

if TYPE_CHECKING:
    from pydantic import BaseModel

FINISH: Final = "finish"
"""The tool of a step that is the answer."""
HIDDEN: Final = "orchestrator.hidden"
T = TypeVar("T")
Hidden = Annotated[T, HIDDEN]
"""The type of a parameter that no model sees: ``db: Hidden[Database]``. The workflow gives it, by ``deps=``."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


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


@dataclass(frozen=True, eq=False)
class Offered:
    """What a model is offered."""

    names: tuple[str, ...]
    """It has what the model calls each tool: its name, in the letters that APIs take."""
    parameters: tuple[tuple[Parameter, ...], ...]
    arguments: tuple[type[BaseModel], ...]
    """It has what reads the arguments of each tool."""
    tools: str
    """A JSON list: ``name``, ``description``, ``parameters`` and, for people, ``signature``."""
    schema: str
    """The JSON schema of a step."""
    suffix: str
    """A hash of all this."""
    of: tuple[str, ...]
    """The names of the tools."""
    hidden: tuple[str, ...]
    """The parameters that no model sees, as far as ``deps=`` names them."""

    @property
    def listing(self) -> str:
        """A line per tool."""
        return "\n".join(f"- {each['signature']}" for each in json.loads(self.tools))


def tools_of(callee: str, tools: Any) -> list[Tool[..., Any]]:
    """The list of tools that an option ``tools=`` is; raises ``TraceError`` where it is none."""
    if not isinstance(tools, (list, tuple)) or any(isinstance(each, Value) or not callable(each) for each in tools):
        shown = named(tools) if isinstance(tools, Value) else "…" if is_symbolic(tools) else repr(tools)
        raise TraceError(
            "ORCH-D041",
            f"{callee}: tools={shown}",
            where=user_location(),
            why="the tools are known before the workflow runs",
            fix="pass a list of tools or functions: tools=[search, run_sql]",
        )
    return [each if isinstance(each, Tool) else tool(each) for each in tools]


def offered(callee: str, tools: Sequence[Tool[..., Any]], hidden: Collection[str] = ()) -> Offered:
    """What a model is offered of ``tools``; raises :class:`TraceError` with all that keeps it from calling them."""
    problems = [*_clashes(callee, tools), *(problem for each in tools for problem in each.boundary.problems)]
    if not problems:
        problems = [problem for each in tools for problem in _ungivable(each, hidden)]
    if problems:
        raise TraceError.collect(problems)
    return _offered(tuple(map(_Known, tools)), frozenset(hidden))


def is_hidden(tp: TypeForm) -> bool:
    """Whether a parameter of the type is marked as hidden."""
    return HIDDEN in getattr(tp, "__metadata__", ())


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
def _offered(known: tuple[_Known, ...], hidden: frozenset[str]) -> Offered:
    from pydantic import ConfigDict, Field, create_model

    tools = [each.tool for each in known]
    names = tuple(_names([each.name for each in tools]))
    parameters = tuple(tuple(_parameters(each, hidden)) for each in tools)
    signatures = [_signature(*each) for each in zip(names, tools, parameters, strict=True)]
    suffix = sha256(repr(signatures).encode()).hexdigest()[:8]
    arguments, calls = [], []
    for name, own in zip(names, parameters, strict=True):
        fields: dict[str, Any] = {p.field: (readable_again(p.type), _field(p)) for p in own}
        forbid = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        arguments.append(create_model(f"{name}_arguments_{suffix}", __config__=forbid, **fields))
        calls.append(tagged(f"{name}_call_{suffix}", name, args=arguments[-1]))
    finish = tagged(f"{FINISH}_{suffix}", FINISH, answer=str)
    chosen = Field(discriminator="tool") if calls else ...
    said: dict[str, Any] = {"thought": (str, ...), "action": (union(*calls, finish), chosen)}
    schema = json_schema(create_model(f"step_{suffix}", **said))
    assert schema is not None
    described = [
        {"name": name, "description": _about(each), "parameters": own.model_json_schema(), "signature": signature}
        for name, each, own, signature in zip(names, tools, arguments, signatures, strict=True)
    ]
    said_of_tools, of = json.dumps(described), tuple(each.name for each in tools)
    return Offered(names, parameters, tuple(arguments), said_of_tools, schema, suffix, of, tuple(sorted(hidden)))


def tagged(name: str, tag: str, **fields: Any) -> type[BaseModel]:
    """A model of a union whose members are told apart by ``tool``."""
    from pydantic import create_model

    members: dict[str, Any] = {"tool": (Literal[tag], tag), **{field: (tp, ...) for field, tp in fields.items()}}
    return create_model(name, **members)


def _names(given: Sequence[str]) -> Iterator[str]:
    """Names in the letters that APIs take, all different."""
    taken = {name for name in given if _NAME.fullmatch(name)}
    for name in given:
        if _NAME.fullmatch(name):
            yield name
            continue
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:56]
        number = next(n for n in range(1, len(given) + 2) if f"{safe}_{n}" not in taken)
        taken.add(f"{safe}_{number}")
        yield f"{safe}_{number}"


def _signature(name: str, each: Tool[..., Any], parameters: Sequence[Parameter]) -> str:
    """What people, and models that read steps, are told of a tool: its parameters, and the first line about it."""
    shown = ", ".join(
        f"{p.name}: {type_string(p.type)}{'' if p.is_required else f' = {_written(p.default)}'}" for p in parameters
    )
    about = _about(each).splitlines()
    return f"{name}({shown}) -> {type_string(each.boundary.returns)}" + (f": {about[0]}" if about else "")


def _written(value: Any) -> str:
    """A default as it is shown: the same in every process, which ``repr`` is not of a set or an object."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str, bytes):
        return repr(value)
    if isinstance(value, Enum):
        return str(value)
    if kind in (set, frozenset):
        return f"{{{', '.join(sorted(map(_written, value)))}}}" if value else f"{kind.__name__}()"
    if kind in (list, tuple):
        items = ", ".join(map(_written, value))
        return f"[{items}]" if kind is list else f"({items},)" if len(value) == 1 else f"({items})"
    if kind is dict:
        return f"{{{', '.join(f'{_written(key)}: {_written(each)}' for key, each in value.items())}}}"
    return f"{kind.__name__}(…)"


def _about(each: Tool[..., Any]) -> str:
    return inspect.cleandoc(getattr(underlying(each.fn), "__doc__", None) or "")


def _field(parameter: Parameter) -> Any:
    from pydantic import Field

    default: dict[str, Any] = {}
    if not parameter.is_required:
        default["default_factory"] = lambda: parameter.default
    return Field(alias=parameter.name, **default)


def _parameters(each: Tool[..., Any], hidden: Collection[str]) -> Iterator[Parameter]:
    """The parameters that a model gives: all but what is hidden, and what it cannot give and may be left out."""
    from pydantic import BaseModel

    defaults = {p.name: p.default for p in inspect.signature(each.fn).parameters.values()}
    for number, (name, tp) in enumerate(each.boundary.params.items()):
        if not _is_ours(each, name, hidden) and _has_schema(tp):
            unsafe = name.startswith(("_", "model_")) or hasattr(BaseModel, name)
            yield Parameter(name, tp, defaults[name], f"p{number}" if unsafe else name)


def _is_ours(each: Tool[..., Any], name: str, hidden: Collection[str]) -> bool:
    keys = (each.key,) if isinstance(each.key, str) else each.key or ()
    tp = each.boundary.params[name]
    return name in keys or name in hidden or is_hidden(tp) or holds_secret(tp)


def _has_schema(tp: TypeForm) -> bool:
    try:
        json_schema(tp)
    except Exception:  # noqa: BLE001 - pydantic raises several kinds, and each means the same
        return False
    return True


def _clashes(callee: str, tools: Sequence[Tool[..., Any]]) -> Iterator[Diagnostic]:
    counts = Counter(each.name for each in tools)
    for each in {each.name: each for each in tools}.values():
        where = definition_of(each.fn) or user_location()
        fix = f'give it another name: tool({getattr(each.fn, "__name__", "fn")}, name="{each.name}_2")'
        if each.name == FINISH:
            why = f"`{FINISH}` is how the model ends the conversation"
            yield Diagnostic("ORCH-D031", f"{callee} cannot have a tool called `{FINISH}`", where, why, fix)
        elif counts[each.name] > 1:
            why = "the model calls tools by their names"
            yield Diagnostic(
                "ORCH-D031", f"{callee} has {counts[each.name]} tools called `{each.name}`", where, why, fix
            )


def _ungivable(each: Tool[..., Any], hidden: Collection[str]) -> Iterator[Diagnostic]:
    where = definition_of(each.fn) or user_location()
    for name, tp in each.boundary.params.items():
        if name not in each.boundary.required or name in hidden:
            continue
        if is_hidden(tp):
            what, why = f"nobody gives `{name}` of tool `{each.name}`", "it is hidden from the model"
        elif holds_secret(tp):
            what, why = f"nobody gives `{name}` of tool `{each.name}`", "it is a secret, which no model sees"
        elif not _is_ours(each, name, hidden) and not _has_schema(tp):
            what = f"a model cannot give `{name}` of tool `{each.name}`, which is {type_string(tp)}"
            why = "the model gives arguments as JSON, and that type has no JSON schema"
        else:
            continue
        yield Diagnostic("ORCH-D041", what, where, why, f'give it: deps={{"{name}": …}}')
    if holds_secret(each.boundary.returns):
        message = f"{type_string(each.boundary.returns)} as the result of tool `{each.name}`, which a model reads"
        fix = "return what the secret can be found by, and get it inside the tool that uses it"
        yield Diagnostic("ORCH-D060", message, where, "a model is told what its tools return", fix)
