"""What would change if the cluster were another one: ``device=h100-sxm,count=4,rate=2.5,price=1.9``.

===========  ====================================================================================
``device``   the devices under the engines are of this type (a file of ``planner/devices``, or one of
             the cluster's own devices by its name); the price is the catalogue's, or unknown
``count``    how many of them there are
``price``    USD per hour of one of them
``rate``     runs that arrive per second
===========  ====================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, count
from typing import Final

from orchestrator.errors import PlanError, UsageError
from orchestrator.planner.catalogue import catalogue, load
from orchestrator.planner.cluster import Cluster, Device
from orchestrator.planner.siting import unsited

CODE: Final = "ORCH-U022"
KEYS: Final = ("device", "count", "rate", "price")


@dataclass(frozen=True, slots=True)
class Change:
    """One scenario; ``None`` leaves a figure as it is."""

    text: str
    """It is the text as it was written."""
    device: str | None = None
    count: int | None = None
    rate_per_s: float | None = None
    price_usd_per_hour: float | None = None


def parse(text: str) -> Change:
    """Read a scenario. Raises :class:`UsageError` ORCH-U022 that says what is valid."""
    given: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (each.strip() for each in part.partition("="))
        if key not in KEYS or not equals:
            near = get_close_matches(key, KEYS, n=1)
            fix = f"did you mean `{near[0]}=`?" if near and equals else "write KEY=VALUE, joined by commas"
            raise UsageError(
                CODE,
                f"--what-if {text!r}: `{part.strip()}` is not a change",
                why=f"keys are {', '.join(KEYS)}",
                fix=fix,
            )
        if key in given:
            raise UsageError(
                CODE, f"--what-if {text!r}: `{key}` is there twice", fix="give each change its own --what-if"
            )
        given[key] = value
    many = _number(text, given, "count")
    if many is not None and many != int(many):
        raise UsageError(CODE, f"--what-if {text!r}: count={given['count']} is not a whole number", fix="write count=4")
    return Change(
        text,
        given.get("device"),
        int(many) if many is not None else None,
        _number(text, given, "rate"),
        _number(text, given, "price"),
    )


def changed_cluster(cluster: Cluster, change: Change) -> Cluster:
    """The cluster with the devices under its engines changed.

    A GPU does not take the place of a CPU, which runs the tools as well: it is added, and the engines move there. Where
    the planner chooses the devices, a named one becomes the only GPU on offer.
    Raises :class:`UsageError` ORCH-U022 for a device nobody knows, and where no engine has a device to change.
    """
    if (change.device, change.count, change.price_usd_per_hour) == (None, None, None):
        return cluster
    under = {engine.device for engine in cluster.engines if engine.device is not None}
    offered = [device for device in cluster.devices if device.kind == "gpu"]
    if not under and offered and unsited(cluster):
        return _offered(cluster, offered, change)
    if not under:
        raise UsageError(
            CODE,
            f"--what-if {change.text!r}: no engine of the cluster runs on a device that could be another one",
            fix="name a model with --model, or engines on devices in a cluster file with --cluster",
        )
    devices: dict[str, Device] = {}
    moved: dict[str, str] = {}
    for device in cluster.devices:
        found = _changed(device, change, cluster) if device.name in under else device
        if found.kind != device.kind:
            devices[device.name] = device
            taken = {*devices, *(other.name for other in cluster.devices)}
            names = chain([found.type], (f"{found.type}-{number}" for number in count(2)))
            name = next(each for each in names if each not in taken)
            moved[device.name], found = name, found.model_copy(update={"name": name})
        devices[found.name] = found
    engines = [
        each.model_copy(update={"device": moved.get(each.device or "", each.device)}) for each in cluster.engines
    ]
    return cluster.model_copy(update={"devices": tuple(devices.values()), "engines": tuple(engines)})


def _offered(cluster: Cluster, offered: Sequence[Device], change: Change) -> Cluster:
    if change.device is None:
        gpus = [_changed(device, change, cluster) for device in offered]
    else:
        named = next((each for each in offered if change.device in (each.name, each.type)), offered[0])
        gpus = [_changed(named, change, cluster).model_copy(update={"name": change.device})]
    rest = [device for device in cluster.devices if device.kind != "gpu"]
    return cluster.model_copy(update={"devices": (*rest, *gpus)})


def _changed(device: Device, change: Change, cluster: Cluster) -> Device:
    found = _of_type(device, change, cluster) if change.device is not None else device
    figures: dict[str, object] = {}
    if change.count is not None:
        figures["count"] = change.count
    if change.price_usd_per_hour is not None:
        figures["usd_per_hour"] = change.price_usd_per_hour
        figures["sources"] = {**found.sources, "usd_per_hour": "--what-if"}
    return found.model_copy(update=figures)


def _of_type(device: Device, change: Change, cluster: Cluster) -> Device:
    assert change.device is not None
    own = next((each for each in cluster.devices if each.name == change.device), None)
    if own is not None:
        return own.model_copy(update={"name": device.name, "count": device.count})
    if change.device not in catalogue():
        known = [*(each.name for each in cluster.devices), *catalogue()]
        near = get_close_matches(change.device, known, n=1)
        raise UsageError(
            CODE,
            f"--what-if {change.text!r}: there is no device {change.device!r}",
            why=f"devices are {', '.join(dict.fromkeys(known))}",
            fix=f"did you mean `device={near[0]}`?" if near else "name one of them",
        )
    try:
        return load(change.device).device(device.name, count=device.count, cores=device.cores, memory_bytes=None)
    except PlanError as incomplete:
        raise UsageError(
            CODE,
            f"--what-if {change.text!r}: {incomplete.message}",
            why=incomplete.diagnostics[0].why,
            fix="describe it in a cluster file and compare with `orch explain --diff`",
        ) from incomplete


def _number(text: str, given: dict[str, str], key: str) -> float | None:
    if key not in given:
        return None
    try:
        number = float(given[key])
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(CODE, f"--what-if {text!r}: {key}={given[key]} is not a number above 0", fix=f"write {key}=2")
    return number
