"""Prefetch: have the engine compute a known prefix while a tool still runs.

A prefix known now (a system prompt, a template's first part) is asked for before the last tool in front of the first
call that needs it; calls that start alike need it once. A prefix shorter than a block of KV cache is not worth it.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.ir.tokens import operands
from orchestrator.ir.walk import Body, Node, attr, op_id, opt, opts
from orchestrator.passes.kv.waits import LONGEST_TTL_S, is_declared, key, needs_human, quickest_s, seconds, wait_of
from orchestrator.passes.rewrite import Additions

LEAST_PREFETCH_CHARS: Final = 128
"""A shorter prefix fills no block of KV cache."""


def prefetch(body: Body, hints: Additions) -> None:
    """Add ``op.kv_prefetch`` for the static prefix of each call of a body that has to wait for something else first.

    ``for`` is the call that the prefix belongs to, ``tool`` the key of the wait that it lies before.
    """
    if not any(map(_has_long_prefix, body.nodes)):
        return
    wait: tuple[int, Node] | None = None
    made: dict[Any, tuple[int, Any]] = {}
    warm: set[Any] = set()
    for index, node in enumerate(body.nodes):
        op = node.op
        if node.name == "agent.generate":
            chats = operands(op)[1:]
            prefix = chats[0] if chats else opt(op, "prefix_group") or op_id(op)
            if _has_long_prefix(node) and wait is not None and prefix not in warm:
                made = made or _made_in(body)
                _prefetch_before(*wait, op, made, hints)
            warm.add(prefix)
        elif wait_of(node):
            wait = index, node


def _has_long_prefix(node: Node) -> bool:
    return node.name == "agent.generate" and opt(node.op, "static_prefix_chars", 0) >= LEAST_PREFETCH_CHARS


def _made_in(body: Body) -> dict[Any, tuple[int, Any]]:
    """What gives each value of a body, and where that stands."""
    return {value: (index, node.op) for index, node in enumerate(body.nodes) for value in node.op.results}


def _prefetch_before(position: int, wait: Node, op: Any, made: dict[Any, tuple[int, Any]], hints: Additions) -> None:
    """Hint at the conversation of ``op`` if it is open by then, else at the first part of its (system) prompt."""
    given = operands(op)
    start = given[min(len(given) - 1, 1)]
    opened, source = made.get(start, (-1, None))
    if len(given) > 1:
        if opened < position:
            _hint(op, start, wait, hints)
        elif source.name == "agent.chat":
            text = _first_part(op, made.get(source.operands[0], (-1, None))[1], wait, hints)
            if text is not None:
                attrs = {"id": f"{op_id(op)}.prefix_chat", "opts": opts(source)}
                early = hints.before(op, "agent.chat", [text], [start.type], attrs, at=wait.op)
                _hint(op, early.results[0], wait, hints)
    else:
        text = _first_part(op, source, wait, hints)
        if text is not None:
            _hint(op, text, wait, hints)


def _first_part(op: Any, prompt: Any, wait: Node, hints: Additions) -> Any:
    """What a prompt begins with, made before the wait; None if it is no template."""
    if prompt is None or prompt.name != "agent.prompt":
        return None
    given = {"id": f"{op_id(op)}.prefix", "parts": attr(prompt, "parts")[:1], "opts": {}}
    return hints.before(op, "agent.prompt", [], [prompt.results[0].type], given, at=wait.op).results[0]


def _hint(op: Any, prefix: Any, wait: Node, hints: Additions) -> None:
    behind = wait_of(wait)
    human = needs_human(behind)
    known: dict[str, object] = {"for": op_id(op), "tool": key(behind)}
    if is_declared(behind):
        known["typical_s"] = seconds(behind)
    ttl_s = 0.0 if human or quickest_s(behind) > LONGEST_TTL_S else LONGEST_TTL_S
    given = {"id": f"{op_id(op)}.prefetch", "ttl_s": ttl_s, "opts": known, "place": "", "resources": {}}
    hints.before(op, "op.kv_prefetch", [prefix], [], given, at=wait.op)
