"""What the nodes of the connected Ray have, and what a replica asks of them.

A node has a device if it was started with a custom resource of the device's name, or of its type (``ray start
--resources='{"h100": 8}'``). Where none is so labelled, GPUs are Ray's own ``GPU``, and a device called ``cpu`` is any
node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import Diagnostic, RunError
from orchestrator.runtime.deploy import errors
from orchestrator.runtime.deploy.layout import GIB, EngineGroup, Layout

GPU: Final = "GPU"
MEMORY: Final = "memory"
ANY: Final = "cpu"
"""A device of this name is what every node has."""
Bundle = Mapping[str, float]
"""What one replica reserves on one node, by Ray's names; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is alive."""

    address: str
    resources: Mapping[str, float]
    """All that it has, whoever uses it."""


def alive() -> list[Node]:
    """The nodes of the connected Ray."""
    import ray

    return [Node(str(each["NodeManagerAddress"]), dict(each["Resources"])) for each in ray.nodes() if each["Alive"]]


def free() -> dict[str, float]:
    """What nobody has reserved, all nodes together."""
    import ray

    return dict(ray.available_resources())


def bundles(layout: Layout, nodes: Sequence[Node]) -> dict[str, Bundle]:
    """What a replica of each group reserves; raises ``RunError`` ORCH-R122 and R123 with all that is missing."""
    found: dict[str, Bundle] = {}
    problems: list[Diagnostic] = []
    needed: dict[str, float] = {}
    for group in layout.groups:
        label = _label(group, nodes)
        if label is None:
            problems += _lacks(group, f"no node has `{group.reserved.device}`").diagnostics
            continue
        found[group.name] = _bundle(group, label)
        if label:
            needed[label] = needed.get(label, 0.0) + group.replicas * group.reserved.count
            problems += _problems(group, label, nodes)
    problems += _too_few(needed, nodes) if not problems else []
    if problems:
        raise RunError.collect(problems)
    return found


def shown(bundle: Bundle) -> str:
    """A reservation in words: ``2 x h100, 2 x GPU``."""
    parts = [f"{amount / GIB:.3g} GiB" if name == MEMORY else f"{amount:g} x {name}" for name, amount in bundle.items()]
    return ", ".join(parts) or "nothing"


def _label(group: EngineGroup, nodes: Sequence[Node]) -> str | None:
    """The resource by which nodes with the group's device are known; empty: any node; None: there is none."""
    reserved = group.reserved
    if reserved.device is None:
        return ""
    known = {name for node in nodes for name in node.resources}
    for name in (reserved.device, reserved.device_type):
        if name in known:
            return name
    if reserved.gpus and GPU in known:
        return GPU
    return "" if group.device_kind == "cpu" and reserved.device == ANY else None


def _bundle(group: EngineGroup, label: str) -> Bundle:
    reserved = group.reserved
    made = {label: float(reserved.count)} if label else {}
    made |= {GPU: float(reserved.gpus)} if reserved.gpus else {}
    return made | ({MEMORY: float(reserved.memory_bytes)} if reserved.memory_bytes else {})


def _problems(group: EngineGroup, label: str, nodes: Sequence[Node]) -> list[Diagnostic]:
    """What is wrong with every node that could have a replica of the group."""
    reserved, found = group.reserved, list[Diagnostic]()
    having = [node for node in nodes if node.resources.get(label)]
    for node in having:
        if reserved.gpus and node.resources.get(GPU, 0.0) < node.resources[label]:
            says, has = f"{node.resources[label]:g} x {label}", f"{node.resources.get(GPU, 0.0):g} GPUs"
            found += errors.says_too_much(node.address, says, has).diagnostics
    most = max(node.resources[label] for node in having)
    if most < reserved.count:
        found += _lacks(group, f"the node with most of them has {most:g}").diagnostics
    roomy = max(node.resources.get(MEMORY, 0.0) for node in having)
    if roomy < reserved.memory_bytes:
        found += _lacks(group, f"no node with it has more than {roomy / GIB:.3g} GiB of memory").diagnostics
    return found


def _lacks(group: EngineGroup, has: str) -> RunError:
    reserved = group.reserved
    wanted = shown(_bundle(group, reserved.device or ""))
    what = f"a replica of `{group.engine.name}` takes {wanted} on one node"
    return errors.lacks_device(what, has, reserved.device or "", reserved.count)


def _too_few(needed: Mapping[str, float], nodes: Sequence[Node]) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    for label, count in needed.items():
        have = sum(node.resources.get(label, 0.0) for node in nodes)
        if have < count:
            what, has = f"the plan takes {count:g} x {label} in all", f"its nodes have {have:g}"
            found += errors.lacks_device(what, has, label, int(count - have)).diagnostics
    return found
