"""An op's hash is of its meaning: how it is run, what it is called and where it stands do not count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Retry, branch, llm, loop, map_, sleep, tool, workflow
from orchestrator.errors import SourceLoc
from orchestrator.ir.build import Builder
from orchestrator.ir.hash import module_hash, op_hashes
from orchestrator.ir.text import read


@tool(effects="idempotent")
def look(text: str) -> str:
    return text


SEEK = tool(look.fn, name="seek", effects="idempotent")


@tool(effects="pure")
def words(text: str) -> list[str]:
    return text.split()


def hashes(**changed: Any) -> dict[str, str]:
    given: dict[str, Any] = {"prompt": "About ", "model": "m", "temperature": 0.5, "max": 3, "look": {}, "llm": {}}
    given |= changed

    @workflow(**given.get("workflow", {}))
    def flow(q: str) -> str:
        reply = llm(
            f"{given['prompt']}{q}",
            model=given["model"],
            temperature=given["temperature"],
            name="reply",
            **given["llm"],
        )
        found = given.get("tool", SEEK).options(name="found", **given["look"])(reply)
        each = map_(look, words(found), limit=9, name="each", concurrency=given.get("concurrency"))
        turned = loop(look, found, until=lambda text: text == "x", max=given["max"], name="turned")
        return branch(turned == "", then=lambda: turned, otherwise=lambda: f"{each}", name="chosen")

    module = flow.trace().module
    return {**op_hashes(module), "all": module_hash(module)}


PLAIN = hashes()


@pytest.mark.parametrize(
    "changed",
    [
        {"look": {"retry": 4}},
        {"look": {"retry": Retry(attempts=2, backoff_s=1.0), "timeout": "9s", "budget": "30s"}},
        {"llm": {"retry": 3, "timeout": "5s", "budget": "$0.02, 400 tokens"}},
        {"concurrency": 2},
        {"workflow": {"name": "other", "budget": "$1", "slo": "p95 < 8s"}},
        {"tool": tool(SEEK, typical_s=3.0, pause_features=("text",), isolation="process")},
    ],
)
def test_how_an_op_is_run_does_not_count(changed: dict[str, Any]) -> None:
    found = hashes(**changed)
    assert list(found.values()) == list(PLAIN.values())


@pytest.mark.parametrize(
    ("changed", "from_"),
    [
        ({"prompt": "Of "}, "reply"),
        ({"model": "n"}, "reply"),
        ({"temperature": 0.6}, "reply"),
        ({"llm": {"max_tokens": 5}}, "reply"),
        ({"tool": tool(SEEK, effects="once")}, "found"),
        ({"max": 4}, "turned"),
    ],
)
def test_what_it_means_counts_for_it_and_for_all_that_depends_on_it(changed: dict[str, Any], from_: str) -> None:
    found = hashes(**changed)
    different = {name for name in ("reply", "found", "turned", "chosen", "all") if found[name] != PLAIN[name]}
    order = ["reply", "found", "turned", "chosen", "all"]
    assert different == set(order[order.index(from_) :])


def test_an_edited_tool_counts_for_its_calls() -> None:
    def other(text: str) -> str:
        return text + "!"

    found = hashes(tool=tool(other, name="seek", effects="idempotent"))
    assert found["reply"] == PLAIN["reply"]
    assert found["found"] != PLAIN["found"]


def test_a_sleep_is_what_it_waits_for_wherever_it_stands() -> None:
    def slept(first: float, second: float, *names: str) -> list[str]:
        @workflow
        def flow(n: float) -> None:
            sleep(first, name=names[0])
            sleep(second)
            sleep(n)
            sleep(2 * n)

        found = op_hashes(flow.trace().module)
        return [found[each] for each in (names[0], "sleep_1", "sleep_2", "sleep_3")]

    hour = slept(3600, 60, "nap")
    assert len(set(hour)) == 4
    assert slept(1800, 60, "rest")[1:] == hour[1:]
    assert slept(60, 3600, "nap")[:2] == hour[1::-1]


WHERE = SourceLoc("flow.py", 1)


def built(ops: Sequence[tuple[str, str, tuple[str, ...]]]) -> Any:
    """A module of calls: name, effects and what each takes."""
    builder = Builder()
    with builder.workflow("flow", ["str"], opts={}, where=WHERE) as (question,):
        values = {"q": question}
        for name, effects, takes in ops:
            operands = [values[each] for each in takes]
            attrs = {"callee": name.partition("#")[0], "params": ["x"] * len(takes), "effects": effects}
            values[name] = builder.op("tool", operands, ["str"], attrs, id=name, opts={}, where=WHERE)[0]
        builder.yield_([values[ops[-1][0]]])
    return builder.finish()


def test_the_order_of_independent_ops_does_not_count() -> None:
    ops = [("a", "once", ("q",)), ("b", "once", ("q",)), ("c", "pure", ("a", "b"))]
    assert op_hashes(built(ops)) == op_hashes(built([ops[1], ops[0], ops[2]]))


def test_two_equal_calls_give_two_values() -> None:
    two = [("a", "once", ("q",)), ("a#2", "once", ("q",))]
    one_twice = op_hashes(built([*two, ("c", "pure", ("a", "a"))]))
    both = op_hashes(built([*two, ("c", "pure", ("a", "a#2"))]))
    assert one_twice["a"] == one_twice["a#2"] == both["a#2"]
    assert one_twice["c"] != both["c"]


def with_tokens(*lines: str) -> dict[str, str]:
    body = "\n".join(["^bb0(%q: <V>):", *lines, '"agent.yield"(%z) : (<V>) -> ()'])
    flow = f'"agent.workflow"() ({{ {body} }}) {{opts = {{}}, sym_name = "flow"}} : () -> ()'
    module = read(flow.replace("<V>", '!agent.value<"str">').replace("<T>", "!agent.token"))
    return {**op_hashes(module), "all": module_hash(module)}


def call(result: str, operands: str, types: str, callee: str) -> str:
    attributes = f'{{callee = "{callee}", effects = "once", id = "{callee}", opts = {{}}, params = ["x"]}}'
    return f'{result} = "agent.tool"({operands}) {attributes} : ({types}) -> (<V>, <T>)'


def test_tokens_do_not_count_for_an_op_and_their_order_does_for_the_workflow() -> None:
    first = with_tokens(
        call("%a, %t", "%q", "<V>", "a"),
        call("%b, %u", "%q, %t", "<V>, <T>", "b"),
        call("%z, %v", "%a, %u", "<V>, <T>", "c"),
    )
    second = with_tokens(
        call("%b, %t", "%q", "<V>", "b"),
        call("%a, %u", "%q, %t", "<V>, <T>", "a"),
        call("%z, %v", "%a, %u", "<V>, <T>", "c"),
    )
    assert {name for name in first if first[name] != second[name]} == {"flow", "all"}


def test_equal_in_another_process_with_other_hashes_of_texts() -> None:
    command = "import json\nfrom tests.ir.test_hash import PLAIN\nprint(json.dumps(PLAIN))"
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, env=env)
        assert json.loads(run.stdout) == PLAIN


SEEDED = """
from orchestrator import react, tool, workflow
from orchestrator.ir.hash import module_hash

class Missing: ...

@tool(effects="pure")
def keep(x: str, skip: frozenset[str] = frozenset({"a", "b", "c"}), other: object = Missing()) -> str:
    return x if x in {"q", "w", "e"} else ""

@workflow
def agent(q: str) -> str:
    return react(q, tools=[keep])

print(module_hash(agent.trace().module))
"""


def test_what_an_agent_offers_is_equal_in_another_process(tmp_path: Path) -> None:
    """A default may be a set, or an object that is shown by its address."""
    (tmp_path / "seeded.py").write_text(SEEDED)
    found = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-W", "ignore", str(tmp_path / "seeded.py")]
        found.add(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)
    assert len(found) == 1
