"""From a model, an endpoint or a file to a cluster that has them, and how engines are called in front of people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestrator.errors import Diagnostic, EngineError, SourceLoc
from orchestrator.redaction import shown

if TYPE_CHECKING:
    from orchestrator.planner.cluster import Cluster, EngineSpec
    from orchestrator.planner.plan import Plan

Kind = Literal["vllm", "openai", "sim"]
ENGINE = "main"
"""Name of the one engine of a cluster that no file describes."""
SIMULATED: Final = "simulated"
"""The model of a simulator that stands for none."""


def engine_of(
    kind: Kind,
    model: str | None,
    here: Cluster,
    *,
    base_url: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> EngineSpec:
    """The engine for ``model`` on this machine, or behind an endpoint; ``options`` are for a local vLLM.

    Raises ORCH-E004 for a folder without a model.
    """
    from orchestrator.planner.cluster import EngineSpec

    found = dict(options or {}) if kind == "vllm" else {}
    if base_url:
        found = {"base_url": base_url}
    device = None if kind == "openai" else _fastest(here)
    name = _folder(model) if model and kind == "vllm" else model or SIMULATED
    return EngineSpec(name=ENGINE, kind=kind, model=name, device=device, options=found)


def cluster_of_file(file: Path) -> Cluster:
    """The cluster of a file. Raises what reading it raises, and ORCH-E016 with every engine whose options are wrong."""
    from orchestrator.planner.cluster_file import read_cluster
    from orchestrator.planner.datafile import line_of
    from orchestrator.runtime.engines.registry import check_options

    cluster = read_cluster(file)
    problems: list[Diagnostic] = []
    text = file.read_text(encoding="utf-8")
    for index, engine in enumerate(cluster.engines):
        try:
            check_options(engine)
        except EngineError as wrong:
            where = SourceLoc(str(file), line_of(text, "engine", index, "options"))
            problems += [replace(each, where=each.where or where) for each in wrong.diagnostics]
    if problems:
        raise EngineError.collect(problems)
    return cluster


def uncalled_models(plan: Plan) -> list[str]:
    """The model calls of a plan whose cluster has no engine."""
    return [] if plan.cluster.engines else [op.id for op in plan.ops if op.place.startswith("engine:")]


def used_engines(plan: Plan) -> list[EngineSpec]:
    """The engines that the plan uses, in the order of the cluster."""
    names = {op.place.removeprefix("engine:") for op in plan.ops if op.place.startswith("engine:")}
    names |= {each.engine for op in plan.ops for each in op.shares}
    return [spec for spec in plan.cluster.engines if spec.name in names]


def engine_label(spec: EngineSpec) -> str:
    """What runs the model, for people: ``vLLM 0.32.0 (CPU)``."""
    match spec.kind:
        case "vllm":
            from orchestrator.runtime.engines.vllm import version

            return f"vLLM {version.installed() or ''} ({'CPU' if version.on_cpu() else 'GPU'})".replace("  ", " ")
        case "openai":
            urls = spec.option("endpoints") or spec.option("base_url")
            named = map(str, urls if isinstance(urls, list) else [urls] if urls else [])
            return ", ".join(map(shown, named)) or "the OpenAI API"
        case "sim":
            return "simulator (SIMULATED replies)"
        case _:
            return spec.kind


def engines_label(plan: Plan) -> str:
    """:func:`engine_label` of every engine that the plan uses."""
    return ", ".join(dict.fromkeys(map(engine_label, used_engines(plan)))) or "no engine"


def models_label(plan: Plan) -> str:
    """The models that the plan uses, as the user would write them."""
    return ", ".join(dict.fromkeys(short_model(spec.model) for spec in used_engines(plan))) or "no model"


def guessed_models(plan: Plan) -> list[str]:
    """A sentence for each local model of the plan whose config is missing or not understood: it runs all the same."""
    from orchestrator.planner.models import facts_of

    local = [facts_of(spec) for spec in used_engines(plan) if spec.device is not None and spec.model != SIMULATED]
    return [f"{facts.note}; its figures in plans are guesses" for facts in local if facts.note]


def short_model(model: str) -> str:
    """A folder relative to the current one where it is inside; an id as it is."""
    path = Path(model)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else model


def _fastest(here: Cluster) -> str | None:
    """The GPU, where there is one."""
    gpus = [device for device in here.devices if device.kind == "gpu"]
    return (gpus or list(here.devices))[0].name if here.devices else None


def _folder(model: str) -> str:
    """A folder's absolute path, because an engine's process may run elsewhere; an id as it is. Raises ORCH-E004."""
    from orchestrator.runtime.engines.errors import model_not_loadable

    path = Path(model).expanduser()
    try:
        if path.is_dir():
            if not any((path / name).is_file() for name in ("config.json", "params.json")):  # Mistral's own format
                raise model_not_loadable(model, "there is no config.json in that directory")
            return str(path.resolve())
        if path.exists():
            raise model_not_loadable(model, "it is a file, not a directory")
    except OSError as unreadable:  # a name that no file can have, or a folder that may not be read
        raise model_not_loadable(model, (unreadable.strerror or str(unreadable)).lower()) from unreadable
    if model.startswith((".", "/", "~")) or model.endswith("/") or model.count("/") > 1:
        raise model_not_loadable(model, "there is no such directory")
    return model
