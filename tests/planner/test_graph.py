import pytest

from orchestrator.errors import IRError
from orchestrator.planner.graph import read
from tests.planner.level2 import parsed, workflow


def test_regions_values_and_sources() -> None:
    body, (question,) = workflow(question="str")
    prompt = body.prompt("prompt_1", ['say "hi"\n', ""], [question])
    inner, (item,) = body.block([("item", "str")])
    joined = inner.call("tool_1", "tool", [item, prompt], "str", opts={"typical_s": 0.5, "retry": {"attempts": 3}})
    [rows] = body.op("agent.map", "map_1", [question], ["list[str]"], [inner.closed([joined])], limit=4, concurrency=2)
    after = body.call("tool_2", "tool", [rows], "int")
    with parsed(body.closed([after]), slo="p95 < 8s") as module:
        graph = read(module)
    assert (graph.name, graph.opts) == ("answer", {"slo": "p95 < 8s"})
    first, mapped, last = graph.body.nodes
    assert first.opts["parts"] == ['say "hi"\n', ""]
    assert first.source.startswith("app.py:")
    assert first.where is not None
    assert first.where.file == "app.py"
    [tool] = mapped.regions[0].nodes
    assert tool.opts == {"typical_s": 0.5, "retry": {"attempts": 3}}
    assert mapped.regions[0].arg_types == ("str",)
    assert mapped.regions[0].yields == list(tool.results)
    assert set(mapped.reads) >= {*graph.body.args, *first.results}
    assert last.reads == mapped.results
    assert graph.body.yields == list(last.results)


def test_the_regions_of_a_loop_and_a_race_stay_apart() -> None:
    body, (question,) = workflow(question="str")
    cond, (state,) = body.block([("state", "str")])
    stop = cond.call("stop", "tool", [state], "bool")
    turn, (current,) = body.block([("current", "str")])
    following = turn.call("step", "tool", [current], "str")
    [final] = body.op(
        "agent.loop", "loop_1", [question], ["str"], [cond.closed([stop]), turn.closed([following])], max=3
    )
    arms, _ = body.block([])
    for name in ("one", "two"):
        arm, _ = arms.block([])
        arms.op("agent.arm", name, [], [], [arm.closed([arm.call(f"in_{name}", "tool", [], "str")])])
    [won] = body.op("agent.race", "race_1", [], ["str"], ["{" + "\n".join(arms.lines) + "}"])
    with parsed(body.closed([body.call("both", "tool", [final, won], "str")])) as module:
        loop, race, _ = read(module).body.nodes
    assert [(region.name, [node.id for node in region.nodes]) for region in loop.regions] == [
        ("cond", ["stop"]),
        ("body", ["step"]),
    ]
    assert [arm.id for arm in race.regions[0].nodes] == ["one", "two"]
    assert [[node.id for node in arm.regions[0].nodes] for arm in race.regions[0].nodes] == [["in_one"], ["in_two"]]


def test_a_module_without_a_workflow_is_refused() -> None:
    from torch_mlir import ir

    with ir.Context(), ir.Location.unknown(), pytest.raises(IRError) as caught:
        read(ir.Module.create())
    assert caught.value.code == "ORCH-I001"
