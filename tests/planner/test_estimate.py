"""What runs how often and when, with tools of known duration so that every figure can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner import sizes
from orchestrator.planner.cluster import Cluster
from orchestrator.planner.graph import Node
from orchestrator.planner.interval import ZERO, Interval
from orchestrator.planner.place import plan
from orchestrator.planner.plan import Plan
from orchestrator.planner.timing import BUILTIN_S, HUMAN_S, SLEEP_S
from orchestrator.planner.tools.dispatch import dispatch
from tests.planner.clusters import cpu, one_engine
from tests.planner.level2 import Builder, parsed, workflow

CPU = Cluster(devices=(cpu(cores=1000),))


def seconds(typical_s: float) -> Interval:
    """A thread tool that declares ``typical_s``."""
    return Interval.around(typical_s, 3) + dispatch("thread").interval


def once(builder: Builder, name: str, reads: list[str], typical_s: float, returns: str = "str") -> str:
    return builder.call(name, "tool", reads, returns, effects="once", opts={"typical_s": typical_s})


def planned(body: Builder, result: str, cluster: Cluster = CPU) -> Plan:
    with parsed(body.closed([result])) as module:
        return plan(module, cluster)


def test_a_chain_adds_up_and_a_fork_takes_its_longer_side() -> None:
    body, (question,) = workflow(question="str")
    first = once(body, "first", [question], 1.0)
    short, long = once(body, "short", [first], 1.0), once(body, "long", [first], 5.0)
    made = planned(body, once(body, "last", [short, long], 1.0))
    assert made.critical_path == ("first", "long", "last")
    expected = seconds(1) + seconds(5) + seconds(1)
    assert made.seconds.bounds == pytest.approx(expected.bounds)
    assert made.by_id["last"].after == ("short", "long")


def test_ops_side_by_side_share_the_cpu() -> None:
    body, (question,) = workflow(question="str")
    ends = [once(body, f"tool_{n}", [question], 3.0) for n in range(8)]
    made = planned(body, body.call("join", "tool", ends, "str", place="inline"), Cluster(devices=(cpu(cores=2),)))
    assert made.seconds.lo < 3.0
    assert made.seconds.mid == pytest.approx(8 * seconds(3).mid / 2, rel=1e-3)


def loop(body: Builder, start: str, most: int, stop: object = None) -> str:
    cond, (state,) = body.block([("state", "str")])
    if stop is None:
        answer = once(cond, "check", [state], 2.0, "bool")
    else:
        answer = cond.call("never", "const", [], "bool", opts={"value": stop}, place="inline")
    turn, (current,) = body.block([("current", "str")])
    following = once(turn, "step", [current], 10.0)
    [final] = body.op(
        "agent.loop", "loop_1", [start], ["str"], [cond.closed([answer]), turn.closed([following])], max=most
    )
    return final


def test_a_loop_runs_its_body_up_to_max_times_and_checks_first() -> None:
    body, (question,) = workflow(question="str")
    made = planned(body, loop(body, question, 4))
    assert made.by_id["step"].count == Interval(0, 2, 4)
    assert made.by_id["check"].count == Interval(1, 3, 4)
    assert (made.by_id["step"].parent, made.by_id["step"].region) == ("loop_1", "body")
    expected = seconds(2) * Interval(1, 3, 4) + seconds(10) * Interval(0, 2, 4)
    assert made.seconds.bounds == pytest.approx(expected.bounds)
    assert made.critical_path == ("loop_1",)


def test_a_loop_without_until_runs_to_its_bound() -> None:
    body, (question,) = workflow(question="str")
    made = planned(body, loop(body, question, 4, stop="false"))
    assert made.by_id["step"].count == Interval.exact(4)


def mapped(body: Builder, items: str, limit: int, concurrency: int = 0) -> str:
    inner, (item,) = body.block([("item", "str")])
    made = once(inner, "each", [item], 1.0)
    [results] = body.op(
        "agent.map", "map_1", [items], ["list[str]"], [inner.closed([made])], limit=limit, concurrency=concurrency
    )
    return results


def test_a_map_over_a_list_of_known_length_runs_exactly_that_often() -> None:
    body, _ = workflow()
    made = planned(body, mapped(body, body.call("names", "const", [], "list[str]", opts={"value": '["a","b"]'}), 50))
    assert made.by_id["each"].count == Interval.exact(2)


def test_a_map_takes_waves_of_its_concurrency() -> None:
    body, (question,) = workflow(question="list[str]")
    made = planned(body, mapped(body, question, limit=10, concurrency=3))
    assert made.by_id["each"].count == Interval(0, 5, 10)
    assert made.seconds.bounds == pytest.approx((0, 2 * seconds(1).mid, 4 * seconds(1).hi))


def test_a_map_without_a_bound_on_concurrency_takes_one_item_and_the_cpu_time_of_the_rest() -> None:
    body, (question,) = workflow(question="list[str]")
    made = planned(body, mapped(body, question, limit=10), Cluster(devices=(cpu(cores=2),)))
    assert made.seconds.mid == pytest.approx(seconds(1).mid * (1 + 4 / 2))


def test_a_branch_takes_either_arm() -> None:
    body, (question,) = workflow(question="str")
    arms = []
    for name, typical_s in (("quick", 1.0), ("slow", 9.0)):
        arm, _ = body.block([])
        arms.append(arm.closed([once(arm, name, [question], typical_s)]))
    [result] = body.op("agent.branch", "branch_1", [question], ["str"], arms)
    made = planned(body, result)
    assert made.by_id["quick"].count == Interval(0, 0.5, 1)
    assert (made.by_id["quick"].region, made.by_id["slow"].region) == ("then", "otherwise")
    assert made.seconds.bounds == pytest.approx((seconds(1).lo, (seconds(1).mid + seconds(9).mid) / 2, seconds(9).hi))


def test_a_switch_takes_one_case_of_all() -> None:
    body, (question,) = workflow(question="str")
    cases = []
    for name, typical_s in (("a", 1.0), ("b", 4.0), ("c", 9.0)):
        case, _ = body.block([])
        cases.append(case.closed([once(case, name, [question], typical_s)]))
    [result] = body.op("agent.switch", "switch_1", [question], ["str"], cases, cases=[['"x"'], ['"y/z"', "null"]])
    made = planned(body, result)
    assert made.by_id["a"].count.bounds == pytest.approx((0, 1 / 3, 1))
    assert [made.by_id[name].region for name in "abc"] == ["x", "y_z|None", "otherwise"]
    middle = sum(seconds(each).mid for each in (1, 4, 9)) / 3
    assert made.seconds.bounds == pytest.approx((seconds(1).lo, middle, seconds(9).hi))


def test_an_attempt_takes_its_body_and_expects_no_failure() -> None:
    body, (question,) = workflow(question="str")
    tried, _ = body.block([])
    caught, (_,) = body.block([("error", "Error")])
    ended, _ = body.block([])
    once(ended, "clean", [question], 1.0)
    regions = [tried.closed([once(tried, "try", [question], 2.0)])]
    regions += [caught.closed([once(caught, "handle", [question], 9.0)]), ended.closed([])]
    [result] = body.op("agent.attempt", "attempt_1", [], ["str"], regions, catches=[[]])
    made = planned(body, result)
    assert [made.by_id[name].count for name in ("try", "handle", "clean")] == [
        Interval.exact(1),
        Interval(0, 0, 1),
        Interval.exact(1),
    ]
    assert [made.by_id[name].region for name in ("try", "handle", "clean")] == ["try", "except", "finally"]
    assert made.seconds.mid == pytest.approx(seconds(2).mid + seconds(1).mid)
    assert made.seconds.hi == pytest.approx(seconds(2).hi + seconds(9).hi + seconds(1).hi)
    assert made.seconds.lo == pytest.approx(seconds(1).lo)


def test_a_race_is_as_fast_as_its_fastest_arm_and_no_slower_than_its_slowest() -> None:
    body, (question,) = workflow(question="str")
    arms, _ = body.block([])
    for name, typical_s in (("quick", 1.0), ("slow", 9.0)):
        arm, _ = arms.block([])
        arms.op("agent.arm", f"arm_{name}", [], [], [arm.closed([once(arm, name, [question], typical_s)])])
    [result] = body.op("agent.race", "race_1", [], ["str"], ["{" + "\n".join(arms.lines) + "}"])
    made = planned(body, result)
    assert made.seconds.bounds == pytest.approx((seconds(1).lo, seconds(1).mid, seconds(9).hi))
    assert made.by_id["slow"].count == Interval(0, 1, 1)
    assert (made.by_id["slow"].parent, made.by_id["slow"].region) == ("race_1", "arm 2")


def test_nested_counts_multiply() -> None:
    body, (question,) = workflow(question="list[str]")
    inner, (item,) = body.block([("item", "str")])
    made = loop(inner, item, 4)
    [results] = body.op(
        "agent.map", "map_1", [question], ["list[str]"], [inner.closed([made])], limit=10, concurrency=0
    )
    assert planned(body, results).by_id["step"].count == Interval(0, 10, 40)


def nested(body: Builder, start: str, depth: int) -> str:
    """``step`` within that many loops, each with a constant condition."""
    if not depth:
        return once(body, "step", [start], 10.0)
    cond, _ = body.block([("state", "str")])
    turn, (current,) = body.block([("current", "str")])
    never = cond.call(f"never_{depth}", "const", [], "bool", opts={"value": "false"}, place="inline")
    inside = turn.closed([nested(turn, current, depth - 1)])
    [final] = body.op("agent.loop", f"loop_{depth}", [start], ["str"], [cond.closed([never]), inside], max=2)
    return final


@pytest.mark.parametrize("depth", [1, 4, 12])
def test_a_body_is_looked_at_once_more_for_each_loop_around_it(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    of_call = sizes.of_call

    def noted(node: Node, inputs: Sequence[sizes.Size]) -> sizes.Size:
        looked_at.append(node.id)
        return of_call(node, inputs)

    monkeypatch.setattr(sizes, "of_call", noted)
    body, (question,) = workflow(question="str")
    made = planned(body, nested(body, question, depth))
    assert looked_at.count("step") == depth + 1
    assert made.by_id["step"].count == Interval.exact(2**depth)


def test_a_timeout_bounds_an_op_and_what_it_costs() -> None:
    body, (question,) = workflow(question="str")
    result = body.call("slow", "tool", [question], "str", effects="once", opts={"typical_s": 60.0, "timeout_s": 5.0})
    made = planned(body, result)
    assert made.seconds.hi == 5.0
    assert made.cost_usd is not None
    assert made.cost_usd.hi == pytest.approx(5.0 * 0.36 / 3600 / 1000)


def test_a_person_takes_minutes_and_bookkeeping_microseconds() -> None:
    body, (question,) = workflow(question="str")
    made = planned(body, body.call("approve", "ask", [body.prompt("p", ["OK? ", ""], [question])], "bool"))
    assert made.by_id["approve"].place == "human"
    assert made.seconds.bounds == pytest.approx((HUMAN_S + BUILTIN_S).bounds)


def test_a_sleep_takes_its_time_and_costs_nothing() -> None:
    body, (seconds,) = workflow(seconds="float")
    known = planned(body, body.call("nap", "sleep", [], "None", effects="idempotent", opts={"seconds": 90.0}))
    nap = known.by_id["nap"]
    assert (nap.place, nap.seconds, nap.cost_usd, nap.guesses) == ("timer", Interval.exact(90), ZERO, ())
    assert nap.what == "sleep 90 s"
    body, (seconds,) = workflow(seconds="float")
    unknown = planned(body, body.call("nap", "sleep", [seconds], "None", effects="idempotent")).by_id["nap"]
    assert (unknown.seconds, unknown.guesses) == (SLEEP_S, ("seconds",))


def test_a_race_with_a_sleep_is_over_when_that_is() -> None:
    def seconds(*naps: float) -> Interval:
        body, (question,) = workflow(question="str")
        arms, _ = body.block([])
        for number, nap in enumerate(naps):
            arm, _ = arms.block([])
            made = arm.call(f"nap_{number}", "sleep", [], "None", effects="idempotent", opts={"seconds": nap})
            arms.op("agent.arm", f"arm_{number}", [], [], [arm.closed([made])])
        arm, _ = arms.block([])
        arms.op("agent.arm", "arm", [], [], [arm.closed([once(arm, "slow", [question], 60.0, "None")])])
        [result] = body.op("agent.race", "race_1", [], ["None"], ["{" + "\n".join(arms.lines) + "}"])
        return planned(body, result).by_id["race_1"].seconds

    assert seconds().hi == pytest.approx(180, rel=0.01)
    assert seconds(30.0).bounds == pytest.approx((20, 30, 30), rel=0.01)
    assert seconds(30.0, 5.0).bounds == (5, 5, 5)


def test_samples_share_a_prompt(tmp_path: Path) -> None:
    body, _ = workflow()
    reply, _ = body.ask_model("llm_1", body.prompt("p", ["x" * 4000], []), samples=5, opts={"max_tokens": 100})
    made = planned(body, reply, one_engine(tmp_path)).by_id["llm_1"]
    assert made.tokens_in.mid == 1000 + 8
    assert made.tokens_out == Interval(5, 250, 500)


def test_a_conversation_grows_in_a_loop(tmp_path: Path) -> None:
    def turns(most: int) -> Plan:
        body, (question,) = workflow(question="int")
        chat = body.call("chat_1", "chat", [], "Chat", place="inline")
        cond, _ = body.block([("c", "Chat")])
        stop = cond.call("never", "const", [], "bool", opts={"value": "false"}, place="inline")
        turn, (state,) = body.block([("state", "Chat")])
        _, after = turn.ask_model("say", turn.prompt("p", ["Go on: ", ""], [question]), state, opts={"max_tokens": 10})
        regions = [cond.closed([stop]), turn.closed([after])]
        [_final] = body.op("agent.loop", "loop_1", [chat], ["Chat"], regions, max=most)
        return planned(body, question, one_engine(tmp_path))

    short, long = turns(2).by_id["say"], turns(20).by_id["say"]
    assert long.tokens_in.mid > 5 * short.tokens_in.mid
    assert long.tokens_in.lo == short.tokens_in.lo


def test_one_of_several_forked_conversations_is_as_long_as_one(tmp_path: Path) -> None:
    body, _ = workflow()
    _, forks = body.ask_model("first", body.prompt("p", ["x" * 400], []), samples=4, opts={"max_tokens": 100})
    one = body.call("getitem_1", "tool", [forks], "Chat", callee="builtin.getitem", place="inline")
    reply, _ = body.ask_model("second", body.prompt("q", ["y" * 40], []), one, opts={"max_tokens": 10})
    made = planned(body, reply, one_engine(tmp_path))
    # 400 / 4 and 40 / 4 characters, two message frames of 8, and half of the cap of the first reply.
    assert made.by_id["second"].tokens_in.mid == 100 + 10 + 2 * 8 + 50


def test_two_lists_of_conversations_make_one_of_both_lengths(tmp_path: Path) -> None:
    body, _ = workflow()
    options = {"max_tokens": 100}
    _, left = body.ask_model("left", body.prompt("p", ["x" * 400], []), samples=4, opts=options)
    _, right = body.ask_model("right", body.prompt("r", ["x" * 400], []), samples=2, opts=options)
    both = body.call("add_1", "tool", [left, right], "list[Chat]", callee="builtin.add", place="inline")
    one = body.call("getitem_1", "tool", [both], "Chat", callee="builtin.getitem", place="inline")
    reply, _ = body.ask_model("second", body.prompt("q", ["y" * 40], []), one, opts={"max_tokens": 10})
    made = planned(body, reply, one_engine(tmp_path))
    assert made.by_id["second"].tokens_in.mid == pytest.approx(100 + 10 + 2 * 8 + 50)


def test_no_prompt_is_longer_than_the_engine_takes(tmp_path: Path) -> None:
    body, (question,) = workflow(question="str")
    _, chat = body.ask_model("first", body.prompt("p", ["", ""], [question]), opts={"max_tokens": 100})
    reply, _ = body.ask_model("second", body.prompt("q", ["", ""], [question]), chat, opts={"max_tokens": 100})
    engine = one_engine(tmp_path).engines[0].model_copy(update={"options": {"max_model_len": 1500}})
    free = planned(body, reply, one_engine(tmp_path)).by_id["second"].tokens_in
    made = planned(body, reply, one_engine(tmp_path).model_copy(update={"engines": (engine,)}))
    assert free.hi > 1500
    assert made.by_id["second"].tokens_in == Interval(free.lo, free.mid, 1500)


def test_a_turn_takes_the_model_of_its_conversation_wherever_that_goes(tmp_path: Path) -> None:
    small = one_engine(tmp_path).engines[0].model_copy(update={"name": "small", "model": "small"})
    cluster = one_engine(tmp_path)
    cluster = cluster.model_copy(update={"engines": (*cluster.engines, small)})
    body, (question,) = workflow(question="list[str]")
    prompt = body.prompt("p", ["Go on."], [])
    chat = body.call("chat_1", "chat", [], "Chat", place="inline", opts={"model": "small"})
    _, chat = body.ask_model("first", prompt, chat)
    [chat] = body.op("op.kv_pin", "pin_1", [chat], ["Chat"], place="", ttl_s=5.0)
    cond, _ = body.block([("c", "Chat")])
    stop = cond.call("never", "const", [], "bool", opts={"value": "false"}, place="inline")
    turn, (state,) = body.block([("state", "Chat")])
    _, after = turn.ask_model("in_loop", prompt, state)
    [chat] = body.op("agent.loop", "loop_1", [chat], ["Chat"], [cond.closed([stop]), turn.closed([after])], max=2)
    each, _ = body.block([("item", "str")])
    reply, _ = each.ask_model("in_map", prompt, chat)
    body.op("agent.map", "map_1", [question], ["list[str]"], [each.closed([reply])], limit=2, concurrency=0)
    body.ask_model("other", prompt, chat, model="llama")
    made = planned(body, question, cluster)
    places = {op.id: op.place for op in made.ops if op.kind == "decode"}
    assert places == {
        "first": "engine:small",
        "in_loop": "engine:small",
        "in_map": "engine:small",
        "other": "engine:main",
    }


def test_a_hole_is_as_large_as_the_reply_that_fills_it(tmp_path: Path) -> None:
    body, _ = workflow()
    first, _ = body.ask_model("first", body.prompt("p", ["x" * 40], []), opts={"max_tokens": 300})
    second, _ = body.ask_model("second", body.prompt("q", ["", ""], [first]), opts={"max_tokens": 300})
    made = planned(body, second, one_engine(tmp_path))
    assert made.by_id["second"].tokens_in.hi == 300 + 40
    assert "tokens in" in made.by_id["second"].guesses
    assert "tokens in" not in made.by_id["first"].guesses


def test_the_whole_is_no_less_than_its_parts(tmp_path: Path) -> None:
    body, (question,) = workflow(question="str")
    reply, _ = body.ask_model("llm_1", body.prompt("p", ["Q: ", ""], [question]))
    made = planned(body, once(body, "store", [reply], 1.0), one_engine(tmp_path))
    for name in made.critical_path:
        part = made.by_id[name]
        assert all(a <= b for a, b in zip(part.seconds.bounds, made.seconds.bounds, strict=True))
    assert made.tokens == made.by_id["llm_1"].tokens_in + made.by_id["llm_1"].tokens_out
    costs = [op.cost_usd for op in made.ops]
    assert made.cost_usd is not None
    assert made.cost_usd.mid == pytest.approx(sum(cost.mid for cost in costs if cost is not None))


def test_an_op_that_cannot_be_priced_is_refused_with_its_place() -> None:
    body, (question,) = workflow(question="str")
    [moved] = body.op("op.unheard", "unheard_1", [question], ["str"], to="gpu")
    with pytest.raises(PlanError) as caught:
        planned(body, moved)
    [found] = caught.value.diagnostics
    assert found.code == "ORCH-P012"
    assert "unheard_1" in found.message
    assert found.where is not None
