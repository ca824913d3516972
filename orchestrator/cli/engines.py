"""From the engine options of a command line to a cluster: which model answers, on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UsageError
from orchestrator.running.engines import Kind, cluster_of_file, engine_of, uncalled_models

if TYPE_CHECKING:
    from orchestrator.cli.app import App
    from orchestrator.planner.cluster import Cluster, EngineSpec
    from orchestrator.planner.plan import Plan


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What the user, or else the app, said about who answers."""

    model: str | None = None
    kind: Kind | None = None
    base_url: str | None = None
    cluster_file: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """These are options of the local engine."""
    policy: str | None = None
    """Who goes where and first, at engines of which the file says nothing else."""

    def for_app(self, app: App | None) -> EngineChoice:
        """With the model and the options of an application, where they say who answers and the user does not."""
        if app is None:
            return self
        elsewhere = self.kind == "openai" or self.base_url or self.cluster_file
        return replace(self, model=self.model or (None if elsewhere else app.model), options=app.engine_options)

    def cluster(self) -> Cluster:
        """The hardware here with the chosen engine, or the cluster of the file.

        It has Ray, which a run starts where its plan needs it. Raises ``UsageError`` ORCH-U021 for options that
        contradict each other, ORCH-E016 for a policy that there is not, and what reading the file raises.
        """
        found = self._cluster()
        if self.policy is None:
            return found.model_copy(update={"ray": True})
        from orchestrator.runtime.engines.registry import sharing_of

        asked = {"policy": self.policy}
        engines = tuple(each.model_copy(update={"options": asked | dict(each.options)}) for each in found.engines)
        for each in engines:
            sharing_of(each)
        return found.model_copy(update={"ray": True, "engines": engines})

    def _cluster(self) -> Cluster:
        from orchestrator.planner.machine import detect

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
            return cluster_of_file(self.cluster_file)
        here = detect()
        engine = self._engine(here)
        return here if engine is None else here.model_copy(update={"engines": (engine,)})

    def _engine(self, here: Cluster) -> EngineSpec | None:
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
        return engine_of(kind, self.model, here, base_url=self.base_url, options=self.options)


def require_engine(plan: Plan) -> None:
    """Raises ``UsageError`` ORCH-U020 when the plan calls a model and the cluster has none."""
    if called := uncalled_models(plan):
        raise UsageError(
            "ORCH-U020",
            f"`{plan.workflow}` calls a model ({', '.join(called[:3])}), and none was named",
            fix="add --model with a Hugging Face id or a folder, --base-url URL with --model NAME for an endpoint, "
            "or --engine sim for a dry run",
        )
