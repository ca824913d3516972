"""Making a function's control flow structured: no ``return``, ``break`` or ``continue`` in the middle.

What follows a conditional exit moves into the other arm, which needs no flag::

    if c:                      if c:
        return a                   result_ = a
    b = f()             →      else:
    return b                       b = f()
                                   result_ = b

So does what follows a conditional ``raise`` or an ``assert``: it runs only if nothing is raised. Where both arms may go
on, or the exit is inside a loop, it sets a flag, and what follows is guarded by it; loops stop once one of their flags
(``exits`` of the node) holds. On concrete conditions flags are Python's own booleans. A ``while`` whose condition binds
names is one that asks it within its body, where they are handed on.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

from orchestrator.dsl.regions.unbound import BROKE, SKIPPED
from orchestrator.dsl.rewrite.scopes import SCOPES, children, own_nodes, place_inside, walk

N = TypeVar("N", bound=ast.AST)
Exits = frozenset[str]
"""Names of flags that a statement may set."""


_EXITS = (ast.Return, ast.Break, ast.Continue, ast.Raise, ast.Assert)


class Flags(NamedTuple):
    """The flags that an exit in some place sets."""

    returned: str
    broke: str | None = None
    skipped: str | None = None


class Structured(NamedTuple):
    """A body without exits, and the names that were made up for it."""

    body: list[ast.stmt]
    made: tuple[str, ...]
    flags: frozenset[str] = frozenset()
    """The names among them that say that an exit has been taken."""
    result: str = ""
    """The name that holds what is returned: bound wherever it is read, though that cannot always be seen."""


def structured(
    function: ast.FunctionDef | ast.AsyncFunctionDef, taken: frozenset[str], binding: frozenset[str] = frozenset()
) -> Structured:
    """The body of ``function`` with at most one ``return``, its last statement.

    ``taken`` are names in use, ``binding`` those of functions that bind names of this one when they are called.
    """
    body = function.body
    exits = [
        node for node in own_nodes(*body) if isinstance(node, (*_EXITS, ast.While)) or getattr(node, "orelse", None)
    ]
    if not exits or exits == [body[-1]]:
        return Structured(list(body), ())
    maker = _Maker(body, taken, binding)
    if not any(isinstance(node, ast.Return) for node in exits):
        made = maker.block(body, Flags(""))
        return Structured(made, tuple(maker.made), frozenset(maker.made))
    result, returned = maker.name("result_"), maker.name("returned_")
    if not never_ends(body):
        body = [*body, _at_start(ast.Return(ast.Constant(None)), body[-1])]
    maker.result = result
    made = maker.block(body, Flags(returned))
    is_read = returned in _read_in(made)
    made = [_set(returned, False, function.body[0]), *made] if is_read else _without(made, returned)
    final = _at_start(ast.Return(ast.Name(result, ast.Load())), function)
    return Structured([*made, final], tuple(maker.made), frozenset(maker.made) - {result}, result)


def never_ends(body: Sequence[ast.stmt]) -> bool:
    """Whether control never gets behind the end of a block."""
    return any(map(_leaves, body))


def _leaves(node: ast.stmt) -> bool:  # noqa: PLR0911 - a case each
    match node:
        case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
            return True
        case ast.If(body=body, orelse=orelse):
            return never_ends(body) and never_ends(orelse)
        case ast.With(body=body) | ast.AsyncWith(body=body):
            return never_ends(body)
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
            ends = never_ends(body) or never_ends(orelse)
            return never_ends(finalbody) or (ends and all(never_ends(each.body) for each in handlers))
        case ast.While(test=ast.Constant(value=value), body=body) if value:
            return not any(isinstance(each, ast.Break) for each in _of_this_loop(body))
        case ast.For(body=body, orelse=orelse) | ast.While(body=body, orelse=orelse):
            return never_ends(orelse) and not any(isinstance(each, ast.Break) for each in _of_this_loop(body))
        case ast.Match(cases=cases):
            return _is_total(node) and all(never_ends(each.body) for each in cases)
    return False


def _is_total(node: ast.Match) -> bool:
    last = node.cases[-1]
    return last.guard is None and isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None


def _of_this_loop(body: Sequence[ast.stmt]) -> list[ast.AST]:
    found: list[ast.AST] = []
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        found.append(node)
        if isinstance(node, (ast.For, ast.While, ast.AsyncFor)):
            todo += node.orelse
        elif not isinstance(node, SCOPES):
            todo += children(node)
    return found


def _leaving(body: Sequence[ast.stmt]) -> set[int]:
    """The identities of the statements of one scope in which something leaves a loop or the function."""
    found: set[int] = set()
    todo = [_Inside(each) for each in body]
    while todo:
        inside = todo.pop()
        if isinstance(inside.node, (ast.Return, ast.Break, ast.Continue)):
            found |= inside.identities(found)
        elif not isinstance(inside.node, SCOPES):
            todo += [_Inside(each, inside) for each in children(inside.node) if not isinstance(each, ast.expr)]
    return found


class _Inside(NamedTuple):
    """A node, and what it stands in."""

    node: ast.AST
    around: _Inside | None = None

    def identities(self, known: Collection[int]) -> set[int]:
        """Those of it and of all that is around it, up to what is known."""
        found: set[int] = set()
        each: _Inside | None = self
        while each is not None and id(each.node) not in known:
            found.add(id(each.node))
            each = each.around
        return found


class _Maker:
    """The statements of one function, made structured."""

    def __init__(self, body: Sequence[ast.stmt], taken: frozenset[str], binding: frozenset[str]) -> None:
        self._leaving = _leaving(body)
        self._taken = set(taken)
        self._binding = binding
        self.made: list[str] = []
        self.result = ""

    def name(self, wanted: str) -> str:
        """A name that nothing else has."""
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        self.made.append(wanted)
        return wanted

    def block(self, body: Sequence[ast.stmt], flags: Flags) -> list[ast.stmt]:  # noqa: PLR0911 - a case each
        """A block without exits."""
        done: list[ast.stmt] = []
        for position, node in enumerate(body):
            rest = body[position + 1 :]
            if isinstance(node, (ast.Return, ast.Break, ast.Continue)):
                return [*done, *self._exit(node, flags)]
            if isinstance(node, ast.Raise):
                return [*done, node]
            if isinstance(node, ast.Assert):
                node = _raising(node)  # noqa: PLW2901
            if isinstance(node, ast.If) and rest and never_ends(node.body):
                return [*done, self._if(node, node.body, [*node.orelse, *rest], flags)]
            if isinstance(node, ast.If) and rest and node.orelse and never_ends(node.orelse):
                return [*done, self._if(node, [*node.body, *rest], node.orelse, flags)]
            done += self._inner(node, flags)
            exits = self._exits(node, flags)
            if _leaves(node):  # what is behind it is never reached
                return done
            if exits and rest:
                return [*done, _guarded(exits, self.block(rest, flags), node)]
        return done

    def _if(self, node: ast.If, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt], flags: Flags) -> ast.stmt:
        made = ast.If(node.test, self.block(body, flags) or [ast.Pass()], self.block(orelse, flags))
        return ast.copy_location(made, node)

    def _exit(self, node: ast.stmt, flags: Flags) -> list[ast.stmt]:
        if isinstance(node, ast.Return):
            value = node.value or ast.Constant(None)
            kept = ast.Assign([ast.Name(self.result, ast.Store())], value)
            return [_at(kept, node), _set(flags.returned, True, node)]
        flag = flags.broke if isinstance(node, ast.Break) else flags.skipped
        assert flag is not None
        return [_set(flag, True, node)]

    def _exits(self, node: ast.stmt, flags: Flags) -> Exits:
        """The flags that leaving ``node`` abruptly sets; its own loop's are not among them."""
        if id(node) not in self._leaving:
            return frozenset()
        found: set[str] = set()
        own = isinstance(node, (ast.For, ast.While))
        mine = set(map(id, _of_this_loop([node]))) if not own else set()
        for each in own_nodes(node):
            if isinstance(each, ast.Return):
                found.add(flags.returned)
            elif isinstance(each, ast.Break) and id(each) in mine and flags.broke is not None:
                found.add(flags.broke)
            elif isinstance(each, ast.Continue) and id(each) in mine and flags.skipped is not None:
                found.add(flags.skipped)
        if own and isinstance(node, (ast.For, ast.While)):
            for each in _of_this_loop(node.orelse):
                if isinstance(each, ast.Break) and flags.broke is not None:
                    found.add(flags.broke)
                elif isinstance(each, ast.Continue) and flags.skipped is not None:
                    found.add(flags.skipped)
        return frozenset(found)

    def _inner(self, node: ast.stmt, flags: Flags) -> list[ast.stmt]:
        """``node`` with the blocks in it made structured."""
        match node:
            case ast.If():
                return [self._if(node, node.body, node.orelse, flags)]
            case ast.For() | ast.While():
                return self._loop(node, flags)
            case ast.With():
                return [_at(ast.With(node.items, self.block(node.body, flags)), node)]
            case ast.Try():
                handlers = [
                    ast.copy_location(ast.ExceptHandler(each.type, each.name, self.block(each.body, flags)), each)
                    for each in node.handlers
                ]
                body, orelse = self.block(node.body, flags), self.block(node.orelse, flags)
                exits = frozenset[str]().union(*(self._exits(each, flags) for each in node.body))
                if exits and orelse:
                    orelse = [_guarded(exits, orelse, node)]
                made = _at(ast.Try(body, handlers, orelse, self.block(node.finalbody, flags)), node)
                left = any(self._exits(each, flags) for each in node.finalbody)
                made.is_left_in_the_end = left  # type: ignore[attr-defined]
                return [made]
            case ast.Match():
                cases = [ast.match_case(each.pattern, each.guard, self.block(each.body, flags)) for each in node.cases]
                return [_at(ast.Match(node.subject, cases), node)]
        return [node]

    def _loop(self, node: ast.For | ast.While, flags: Flags) -> list[ast.stmt]:
        inside = _of_this_loop(node.body)
        breaks = any(isinstance(each, ast.Break) for each in inside)
        skips = any(isinstance(each, ast.Continue) for each in inside)
        returns = any(isinstance(each, ast.Return) for each in own_nodes(*node.body))
        broke = self.name(f"{BROKE}{node.lineno}_") if breaks else None
        skipped = self.name(f"{SKIPPED}{node.lineno}_") if skips else None
        body = self.block(node.body, Flags(flags.returned, broke, skipped))
        if skipped is not None:
            body = [_set(skipped, False, node), *body] if skipped in _read_in(body) else _without(body, skipped)
        exits = [*([] if broke is None else [broke]), *([flags.returned] if returns else [])]
        body = body or [_at(ast.Pass(), node)]
        statements: list[ast.stmt] = [] if broke is None else [_set(broke, False, node)]
        made: ast.For | ast.While
        if isinstance(node, ast.For):
            made = ast.For(node.target, node.iter, body, [])
        elif self._binds(node.test):
            over = self.name(f"over_{node.lineno}_")
            statements.append(_set(over, False, node))
            asked = _at(ast.If(node.test, body, [_set(over, True, node.test)]), node.test)
            made = ast.While(ast.Constant(True), [asked], [])
            made.asks_within = True  # type: ignore[attr-defined]
            made.exits = (over, *exits)  # type: ignore[attr-defined]
        else:
            made = ast.While(node.test, body, [])
        if not hasattr(made, "exits"):
            made.exits = tuple(exits)  # type: ignore[union-attr]
        statements.append(_at(made, node))
        if node.orelse:
            orelse = self.block(node.orelse, flags)
            statements += [_guarded(frozenset(exits), orelse, node)] if exits else orelse
        return statements

    def _binds(self, test: ast.expr) -> bool:
        """Whether to ask a condition binds names."""
        return any(
            isinstance(each, ast.NamedExpr) or (isinstance(each, ast.Name) and each.id in self._binding)
            for each in own_nodes(test)
        )


def _raising(node: ast.Assert) -> ast.If:
    """``assert test, message`` as what it means."""
    arguments = [] if node.msg is None else [node.msg]
    failure = ast.Raise(ast.Call(ast.Name("AssertionError", ast.Load()), arguments, []), None)
    return _at(ast.If(ast.UnaryOp(ast.Not(), node.test), [failure], []), node)


def _guarded(exits: Exits, body: list[ast.stmt], like: ast.AST) -> ast.stmt:
    """``body``, unless one of the flags holds."""
    flags: list[ast.expr] = [ast.Name(flag, ast.Load()) for flag in sorted(exits)]
    test = flags[0] if len(flags) == 1 else ast.BoolOp(ast.Or(), flags)
    return _at(ast.If(ast.UnaryOp(ast.Not(), test), body or [ast.Pass()], []), like)


def _read_in(body: Sequence[ast.stmt]) -> set[str]:
    """The names that statements read, flags of loops among them."""
    nodes = [node for each in body for node in walk(each)]
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return read | {flag for node in nodes for flag in getattr(node, "exits", ())}


class _Dropping(ast.NodeTransformer):
    def __init__(self, name: str) -> None:
        self._name = name
        self.passes: list[ast.stmt] = []

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        target = node.targets[0]
        if not isinstance(target, ast.Name) or target.id != self._name:
            return node
        self.passes.append(ast.copy_location(ast.Pass(), node))
        return self.passes[-1]


def _without(body: list[ast.stmt], name: str) -> list[ast.stmt]:
    """Without assignments of ``name``; what becomes empty passes, at the line of the exit that it was."""
    module = ast.Module(body, [])
    dropping = _Dropping(name)
    dropping.visit(module)
    for node in ast.walk(module):
        for block in ("body", "orelse", "finalbody"):
            inside = getattr(node, block, None)
            if isinstance(inside, list):
                inside[:] = [each for each in inside if each not in dropping.passes] or inside[:1]
    return module.body


def _set(name: str, value: bool, like: ast.AST) -> ast.stmt:
    return _at(ast.Assign([ast.Name(name, ast.Store())], ast.Constant(value)), like)


def _at(node: N, like: ast.AST) -> N:
    """``node`` at the place of ``like``, and whatever in it has no place."""
    ast.copy_location(node, like)
    place_inside(node, like)
    return node


def _at_start(node: ast.stmt, like: ast.stmt) -> ast.stmt:
    """``node`` at the first line of a statement, which is run whatever happens in it."""
    return _at(node, ast.Pass(lineno=like.lineno, col_offset=0, end_lineno=like.lineno, end_col_offset=0))
