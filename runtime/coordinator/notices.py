"""What others tell a run, from any process and without the code of its workflow: answers, verdicts, pause, cancel.

A notice is one line of JSON, ``[kind, at, by, …]``. It waits in the store until whoever has claimed the run takes it,
and wakes a run that is waiting or suspended, so that somebody claims it. Who says it is named as a run is, in a line
(ORCH-R106).

>>> await answer(store, run_id, "verdict", "approve", by="ada")                         # doctest: +SKIP
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import time
from typing import Any, Final, NamedTuple

from orchestrator.errors import JournalError, RunError, described
from orchestrator.runtime.failures import (
    cancelled,
    not_a_result,
    nothing_to_settle,
    run_over,
    said_already,
    unknown_run,
)
from orchestrator.runtime.journal.events import Verdict
from orchestrator.runtime.journal.reading import described as descriptions
from orchestrator.runtime.journal.reading.questions import Question, answered_questions, open_questions
from orchestrator.runtime.journal.reading.unsettled import Unsettled, unsettled_ops
from orchestrator.runtime.journal.stores.base import OVER, Head, Store
from orchestrator.runtime.run_ids import require_teller

SOMEBODY: Final = "a person"


class Answer(NamedTuple):
    """The answer to a question."""

    path: str
    """Where it is asked, by the keys of ops."""
    value: Any
    """As JSON gives it."""
    by: str
    at: float
    """Unix time in seconds at which it was sent, as in every notice."""


class Settlement(NamedTuple):
    """What has become of a ``once`` tool of which nobody knew."""

    op: str
    """Its path, as the error gives it."""
    verdict: Verdict
    value: Any
    """What it has happened with, as JSON gives it."""
    message: str | None
    """What it has failed with."""
    by: str
    at: float


class Cancel(NamedTuple):
    """The run is to end without a result."""

    by: str
    at: float


class Pause(NamedTuple):
    """Nobody is to execute the run until somebody resumes it."""

    by: str
    at: float


Said = Answer | Settlement | Cancel | Pause


def written(said: Said) -> bytes:
    """A notice as text. Raises ``TypeError`` for a value that is no JSON."""
    kind = _KINDS[type(said)]
    return json.dumps([kind, said.at, said.by, *_parts(said)], ensure_ascii=False).encode(errors="surrogatepass")


def read(data: bytes) -> Said:
    """A notice. Raises ``ValueError`` for what is none."""
    try:
        kind, at, by, *parts = json.loads(data.decode(errors="surrogatepass"))
        return _MADE[kind](*parts, by=str(by), at=float(at))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{data[:80]!r} is no notice") from error


def _parts(said: Said) -> list[Any]:
    return list(said[:-2])


_KINDS: Final[dict[type[Said], str]] = {Answer: "answer", Settlement: "settle", Cancel: "cancel", Pause: "pause"}
_MADE: Final[Mapping[str, Callable[..., Said]]] = {kind: made for made, kind in _KINDS.items()}


async def answer(store: Store, run_id: str, op: str, value: object, *, by: str = SOMEBODY) -> Question:
    """Answer an open question of a run: ``op`` is its path, as ``orch runs show`` gives it, or its id where that is
    unambiguous; ``value`` is what JSON can say.

    Durable when it returns the question. Raises ``RunError``: ORCH-R023 for an unknown run, ORCH-R033 for one that is
    over, ORCH-R032 where there is no such question, or several, or it has another answer, and ORCH-R031 for an answer
    that does not fit.
    """
    require_teller(by)
    asked = await questions(store, run_id)
    try:
        question = the_question(run_id, asked, op)
    except RunError as error:
        if not any(each.is_meant_by(op) for each in asked):
            await _refuse_where_answered(store, run_id, op, error)
        raise
    if (why := question.wrong(value) or _no_json(value)) is not None:
        raise RunError("ORCH-R031", f"the answer to `{question.op}` is {value!r:.100}", why=why)
    said = Answer(question.path, value, by, time())
    await _say(store, run_id, question.op, said)
    return question


async def settle(
    store: Store,
    run_id: str,
    op: str,
    *,
    result: object = None,
    failed: str | None = None,
    did_not_happen: bool = False,
    by: str = SOMEBODY,
) -> None:
    """Say what has become of a ``once`` tool of which nobody knew: it has happened with ``result``, has ``failed`` and
    why, or ``did_not_happen``. ``op`` is its path, as the error gives it, or its id where that is unambiguous. Whoever
    executes the run next takes it, and says in its log if it does not fit after all.

    Raises ``RunError``: ORCH-R023 for an unknown run, ORCH-R033 for one that is over, unless it failed, and ORCH-R026
    where there is no such tool, somebody has said otherwise, or the result is none that it may give.
    """
    require_teller(by)
    verdict: Verdict = "did not happen" if did_not_happen else "failed" if failed is not None else "happened"
    if (why := _no_json(result)) is not None:
        raise not_a_result(op, why)
    said = Settlement(op, verdict, result, failed, by, time())
    unsettled = await to_settle(store, run_id)
    if unsettled is not None:
        meant = the_unsettled(run_id, unsettled, op)
        if verdict == "happened" and (why := meant.wrong(result)) is not None:
            raise not_a_result(meant.op, why)
        op, said = meant.op, said._replace(op=meant.path)
    await _say(store, run_id, op, said)


async def to_settle(store: Store, run_id: str) -> list[Unsettled] | None:
    """What may be settled of a run; None where the store has no description of its version that says it.

    Raises ``RunError``: ORCH-R023 if it is unknown, ORCH-R033 if it is over, unless it failed.
    """
    head = await _not_over(store, run_id)
    loaded = await store.load(run_id)
    if loaded is None:
        raise unknown_run(run_id)
    return unsettled_ops(loaded.rows, descriptions.read(await store.program(head.version)))


def the_unsettled(run_id: str, unsettled: list[Unsettled], op: str) -> Unsettled:
    """The one that ``op`` means. Raises ``RunError`` ORCH-R026."""
    meant = [each for each in unsettled if op in (each.path, each.op)]
    meant = meant or [each for each in unsettled if each.is_meant_by(op)]
    if len(meant) != 1:
        raise nothing_to_settle(op, run_id, sorted(each.op for each in unsettled))
    return meant[0]


async def cancel(store: Store, run_id: str, *, by: str = SOMEBODY) -> None:
    """End a run for good: nobody goes on with it. Whoever executes it does that, after what it does in the end; if
    nobody does, whoever claims it next. A run that has failed has done that, one whose log is damaged cannot, and so
    these are cancelled at once where nobody executes them.

    Raises ``RunError``: ORCH-R023 for an unknown run, ORCH-R033 for one that is done or cancelled.
    """
    require_teller(by)
    head = await _not_over(store, run_id)
    said = Cancel(by, time())
    if head.status != "running":
        damage = await _damage(store, run_id)
        if damage is not None or head.status == "failed":
            why = cancelled(by, said.at).message + ("" if damage is None else f"; {damage}")
            if await store.set_status(run_id, "cancelled", why, of=(head.status,)):
                return
    await _send(store, run_id, said)
    if head.status == "paused":
        await store.set_status(run_id, "ready", of=(head.status,))


async def pause(store: Store, run_id: str, *, by: str = SOMEBODY) -> None:
    """Have nobody execute a run until it is resumed. Where somebody executes it, it is given back when ``once`` tools
    that run have ended, or after a while; other tools and model calls are cut, and are made again.

    Raises ``RunError``: ORCH-R023 for an unknown run, ORCH-R033 for one that is over.
    """
    require_teller(by)
    head = await _not_over(store, run_id)
    is_idle = head.status != "running"
    if is_idle and await store.set_status(run_id, "paused", f"paused by {by}", of=(head.status,)):
        return
    await _send(store, run_id, Pause(by, time()), wakes=False)


async def resume(store: Store, run_id: str) -> None:
    """Let anybody who has the code go on with a run that is paused, suspended, waits or has failed.

    Raises ``RunError``: ORCH-R023 for an unknown run, ORCH-R033 for one that is done or cancelled.
    """
    head = await _not_over(store, run_id)
    if head.status not in ("running", "ready"):
        await store.set_status(run_id, "ready", of=(head.status,))  # or somebody has done more meanwhile


async def questions(store: Store, run_id: str) -> list[Question]:
    """The open questions of a run. Raises ``RunError``: ORCH-R023 if it is unknown, ORCH-R033 if it is over."""
    loaded = await store.load(run_id)
    if loaded is None:
        raise unknown_run(run_id)
    if loaded.head.status in OVER:
        raise run_over(loaded.head)
    return open_questions(loaded.rows)


def the_question(run_id: str, asked: list[Question], op: str) -> Question:
    """The one among the open questions that ``op`` means. Raises ``RunError`` ORCH-R032."""
    exact = [each for each in asked if op in (each.path, each.op)]
    meant = exact or [each for each in asked if each.is_meant_by(op)]
    if len(meant) == 1:
        return meant[0]
    listed = ", ".join(f"`{each.op}`" for each in meant or asked)
    problem = "means several open questions" if meant else "is no open question"
    fix = f"name one of {listed}" if listed else "nothing is asked: see what it waits for with `orch runs show`"
    raise RunError("ORCH-R032", f"`{op:.200}` {problem} of run {run_id}", fix=fix)


def _no_json(value: object) -> str | None:
    """Why a value has no text in JSON; None where it has one."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        return described(error)
    return None


async def _say(store: Store, run_id: str, op: str, said: Answer | Settlement) -> None:
    """Leave it once, and wake the run; raises as :func:`_is_said`."""
    if await _is_said(store, run_id, op, said):
        await store.set_status(run_id, "ready", of=("waiting", "suspended"))
        return
    await _send(store, run_id, said)
    await _is_said(store, run_id, op, said)  # somebody may have been faster


async def _is_said(store: Store, run_id: str, op: str, said: Answer | Settlement) -> bool:
    """Whether this is left for the run already. Raises ``RunError`` where something else of the same op was first."""
    for notice in await store.notices(run_id):
        with suppress(ValueError):
            left = read(notice.data)
            if type(left) is type(said) and left[0] == said[0]:
                if json.dumps(_parts(left)) == json.dumps(_parts(said)):
                    return True
                code = "ORCH-R032" if isinstance(said, Answer) else "ORCH-R026"
                raise said_already(code, op, run_id, left.by, left.at)
    return False


async def _refuse_where_answered(store: Store, run_id: str, op: str, error: RunError) -> None:
    """Say who has answered a question that is open no more."""
    answered = [each for each in await answered_questions(store.history(run_id)) if each.question.is_meant_by(op)]
    if answered:
        raise said_already("ORCH-R032", answered[-1].question.op, run_id, answered[-1].by, answered[-1].at) from error


async def _send(store: Store, run_id: str, said: Said, *, wakes: bool = True) -> None:
    if not await store.send(run_id, written(said), wakes=wakes):
        raise unknown_run(run_id)


async def _not_over(store: Store, run_id: str) -> Head:
    head = await store.head(run_id)
    if head is None:
        raise unknown_run(run_id)
    if head.status in ("done", "cancelled"):
        raise run_over(head)
    return head


async def _damage(store: Store, run_id: str) -> str | None:
    """What is wrong with the log of a run that cannot be read."""
    try:
        await store.load(run_id)
    except JournalError as error:
        return error.message
    return None
