"""Decompose: from what the user said to what the hardware does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from orchestrator.ir._mlir import ir
from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.walk import Node, bodies, entries, op_id
from orchestrator.passes.rewrite import before, editing, replace

_CALLS: Final = frozenset({"const", "prompt", "chat", "field", "tool", "retrieve", "ask", "sleep"})
_EFFECTS: Final = {"ask": "once", "sleep": "idempotent"}
"""It has what the others do to the world that do something, and do not say so."""
_OWN: Final = frozenset({"id", "opts", "callee", "params", "effects"})
_BLANK: Final[dict[str, object]] = {"callee": "", "params": [], "place": "", "resources": {}}
_OF_PREFILL: Final = ("static_prefix_chars", "prefix_group")


@dataclass(frozen=True)
class Decompose:
    """Split each model call into prefill and decode, and turn every other leaf op into ``op.call``.

    Before::

        %r, %c = "agent.generate"(%p) {id = "llm_1", model = "m", returns = "str", samples = 1, opts = {seed = 1}}

    After::

        %kv    = "op.prefill"(%p) {id = "llm_1.prefill", model = "m", opts = {}, …}
        %r, %c = "op.decode"(%kv) {id = "llm_1", model = "m", returns = "str", samples = 1, opts = {seed = 1}, …}

    The decode keeps the id, so errors and journals name the user's op. Structured ops stay.
    """

    name: ClassVar[str] = "decompose"

    def run(self, root: Node) -> None:
        """Rewrite the workflow in place."""
        with editing(root):
            lowering = _Lowering()
            for body in bodies(root):
                body.nodes[:] = [made for node in body.nodes for made in lowering.of(node)]


class _Lowering:
    """One run of the pass, with the attributes that ops share."""

    def __init__(self) -> None:
        self._kv = ir.Type.parse("!op.kv")
        self._blank = {name: to_attribute(value) for name, value in _BLANK.items()}
        self._placeless = {name: self._blank[name] for name in ("place", "resources")}
        self._words = {word: to_attribute(word) for word in (*_CALLS, *_EFFECTS.values(), "pure")}

    def of(self, node: Node) -> Sequence[Node]:
        """What an op of level 1 becomes."""
        dialect, _, kind = node.name.partition(".")
        if dialect == "agent" and kind == "generate":
            return self._generate(node.op)
        if dialect == "agent" and kind in _CALLS:
            return [self._call(node.op, kind)]
        return [node]

    def _generate(self, op: Any) -> Sequence[Node]:
        attributes = dict(op.attributes.items())
        given = attributes["opts"]
        of_prefill = {
            "id": f"{op_id(op)}.prefill",
            "model": attributes["model"],
            "opts": ir.DictAttr.get({name: given[name] for name in _OF_PREFILL if name in given}),
            **self._placeless,
        }
        prefill = before(op, "op.prefill", op.operands, [self._kv], of_prefill)
        types = [value.type for value in op.results]
        decode = before(op, "op.decode", prefill.results, types, attributes | self._placeless)
        replace(op, decode.results)
        return Node(prefill, "op.prefill", []), Node(decode, "op.decode", [])

    def _call(self, op: Any, kind: str) -> Node:
        """Attributes that only some kinds have (parts, value, path, returns) move into ``opts``."""
        given = dict(op.attributes.items())
        moved = {key: value for key, value in given.items() if key not in _OWN}
        attributes = {
            "id": given["id"],
            "kind": self._words[kind],
            "callee": given.get("callee", self._blank["callee"]),
            "params": given.get("params", self._blank["params"]),
            "effects": given.get("effects") or self._words[_EFFECTS.get(kind, "pure")],
            "opts": ir.DictAttr.get(entries(given["opts"]) | moved) if moved else given["opts"],
            **self._placeless,
        }
        call = before(op, "op.call", op.operands, [value.type for value in op.results], attributes)
        replace(op, call.results)
        return Node(call, "op.call", [])
