"""Lines of a log: every kind of event comes back from its text, under the names that the program has now."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import BaseModel

from orchestrator import attempt, chat, llm, loop, map_, race, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import Error, SourceLoc
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import (
    Answered,
    Asked,
    CleanupStarted,
    Decided,
    Event,
    Forked,
    ItemDone,
    OpCaught,
    OpDone,
    OpFailed,
    OpSettled,
    OpStarted,
    OpUnsettled,
    ReplyUnfit,
    Reserved,
    RunDone,
    RunFailed,
    RunResumed,
    RunStarted,
    Spent,
    TimerSet,
    Totals,
    TurnDone,
    VersionChanged,
)
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.line import (
    VERSION,
    text_of,
    upgraded,
    with_path,
    with_version,
    without_spending,
)
from orchestrator.runtime.journal.lines.paths import UnknownPathError, paths_of
from orchestrator.runtime.journal.lines.stored import decode, encode, loads
from orchestrator.runtime.journal.lines.wire import Wire
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.services import Engines, Services
from tests.runtime.executing import execute
from tests.runtime.journal.text import Codec


class Point(BaseModel):
    x: int
    tags: tuple[str, ...] = ()


@tool(effects="idempotent")
async def move(point: Point) -> Point:
    return Point(x=point.x + 1, tags=(*point.tags, "moved"))


@tool(effects="once")
async def pay(cents: int) -> dict[str, int]:
    return {"cents": cents}


@workflow
def wf(start: Point, label: str) -> list[Point]:
    talk = chat(label)
    _, talk = talk.say("hello")
    reply, _ = talk.say("again")
    end = loop(move, start, max=3, until=lambda p: p.x >= 3, name="turns")
    drafts = llm(f"{reply} {end}", returns=Point, samples=2, name="drafts")
    return map_(move, drafts, name="each")


@workflow
def paying(cents: int) -> dict[str, int]:
    return attempt(lambda: pay(cents), lambda e: pay(0), cleanup=lambda: pay(1), name="trying")


def program_of(flow: Any) -> Program:
    return compile_workflow(flow).program


POINT = Point(x=1, tags=("a", "b"))
PAID = {"cents": 5}
EVENTS: list[tuple[Any, Event]] = [
    (wf, RunStarted("r", "wf", "hash", (POINT, "l"), 1.0)),
    (wf, RunStarted("r", "wf", "hash", (POINT, "\udce9\n"), 1.0, Limits(0.5, None, 3.0), "acme")),
    (wf, RunResumed(5.75)),
    (wf, RunResumed(5.75, Limits(), 3.5)),
    (wf, Totals(5.75, 3.5)),
    (wf, VersionChanged("hash", 12, 1.0)),
    (wf, Decided("", "drafts", "again", 1.0)),
    (wf, Forked("r", "turns[3]/move_1", 1.0)),
    (wf, Forked("r", None, 1.0)),
    (wf, TurnDone("", "turns", 2, 4, (POINT,), 1.0)),
    (wf, ItemDone("each[3]/", (POINT,), 1.0)),
    (paying, CleanupStarted("trying.finally[0]/", 2.0)),
    (wf, OpStarted("turns#2[0]/", "move_1", 2, 3.0)),
    (wf, OpFailed("", "drafts", 1, "ORCH-R001", "failed", 0.25, 4.0)),
    (wf, OpFailed("", "drafts", 1, "ORCH-R001", "x", None, 4.0, raised=Error("ORCH-R001", "x", "m.E", ("b.E",)))),
    (wf, OpFailed("", "drafts", 1, "ORCH-R024", "cancelled", None, 4.0, began=False)),
    (paying, OpCaught("", "trying", 2, 0, Error("ORCH-R004", "too long", "timeout", ("b.TimeoutError",)), 4.1)),
    (wf, OpDone("each[2]/", "move_2", (POINT,), 5.0)),
    (wf, OpDone("", "each", ([POINT, POINT],), 5.0, inputs="abc")),
    (wf, OpDone("each[2]/", "move_2", (POINT,), 5.0, inputs="abc", took_s=0.25)),
    (wf, OpDone("", "drafts", ([POINT],), 5.0, Usage(3, 2, 1), 0.5, ("stop", "length"), "abc")),
    (wf, OpDone("", "drafts", ([POINT],), 5.0, Usage(3, None, 1, estimated=True), None, ("stop",))),
    (wf, TimerSet("turns[0]/", "move_1", 17.5, 5.0)),
    (wf, Asked("turns[0]/", "move_1", "Where\nto?", {"type": "string"}, ("a", "b"), 17.5, 5.0, "1f")),
    (wf, Asked("", "drafts", "Which?", {"$defs": {"A": {}}}, None, None, 5.0, "1f")),
    (wf, Answered("turns[0]/", "move_1", POINT, "Ada \udce9", 6.0)),
    (wf, ReplyUnfit("", "drafts", ((0, "1"), (2, "3")), "two", "a number, please", 4.25)),
    (paying, OpUnsettled("trying.try/", "pay_1", 1, "it was cancelled", 4.5)),
    (paying, OpSettled("trying.try/", "pay_1", "happened", "check", (PAID,), None, 4.5)),
    (paying, OpSettled("trying.try/", "pay_1", "failed", "a person", (), "no funds", 4.5)),
    (wf, Reserved("", "drafts", Usage(300, None, 50, estimated=True), 0.25, 5.0)),
    (wf, Spent("", "drafts", Usage(3, None, 1), None, 5.5)),
    (wf, Spent("turns[1]/", "move_1.0af3/loop_1[2]/llm_1", Usage(3, None, 1, estimated=True), 0.5, 5.5)),
    (wf, RunDone([POINT], 6.0)),
    (wf, RunFailed("ORCH-R001", "failed", "t", SourceLoc("a.py", 3, "f"), 7.0)),
    (wf, RunFailed("ORCH-R010", "budget", None, None, 7.0)),
    (wf, OpDone("", "drafts", ([POINT],), 5.0, Usage(3, 2, 1), 0.5, ("stop",), "abc", engine="large \udce9")),
]


STARTS: list[tuple[Any, Event]] = [
    (flow, OpStarted(frame, op, 2, 3.0, before_s))
    for flow, frame, op in ((wf, "turns#2[0]/", "move_1"), (paying, "trying.try/", "pay_1"))
    for before_s in (0.0, 2.5)
]


def test_every_kind_of_event_is_tried() -> None:
    assert {type(event) for _, event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize(
    ("flow", "event"), [*EVENTS, *STARTS, (wf, Totals(5.75, 3.5, 2.25))], ids=lambda each: type(each).__name__
)
def test_an_event_comes_back_from_one_line_of_text(flow: Any, event: Event) -> None:
    text = Codec(program_of(flow)).dumps(event)
    assert "\n" not in text
    assert Codec(program_of(flow)).loads(text) == event


@pytest.mark.parametrize(
    "value", [10**5000, -(10**4300), "\udce9", [1e300, 2**64, "é"]], ids=["long", "longest", "half a pair", "plain"]
)
def test_a_line_keeps_its_values_where_another_version_goes_on_with_it(value: Any) -> None:
    text = encode(Any, value, None)
    said = [
        with_version(f'["run",1.0,"",{{"run":"r","version":"v1"}},[{text}],null]', "v2"),
        with_path(f'["timer",1.0,"a",[{text}]]', "b"),
        without_spending(f'["done",1.0,"a",[{text}],"d",[1,null,2],0.5,null]'),
        text_of(loads(f'["settled",1.0,"a",[{text}]]')),
    ]
    found = [next(each for each in loads(line)[3:] if isinstance(each, list))[0] for line in said]
    assert [decode(Any, each, None) for each in found] == [value] * 4
    assert [line.encode().decode() for line in said] == said


def test_a_path_has_no_name_that_the_program_gives() -> None:
    text = Codec(program_of(wf)).dumps(OpDone("each[2]/", "move_2", (POINT,), 5.0))
    assert "each" not in text
    assert "move" not in text.partition("/")[2].partition('"')[0]
    assert text.startswith('["wrote",5.0,"map[2]/')


def test_a_tool_with_a_point_in_its_name_is_no_run_that_a_tool_has_begun() -> None:
    dotted = tool(move.fn, name="points.move", effects="idempotent")  # type: ignore[attr-defined]

    @workflow
    def flow(start: Point) -> Point:
        return dotted(start)

    program = program_of(flow)
    (op,) = program.body.ops()
    assert op.id == "points.move_1"
    codec = Codec(program)
    assert loads(codec.dumps(OpStarted("", op.id, 1, 3.0)))[3:] == [1]
    begun = codec.dumps(OpStarted("", f"{op.id}.0af3/llm_1", 1, 3.0))
    assert loads(begun)[3:] == [1, True]
    assert codec.loads(begun).op == f"{op.id}.0af3/llm_1"  # type: ignore[union-attr]


def test_what_ops_are_called_now_does_not_matter() -> None:
    @workflow
    def renamed(start: Point, label: str) -> list[Point]:
        talk = chat(label)
        _, talk = talk.say("hello")
        reply, _ = talk.say("again")
        end = loop(move, start, max=3, until=lambda p: p.x >= 3, name="rounds")
        drafts = llm(f"{reply} {end}", returns=Point, samples=2, name="sketches")
        return map_(move, drafts, name="all")

    old, new = Codec(program_of(wf)), Codec(program_of(renamed))
    read = new.loads(old.dumps(OpStarted("turns#2[0]/", "move_1", 2, 3.0)))
    assert (read.frame, read.op) == ("rounds#2[0]/", "move_1")  # type: ignore[union-attr]
    assert new.loads(old.dumps(OpDone("", "drafts", ([POINT],), 5.0))).op == "sketches"  # type: ignore[union-attr]


def test_the_path_of_another_program_is_unknown() -> None:
    text = Codec(program_of(paying)).dumps(OpStarted("trying.try/", "pay_1", 1, 4.5))
    with pytest.raises(UnknownPathError):
        Codec(program_of(wf)).loads(text)


def test_two_equal_calls_of_one_region_have_paths_of_their_own() -> None:
    @workflow
    def twice(n: int) -> int:
        return llm("a", returns=int, name="one") + llm("b", returns=int, name="two")

    codec = Codec(program_of(twice))
    texts = [codec.dumps(OpStarted("", name, 1, 0.0)) for name in ("one", "two")]
    assert len(set(texts)) == 2
    assert [codec.loads(text).op for text in texts] == ["one", "two"]  # type: ignore[union-attr]


def test_the_arms_of_a_race_keep_their_names() -> None:
    @workflow
    def racing(start: Point) -> Point:
        return race(lambda: move(start), lambda: move(start), name="first")

    program = program_of(racing)
    (op,) = program.body.ops()
    frames = [f"first.{body.name}/" for body in op.bodies]
    assert [paths_of(program).frame(frame)[0] for frame in frames] == [f"race.{body.name}/" for body in op.bodies]


def test_a_line_of_a_newer_version_is_refused() -> None:
    with pytest.raises(ValueError, match="newer version"):
        upgraded(["done", 1.0, "x"], VERSION + 1)


def test_a_line_of_a_version_that_never_was_is_refused() -> None:
    with pytest.raises(ValueError, match="none that was ever written"):
        upgraded(["done", 1.0, "x"], 1)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of event"):
        Wire(program_of(wf), Chats()).read(["dome", 1.0, "x"])


async def test_every_prefix_survives_text() -> None:
    program = program_of(wf)
    codec = Codec(program)

    def services() -> Services:
        def reply(request: object) -> str:
            return '{"x": 5}' if getattr(request, "sampling").schema else "text"  # noqa: B009

        return Services(Engines({"default": ScriptedEngine(reply)}))

    written = MemoryJournal()
    done = await execute(program, (Point(x=1), "system"), services(), written, "run")
    assert done.value == [Point(x=6, tags=("moved",))] * 2
    events = await written.load("run")
    lines = [codec.dumps(event) for event in events]
    assert [codec.loads(line) for line in lines] == events
    for cut in range(1, len(lines) + 1):
        journal = MemoryJournal()
        for line in lines[:cut]:
            journal.append("run", codec.loads(line))
        resumed = await execute(program, (), services(), journal, "run", resume=True)
        assert resumed.value == done.value
