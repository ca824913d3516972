"""Python's expressions as calls of operators, which take Python's own path on concrete operands.

``a and b``, ``x if c else y`` and comprehensions delay what Python would not evaluate; a lambda does that::

    reply.strip() or "none"       →     orch.or_(orch.method(reply, "strip")(), lambda: "none")
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from orchestrator.dsl.rewrite.popping import binds, is_pop
from orchestrator.dsl.rewrite.scopes import NONE, Names, own_nodes, parameters, place_inside, read

N = TypeVar("N", bound=ast.AST)

_COMPARISONS: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip


class Expressions(ast.NodeTransformer):
    """Rewrites expressions. ``operators`` is the name that the operators have in the rewritten code."""

    def __init__(self, operators: str, taken: Names, foreign: Names, made_up: set[str]) -> None:
        self.operators = operators
        self.made_up = made_up
        """Names that have been made up, in functions within too."""
        self.taken = set(taken)
        self._made_of: dict[str, int] = {}
        """How many names have been made of one that was wanted."""
        self.foreign = foreign
        """Names of functions that are not the user's."""
        self.changeable: Names = NONE
        """Names whose object may be replaced by a changed one."""
        self.is_lambda = False
        """Whether what is rewritten is in a lambda of the user's, in which nothing can be assigned."""

    # Making nodes

    def name(self, wanted: str) -> str:
        """A name that nothing else has."""
        name = wanted
        while name in self.taken:
            self._made_of[wanted] = number = self._made_of.get(wanted, 1) + 1
            name = f"{wanted.removesuffix('_')}_{number}"
        self.taken.add(name)
        self.made_up.add(name)
        return name

    def at(self, node: N, like: ast.AST) -> N:
        """``node`` where ``like`` is, and whatever in it is nowhere."""
        ast.copy_location(node, like)
        place_inside(node, like)
        return node

    def call(self, operator: str, like: ast.AST, *args: ast.expr, **named: ast.expr) -> ast.expr:
        """``orch.operator(...)``, at the first line of ``like``: Python has a method called where its name ends."""
        function = ast.Attribute(ast.Name(self.operators, ast.Load()), operator, ast.Load())
        line, column = like.lineno, like.col_offset  # type: ignore[attr-defined]
        self.at(function, ast.Pass(lineno=line, col_offset=column, end_lineno=line, end_col_offset=column))
        return self.at(ast.Call(function, list(args), [ast.keyword(*each) for each in named.items()]), like)

    def named_in(self, *_: ast.expr) -> dict[str, ast.expr]:
        """The names that delayed expressions bind, as a keyword argument; a lambda's are nobody else's."""
        return {}

    def delayed(self, node: ast.expr) -> ast.expr:
        """``lambda: node``."""
        if binds(node):
            return self.call("refused", node, ast.Constant("`:=` in what may not be evaluated, in a lambda,"))
        return self.at(ast.Lambda(_arguments(()), self.visit(node)), node)

    def unpacked(self, value: ast.expr, target: ast.expr) -> ast.expr:
        """``value`` as what may be assigned to a target of several names."""
        if not isinstance(target, (ast.Tuple, ast.List)):
            return value
        starred = [position for position, each in enumerate(target.elts) if isinstance(each, ast.Starred)]
        star = ast.Constant(starred[0] if starred else None)
        made = self.call("unpacked", target, value, ast.Constant(len(target.elts)), star)
        target.elts = [each.value if isinstance(each, ast.Starred) else each for each in target.elts]
        if not any(isinstance(each, (ast.Tuple, ast.List)) for each in target.elts):
            return made
        names = [self.name("part_") for _ in target.elts]
        parts = [self.unpacked(ast.Name(name, ast.Load()), each) for name, each in zip(names, target.elts, strict=True)]
        arguments = ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
        taking = ast.Lambda(arguments, ast.Tuple(parts, ast.Load()))
        return self.at(ast.Call(taking, [ast.Starred(made, ast.Load())], []), target)

    def _key(self, key: ast.expr) -> ast.expr:
        """What is in the brackets, slices as objects."""
        if isinstance(key, ast.Slice):
            bounds = [
                ast.Constant(None) if each is None else self.visit(each) for each in (key.lower, key.upper, key.step)
            ]
            return self.call("slice", key, *bounds)
        if isinstance(key, ast.Tuple) and any(isinstance(each, ast.Slice) for each in key.elts):
            return self.at(ast.Tuple([self._key(each) for each in key.elts], ast.Load()), key)
        made: ast.expr = self.visit(key)
        return made

    # Truth

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        operator = "and_" if isinstance(node.op, ast.And) else "or_"
        first, *others = node.values
        return self.call(operator, node, self.visit(first), *map(self.delayed, others), **self.named_in(*others))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return self.call("not_", node, operand)
        return self.at(ast.UnaryOp(node.op, operand), node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        arms = node.body, node.orelse
        return self.call("choose", node, self.visit(node.test), *map(self.delayed, arms), **self.named_in(*arms))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        left = self.visit(node.left)
        if len(node.ops) == 1:
            sign = ast.Constant(_COMPARISONS[type(node.ops[0])])
            return self.call("compare", node, left, sign, self.visit(node.comparators[0]))
        pairs: list[ast.expr] = []
        for op, each in zip(node.ops, node.comparators, strict=True):
            pairs += [ast.Constant(_COMPARISONS[type(op)]), self.delayed(each)]
        return self.call("chain", node, left, *pairs, **self.named_in(*node.comparators[1:]))

    # Items, methods and builtin functions

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        return self.call("binary", node, ast.Constant(type(node.op).__name__), left, right)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if not isinstance(node.ctx, ast.Load):
            return self.at(ast.Subscript(self.visit(node.value), self._key(node.slice), node.ctx), node)
        return self.call("item", node, self.visit(node.value), self._key(node.slice))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Of a name with ``_`` a placeholder would give what is its own; the name of a class is asked for by two."""
        name = node.attr
        if not isinstance(node.ctx, ast.Load) or not name.startswith("_") or _is_mangled(name):
            return self.at(ast.Attribute(self.visit(node.value), name, node.ctx), node)
        match node:
            case ast.Attribute(
                value=ast.Call(func=ast.Name(id="type") as of, args=[value], keywords=[]), attr="__name__"
            ):
                return self.call("class_name", node, self.visit(value), of)
            case ast.Attribute(value=ast.Attribute(value=value, attr="__class__"), attr="__name__"):
                return self.call("class_name", node, self.visit(value))
        return self.call("own_attribute", node, self.visit(node.value), ast.Constant(name))

    def _argument(self, node: ast.expr) -> ast.expr:
        if not isinstance(node, ast.Starred):
            return self.visit(node)  # type: ignore[no-any-return]
        return self.at(ast.Starred(self.call("spread", node, self.visit(node.value)), ast.Load()), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        match node:
            case ast.Call(
                func=ast.Name(id="any" | "all" | "next"), args=[ast.GeneratorExp() as of, *more], keywords=[]
            ):
                default = ast.Tuple([self.visit(each) for each in more], ast.Load())
                return self._comprehension(of, "searched", of.elt, node.func, default)
        match node.func:
            case ast.Attribute(value=ast.Name(id=name)) if is_pop(node) and name in self.changeable:
                return self._popped(name, node)
        args = [self._argument(each) for each in node.args]
        keywords = [ast.keyword(each.arg, self.visit(each.value)) for each in node.keywords]
        match node.func:
            case ast.Name(id="super") if not node.args:
                return node
            case ast.Name(id="map" | "filter") if not keywords and not any(map(_is_starred, args)):
                return self.call("drawn_by", node, ast.Constant(getattr(node, "use", "once")), node.func, *args)
            case ast.Name(id=name) if name in self.foreign:
                function = self.call("function", node.func, node.func)
            case ast.Attribute(value=inner, attr=attr):
                function = self.call("method", node.func, self.visit(inner), ast.Constant(attr))
            case ast.Name() | ast.Lambda():
                function = self.visit(node.func)
            case _:
                function = self.call("function", node.func, self.visit(node.func))
        return self.at(ast.Call(function, args, keywords), node)

    def _popped(self, name: str, node: ast.Call) -> ast.expr:
        """``name.pop(...)``: the name is given what is left in the same expression."""
        pair = self.name("popped_")
        args = ast.Tuple([self.visit(each) for each in node.args], ast.Load())
        made = self.call("popped", node, ast.Constant(name), ast.Name(name, ast.Load()), args)
        parts: list[ast.expr] = [
            ast.NamedExpr(ast.Name(pair, ast.Store()), made),
            ast.NamedExpr(ast.Name(name, ast.Store()), _at_position(ast.Name(pair, ast.Load()), 1)),
            _at_position(ast.Name(pair, ast.Load()), 0),
        ]
        return self.at(_at_position(ast.Tuple(parts, ast.Load()), 2), node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        value = self.visit(node.value)
        if node.conversion == -1 and node.format_spec is None and isinstance(node.value, (ast.Constant, ast.JoinedStr)):
            return self.at(ast.FormattedValue(value, -1, None), node)
        spec = ast.Constant("") if node.format_spec is None else self.visit(node.format_spec)
        made = self.call("formatted", node, value, ast.Constant(node.conversion), spec)
        return self.at(ast.FormattedValue(made, -1, None), node)

    def visit_Await(self, node: ast.Await) -> ast.expr:
        return self.call("awaited", node, self.visit(node.value))

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        if any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in own_nodes(node.body)):
            return node
        self.visit_defaults(node.args)
        outer, self.changeable, around, self.is_lambda = self.changeable, NONE, self.is_lambda, True
        made = ast.Lambda(node.args, self.visit(node.body))
        self.changeable, self.is_lambda = outer, around
        return self.at(made, node)

    def visit_defaults(self, arguments: ast.arguments) -> None:
        """Rewrite the defaults of a function, which are made where it is defined."""
        arguments.defaults = [self.visit(each) for each in arguments.defaults]
        arguments.kw_defaults = [None if each is None else self.visit(each) for each in arguments.kw_defaults]

    # Displays

    def visit_List(self, node: ast.List) -> ast.expr:
        return self._display(node, "list")

    def visit_Tuple(self, node: ast.Tuple) -> ast.expr:
        return self._display(node, "tuple")

    def visit_Set(self, node: ast.Set) -> ast.expr:
        return self._display(node, "set")

    def visit_Dict(self, node: ast.Dict) -> ast.expr:
        if all(map(_is_constant, node.keys)):
            return self.generic_visit(node)  # type: ignore[return-value]
        parts: list[ast.expr] = []
        for key, value in zip(node.keys, node.values, strict=True):
            part = [self.visit(value)] if key is None else [self.visit(key), self.visit(value)]
            parts.append(ast.Tuple(part, ast.Load()))
        return self.call("mapping", node, *parts)

    def _display(self, node: Any, kind: str) -> ast.expr:
        """A display; one with ``*xs`` in it is put together of parts, as ``xs`` may be symbolic, and so is a set."""
        is_plain = all(map(_is_constant, node.elts)) if kind == "set" else not any(map(_is_starred, node.elts))
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or is_plain:
            return self.generic_visit(node)  # type: ignore[return-value]
        parts: list[ast.expr] = []
        for each in node.elts:
            if isinstance(each, ast.Starred):
                parts.append(self.visit(each.value))
            else:
                parts.append(ast.List([self.visit(each)], ast.Load()))
        return self.call("displayed", node, ast.Constant(kind), *parts)

    # Comprehensions

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self._comprehension(node, "list_of", node.elt)

    def visit_SetComp(self, node: ast.SetComp) -> ast.expr:
        return self._comprehension(node, "set_of", node.elt)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return self._comprehension(node, "drawn", node.elt, ast.Constant(getattr(node, "use", "once")))

    def visit_DictComp(self, node: ast.DictComp) -> ast.expr:
        return self._comprehension(node, "dict_of", ast.Tuple([node.key, node.value], ast.Load()))

    def _comprehension(self, node: Any, operator: str, elt: ast.expr, *given: ast.expr) -> ast.expr:
        inner = [each for generator in node.generators for each in generator.ifs]
        named = self.named_in(elt, *inner)
        if any(map(binds, (elt, *inner))) and (not named or operator in ("drawn", "searched")):
            if operator != "drawn" or getattr(node, "use", "once") != "whole" or not named:
                return self.call("refused", node, ast.Constant("`:=` in a generator expression or a lambda"))
            operator, given = "list_of", ()
        if any(generator.is_async for generator in node.generators):
            return self.call("refused", node, ast.Constant("async for"))
        drawn = {each.id for one in node.generators for each in ast.walk(one.target) if isinstance(each, ast.Name)}
        if isinstance(elt, ast.Lambda) and read(elt.body) & drawn - {*parameters(elt)}:
            what = "a function that a comprehension makes of its items, and that would find the last one in Python,"
            return self.call("refused", node, ast.Constant(what))
        generators: Sequence[ast.comprehension] = node.generators
        outer = generators[0].iter
        return self.call(operator, node, *given, self.visit(outer), *self._turns(generators, elt), **named)

    def _turns(self, generators: Sequence[ast.comprehension], elt: ast.expr) -> list[ast.expr]:
        """For each ``for``: what is tested of an item, and what it gives: a member, or a further source and its own."""
        (first, *rest) = generators
        test = ast.Constant(None) if not first.ifs else self._taking(first.target, _all(first.ifs))
        if not rest:
            return [test, self._taking(first.target, elt)]
        return [test, ast.Constant(None), self._taking_with(first.target, rest, elt)]

    def _taking(self, target: ast.expr, body: ast.expr) -> ast.expr:
        """A function of one item that gives ``body``."""
        return self._of_item(target, self.function_of(drawn_names(target), body), body)

    def _taking_with(self, target: ast.expr, rest: Sequence[ast.comprehension], elt: ast.expr) -> ast.expr:
        """A function of one item that gives the next source and what is done with its items."""
        inner = [elt, *(test for each in rest for test in each.ifs)]
        made = self.function_making(
            drawn_names(target), lambda: [self.visit(rest[0].iter), *self._turns(rest, elt)], inner, rest[0].iter
        )
        return self._of_item(target, made, rest[0].iter)

    def function_of(self, params: Sequence[str], body: ast.expr) -> ast.expr:
        """A function that gives an expression."""
        return self.at(ast.Lambda(_arguments(params), self.visit(body)), body)

    def function_making(
        self, params: Sequence[str], parts: Callable[[], list[ast.expr]], inner: Sequence[ast.expr], like: ast.AST
    ) -> ast.expr:
        """A function that gives several expressions, in which there are ``inner`` ones."""
        assert inner
        return self.at(ast.Lambda(_arguments(params), ast.Tuple(parts(), ast.Load())), like)

    def _of_item(self, target: ast.expr, called: ast.expr, like: ast.AST) -> ast.expr:
        """A function of one item, of one of the names in the target."""
        if isinstance(target, ast.Name):
            return called
        item = self.name("item_")
        flat = self._flattened(target, ast.Name(item, ast.Load()))
        made = ast.Call(called, flat, [])
        arguments = ast.arguments([], [ast.arg(item)], None, [], [], None, [])
        return self.at(ast.Lambda(arguments, made), like)

    def _flattened(self, target: ast.expr, value: ast.expr) -> list[ast.expr]:
        """The parts of ``value`` that go to the names in ``target``, from left to right."""
        if isinstance(target, ast.Name):
            return [value]
        if not isinstance(target, (ast.Tuple, ast.List)):
            return [self.call("refused", target, ast.Constant("such a target"))]
        parts: list[ast.expr] = []
        for position, each in enumerate(target.elts):
            taken = self.call("part", target, value, ast.Constant(position), ast.Constant(len(target.elts)))
            if isinstance(each, ast.Starred):
                return [self.call("refused", target, ast.Constant("a starred name in a comprehension"))]
            parts += self._flattened(each, taken)
        return parts


def _all(tests: Sequence[ast.expr]) -> ast.expr:
    return tests[0] if len(tests) == 1 else ast.copy_location(ast.BoolOp(ast.And(), list(tests)), tests[0])


def _at_position(value: ast.expr, position: int) -> ast.expr:
    return ast.Subscript(value, ast.Constant(position), ast.Load())


def _is_starred(node: ast.expr) -> bool:
    return isinstance(node, ast.Starred)


def _is_constant(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant)


def _is_mangled(name: str) -> bool:
    """Whether Python writes the name of a class before it."""
    return name.startswith("__") and not name.endswith("__")


def drawn_names(target: ast.expr) -> list[str]:
    """The names that an item of a comprehension is given."""
    return [each.id for each in ast.walk(target) if isinstance(each, ast.Name)]


def _arguments(names: Sequence[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(each) for each in names], None, [], [], None, [])
