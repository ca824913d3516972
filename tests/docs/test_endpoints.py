"""docs/endpoints.md names every option, code and figure as they are in the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from orchestrator.planner.cluster_file import read_cluster
from orchestrator.runtime.engines import errors, openai
from orchestrator.runtime.engines.endpoint import pace, probe
from orchestrator.runtime.engines.endpoint.statuses import GATEWAY_TIMEOUTS, PASSING, REFUSED
from orchestrator.runtime.engines.openai import OpenAIOptions
from orchestrator.runtime.engines.registry import create
from orchestrator.runtime.kv.metrics import PREFIX

PAGE = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())
OPTIONS = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE, re.M))
CODES = dict(re.findall(r"^\| (ORCH-E\d+)[^|]*\|.*\| (yes|no) \|$", PAGE, re.M))


def test_every_option_stands_there_with_its_default() -> None:
    assert OPTIONS.keys() == {each.name for each in fields(OpenAIOptions)} | {"endpoints"}
    for each in fields(OpenAIOptions):
        shown = OPTIONS[each.name].strip().strip("`")
        if isinstance(each.default, str | int | float):
            assert shown == f"{each.default:g}" if isinstance(each.default, float) else str(each.default)


def test_the_file_makes_an_engine(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")
    (spec,) = read_cluster(tmp_path / "c.toml").engines
    assert create(spec).model == "gpt-4o-mini"


def test_what_is_retried_is_what_the_page_says() -> None:
    retried = {code for code, word in CODES.items() if word == "yes"}
    assert retried == errors.TRANSIENT - {"ORCH-E013"}  # a local engine's


def test_every_code_of_an_endpoint_stands_there() -> None:
    package = Path(openai.__file__).parent
    text = "".join(path.read_text("utf-8") for path in [*(package / "endpoint").glob("*.py"), package / "openai.py"])
    table = (package / "errors.py").read_text("utf-8")
    made = {
        code
        for name, body in re.findall(r"^def (\w+)\(.*?\n(.*?)(?=^def |\Z)", table, re.M | re.S)
        if re.search(rf"\berrors\.{name}\(", text)
        for code in re.findall(r"ORCH-E\d+", body)
    }
    local = {"ORCH-E015"}  # an engine that was not started
    short = re.sub(r"(?<=, )E(?=\d)", "ORCH-E", PAGE)
    assert made - local <= set(re.findall(r"ORCH-E\d+", short))


def test_the_figures_are_the_codes() -> None:
    assert f"begins at {pace.FIRST:g} and doubles" in FLAT
    assert f"falls to {pace.KEPT} of what was in flight" in FLAT
    assert f"begins at {pace.SHORTEST_WAIT_S} s and doubles up to {pace.LONGEST_WAIT_S:g} s" in FLAT
    assert openai.UNTOLD_ROUNDS == 6
    assert "after six refusals" in FLAT
    assert sorted(REFUSED) == [429, 503, 529]
    assert "(HTTP 429, 503 or 529)" in FLAT
    assert "(408, 409, 425, any other 5xx" in FLAT
    assert sorted(PASSING) == [408, 409, 425]
    assert "its gateway gave up waiting (504, 524)" in FLAT
    assert sorted(GATEWAY_TIMEOUTS) == [504, 524]
    assert f"at most {probe.TIMEOUT_S:g} s" in FLAT
    assert f"`{PREFIX}`" in FLAT
