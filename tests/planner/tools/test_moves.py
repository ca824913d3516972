from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import chat, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import IRError
from orchestrator.ir.hash import module_hash
from orchestrator.ir.text import parse
from orchestrator.ir.verify import verify
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.explain import render
from orchestrator.planner.graph import read
from orchestrator.planner.place import plan
from orchestrator.planner.tools.dispatch import dispatch
from orchestrator.planner.tools.moves import with_moves
from tests.planner.clusters import config_file, cpu, gpu

CPUS = Cluster(devices=(cpu(),))


@tool(effects="pure", typical_s=30)
def heavy(text: str) -> str:
    return text[::-1]


@workflow
def many(texts: list[str]) -> list[str]:
    return map_(heavy, texts, limit=3)


@workflow
def two_engines(question: str) -> str:
    _, talk = chat("Be brief. " * 4000).say(question, model="small")
    reply, _ = talk.say("And in detail?", model="large")
    return reply


def engines(folder: Path) -> Cluster:
    config = config_file(folder)
    made = [EngineSpec(name=name, kind="vllm", model=name, device=name, config=config) for name in ("small", "large")]
    return Cluster(devices=(cpu(), gpu(name="small"), gpu(name="large")), engines=tuple(made))


def test_what_goes_to_another_process_and_back_is_in_the_plan_and_in_level_2() -> None:
    compiled = compile_workflow(many, CPUS)
    there, back = compiled.plan.moves
    assert (there.what, there.source, there.target) == ("arguments", "coordinator", "process")
    assert (back.what, back.source, back.target) == ("result", "process", "coordinator")
    assert there.seconds == pytest.approx(there.bytes / (dispatch("process").bytes_per_s or 0.0))
    assert compiled.plan.by_id[there.op].seconds.mid > 30 + there.seconds + back.seconds
    lines = [line for line in compiled.level2.splitlines() if "op.transfer" in line]
    assert len(lines) == 2
    assert f'id = "{there.op}.arguments"' in lines[0]
    assert "arguments of" in render(compiled.plan)


def test_moves_change_neither_what_a_module_means_nor_how_it_is_read() -> None:
    compiled = compile_workflow(many, CPUS)
    plain = parse(str(compiled._level2))
    moved = parse(compiled.level2)
    verify(moved)
    assert module_hash(moved) == module_hash(plain)
    with_them, without = read(moved), read(plain)
    [inside], [before] = with_them.body.nodes[-1].regions, without.body.nodes[-1].regions
    assert [each.id for each in inside.nodes] == [each.id for each in before.nodes]
    again = plan(moved, CPUS)
    assert again.seconds == compiled.plan.seconds
    assert again.moves == compiled.plan.moves


def test_a_conversation_that_goes_on_at_another_engine_is_computed_again_there(tmp_path: Path) -> None:
    compiled = compile_workflow(two_engines, engines(tmp_path))
    [move] = compiled.plan.moves
    assert (move.what, move.source, move.target) == ("kv", "engine:small", "engine:large")
    assert move.bytes > 0
    assert move.seconds > 0
    [line] = [line for line in compiled.level2.splitlines() if "op.kv_move" in line]
    assert "recomputed = true" in line
    verify(parse(compiled.level2))
    assert "computed again in" in render(compiled.plan)


@pytest.mark.parametrize(
    ("was", "is_now", "code"),
    [
        ('source = "coordinator"', "source = 3 : i64", "ORCH-I027"),
        ("seconds = ", "seconds = -", "ORCH-I027"),
        ('target = "process"', 'target = "process", more = "x"', "ORCH-I029"),
        ('source = "coordinator", ', "", "ORCH-I018"),
    ],
)
def test_a_move_that_says_something_impossible_is_refused(was: str, is_now: str, code: str) -> None:
    text = compile_workflow(many, CPUS).level2
    assert was in text
    with pytest.raises(IRError) as refused:
        verify(parse(text.replace(was, is_now, 1)))
    assert code in [each.code for each in refused.value.diagnostics]


def test_nothing_moves_where_all_stays_here() -> None:
    @workflow
    def one(text: str) -> str:
        return heavy(text)

    compiled = compile_workflow(one, CPUS)
    assert compiled.plan.moves == ()
    assert with_moves(compiled._level2, ()) is compiled._level2
