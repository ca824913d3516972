"""Smaller programs with the same fault."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def shrunk(source: str, is_same: Callable[[str], bool], tries: int = 400) -> str:
    """A smaller source of which ``is_same`` holds, as it does of ``source``."""
    found = True
    while found and tries > 0:
        found = False
        for candidate in _smaller(source):
            tries -= 1
            if tries <= 0:
                break
            if len(candidate) < len(source) and is_same(candidate):
                source, found = candidate, True
                break
    return source


def _smaller(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    for path in sorted(_paths(tree), key=len):
        for change in (_dropped, _opened, _emptied):
            made = copy.deepcopy(tree)
            parent: Any = made
            for field, at in path[:-1]:
                parent = getattr(parent, field)[at]
            field, at = path[-1]
            if change(parent, field, at) and (text := _text(made)) is not None:
                yield text
    nodes = _expressions(tree)
    for position, node in enumerate(nodes):
        for simple in [*_children(node), *_constants(node)]:
            made = copy.deepcopy(tree)
            target = _expressions(made)[position]
            replaced = _Replacing(target, simple).visit(made)
            if (text := _text(replaced)) is not None:
                yield text


def _expressions(tree: ast.Module) -> list[ast.expr]:
    """All but annotations."""
    return [each for node in tree.body[0].body for each in ast.walk(node) if isinstance(each, ast.expr)]  # type: ignore[attr-defined]


class _Replacing(ast.NodeTransformer):
    def __init__(self, target: ast.AST, new: ast.expr) -> None:
        self.target = target
        self.new = new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.target else self.generic_visit(node)


def _text(tree: ast.AST) -> str | None:
    try:
        text = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
        ast.parse(text)
    except (SyntaxError, ValueError, AttributeError, TypeError):
        return None
    return text


def _children(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(getattr(node, "ctx", None), ast.Store):
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield copy.deepcopy(child)


def _constants(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, (ast.Name, ast.Constant)):
        return
    for text in ("text", "n", "flag", "texts", "'a'", "1"):
        yield ast.parse(text, mode="eval").body


def _paths(node: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for field in _BLOCKS:
        block = getattr(node, field, None)
        if isinstance(block, list):
            for at, each in enumerate(block):
                yield (*before, (field, at))
                yield from _paths(each, (*before, (field, at)))


def _dropped(parent: Any, field: str, at: int) -> bool:
    block = getattr(parent, field)
    del block[at]
    if not block and field == "body" and not isinstance(parent, ast.Module):
        block.append(ast.Pass())
    return True


def _opened(parent: Any, field: str, at: int) -> bool:
    node = getattr(parent, field)[at]
    inner = [*getattr(node, "body", []), *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
    if not isinstance(node, ast.stmt) or isinstance(node, ast.FunctionDef) or not inner:
        return False
    getattr(parent, field)[at : at + 1] = inner
    return True


def _emptied(parent: Any, field: str, at: int) -> bool:
    node = getattr(parent, field)[at]
    if not getattr(node, "orelse", None):
        return False
    node.orelse = []
    return True
