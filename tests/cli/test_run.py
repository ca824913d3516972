"""``orch run``, on engines that need no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Ended, Orch

SCRIPT = """
[[engine]]
name = "main"
kind = "scripted"
model = "scripted"
options = {{ replies = {replies} }}
"""
SELECT = json.dumps({"sql": "SELECT 1"})
OTHER = json.dumps({"sql": "SELECT 2"})

ASKS = """
from orchestrator import ask, workflow

@workflow
def approve(amount: int) -> str:
    return ask(f"Pay {amount}?", choices=["yes", "no"], name="verdict")
"""
ADDS = """
from pydantic import BaseModel
from orchestrator import tool, workflow

class Sum(BaseModel):
    total: int

@tool(effects="pure")
def add(left: int, right: int) -> Sum:
    if right == 0:
        raise ValueError("nothing to add")
    return Sum(total=left + right)

@workflow
def plus(left: int, right: int) -> Sum:
    return add(left, right)
"""

PLAIN = """
from orchestrator import llm, workflow

@workflow
def answer(question: str) -> str:
    return llm(f"Answer {question}", max_tokens=5)
"""


def scripted(folder: Path, *replies: str) -> str:
    """The path of a cluster file whose engine gives these replies."""
    file = folder / "cluster.toml"
    file.write_text(SCRIPT.format(replies=json.dumps(list(replies))))
    return str(file)


def test_a_result_is_printed_and_a_summary_goes_to_stderr(orch: Orch, folder: Path) -> None:
    ended = orch("run", "flow.py", "How", "many?", "--cluster", scripted(folder, SELECT, OTHER, SELECT))
    assert ended.code == 0
    assert json.loads(ended.out) == ["SELECT 1"]
    assert "tokens in" in ended.err
    assert "cost unknown" in ended.err
    assert "SIMULATED" in ended.err


def test_json_holds_everything_about_a_run(orch: Orch, folder: Path) -> None:
    ended = orch(
        "run", "flow.py", "-i", "question=How many?", "--cluster", scripted(folder, SELECT, SELECT, OTHER), "--json"
    )
    data = json.loads(ended.out)
    assert data["ok"] is True
    assert data["value"] == ["SELECT 1"]
    assert data["inputs"] == {"question": "How many?"}
    assert data["simulated"] is True
    assert data["cost_usd"] is None
    assert data["usage"]["output_tokens"] > 0
    assert {op["id"] for op in data["ops"]} >= {"llm_1", "run_sql_1"}


def test_each_line_of_a_file_is_a_run(orch: Orch, folder: Path) -> None:
    (folder / "sums.py").write_text(ADDS)
    (folder / "in.jsonl").write_text('{"left": 1, "right": 2}\n{"left": 1, "right": 0}\n{"left": 3, "right": 4}\n')
    ended = orch("run", "sums.py", "--inputs", "in.jsonl")
    assert ended.code == 1
    assert [json.loads(line) for line in ended.out.splitlines()] == [{"total": 3}, None, {"total": 7}]
    assert "ORCH-R001" in ended.err
    assert "in.jsonl:2" in ended.err
    data = json.loads(orch("run", "sums.py", "--inputs", "in.jsonl", "--json").out)
    assert [run["ok"] for run in data["runs"]] == [True, False, True]
    assert data["ok"] is False


def test_a_workflow_without_model_calls_needs_no_model(orch: Orch, folder: Path) -> None:
    (folder / "sums.py").write_text(ADDS)
    ended = orch("run", "sums.py", "-i", "left=2", "-i", "right=3")
    assert ended.code == 0
    assert json.loads(ended.out) == {"total": 5}
    assert "tokens" not in ended.err


def test_a_failed_run_shows_the_users_line(orch: Orch, folder: Path) -> None:
    (folder / "sums.py").write_text(ADDS)
    ended = orch("run", "sums.py", "-i", "left=2", "-i", "right=0")
    assert ended.code == 1
    assert ended.out == ""
    assert "nothing to add" in ended.err
    assert "sums.py:16" in ended.err
    assert "Traceback" not in ended.err


def test_replies_can_be_streamed(orch: Orch, folder: Path) -> None:
    ended = orch("run", "flow.py", "How?", "--stream", "--cluster", scripted(folder, SELECT, OTHER, SELECT))
    assert json.loads(ended.out) == ["SELECT 1"]
    assert "llm_1: " in ended.err
    assert "llm_1#2: " in ended.err
    pieces = [line.partition(": ")[2] for line in ended.err.splitlines() if line.startswith("llm_1#2: ")]
    assert "".join(pieces) == OTHER


def test_a_human_is_answered_ahead(orch: Orch, folder: Path) -> None:
    (folder / "asks.py").write_text(ASKS)
    ended = orch("run", "asks.py", "-i", "amount=5", "--answer", "verdict=yes")
    assert (ended.code, ended.out.strip()) == (0, "yes")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["flow.py", "How?"], "ORCH-U020", "--model"),
        (["flow.py"], "ORCH-U010", "question"),
        (["flow.py", "How?", "--engine", "openai"], "ORCH-U020", "--model"),
        (["flow.py", "How?", "--engine", "vllm", "--base-url", "http://x"], "ORCH-U021", "--base-url"),
        (["flow.py", "How?", "--engine", "sim", "--answer", "a=b"], "ORCH-U012", "a"),
        (["flow.py", "How?", "--engine", "sim", "--budget", "much"], "ORCH-U002", "budget"),
        (["asks.py", "-i", "amount=5"], "ORCH-U013", "--answer verdict=yes"),
        (["asks.py", "-i", "amount=5", "--answer", "verdict=maybe"], "ORCH-U012", "--answer verdict=no"),
        (["asks.py", "-i", "amount=5", "--answer", "verdict=no", "--answer", "verdict=yes"], "ORCH-U012", "twice"),
        (["asks.py", "-i", "amount=5", "--answer", "verdikt=yes"], "ORCH-U012", "did you mean `verdict`?"),
        (["flow.py", "--inputs", "none.jsonl"], "ORCH-U011", "none.jsonl"),
        (["nowhere.py"], "ORCH-U003", "nowhere.py"),
    ],
)
def test_wrong_use_is_one_sentence_before_anything_starts(
    orch: Orch, folder: Path, words: list[str], code: str, said: str
) -> None:
    (folder / "asks.py").write_text(ASKS)
    ended = orch("run", *words)
    _one_sentence(ended, 2, code, said)
    assert "starting" not in ended.err


def test_what_does_not_start_is_one_sentence(orch: Orch, folder: Path) -> None:
    (folder / "half").mkdir()
    for words, code in (
        (["--model", "./nowhere"], "ORCH-E004"),
        (["--model", "half"], "ORCH-E004"),
        (["--engine", "sim", "--ray-address", "127.0.0.1:1"], "ORCH-E007"),
        (["--base-url", "http://127.0.0.1:9/v1", "--model", "m"], "ORCH-E008"),
    ):
        _one_sentence(orch("run", "flow.py", "How?", *words), 1, code, "")


def test_a_budget_stops_a_run_before_the_op_that_would_break_it(orch: Orch, folder: Path) -> None:
    ended = orch("run", "flow.py", "How?", "--engine", "sim", "--budget", "10 tokens")
    _one_sentence(ended, 1, "ORCH-R010", "llm_1")


def test_dollars_without_a_price_are_refused_before_anything_starts(orch: Orch, folder: Path) -> None:
    ended = orch("run", "flow.py", "How?", "--engine", "sim", "--budget", "2 cents")
    _one_sentence(ended, 1, "ORCH-R011", "usd_per_million_input_tokens")
    assert "starting" not in ended.err
    assert orch("run", "flow.py", "How?", "--engine", "sim", "--budget", "40k tokens").code == 0


PAYS = """
import asyncio
from orchestrator import race, tool, workflow

@tool(effects="once")
async def pay(cents: int) -> int:
    await asyncio.sleep(3600)
    return cents

@tool(effects="idempotent")
async def quick(cents: int) -> int:
    await asyncio.sleep(0.05)
    return cents

@workflow
def either(cents: int) -> int:
    return race(lambda: pay(cents), lambda: quick(cents), name="first")

@workflow
def alone(cents: int) -> int:
    return pay.options(timeout=0.05)(cents)
"""


def test_what_nobody_knows_is_said(orch: Orch, folder: Path) -> None:
    (folder / "pays.py").write_text(PAYS)
    found = orch("run", "pays.py:either", "-i", "cents=5")
    assert (found.code, found.out.strip()) == (0, "5")
    assert "nobody knows whether `first.arm_1/pay_1` happened" in found.err
    assert json.loads(orch("run", "pays.py:either", "-i", "cents=5", "--json").out)["unsettled"] == [
        "first.arm_1/pay_1"
    ]
    _one_sentence(orch("run", "pays.py:alone", "-i", "cents=5"), 1, "ORCH-R020", "runtime.settle")


def test_failures_are_json_too(orch: Orch, folder: Path) -> None:
    ended = orch("run", "flow.py", "How?", "--json")
    assert json.loads(ended.out)["errors"][0]["code"] == "ORCH-U020"


def _one_sentence(ended: Ended, code: int, said_code: str, said: str) -> None:
    assert ended.code == code
    assert f"error[{said_code}]" in ended.err
    assert said in ended.err
    assert "Traceback" not in ended.err


APP = """
import click
from orchestrator import tool, workflow
from orchestrator.cli.app import App, Case, Job, Report

@tool(effects="pure")
def twice(number: int) -> int:
    if number > 90:
        raise ValueError("too much")
    return 2 * number

@workflow
def double(number: int) -> int:
    return twice(number)

closed = []

def prepare(options, words):
    cases = [Case(str(n), {"number": n}, 2 * n) for n in range(options["start"], options["start"] + 3)]
    return Job(cases, ["three numbers", *words], lambda: print("closed"))

def report(job, outcomes, facts):
    values = [outcome.result.value if outcome.result else None for outcome in outcomes]
    return Report({"values": values, "engine": facts.engine}, f"values {values}", failed=None in values)

app = App(workflow=double, prepare=prepare, report=report,
          options=[click.Option(["--start"], type=int, default=1, help="The first number.")])
"""


@pytest.fixture
def doubling(folder: Path) -> Path:
    """A directory with an app."""
    (folder / "doubling").mkdir()
    (folder / "doubling" / "app.py").write_text(APP)
    return folder


@pytest.mark.usefixtures("doubling")
def test_an_apps_options_are_parsed_and_its_report_printed(orch: Orch) -> None:
    ended = orch("run", "--concurrency", "2", "doubling", "--start", "5", "a", "word")
    assert ended.code == 0
    assert "values [10, 12, 14]" in ended.out
    assert "closed" in ended.err
    assert "three numbers" in ended.err
    assert "word" in ended.err
    assert "[3/3]" in ended.err


def test_the_inputs_of_a_workflow_are_in_its_help(orch: Orch, folder: Path) -> None:
    (folder / "sums.py").write_text(
        ADDS.replace("def plus(left: int, right: int)", "def plus(left: int, right: int = 1)")
    )
    shown = orch("run", "sums.py", "--help").out
    assert "Inputs of sums.py" in shown
    assert "-i left=…" in shown
    assert "int, may be left out" in shown
    (folder / "broken.py").write_text("1 / 0\n")
    for target in ("broken.py", "nowhere.py"):
        ended = orch("run", target, "--help")
        assert (ended.code, "--input" in ended.out) == (0, True)


@pytest.mark.usefixtures("doubling")
def test_an_apps_options_are_in_the_help_of_its_directory(orch: Orch) -> None:
    ended = orch("run", "doubling", "--help")
    assert ended.code == 0
    assert "The first number." in ended.out
    assert "The first number." not in orch("run", "--help").out


@pytest.mark.usefixtures("doubling")
def test_an_app_closes_its_job_whatever_happens(orch: Orch) -> None:
    some = orch("run", "doubling", "--start", "89", "--json")
    assert some.code == 1
    data = json.loads(some.out)
    assert (data["ok"], data["values"]) == (False, [178, 180, None])
    every = orch("run", "doubling", "--start", "91")
    assert every.code == 1
    assert "error[ORCH-R001]" in every.err
    assert "closed" in every.err
    assert orch("run", "doubling", "-i", "number=1").code == 2


def test_parameters_left_out_take_their_defaults(orch: Orch, folder: Path) -> None:
    source = (
        "from orchestrator import workflow\n@workflow\ndef greet(name: str, tone: str = 'kind', n: int = 2) -> str:\n"
    )
    (folder / "greet.py").write_text(source + "    return f'{tone} {name} {n}'\n")
    assert orch("run", "greet.py", "Ada").out.strip() == "kind Ada 2"
    assert orch("run", "greet.py", "-i", "name=Bob", "-i", "n=5").out.strip() == "kind Bob 5"


@pytest.mark.parametrize(
    "content", ["", "[1]", "no JSON", "{}", '{"hidden_size": null}', '{"hidden_size": 64, "num_hidden_layers": "x"}']
)
def test_a_config_that_cannot_be_priced_stops_no_run(orch: Orch, folder: Path, content: str) -> None:
    (folder / "own-900b").mkdir()
    (folder / "own-900b" / "config.json").write_text(content)
    (folder / "plain.py").write_text(PLAIN)
    ended = orch("run", "plain.py", "hi", "-m", "./own-900b", "--engine", "sim")
    assert ended.code == 0, ended.err
    assert ended.out
    assert "900 billion parameters assumed from its name; its figures in plans are guesses" in " ".join(
        ended.err.split()
    )
    shown = orch("explain", "plain.py", "-m", "./own-900b", "--engine", "sim")
    assert shown.code == 0
    assert "may not start" in shown.out


@pytest.mark.parametrize("model", ["n" * 300, "./" + "n" * 300])
def test_a_model_that_no_file_can_be_named_after(orch: Orch, folder: Path, model: str) -> None:
    (folder / "plain.py").write_text(PLAIN)
    ended = orch("plan", "plain.py", "-m", model, "--engine", "vllm")
    assert (ended.code, "ORCH-E004" in ended.err) == (1, True)
    assert "file name too long" in " ".join(ended.err.split())


def test_a_folder_without_a_config_stops_no_run_of_a_simulator(orch: Orch, folder: Path) -> None:
    (folder / "own-1b").mkdir()
    (folder / "plain.py").write_text(PLAIN)
    ended = orch("run", "plain.py", "hi", "-m", "./own-1b", "--engine", "sim")
    assert (ended.code, "no config.json" in ended.err) == (0, True)
