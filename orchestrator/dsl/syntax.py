"""Which construct of the user's code is being executed; only used to word an error."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from itertools import islice
from types import FrameType


def condition_at(frame: FrameType) -> tuple[str, str | None]:
    """The keyword that tests a truth value at the frame's current instruction, and the source of what it tests.

    ``("if", None)`` when the source is not available.
    """
    position = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    line, _, column, _ = position or (None, None, None, None)
    try:
        tree = ast.parse("".join(linecache.getlines(frame.f_code.co_filename)))
    except SyntaxError:
        return "if", None
    best: tuple[int, str, str] | None = None
    for keyword, test in _conditions(tree):
        if test.lineno <= (line or frame.f_lineno) <= (test.end_lineno or test.lineno) and (
            column is None or line != test.lineno or test.col_offset <= column
        ):
            extent = (test.end_lineno or test.lineno) - test.lineno, (test.end_col_offset or 0) - test.col_offset
            size = extent[0] * 10_000 + extent[1]
            if best is None or size <= best[0]:
                best = (size, keyword, ast.unparse(test))
    return (best[1], best[2]) if best else ("if", None)


def _conditions(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp)):
            yield "if", node.test
        elif isinstance(node, ast.While):
            yield "while", node.test
        elif isinstance(node, ast.Assert):
            yield "assert", node.test
        elif isinstance(node, ast.comprehension):
            yield from (("if", test) for test in node.ifs)
        elif isinstance(node, ast.BoolOp):
            yield from (("and" if isinstance(node.op, ast.And) else "or", value) for value in node.values[:-1])
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield "not", node.operand
