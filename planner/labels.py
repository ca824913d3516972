"""What an op is and does, in the user's terms and in a few words."""

from __future__ import annotations

from orchestrator.planner.graph import Node

_OPERATORS = {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "add": "+", "sub": "-", "mul": "*",
    "truediv": "/", "and": "&", "or": "|", "not": "~",
}  # fmt: skip
_PLAIN = {"prompt": "fill the prompt", "chat": "open a conversation", "const": "constant", "ask": "a person answers"}


def kind_of(node: Node) -> str:
    """The op's name without its dialect; of an ``op.call`` what it calls: ``tool``, ``prompt``, ``builtin``, …"""
    if node.kind != "call":
        return node.kind
    return "builtin" if str(node.attrs.get("callee", "")).startswith("builtin.") else str(node.attrs["kind"])


def describe(node: Node) -> str:
    """A short label for the plan's table."""
    if node.kind == "decode":
        return _model_call(node)
    return _call(node) if node.kind == "call" else _structure(node)


def _structure(node: Node) -> str:  # noqa: PLR0911 - a case each
    match node.kind:
        case "loop":
            return f"loop, ≤ {node.attrs['max']} times"
        case "map":
            return f"map, ≤ {node.attrs['limit']} items"
        case "switch":
            return f"switch of {len(node.regions)}"
        case "attempt":
            return "attempt" if len(node.regions) == len(node.attrs["catches"]) + 1 else "attempt, with cleanup"
        case "fail":
            return f"raise {str(node.attrs['kind']).removeprefix('builtins.') or 'it again'}"
        case "race":
            return f"race of {len(node.regions[0].nodes)}"
        case _:
            return node.kind


def _model_call(node: Node) -> str:
    model, samples, returns = (
        node.attrs.get("model", "default"),
        node.attrs.get("samples", 1),
        node.attrs.get("returns"),
    )
    name = "ask model" if model == "default" else f"ask {model}"
    times = f" ×{samples}" if samples != 1 else ""
    shape = f" → {returns}" if returns not in (None, "str") else ""
    return f"{name}{times}{shape}"


def _call(node: Node) -> str:
    kind, callee = str(node.attrs.get("kind", "")), str(node.attrs.get("callee", ""))
    if kind == "sleep":
        return f"sleep {node.opts['seconds']:g} s" if "seconds" in node.opts else "sleep"
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "field":
        return f".{node.opts.get('path', node.attrs.get('path', ''))}"
    if callee.startswith("builtin."):
        name = callee.removeprefix("builtin.")
        return _OPERATORS.get(name, name)
    return f"{callee}()"
