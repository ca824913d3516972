"""What follows from declarations and from the types of operands: for calls, projections, maps and constants."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from keyword import iskeyword
from typing import Any, Final

from orchestrator.ir.builtins import BUILTINS, Builtin
from orchestrator.ir.declarations import Declarations, DeclaredTool
from orchestrator.ir.subtypes import Subtypes
from orchestrator.ir.tokens import TOKEN
from orchestrator.ir.typecheck import given, yields
from orchestrator.ir.types import ANY, BOOL, NEVER, Type, union_of
from orchestrator.ir.walk import Node

Violation = tuple[str, str]
"""A code, and what is wrong."""
_COMPARISONS: Final = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "not"})
_PATH: Final = re.compile(r"-?\d+|[^\W\d]\w*")
_POSITIONS: Final = frozenset({"tuple", "list"})
"""Builtins of which the arguments are named by their places."""
_ANY_NAMES: Final = _POSITIONS | {"dict"}
"""Builtins whose arguments are items under any name; those of the others are parameters."""


class Signatures:
    """The checks of one module; ``type_of`` gives the type of a value, or None where that is unknown."""

    def __init__(self, declared: Declarations, types: Subtypes, type_of: Callable[[Any], Type | None]) -> None:
        self._tools = declared.tools
        self._types = types
        self._type_of = type_of
        self._signatures: dict[str, tuple[dict[str, Type], Type]] = {}

    def of(self, node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
        """What is wrong with an op that is complete."""
        kind = attributes["kind"].value if node.name == "op.call" else _KIND_OF.get(node.name)
        check = _OF_KIND.get(kind)
        if check is not None:
            taken, made = self._types_of(node.op.operands), self._types_of(node.op.results)
            yield from check(self, node, attributes, taken, made)

    def _types_of(self, values: Any) -> list[Type]:
        """Types that nobody knows, which are reported elsewhere, fit everywhere; tokens are left out."""
        types = [self._type_of(value.type) or ANY for value in values]
        while types and types[-1].name == TOKEN:
            types.pop()
        return types

    def call(
        self, node: Node, attributes: Mapping[str, Any], operands: list[Type], results: list[Type]
    ) -> Iterator[Violation]:
        """A tool gets what it is declared to take, and gives what it is declared to give."""
        callee, params = attributes["callee"].value, [each.value for each in attributes["params"]]
        if len(set(params)) < len(params):
            twice = next(name for name in params if params.count(name) > 1)
            yield "ORCH-I021", f"the argument `{twice}` is given twice"
            return
        builtin = BUILTINS.get(callee)
        if builtin is not None:
            if attributes["effects"].value != "pure":
                yield "ORCH-I025", f"effects are {attributes['effects'].value!r}, and `{callee}` is pure"
            yield from self._builtin(callee, builtin, params, operands, results[0])
            return
        declared = self._tools.get(callee)
        if declared is None:
            yield "ORCH-I025", f"there is no tool `{callee}` among the declarations"
            return
        yield from _otherwise(attributes, declared)
        wanted, returns = self._signature(declared)
        for param, have in zip(params, operands, strict=False):
            if param not in wanted:
                yield "ORCH-I021", f"`{callee}` has no parameter `{param}`"
            elif not self._types.fits(have, wanted[param]):
                yield "ORCH-I020", f"the argument `{param}` is {have}, and must be {wanted[param]}"
        for param in declared.required:
            if param not in params:
                yield "ORCH-I021", f"`{callee}` is called without `{param}`"
        if not self._types.fits(returns, results[0]):
            yield "ORCH-I020", f"the result is {results[0]}, and `{callee}` gives {returns}"

    def _signature(self, tool: DeclaredTool) -> tuple[dict[str, Type], Type]:
        known = self._signatures.get(tool.name)
        if known is None:
            parsed = self._types.parsed
            params = {name: parsed(text) for name, text in tool.params.items()}
            known = self._signatures[tool.name] = params, parsed(tool.returns)
        return known

    def _builtin(
        self, callee: str, builtin: Builtin, params: list[str], operands: list[Type], result: Type
    ) -> Iterator[Violation]:
        name, fits = callee.removeprefix("builtin."), self._types.fits
        problem = builtin.problem(params) or _misnamed(name, params)
        if problem is not None:
            yield "ORCH-I021", f"`{callee}` {problem}"
            return
        expected: Type | None = None
        if name in _COMPARISONS or (name in ("and", "or") and operands == [BOOL, BOOL]):
            expected = BOOL
        elif name == "tuple":
            expected = Type("tuple", tuple(operands))
        elif name == "list":
            expected = Type("list", (union_of(operands),))
        elif name == "dict":
            values = {key: self._types.item(result, key) for key in params}
            for (key, want), have in zip(values.items(), operands, strict=True):
                if want is None or not fits(have, want):
                    yield "ORCH-I020", f"the entry `{key}` is {have}, and {result} {_has(want)}"
        elif name == "slice" and operands and operands[0].name != "tuple":
            expected = operands[0]
        elif name == "narrow" and operands and not fits(result, operands[0]):
            yield "ORCH-I020", f"the result is {result}, and must be a part of {operands[0]}"
        if expected is not None and not fits(expected, result):
            yield "ORCH-I020", f"the result is {result}, and must be {expected}"

    def field(
        self, node: Node, attributes: Mapping[str, Any], operands: list[Type], results: list[Type]
    ) -> Iterator[Violation]:
        """A projection gives what its operand has there."""
        path, source, opts = given(node, "path"), operands[0], attributes["opts"]
        keyed, each = "keyed" in opts, "each" in opts
        found = self._projected(source, path, keyed=keyed, each=each)
        if found is None or not (keyed or _PATH.fullmatch(path)):
            yield "ORCH-I023", f"{source} has no {'key' if keyed else 'field'} {path!r}{' in each item' * each}"
        elif not self._types.fits(found, results[0]):
            yield "ORCH-I020", f"the result is {results[0]}, and must be {found}"

    def _projected(self, source: Type, path: str, *, keyed: bool, each: bool) -> Type | None:
        if source == ANY:
            return ANY
        if each:
            item = self._types.element(source)
            inner = self._types.fields(item) if item is not None else None
            found = None if inner is None else inner.get(path)
            return None if found is None else Type("list", (found,))
        if keyed:
            return self._types.item(source, path)
        fields = self._types.fields(source)
        if fields is not None and path in fields:
            return fields[path]
        return self._types.item(source, int(path)) if path.lstrip("-").isdecimal() else None

    def map(
        self, node: Node, attributes: Mapping[str, Any], operands: list[Type], results: list[Type]
    ) -> Iterator[Violation]:
        """Each item of the lists is an argument of the region, and each result is a list of what that yields."""
        arguments = [self._type_of(value.type) for value in node.bodies[0].arguments]
        for have, argument in zip(operands, arguments, strict=False):
            item = self._types.element(have)
            if item is None:
                yield "ORCH-I020", f"what it goes through is {have}, and must be a list"
            elif argument is not None and not self._types.fits(ANY if item == NEVER else item, argument):
                yield "ORCH-I020", f"the item inside is {argument}, and must be {item}"
        for made, tp in zip(map(self._type_of, yields(node.bodies[0])), results, strict=False):
            item = self._types.element(tp) if tp.name == "list" else None
            if item is None:
                yield "ORCH-I020", f"a result is {tp}, and must be a list"
            elif made is not None and not self._types.fits(made, item):
                yield "ORCH-I020", f"what the body yields is {made}, and must be {item}"

    def const(
        self, node: Node, attributes: Mapping[str, Any], operands: list[Type], results: list[Type]
    ) -> Iterator[Violation]:
        """A constant is JSON of its type."""
        text = given(node, "value")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield "ORCH-I026", f"the value {text!r} is no JSON"
            return
        if not self._types.holds(results[0], value):
            yield "ORCH-I020", f"the value {text} is no {results[0]}"


def _otherwise(attributes: Mapping[str, Any], declared: DeclaredTool) -> Iterator[Violation]:
    """What a call says of its tool, and the declaration otherwise."""
    opts = attributes["opts"]
    code = opts["code"].value if "code" in opts else declared.code
    for what, here, there in (
        ("effects are", attributes["effects"].value, declared.effects),
        ("code is", code, declared.code),
    ):
        if here != there:
            yield "ORCH-I025", f"{what} {here!r}, and `{declared.name}` declares {there!r}"


def _misnamed(name: str, params: list[str]) -> str | None:
    """What is wrong with arguments that a builtin takes under names of which none is its own."""
    if name in _POSITIONS and params != [str(position) for position in range(len(params))]:
        return f"takes arguments that are numbered in order, and they are {', '.join(params)}"
    if len(set(params)) < len(params):
        return f"takes `{next(name for name, count in Counter(params).items() if count > 1)}` twice"
    unnamed = [param for param in params if not param.isidentifier() or iskeyword(param)]
    return f"has no parameter `{unnamed[0]}`" if unnamed and name not in _ANY_NAMES else None


def _has(want: Type | None) -> str:
    return "has none of that name" if want is None else f"has {want} there"


Check = Callable[[Signatures, Node, Mapping[str, Any], list[Type], list[Type]], Iterator[Violation]]
_OF_KIND: Final[dict[str | None, Check]] = {
    "tool": Signatures.call,
    "retrieve": Signatures.call,
    "field": Signatures.field,
    "map": Signatures.map,
    "const": Signatures.const,
}
_KIND_OF: Final = {f"agent.{kind}": kind for kind in _OF_KIND}
