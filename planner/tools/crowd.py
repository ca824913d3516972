"""Which ops of a region run at the same time, as far as the data flow alone says.

Ops are in *waves*: one that waits for none is in the first, any other in the one after the latest that it waits for.
Tools that compute and share a wave compete for cores, or in threads for the interpreter's lock. Linear in the ops.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from orchestrator.planner.graph import Node, Region

_NO_TIME: Final = frozenset({"prompt", "chat", "const", "field", "sleep"})
_HELD_BACK: Final = frozenset({"async", "inline"})


@dataclass(frozen=True, slots=True)
class Crowd:
    """What runs while an op does, in one execution of its region."""

    computing: int = 1
    """Tools that compute, itself included."""
    others: int = 0
    """Ops that wait for something, such as a model's reply, and go on on the event loop."""


ALONE: Final = Crowd()


def computes(node: Node) -> bool:
    """Whether an op is a tool that may run elsewhere and waits for nothing: its result follows from its arguments."""
    return (
        node.kind == "call"
        and node.attrs.get("kind") in ("tool", "retrieve")
        and node.attrs.get("effects") == "pure"
        and node.attrs.get("place") not in _HELD_BACK
        and not node.opts.get("is_async")
        and not str(node.attrs.get("callee", "")).startswith("builtin.")
    )


def crowds(region: Region) -> dict[str, Crowd]:
    """By id, what runs beside each tool of the region that computes."""
    tools = [node for node in region.nodes if computes(node)]
    if not tools:
        return {}
    ready: dict[int, int] = {}
    wave_of: dict[str, int] = {}
    working: Counter[int] = Counter()
    for node in region.nodes:
        wave = max((ready[value] for value in node.reads if value in ready), default=0)
        takes_time = node.kind != "prefill" and node.attrs.get("kind") not in _NO_TIME
        if takes_time:
            working[wave] += 1
            wave_of[node.id] = wave
        for value in node.results if node.token is None else (*node.results, node.token):
            ready[value] = wave + takes_time
    computing = Counter(wave_of[node.id] for node in tools)
    return {
        node.id: Crowd(computing[wave], working[wave] - computing[wave])
        for node in tools
        for wave in (wave_of[node.id],)
    }
