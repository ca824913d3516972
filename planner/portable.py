"""Plans that are checked in: the paths in them hold on any machine that has the project.

In a file, paths inside the project are relative to the plan's own folder (a model's then starts with ``./`` or ``../``,
which tells it from a name like ``Qwen/Qwen3-8B``) and source locations to the folder the command ran in. Paths outside
the project, and all of a plan that is written outside it, stay as they are.
"""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.plan import Plan

_RELATIVE = ("./", "../")


def portable(plan: Plan, file: Path, project: Path | None = None) -> Plan:
    """The plan as it goes into ``file``; ``project`` is the current folder unless given."""
    inside = (project or Path.cwd()).resolve()
    folder = file.resolve().parent

    def relative(path: str) -> str:
        here = Path(path)
        if not (here.is_absolute() and here.is_relative_to(inside) and folder.is_relative_to(inside)):
            return path
        found = Path(os.path.relpath(path, folder)).as_posix()
        return found if found.startswith("../") else f"./{found}"

    def engine(spec: EngineSpec) -> EngineSpec:
        config = relative(str(inside / spec.config)) if spec.config is not None else None
        return spec.model_copy(update={"model": relative(spec.model), "config": config})

    engines = tuple(map(engine, plan.cluster.engines))
    ops = tuple(op.model_copy(update={"source": op.source.removeprefix(f"{inside}{os.sep}")}) for op in plan.ops)
    return plan.model_copy(update={"cluster": plan.cluster.model_copy(update={"engines": engines}), "ops": ops})


def located(plan: Plan, file: Path) -> Plan:
    """The plan out of ``file`` with the models' paths as this machine has them."""
    folder = file.resolve().parent

    def engine(spec: EngineSpec) -> EngineSpec:
        model = str((folder / spec.model).resolve()) if spec.model.startswith(_RELATIVE) else spec.model
        config = str((folder / spec.config).resolve()) if spec.config is not None else None
        return spec.model_copy(update={"model": model, "config": config})

    engines = tuple(map(engine, plan.cluster.engines))
    return plan.model_copy(update={"cluster": plan.cluster.model_copy(update={"engines": engines})})
