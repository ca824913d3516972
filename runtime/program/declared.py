"""What a node of the operator graph says of itself, in the words of the program: policies, pauses, where it goes.

Declarations stand in a node's ``opts``; what passes and the planner have decided, in its ``attrs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.runtime.program.specs import NO_POLICY, Limits, Pause, Policy

if TYPE_CHECKING:
    from orchestrator.planner.graph import Node


def given(node: Node, name: str, default: Any) -> Any:
    """What was decided under a name, else what was declared, else ``default``."""
    found = node.attrs.get(name)
    return node.opts.get(name, default) if found is None else found


def engine_of(node: Node) -> str | None:
    """The engine that the plan has chosen for a model call; None where there is no plan."""
    place = str(node.attrs.get("place") or "")
    return place.removeprefix("engine:") if place.startswith("engine:") else None


def pause_of(node: Node, *, is_refined: bool = False) -> Pause:
    """The pause that a pin, an extension or a prefetch is about."""
    ttl_s, typical_s = given(node, "ttl_s", None), given(node, "typical_s", None)
    return Pause(
        tool=str(given(node, "tool", "")),
        ttl_s=None if ttl_s is None else float(ttl_s),
        typical_s=None if typical_s is None else float(typical_s),
        features=tuple(given(node, "features", ())),
        is_shared=bool(given(node, "shared", False)),
        is_refined=is_refined,
    )


def policy_of(node: Node) -> Policy:
    """How often it is tried, how long it may take and what it may spend; ``NO_POLICY`` where nothing is declared."""
    opts = node.opts
    retry, timeout_s, budget = opts.get("retry"), opts.get("timeout_s"), declared_limits(opts)
    if retry is None and timeout_s is None and budget is None:
        return NO_POLICY
    retry = dict(retry or {})
    on = retry.pop("on", None)
    return Policy(**retry, on=None if on is None else tuple(on), timeout_s=timeout_s, budget=budget)


def declared_limits(opts: Mapping[str, Any]) -> Limits | None:
    """The declared budget, if there is one."""
    bounds = [opts.get(f"budget_{unit}") for unit in ("usd", "tokens", "seconds")]
    return None if bounds == [None, None, None] else Limits(*bounds)


def calls_a_model(node: Node) -> bool:
    """Whether it is a model call, or has one inside."""
    return node.kind in ("generate", "decode") or any(calls_a_model(each) for r in node.regions for each in r.nodes)
