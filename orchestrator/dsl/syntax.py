"""Which construct of the user's code is being executed; only used to word an error."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from itertools import islice
from types import FrameType
from typing import NamedTuple


class Condition(NamedTuple):
    """A construct that needs a truth value.

    ``test`` is the source of what it tests, without any ``not`` in front of it, if that is one thing; ``negated`` says
    whether there was one.
    """

    keyword: str
    test: str | None
    negated: bool = False


UNKNOWN = Condition("Python", None)


def condition_at(frame: FrameType) -> Condition:
    """The construct whose test the frame is at; :data:`UNKNOWN` if the source is not available.

    Python gives a conditional jump the position of the whole construct or, since 3.12, of its test without any ``not``.
    """
    here = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    try:
        tree = ast.parse("".join(linecache.getlines(frame.f_code.co_filename)))
    except SyntaxError:
        return UNKNOWN
    for node in ast.walk(tree):
        for keyword, test in _tests(node):
            bare, negated = _without_not(test)
            if here in (_position(node), _position(test), _position(bare)):
                if keyword in ("and", "or"):
                    return Condition(keyword, None)
                return Condition(keyword, ast.unparse(bare), negated)
    for node in ast.walk(tree):
        if _position(node) == here and isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            return Condition(f"{called}()", ast.unparse(node.args[0]) if len(node.args) == 1 else None)
        if _position(node) == here and isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            return Condition("in", ast.unparse(node.left))
    return UNKNOWN


def _without_not(test: ast.expr) -> tuple[ast.expr, bool]:
    negated = False
    while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, negated = test.operand, not negated
    return test, negated


def _position(node: ast.AST) -> tuple[int | None, ...]:
    return tuple(getattr(node, name, None) for name in ("lineno", "end_lineno", "col_offset", "end_col_offset"))


def _tests(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.If(test=test) | ast.IfExp(test=test):
            yield "if", test
        case ast.While(test=test):
            yield "while", test
        case ast.Assert(test=test):
            yield "assert", test
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            yield from (("if", test) for generator in node.generators for test in generator.ifs)
        case ast.BoolOp(op=ast.And(), values=[first, *_]):
            yield "and", first
        case ast.BoolOp(values=[first, *_]):
            yield "or", first
        case ast.Compare(comparators=[_, _, *_]):
            yield "chained comparison", node
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not", operand
