"""Results of earlier versions: how much memory they take, and which of several a later version finds."""

from __future__ import annotations

import tracemalloc

from orchestrator import tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.journal.lines.line import VERSION
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.stores.base import Row
from orchestrator.runtime.journal.versions.earlier import Earlier
from orchestrator.runtime.journal.versions.version_change import Reading

TURNS = 20_000


@tool(effects="reads")
async def look(n: int) -> int:
    return n + 1


@workflow
def looking(n: int) -> int:
    return look(look(n))


PROGRAM = compile_workflow(looking).program
KEY = next(op.key for op in PROGRAM.body.ops() if op.id.startswith("look"))


def earlier(*versions: list[str]) -> Earlier:
    """What versions have written, the first one first."""
    found = Earlier(PROGRAM)
    for number, lines in enumerate(versions):
        if number:
            found.begin_version()
        for line in lines:
            found.add(loads(line), line)
    found.align()
    return found


def done(path: str, value: int, digest: str = "d") -> str:
    return f'["done",1.0,"{path}",[{value}],"{digest}"]'


def taken(found: Earlier, key: str = KEY, digest: str = "d") -> list[object]:
    """The values of all that an op may take, one after the other."""
    values = []
    while (result := found.take("", key, digest)) is not None:
        values += result.values
    return values


def test_equal_calls_have_their_own_results() -> None:
    found = earlier([done(KEY, 1), done(f"{KEY}~2", 2), done(f"{KEY}~3", 3), done(f"{KEY}~4", 4, "other")])
    first = found.take("", f"{KEY}~2", "d")
    assert first is not None
    assert first.values == [2]
    assert taken(found) == [1, 3]
    assert taken(found, digest="other") == [4]


def test_the_latest_result_of_a_place_counts_and_none_that_has_failed_since() -> None:
    failed = f'["failed",2.0,"{KEY}~2",1,"ORCH-R001","no",null,true,null]'
    assert taken(earlier([done(KEY, 1), done(f"{KEY}~2", 2), done(KEY, 3), failed])) == [3]


def test_what_a_later_version_has_taken_over_counts_once() -> None:
    first = [done(KEY, 1), done(f"{KEY}~2", 2), done(f"{KEY}~3", 3)]
    assert taken(earlier(first, [done(KEY, 10)])) == [10, 2, 3]
    assert taken(earlier(first, [done(f"{KEY}~4", 40), done(f"{KEY}~5", 50)])) == [1, 40, 50]
    assert taken(earlier(first, first)) == [1, 2, 3]
    assert taken(earlier([done(KEY, 1, "a")], [done(KEY, 2, "b")]), digest="a") == [1]


def test_a_long_history_is_read_without_holding_it() -> None:
    reading = Reading(PROGRAM, None)
    tracemalloc.start()
    for first in range(0, TURNS, 100):
        lines = [f'["done",1.0,"loop[{turn}]/9f3c",["{turn}"],"{turn:064x}"]' for turn in range(first, first + 100)]
        reading.add([Row(1 + first // 100, False, 0.0, "\n".join([str(VERSION), *lines, ""]).encode())])
    history = reading.history()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * TURNS, "what is on its way to the file"
    assert sum(1 for _ in history.earlier.left()) == TURNS
