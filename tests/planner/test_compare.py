from __future__ import annotations

from dataclasses import dataclass

import pytest

from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.compare import compare, render_comparison
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import Plan
from tests.planner.test_plan import op, small_plan


@dataclass(frozen=True)
class Usage:
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None


@dataclass(frozen=True)
class Record:
    id: str
    seconds: float
    usage: Usage | None = None


def one_call(**prices: float) -> Plan:
    engine = EngineSpec(name="main", kind="openai", model="m", **prices)
    call = op(
        "ask",
        kind="decode",
        place="engine:main",
        seconds=Interval(1, 2, 3),
        tokens_in=Interval(10, 20, 30),
        tokens_out=Interval(5, 10, 15),
        cost_usd=Interval(0.1, 0.2, 0.3),
    )
    return small_plan(ops=(call, op("tool")), critical_path=(), cluster=Cluster(engines=(engine,)))


def test_what_went_as_planned_and_what_did_not() -> None:
    ask, tool = compare(one_call(), [Record("ask", 4.0, Usage(20, 2)), Record("tool", 1.0)])
    assert ask.seconds is not None
    assert (ask.seconds.verdict, ask.seconds.measured) == ("more", 4.0)
    assert ask.tokens_in is not None
    assert ask.tokens_in.verdict == "as planned"
    assert ask.tokens_out is not None
    assert ask.tokens_out.verdict == "less"
    assert ask.surprises == ("seconds", "tokens out", "cost")
    assert tool.surprises == ()


def test_repeated_executions_are_averaged_and_counted() -> None:
    ask, _ = compare(one_call(), [Record("ask", 1.0), Record("ask", 3.0)])
    assert ask.executions.verdict == "more"
    assert ask.seconds is not None
    assert ask.seconds.measured == 2.0


def test_an_op_that_did_not_run_and_one_that_was_not_planned() -> None:
    ask, tool, stranger = compare(one_call(), [Record("stranger", 1.0)])
    assert ask.seconds is None
    assert ask.surprises == tool.surprises == ("executions",)
    assert not stranger.planned


def test_a_measured_cost_follows_tokens_or_seconds() -> None:
    by_time, _ = compare(one_call(), [Record("ask", 1.0, Usage(20, 10))])
    assert by_time.cost_usd is not None
    assert by_time.cost_usd.measured == pytest.approx(0.1)
    priced = one_call(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=2.0)
    by_tokens, _ = compare(priced, [Record("ask", 1.0, Usage(1000, 500))])
    assert by_tokens.cost_usd is not None
    assert by_tokens.cost_usd.measured == pytest.approx(0.002)
    cheaper = one_call(
        usd_per_million_input_tokens=1.0,
        usd_per_million_output_tokens=2.0,
        usd_per_million_cached_input_tokens=0.1,
    )
    calls = [Record("ask", 1.0, Usage(1000, 500, 800)), Record("ask", 1.0, Usage(1000, 500))]
    by_cached, _ = compare(cheaper, calls)
    assert by_cached.cost_usd is not None
    assert by_cached.cost_usd.measured == pytest.approx((0.00128 + 0.002) / 2)


def test_the_comparison_is_a_table_of_100_columns() -> None:
    text = render_comparison(compare(one_call(), [Record("ask", 4.0, Usage(20, 2)), Record("stranger", 1.0)]))
    header, ask, tool, stranger = text.splitlines()
    assert header.split() == ["op", "what", "×", "time", "measured", "planned", "tokens", "planned", "otherwise"]
    assert ask.split()[:5] == ["ask", "1", "4s", "2s", "(1s-3s)"]
    assert ask.endswith("seconds, tokens out, cost")
    assert "did not run" in tool
    assert "not in the plan" in stranger
    assert max(map(len, text.splitlines())) <= 100
