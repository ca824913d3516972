from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.explain import is_bookkeeping, render
from orchestrator.planner.place import plan
from orchestrator.planner.plan import Pin, PinWorth, Plan
from orchestrator.planner.planning import Asked, Planning
from orchestrator.planner.table import cells
from tests.planner.clusters import cpu, gpu, one_engine
from tests.planner.level2 import parsed, workflow


def text_to_sql() -> str:
    """The text-to-SQL workflow of the design: five drafts, five queries, a vote, an answer."""
    body, (question, schema) = workflow(question="str", schema="str")
    ask = body.prompt("prompt_1", ["Schema:\n", "\nQuestion: ", "\nSQL:"], [schema, question])
    drafts, _ = body.ask_model("drafts", ask, samples=5, returns="Query", opts={"max_tokens": 200})
    queries = body.call("field_1", "field", [drafts], "list[str]", opts={"path": "sql", "each": True})
    each, (query,) = body.block([("query", "str")])
    rows = each.call("run_sql", "tool", [query], "Rows", effects="pure", opts={"timeout_s": 5.0})
    regions = [each.closed([rows])]
    [results] = body.op("agent.map", "map_1", [queries], ["list[Rows]"], regions, limit=5, concurrency=0)
    best = body.call("vote", "tool", [results], "Rows", place="inline")
    then = body.prompt("prompt_2", ["Question: ", "\nRows: ", "\nAnswer:"], [question, best])
    reply, _ = body.ask_model("llm_1", then)
    return body.closed([reply])


@pytest.fixture
def answer(tmp_path: Path) -> Plan:
    """It on a GPU, beside a CPU whose price nobody knows, as the placement alone makes it."""
    cluster = one_engine(tmp_path).model_copy(update={"devices": (cpu(usd_per_hour=None), gpu()), "ray": True})
    with parsed(text_to_sql(), slo="p95 < 8s", budget_usd=0.02) as module:
        return plan(module, cluster, ir_hash="0123456789abcdef")


@pytest.fixture
def loaded(tmp_path: Path) -> Plan:
    """It at a rate of runs, with a second GPU that could have been used."""
    one = one_engine(tmp_path)
    spare = gpu(name="spare", memory_bytes_per_s=5e11, usd_per_hour=None)
    with parsed(text_to_sql(), slo="p95 < 8s", budget_usd=0.02) as module:
        asked = Asked(one.model_copy(update={"devices": (*one.devices, spare)}), "cost", 2.5, 600.0)
        return Planning(module, "0123456789abcdef").plan(asked)


GOLDEN = """\
Plan of `answer`, made for latency. Time, tokens and cost are of one execution.

op          what                where        ×  time                 tokens     cost     source
drafts      ask model ×5 → Qu…  engine:main  1  ~2.7s (42ms-9.5s)    ~134→~500  $0.0027  app.py:1003
map_1       map, ≤ 5 items      inline       1  50ms (130µs-5s)                          app.py:1005
└─ run_sql  run_sql()           thread       5  ~10ms (130µs-1s)                ?        app.py:2005
vote        vote()              inline       1  ~100µs (1µs-1ms)                         app.py:1006
llm_1       ask model           engine:main  1  ~5.2s (42ms-1.4min)  ~174→~200  $0.0052  app.py:1009

total          7.9s (84ms-1.7min), 1k (24-13k) tokens, cost unknown (known part $0.0079
               (<$0.0001-$0.096))
hardware       cpu: 1 x round with 4 cores, gpu: 1 x round
critical path  drafts (33%) → map_1 (<1%) → vote (<1%) → llm_1 (66%)
dominated by   llm_1: ask model on engine:main, 200 tokens to decode
not shown      3 bookkeeping ops on the event loop (prompts, fields, constants)
rejected       run_sql: process, ray-task, ray-actor: worth it for what computes for long; declare
               typical_s
guesses        speeds are a roofline of data-sheet figures, nothing is measured on this hardware
               a range (low-high) is meant to hold 80 % of what an op will show
               figures after ~ rest on a default:
                 a tool's time by its effects; declare typical_s
                 a reply's length; max_tokens bounds it
                 the length of inputs and tool results; prompts are counted at 4 characters a token
warnings       no price known for cpu, used by run_sql: set usd_per_hour, or for a service the
               prices per token, in the cluster file
               the slo of 8s is possibly exceeded: 7.9s (84ms-1.7min) expected
               the budget of $0.02 cannot be checked: a price is unknown
"""


CALLS = """\
model call  device       batch ≤      KV  waits  cost +time goes into
drafts      gpu \\(round\\) +\\d+  79 MiB  \\S+ .* \\$\\S+ \\(.*\\) +decode weights \\d+%.*
llm_1       gpu \\(round\\) +\\d+  47 MiB  \\S+ .* \\$\\S+ \\(.*\\) +decode weights \\d+%.*"""
WHOLE = (
    r"total +\S+ \(.*\), p95 \S+ \(asked for 10min\), .*",
    r"rate +2.5 runs/s, engine main \d+% busy",
    r"critical path  drafts \(\d+%\) → .*",
    r"time goes into decode weights \d+%.*",
    r"other plans    engine:main on spare instead of gpu: \S+, cost unknown: its price is unknown; .*",
    r"bill +\$\S+ an hour, \$\S+ a month, \$\S+ a run \(.*gpu \$\S+/h.*\)",
)


def test_the_table(answer: Plan) -> None:
    assert render(answer, width=100) == GOLDEN


def test_what_depends_on_the_whole_plan_is_shown(loaded: Plan) -> None:
    text = render(loaded)
    sections = text.split("\n\n")
    assert re.fullmatch(CALLS, sections[2])
    for line in WHOLE:
        assert re.search(f"^{line}$", text, re.MULTILINE), line


def test_nothing_is_shown_that_was_not_computed(answer: Plan) -> None:
    text = render(answer)
    for word in ("model call", "p95 ", "other plans", "runs/s", "time goes into"):
        assert word not in text.replace("p95 < 8s", "")


def test_a_single_possibility_and_a_service_say_so() -> None:
    far = Cluster(engines=(EngineSpec(name="far", kind="openai", model="m"),))
    with parsed(text_to_sql()) as module:
        text = render(Planning(module).plan(Asked(far, rate_per_s=9.0)))
    assert "none: nothing else in the cluster can serve these models" in text
    assert "service 100%" in text
    row = next(line for line in text.split("model call")[1].splitlines() if line.startswith("llm_1"))
    assert row.split()[1:4] == ["?", "?", "?"]


def test_corrected_speeds_are_not_called_unmeasured(answer: Plan) -> None:
    ops = (answer.ops[0].model_copy(update={"correction": 1.3}), *answer.ops[1:])
    noted = answer.model_copy(update={"ops": ops, "notes": ("model calls are corrected ×1.30 from 9 runs here",)})
    text = render(noted)
    assert "notes          model calls are corrected ×1.30 from 9 runs here" in text
    assert "nothing is measured" not in text


def test_the_text_fits_the_terminal_and_has_no_colour(answer: Plan) -> None:
    long_names = answer.model_copy(
        update={
            "ops": tuple(op.model_copy(update={"source": "a/very/long/path/" * 8 + "app.py:7"}) for op in answer.ops)
        }
    )
    for made in (answer, long_names):
        for width in (40, 60, 80, 100):
            text = render(made, every_op=True, width=width)
            assert max(map(cells, text.splitlines())) <= width
            assert "\x1b" not in text
    assert "app.py:7" in render(long_names, width=160)


def test_names_are_whole_where_columns_had_to_go_and_a_pipe_gets_everything(answer: Plan) -> None:
    named = answer.model_copy(
        update={
            "ops": tuple(op.model_copy(update={"source": "ordner/übersicht/" * 6 + "app.py:7"}) for op in answer.ops)
        }
    )
    text = render(named, width=80)
    assert all(op.id in text for op in answer.ops if not is_bookkeeping(op))
    assert "no room" in text
    whole = render(named)
    assert "…" not in whole
    assert "ordner/übersicht/" * 6 + "app.py:7" in whole
    assert "no room" not in whole


@pytest.mark.parametrize(
    ("tool", "is_shown", "left_out"), [("fetch_the_annual_report_of_a_company", True, 2), ("a+b|" * 25 + "c", False, 1)]
)
def test_what_runs_while_a_cache_is_kept_is_named_whole_or_not_at_all(
    answer: Plan, tool: str, is_shown: bool, left_out: int
) -> None:
    worth = PinWorth(median_s=4.0, upper_s=12.0, source="declared", ttl_s=52.0, hit_probability=1.0, saved_s=0.021)
    kept = Pin(op="drafts", tool=tool, turns_left=1, longest_s=300, tokens=90, prefill_s=0.021, worth=worth)
    lines = render(answer.model_copy(update={"pins": (kept,)}), width=80).splitlines()
    title, row, gone = lines[(at := lines.index(next(each for each in lines if "KV kept after" in each))) : at + 3]
    assert (tool in row, "…" in row, "100 %" in row) == (is_shown, False, True)
    assert gone.endswith(": no room)")
    assert gone.count(",") + 1 == left_out
    assert ("while" in title) is is_shown


def test_bookkeeping_is_counted_but_not_shown_unless_asked_for(answer: Plan) -> None:
    assert "prompt_1" not in render(answer)
    assert "3 bookkeeping ops" in render(answer)
    assert "prompt_1" in render(answer, every_op=True)
    assert "not shown" not in render(answer, every_op=True)


def test_the_dominant_op_is_named_inside_its_region() -> None:
    body, (names,) = workflow(names="list[str]")
    each, (name,) = body.block([("name", "str")])
    quick = each.call("quick", "tool", [name], "str", effects="once", opts={"typical_s": 1.0})
    slow = each.call("slow", "tool", [quick], "str", effects="once", opts={"typical_s": 9.0})
    [result] = body.op("agent.map", "map_1", [names], ["list[str]"], [each.closed([slow])], limit=3, concurrency=0)
    with parsed(body.closed([result])) as module:
        text = render(plan(module, Cluster(devices=(cpu(),))))
    assert "map_1 > slow: slow() on thread" in text


def test_json_is_the_plan(answer: Plan) -> None:
    assert Plan.from_json(render(answer, "json")) == answer


DOT_STRING = r'"(?:[^"\\]|\\.)*"'
DOT_LINE = re.compile(
    rf"""\s*(?:
        digraph\ {DOT_STRING}\ \{{ | subgraph\ {DOT_STRING}\ \{{ | \}}
        | rankdir=TB;\ compound=true; | label={DOT_STRING};\ style=dashed; | node\ \[[^\]]*\];
        | {DOT_STRING}\ \[label={DOT_STRING}(?:,\ penwidth=2)?\];
        | {DOT_STRING}\ ->\ {DOT_STRING}(?:\ \[penwidth=2\])?;
    )""",
    re.VERBOSE,
)


def test_dot_is_well_formed_and_deterministic(answer: Plan) -> None:
    nasty = answer.ops[0].model_copy(update={"what": 'say "hi" \\ \n{|}<x>'})
    odd = answer.model_copy(update={"ops": (nasty, *answer.ops[1:]), "workflow": 'a "b"'})
    for made in (answer, odd):
        dot = render(made, "dot")
        for line in dot.splitlines():
            assert DOT_LINE.fullmatch(line), line
        without_strings = re.sub(DOT_STRING, "", dot)
        assert without_strings.count("{") == without_strings.count("}")
        assert dot == render(made, "dot")
    assert r"say \"hi\" \\ \n{|}<x>" in render(odd, "dot")


def test_dot_draws_every_op_every_edge_and_the_critical_path(answer: Plan) -> None:
    dot = render(answer, "dot")
    for op in answer.ops:
        assert f'"{op.id}" [label=' in dot
    assert dot.count(" -> ") == sum(len(op.after) for op in answer.ops)
    assert '"drafts" -> "field_1" [penwidth=2];' in dot
    assert 'subgraph "cluster map_1"' in dot
