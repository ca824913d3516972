"""Fold prompts: move text that is known at compile time out of holes and into the template."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from orchestrator.ir.walk import Node, attr, type_string
from orchestrator.passes.rewrite import before, editing, made_by, replace, sweep


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
            known = made_by(root, ("agent.const", "agent.prompt"))
            prompts = [node for node in known.values() if node.name == "agent.prompt"]
            spent: set[int] = set()
            folded = [node for node in prompts if _fold(node, known, spent)]
            if folded:
                sweep(root.bodies[0], spent=spent)


def _fold(node: Node, known: dict[Any, Node], spent: set[int]) -> bool:
    """Rebuild one prompt, if there is text for it; those that it uses come before it and are folded already. What it
    shows in the place of others is ``spent``."""
    op = node.op
    given = list(op.operands)
    inlined = [_inlined(value, known.get(value)) for value in given]
    if not any(inlined):
        return False
    spent.update(id(known[value]) for value, inner in zip(given, inlined, strict=True) if inner is not None)
    first, *rest = attr(op, "parts")
    parts, holes = [first], []
    for value, inner, part in zip(given, inlined, rest, strict=True):
        inner_parts, inner_holes = inner or (["", ""], [value])
        parts[-1] += inner_parts[0]
        parts += inner_parts[1:]
        parts[-1] += part
        holes += inner_holes
    attributes = {name: value for name, value in op.attributes.items() if name != "parts"}
    node.op = before(op, "agent.prompt", holes, [op.results[0].type], {**attributes, "parts": parts})
    known[node.op.results[0]] = node
    replace(op, list(node.op.results))
    return True


def _inlined(value: Any, made_by: Node | None) -> tuple[list[str], list[Any]] | None:
    """The parts and holes that a hole stands for, unless it stays."""
    if made_by is None:
        return None
    if made_by.name == "agent.const":
        if type_string(value) not in ("str", "int"):
            return None
        content = json.loads(attr(made_by.op, "value"))
        return [content if isinstance(content, str) else str(content)], []
    if len(list(islice(value.uses, 2))) == 1 or not len(made_by.op.operands):
        return attr(made_by.op, "parts"), list(made_by.op.operands)
    return None
