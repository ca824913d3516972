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


def lacks_device(what: str, has: str, device: str, count: int) -> RunError:
    return RunError(
        "ORCH-R122",
        f"the Ray cluster lacks devices: {what}",
        why=has,
        fix=f"join nodes that have it (`ray start --address=… --resources='{{\"{device}\": {count}}}'`), "
        "or plan for the cluster that is there",
    )


def says_too_much(node: str, says: str, has: str) -> RunError:
    return RunError(
        "ORCH-R123",
        f"the node {node} has less than it says: it says {says}",
        why=f"it has {has}",
        fix="start Ray there again with what it really has (`--resources`, `--num-gpus`, `--memory`)",
    )


def no_room(engine: str, needs: str, free: str, after_s: float) -> RunError:
    return RunError(
        "ORCH-R124",
        f"there was no room for a replica of `{engine}` within {after_s:g} s",
        why=f"it needs {needs} on one node, and {free}",
        fix="what serves is not stopped for its successor: add a node, scale something down first (`--scale "
        "ENGINE=N`), or take the deployment down (`--down`)",
    )


def not_started(engine: str, why: str, fix: str | None) -> RunError:
    return RunError(
        "ORCH-R125",
        f"a replica of `{engine}` did not start, so nothing was changed and what had been started is stopped again",
        why=why,
        fix=fix or "look at the worker's log on its node, below /tmp/ray/session_latest/logs",
    )


def nothing_runs(name: str | None, known: Sequence[str]) -> RunError:
    """``name`` is None where none was given and there is not exactly one."""
    others = f"there is {', '.join(f'`{each}`' for each in known)}" if known else "this Ray cluster has no deployment"
    return RunError(
        "ORCH-R126",
        "nothing says which deployment is meant" if name is None else f"there is no deployment `{name}`",
        why=others,
        fix="name one with --name, or start it: `orch deploy PLAN --ray-address …`",
    )


def keeper_lost(name: str, why: str) -> RunError:
    return RunError(
        "ORCH-R127",
        f"what keeps the deployment `{name}` stopped in the middle of a change",
        why=why,
        fix="give the same command again: what was begun is finished or taken back",
    )


def no_such_engine(engine: str, known: Sequence[str]) -> RunError:
    return RunError(
        "ORCH-R128",
        f"the deployment has no engine `{engine}`",
        why=f"it has {', '.join(f'`{each}`' for each in known)}",
        fix="name one of these in --scale ENGINE=N",
    )
