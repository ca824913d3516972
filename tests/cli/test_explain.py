"""``orch explain``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.learning.store import LearningStore
from orchestrator.planner.plan import Plan
from orchestrator.planner.table import cells
from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.kv.hints import PauseKey
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


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_every_op_has_a_place_a_time_tokens_and_a_cost(
    orch: Orch, folder: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(cells, orch("explain", "flow.py", "--model", str(MODEL)).out.splitlines())) <= columns
    monkeypatch.delenv("COLUMNS")
    ended = orch("explain", "flow.py", "--model", str(MODEL))
    assert ended.code == 0
    table, _, calls = ended.out.partition("model call")
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert "llm_1" in calls
    assert "engine:main" in lines["llm_1"]
    assert "→" in lines["llm_1"]
    assert "thread" in ended.out
    assert "cost unknown" in ended.out
    assert lines["llm_1"].split()[-1] == "flow.py:16"


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
        (["--cluster", "c.toml", "--model", "m"], "ORCH-U021", "--model"),
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


FLOW = """
from orchestrator import chat, tool, workflow

@tool(effects="idempotent")
def look_up(what: str) -> str:
    return what

@workflow
def talk(question: str) -> str:
    reply, talk = chat("Be brief.").say(question, max_tokens=50)
    return talk.say(look_up(reply), max_tokens=50).reply
"""


def test_pins_are_shown_with_what_they_are_worth(orch: Orch, tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(FLOW)
    flow = str(tmp_path / "talk.py")
    ended = orch("explain", flow, "--model", str(MODEL))
    assert ended.code == 0
    row = next(line for line in ended.out.partition("KV kept after")[2].splitlines() if line.startswith("llm_1"))
    assert "look_up" in row
    assert "prior" in row
    with LearningStore(tmp_path / "learned.db") as store:
        model = DurationModel(store)
        for turn in range(20):
            model.began(f"s{turn}", PauseKey("talk", "look_up"), 100.0 * turn)
            model.ended(f"s{turn}", 100.0 * turn + 7.0)
    learned = str(tmp_path / "learned.db")
    ended = orch("explain", flow, "--model", str(MODEL), "--learned", learned, "--json")
    (pin,) = json.loads(ended.out)["pins"]
    assert (pin["op"], pin["tool"], pin["turns_left"]) == ("llm_1", "look_up", 1.0)
    assert (pin["worth"]["median_s"], pin["worth"]["source"], pin["worth"]["count"]) == (7.0, "tool", 20)
    assert 0 < pin["worth"]["hit_probability"] <= 1
    assert 0 < pin["worth"]["saved_s"] <= pin["prefill_s"]
    assert Plan.from_json(ended.out).pins[0].worth is not None


def test_a_learning_store_that_is_none(orch: Orch, tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(FLOW)
    (tmp_path / "learned.db").write_text("no database, but long enough to be read as one" * 100)
    ended = orch("explain", str(tmp_path / "talk.py"), "--model", str(MODEL), "--learned", str(tmp_path / "learned.db"))
    assert ended.code != 0
    assert "ORCH-L00" in ended.err
