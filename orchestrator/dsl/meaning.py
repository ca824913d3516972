"""What the expressions in the source of a function stood for when it ran.

Names are looked up in what the function left behind. A name that was assigned several times is taken, before its last
assignment, for the expression it was assigned there; what is not known stands for nothing.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from enum import Enum
from types import FunctionType, ModuleType
from typing import Final, TypeAlias

from orchestrator.dsl.constants import is_symbolic
from orchestrator.dsl.location import is_user_file
from orchestrator.dsl.ran import Ran, as_called
from orchestrator.dsl.syntax import FunctionNode, function_at
from orchestrator.dsl.template import A_MARKER, has_marker
from orchestrator.dsl.value import Value

UNKNOWN: Final = object()
"""What an expression stands for that is not known."""
LAYOUT: Final = frozenset({"strip", "lstrip", "rstrip", "join", "dedent"})
"""What shapes a template; the values are filled in afterwards, as they are."""
_FILLING: Final = frozenset({"format", "format_map", "replace", "substitute", "safe_substitute"})
"""What makes a text with values of one without."""
Functions: TypeAlias = "dict[int, Meaning]"
"""By the identity of their code."""


class Kind(Enum):
    """What an expression may stand for: a symbolic value, or a text into which one has been formatted."""

    VALUE = "value"
    TEXT = "text"


class Meaning:
    """The expressions of one function; ``functions`` are all that ran, and those that were come across."""

    def __init__(self, ran: Ran, node: FunctionNode, functions: Functions) -> None:
        self.ran = ran
        self.nodes = list(_own_nodes(node))
        self._functions = functions
        self._bound = _bindings(self.nodes)
        self._drawn_from = {
            each.target.id: each.iter
            for each in self.nodes
            if isinstance(each, ast.comprehension) and isinstance(each.target, ast.Name)
        }
        code = ran.code
        self._params = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        self._locals = {*code.co_varnames, *code.co_cellvars}
        self._kinds: dict[int, Kind | None] = {}
        self._returned: Kind | None = None
        self._is_asked = False
        returned = [each.value for each in self.nodes if isinstance(each, ast.Return) and each.value is not None]
        self._results = [node.body] if isinstance(node, ast.Lambda) else returned

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

    def kind(self, node: ast.expr) -> Kind | None:
        """What an expression stood for, if it is one of the two."""
        if id(node) not in self._kinds:
            self._kinds[id(node)] = None
            self._kinds[id(node)] = self._kind(node)
        return self._kinds[id(node)]

    def _kind(self, node: ast.expr) -> Kind | None:  # noqa: PLR0911 - a case each
        match node:
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
                return self._kind_of_call(node)
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

    def returns(self) -> Kind | None:
        """What the function gives back."""
        if not self._is_asked:  # it may call itself
            self._is_asked = True
            self._returned = self._strongest(*self._results)
        return self._returned

    def _strongest(self, *nodes: ast.expr) -> Kind | None:
        kinds = {self.kind(node) for node in nodes}
        return Kind.VALUE if Kind.VALUE in kinds else Kind.TEXT if Kind.TEXT in kinds else None

    def _kind_of_call(self, node: ast.Call) -> Kind | None:
        callee, given = self.held(node.func), arguments_of(node)
        if not isinstance(callee, type) and module_of(callee).startswith("orchestrator."):
            return Kind.VALUE
        if callee is str or callee is format:
            return Kind.TEXT if given and self.kind(given[0]) is not None else None
        if isinstance(callee, FunctionType) and is_user_file(callee.__code__.co_filename):
            if callee.__closure__ is None and not any(map(self.holds, given)):
                return None
            function = self._followed(callee, node)
            return None if function is None else function.returns()
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        receiver = self.kind(node.func.value) if isinstance(node.func, ast.Attribute) else None
        if name in LAYOUT:
            return Kind.TEXT if receiver is Kind.TEXT or any(map(self.holds, given)) else None
        return Kind.TEXT if name in _FILLING and receiver is None and any(map(self.holds, given)) else None

    def _followed(self, callee: FunctionType, node: ast.Call) -> Meaning | None:
        """The function that is called, come across with a value or a text if it has not been noted."""
        code = callee.__code__
        names = list(code.co_varnames[: code.co_argcount])
        if isinstance(node.func, ast.Attribute) and not isinstance(self.held(node.func.value), (ModuleType, type)):
            del names[:1]  # self
        pairs = [*zip(names, node.args, strict=False), *((each.arg, each.value) for each in node.keywords)]
        given = {name: self._sample(argument) for name, argument in pairs if name is not None}
        if id(code) not in self._functions and not any(map(is_symbolic, given.values())):
            return None
        known = {name: each for name, each in given.items() if each is not UNKNOWN}
        return understand(as_called(callee, known), self._functions)

    def _sample(self, node: ast.expr) -> object:
        known = self.held(node)
        return A_MARKER if known is UNKNOWN and self.kind(node) is Kind.TEXT else known

    def _looked_up(self, name: ast.Name) -> tuple[object, ast.expr | None]:
        """The object behind a name, or the expression that it was assigned."""
        bound = self._bound.get(name.id, [])
        before = [value for end, value in bound if end <= (name.lineno, name.col_offset)]
        if name.id in self._drawn_from and not bound:
            drawn = self._drawn_from[name.id]
            if isinstance(drawn, (ast.List, ast.Tuple)):
                return UNKNOWN, next((member for member in drawn.elts if self.kind(member) is not None), None)
            members = self.held(drawn)
            return next(filter(is_symbolic, members), UNKNOWN) if type(members) in (list, tuple) else UNKNOWN, None  # type: ignore[call-overload]
        if bound and not before and name.id in self._params:
            return self.ran.before.get(name.id, UNKNOWN), None
        if name.id in self._locals and (len(before) < len(bound) or name.id not in self.ran.after.maps[0]):
            return UNKNOWN, before[-1] if before else None
        return self.ran.after.get(name.id, UNKNOWN), None


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


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes in a function in the order of its source, without those of the functions in it."""
    inside = [node.body] if isinstance(node, ast.Lambda) else getattr(node, "body", [])
    unread: list[ast.AST] = list(reversed(inside))
    while unread:
        each = unread.pop()
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        yield each
        unread += reversed(list(ast.iter_child_nodes(each)))


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
    return {name: sorted(each, key=lambda pair: pair[0]) for name, each in bound.items()}
