"""``xs.pop()`` whose result is used: the name is given what is left, at once, and the expression is what was taken.

That is Python's meaning unless the list itself is already an operand of the same expression, as in
``f(xs, xs.pop())``: there the function gets the shorter list, and here it would get the longer one. In such a place it
is not :func:`marked <mark_pops>`, and refused where it matters.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Final

from orchestrator.dsl.rewrite.scopes import COMPREHENSIONS, NONE, SCOPES, Names, captured, children, own_nodes

POP: Final = "is_pop"


def is_pop(node: ast.AST) -> bool:
    """Whether a node has been marked."""
    return getattr(node, POP, False)


def binds(node: ast.AST) -> bool:
    """Whether evaluating an expression binds names: by ``:=``, or by a ``pop``."""
    return any(isinstance(each, ast.NamedExpr) or is_pop(each) for each in own_nodes(node))


def mark_pops(own: Sequence[ast.AST]) -> None:
    """Mark the calls ``name.pop(...)`` whose value is used where no operand can be what is changed.

    ``own`` are the nodes of a scope.
    """
    if not any(isinstance(node, ast.Attribute) and node.attr == "pop" for node in own):
        return
    statements = [node for node in own if isinstance(node, ast.stmt)]
    marking = _Marking(captured(own))
    for node in statements:
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(), attr="pop")) as call):
                marking.several(call.args, _held(call.func))
            case ast.Assign(targets=targets, value=value):
                marking.several((value, *targets), NONE)
            case ast.If(test=value) | ast.While(test=value) | ast.For(iter=value) | ast.Match(subject=value):
                marking.see(value, NONE)
            case ast.Expr() | ast.Return() | ast.AugAssign() | ast.AnnAssign() | ast.Assert() | ast.Raise():
                marking.several([each for each in children(node) if isinstance(each, ast.expr)], NONE)


def _held(node: ast.AST) -> Names:
    """The names whose object the value of an expression may be, or hold; and ``()`` if a function may know others."""
    match node:
        case ast.Call(func=ast.Attribute(attr="pop"), args=args):  # an item, and not what it was in
            return NONE.union(*map(_held, args))
        case ast.Compare() | ast.Constant() | ast.UnaryOp(op=ast.Not()) | ast.Call(func=ast.Name(id="len")):
            return NONE
        case ast.Name(id=name):
            return frozenset((name,))
    found = NONE.union(*map(_held, children(node)))
    return found | {_CALLED} if isinstance(node, ast.Call) else found


_CALLED: Final = "()"
"""In place of a name: what a function gave, which may be a name's of the functions around it."""


class _Marking:
    def __init__(self, shared: Names) -> None:
        self._shared = shared

    def several(self, nodes: Iterable[ast.AST], held: Names) -> None:
        """See expressions in the order in which they are evaluated; the values of those before wait for the last."""
        for each in nodes:
            self.see(each, held)
            held |= _held(each)

    def see(self, node: ast.AST, held: Names) -> None:
        """``held`` are names whose objects are operands already."""
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="pop"), args=args, keywords=[]):
                self.several(args, held | {name})
                if name not in held and not (name in self._shared and _CALLED in held):
                    setattr(node, POP, True)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                for each in (test, body, orelse):
                    self.see(each, held)
            case ast.BoolOp(values=values):
                for each in values:
                    self.see(each, held)
            case _ if isinstance(node, (*SCOPES, *COMPREHENSIONS)):
                return
            case _:
                self.several(children(node), held)
