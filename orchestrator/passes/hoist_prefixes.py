"""Hoist prefixes: find the prompt text that model calls share, so that a prefix cache is hit on purpose."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.walk import Node, attr, bodies, opts, tree
from orchestrator.passes.rewrite import defining, editing


@dataclass(frozen=True)
class HoistPrefixes:
    """Note each call's static prefix, and group the calls whose prompts start alike.

    Before::

        "agent.generate"(%p1) {id = "a", model = "m", opts = {}}   // %p1 = prompt ["Schema: …", ""]
        "agent.generate"(%p2) {id = "b", model = "m", opts = {}}   // %p2 = prompt ["Schema: …", "!"]

    After, both have ``opts = {prefix_group = "9f0c2a41", static_prefix_chars = 9}``.

    Calls are in one group when model, conversation, first static part and first hole's value are the same. Nothing is
    reordered: moving text within a prompt would change what the model is asked. A call that continues a conversation
    has that conversation as its prefix, so only one that starts from a system prompt has a static one.
    """

    name: ClassVar[str] = "hoist-prefixes"

    def run(self, module: Any) -> None:
        """Rewrite ``module`` in place."""
        with editing(module):
            producers: dict[Any, Node] = {}
            groups: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
            chars: dict[str, int] = {}
            for body in bodies(tree(module)):
                for node in body.nodes:
                    producers.update((value, node) for value in node.op.results)
                    if node.op.name == "agent.generate":
                        key, static = _prefix(node.op, producers)
                        groups[key].append(node.op)
                        chars[attr(node.op, "id")] = static
            for number, (key, calls) in enumerate(groups.items()):
                group = _name(key, number) if len(calls) > 1 else None
                for op in calls:
                    _note(op, chars[attr(op, "id")], group)


def _prefix(op: Any, producers: dict[Any, Node]) -> tuple[tuple[Any, ...], int]:
    """What the call's prompt starts with, as a key, and the characters of it that are known now."""
    prompt = op.operands[0]
    chat = op.operands[1] if len(op.operands) > 1 else None
    if chat is not None:
        started = defining(producers, chat, "agent.chat")
        system = started.op.operands[0] if started is not None and len(started.op.operands) else None
        template = None if system is None else defining(producers, system, "agent.prompt")
        static = attr(template.op, "parts")[0] if template is not None else ""
        return (attr(op, "model"), chat, static), len(static)
    template = defining(producers, prompt, "agent.prompt")
    if template is None:
        return (attr(op, "model"), prompt, ""), 0
    static = attr(template.op, "parts")[0]
    lead = template.op.operands[0] if len(template.op.operands) else None
    shared = lead if lead is None or not static else None
    return (attr(op, "model"), shared, static), len(static)


def _name(key: tuple[Any, ...], number: int) -> str:
    """The same in every process; for shared text alone also the same in every workflow."""
    model, shared, static = key
    text = f"{model}\0{'' if shared is None else number}\0{static}"
    return blake2b(text.encode(), digest_size=4).hexdigest()


def _note(op: Any, static_prefix_chars: int, group: str | None) -> None:
    noted: dict[str, Any] = {**opts(op)}
    if static_prefix_chars:
        noted["static_prefix_chars"] = static_prefix_chars
    if group is not None:
        noted["prefix_group"] = group
    op.attributes["opts"] = to_attribute(noted)
