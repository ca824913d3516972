"""What earlier versions have done is read from the rows of a log."""

from __future__ import annotations

from orchestrator import loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.journal.stores.base import Row
from orchestrator.runtime.journal.versions.version_change import Reading


@tool(effects="reads")
async def look(what: str) -> str:
    return what


@workflow
def twice(what: str) -> str:
    return loop(look, loop(look, what, max=3), max=3)


def test_a_snapshot_within_a_version_begins_no_other_one() -> None:
    change = '["version",2.0,"","v1",1]'
    rows = [
        Row(1, False, 1.0, b'4\n["done",1.0,"a",[1],"given"]\n'),
        Row(2, True, 2.0, f"4\n{change}\n".encode()),
        Row(3, False, 3.0, b'4\n["done",3.0,"loop[0]/b",[2],"given"]\n["done",3.0,"loop",[2],"given"]\n'),
        Row(4, True, 4.0, f'4\n{change}\n["done",3.0,"loop",[2],"given"]\n'.encode()),
        Row(5, False, 5.0, b'4\n["done",5.0,"loop~2[0]/b",[3],"given"]\n'),
    ]
    reading = Reading(compile_workflow(twice).program, None)
    reading.add(rows)
    history = reading.history()
    assert [history.alignment.frame(each) for each in ("loop[0]/", "loop~2[0]/")] == ["loop[0]/", "loop~2[0]/"]
    assert sorted(str(each.values) for each in history.earlier.left()) == ["[1]", "[2]", "[2]", "[3]"]
