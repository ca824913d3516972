"""One name, one meaning: types and tools are known by their names in the IR, in plans and in stored results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orchestrator.dsl.location import definition_of
from orchestrator.dsl.same import same_function
from orchestrator.dsl.typing import TypeForm, decodable, same_type, type_string

if TYPE_CHECKING:
    from orchestrator.dsl.tool import Tool
    from orchestrator.dsl.tracer import Tracer

_DECLARED: Final = ("kind", "effects", "key", "check", "cheap", "isolation", "memory")
"""What a tool is, as opposed to the policies of one call."""


def register_type(tracer: Tracer, tp: TypeForm) -> str:
    """Bind the name of a type, and return it; reports another type of that name."""
    name = type_string(tp)
    if tracer.types.get(name) is tp:
        return name
    tp = decodable(tp)
    known = tracer.types.setdefault(name, tp)
    if not same_type(known, tp):
        why, fix = "type names identify types in the IR and in stored results", "rename one of the two classes"
        if _definition(known) == _definition(tp):
            why, fix = f"the definition of {name} ran twice; {why}", f"define {name} once, at the top of the module"
        tracer.report("ORCH-D031", f"two different types are called {name}", why=why, fix=fix)
    return name


def register_tool(tracer: Tracer, tool: Tool[..., Any]) -> None:
    """Bind the name of a tool; reports another tool of that name, or the same declared otherwise."""
    known = tracer.tools.setdefault(tool.name, tool)
    if known is tool:
        return
    why, fix = _difference(known, tool)
    if why is not None:
        tracer.report("ORCH-D031", f"two different tools are called `{tool.name}`", why=why, fix=fix)


def _difference(known: Tool[..., Any], tool: Tool[..., Any]) -> tuple[str | None, str]:
    fix = "give one of them another name: @tool(name=...)"
    if same_function(known.fn, tool.fn):
        pairs = [(name, getattr(known, name), getattr(tool, name)) for name in _DECLARED]
        different = [f"{name}={first!r} and {name}={second!r}" for name, first, second in pairs if first != second]
        if different:
            return f"they are declared with {', '.join(different)}", fix
        ours, theirs = _signature(known), _signature(tool)
        return (None if ours == theirs else f"one is {ours}, and the other {theirs}"), fix
    first, second = definition_of(known.fn), definition_of(tool.fn)
    if first == second and first is not None:
        fix = f'name each by what it holds: tool(..., name="{tool.name}_2")'
        return f"both come of the definition at {first}, and hold different objects", fix
    return f"they are defined at {first} and {second}", fix


def _signature(tool: Tool[..., Any]) -> str:
    params = ", ".join(f"{name}: {type_string(tp)}" for name, tp in tool.boundary.params.items())
    return f"({params}) -> {type_string(tool.boundary.returns)}"


def _definition(tp: TypeForm) -> tuple[object, object]:
    return getattr(tp, "__module__", None), getattr(tp, "__qualname__", tp)
