"""Engines by kind, imported only when one is created.

>>> from types import SimpleNamespace
>>> spec = SimpleNamespace(name="dry", kind="sim", model="any", device="", options={"time_scale": 0})
>>> create(spec).simulated
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import Engine

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from orchestrator.runtime.ray.session import RaySession

Options = TypeVar("Options", bound="DataclassInstance")

PLANNER_OPTIONS = frozenset(
    {
        "config",
        "dtype",
        "max_model_len",
        "tensor_parallel_size",
        "usd_per_million_input_tokens",
        "usd_per_million_output_tokens",
    }
)
"""Options the planner reads on any engine; an engine that has no use for one ignores it."""


class Spec(Protocol):
    """What a cluster file says about one engine (:class:`orchestrator.planner.cluster.EngineSpec` fits)."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def options(self) -> Mapping[str, object]: ...


def create(spec: Spec, ray: RaySession | None = None) -> Engine:
    """The engine ``spec`` describes, not started yet; of any kind, ``replicas = 2`` makes a set of two.

    ``ray`` is where a local engine's processes live; without it the engine lives in this process.
    Raises a coded :class:`~orchestrator.errors.EngineError` for an unknown kind, wrong options, or a missing or
    unsupported library: all that can be told without loading a model.
    """
    make = _KINDS.get(spec.kind)
    if make is None:
        raise errors.unknown_kind(spec.kind, _KINDS)
    copies = _copies(spec)
    if copies is None:
        return make(spec, ray)
    from orchestrator.runtime.kv.replicas import replicated

    return replicated(spec.name, [make(each, ray) for each in copies])


def kinds() -> tuple[str, ...]:
    """The kinds ``create`` knows."""
    return tuple(sorted(_KINDS))


def parse_options(cls: type[Options], spec: Spec) -> Options:
    """``spec.options`` as a validated ``cls``; every wrong or unknown option is named in one error."""
    try:
        known = {each.name for each in fields(cls)}
        options = {name: value for name, value in spec.options.items() if name in known or name not in PLANNER_OPTIONS}
        return TypeAdapter(cls).validate_python(options, extra="forbid")
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise errors.bad_options(spec.kind, "; ".join(problems)) from None


@dataclass(frozen=True, slots=True)
class _Replica:
    """What a cluster file says about one replica of an engine."""

    name: str
    kind: str
    model: str
    options: Mapping[str, object]


def _copies(spec: Spec) -> list[_Replica] | None:
    """A specification for each replica: ``replicas`` alike, or one at each of ``endpoints``; None: there is just one.

    Raises ORCH-E016 for counts and lists that make no sense.
    """
    options = dict(spec.options)
    count, endpoints = options.pop("replicas", None), options.pop("endpoints", None)
    if count is None and endpoints is None:
        return None
    if endpoints is None:
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise errors.bad_options(spec.kind, f"replicas: {count!r} is not a number of replicas")
        return [_Replica(spec.name, spec.kind, spec.model, options)] * count
    if not isinstance(endpoints, list | tuple) or not all(isinstance(each, str) for each in endpoints) or not endpoints:
        raise errors.bad_options(spec.kind, f"endpoints: {endpoints!r} is not a list of URLs")
    if spec.kind != "openai" or "base_url" in options or count not in (None, len(endpoints)):
        why = "endpoints: for engines of kind `openai`, in place of `base_url` and `replicas`"
        raise errors.bad_options(spec.kind, why)
    return [_Replica(spec.name, spec.kind, spec.model, {**options, "base_url": url}) for url in endpoints]


def _sim(spec: Spec, _ray: RaySession | None) -> Engine:
    from orchestrator.runtime.engines.sim import SimEngine, SimOptions

    return SimEngine(spec.name, spec.model, parse_options(SimOptions, spec))


def _scripted(spec: Spec, _ray: RaySession | None) -> Engine:
    from orchestrator.runtime.engines.scripted import ScriptedEngine, ScriptedOptions

    return ScriptedEngine(parse_options(ScriptedOptions, spec).replies, name=spec.name, model=spec.model)


def _openai(spec: Spec, _ray: RaySession | None) -> Engine:
    from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions

    return OpenAIEngine(spec.name, spec.model, parse_options(OpenAIOptions, spec))


def _vllm(spec: Spec, ray: RaySession | None) -> Engine:
    from orchestrator.runtime.engines.vllm.options import VllmOptions

    options = parse_options(VllmOptions, spec)
    if ray is None:
        from orchestrator.runtime.engines.vllm.local import LocalVllm

        return LocalVllm(spec.name, spec.model, options)
    from orchestrator.runtime.engines.vllm.actor import RayVllm

    return RayVllm(spec.name, spec.model, options)


_KINDS: dict[str, Callable[[Spec, RaySession | None], Engine]] = {
    "openai": _openai,
    "scripted": _scripted,
    "sim": _sim,
    "vllm": _vllm,
}
