"""From the engine options of a command line to a cluster: which model answers, on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestrator.errors import Diagnostic, EngineError, SourceLoc, UsageError
from orchestrator.redaction import shown

if TYPE_CHECKING:
    from orchestrator.cli.app import App
    from orchestrator.planner.cluster import Cluster, EngineSpec
    from orchestrator.planner.plan import Plan

Kind = Literal["vllm", "openai", "sim"]
ENGINE = "main"
"""Name of the one engine that the command line describes."""
SIMULATED: Final = "simulated"
"""The model of a simulator that stands for none."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What the user, or else the app, said about who answers."""

    model: str | None = None
    kind: Kind | None = None
    base_url: str | None = None
    cluster_file: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """For the local engine."""

    def for_app(self, app: App | None) -> EngineChoice:
        """With the model and the options of an application, where they say who answers and the user does not."""
        if app is None:
            return self
        elsewhere = self.kind == "openai" or self.base_url or self.cluster_file
        return replace(self, model=self.model or (None if elsewhere else app.model), options=app.engine_options)

    def cluster(self) -> Cluster:
        """The hardware here with the chosen engine, or the cluster of the file.

        It has Ray, which a run starts where its plan needs it. Raises ``UsageError`` ORCH-U021 for options that
        contradict each other, and what reading the file raises.
        """
        return self._cluster().model_copy(update={"ray": True})

    def _cluster(self) -> Cluster:
        from orchestrator.planner.cluster import Cluster, detect

        if self.base_url is not None:
            from orchestrator.runtime.engines.endpoint.address import checked_url

            try:
                checked_url(self.base_url)
            except ValueError as error:
                message = "--base-url is no URL of an endpoint"
                fix = "write it as in --base-url http://localhost:8000/v1; a variable in its place may be unset"
                raise UsageError("ORCH-U021", message, why=str(error), fix=fix) from None
        if self.cluster_file is not None:
            if self.kind or self.base_url or self.model:
                message = "--cluster already says which engines there are, so --model, --engine and --base-url cannot"
                raise UsageError("ORCH-U021", message, fix="change the file, or leave --cluster out")
            cluster = Cluster.from_file(self.cluster_file)
            _check_options(cluster, self.cluster_file)
            return cluster
        here = detect()
        engine = self._engine(here)
        return here if engine is None else here.model_copy(update={"engines": (engine,)})

    def _engine(self, here: Cluster) -> EngineSpec | None:
        from orchestrator.planner.cluster import EngineSpec

        kind = self.kind or ("openai" if self.base_url else "vllm")
        if self.base_url and kind != "openai":
            raise UsageError(
                "ORCH-U021", f"--base-url needs --engine openai, not {kind}", fix="leave out --engine, or --base-url"
            )
        if kind == "openai" and not self.model:
            message = "an endpoint may serve several models, and none was named"
            raise UsageError("ORCH-U020", message, fix="add --model NAME, as the endpoint calls it")
        if self.model is None and kind != "sim":
            return None
        options = dict(self.options) if kind == "vllm" else {}
        if self.base_url:
            options = {"base_url": self.base_url}
        device = None if kind == "openai" else _fastest(here)
        model = _folder(self.model) if self.model and kind == "vllm" else self.model or SIMULATED
        return EngineSpec(name=ENGINE, kind=kind, model=model, device=device, options=options)


def _check_options(cluster: Cluster, file: Path) -> None:
    """Raises ``EngineError`` ORCH-E016 with every engine whose options are wrong, before anything is planned."""
    from orchestrator.planner.datafile import line_of
    from orchestrator.runtime.engines.registry import check_options

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


def require_engine(plan: Plan) -> None:
    """Raises ``UsageError`` ORCH-U020 when the plan calls a model and the cluster has none."""
    if plan.cluster.engines or not (called := [op.id for op in plan.ops if op.place.startswith("engine:")]):
        return
    raise UsageError(
        "ORCH-U020",
        f"`{plan.workflow}` calls a model ({', '.join(called[:3])}), and none was named",
        fix="add --model with a Hugging Face id or a folder, --base-url URL with --model NAME for an endpoint, "
        "or --engine sim for a dry run",
    )


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
    return ", ".join(dict.fromkeys(map(engine_label, _used(plan)))) or "no engine"


def models_label(plan: Plan) -> str:
    """The models that the plan uses, as the user would write them."""
    return ", ".join(dict.fromkeys(short_model(spec.model) for spec in _used(plan))) or "no model"


def guessed_models(plan: Plan) -> list[str]:
    """A sentence for each local model of the plan whose config is missing or not understood: it runs all the same."""
    from orchestrator.planner.models import facts_of

    local = [facts_of(spec) for spec in _used(plan) if spec.device is not None and spec.model != SIMULATED]
    return [f"{facts.note}; its figures in plans are guesses" for facts in local if facts.note]


def short_model(model: str) -> str:
    """A folder relative to the current one where it is inside; an id as it is."""
    path = Path(model)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else model


def _used(plan: Plan) -> list[EngineSpec]:
    places = {op.place for op in plan.ops}
    return [spec for spec in plan.cluster.engines if f"engine:{spec.name}" in places]


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
