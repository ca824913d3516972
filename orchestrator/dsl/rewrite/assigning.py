"""Assignments and changes of what names hold: the name is given what holds after them (:mod:`.changing`).

``d[k].append(x)``, ``d[a][b] = x`` and ``d.setdefault(k, []).append(x)`` change an item of a name in the same way::

    d[k].append(x)        →        d = orch.changed_item("d", d, k, orch.item(d, k), "append", (x,), {})
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from orchestrator.dsl.rewrite.expressions import Expressions
from orchestrator.dsl.rewrite.popping import binds
from orchestrator.dsl.types.kinds import MUTATORS


class _Item(NamedTuple):
    """An item of a local name, and the statements that must stand before it."""

    name: str
    key: ast.expr
    first: list[ast.stmt]


class Assignments(Expressions):
    """Rewrites the statements that assign to names, items and attributes, or change what they hold."""

    def do(self, operator: str, like: ast.AST, *args: ast.expr, **named: ast.expr) -> ast.stmt:
        """``orch.operator(...)`` as a statement."""
        return self.at(ast.Expr(self.call(operator, like, *args, **named)), like)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | list[ast.stmt]:
        value = self._kept(node)
        if binds(node.value) and not all(isinstance(target, ast.Name) for target in node.targets):
            first = self.name("value_")  # before what is changed is looked up
            stored = [self._stored(target, load(first), node) for target in node.targets]
            return [self.at(assign(first, value), node), *chain.from_iterable(stored)]
        if len(node.targets) == 1:
            return self._stored(node.targets[0], value, node)
        if all(isinstance(target, ast.Name) for target in node.targets):
            return self.at(ast.Assign(node.targets, value), node)
        kept = self.name("value_")
        stored = [self._stored(target, load(kept), node) for target in node.targets]
        return [self.at(assign(kept, value), node), *chain.from_iterable(stored)]

    def _kept(self, node: ast.Assign) -> ast.expr:
        """What is assigned; a lazy value that is not gone through at once is refused where it is symbolic."""
        name: str | None = getattr(node.value, "kept_as", None)
        value: ast.expr = self.visit(node.value)
        return value if name is None else self.call("kept", node, value, ast.Constant(name))

    def _stored(self, target: ast.expr, value: ast.expr, like: ast.AST) -> list[ast.stmt]:
        """The assignment of a value to one target; items and attributes among several names each on its own."""
        if (changed := self._changed(target, value, like)) is not None:
            return changed
        if not isinstance(target, (ast.Tuple, ast.List)) or all(isinstance(each, ast.Name) for each in _leaves(target)):
            return [self.at(ast.Assign([target], self.unpacked(value, target)), like)]
        parts = [self.name("part_") for _ in target.elts]
        named = [_starred(each, name) for each, name in zip(target.elts, parts, strict=True)]
        several = self.at(ast.Tuple(named, ast.Store()), target)
        done: list[ast.stmt] = [self.at(ast.Assign([several], self.unpacked(value, several)), like)]
        for each, name in zip(target.elts, parts, strict=True):
            done += self._stored(each.value if isinstance(each, ast.Starred) else each, load(name), like)
        return done

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | list[ast.stmt]:
        """Without a value it binds nothing, but makes the name local, which :func:`_declared` has done."""
        if node.value is None:
            return self.at(ast.Pass(), node)
        return self.visit_Assign(self.at(ast.Assign([node.target], node.value), node))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt | list[ast.stmt]:
        operator = ast.Constant(type(node.op).__name__)
        first: list[ast.stmt] = []
        match node.target:
            case ast.Name(id=name):
                held = ast.Name(name, ast.Load())
                made = self.call("augmented", node, ast.Constant(name), held, operator, self.visit(node.value))
                return self.at(assign(name, made), node)
            case ast.Subscript(value=ast.Name(id=name), slice=key) if name in self.changeable:
                key = self._once(key, node, first)
                held = ast.Name(name, ast.Load())
                before = self.call("item", node, held, self._key(key))
                made = self.call(
                    "augmented_item", node, ast.Constant(name), held, self._key(key), before, operator,
                    self.visit(node.value),
                )  # fmt: skip
                return [*first, self.at(assign(name, made), node)]
            case ast.Subscript(value=inner, slice=key) if (found := self._item_of(inner, node)) is not None:
                key = self._once(key, node, found.first)
                row = self.call("item", node, ast.Name(found.name, ast.Load()), self._key(found.key))
                before = self.call("item", node, row, self._key(key))
                made = self.call("augmented", node, ast.Constant(None), before, operator, self.visit(node.value))
                return self._with_item_of(node, found, key, made)
            case ast.Subscript(value=inner, slice=key):
                inner, key = self._once(inner, node, first), self._once(key, node, first)
                before = self.call("item", node, inner, self._key(key))
                value = self.visit(node.value)
                return [*first, self.do("augment_item", node, inner, self._key(key), before, operator, value)]
            case ast.Attribute(value=inner, attr=attr):
                inner = self._once(inner, node, first)
                before, value = ast.Attribute(inner, attr, ast.Load()), self.visit(node.value)
                named = ast.Constant(attr)
                return [*first, self.do("augment_attribute", node, inner, named, before, operator, value)]

    def _once(self, each: ast.expr, like: ast.AST, first: list[ast.stmt]) -> ast.expr:
        """An expression that may stand twice; what must stand before it goes to ``first``."""
        if isinstance(each, (ast.Name, ast.Constant)):
            return each
        kept = self.name("value_")
        first.append(self.at(assign(kept, self._key(each)), like))
        return load(kept)

    def _changed(self, target: ast.expr, value: ast.expr, like: ast.AST) -> list[ast.stmt] | None:
        """The assignment of an item or an attribute; None for any other target."""
        match target:
            case ast.Subscript(value=ast.Name(id=name), slice=key) if name in self.changeable:
                held = ast.Name(name, ast.Load())
                made = self.call("with_item", like, ast.Constant(name), held, self._key(key), value)
                return [self.at(assign(name, made), like)]
            case ast.Subscript(value=inner, slice=key):
                if (found := self._item_of(inner, like)) is not None:
                    return self._with_item_of(like, found, key, value)
                return [self.do("set_item", like, self.visit(inner), self._key(key), value)]
            case ast.Attribute(value=inner, attr=attr):
                return [self.do("set_attribute", like, self.visit(inner), ast.Constant(attr), value)]
        return None

    def visit_Delete(self, node: ast.Delete) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for target in node.targets:
            match target:
                case ast.Subscript(value=ast.Name(id=name), slice=key) if name in self.changeable:
                    held = ast.Name(name, ast.Load())
                    made = self.call("without_item", node, ast.Constant(name), held, self._key(key))
                    done.append(self.at(assign(name, made), node))
                case ast.Subscript(value=inner, slice=key):
                    done.append(self.do("delete_item", node, self.visit(inner), self._key(key)))
                case ast.Attribute(value=inner, attr=attr):
                    done.append(self.do("delete_attribute", node, self.visit(inner), ast.Constant(attr)))
                case _:
                    done.append(self.at(ast.Delete([target]), node))
        return done

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | list[ast.stmt]:
        match node.value:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if (
                name in self.changeable and attr in MUTATORS
            ):
                method, held = ast.Constant(attr), ast.Name(name, ast.Load())
                made = self.call("changed", node, ast.Constant(name), held, method, *self._arguments(node.value))
                return self.at(assign(name, made), node)
            case ast.Call(func=ast.Attribute(value=place, attr=attr)) if (
                attr in MUTATORS and (found := self._item_of(place, node)) is not None
            ):
                return [*found.first, self._changed_item(node, found, attr, *self._arguments(node.value))]
        return self.at(ast.Expr(self.visit(node.value)), node)

    def _arguments(self, node: ast.Call) -> tuple[ast.expr, ast.expr]:
        """The arguments of a call as a tuple and a dict."""
        keywords = ast.Dict(
            [None if each.arg is None else ast.Constant(each.arg) for each in node.keywords],
            [self.visit(each.value) for each in node.keywords],
        )
        return ast.Tuple([self.visit(each) for each in node.args], ast.Load()), keywords

    def _item_of(self, place: ast.expr, like: ast.AST) -> _Item | None:
        """``name[key]`` or ``name.setdefault(key, [])`` of a local name; None for anything else."""
        first: list[ast.stmt] = []
        match place:
            case ast.Subscript(value=ast.Name(id=name), slice=key) if name in self.changeable:
                return _Item(name, self._once(key, like, first), first)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="setdefault"), args=[key, default], keywords=[]
            ) if name in self.changeable and _is_made(default):
                key = self._once(key, like, first)
                held = ast.Name(name, ast.Load())
                made = self.call("with_default", like, ast.Constant(name), held, self._key(key), self.visit(default))
                return _Item(name, key, [*first, self.at(assign(name, made), like)])
        return None

    def _changed_item(self, like: ast.AST, item: _Item, method: str, args: ast.expr, kwargs: ast.expr) -> ast.stmt:
        """``name[key].method(...)``."""
        held = ast.Name(item.name, ast.Load())
        before = self.call("item", like, held, self._key(item.key))
        made = self.call(
            "changed_item", like, ast.Constant(item.name), held, self._key(item.key), before, ast.Constant(method),
            args, kwargs,
        )  # fmt: skip
        return self.at(assign(item.name, made), like)

    def _with_item_of(self, like: ast.AST, item: _Item, key: ast.expr, value: ast.expr) -> list[ast.stmt]:
        """``name[...][key] = value``."""
        given = ast.Tuple([self._key(key), value], ast.Load())
        return [*item.first, self._changed_item(like, item, "__setitem__", given, ast.Dict([], []))]


def _is_made(node: ast.expr) -> bool:
    """Whether an expression makes a list, dict or set that nobody else has."""
    match node:
        case ast.List() | ast.Dict() | ast.Set():
            return True
        case ast.Call(func=ast.Name(id="list" | "dict" | "set"), args=[], keywords=[]):
            return True
    return False


def assign(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _leaves(target: ast.expr) -> Iterator[ast.expr]:
    """What is assigned in a target of several names."""
    if isinstance(target, (ast.Tuple, ast.List)):
        for each in target.elts:
            yield from _leaves(each)
    else:
        yield target.value if isinstance(target, ast.Starred) else target


def _starred(like: ast.expr, name: str) -> ast.expr:
    made = ast.Name(name, ast.Store())
    return ast.Starred(made, ast.Store()) if isinstance(like, ast.Starred) else made


def load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())
