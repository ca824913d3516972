"""Which names a function binds, and which are read later: what a construct that becomes functions must hand over.

A body that becomes a function of its own assigns the names of the function around it, so they are declared
``nonlocal``. Of those only the ones that may be read afterwards are results of the construct; :func:`live_before` finds
them with one pass backwards over the structured statements, loops twice.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Final, TypeAlias

from orchestrator.dsl.types.kinds import MUTATORS

Names: TypeAlias = frozenset[str]
FunctionNode: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda"

NONE: Final[Names] = frozenset()
FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES: Final = (*FUNCTIONS, ast.ClassDef)
COMPOUND: Final = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.Match)
"""Statements with others in them."""
COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


_BINDING: Final = (
    ast.Name, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.Import, ast.ImportFrom,
    ast.MatchAs, ast.MatchStar, ast.MatchMapping,
)  # fmt: skip
"""What may bind names."""
_LEAVES: Final = frozenset({"ctx", "op", "ops", "id", "arg", "attr", "name", "kind", "type_comment", "lineno"})
"""Fields in which there are no nodes, or none that says anything about names."""


@cache
def _inner_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    return () if kind is ast.Constant else tuple(name for name in kind._fields if name not in _LEAVES)


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes directly in a node, but for contexts and signs: rewriting looks at each node often."""
    found: list[ast.AST] = []
    for name in _inner_fields(type(node)):  # type: ignore[arg-type]
        value = getattr(node, name, None)
        if type(value) is list:
            found += [each for each in value if isinstance(each, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(root: ast.AST) -> Iterator[ast.AST]:
    """A node and all :func:`children` in it, in no order."""
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        todo += children(node)


def place_inside(node: ast.AST, like: ast.AST) -> None:
    """Give what has no place in a node that of ``like``; what has one is not looked into, as all in it has."""
    todo = children(node)
    while todo:
        each = todo.pop()
        if not hasattr(each, "lineno"):
            if "lineno" in each._attributes:
                ast.copy_location(each, like)
            todo += children(each)


def own_nodes(*roots: ast.AST) -> Iterator[ast.AST]:
    """The nodes of one scope in the order of the source: nested functions and classes, not what is in them."""
    todo: list[ast.AST] = [*reversed(roots)]
    while todo:
        node = todo.pop()
        yield node
        inner = _outside(node) if isinstance(node, SCOPES) else children(node)
        inner.reverse()
        todo += inner


def _outside(node: FunctionNode | ast.ClassDef) -> list[ast.AST]:
    """What in the definition of a function or class belongs to the scope around it."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    return [*getattr(node, "decorator_list", ()), *_defaults(node)]


def _defaults(node: FunctionNode) -> list[ast.expr]:
    return [each for each in (*node.args.defaults, *node.args.kw_defaults) if each is not None]


def parameters(node: FunctionNode) -> list[str]:
    """The names of a function's parameters."""
    args = node.args
    given = [*args.posonlyargs, *args.args, *args.kwonlyargs, *(each for each in (args.vararg, args.kwarg) if each)]
    return [each.arg for each in given]


def assigned(*roots: ast.AST) -> dict[str, int]:
    """The names that statements of one scope bind or whose objects they change in place, with the first line."""
    found: dict[str, int] = {}
    for node in own_nodes(*roots):
        for name in (*_bound_by(node), *_changed_by(node)):
            found.setdefault(name, getattr(node, "lineno", 0))
    return found


class Assigned:
    """The names of :func:`assigned`; a statement with others in it is looked at once, for all that are around it."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[ast.AST, Names]] = {}
        """By the identity of the statement, with it."""

    def of(self, *roots: ast.AST) -> Names:
        """The names that statements or expressions of one scope bind or change."""
        return NONE.union(*map(self._of, roots))

    def _of(self, root: ast.AST) -> Names:
        if not isinstance(root, COMPOUND):
            return frozenset(assigned(root))
        if id(root) not in self._known:
            found: set[str] = set()
            todo = children(root)
            while todo:
                node = todo.pop()
                if isinstance(node, (ast.stmt, ast.expr)):
                    found |= self._of(node)
                else:
                    found.update(_bound_by(node))
                    todo += children(node)
            self._known[id(root)] = root, frozenset(found)
        return self._known[id(root)][1]


def last_assigned(*roots: ast.AST) -> dict[str, int]:
    """The same names, with the last line."""
    found: dict[str, int] = {}
    for node in own_nodes(*roots):
        for name in (*_bound_by(node), *_changed_by(node)):
            found[name] = max(found.get(name, 0), getattr(node, "lineno", 0))
    return found


def bound(*roots: ast.AST) -> Names:
    """The names that statements of one scope bind; the targets of comprehensions are none."""
    return frozenset(name for node in own_nodes(*roots) for name in _bound_by(node))


def _bound_by(node: ast.AST) -> Iterable[str]:
    if not isinstance(node, _BINDING):
        return ()
    match node:
        case ast.Name(id=name):
            return () if type(node.ctx) is ast.Load or getattr(node, "is_drawn", False) else (name,)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case (
            ast.ExceptHandler(name=str(name))
            | ast.MatchAs(name=str(name))
            | ast.MatchStar(name=str(name))
            | ast.MatchMapping(rest=str(name))
        ):
            return (name,)
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [(each.asname or each.name).partition(".")[0] for each in names]
    return ()


def _changed_by(node: ast.AST) -> Iterable[str]:
    if not isinstance(node, (ast.Call, ast.Subscript)):
        return ()
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)), attr=attr)
        ) if attr in MUTATORS:
            return (name,)
        case ast.Subscript(
            value=ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)), ctx=ast.Store() | ast.Del()
        ):
            return (name,)
    return ()


def mark_comprehensions(nodes: Iterable[ast.AST]) -> None:
    """Mark the targets of comprehensions, which are names of another scope."""
    for node in nodes:
        if isinstance(node, ast.comprehension):
            for name in walk(node.target):
                if isinstance(name, ast.Name):
                    name.is_drawn = True  # type: ignore[attr-defined]


def read(*roots: ast.AST) -> Names:
    """The names that statements or expressions may read, in nested functions too."""
    return frozenset(node.id for root in roots for node in walk(root) if isinstance(node, ast.Name) and _is_read(node))


def _is_read(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def captured(own: Iterable[ast.AST]) -> Names:
    """The names that nested functions and classes use, given the nodes of a scope: they may be read at any time."""
    inner = [node for node in own if isinstance(node, SCOPES)]
    return frozenset(name.id for each in inner for name in walk(each) if isinstance(name, ast.Name))


def bound_by_calls(body: Sequence[ast.stmt], around: Names) -> dict[str, Names]:
    """The functions of one scope, by name, with the names outside of them that calling them may bind anew.

    ``around`` are the names of the functions around the scope. A function that changes a list of theirs in place counts
    as binding its name anew; so does one that calls such a function.
    """
    functions = {
        node.name: node for node in own_nodes(*body) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    if not functions:
        return {}
    names = around | bound(*body)
    binds = {name: rebound_outside(node, names) for name, node in functions.items()}
    uses = {name: read(*node.body) & functions.keys() for name, node in functions.items()}
    while True:  # until what the ones that they call bind has come through
        wider = {name: own.union(*(binds[each] for each in uses[name])) for name, own in binds.items()}
        if wider == binds:
            return {name: own for name, own in binds.items() if own}
        binds = wider


def rebound_outside(node: ast.FunctionDef | ast.AsyncFunctionDef, around: Names) -> Names:
    """The names of the functions around that a function, and those in it, bind anew or change in place."""
    if node.decorator_list:
        return NONE
    declared = {name for each in own_nodes(*node.body) if isinstance(each, ast.Nonlocal) for name in each.names}
    elsewhere = {name for each in own_nodes(*node.body) if isinstance(each, ast.Global) for name in each.names}
    own = (bound(*node.body) | frozenset(parameters(node))) - declared
    found = frozenset(assigned(*node.body)) | frozenset(declared)
    for each in own_nodes(*node.body):
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found |= rebound_outside(each, around | own)
    return (found - own - elsewhere) & around


class Liveness:
    """What may be read after each statement, of a function's structured body, that has others in it."""

    def __init__(self, body: Sequence[ast.stmt], always: Names) -> None:
        self._always = always
        self._after: dict[int, Names] = {}
        self._before: dict[int, Names] = {}
        self._block(body, NONE, is_noted=True)

    def after(self, statement: ast.stmt) -> Names:
        """The names that may be read after a statement that has others in it."""
        return self._after.get(id(statement), NONE) | self._always

    def before(self, statement: ast.stmt) -> Names:
        """For a loop: the names that its body may read before it binds them, and those that its condition reads."""
        return self._before.get(id(statement), NONE)

    def _block(self, body: Sequence[ast.stmt], live: Names, *, is_noted: bool) -> Names:
        """What may be read before a block, behind which ``live`` may be."""
        now = set(live)
        for statement in reversed(body):
            if isinstance(statement, COMPOUND):
                after = frozenset(now)
                if is_noted:
                    self._after[id(statement)] = after
                now = set(self._statement(statement, after, is_noted=is_noted))
            else:
                now -= _surely_bound(statement)
                now |= read(statement)
                now.update(_changed(statement))
        return frozenset(now)

    def _statement(self, node: ast.stmt, live: Names, *, is_noted: bool) -> Names:
        block = partial(self._block, is_noted=is_noted)
        match node:
            case ast.If(test=test, body=body, orelse=orelse):
                return block(body, live) | block(orelse, live) | read(test)
            case ast.For(target=target, iter=source, body=body, orelse=orelse):
                after = block(orelse, live)
                start = self._loop(body, after | _exits(node), is_noted=is_noted) - bound(target)
                self._before[id(node)] = start
                return after | start | read(source)
            case ast.While(test=test, body=body, orelse=orelse):
                after = block(orelse, live) | read(test)
                start = self._loop(body, after | _exits(node), is_noted=is_noted)
                self._before[id(node)] = start | read(test)  # the condition comes behind each turn
                return after | start
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
                end = block(finalbody, live)
                caught = frozenset[str]()
                for handler in handlers:
                    own = NONE if handler.name is None else frozenset((handler.name,))
                    caught |= (block(handler.body, end) - own) | (read(handler.type) if handler.type else NONE)
                inside = block(body, block(orelse, end) | caught | end)
                return inside | caught | end
            case ast.With(items=items, body=body):
                return block(body, live) - bound(*items) | read(*items)
            case ast.Match(subject=subject, cases=cases):
                found = live | read(subject)
                for case in cases:
                    guard = NONE if case.guard is None else read(case.guard)
                    found |= (block(case.body, live) | guard | read(case.pattern)) - bound(case.pattern)
                return found
        raise AssertionError(node)

    def _loop(self, body: Sequence[ast.stmt], live: Names, *, is_noted: bool) -> Names:
        """What may be read before the first turn. What a turn leaves the next may read; to note that takes a second
        look, and none finds more than the first: a block adds and takes away the same names whatever is behind it."""
        start = self._block(body, live, is_noted=False)
        return self._block(body, live | start, is_noted=True) if is_noted else start


def _exits(loop: ast.stmt) -> Names:
    """The flags that end a loop: they are read after each turn."""
    return frozenset(getattr(loop, "exits", ()))


def _surely_bound(node: ast.stmt) -> Names:
    match node:
        case ast.Assign(targets=targets):
            return frozenset(each.id for target in targets for each in _names(target))
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return frozenset((name,))
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return frozenset((name,))
    return NONE


def _names(target: ast.expr) -> Iterator[ast.Name]:
    if isinstance(target, ast.Name):
        yield target
    elif isinstance(target, (ast.Tuple, ast.List)):
        for each in target.elts:
            yield from _names(each.value if isinstance(each, ast.Starred) else each)


def _changed(node: ast.stmt) -> Iterator[str]:
    for each in own_nodes(node):
        yield from _changed_by(each)
        if isinstance(each, ast.AugAssign) and isinstance(each.target, ast.Name):
            yield each.target.id
