"""``orch explain``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.planner.plan import Plan
from tests.cli.conftest import Orch

CLUSTER = """
[[device]]
name = "gpu"
type = "h100-sxm"
usd_per_hour = 2.5

[[engine]]
name = "main"
kind = "vllm"
model = "{model}"
device = "gpu"
"""
MODEL = Path(__file__).parents[2] / "examples" / "text2sql" / "model"


def test_every_op_has_a_place_a_time_tokens_and_a_cost(orch: Orch, folder: Path) -> None:
    ended = orch("explain", "flow.py", "--model", str(MODEL))
    assert ended.code == 0
    table, _, calls = ended.out.partition("model call")
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert "llm_1" in calls
    assert "engine:main" in lines["llm_1"]
    assert "→" in lines["llm_1"]
    assert "thread" in ended.out
    assert "cost unknown" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 100


def test_a_cluster_file_prices_the_plan(orch: Orch, folder: Path) -> None:
    (folder / "cluster.toml").write_text(CLUSTER.format(model=MODEL))
    ended = orch("explain", "flow.py", "--cluster", "cluster.toml", "--json")
    plan = Plan.from_json(ended.out)
    assert plan.by_id["llm_1"].cost_usd is not None
    assert plan.cluster.device("gpu").usd_per_hour == 2.5


def test_json_is_a_plan_that_loads(orch: Orch, folder: Path) -> None:
    text = orch("explain", "flow.py", "--json").out
    assert Plan.from_json(text).workflow == "answer"
    assert json.loads(text) == json.loads(orch("explain", "flow.py", "--format", "json").out)


def test_dot_is_a_graph(orch: Orch, folder: Path) -> None:
    assert orch("explain", "flow.py", "--format", "dot").out.startswith("digraph")


def test_bookkeeping_is_shown_on_request(orch: Orch, folder: Path) -> None:
    assert "prompt_1" not in orch("explain", "flow.py").out
    assert "prompt_1" in orch("explain", "flow.py", "--every-op").out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--cluster", "none.toml"], "ORCH-P001", "none.toml"),
        (["--cluster", "broken.toml"], "ORCH-P00", "broken.toml"),
        (["--base-url", "http://127.0.0.1:1/v1"], "ORCH-U020", "--model"),
        (["--engine", "vllm", "--base-url", "http://x"], "ORCH-U021", "--base-url"),
        (["--cluster", "c.toml", "--engine", "sim"], "ORCH-U021", "--cluster"),
        (["--format", "svg"], "ORCH-U002", "svg"),
        (["--frmat", "dot"], "ORCH-U002", "--format"),
    ],
)
def test_bad_options(orch: Orch, folder: Path, words: list[str], code: str, says: str) -> None:
    (folder / "broken.toml").write_text("[[device]\n")
    ended = orch("explain", "flow.py", *words)
    assert ended.code in (1, 2)
    assert code in ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err
