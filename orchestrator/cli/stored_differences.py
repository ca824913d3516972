"""In what a compiled text and the Python that it names differ: signatures, fields, and what calls say of their tools.

The hash of a tool's function says what it does. Annotations have no part in it, and a text may have been edited.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestrator.dsl.declare import tool_attributes, type_attributes
from orchestrator.dsl.declared.places import place_opts
from orchestrator.dsl.resolve import resolve
from orchestrator.dsl.types.typing import json_schema
from orchestrator.ir.schemas import first_difference, meaning
from orchestrator.ir.types import BUILTINS

if TYPE_CHECKING:
    from orchestrator.dsl.models.offered import Offered
    from orchestrator.dsl.tool import Tool
    from orchestrator.ir.declarations import DeclaredTool
    from orchestrator.ir.subtypes import DeclaredType
    from orchestrator.ir.walk import Node

Difference = tuple[str, object, object]
"""What it is, what the text says of it, and what is so."""
_CALLS: Final = frozenset({"agent.tool", "agent.retrieve"})
_PLACED: Final = ("is_async", "cheap", "isolation", "memory_bytes")


def of_tool(declared: DeclaredTool, tool: Tool[..., Any]) -> Difference | None:
    """The first difference of a tool."""
    now, then = tool_attributes(tool), declared.attributes
    for name in ("params", "types", "required", "returns", "opts"):
        if now[name] != then[name]:
            return f"`{name}`", then[name], now[name]
    return None


def of_type(declared: DeclaredType, cls: Any, classes: Mapping[str, Any]) -> Difference | None:
    """The first difference of a class; ``classes`` are those of the text."""
    now, then = type_attributes(declared.name, cls), declared.attributes
    for name in ("kind", "params", "fields"):
        if now[name] != (list(then[name]) if name == "params" else then[name]):  # type: ignore[call-overload]
            return f"`{name}`", then[name], now[name]
    if meaning(declared.schema) != now["schema"]:
        return "`schema`", declared.schema, now["schema"]
    for base in declared.bases if declared.kind != "alias" else ():
        if not _is_subclass(cls, classes.get(base, BUILTINS.get(base))):
            return "`bases`", base, "no such base"
    return None


def _is_subclass(cls: Any, base: Any) -> bool:
    try:
        return issubclass(cls, base)
    except TypeError:
        return False


def of_op(
    node: Node, tools: Mapping[str, Tool[..., Any]], classes: Mapping[str, Any], offers: Sequence[Offered] = ()
) -> Difference | None:
    """The first difference between what an op says and what follows from its tool, or from the type of its reply.

    A model is shown titles, descriptions and docstrings, so these are part of what an op says. Of what it is offered
    those tools are known that the workflow calls: ``offers`` are the sets of them.
    """
    from orchestrator.ir.walk import attr, opts

    op, given = node.op, opts(node.op)
    if node.name in _CALLS and (tool := tools.get(attr(op, "callee"))) is not None:
        now = {**({"is_async": True} if tool.is_async else {}), **place_opts(tool)}
        for name in _PLACED:
            if given.get(name) != now.get(name):
                return f"`{name}`", given.get(name), now.get(name)
    if node.name == "agent.generate":
        returns = attr(op, "returns")
        is_offered = "tools" in given and given.get("tool_choice") != "none"
        wanted = None if is_offered or "choice" in given or returns == "str" else json_schema(resolve(returns, classes))
        if given.get("schema") != wanted:
            return _within("schema", given.get("schema"), wanted)
        return _of_offer(given, offers)
    return None


def _of_offer(given: Mapping[str, Any], offers: Sequence[Offered]) -> Difference | None:
    """What differs of the tools that a model is told of, if it is offered one of the sets of tools."""
    if "tools" not in given:
        return None
    names = tuple(each.get("name") for each in json.loads(given["tools"]))
    known = [each for each in offers if each.names == names]
    if not known or any((each.tools, each.schema) == (given["tools"], given.get("steps")) for each in known):
        return None
    name = "tools" if known[0].tools != given["tools"] else "steps"
    return _within(name, given.get(name), known[0].tools if name == "tools" else known[0].schema)


def _within(name: str, then: str | None, now: str | None) -> Difference:
    path, ours, theirs = first_difference(then, now)
    return f"`{path}` of `{name}`" if path else f"`{name}`", ours, theirs
