"""Who answers the model calls of a session: ``engine=``, ``model=`` or ``cluster=``, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from orchestrator.compiler import this_machine
from orchestrator.dsl.source.location import user_location
from orchestrator.errors import SourceLoc, UsageError
from orchestrator.planner.cluster import Cluster, EngineKind, EngineSpec
from orchestrator.running.engines import Kind, cluster_of_file, engine_of, uncalled_models
from orchestrator.runtime.engines.base import Engine
from orchestrator.runtime.engines.scripted import ScriptedEngine

if TYPE_CHECKING:
    from orchestrator.planner.plan import Plan

MOST_SHOWN: Final = 8
"""Models of an endpoint that an error names."""

EngineLike = str | Engine
"""The URL of an OpenAI-compatible endpoint, a kind (``"sim"``, ``"openai"``, ``"vllm"``), or an engine."""
ClusterLike = str | os.PathLike[str] | Cluster
"""A cluster, or the path of its file."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """The cluster to plan for, and the engines of it that exist already, which their owner closes."""

    cluster: Cluster
    lent: Mapping[str, Engine] = field(default_factory=dict)


def answerer(
    engine: EngineLike | None, model: str | os.PathLike[str] | None, cluster: ClusterLike | None
) -> Answerer:  # fmt: skip
    """Raises ``UsageError`` ORCH-U020 where a model's name is missing, ORCH-U021 for arguments that make no sense."""
    if cluster is not None:
        if engine is not None or model is not None:
            message = "cluster= already says which engines there are, so engine= and model= cannot"
            raise _wrong(message, "change the cluster, or leave cluster= out")
        return Answerer(_with_ray(_cluster(cluster)))
    if isinstance(engine, str) or engine is None:
        return Answerer(_with_ray(_one_engine(engine, None if model is None else os.fspath(model))))
    if not isinstance(engine, Engine):
        raise _wrong(f"engine= got {engine!r}", "give the URL of an endpoint, or an engine")
    if model is not None:
        raise _wrong(f"the engine `{engine.name}` has a model, so model= cannot be given", "leave model= out")
    kind: EngineKind = "scripted" if isinstance(engine, ScriptedEngine) else "sim" if engine.simulated else "openai"
    spec = EngineSpec(name=engine.name, kind=kind, model=engine.model)
    return Answerer(this_machine().model_copy(update={"engines": (spec,)}), {engine.name: engine})


def require_engine(plan: Plan, where: SourceLoc | None) -> None:
    """Raises ``UsageError`` ORCH-U020 when the plan calls a model and nobody would answer."""
    if called := uncalled_models(plan):
        raise UsageError(
            "ORCH-U020",
            f"`{plan.workflow}` calls a model ({', '.join(called[:3])}), and nobody is there to answer",
            where=where,
            fix='give model="./model" (a folder or a Hugging Face id), engine="http://…/v1" with model="its name" for '
            'an endpoint, cluster="cluster.toml", or engine="sim" for a dry run',
        )


def _cluster(given: ClusterLike) -> Cluster:
    if isinstance(given, Cluster):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise _wrong(f"cluster= got {given!r}", "give the path of a cluster file, or a Cluster")
    return cluster_of_file(Path(given))


def _one_engine(engine: str | None, model: str | None) -> Cluster:
    here = this_machine()
    kinds: dict[str, Kind] = {each: each for each in get_args(Kind)}
    url = engine if engine is not None and engine not in kinds else None
    if url is not None:
        _check_url(url)
    kind = kinds.get(engine or "", "openai" if url is not None else "vllm")
    if model is None and engine is None:
        return here
    if model is None and url is not None:
        model = _only_model(url)
    if model is None and kind != "sim":
        fix = 'add model="its name"' if kind == "openai" else 'add model="./model", a folder or a Hugging Face id'
        raise UsageError("ORCH-U020", "no model is named", where=user_location(), fix=fix)
    return here.model_copy(update={"engines": (engine_of(kind, model, here, base_url=url),)})


def _only_model(url: str) -> str:
    from orchestrator.runtime.engines.endpoint.served import served_models

    found = served_models(url)
    if len(found) == 1:
        return found[0]
    some = ", ".join(f"`{each}`" for each in found[:MOST_SHOWN]) + (" …" if len(found) > MOST_SHOWN else "")
    why = f"it serves {some}" if found else "asked what it serves, it did not say"
    message = "an endpoint may serve several models, and none was named"
    fix = f'add model="{found[0]}", or another of them' if found else 'add model="its name"'
    raise UsageError("ORCH-U020", message, where=user_location(), why=why, fix=fix)


def _check_url(url: str) -> None:
    from orchestrator.runtime.engines.endpoint.address import checked_url

    try:
        checked_url(url)
    except ValueError as error:
        fix = 'write it as in engine="http://localhost:8000/v1"; '
        is_name = url.strip() and "://" not in url and "@" not in url
        fix += f'a model is named by model="{url}"' if is_name else "a variable in its place may be unset"
        raise _wrong("engine= is no URL of an endpoint", fix, str(error)) from None


def _with_ray(cluster: Cluster) -> Cluster:
    """A local vLLM lives in Ray, so there is one for tools too."""
    has_vllm = any(each.kind == "vllm" for each in cluster.engines)
    return cluster.model_copy(update={"ray": True}) if has_vllm else cluster


def _wrong(message: str, fix: str, why: str | None = None) -> UsageError:
    return UsageError("ORCH-U021", message, where=user_location(), why=why, fix=fix)
