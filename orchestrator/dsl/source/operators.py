"""Calls of the functions of ``operator``, as the expressions that they stand for."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

_COMPARISONS: Final[Mapping[str, type[ast.cmpop]]] = {
    "eq": ast.Eq, "ne": ast.NotEq, "lt": ast.Lt, "le": ast.LtE, "gt": ast.Gt, "ge": ast.GtE,
    "is_": ast.Is, "is_not": ast.IsNot,
}  # fmt: skip
_ARITHMETIC: Final[Mapping[str, type[ast.operator]]] = {
    "add": ast.Add, "concat": ast.Add, "iadd": ast.Add, "iconcat": ast.Add, "mul": ast.Mult, "imul": ast.Mult,
    "mod": ast.Mod, "imod": ast.Mod,
}  # fmt: skip


def as_expression(name: str, call: ast.Call) -> ast.expr | None:
    """``left == right`` for a call of ``eq(left, right)``; None if there is no such expression."""
    if call.keywords or any(isinstance(each, ast.Starred) for each in call.args):
        return None
    meant: ast.expr
    match name, call.args:
        case "contains" | "countOf" | "indexOf", [whole, part]:
            meant = ast.Compare(part, [ast.In()], [whole])
        case "not_" | "truth", [test]:
            meant = ast.UnaryOp(ast.Not(), test)
        case "getitem", [whole, key]:
            meant = ast.Subscript(whole, key, ast.Load())
        case "length_hint", [text, *_]:
            meant = ast.Call(ast.Constant(len), [text], [])  # type: ignore[arg-type]
        case _, [left, right] if name in _COMPARISONS:
            meant = ast.Compare(left, [_COMPARISONS[name]()], [right])
        case _, [left, right] if name in _ARITHMETIC:
            meant = ast.BinOp(left, _ARITHMETIC[name](), right)
        case _:
            return None
    return ast.copy_location(meant, call)
