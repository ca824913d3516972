"""Hoist prefixes: build once what prompts share, and note it, so that a prefix cache is hit on purpose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Final

from orchestrator.ir.tokens import operands
from orchestrator.ir.walk import Body, Node, attr, bodies, is_plain
from orchestrator.passes.rewrite import editing, made_by, note

_HOISTED: Final = frozenset({"agent.const", "agent.prompt", "agent.chat"})


@dataclass(frozen=True)
class HoistPrefixes:
    """Move prompts that do not change out of loops, maps and arms; note each call's static prefix and who shares it.

    Before::

        "agent.map"(%items) ({
        ^bb0(%item):
          %s = "agent.prompt"() {parts = ["Schema: …"]}
          %c = "agent.chat"(%s)
          %r, %d = "agent.generate"(%item, %c) {id = "a", model = "m", opts = {}}

    After::

        %s = "agent.prompt"() {parts = ["Schema: …"]}
        %c = "agent.chat"(%s)
        "agent.map"(%items) ({
        ^bb0(%item):
          %r, %d = "agent.generate"(%item, %c) {id = "a", model = "m", opts = {static_prefix_chars = 9}}

    Constants and prompts of text and numbers, and conversations opened with such, are hoisted: they cost nothing where
    they turn out not to be needed, and cannot fail. What shows a value of any other type stays where it was written:
    the arm around it may be there to decide whether it can be shown. Calls get a common ``prefix_group`` when model,
    conversation, first static part and first hole's value are the same. Text is never moved within a prompt: that would
    change what the model is asked. A call that continues a conversation has that conversation as its prefix, so only
    one that starts from a system prompt has a static one.
    """

    name: ClassVar[str] = "hoist-prefixes"

    def run(self, root: Node) -> None:
        """Rewrite the workflow in place."""
        with editing(root):
            _hoist(root.bodies[0])
            known = made_by(root, ("agent.prompt", "agent.chat"))
            groups: defaultdict[tuple[Any, ...], list[tuple[Any, int]]] = defaultdict(list)
            for body in bodies(root):
                for node in body.nodes:
                    if node.name == "agent.generate":
                        key, static_chars = _prefix(node.op, known)
                        groups[key].append((node.op, static_chars))
            for number, (key, calls) in enumerate(groups.items()):
                group = {"prefix_group": _name(key, number)} if len(calls) > 1 else {}
                for op, static_chars in calls:
                    prefix = {"static_prefix_chars": static_chars} if static_chars else {}
                    if group or prefix:
                        note(op, {**prefix, **group})


def _hoist(body: Body) -> None:
    """Move what is invariant in the regions of ``body`` in front of them, innermost regions first."""
    kept: list[Node] = []
    for node in body.nodes:
        for inner in node.bodies:
            _hoist(inner)
            local = set(inner.arguments)
            stays: list[Node] = []
            for each in inner.nodes:
                if each.name in _HOISTED and local.isdisjoint(each.op.operands) and all(map(is_plain, _shown(each))):
                    each.op.move_before(node.op)
                    kept.append(each)
                else:
                    stays.append(each)
                    local.update(each.op.results)
            inner.nodes[:] = stays
        kept.append(node)
    body.nodes[:] = kept


def _shown(node: Node) -> Sequence[Any]:
    """The values whose text or content it takes to compute an op."""
    return list(node.op.results if node.name == "agent.const" else node.op.operands)


def _prefix(op: Any, known: Mapping[Any, Node]) -> tuple[tuple[Any, ...], int]:
    """What the call's prompt starts with, as a key, and the characters of it that are known now."""
    prompt, *chats = operands(op)
    if chats:
        started = _called(known.get(chats[0]), "agent.chat")
        system = started.operands[0] if started is not None and len(started.operands) else None
        template = _called(known.get(system), "agent.prompt")
        static = attr(template, "parts")[0] if template is not None else ""
        return (attr(op, "model"), chats[0], static), len(static)
    template = _called(known.get(prompt), "agent.prompt")
    if template is None:
        return (attr(op, "model"), prompt, ""), 0
    static = attr(template, "parts")[0]
    lead = template.operands[0] if len(template.operands) else None
    shared = lead if lead is None or not static else None
    return (attr(op, "model"), shared, static), len(static)


def _called(node: Node | None, name: str) -> Any | None:
    """The op, if that is its name."""
    return node.op if node is not None and node.name == name else None


def _name(key: tuple[Any, ...], number: int) -> str:
    """The same in every process; for shared text alone also the same in every workflow."""
    model, shared, static = key
    text = f"{model}\0{'' if shared is None else number}\0{static}"
    return blake2b(text.encode(), digest_size=4).hexdigest()
