"""What is known of the names in a body before it is rewritten."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from orchestrator.dsl.rewrite.scopes import NONE, Names, assigned, walk


def gathered(body: Sequence[ast.stmt]) -> Names:
    """The lists that a loop's body only appends to."""
    uses: dict[str, int] = {}
    appends: dict[str, int] = {}
    for root in body:
        for node in walk(root):
            match node:
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append" | "extend"))):
                    appends[name] = appends.get(name, 0) + 1
                case ast.Name(id=name):
                    uses[name] = uses.get(name, 0) + 1
    return frozenset(name for name, count in appends.items() if uses[name] == count)


def only_at_the_end(body: Sequence[ast.stmt]) -> Names:
    """The names that a block assigns where nothing in it can fail any more: if it fails they are what they were."""
    return frozenset(assigned(*body)) - _early(body)


def _early(body: Sequence[ast.stmt]) -> Names:
    """The names that a block assigns while something in it may still fail."""
    while body and _cannot_fail(body[-1]):
        body = body[:-1]
    if not body:
        return NONE
    *before, last = body
    match last:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Expr():
            return frozenset(assigned(*before))
        case ast.If(test=test, body=then, orelse=orelse):
            return frozenset(assigned(*before, test)) | _early(then) | _early(orelse)
    return frozenset(assigned(*body))


def _cannot_fail(node: ast.stmt) -> bool:
    """Whether a statement only gives a name a constant, as an exit sets its flag."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant))
