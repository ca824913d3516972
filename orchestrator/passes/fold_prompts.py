"""Fold prompts: move text that is known at compile time out of holes and into the template."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from orchestrator.ir.walk import Node, attr, bodies, type_string
from orchestrator.passes.rewrite import before, defining, editing, sweep


@dataclass(frozen=True)
class FoldPrompts:
    """Fold constant strings and integers, and prompts used once or without holes, into the prompts that use them.

    Before::

        %c = "agent.const"() {value = "\\"SQL\\""}
        %p = "agent.prompt"(%c, %q) {parts = ["Write ", " for ", ""]}

    After::

        %p = "agent.prompt"(%q) {parts = ["Write SQL for ", ""]}

    The text that the model sees is the same; the static prefix is longer.
    """

    name: ClassVar[str] = "fold-prompts"

    def run(self, root: Node) -> None:
        """Rewrite the workflow in place."""
        with editing(root):
            producers: dict[Any, Node] = {}
            uses: Counter[Any] = Counter()
            every = list(bodies(root))
            for body in every:
                for node in body.nodes:
                    producers.update((value, node) for value in node.op.results)
                    uses.update(node.op.operands)
                if body.terminator is not None:
                    uses.update(body.terminator.operands)
            for body in every:
                for node in body.nodes:
                    if node.name == "agent.prompt":
                        _fold(node, producers, uses)
            sweep(root.bodies[0])


def _fold(node: Node, producers: dict[Any, Node], uses: Counter[Any]) -> None:
    """Rebuild one prompt; those it uses come before it and are folded already."""
    op = node.op
    first, *rest = attr(op, "parts")
    parts, holes = [first], []
    for value, part in zip(op.operands, rest, strict=True):
        inner_parts, inner_holes = _inlined(value, producers, uses)
        parts[-1] += inner_parts[0]
        parts += inner_parts[1:]
        parts[-1] += part
        holes += inner_holes
    if holes == list(op.operands):
        return
    attributes = {name: value for name, value in op.attributes.items() if name != "parts"}
    folded = before(op, "agent.prompt", holes, [op.results[0].type], {**attributes, "parts": parts})
    op.results[0].replace_all_uses_with(folded.results[0])
    old = op.results[0]
    producers[folded.results[0]] = node
    uses[folded.results[0]] = uses[old]
    op.erase()
    node.op = folded


def _inlined(value: Any, producers: dict[Any, Node], uses: Counter[Any]) -> tuple[list[str], list[Any]]:
    """The parts and holes that a hole stands for; two empty parts around it if it stays."""
    constant = defining(producers, value, "agent.const")
    if constant is not None and type_string(value) in ("str", "int"):
        content = json.loads(attr(constant.op, "value"))
        return [content if isinstance(content, str) else str(content)], []
    prompt = defining(producers, value, "agent.prompt")
    if prompt is not None and (uses[value] == 1 or not len(prompt.op.operands)):
        return attr(prompt.op, "parts"), list(prompt.op.operands)
    return ["", ""], [value]
