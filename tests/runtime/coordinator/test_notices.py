"""What is said to a run arrives as it was said, and is refused at once where it is known to be wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from orchestrator.errors import RunError
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.coordinator.notices import Answer, Cancel, Pause, Said, Settlement
from orchestrator.runtime.journal.stores.base import Change, Claim, Head, NewRun, Status, Store
from orchestrator.runtime.journal.stores.memory import MemoryStore

LOG = b"""4
["run",1.0,"",{"run":"r","workflow":"w","version":"v"},[],null]
["asked",2.0,"loop[1]/9f3c","turns[1]/verdict","Fine?",{"type":"string"},["yes","no"],null,"5a"]
["asked",2.5,"77b2","amount","How much?",{"type":"integer"},null,99.5,"5a"]
["asked",2.6,"77b3","gone","Really?",{"type":"string"},null,null,"5a"]
["done",2.7,"77b3",["yes"],"abc"]
"""


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = MemoryStore()
    await store.create(NewRun("r", "w", "v"), LOG)
    yield store
    await store.close()


async def claimed(store: Store) -> Claim:
    ((claim, _),) = await store.claim("me", run_id="r")
    return claim


async def become(store: Store, status: Status) -> None:
    claim = await claimed(store)
    store.append(claim, b"", change=Change(status))
    waiting = store.barrier("r")
    if waiting is not None:
        await waiting


async def status(store: Store) -> Status:
    loaded = await store.load("r")
    assert loaded is not None
    return loaded.head.status


@pytest.mark.parametrize(
    "said",
    [
        Answer("loop[1]/9f3c", {"a": [1, None, "\udce9\n"]}, "Ada", 1.5),
        Settlement("pay_1", "happened", {"cents": 5}, None, "Ada", 1.5),
        Settlement("pay_1", "failed", None, "no funds", "Ada", 1.5),
        Cancel("Ada\n", 1.5),
        Pause("", 1.5),
    ],
)
def test_a_notice_comes_back_from_its_text(said: Said) -> None:
    assert notices.read(notices.written(said)) == said


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"{}", b'["answer",1.0]', b'["run",1.0,"x"]', b'["cancel","x","y"]', b"[" * 100_000]
)
def test_what_is_no_notice_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        notices.read(data)


async def test_an_answer_is_left_where_the_question_is_asked(store: Store) -> None:
    question = await notices.answer(store, "r", "verdict", "yes", by="Ada")
    assert (question.op, question.text) == ("turns[1]/verdict", "Fine?")
    (left,) = await store.notices("r")
    said = notices.read(left.data)
    assert isinstance(said, Answer)
    assert (said.path, said.value, said.by) == ("loop[1]/9f3c", "yes", "Ada")


@pytest.mark.parametrize(("op", "value"), [("turns[1]/verdict", "maybe"), ("amount", "7"), ("77b2", None)])
async def test_a_wrong_answer_is_refused_to_who_sends_it(store: Store, op: str, value: object) -> None:
    with pytest.raises(RunError) as failure:
        await notices.answer(store, "r", op, value)
    assert failure.value.code == "ORCH-R031"
    assert not await store.notices("r")


async def test_a_second_answer_is_refused_and_told_who_was_first_unless_it_says_the_same(store: Store) -> None:
    await notices.answer(store, "r", "verdict", "yes", by="Ada")
    await notices.answer(store, "r", "turns[1]/verdict", "yes", by="Bob")
    with pytest.raises(RunError, match="was answered by Ada, 20") as failure:
        await notices.answer(store, "r", "verdict", "no", by="Bob")
    assert failure.value.code == "ORCH-R032"
    await notices.answer(store, "r", "amount", 3, by="Bob")
    assert [notices.read(each.data)[1:3] for each in await store.notices("r")] == [("yes", "Ada"), (3, "Bob")]


class Racing(MemoryStore):
    """A store in which somebody else answers between what one reads and writes."""

    async def send(self, run_id: str, data: bytes, *, wakes: bool = True) -> bool:
        await super().send(run_id, notices.written(Answer("77b2", 4, "Ada", 1.0)))
        return await super().send(run_id, data, wakes=wakes)


async def test_of_two_who_answer_at_once_the_second_is_told_that_it_was() -> None:
    store = Racing()
    await store.create(NewRun("r", "w", "v"), LOG)
    with pytest.raises(RunError, match="was answered by Ada, 1970-01-01"):
        await notices.answer(store, "r", "amount", 3)


async def test_who_answers_a_question_that_a_run_goes_on_with_is_told_who_did(store: Store) -> None:
    store.append(await claimed(store), b'["answered",3.0,"77b2",[7],"Ada"]\n["done",4.0,"77b2",[7],"abc"]\n')
    store.barrier("r")
    with pytest.raises(RunError, match="`amount` of run r was answered by Ada, 1970-01-01") as failure:
        await notices.answer(store, "r", "amount", 3)
    assert failure.value.code == "ORCH-R032"


async def test_a_name_of_several_open_questions_is_no_matter_of_who_answered_an_earlier_one(store: Store) -> None:
    asked = '["asked",2.0,"loop[%d]/9f3c","turns[%d]/verdict","Fine?",{},null,null,"5a"]\n'
    earlier = asked % (0, 0) + '["answered",3.0,"loop[0]/9f3c",["yes"],"Ada"]\n'
    store.append(await claimed(store), (earlier + asked % (2, 2)).encode())
    store.barrier("r")
    with pytest.raises(RunError, match="`verdict` means several open questions"):
        await notices.answer(store, "r", "verdict", "yes")


@pytest.mark.parametrize("value", [object(), {1, 2}, {"a": b""}])
async def test_what_json_cannot_say_is_no_answer(store: Store, value: object) -> None:
    store.append(await claimed(store), b'["asked",2.0,"9999","any","?",{},null,null,"5a"]\n')
    store.barrier("r")
    with pytest.raises(RunError) as failure:
        await notices.answer(store, "r", "any", value)
    assert failure.value.code == "ORCH-R031"


@pytest.mark.parametrize("op", ["gone", "nothing", ""])
async def test_what_is_not_asked_takes_no_answer(store: Store, op: str) -> None:
    with pytest.raises(RunError) as failure:
        await notices.answer(store, "r", op, "yes")
    assert failure.value.code == "ORCH-R032"


async def test_what_is_typed_is_meant_by_the_schema(store: Store) -> None:
    verdict, amount = await notices.questions(store, "r")
    assert (verdict.typed(" yes "), amount.typed("12"), amount.typed("twelve")) == ("yes", 12, "twelve")
    assert amount.expires_at == 99.5


async def test_a_waiting_run_is_ready_for_an_answer_and_for_its_end(store: Store) -> None:
    await become(store, "waiting")
    await notices.answer(store, "r", "amount", 3)
    assert await status(store) == "ready"
    await become(store, "suspended")
    await notices.cancel(store, "r")
    assert await status(store) == "ready"


async def test_a_run_that_nobody_executes_is_paused_at_once_and_resumed(store: Store) -> None:
    await notices.pause(store, "r", by="Ada")
    assert await status(store) == "paused"
    await notices.resume(store, "r")
    assert await status(store) == "ready"


async def test_a_paused_run_takes_what_it_is_told_when_it_is_resumed_and_its_end_at_once(store: Store) -> None:
    await notices.pause(store, "r")
    await notices.answer(store, "r", "amount", 3)
    await notices.settle(store, "r", "pay", did_not_happen=True)
    assert await status(store) == "paused"
    await notices.cancel(store, "r")
    assert await status(store) == "ready"


async def test_who_executes_a_run_is_told_to_pause_it(store: Store) -> None:
    claim = await claimed(store)
    await notices.pause(store, "r")
    (left,) = await store.notices(claim.run_id)
    assert isinstance(notices.read(left.data), Pause)


@pytest.mark.parametrize("over", ["done", "cancelled"])
async def test_a_run_that_is_over_is_told_nothing(store: Store, over: Status) -> None:
    await become(store, over)
    for tell in (
        notices.answer(store, "r", "amount", 3),
        notices.settle(store, "r", "pay_1"),
        notices.cancel(store, "r"),
        notices.pause(store, "r"),
        notices.resume(store, "r"),
    ):
        with pytest.raises(RunError) as failure:
            await tell
        assert failure.value.code == "ORCH-R033"


@pytest.mark.parametrize("by", ["", " Ada", "Ada\n", "\udce9", "A" * 201])
async def test_who_says_something_has_a_name_that_a_line_takes(store: Store, by: str) -> None:
    for tell in (
        notices.answer(store, "r", "amount", 3, by=by),
        notices.settle(store, "r", "pay_1", by=by),
        notices.cancel(store, "r", by=by),
        notices.pause(store, "r", by=by),
    ):
        with pytest.raises(RunError) as failure:
            await tell
        assert failure.value.code == "ORCH-R106"
    assert await status(store) == "ready"


async def test_what_is_said_of_a_huge_answer_fits_a_screen(store: Store) -> None:
    for op, value in (("amount", "x" * 10_000), ("verdict", "x" * 10_000), ("x" * 10_000, 3)):
        with pytest.raises(RunError) as failure:
            await notices.answer(store, "r", op, value)
        assert len(str(failure.value)) < 1000


async def test_an_unknown_run_is_told_nothing(store: Store) -> None:
    with pytest.raises(RunError) as failure:
        await notices.cancel(store, "another")
    assert failure.value.code == "ORCH-R023"


class Slow(MemoryStore):
    """A store of whose run another process says something between what one reads and writes."""

    async def head(self, run_id: str) -> Head | None:
        head = await super().head(run_id)
        await super().set_status(run_id, "done")
        return head


@pytest.mark.parametrize("tell", [notices.pause, notices.resume])
async def test_a_run_that_has_ended_meanwhile_stays_over(tell: Callable[[Store, str], Awaitable[None]]) -> None:
    store = Slow()
    await store.create(NewRun("r", "w", "v"), LOG)
    await store.set_status("r", "waiting")
    await tell(store, "r")
    assert [head.status for head in await store.heads()] == ["done"]
