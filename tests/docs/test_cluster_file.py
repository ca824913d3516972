"""Every file in docs/cluster-file.md loads, and every option there is stands in it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from orchestrator.planner.catalogue import catalogue
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.cluster_file import _DeviceEntry, read_cluster
from orchestrator.runtime.engines.openai import OpenAIOptions
from orchestrator.runtime.engines.registry import PLANNER_OPTIONS, check_options
from orchestrator.runtime.engines.scripted import ScriptedOptions
from orchestrator.runtime.engines.sim import SimOptions
from orchestrator.runtime.engines.vllm.options import VllmOptions
from orchestrator.runtime.kv.retention_options import RetentionOptions

PAGE = (Path(__file__).parents[2] / "docs" / "cluster-file.md").read_text(encoding="utf-8")
FILES = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
SHOWN = "\n".join(FILES)
OPTIONS = (OpenAIOptions, SimOptions, ScriptedOptions, VllmOptions)


@pytest.mark.parametrize("text", FILES)
def test_a_file_loads_with_options_that_its_engines_take(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")
    for engine in read_cluster(tmp_path / "c.toml").engines:
        check_options(engine)


def test_every_key_of_a_device_and_of_an_engine_is_explained() -> None:
    for name in (*_DeviceEntry.model_fields, *EngineSpec.model_fields):
        assert f"| `{name}` |" in PAGE, name


def test_every_option_is_explained_and_shown() -> None:
    for name in sorted({each.name for kind in OPTIONS for each in fields(kind)} | PLANNER_OPTIONS):
        assert f"`{name}`" in PAGE, name
        assert re.search(rf"\b{name} =", SHOWN), name
    for each in fields(RetentionOptions):
        assert f"`{each.name}`" in PAGE, each.name


def test_every_device_type_is_listed() -> None:
    for name in catalogue():
        assert f"`{name}`" in PAGE, name


def test_the_defaults_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", PAGE.partition('kind = "openai"`: an endpoint')[2], re.M))
    for each in fields(OpenAIOptions):
        if isinstance(each.default, (int, float)) and not isinstance(each.default, bool):
            assert float(rows[each.name]) == each.default, each.name
