"""Names that hold something wherever they are read, though a construct taken alone leaves them empty.

Behind ``while True`` there is a ``break``, and behind ``a and b`` where it holds, all of it has been asked::

    while True:                             if (row := find(text)) and (reply := ask(row)):
        draft = improve(draft)                  use(reply)         # bound: `and` got to its end
        if is_good(draft):
            result = draft
            break
    return result       # bound: there is no other way here

This is the definite assignment of Java's specification, chapter 16: forwards over the statements, with one set of names
for where a condition holds and another for where it does not. ``None`` is the set where control never comes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TypeAlias

from orchestrator.dsl.rewrite.scopes import COMPREHENSIONS, NONE, SCOPES, Names, bound, captured, children

State: TypeAlias = "Names | None"


def surely_bound(body: Sequence[ast.stmt], own: Iterable[ast.AST], given: Names) -> Names:
    """The names of one scope that ``:=`` or an endless loop binds, and that hold something wherever they are read.

    The body is as it was written, with its exits, ``own`` are the nodes in it, and ``given`` names that the scope
    shares with others.
    """
    found: set[str] = set()
    deleted: set[str] = set()
    for node in own:
        match node:
            case ast.NamedExpr(target=ast.Name(id=name)):
                found.add(name)
            case ast.While(test=ast.Constant(value=value), body=inner) if value:
                found |= bound(*inner)
            case ast.Name(id=name, ctx=ast.Del()) | ast.ExceptHandler(name=str(name)):
                deleted.add(name)
    names = frozenset(found) - deleted - given
    names = names - captured(own) if names else names
    if not names:
        return NONE
    reading = _Reading(names)
    reading.block(body, NONE)
    return names - reading.unsure


def _both(one: State, other: State) -> State:
    """What is bound on either way."""
    return other if one is None else one if other is None else one & other


class _Reading:
    """Goes through one scope as it runs; ``unsure`` are the names that were read where they may hold nothing."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.unsure: set[str] = set()
        self._broken: list[State] = []
        """For each loop around, what is bound where it is left by ``break``."""

    def _with(self, state: State, names: Iterable[str]) -> State:
        return None if state is None else state | (self._names & frozenset(names))

    def block(self, body: Sequence[ast.stmt], state: State) -> State:
        """What is bound at the end of a block."""
        for node in body:
            state = self._statement(node, state)
        return state

    def _statement(self, node: ast.stmt, state: State) -> State:  # noqa: C901, PLR0911, PLR0912 - a case each
        match node:
            case ast.If(test=test, body=body, orelse=orelse):
                true, false = self._condition(test, state)
                return _both(self.block(body, true), self.block(orelse, false))
            case ast.While(test=test, body=body, orelse=orelse):
                true, false = self._condition(test, state)
                return self._loop(body, orelse, true, false)
            case ast.For(target=target, iter=source, body=body, orelse=orelse):
                state = self._value(source, state)
                return self._loop(body, orelse, self._with(state, bound(target)), state)
            case ast.Try():
                return self._try(node, state)
            case ast.Match():
                return self._match(node, state)
            case ast.With(items=items, body=body):
                for each in items:
                    state = self._with(self._value(each.context_expr, state), bound(each))
                self.block(body, state)
                return state  # it may end a failure
            case ast.Assert(test=test, msg=message):
                true, false = self._condition(test, state)
                if message is not None:
                    self._value(message, false)
                return true
            case ast.Return() | ast.Raise():
                self._all(children(node), state)
                return None
            case ast.Break() | ast.Continue():
                if isinstance(node, ast.Break):
                    self._broken[-1] = _both(self._broken[-1], state)
                return None
            case ast.Assign(targets=targets, value=value):
                state = self._value(value, state)
                return self._with(self._all(targets, state), bound(*targets))
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                self._read(name, state)
                return self._value(value, state)
            case ast.AnnAssign(target=target, value=value):
                return state if value is None else self._with(self._value(value, state), bound(target))
        return self._with(self._all(children(node), state), bound(node))

    def _loop(self, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt], turn: State, over: State) -> State:
        self._broken.append(None)
        self.block(body, turn)
        broken = self._broken.pop()
        return _both(self.block(orelse, over), broken)

    def _try(self, node: ast.Try, state: State) -> State:
        end = self.block(node.orelse, self.block(node.body, state))
        for handler in node.handlers:
            begun = state if handler.type is None else self._value(handler.type, state)
            end = _both(end, self.block(handler.body, begun))
        last = self.block(node.finalbody, state)
        return None if end is None or last is None else end | last

    def _match(self, node: ast.Match, state: State) -> State:
        state = self._value(node.subject, state)
        end = state
        for case in node.cases:
            begun = self._with(state, bound(case.pattern))
            if case.guard is not None:
                begun, _ = self._condition(case.guard, begun)
            left = self.block(case.body, begun)
            end = _both(end, left)
        return end

    def _all(self, nodes: Iterable[ast.AST], state: State) -> State:
        return reduce(lambda before, each: self._value(each, before), nodes, state)

    def _read(self, name: str, state: State) -> None:
        if state is not None and name in self._names and name not in state:
            self.unsure.add(name)

    def _value(self, node: ast.AST, state: State) -> State:  # noqa: PLR0911 - a case each
        """What is bound when an expression has been evaluated."""
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                self._read(name, state)
                return state
            case ast.Constant():
                return state
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                return self._with(self._value(value, state), (name,))
            case ast.BoolOp() | ast.IfExp() | ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return _both(*self._condition(node, state))
            case ast.Dict(keys=keys, values=values):
                pairs = [each for pair in zip(keys, values, strict=True) for each in pair if each is not None]
                return self._all(pairs, state)
        if isinstance(node, COMPREHENSIONS):
            return self._comprehension(node, state)
        return self._all([] if isinstance(node, SCOPES) else children(node), state)

    def _condition(self, node: ast.expr, state: State) -> tuple[State, State]:
        """What is bound where a condition holds, and where it does not."""
        match node:
            case ast.Constant(value=value):
                return (state, None) if value else (None, state)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                true, false = self._condition(operand, state)
                return false, true
            case ast.BoolOp(op=op, values=[first, *others]):
                true, false = self._condition(first, state)
                for each in others:
                    if isinstance(op, ast.And):
                        true, left = self._condition(each, true)
                        false = _both(false, left)
                    else:
                        left, false = self._condition(each, false)
                        true = _both(true, left)
                return true, false
            case ast.IfExp(test=test, body=body, orelse=orelse):
                true, false = self._condition(test, state)
                (one, not_one), (other, not_other) = self._condition(body, true), self._condition(orelse, false)
                return _both(one, other), _both(not_one, not_other)
            case ast.Compare(left=left, comparators=[first, *others]):
                state = self._all((left, first), state)
                return self._all(others, state), state
        state = self._value(node, state)
        return state, state

    def _comprehension(self, node: ast.AST, state: State) -> State:
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        after = inner = self._value(generators[0].iter, state)
        for position, each in enumerate(generators):
            inner = self._value(each.iter, inner) if position else inner
            drawn = (name.id for name in ast.walk(each.target) if isinstance(name, ast.Name))
            inner = self._with(inner, drawn)
            for test in each.ifs:
                inner, _ = self._condition(test, inner)
        self._all([each for each in children(node) if not isinstance(each, ast.comprehension)], inner)
        return after
