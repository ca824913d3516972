"""Plans that are checked in hold no path of the machine they were made on."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.plan import Plan
from orchestrator.planner.portable import located, portable
from tests.planner.test_plan import op, small_plan


def with_engine(model: str, config: str | None, source: str = "") -> Plan:
    cluster = Cluster(engines=(EngineSpec(name="main", kind="vllm", model=model, config=config),))
    return small_plan(cluster=cluster, ops=(op("a", source=source),))


@pytest.mark.parametrize("folder", ["", "plans", "plans/deep"])
def test_there_and_back_in_another_place(tmp_path: Path, folder: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    made = with_engine(str(here / "models" / "m"), str(here / "config.json"), str(here / "app.py:7"))
    stored = portable(made, here / folder / "plan.json", here)
    assert str(tmp_path) not in stored.to_json()
    assert stored.ops[0].source == "app.py:7"
    [engine] = located(stored, there / folder / "plan.json").cluster.engines
    assert (engine.model, engine.config) == (str(there / "models" / "m"), str(there / "config.json"))


def test_names_and_paths_outside_stay(tmp_path: Path) -> None:
    made = with_engine("Qwen/Qwen3-8B", "/opt/models/config.json", "/usr/lib/app.py:7")
    stored = portable(made, tmp_path / "plan.json", tmp_path)
    assert stored == made
    assert located(stored, tmp_path / "plan.json") == made


def test_a_plan_outside_its_project_has_no_way_back(tmp_path: Path) -> None:
    made = with_engine(str(tmp_path / "project" / "m"), None)
    assert portable(made, tmp_path / "other" / "p.json", tmp_path / "project") == made


def test_an_engine_without_a_config_stays_without(tmp_path: Path) -> None:
    made = with_engine("m", None)
    assert located(portable(made, tmp_path / "p.json", tmp_path), tmp_path / "p.json") == made
