"""``orch run --plan``: what runs is what the plan says, and what the code has changed is planned again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.planner.plan import Plan
from tests.cli.conftest import Orch, forget

FLOW = '''
from orchestrator import llm, tool, workflow

@tool(effects="pure")
def count(text: str) -> int:
    """Characters."""
    return len(text)

@tool(effects="once")
def send(text: str) -> int:
    """Sends it."""
    return len(text)

@workflow
def answer(question: str) -> str:
    draft = llm(f"Q: {question}", model="m", max_tokens=2)
    n = count(draft)
    return llm(f"Better than {draft} of {n}, {send(draft)}?", max_tokens=2)
'''
CLUSTER = """
[[device]]
name = "cpu"
type = "x86"
cores = 4
memory_bytes = 64e9
usd_per_hour = 0.2

[[device]]
name = "gpu"
type = "h100-sxm"
count = 2
usd_per_hour = 2.5

[[engine]]
name = "fast"
kind = "sim"
model = "m"
options = { seed = 1, decode_tokens_per_s = 400.0, prefill_tokens_per_s = 40000.0 }
usd_per_million_input_tokens = 9
usd_per_million_output_tokens = 9

[[engine]]
name = "slow"
kind = "sim"
model = "m"
options = { seed = 1, decode_tokens_per_s = 200.0, prefill_tokens_per_s = 20000.0 }
usd_per_million_input_tokens = 1
usd_per_million_output_tokens = 1
"""


@pytest.fixture
def planned(folder: Path, orch: Orch) -> Path:
    """A folder with ``plan.json``, which is of ``flow.py`` on ``c.toml``."""
    (folder / "flow.py").write_text(FLOW)
    (folder / "c.toml").write_text(CLUSTER)
    assert orch("plan", "flow.py", "--cluster", "c.toml", "--out", "plan.json").code == 0
    return folder


def places(orch: Orch, *words: str) -> dict[str, str]:
    ended = orch("run", "flow.py", "-i", "question=hi", "--ephemeral", "--record", "record.json", *words)
    assert ended.code == 0, ended.err
    record = json.loads(Path("record.json").read_text())
    return {op["id"]: op["place"] for op in record["runs"][0]["ops"] if op["id"] in ("llm_1", "count_1", "llm_2")}


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def rewrite(folder: Path, old: str, new: str) -> None:
    file = folder / "flow.py"
    later_s = file.stat().st_mtime + 2
    assert old in FLOW
    file.write_text(FLOW.replace(old, new))
    os.utime(file, (later_s, later_s))
    forget(folder)


def at(name: str, place: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        (op,) = (each for each in data["ops"] if each["id"] == name)
        op["place"] = place

    return change


def test_the_objective_decides_who_answers(orch: Orch, planned: Path) -> None:
    assert places(orch, "--cluster", "c.toml")["llm_1"] == "engine:fast"
    assert places(orch, "--cluster", "c.toml", "--objective", "cost")["llm_1"] == "engine:slow"


def test_what_runs_is_what_the_plan_says(orch: Orch, planned: Path) -> None:
    edit(planned / "plan.json", at("llm_2", "engine:slow"))
    assert places(orch, "--plan", "plan.json", "--cluster", "c.toml", "--strict") == {
        "llm_1": "engine:fast",
        "count_1": "thread",
        "llm_2": "engine:slow",
    }


def test_only_what_the_code_has_changed_is_planned_again(orch: Orch, planned: Path) -> None:
    for name in ("llm_1", "llm_2"):
        edit(planned / "plan.json", at(name, "engine:slow"))
    rewrite(planned, "Better than", "Worse than")
    ended = orch("run", "flow.py", "-i", "question=hi", "--ephemeral", "--plan", "plan.json", "--json")
    assert "these ops are planned again: changed: `llm_2`" in ended.err
    forget(planned)
    assert places(orch, "--plan", "plan.json") == {
        "llm_1": "engine:slow",
        "count_1": "thread",
        "llm_2": "engine:fast",
    }
    refused = orch(
        "run",
        "flow.py",
        "-i",
        "question=hi",
        "--ephemeral",
        "--strict",
        *("--plan", "plan.json", "--cluster", "c.toml"),
    )
    assert refused.code == 1
    assert "ORCH-P094" in refused.err


def test_an_older_plan_knows_ops_by_their_labels(orch: Orch, planned: Path) -> None:
    def old(data: dict[str, Any]) -> None:
        data["version"] = 2
        for op in data["ops"]:
            del op["meaning"]

    edit(planned / "plan.json", at("llm_2", "engine:slow"))
    edit(planned / "plan.json", old)
    assert places(orch, "--plan", "plan.json", "--cluster", "c.toml", "--strict")["llm_2"] == "engine:slow"


def test_the_named_cluster_lends_what_a_plan_must_not_hold(orch: Orch, planned: Path) -> None:
    edit(planned / "plan.json", set_in("cluster", "engines", 0, "options", "seed", to="***"))
    ended = orch("run", "flow.py", "-i", "question=hi", "--ephemeral", "--plan", "plan.json")
    assert "ORCH-P097" in ended.err
    assert places(orch, "--plan", "plan.json", "--cluster", "c.toml")["llm_1"] == "engine:fast"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--plan", "plan.json", "--sla", "3s"], "ORCH-U002", "--sla is what a plan is made for"),
        (["--plan", "plan.json", "--engine", "sim"], "ORCH-U021", "--plan already says"),
        (["--strict", "--engine", "sim"], "ORCH-U002", "--strict is about a plan"),
        (["--rate", "soon", "--engine", "sim"], "ORCH-U002", "is not a rate"),
        (["--sla", "-1", "--engine", "sim"], "ORCH-U002", "--sla"),
        (["--plan", "absent.json"], "ORCH-P001", "there is no such file"),
        (["--plan", "flow.py"], "ORCH-P002", "not valid JSON"),
    ],
)
def test_bad_options(orch: Orch, planned: Path, words: list[str], code: str, says: str) -> None:
    ended = orch("run", "flow.py", "-i", "question=hi", "--ephemeral", *words)
    assert code in ended.err
    assert says in ended.err


def set_in(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        inner: Any = data
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = to

    return change


SITE = {"engine": "fast", "device": "gpu", "tensor_parallel": 1, "replicas": 1, "batch": None}


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (set_in("workflow", to="other"), "ORCH-P093", "of the workflow `other`"),
        (at("send_1", "ray-task"), "ORCH-P095", "cannot run"),
        (at("count_1", "engine:fast"), "ORCH-P095", "cannot run"),
        (at("llm_1", "thread"), "ORCH-P095", "is no engine"),
        (set_in("cluster", "engines", 0, "model", to="other"), "ORCH-P095", "serves 'other'"),
        (at("llm_1", "engine:nobody"), "ORCH-P005", "not one of the cluster's engines"),
        (set_in("version", to=99), "ORCH-P003", "version 99"),
        (set_in("sla_s", to=float("nan")), "ORCH-P005", "sla_s"),
        (set_in("critical_path", to=["stranger"]), "ORCH-P005", "stranger"),
        (set_in("ops", 0, "shares", to=[{"engine": "fast", "share": 0.5}] * 2), "ORCH-P005", "two shares"),
        (set_in("sites", to=[SITE, SITE]), "ORCH-P005", "twice"),
        (set_in("sites", to=[{**SITE, "engine": "nobody"}]), "ORCH-P005", "has not both"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_in_a_sentence(
    orch: Orch, planned: Path, change: Callable[[dict[str, Any]], None], code: str, says: str
) -> None:
    edit(planned / "plan.json", change)
    ended = orch("run", "flow.py", "-i", "question=hi", "--ephemeral", "--plan", "plan.json")
    assert ended.code != 0
    assert code in ended.err
    assert says in ended.err
    assert "fix:" in ended.err or code == "ORCH-P005"


def test_devices_that_are_not_there_are_named(orch: Orch, planned: Path) -> None:
    def on_gpus(data: dict[str, Any]) -> None:
        data["cluster"]["engines"][0] |= {"kind": "vllm", "device": "gpu", "options": {"tensor_parallel_size": 2}}

    edit(planned / "plan.json", on_gpus)
    (planned / "less.toml").write_text(CLUSTER.replace("count = 2", "count = 1"))
    for words, where in ((["--cluster", "less.toml"], "less.toml lacks"), ([], "this machine lacks")):
        ended = orch("run", "flow.py", "-i", "question=hi", "--ephemeral", "--plan", "plan.json", *words)
        assert "ORCH-P096" in ended.err
        assert where in ended.err
        assert "2 x h100-sxm" in ended.err


def test_strict_refuses_a_plan_for_another_machine(orch: Orch, planned: Path) -> None:
    edit(planned / "plan.json", set_in("cluster", "devices", 0, "cores", to=77))
    ended = orch("run", "flow.py", "-i", "question=hi", "--ephemeral", "--plan", "plan.json", "--strict")
    assert "ORCH-P098" in ended.err
    assert "77 cores" in ended.err
    assert places(orch, "--plan", "plan.json")["llm_1"] == "engine:fast"


def test_a_plan_in_a_file_holds_what_its_ops_mean(orch: Orch, planned: Path) -> None:
    plan = Plan.load(planned / "plan.json")
    assert all(len(op.meaning) == 16 for op in plan.ops)
