"""Decompose: from what the user said to what the hardware does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from orchestrator.ir._mlir import ir
from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.walk import Node, bodies, entries, op_id
from orchestrator.passes.rewrite import before, editing, replace

_CALLS: Final = frozenset({"const", "prompt", "chat", "field", "tool", "retrieve", "ask"})
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
            kv = ir.Type.parse("!op.kv")
            blank = {name: to_attribute(value) for name, value in _BLANK.items()}
            for body in bodies(root):
                for node in body.nodes:
                    dialect, _, kind = node.name.partition(".")
                    if dialect != "agent":
                        continue
                    if kind == "generate":
                        _generate(node.op, kv, blank)
                    elif kind in _CALLS:
                        _call(node.op, kind, blank)


def _generate(op: Any, kv: Any, blank: Mapping[str, Any]) -> None:
    given = op.attributes["opts"]
    prefill_opts = ir.DictAttr.get({name: given[name] for name in _OF_PREFILL if name in given})
    prefill = before(
        op,
        "op.prefill",
        list(op.operands),
        [kv],
        {
            "id": f"{op_id(op)}.prefill",
            "model": op.attributes["model"],
            "opts": prefill_opts,
            **_placeless(blank),
        },
    )
    attributes = dict(op.attributes.items())
    types = [value.type for value in op.results]
    decode = before(op, "op.decode", [prefill.results[0]], types, {**attributes, **_placeless(blank)})
    replace(op, list(decode.results))


def _placeless(blank: Mapping[str, Any]) -> dict[str, Any]:
    return {"place": blank["place"], "resources": blank["resources"]}


def _call(op: Any, kind: str, blank: Mapping[str, Any]) -> None:
    """Attributes that only some kinds have (parts, value, path, returns) move into ``opts``."""
    given = dict(op.attributes.items())
    moved = {key: value for key, value in given.items() if key not in _OWN}
    options = ir.DictAttr.get(entries(given["opts"]) | moved) if moved else given["opts"]
    attributes = {
        "id": given["id"],
        "kind": kind,
        "callee": given.get("callee", blank["callee"]),
        "params": given.get("params", blank["params"]),
        "effects": given.get("effects") or ("once" if kind == "ask" else "pure"),
        "opts": options,
        **_placeless(blank),
    }
    call = before(op, "op.call", list(op.operands), [value.type for value in op.results], attributes)
    replace(op, list(call.results))
