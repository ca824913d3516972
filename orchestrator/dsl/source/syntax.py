"""The user's source: which construct is being executed, and the functions and classes in a file.

A file may have been edited since Python loaded it, as under a service that is deployed again. Its text is then not that
of the functions which run, so they count as functions without a source.
"""

from __future__ import annotations

import ast
import linecache
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Final, NamedTuple, TypeAlias

from orchestrator.cached import cached_property
from orchestrator.dsl.source.location import is_rewritten

FunctionNode: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda"


class Condition(NamedTuple):
    """A construct that needs a truth value.

    ``test`` is the source of what it tests, without any ``not`` in front of it, if that is one thing; ``negated`` says
    whether there was one.
    """

    keyword: str
    test: str | None
    negated: bool = False


_STARTED: Final = time.time()
_MOST_SOURCES: Final = 32
_sources: dict[str, Source] = {}
UNKNOWN = Condition("Python", None)


def condition_at(frame: FrameType) -> Condition:
    """The construct whose test the frame is at; :data:`UNKNOWN` if the source is not available.

    Python gives a conditional jump the position of the whole construct or, since 3.12, of its test without any ``not``.
    """
    here = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    tree = source_of(frame.f_code.co_filename).tree
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


def has_source(file: str) -> bool:
    """Whether its lines can be read; a cell of a notebook has some, what is typed at Python's prompt has none."""
    return bool(linecache.getlines(file))


def function_at(code: CodeType) -> FunctionNode | None:
    """The definition of a function, or None if the source is not available, or no longer that of the function."""
    if not is_as_loaded(code):
        return None
    found = source_of(code.co_filename).functions.get((code.co_firstlineno, code.co_name), [])
    if len(found) < 2:
        return found[0] if found else None
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    inside = next((here for here in code.co_positions() if None not in here and here[2] != here[3]), None)
    if inside is None:
        return None
    fitting = [each for each in found if _parameters(each) == parameters and _encloses(_position(each), inside)]
    return fitting[-1] if fitting else None  # the innermost


def is_as_loaded(code: CodeType) -> bool:
    """Whether the text of a file is still what Python has loaded; compared where it is newer than this process."""
    file = code.co_filename
    if is_rewritten(code):
        return True
    try:
        stamp = Path(file).stat()
    except (OSError, ValueError):  # a cell of a notebook
        return True
    if max(stamp.st_mtime, stamp.st_ctime) < _STARTED or source_of(file).has(code):
        return True
    linecache.checkcache(file)  # it may have been loaded again
    return source_of(file).has(code)


class Source:
    """A file as it was read, parsed once; nothing where it cannot be parsed."""

    def __init__(self, lines: list[str], file: str) -> None:
        self.lines = lines
        self.file = file
        self.tree = _parsed("".join(lines))

    def has(self, code: CodeType) -> bool:
        """Whether it is what code was compiled from."""
        return code in self._codes.get((code.co_firstlineno, code.co_name), ())

    @cached_property
    def _codes(self) -> Mapping[tuple[int, str], list[CodeType]]:
        named: dict[tuple[int, str], list[CodeType]] = defaultdict(list)
        try:
            unfinished = [compile("".join(self.lines), self.file, "exec", dont_inherit=True)]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return named
        while unfinished:
            code = unfinished.pop()
            named[code.co_firstlineno, code.co_name].append(code)
            unfinished += (each for each in code.co_consts if isinstance(each, CodeType))
        return named

    @cached_property
    def functions(self) -> Mapping[tuple[int, str], list[FunctionNode]]:
        """By the line of the first decorator, or else of the definition, and the name; outer ones first."""
        named: dict[tuple[int, str], list[FunctionNode]] = defaultdict(list)
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                named[first_line(node), node.name].append(node)
            elif isinstance(node, ast.Lambda):
                named[node.lineno, "<lambda>"].append(node)
        return named

    @cached_property
    def rebound(self) -> frozenset[str]:
        """The names that a function binds outside of itself."""
        statements = (each for each in ast.walk(self.tree) if isinstance(each, (ast.Global, ast.Nonlocal)))
        return frozenset(name for each in statements for name in each.names)

    @cached_property
    def classes(self) -> Mapping[str, list[ast.ClassDef]]:
        """By the qualified name."""
        named: dict[str, list[ast.ClassDef]] = defaultdict(list)
        unfinished: list[tuple[str, ast.AST]] = [("", self.tree)]
        while unfinished:
            around, node = unfinished.pop()
            for inner in ast.iter_child_nodes(node):
                if isinstance(inner, ast.ClassDef):
                    named[around + inner.name].append(inner)
                    unfinished.append((f"{around}{inner.name}.", inner))
                elif isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    unfinished.append((f"{around}{inner.name}.<locals>.", inner))
                elif isinstance(inner, (ast.stmt, ast.ExceptHandler, ast.match_case)):
                    unfinished.append((around, inner))
        return named


def source_of(file: str) -> Source:
    """The source of a file; of one that has changed, and of which Python knows, the new one."""
    lines = linecache.getlines(file)
    known = _sources.get(file)
    if known is None or known.lines is not lines:  # the same list as long as Python has not read it again
        while len(_sources) >= _MOST_SOURCES:
            _sources.pop(next(iter(_sources)), None)
        known = _sources[file] = Source(lines, file)
    return known


def first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """The line of its first decorator, or else of the definition."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _parameters(node: FunctionNode) -> tuple[str, ...]:
    arguments = node.args
    return tuple(each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


def _encloses(outer: tuple[int | None, ...], inner: tuple[int | None, ...]) -> bool:
    line, end_line, column, end_column = (each or 0 for each in outer)
    inner_line, inner_end_line, inner_column, inner_end_column = (each or 0 for each in inner)
    begins_before = (line, column) <= (inner_line, inner_column)
    return begins_before and (inner_end_line, inner_end_column) <= (end_line, end_column)


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
