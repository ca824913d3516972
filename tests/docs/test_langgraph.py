"""docs/langgraph.md: its lines are the files' lines, and what it says of either system is what that system does."""

from __future__ import annotations

import json
import operator
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from benchmarks import gallery
from benchmarks.gallery_cases import CASES, WORKFLOWS, Case
from orchestrator import llm, tool, workflow
from orchestrator.cli.group import cli
from orchestrator.errors import TraceError
from orchestrator.testing import fake

PAGE = (Path(__file__).parents[2] / "docs" / "langgraph.md").read_text(encoding="utf-8")
Apis = Literal["functional", "graph"]
NAMES = [f"{case.workflow}: {case.label}" for case in CASES]


def cells(workflow_name: str) -> list[list[str]]:
    """The rows of the page's tables that are of one workflow."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith(("| [", "| "))]
    return [
        [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", cell).strip() for cell in row] for row in rows if workflow_name in row[0]
    ]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_lines_are_those_of_the_files(name: str) -> None:
    counted = [str(gallery.lines(arm, name)) for arm in gallery.PROGRAMS]
    assert cells(name)[0] == [name, *counted]


def test_lines_are_counted_without_blank_ones_comments_and_docstrings() -> None:
    source = (
        '"""A module.\n\nMore.\n"""\n\nx = 1  # one\n# none\n\n\ndef f():\n    """Doc."""\n    return """a\n\nb"""\n'
    )
    assert gallery.lines_of_code(source) == 5


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_ours_does_what_it_should(case: Case) -> None:
    value, prompts = gallery.play(case)
    assert value == case.value
    assert len(prompts) == case.calls


@pytest.mark.parametrize("api", ["functional", "graph"])
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_langgraphs_does_the_same(case: Case, api: Apis) -> None:
    pytest.importorskip("langgraph", reason="LangGraph is a peer; nothing of this project needs it")
    from benchmarks.langgraph.play import play

    played = play(case, api)
    assert gallery.equal(case, played.value, played.prompts, gallery.play(case)[1])
    assert played.waited == (case.answer is not None)


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """The endpoint that the page prices the workflows for."""
    file = tmp_path / "cluster.toml"
    prices = "usd_per_million_input_tokens = 0.15\nusd_per_million_output_tokens = 0.60\n"
    file.write_text(f'[[engine]]\nname = "main"\nkind = "openai"\nmodel = "gpt-4o-mini"\n{prices}')
    return file


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_prices_are_what_explain_says(name: str, cluster: Path) -> None:
    target = gallery.PROGRAMS[gallery.OURS] / f"{name}.py"
    words = ["explain", str(target), "--cluster", str(cluster), "--no-calibration", "--json"]
    plan = json.loads(CliRunner().invoke(cli, words).stdout)
    _, expected, tokens, dollars, between = cells(name)[1]
    assert expected == f"{plan['tokens']['mid']:,.0f}"
    assert tokens == f"{plan['tokens']['lo']:,.0f} – {plan['tokens']['hi']:,.0f}"
    if plan["cost_usd"] is None:
        assert dollars.startswith("unknown")
    else:
        cost = plan["cost_usd"]
        assert dollars == f"{cost['mid']:.5f}"
        assert between == f"{cost['lo']:.6f} – {cost['hi']:.4f}"


# What the page says of orch


class Verdict(BaseModel):
    good: bool
    advice: str


def test_a_misspelt_field_is_an_error_of_check() -> None:
    @workflow
    def flow(task: str) -> str:
        verdict = llm(f"Is it good? {task}", returns=Verdict)
        return "yes" if verdict.god else "no"  # type: ignore[attr-defined]

    with pytest.raises(TraceError, match=r"ORCH-D011.*\n.*test_langgraph\.py"):
        flow.trace()


def test_a_case_that_cannot_be_is_an_error_of_check() -> None:
    @workflow
    def flow(task: str) -> str:
        kind = llm(task, returns=Literal["billing", "bug"])
        return "yes" if kind == "sales" else "no"

    with pytest.raises(TraceError, match="ORCH-D014"):
        flow.trace()


def test_a_name_that_one_path_leaves_unbound_is_an_error_of_check() -> None:
    @workflow
    def flow(task: str) -> str:
        verdict = llm(task, returns=Verdict)
        if verdict.good:
            note = "fine"
        return note

    with pytest.raises(TraceError, match="ORCH-D051"):
        flow.trace()


def test_the_clock_is_an_error_of_check() -> None:
    from datetime import datetime

    @workflow
    def flow(task: str) -> str:
        return llm(f"It is {datetime.now()}. {task}")

    with pytest.raises(TraceError, match="ORCH-D057"):
        flow.trace()


def test_writes_keep_the_order_of_the_program() -> None:
    done: list[str] = []

    @tool
    def slow() -> str:
        time.sleep(0.05)
        done.append("slow")
        return "a"

    @tool
    def fast() -> str:
        done.append("fast")
        return "b"

    @workflow
    def flow() -> str:
        return slow() + fast()

    with fake([]):
        assert flow() == "ab"
    assert done == ["slow", "fast"]


def test_explain_says_what_an_undeclared_tool_holds_up(tmp_path: Path, cluster: Path) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text(
        "from orchestrator import llm, tool, workflow\n\n\n"
        "@tool(typical_s=2)\ndef first(a: str) -> str:\n    return a\n\n\n"
        "@tool(typical_s=2)\ndef second(a: str) -> str:\n    return a\n\n\n"
        "@workflow\ndef flow(q: str) -> str:\n    return llm(first(q) + second(q))\n"
    )
    said = CliRunner().invoke(cli, ["explain", str(flow), "--cluster", str(cluster), "--no-calibration"]).stdout
    assert re.search(r"`(first|second)` declares none", said)
    assert re.search(r"saves\s+up\s+to\s+about\s+2s", said)


# What the page says of LangGraph


class State(TypedDict):
    a: str


@pytest.fixture
def langgraph() -> Any:
    return pytest.importorskip("langgraph.graph", reason="LangGraph is a peer; nothing of this project needs it")


def graph_of(langgraph: Any, node: Callable[[Any], Any]) -> Any:
    """A builder with one node."""
    builder = langgraph.StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(langgraph.START, "node")
    return builder


def test_its_graph_checks_edges_and_listed_targets(langgraph: Any) -> None:
    builder = graph_of(langgraph, lambda state: state)
    builder.add_edge("node", "nowhere")
    with pytest.raises(ValueError, match="unknown node"):
        builder.compile()
    builder = graph_of(langgraph, lambda state: state)
    builder.add_conditional_edges("node", lambda state: "nowhere", ["nowhere"])
    with pytest.raises(ValueError, match="unknown target"):
        builder.compile()


def test_its_graph_ignores_unlisted_targets_and_keys_that_are_none(langgraph: Any) -> None:
    builder = graph_of(langgraph, lambda state: {"b": "1"})
    builder.add_conditional_edges("node", lambda state: "nowhere")
    assert builder.compile().invoke({"a": "0"}) == {"a": "0"}


def test_its_graph_ends_after_so_many_steps(langgraph: Any) -> None:
    from langgraph.errors import GraphRecursionError

    builder = graph_of(langgraph, lambda state: {"a": "1"})
    builder.add_edge("node", "node")
    with pytest.raises(GraphRecursionError, match="limit of 10007"):
        builder.compile().invoke({"a": ""})


def test_its_tasks_and_the_nodes_of_a_step_run_at_once(langgraph: Any) -> None:
    from langgraph.func import entrypoint, task

    met, second_ran = [], threading.Event()

    @task
    def first() -> None:
        met.append(second_ran.wait(60))

    @task
    def second() -> None:
        second_ran.set()

    @entrypoint()
    def flow(_: int) -> None:
        for each in [first(), second()]:
            each.result()

    flow.invoke(0)
    second_ran.clear()

    class Both(TypedDict):
        done: Annotated[list[str], operator.add]

    def node(state: Both) -> None:
        met.append(second_ran.wait(60))

    builder = langgraph.StateGraph(Both)
    builder.add_node("first", node)
    builder.add_node("second", lambda state: second_ran.set())
    builder.add_edge(langgraph.START, "first")
    builder.add_edge(langgraph.START, "second")
    builder.compile().invoke({"done": []})
    assert met == [True, True]


def test_what_it_does_again_after_a_stop(langgraph: Any) -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.func import entrypoint, task
    from langgraph.types import Command, interrupt

    done: list[str] = []
    config = {"configurable": {"thread_id": "one"}}

    @task
    def ended() -> None:
        done.append("task")

    @entrypoint(checkpointer=InMemorySaver())
    def flow(_: int) -> str:
        done.append("body")
        ended().result()
        return str(interrupt("go on?"))

    flow.invoke(0, config)
    assert flow.invoke(Command(resume="yes"), config) == "yes"
    assert done == ["body", "task", "body"]

    def node(state: State) -> dict[str, Any]:
        done.append("node")
        return {"a": interrupt("go on?")}

    app = graph_of(langgraph, node).compile(checkpointer=InMemorySaver())
    app.invoke({"a": ""}, config)
    app.invoke(Command(resume="yes"), config)
    assert done[3:] == ["node", "node"]


def test_it_starts_a_task_again_that_was_cut_off(langgraph: Any) -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.func import entrypoint, task

    started: list[str] = []

    @task
    def pay() -> str:
        started.append("pay")
        if len(started) == 1:
            raise KeyboardInterrupt
        return "paid"

    @entrypoint(checkpointer=InMemorySaver())
    def flow(_: int) -> str:
        return str(pay().result())

    config = {"configurable": {"thread_id": "two"}}
    with pytest.raises(KeyboardInterrupt):
        flow.invoke(0, config)
    assert flow.invoke(None, config) == "paid"
    assert started == ["pay", "pay"]


def test_it_pictures_a_graph_and_not_an_entrypoint(langgraph: Any) -> None:
    from benchmarks.langgraph.functional.routing import routing as entry
    from benchmarks.langgraph.graph.routing import routing as graph

    assert {"classify", "billing", "bug", "other"} <= set(graph.get_graph().nodes)
    assert "classify" not in entry.get_graph().nodes
