"""How large every value of a workflow will be: tokens when printed into a prompt, and items when it is a list.

Sizes flow forward with the values. What nothing bounds (an input, a tool's result) gets a default from
:mod:`orchestrator.planner.tokens` and is marked as guessed; so is everything computed from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from orchestrator.planner.graph import Node
from orchestrator.planner.interval import ZERO, Interval, bounded, either, total
from orchestrator.planner.tokens import (
    CHAT_TEMPLATE_TOKENS,
    HUMAN_TOKENS,
    PARAMETER_TOKENS,
    PART_TOKENS,
    SCALAR_TOKENS,
    TOOL_TOKENS,
    is_scalar,
    of_type,
    part_of,
    text_tokens,
)

CALLS: Final = Interval(0.0, 1.0, 32.0)
"""What a model wants to call in a turn: mostly one thing."""
_CONTAINERS = frozenset({"builtin.list", "builtin.tuple"})


class Size(NamedTuple):
    """The size of one value."""

    tokens: Interval
    items: Interval | None = None
    """Length of a list; ``None``: unknown or not a list."""
    guessed: bool = False
    has_parts: bool = False
    """Whether it certainly holds an image or a file."""


NOTHING = Size(ZERO)


def parameter(type_string: str) -> Size:
    """An input of the workflow."""
    return Size(of_type(type_string, PARAMETER_TOKENS), guessed=not is_scalar(type_string))


def error() -> Size:
    """What a handler of a failure is given."""
    return Size(of_type("str", TOOL_TOKENS), guessed=True)


def of_call(node: Node, inputs: Sequence[Size]) -> Size:
    """The result of an ``op.call``."""
    kind = node.attrs.get("kind")
    if kind in _OF_KIND:
        return _OF_KIND[kind](node, inputs)
    if str(node.attrs.get("callee", "")).startswith("builtin."):
        return of_builtin(node, inputs)
    return Size(of_type(_returns(node), TOOL_TOKENS), guessed=not is_scalar(_returns(node)))


def of_builtin(node: Node, inputs: Sequence[Size]) -> Size:
    """The result of an operator on symbolic values."""
    found, callee = _of_builtin(node, inputs), node.attrs["callee"]
    if callee == "builtin.part":
        return Size(PART_TOKENS, guessed=True, has_parts=True)
    return found._replace(has_parts=True) if any(each.has_parts for each in inputs) else found


def _of_builtin(node: Node, inputs: Sequence[Size]) -> Size:
    callee, guessed = node.attrs["callee"], any_guessed(inputs)
    if is_scalar(_returns(node)):
        return Size(SCALAR_TOKENS)
    if callee == "builtin.getitem":
        return one_item(inputs[0])
    if callee == "builtin.slice":
        return Size(part_of(inputs[0].tokens), guessed=guessed)
    items = Interval.exact(len(inputs)) if callee in _CONTAINERS else None
    if callee == "builtin.add":
        lengths = [each.items for each in inputs if each.items is not None]
        items = total(lengths) if len(lengths) == len(inputs) else None
    return Size(total(each.tokens for each in inputs), items, guessed)


def constant(node: Node, _inputs: Sequence[Size]) -> Size:
    """A constant, from its JSON."""
    text = str(_detail(node, "value", ""))
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    items = Interval.exact(len(value)) if isinstance(value, list) else None
    if _returns(node) == "Part":
        return Size(PART_TOKENS, guessed=True, has_parts=True)
    if _returns(node) in ("Message", "list[Message]"):
        turns = value if isinstance(value, list) else [value]
        parts = [part for turn in turns for part in turn["parts"] if part["kind"] != "text"]
        texts = text_tokens(sum(len(turn["content"]) for turn in turns))
        return Size(total([texts, *[PART_TOKENS] * len(parts)]), items, bool(parts), bool(parts))
    return Size(text_tokens(len(text)), items)


def template(node: Node, holes: Sequence[Size]) -> Size:
    """A prompt: its static text and what fills the holes."""
    static = text_tokens(sum(len(part) for part in _detail(node, "parts", ())))
    return Size(total([static, *(hole.tokens for hole in holes)]), guessed=any_guessed(holes))


def conversation(_node: Node, system: Sequence[Size]) -> Size:
    """A new chat: its system prompt, if any."""
    tokens = total([CHAT_TEMPLATE_TOKENS, *(each.tokens for each in system)])
    return Size(tokens, guessed=any_guessed(system), has_parts=any(each.has_parts for each in system))


def projection(node: Node, whole: Sequence[Size]) -> Size:
    """``value.path``, or of each item of a list."""
    [of] = whole
    items = of.items if node.opts.get("each") else CALLS if _returns(node) == "list[ToolCall]" else None
    return Size(part_of(of.tokens), items, of.guessed)


def answer(node: Node, _question: Sequence[Size]) -> Size:
    """What a person replies."""
    if node.opts.get("choices"):
        return Size(SCALAR_TOKENS)
    return Size(of_type(_returns(node), HUMAN_TOKENS), guessed=not is_scalar(_returns(node)))


_OF_KIND: Final[dict[str, Callable[[Node, Sequence[Size]], Size]]] = {
    "const": constant,
    "prompt": template,
    "chat": conversation,
    "field": projection,
    "ask": answer,
}


def _returns(node: Node) -> str:
    return node.result_types[0] if node.result_types else "None"


def _detail(node: Node, name: str, default: object) -> Any:
    """An attribute that level 1 has on the op and level 2 among its opts."""
    return node.opts.get(name, node.attrs.get(name, default))


def one_item(of: Size) -> Size:
    """An element of a list."""
    if of.items is not None and of.items.lo > 0:
        tokens = Interval(of.tokens.lo / of.items.hi, of.tokens.mid / of.items.mid, of.tokens.hi / of.items.lo)
        return Size(tokens, guessed=of.guessed)
    return Size(part_of(of.tokens), guessed=of.guessed)


def repeated(item: Size, times: Interval) -> Size:
    """A list of ``times`` such items."""
    return Size(item.tokens * times, times, item.guessed or not times.is_exact)


def one_of(options: Sequence[Size]) -> Size:
    """One of several, unknown which."""
    parts = any(each.has_parts for each in options)
    return Size(either(each.tokens for each in options), guessed=any_guessed(options), has_parts=parts)


def any_guessed(sizes: Sequence[Size]) -> bool:
    return any(each.guessed for each in sizes)


class LoopState(NamedTuple):
    """A loop-carried value: what an average iteration sees, and what is left at the end."""

    inside: Size
    final: Size


def carried(first: Size, second: Size, type_string: str, times: Interval) -> LoopState:
    """A value that was ``first`` before a loop and ``second`` after one of its ``times`` iterations.

    A conversation keeps growing by what one iteration adds. Any other value may grow as much or be replaced each time,
    so only its upper bound grows.
    """
    lo = min(first.tokens.lo, second.tokens.lo)
    mid, hi = first.tokens.mid, max(first.tokens.hi, second.tokens.hi)
    added_mid = max(second.tokens.mid - first.tokens.mid, 0.0)
    added_hi = 0.0 if is_scalar(type_string) else max(second.tokens.hi - first.tokens.hi, 0.0)
    if type_string == "Chat":
        inside_mid, final_mid = mid + added_mid * max(times.mid - 1, 0.0) / 2, mid + added_mid * times.mid
    else:
        inside_mid, final_mid = (mid + second.tokens.mid) / 2, second.tokens.mid
    inside_hi = max(hi, first.tokens.hi + added_hi * max(times.hi - 1, 0.0))
    final_hi = max(hi, first.tokens.hi + added_hi * times.hi)
    guessed, parts = first.guessed or second.guessed, first.has_parts or second.has_parts
    return LoopState(
        Size(bounded(lo, inside_mid, max(inside_hi, inside_mid)), guessed=guessed, has_parts=parts),
        Size(bounded(lo, final_mid, max(final_hi, final_mid)), guessed=guessed, has_parts=parts),
    )
