"""Engines by kind, imported only when one is created.

>>> from types import SimpleNamespace
>>> spec = SimpleNamespace(name="dry", kind="sim", model="any", device="", options={"time_scale": 0})
>>> create(spec).simulated
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from orchestrator.planner.datafile import closest
from orchestrator.planner.policies import DEFAULT_POLICY, ORDERS, POLICIES
from orchestrator.redaction import redacted
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import Engine

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from orchestrator.runtime.kv.replicas import ReplicaOptions
    from orchestrator.runtime.ray.session import RaySession

Options = TypeVar("Options", bound="DataclassInstance")

VLLM_ARGUMENTS: Final = frozenset(
    {"block_size", "data_parallel_size", "enable_prefix_caching", "kv_cache_dtype", "max_num_batched_tokens"}
)
"""Arguments of vLLM's own that the planner reads as well."""
PLANNER_OPTIONS: Final = VLLM_ARGUMENTS | {
    "dtype",
    "gpu_memory_utilization",
    "max_model_len",
    "max_num_seqs",
    "tensor_parallel_size",
}
"""Options the planner reads on any engine: what they say of an endpoint's hardware is none of its client's business."""
SHARING: Final = ("policy", "tenants")
"""Options of any kind: who goes where and first, and the shares of tenants."""
BESIDE: Final = frozenset(
    {
        "config",
        "device",
        "kind",
        "model",
        "name",
        "usd_per_million_cached_input_tokens",
        "usd_per_million_input_tokens",
        "usd_per_million_output_tokens",
    }
)
"""What stands beside ``options`` in an ``[[engine]]`` table, and not in it."""


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
    """The engine ``spec`` describes, not started yet; of any kind, ``replicas = 2`` makes a set of two, ``policy``
    names who goes where and first, and ``tenants`` has the shares of those that wait.

    ``ray`` is where a local engine's processes live; without it the engine lives in this process.
    Raises a coded :class:`~orchestrator.errors.EngineError` for an unknown kind, wrong options, or a missing or
    unsupported library: all that can be told without loading a model.
    """
    make = _KINDS.get(spec.kind)
    if make is None:
        raise errors.unknown_kind(spec.kind, _KINDS)
    spec, sharing = _sharing(spec)
    copies = _copies(spec)
    if copies is None and sharing is None:
        return make(spec, ray)
    from orchestrator.runtime.kv.replicas import replicated

    alike: Sequence[Spec] = copies or [spec]
    return replicated(spec.name, [make(each, ray) for each in alike], sharing)


def sharing_of(spec: Spec) -> ReplicaOptions | None:
    """How programs share the replicas of an engine; None: as they do without a word. Raises ORCH-E016."""
    return _sharing(spec)[1]


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
        problems = (_problem(e["type"], e["loc"], e["msg"], known) for e in error.errors())
        raise errors.bad_options(spec.kind, "; ".join(problems)) from None


def check_options(spec: Spec) -> None:
    """Raise what :func:`create` would raise for the options of an engine, without making it."""
    spec, _ = _sharing(spec)
    copies: Sequence[Spec] = _copies(spec) or [spec]
    for each in copies:
        parse_options(_options_of(spec.kind), each if spec.kind != "vllm" else _with_arguments(each))


def _problem(kind: str, loc: Sequence[int | str], message: str, known: Iterable[str]) -> str:
    name = ".".join(map(str, loc))
    if kind != "unexpected_keyword_argument" or len(loc) != 1:
        return f"{name}: {message}"
    if name in BESIDE:
        return f"{name}: it stands beside `options` in the [[engine]] table, not in it"
    return f"{name}: there is no such option; {closest(name, sorted({*known, *SHARING, 'replicas'}))}"


def _options_of(kind: str) -> type[DataclassInstance]:
    match kind:
        case "sim":
            from orchestrator.runtime.engines.sim import SimOptions

            return SimOptions
        case "scripted":
            from orchestrator.runtime.engines.scripted import ScriptedOptions

            return ScriptedOptions
        case "openai":
            from orchestrator.runtime.engines.openai import OpenAIOptions

            return OpenAIOptions
        case "vllm":
            from orchestrator.runtime.engines.vllm.options import VllmOptions

            return VllmOptions
    raise errors.unknown_kind(kind, _KINDS)


def _with_arguments(spec: Spec) -> _Replica:
    """A local engine's specification with vLLM's own arguments where they are passed on."""
    passed = {name: value for name, value in spec.options.items() if name in VLLM_ARGUMENTS}
    rest = {name: value for name, value in spec.options.items() if name not in VLLM_ARGUMENTS}
    extra = rest.get("extra", {})
    if passed and isinstance(extra, Mapping):
        rest["extra"] = {**passed, **extra}
    return _Replica(spec.name, spec.kind, spec.model, rest)


@dataclass(frozen=True, slots=True)
class _Replica:
    """What a cluster file says about one replica of an engine."""

    name: str
    kind: str
    model: str
    options: Mapping[str, object]


def _sharing(spec: Spec) -> tuple[Spec, ReplicaOptions | None]:
    """A specification without what it says about how programs share the engine, and that; None: nothing.

    Raises ORCH-E016 for a policy that there is not, and for shares of tenants that are none.
    """
    options = dict(spec.options)
    said = {name: options.pop(name) for name in SHARING if name in options}
    if not said:
        return spec, None
    from orchestrator.runtime.kv.admission import AdmissionOptions
    from orchestrator.runtime.kv.replicas import ReplicaOptions
    from orchestrator.runtime.kv.routing import RoutingOptions

    policy, weights = said.get("policy", DEFAULT_POLICY), said.get("tenants", {})
    if not isinstance(policy, str) or policy not in POLICIES:
        shown = closest(policy, sorted(POLICIES)) if isinstance(policy, str) else f"one of {', '.join(POLICIES)}"
        raise errors.bad_options(spec.kind, f"policy: {redacted(policy, 'policy')!r} is none; {shown}")
    if not isinstance(weights, Mapping) or not all(map(_is_weight, weights.values())):
        why = f"tenants: {redacted(weights, 'tenants')!r} is no table of positive shares, such as {{ team = 2 }}"
        raise errors.bad_options(spec.kind, why)
    chosen = POLICIES[policy]()
    if spec.kind == "vllm" and "policy" in said:  # its own queue is in the same order
        kv = options.get("kv", True)
        order = next(name for name, each in ORDERS.items() if each is chosen.order)
        options["kv"] = {"order": order, **kv} if isinstance(kv, Mapping) else {"order": order} if kv is True else kv
    sharing = ReplicaOptions(AdmissionOptions(weights=dict(weights)), RoutingOptions(chosen))
    return _Replica(spec.name, spec.kind, spec.model, options), sharing


def _is_weight(share: object) -> bool:
    return isinstance(share, int | float) and not isinstance(share, bool) and 0 < share < inf


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
        raise errors.bad_options(spec.kind, f"endpoints: {redacted(endpoints, 'endpoints')!r} is not a list of URLs")
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

    options = parse_options(VllmOptions, _with_arguments(spec))
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
