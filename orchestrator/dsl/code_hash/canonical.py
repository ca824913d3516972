"""A text for a definition that is equal wherever its meaning is, under every version of Python.

It is written from the syntax tree. Comments, layout, line numbers, docstrings and statements that do nothing have no
part in it; nor have annotations where nothing can read them, which is in functions without a decorator. Of a decorator
``@tool(...)`` the options count that say what the function is, and not its policies.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, Final

_NOT_MEANING: Final = frozenset({"ctx", "kind", "type_comment", "type_params"})
_POLICIES: Final = frozenset(
    {"retry", "timeout", "timeout_s", "budget", "typical_s", "pause_features", "isolation", "memory", "cheap"}
)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def canonical(definition: ast.AST) -> str:
    """The text of a function or class. Its own name, decorators and defaults have no part in it: whoever uses it has
    them as values."""
    found: list[str] = []
    unfinished: list[Any] = [_outermost(definition)]  # no recursion: an expression may be nested deeply
    while unfinished:
        part = unfinished.pop()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, ast.AST):
            unfinished += reversed(list(_parts(part)))
        else:
            unfinished += reversed(list(part))
    return "\0".join(found)


def is_annotated_for_others(node: ast.AST) -> bool:
    """Whether something may read the annotations in a definition: a decorator."""
    return isinstance(node, _FUNCTIONS) and any(not _is_ours(each) for each in node.decorator_list)


def _outermost(node: ast.AST) -> Iterator[Any]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield type(node).__name__
            yield _arguments(node.args, with_defaults=False, with_annotations=is_annotated_for_others(node))
            yield _body(node.body, of_class=False)
        case ast.Lambda():
            yield "Lambda"
            yield _arguments(node.args, with_defaults=False, with_annotations=False)
            yield node.body
        case _:
            yield node


def _parts(node: ast.AST) -> Iterator[Any]:
    """A node as texts, other nodes and iterables of these, in order."""
    yield f"({type(node).__name__}"
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            annotated = is_annotated_for_others(node)
            yield node.name
            yield from _decorators(node.decorator_list)
            yield _arguments(node.args, with_defaults=True, with_annotations=annotated)
            if annotated and node.returns is not None:
                yield from ("->", node.returns)
            yield _body(node.body, of_class=False)
        case ast.Lambda():
            yield _arguments(node.args, with_defaults=True, with_annotations=False)
            yield node.body
        case ast.ClassDef():
            yield node.name
            yield from _decorators(node.decorator_list)
            yield from (node.bases, "keywords", node.keywords)
            yield _body(node.body, of_class=True)
        case ast.Constant():
            yield constant(node.value)
        case ast.JoinedStr():
            yield from _joined(node.values)
        case ast.FormattedValue():
            spec = node.format_spec
            yield from (node.value, str(node.conversion))
            if isinstance(spec, ast.JoinedStr) and spec.values:
                yield spec
        case _:
            yield from _fields(node)
    yield ")"


def _fields(node: ast.AST) -> Iterator[Any]:
    """The fields of a node; those that are absent in some version of Python are empty in the others."""
    for name, value in ast.iter_fields(node):
        if name in _NOT_MEANING or value is None or value == []:
            continue
        yield name
        if not isinstance(value, list):
            yield value if isinstance(value, (ast.AST, str)) else constant(value)
        elif all(isinstance(each, ast.stmt) for each in value):
            yield _body(value, of_class=False)
        else:
            yield "["
            yield [each if isinstance(each, ast.AST) else constant(each) for each in value]
            yield "]"


def _body(statements: Sequence[ast.stmt], *, of_class: bool) -> Iterator[Any]:
    yield "{"
    for each in statements:
        if isinstance(each, ast.Pass) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)):
            continue  # a docstring, or `...`
        if isinstance(each, ast.AnnAssign) and not of_class:
            if each.value is not None:
                yield ast.Assign([each.target], each.value)
            continue
        yield each
    yield "}"


def _decorators(decorators: Sequence[ast.expr]) -> Iterator[Any]:
    for each in decorators:
        if _is_ours(each) and isinstance(each, ast.Call):
            yield "@"
            yield each.func
            yield [keyword for keyword in each.keywords if keyword.arg not in _POLICIES]
        else:
            yield from ("@", each)


def _is_ours(decorator: ast.expr) -> bool:
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("tool", "workflow")


def _arguments(arguments: ast.arguments, *, with_defaults: bool, with_annotations: bool) -> Iterator[Any]:
    groups: dict[str, Sequence[ast.arg | None]] = {
        "/": arguments.posonlyargs,
        "": arguments.args,
        "*": [arguments.vararg],
        "keyword": arguments.kwonlyargs,
        "**": [arguments.kwarg],
    }
    yield "("
    for sign, group in groups.items():
        yield sign
        for each in group:
            if each is not None:
                yield each.arg
                if with_annotations and each.annotation is not None:
                    yield from (":", each.annotation)
    if with_defaults:
        yield "="
        yield [each for each in (*arguments.defaults, *arguments.kw_defaults) if each is not None]
    yield ")"


def _joined(values: Sequence[ast.expr]) -> Iterator[Any]:
    """The parts of an f-string; how many constants a text is made of differs between versions of Python."""
    text = ""
    for each in values:
        if isinstance(each, ast.Constant):
            text += str(each.value)
            continue
        if text:
            yield constant(text)
        text = ""
        yield each
    if text:
        yield constant(text)


def constant(value: object) -> str:
    """The type is part of it: 1, 1.0 and True are equal. An int may have more digits than ``repr`` writes, and which
    characters ``repr`` escapes differs between versions of Python."""
    return f"{type(value).__name__} {hex(value) if isinstance(value, int) else ascii(value)}"
