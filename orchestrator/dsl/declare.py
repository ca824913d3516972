"""Declaring what the names in a workflow mean, beside it in the module: its types and its tools.

The classes that its types are made of are declared by where they are defined, by their fields, and by how they are
related; see :mod:`orchestrator.ir.declarations`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from enum import Enum
from functools import partial
from types import MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

import orchestrator
from orchestrator.dsl.declared.made import made_of
from orchestrator.dsl.declared.once import key_params, made_params
from orchestrator.dsl.tracing.tracer import Tracer
from orchestrator.dsl.types.typing import (
    UNIONS,
    TypeForm,
    decodable,
    fields_of,
    generic_of,
    is_typed_dict,
    json_schema,
    origin_of,
    substitute,
    type_string,
    typed_items,
)
from orchestrator.ir.schemas import meaning
from orchestrator.ir.types import BUILTINS, WORDS, parse_type

if TYPE_CHECKING:
    from orchestrator.dsl.declared.tool_spec import ToolSpec

_CONTAINERS: Final = {name: BUILTINS[name] for name in ("Mapping", "Sequence", "Set", "Iterable")}


def declare(tracer: Tracer) -> None:
    """Declare the tools of a trace, and the classes in its types."""
    signatures = [_signature(tool) for tool in tracer.tools.values()]
    types = [*tracer.types.values(), *(each for params, returns in signatures for each in (*params.values(), returns))]
    named: dict[str, Any] = {}
    for tp in types:
        for name, cls in _classes(tp):
            known = named.setdefault(name, cls)
            if known is not cls and known != cls:
                fix = "rename one of the two classes"
                why = "type names identify types in the IR and in stored results"
                tracer.report("ORCH-D031", f"two different types are called {name}", why=why, fix=fix)
    if tracer.diagnostics:
        return
    used = {name for tp in types for name in parse_type(type_string(tp)).names()}
    asked = _asked(named, used)
    places = dict(_made_types(tracer.tools.values()))
    for name, cls in sorted(named.items()):
        attributes = type_attributes(name, cls, asked)
        tracer.ir.declare("type", name, {**attributes, "path": places.get(cls) or attributes["path"]})
    for tool in tracer.tools.values():
        tracer.ir.declare("declare_tool", tool.name, tool_attributes(tool))


def path_of(thing: Any) -> str:
    """Where a class, or the function of a tool, is found again: ``module:name``, or nothing.

    What users import from this package is there, so a text stays good when a module of ours moves.
    """
    if isinstance(thing, MethodType | partial):
        return ""
    module = getattr(thing, "__module__", None) or ""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or "?"
    if module.startswith("orchestrator.") and name in orchestrator.__all__ and getattr(orchestrator, name) is thing:
        return f"orchestrator:{name}"
    named: Any = sys.modules.get(module)
    for part in name.split("."):
        named = getattr(named, part, None)
    is_found = named is thing or (named is not None and getattr(named, "fn", None) is thing)
    if is_typed_dict(thing) and is_typed_dict(named):
        is_found = decodable(named) is thing
    return f"{module}:{name}" if is_found else ""


def _made_types(tools: Iterable[ToolSpec[..., Any]]) -> Iterator[tuple[type, str]]:
    """Types that are made with a tool, which is where they are found again: ``tool:name``."""
    for tool in tools:
        if (made := made_of(tool.fn)) is not None:
            yield from ((cls, f"{tool.name}:{name}") for name, cls in made.types.items())


def _signature(tool: ToolSpec[..., Any]) -> tuple[dict[str, TypeForm], TypeForm]:
    boundary = tool.boundary
    return {name: substitute(tp, {}) for name, tp in boundary.params.items()}, substitute(boundary.returns, {})


def tool_attributes(tool: ToolSpec[..., Any]) -> dict[str, object]:
    """What is declared of a tool."""
    params, returns = _signature(tool)
    opts: dict[str, object] = {"kind": tool.kind}
    if tool.key is not None:
        opts["key"] = list(key_params(tool))
    if tool.check is not None:
        opts["check"] = path_of(tool.check)
    for name in ("cheap", "isolation", "memory"):
        if value := getattr(tool, name):
            opts[name] = value
    needed = tool.boundary.required - set(made_params(tool))
    made = made_of(tool.fn)
    if made is not None:
        opts |= {"of": list(made.of), "hidden": list(made.hidden)}
    return {
        "path": path_of(tool.fn) if made is None else made.maker,
        "code": tool.code,
        "effects": tool.effects,
        "params": list(params),
        "types": [type_string(tp) for tp in params.values()],
        "required": [name for name in params if name in needed],
        "returns": type_string(returns),
        "opts": opts,
    }


def type_attributes(name: str, cls: Any, asked: Mapping[str, type] = MappingProxyType({})) -> dict[str, object]:
    """What is declared of a class; its bases are those that are ``asked`` for."""
    made: dict[str, object] = {
        "kind": "class",
        "path": path_of(cls),
        "bases": [],
        "params": [],
        "fields": {},
        "schema": "",
    }
    alias = _alias(cls)
    if alias is not None:
        return {**made, "kind": "alias", "bases": [type_string(alias)]}
    if is_typed_dict(cls):
        made |= {"kind": "dict", "fields": typed_items(cls)}
    elif (fields := fields_of(cls)) is not None:
        made |= {"kind": "record", "fields": fields, "params": [each.__name__ for each in _variables(cls)]}
    made["fields"] = {field: type_string(tp) for field, tp in made["fields"].items()}  # type: ignore[attr-defined]
    made["bases"] = _bases(name, cls, asked, is_record=made["kind"] == "record")
    made["schema"] = schema_of(cls)
    return made


def _variables(cls: Any) -> Sequence[Any]:
    """The type variables of a generic class; pydantic keeps those of its models for itself."""
    metadata = getattr(cls, "__pydantic_generic_metadata__", None)
    found = getattr(cls, "__parameters__", ()) if metadata is None else metadata["parameters"]
    return [each for each in found if isinstance(each, TypeVar)]


def schema_of(cls: Any) -> str:
    """The JSON schema of a class that has fields or members; nothing for any other, and for what has none.

    It has no descriptions: they are no part of what a type is. Where a model is shown them, its op says so.
    """
    is_enum = isinstance(cls, type) and issubclass(cls, Enum)
    if not is_enum and not is_typed_dict(cls) and fields_of(cls) is None:
        return ""
    with suppress(Exception):  # pydantic raises several kinds for what has none, and so may the user's hooks
        return meaning(json_schema(cls) or "")
    return ""


def _asked(named: Mapping[str, Any], used: Set[str]) -> dict[str, type]:
    """The classes of which others in the module may be subclasses: its own, those of data, and those it mentions."""
    asked = {name: cls for name, cls in BUILTINS.items() if cls.__module__ == "builtins" or name in used}
    asked |= {name: cls for name, cls in named.items() if isinstance(cls, type)}
    return {name: cls for name, cls in asked.items() if cls is not object and not is_typed_dict(cls)}


def _bases(name: str, cls: Any, asked: Mapping[str, type], *, is_record: bool) -> list[str]:
    """The nearest of the classes that this one is derived from; of what is no record, also whether it holds items."""
    if not is_record:
        asked = {**_CONTAINERS, **asked}
    found = {other: base for other, base in asked.items() if other != name and _is_subclass(cls, base)}
    nearest = (
        other
        for other, base in found.items()
        if not any(each is not base and _is_subclass(each, base) for each in found.values())
    )
    return sorted(nearest)


def _is_subclass(cls: Any, base: type) -> bool:
    try:
        return issubclass(cls, base)
    except TypeError:  # a protocol that is not made for it, or something that is no class
        return False


def _alias(cls: Any) -> TypeForm | None:
    """What a ``NewType``, a ``type`` statement or a type variable stands for; None for a class."""
    if isinstance(cls, TypeVar):
        return cls.__bound__ or Any
    if hasattr(cls, "__supertype__"):
        return cls.__supertype__
    return cls.__value__ if type(cls).__name__ == "TypeAliasType" else None


def _classes(tp: TypeForm) -> Iterator[tuple[str, Any]]:
    """The classes in a type that are not known by themselves, with their names."""
    if isinstance(tp, list):  # the parameters of a callable
        for each in tp:
            yield from _classes(each)
    elif hasattr(tp, "__metadata__"):
        yield from _classes(get_args(tp)[0])
    elif origin_of(tp) is Literal:
        yield from ((type(each).__name__, type(each)) for each in get_args(tp) if isinstance(each, Enum))
    else:
        origin, arguments = generic_of(tp)
        if origin not in UNIONS and not _is_known(origin):
            yield str(getattr(origin, "__name__", origin)), origin
            if (alias := _alias(origin)) is not None:
                yield from _classes(alias)
        for each in arguments:
            yield from _classes(each)


def _is_known(cls: Any) -> bool:
    if cls is None or cls is Ellipsis or cls is type(None):
        return True
    name, module = str(getattr(cls, "__name__", cls)), str(getattr(cls, "__module__", ""))
    return BUILTINS.get(name) is cls or (name in WORDS and module.startswith(("orchestrator.", "typing")))
