"""The coded errors of deployments; nothing is raised here. Those of the engines themselves are in
:mod:`orchestrator.runtime.engines.errors`."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.errors import RunError


def nothing_to_start(workflow: str) -> RunError:
    return RunError(
        "ORCH-R120",
        f"the plan of `{workflow}` has no engine that could be started",
        why="it calls no model, or only models of services that somebody else runs",
        fix="nothing needs to be deployed: `orch run` starts what else there is",
    )


def not_executable(reasons: Sequence[str]) -> RunError:
    return RunError(
        "ORCH-R121",
        f"this deployment is planned, and cannot be started: {'; '.join(reasons)}",
        fix="write configurations for engines that you start yourself (`--emit vllm`), or plan without it",
    )
