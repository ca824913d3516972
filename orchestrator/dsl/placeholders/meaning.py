"""What the expressions in the source of a function stood for when it ran.

Names are looked up in what the function left behind. A name that was assigned several times is taken, before its last
assignment, for the expression it was assigned there; what is not known stands for nothing.
"""

from __future__ import annotations

import ast
import inspect
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Final, NamedTuple, TypeAlias, TypeVar

from orchestrator.dsl.source.location import is_method, is_user_file, underlying
from orchestrator.dsl.source.operators import as_expression
from orchestrator.dsl.source.ran import Ran, as_called
from orchestrator.dsl.source.syntax import FunctionNode, function_at
from orchestrator.dsl.tracing.constants import is_symbolic
from orchestrator.dsl.tracing.template import A_MARKER, has_marker
from orchestrator.dsl.tracing.tracer import Value

UNKNOWN: Final = object()
"""What an expression stands for that is not known."""
LAYOUT: Final = frozenset({"strip", "lstrip", "rstrip", "join", "dedent"})
"""What shapes a template; the values are filled in afterwards, as they are."""
_FILLING: Final = frozenset({"format", "format_map", "replace", "substitute", "safe_substitute"})
"""What makes a text with values of one without."""
_END: Final = itemgetter(0)
E = TypeVar("E", bound=ast.expr)
Functions: TypeAlias = "dict[int, Meaning]"
"""It has functions by the identity of their code."""


class Kind(Enum):
    """What an expression may stand for: a symbolic value, or a text into which one has been formatted."""

    VALUE = "value"
    TEXT = "text"


class Meaning:
    """The expressions of one function; ``functions`` are all that ran, and those that were come across."""

    def __init__(self, ran: Ran, node: FunctionNode, functions: Functions) -> None:
        self.ran = ran
        self.nodes, self._bound, self._drawn_from, self._results = _read(node)
        self._functions = functions
        code = ran.code
        self._params = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        self._locals = {*code.co_varnames, *code.co_cellvars}
        self._kinds: dict[int, Kind | None] = {}
        self._made_up: list[ast.expr] = []
        self._returned: Kind | None = None
        self._is_asked = False

    def held(self, node: ast.expr) -> object:  # noqa: PLR0911 - a case each
        """The Python object that an expression stood for, or :data:`UNKNOWN`."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name():
                found, assigned = self._looked_up(node)
                return self.held(assigned) if assigned is not None else found
            case ast.Attribute(value=inner, attr=name):
                owner = self.held(inner)
                if isinstance(inner, ast.Call) and isinstance(made := self.held(inner.func), type):
                    owner = made
                if owner is UNKNOWN or isinstance(owner, Value):
                    return UNKNOWN
                return inspect.getattr_static(owner, name, UNKNOWN)  # runs no property
            case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
                whole = self.held(inner)
                if type(whole) is dict:
                    return whole.get(key, UNKNOWN)
                if type(whole) in (list, tuple) and type(key) is int and -len(whole) <= key < len(whole):  # type: ignore[arg-type]
                    return whole[key]  # type: ignore[index]
        return UNKNOWN

    def written(self, node: ast.expr) -> ast.expr:
        """The expression that a name was assigned, where that is what is known of it; any other is itself."""
        while isinstance(node, ast.Name) and (assigned := self._looked_up(node)[1]) is not None:
            node = assigned
        return node

    def made_up(self, node: E) -> E:
        """An expression that is not in the source; its identity must last, as kinds are known by it."""
        self._made_up.append(node)
        return node

    def meant(self, node: ast.Call) -> ast.expr | None:
        """The expression that a call of a function of ``operator`` stands for."""
        callee = self.held(node.func)
        if not isinstance(callee, BuiltinFunctionType) or callee.__module__ != "_operator":
            return None
        meant = as_expression(callee.__name__, node)
        return None if meant is None else self.made_up(meant)

    def members(self, node: ast.expr) -> list[ast.expr]:
        """What going through it gives, where that is known; of a comprehension, the one expression of them all."""
        node = self.written(node)
        match node:
            case ast.List(elts=members) | ast.Tuple(elts=members) | ast.Set(elts=members):
                return members
            case ast.ListComp(elt=inner) | ast.SetComp(elt=inner) | ast.GeneratorExp(elt=inner):
                return [inner]
        held = self.held(node)
        return [ast.Constant(each) for each in held] if type(held) in (list, tuple) else []  # type: ignore[attr-defined]

    def kind(self, node: ast.expr) -> Kind | None:
        """What an expression stood for, if it is one of the two."""
        if id(node) not in self._kinds:
            self._kinds[id(node)] = None
            self._kinds[id(node)] = self._kind(node)
        return self._kinds[id(node)]

    def _kind(self, node: ast.expr) -> Kind | None:  # noqa: PLR0911 - a case each
        match node:
            case ast.Constant(value=value):
                return _kind_of(value)
            case ast.Name():
                found, assigned = self._looked_up(node)
                return self.kind(assigned) if assigned is not None else _kind_of(found)
            case ast.JoinedStr(values=parts):
                holes = [part.value for part in parts if isinstance(part, ast.FormattedValue)]
                return Kind.TEXT if any(map(self.holds, holes)) else None
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                return Kind.TEXT if self.kind(left) is Kind.TEXT or self.holds(right) else None
            case ast.BinOp():
                return self._strongest(*_operands(node))
            case ast.Compare(left=left, comparators=others):
                return Kind.VALUE if self._strongest(left, *others) is Kind.VALUE else None
            case ast.Attribute(value=inner) | ast.Subscript(value=inner):
                return _kind_of(self.held(node)) or (Kind.VALUE if self.kind(inner) is Kind.VALUE else None)
            case ast.IfExp(body=first, orelse=second):
                return self._strongest(first, second)
            case ast.NamedExpr(value=value):
                return self.kind(value)
            case ast.Call():
                meant = self.meant(node)
                return self._kind_of_call(node) if meant is None else self.kind(meant)
        return None

    def holds(self, node: ast.expr) -> bool:
        """Whether it is a value or a text with one, or collects some."""
        match node:
            case ast.List(elts=members) | ast.Tuple(elts=members) | ast.Set(elts=members) | ast.Dict(values=members):
                return any(map(self.holds, members))
            case ast.Starred(value=inner) | ast.DictComp(value=inner):
                return self.holds(inner)
            case ast.ListComp(elt=inner) | ast.SetComp(elt=inner) | ast.GeneratorExp(elt=inner):
                return self.holds(inner)
        return self.kind(node) is not None or is_symbolic(self.held(node))

    def holds_in_order(self, node: ast.expr) -> bool:
        """Whether going through it gives a value or a text with one; of a dict that gives its keys."""
        return not isinstance(node, (ast.Dict, ast.DictComp)) and type(self.held(node)) is not dict and self.holds(node)

    def returns(self) -> Kind | None:
        """What the function gives back."""
        if not self._is_asked:  # it may call itself
            self._is_asked = True
            with suppress(RecursionError):  # a hundred functions that call one another: too deep to be known
                self._returned = self._strongest(*self._results)
        return self._returned

    def _strongest(self, *nodes: ast.expr) -> Kind | None:
        kinds = {self.kind(node) for node in nodes}
        return Kind.VALUE if Kind.VALUE in kinds else Kind.TEXT if Kind.TEXT in kinds else None

    def _kind_of_call(self, node: ast.Call) -> Kind | None:
        callee, given = self.held(node.func), arguments_of(node)
        if not isinstance(callee, type) and module_of(callee).startswith("orchestrator."):
            return Kind.VALUE
        if (callee is map or callee is filter) and node.args:
            self._mapped(node)
            return None
        if callee is str or callee is format:
            return Kind.TEXT if given and self.kind(given[0]) is not None else None
        function = callee if isinstance(callee, type) else underlying(callee)
        if isinstance(function, FunctionType) and is_user_file(function.__code__.co_filename):
            followed = self._followed(function, node)
            return None if followed is None else followed.returns()
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        receiver = self.kind(node.func.value) if isinstance(node.func, ast.Attribute) else None
        if name in LAYOUT:
            return Kind.TEXT if receiver is Kind.TEXT or any(map(self.holds, given)) else None
        return Kind.TEXT if name in _FILLING and receiver is None and any(map(self.holds, given)) else None

    def _mapped(self, node: ast.Call) -> None:
        """``map(f, texts)`` comes across ``f`` with one of the texts."""
        function, *sources = node.args
        callee = self.held(function)
        if isinstance(callee, FunctionType) and is_user_file(callee.__code__.co_filename):
            members = [self._drawn(each, None) for each in sources]
            given = [each if isinstance(each, ast.expr) else ast.Constant(each) for each in members]  # type: ignore[arg-type]
            self._followed(callee, self.made_up(ast.Call(function, given, [])))

    def _followed(self, callee: FunctionType, node: ast.Call) -> Meaning | None:
        """The function that is called, come across with a value or a text if it has not been noted."""
        code = callee.__code__
        names = list(code.co_varnames[: code.co_argcount])
        given: dict[str, object] = {}
        if is_method(callee):
            owner = self.held(node.func.value) if isinstance(node.func, ast.Attribute) else UNKNOWN
            given[names.pop(0)] = owner
        pairs = [*zip(names, node.args, strict=False), *((each.arg, each.value) for each in node.keywords)]
        given |= {name: self._sample(argument) for name, argument in pairs if name is not None}
        around = callee.__closure__ is not None and id(code) in self._functions
        if not around and not any(is_symbolic(each) or is_symbolic(_attributes(each)) for each in given.values()):
            return None
        known = {name: each for name, each in given.items() if each is not UNKNOWN}
        return understand(as_called(callee, known), self._functions)

    def _drawn(self, source: ast.expr, place: int | None) -> object:
        """A value or text among the members of ``source``, or the expression of one; :data:`UNKNOWN` if none is."""
        if isinstance(source, (ast.List, ast.Tuple)):
            members: list[ast.expr] = source.elts
            if place is not None:
                tuples = [each.elts for each in members if isinstance(each, ast.Tuple)]
                members = [each[place] for each in tuples if place < len(each)]
            return next((each for each in members if self.kind(each) is not None), UNKNOWN)
        held = self.held(source)
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Attribute):
            written = source.func.value
            if isinstance(written, ast.Dict) and (source.func.attr, place) in (("items", 1), ("values", None)):
                return next((each for each in written.values if self.kind(each) is not None), UNKNOWN)
            whole = self.held(source.func.value)
            if type(whole) is dict and source.func.attr in ("items", "values"):
                held = list(whole.items() if source.func.attr == "items" else whole.values())
        found = list(held) if type(held) in (list, tuple) else []  # type: ignore[call-overload]
        if place is not None:
            found = [each[place] for each in found if type(each) in (list, tuple) and place < len(each)]
        return next(filter(is_symbolic, found), UNKNOWN)

    def _sample(self, node: ast.expr) -> object:
        known = self.held(node)
        return A_MARKER if known is UNKNOWN and self.kind(node) is Kind.TEXT else known

    def _looked_up(self, name: ast.Name) -> tuple[object, ast.expr | None]:
        """The object behind a name, or the expression that it was assigned."""
        bound = self._bound.get(name.id, [])
        before = bisect_right(bound, (name.lineno, name.col_offset), key=_END)
        if name.id in self._drawn_from and len(bound) < 2:  # a loop binds it once, a comprehension never
            drawn = self._drawn(*self._drawn_from[name.id])
            if isinstance(drawn, ast.expr):
                return UNKNOWN, drawn
            if drawn is not UNKNOWN or not bound:
                return drawn, None
        last = bound[before - 1][1] if before else None
        if bound and not before and name.id in self._params:
            return self.ran.before.get(name.id, UNKNOWN), None
        if name.id in self._locals and (before < len(bound) or name.id not in self.ran.after.maps[0]):
            return UNKNOWN, last
        return self.ran.after.get(name.id, UNKNOWN), None


def _attributes(thing: object) -> object:
    return getattr(thing, "__dict__", {}) if not isinstance(thing, (Value, type, ModuleType)) else {}


def _draws(nodes: list[ast.AST]) -> dict[str, tuple[ast.expr, int | None]]:
    """For each name that a loop or comprehension gives: what it is drawn from, and its place where tuples are."""
    drawn: dict[str, tuple[ast.expr, int | None]] = {}
    for node in nodes:
        if isinstance(node, (ast.comprehension, ast.For)):
            target = node.target
            if isinstance(target, ast.Name):
                drawn[target.id] = node.iter, None
            elif isinstance(target, ast.Tuple):
                drawn |= {e.id: (node.iter, place) for place, e in enumerate(target.elts) if isinstance(e, ast.Name)}
    return drawn


def understand(ran: Ran, functions: Functions) -> Meaning | None:
    """The function as it is in ``functions``, after putting it there; None if its source is not to be had."""
    if id(ran.code) not in functions and is_user_file(ran.code.co_filename):
        node = function_at(ran.code)
        if node is not None:
            functions[id(ran.code)] = Meaning(ran, node, functions)
    return functions.get(id(ran.code))


def arguments_of(node: ast.Call) -> list[ast.expr]:
    """What is given to a call, by position and by name."""
    return [*node.args, *(keyword.value for keyword in node.keywords)]


def module_of(thing: object) -> str:
    """Where a function or class, or else the class of an object, is defined."""
    module = type(thing).__module__
    return str(getattr(thing, "__module__", None)) if module == "builtins" else module


def _kind_of(thing: object) -> Kind | None:
    if isinstance(thing, Value):
        return Kind.VALUE
    return Kind.TEXT if isinstance(thing, str) and has_marker(thing) else None


def _operands(node: ast.expr) -> list[ast.expr]:
    """What is added up, say, from right to left; there may be hundreds."""
    operands = []
    while isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Mod):
        operands.append(node.right)
        node = node.left
    return [*operands, node]


class _Read(NamedTuple):
    """What the source of a function says by itself."""

    nodes: list[ast.AST]
    bound: dict[str, list[tuple[tuple[int, int], ast.expr | None]]]
    drawn_from: dict[str, tuple[ast.expr, int | None]]
    results: list[ast.expr]


@lru_cache(maxsize=256)
def _read(function: FunctionNode) -> _Read:
    nodes = list(_own_nodes(function))
    results = [each.value for each in nodes if isinstance(each, ast.Return) and each.value is not None]
    if isinstance(function, ast.Lambda):
        results = [function.body]
    return _Read(nodes, _bindings(nodes), _draws(nodes), results)


def _own_nodes(function: FunctionNode) -> Iterator[ast.AST]:
    """The nodes in a function in the order of its source, without those of the functions in it."""
    unread: list[ast.AST] = [function.body] if isinstance(function, ast.Lambda) else [*reversed(function.body)]
    while unread:
        each = unread.pop()
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        yield each
        for name in reversed(each._fields):
            child = getattr(each, name, None)
            if isinstance(child, list):
                unread += [item for item in reversed(child) if isinstance(item, ast.AST)]
            elif isinstance(child, ast.AST) and not isinstance(child, ast.expr_context):
                unread.append(child)


def _bindings(nodes: list[ast.AST]) -> dict[str, list[tuple[tuple[int, int], ast.expr | None]]]:
    """For each name that is assigned: where the assignment ends, and what is assigned, if that is one expression."""
    assigned: dict[int, tuple[ast.stmt | ast.expr, ast.expr | None]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=targets, value=value):
                assigned |= {id(target): (node, value) for target in targets}
            case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                assigned[id(target)] = node, value
            case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
                before = ast.copy_location(ast.Name(name, ast.Load()), target)
                assigned[id(target)] = node, ast.copy_location(ast.BinOp(before, op, value), node)
    bound: dict[str, list[tuple[tuple[int, int], ast.expr | None]]] = defaultdict(list)
    in_comprehensions = {
        id(name) for node in nodes if isinstance(node, ast.comprehension) for name in ast.walk(node.target)
    }
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in in_comprehensions:
            whole, value = assigned.get(id(node), (node, None))
            bound[node.id].append(((whole.end_lineno or 0, whole.end_col_offset or 0), value))
    return {name: sorted(each, key=_END) for name, each in bound.items()}
