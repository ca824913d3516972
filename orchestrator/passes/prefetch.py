"""Prefetch: have the engine compute a known prefix while a tool still runs.

A prefix known now (a system prompt, a template's first part) is asked for before the last tool in front of the first
call that needs it; calls that start alike need it once. A prefix shorter than a block of KV cache is not worth it.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.ir.walk import Body, attr, op_id, opts
from orchestrator.passes.rewrite import before
from orchestrator.passes.waits import wait_of

LEAST_PREFETCH_CHARS: Final = 128
"""A shorter prefix fills no block of KV cache."""


def prefetch(body: Body) -> None:
    """Insert ``op.kv_prefetch`` for the static prefix of each call of a body that has to wait for something else first.

    ``for`` is the call that the prefix belongs to.
    """
    wait: tuple[int, Any] | None = None
    made: dict[Any, tuple[int, Any]] = {}
    warm: set[Any] = set()
    for index, node in enumerate(body.nodes):
        op = node.op
        if node.name == "agent.generate":
            known = opts(op)
            prefix = op.operands[1] if len(op.operands) == 2 else known.get("prefix_group", op_id(op))
            long_enough = known.get("static_prefix_chars", 0) >= LEAST_PREFETCH_CHARS
            if long_enough and wait is not None and prefix not in warm:
                _prefetch_before(*wait, op, made)
            warm.add(prefix)
        elif wait_of(node):
            wait = index, op
        made.update((value, (index, op)) for value in op.results)


def _prefetch_before(position: int, wait: Any, op: Any, made: dict[Any, tuple[int, Any]]) -> None:
    """Hint at the conversation of ``op`` if it is open by then, else at the first part of its prompt."""
    start = op.operands[len(op.operands) - 1]
    opened, source = made.get(start, (-1, None))
    if len(op.operands) == 2:
        if opened < position:
            _hint(op, start, wait)
    elif source is not None and source.name == "agent.prompt":
        given = {"id": f"{op_id(op)}.prefix", "parts": attr(source, "parts")[:1], "opts": {}}
        text = before(op, "agent.prompt", [], [start.type], given, at=wait)
        _hint(op, text.results[0], wait)


def _hint(op: Any, prefix: Any, wait: Any) -> None:
    given = {"id": f"{op_id(op)}.prefetch", "opts": {"for": op_id(op)}, "place": "", "resources": {}}
    before(op, "op.kv_prefetch", [prefix], [], given, at=wait)
