"""What a tool changes of what it is given, which its caller does not see: a tool is given copies.

In Python a function may append to a list of its caller's. A tool runs elsewhere, perhaps in another process, and its
result alone is recorded; so what it changes must be what it returns. Only what the source shows is found: a change of a
parameter that the tool neither binds anew nor returns.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final

from orchestrator.dsl.declared.tool_spec import ToolSpec
from orchestrator.dsl.source.location import underlying
from orchestrator.dsl.source.syntax import function_at
from orchestrator.dsl.types.kinds import MUTATORS, class_of
from orchestrator.dsl.types.typing import fields_of
from orchestrator.errors import Diagnostic, SourceLoc

_CONTAINERS: Final = (list, dict, set)
_MEASURES: Final = frozenset({"len", "sum", "any", "all", "str", "repr", "bool", "int", "float", "print", "isinstance"})
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def changed_arguments(tool: ToolSpec[..., Any]) -> Iterator[Diagnostic]:
    """A warning for each parameter of a tool that its own source changes."""
    function = underlying(tool.fn)
    if not isinstance(function, FunctionType):
        return
    code = function.__code__
    node = function_at(code)
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    nodes = list(_own(node))
    for name, tp in tool.boundary.params.items():
        if _is_bound_or_returned(nodes, name):
            continue
        kind = class_of(tp)
        if kind not in _CONTAINERS and fields_of(tp) is None:
            continue
        change = next((each for each in nodes if _changes(each, name)), None)
        if change is not None:
            what = kind.__name__ if kind in _CONTAINERS and kind is not None else "object"
            yield Diagnostic(
                "ORCH-D058",
                f"tool `{tool.name}` changes its argument `{name}`, which its caller does not see",
                SourceLoc(code.co_filename, change.lineno, code.co_name),  # type: ignore[attr-defined]
                "a tool is given copies, and what it returns is all that the workflow gets",
                f"return the new {what}, and give it to the name in the workflow: {name} = {tool.name}({name}, ...)",
            )


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function in the order of its source, without those of functions in it."""
    for each in ast.iter_child_nodes(node):
        if not isinstance(each, _FUNCTIONS):
            yield each
            yield from _own(each)


def _is_bound_or_returned(nodes: list[ast.AST], name: str) -> bool:
    for each in nodes:
        match each:
            case ast.Name(id=found, ctx=ast.Store() | ast.Del()) if found == name:
                return True
            case ast.Return(value=ast.expr() as value) | ast.Yield(value=ast.expr() as value):
                if _gives_back(value, name):
                    return True
    return False


def _gives_back(node: ast.AST, name: str) -> bool:
    """Whether an expression may hold what a name does; a number that Python's own functions make of it does not."""
    match node:
        case ast.Name(id=found):
            return found == name
        case ast.Call(func=ast.Name(id=called)) if called in _MEASURES:
            return False
        case ast.JoinedStr() | ast.Compare():
            return False
    return any(
        _gives_back(each, name) for each in ast.iter_child_nodes(node) if isinstance(each, (ast.expr, ast.keyword))
    )


def _changes(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=owner, attr=attr)):
            return attr in MUTATORS and _is_of(owner, name)
        case ast.Subscript(value=owner, ctx=ast.Store() | ast.Del()):
            return _is_of(owner, name)
        case ast.Attribute(value=owner, ctx=ast.Store() | ast.Del()):
            return _is_of(owner, name)
    return False


def _is_of(node: ast.expr, name: str) -> bool:
    """Whether an expression is a name, or an item or attribute of what it holds."""
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return isinstance(node, ast.Name) and node.id == name
