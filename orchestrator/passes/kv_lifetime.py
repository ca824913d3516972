"""KV lifetime: tell the engine which cache comes back, which never will, and which will be needed soon."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from orchestrator.ir.walk import Body, Node, attr, bodies, op_id, opts, tree, type_string
from orchestrator.passes.rewrite import before, editing

DEFAULT_TOOL_S: Final = 2.0
"""Assumed for a tool that does not say how long it takes: at most 2 s pays for itself without knowing the tool
(Continuum, arXiv 2511.02230, uses 1-2 s until it has seen the tool)."""
LONGEST_TTL_S: Final = 30.0
"""No pin outlives this: keeping a cache wrongly costs more than dropping it wrongly."""
LEAST_PREFETCH_CHARS: Final = 128
"""A shorter prefix fills no block of KV cache."""
_WAITS: Final = frozenset(
    {"agent.tool", "agent.retrieve", "agent.ask", "agent.branch", "agent.loop", "agent.map", "agent.race", "agent.arm"}
)


@dataclass(frozen=True)
class KvLifetime:
    """Pin a conversation that is continued after a wait; release one that is over; prefetch what waits for a tool.

    Before::

        %r, %c1 = "agent.generate"(%p, %c0) {id = "llm_1", …}
        %rows   = "agent.tool"(%r) {callee = "run_sql", opts = {typical_s = 0.5}, …}
        %a, %c2 = "agent.generate"(%q, %c1) {id = "llm_2", …}
        %s, %c3 = "agent.generate"(%rows, %d0) {id = "llm_3", opts = {static_prefix_chars = 900}, …}

    After::

        "op.kv_prefetch"(%d0) {id = "llm_3.prefetch"}
        %r, %c1 = "agent.generate"(%p, %c0) {id = "llm_1", …}
        "op.kv_pin"(%c1) {id = "llm_1.pin", ttl_s = 0.5}
        %rows   = "agent.tool"(%r) …
        %a, %c2 = "agent.generate"(%q, %c1) {id = "llm_2", …}
        "op.kv_release"(%c2) {id = "llm_2.release"}
        …

    A conversation is over when nothing uses it and the one it continues has no other use in its region; forks share the
    cache of what they fork, so they, and conversations that leave their region or come from around it, are left to the
    engine's LRU. The TTL is the sum of what the waits in between typically take; of a branch the slower arm, of a loop
    one iteration. A prefix known now (a system prompt, a template's first part) is prefetched before the last wait in
    front of the first call that needs it. Hints never change results.
    """

    name: ClassVar[str] = "kv-lifetime"

    def run(self, module: Any) -> None:
        """Rewrite ``module`` in place."""
        with editing(module):
            every = list(bodies(tree(module)))
            uses: Counter[Any] = Counter()
            for body in every:
                for node in body.nodes:
                    uses.update(node.op.operands)
                if body.terminator is not None:
                    uses.update(body.terminator.operands)
            for body in every:
                _prefetch(body)
                _annotate(body, uses)


def _annotate(body: Body, uses: Counter[Any]) -> None:
    defined: set[Any] = set()
    next_use = _next_uses(body)
    waits = [0.0]
    for node in body.nodes:
        waits.append(waits[-1] + _wait_s(node))
    followers = [*(node.op for node in body.nodes[1:]), body.terminator]
    for index, node in enumerate(body.nodes):
        op = node.op
        is_turn = op.name == "agent.generate" and len(op.operands) == 2
        if is_turn and attr(op, "samples") == 1 and followers[index] is not None:
            after = op.results[1]
            if after in next_use:
                ttl_s = min(waits[next_use[after]] - waits[index + 1], LONGEST_TTL_S)
                if ttl_s > 0.0:
                    _hint(op, "pin", after, followers[index], ttl_s=ttl_s)
            elif not uses[after] and op.operands[1] in defined and uses[op.operands[1]] == 1:
                _hint(op, "release", after, followers[index])
        if op.name == "agent.loop" and followers[index] is not None:
            for state, (start, end) in enumerate(zip(op.operands, op.results, strict=True)):
                if type_string(end) == "Chat" and not uses[end] and start in defined and uses[start] == 1:
                    _hint(op, f"release.{state}", end, followers[index])
        defined.update(op.results)


def _prefetch(body: Body) -> None:
    """Ask for the static prefix of each call that has to wait for something else first."""
    wait: tuple[int, Any] | None = None
    made: dict[Any, tuple[int, Any]] = {}
    warm: set[Any] = set()
    for index, node in enumerate(body.nodes):
        op = node.op
        if op.name == "agent.generate":
            known = opts(op)
            prefix = op.operands[1] if len(op.operands) == 2 else known.get("prefix_group", op_id(op))
            long_enough = known.get("static_prefix_chars", 0) >= LEAST_PREFETCH_CHARS
            if long_enough and wait is not None and prefix not in warm:
                _prefetch_before(*wait, op, made)
            warm.add(prefix)
        if _wait_s(node) > 0.0:
            wait = index, op
        made.update((value, (index, op)) for value in op.results)


def _prefetch_before(position: int, wait: Any, op: Any, made: dict[Any, tuple[int, Any]]) -> None:
    """Hint at the conversation of ``op`` if it is open by then, else at the first part of its prompt."""
    start = op.operands[len(op.operands) - 1]
    opened, source = made.get(start, (-1, None))
    if len(op.operands) == 2:
        if opened < position:
            _hint(op, "prefetch", start, wait)
    elif source is not None and source.name == "agent.prompt":
        given = {"id": f"{op_id(op)}.prefix", "parts": attr(source, "parts")[:1], "opts": {}}
        text = before(op, "agent.prompt", [], [start.type], given, at=wait)
        _hint(op, "prefetch", text.results[0], wait)


def _next_uses(body: Body) -> dict[Any, int]:
    """For each value, the position in the body where it is first used, the terminator counting as the end."""
    first: dict[Any, int] = {}
    for index, node in enumerate(body.nodes):
        users = [node.op]
        for nested in bodies(node):
            users += [inner.op for inner in nested.nodes]
            if nested.terminator is not None:
                users.append(nested.terminator)
        for user in users:
            for value in user.operands:
                first.setdefault(value, index)
    if body.terminator is not None:
        for value in body.terminator.operands:
            first.setdefault(value, len(body.nodes))
    return first


def _wait_s(node: Node) -> float:
    """How long the op typically keeps a conversation waiting; expressions do not."""
    op = node.op
    if op.name not in _WAITS or str(attr(op, "callee", "")).startswith("builtin."):
        return 0.0
    if node.bodies:
        per_body = [sum(map(_wait_s, body.nodes)) for body in node.bodies]
        return max(per_body) if op.name == "agent.branch" else sum(per_body)
    return float(opts(op).get("typical_s", DEFAULT_TOOL_S))


def _hint(op: Any, kind: str, chat: Any, at: Any, **attrs: object) -> None:
    given = {"id": f"{op_id(op)}.{kind}", "opts": {}, "place": "", "resources": {}, **attrs}
    before(op, f"op.kv_{kind.partition('.')[0]}", [chat], [], given, at=at)
