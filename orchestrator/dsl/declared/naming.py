"""One name, one meaning: types and tools are known by their names in the IR, in plans and in stored results."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.dsl.declared.tool_spec import ToolSpec
from orchestrator.dsl.source.location import definition_of
from orchestrator.dsl.source.same import same_function
from orchestrator.dsl.types.typing import TypeForm, same_type, type_string

_DECLARED: Final = ("kind", "effects", "key", "check", "cheap", "isolation", "memory")
"""What a tool is, as opposed to the policies of one call."""


def type_clash(name: str, known: TypeForm, tp: TypeForm) -> tuple[str, str] | None:
    """Why two types of one name cannot be in one workflow, and the fix; None if they are the same."""
    if same_type(known, tp):
        return None
    if _definition(known) == _definition(tp):
        why = f"the definition of {name} ran twice; type names identify types in the IR and in stored results"
        return why, f"define {name} once, at the top of the module"
    return "type names identify types in the IR and in stored results", "rename one of the two classes"


def tool_clash(known: ToolSpec[..., Any], tool: ToolSpec[..., Any]) -> tuple[str, str] | None:
    """Why two tools of one name cannot be in one workflow, and the fix; None if they are declared alike."""
    why, fix = _difference(known, tool)
    return None if why is None else (why, fix)


def _difference(known: ToolSpec[..., Any], tool: ToolSpec[..., Any]) -> tuple[str | None, str]:
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


def _signature(tool: ToolSpec[..., Any]) -> str:
    params = ", ".join(f"{name}: {type_string(tp)}" for name, tp in tool.boundary.params.items())
    return f"({params}) -> {type_string(tool.boundary.returns)}"


def _definition(tp: TypeForm) -> tuple[object, object]:
    return getattr(tp, "__module__", None), getattr(tp, "__qualname__", tp)
