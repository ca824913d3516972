"""Inline ops as Python expressions: what each op that only computes becomes in generated code.

An *emitter* takes the name of the object it needs, if it needs one, and the names of its operands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from orchestrator.runtime.program.specs import ToolCall
from orchestrator.runtime.values.at_run_time import adapter, open_conversation, prompt_text

Emitter = Callable[..., str]

_OPERATORS: Final = {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "add": "+", "sub": "-", "mul": "*", "truediv": "/",
    "floordiv": "//", "and": "&", "or": "|", "xor": "^", "lshift": "<<", "rshift": ">>",
}  # fmt: skip


def _operator(sign: str) -> Emitter:
    return lambda left, right: f"{left}{sign}{right}"


_BUILTINS: Final[dict[str, Emitter]] = {
    **{name: _operator(sign) for name, sign in _OPERATORS.items()},
    "is": lambda left, right: f"{left} is {right}",
    "contains": lambda container, item: f"{item} in {container}",
    "neg": lambda value: f"-{value}",
    "not": lambda value: f"not {value}",
    "list": lambda *items: f"[{','.join(items)}]",
    "tuple": lambda *items: f"({''.join(item + ',' for item in items)})",
    "getitem": lambda items, key: f"{items}[{key}]",
}


class Expression(NamedTuple):
    """How to compute an inline op: an emitter, and the object it names."""

    emit: Emitter
    bind: object = None


def called(f: str, *args: str) -> str:
    """``f(a, b)``."""
    return f"{f}({','.join(args)})"


def tool(spec: ToolCall) -> Expression:
    """A call of a function."""
    if spec.names is None:
        return Expression(called, spec.fn)
    names = spec.names
    return Expression(lambda f, *args: called(f, *(f"{n}={a}" for n, a in zip(names, args, strict=True))), spec.fn)


def builtin(callee: str, params: Sequence[str]) -> Expression | None:
    """An operator or a display of Python; None if there is no expression for it, only the function."""
    name = callee.removeprefix("builtin.")
    if name == "dict":
        return Expression(lambda *items: "{" + ",".join(f"{k!r}:{v}" for k, v in zip(params, items, strict=True)) + "}")
    emit = _BUILTINS.get(name)
    return None if emit is None else Expression(emit)


def prompt(parts: Sequence[str]) -> Expression:
    """A template: its parts around the text of its holes."""

    def emit(text: str, *holes: str) -> str:
        pieces = [repr(parts[0])] if parts[0] else []
        for hole, part in zip(holes, parts[1:], strict=True):
            pieces.append(f"{text}({hole})")
            if part:
                pieces.append(repr(part))
        return pieces[0] if len(pieces) == 1 else f"''.join(({''.join(piece + ',' for piece in pieces)}))"

    return Expression(emit, prompt_text)


def field(path: str, opts: Mapping[str, Any]) -> Expression:
    """A projection: an attribute, a position, or a key; of each item with ``each``."""
    if opts.get("keyed"):
        access = f"[{path!r}]"
    elif path.lstrip("-").isdigit():
        access = f"[{int(path)}]"
    else:
        access = f".{path}"
    if opts.get("each"):
        return Expression(lambda value: f"[i{access} for i in {value}]")
    return Expression(lambda value: value + access)


def constant(text: str, tp: Any) -> Expression:
    """A constant from its JSON text. Each use of a mutable one gets its own copy."""
    value = json.loads(text)
    if tp in (str, int, bool, type(None)) and type(value) is tp:
        return Expression(lambda: repr(value))
    validator = adapter(tp)
    return Expression(called, lambda: validator.validate_json(text))


def chat(model: str | None) -> Expression:
    """A conversation without a reply; its operands are the system prompt and the messages that it has."""
    return Expression(lambda f, *begun: f"{f}({','.join([repr(model), *begun])})", open_conversation)
