"""What is killed: programs with loops, maps, races, branches, attempts, chats, questions, budgets and ``once`` tools.

Every op of theirs says what it is by a name, which is a digest of what it was given, and its result is that name. So
the value of a run says whether any result on the way to it was lost or swapped, and each line of the effects says whose
results it had in hand. A model's reply is a name, too; the names in its prompt are what it has seen.
"""

from __future__ import annotations

import asyncio
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.arms.effects import Effects, read
from orchestrator import Retry, Workflow, ask, attempt, branch, chat, llm, loop, map_, race, sleep, tool, workflow
from orchestrator.runtime.engines.base import GenerateRequest

BUSY_S = 0.002
"""How long an op takes, so that some of them are under way when the process dies."""
NAME = re.compile(r"\b[a-z]+-[0-9a-f]{8}\b")
TURNS, ITEMS, WIDTH = 10, 12, 1000
BUDGET_TOKENS, TIGHT_TOKENS = 4000, 400
"""Of a program that spends a little of it, and of one that a few calls exhaust which were under way when their process
died: such a call counts at its worst."""
PATIENT: Final = Retry(attempts=1000, backoff_s=0.02, max_backoff_s=1.0)
"""For a model or a worker process that is killed and started again."""
PLACE: Final = "ORCH_BENCH_EFFECTS"
"""The environment variable that tells worker processes where effects go."""


class World:
    """Where effects go; set by whoever runs a program."""

    effects: Effects | None = None
    waits = False
    """Whether whoever gets to the end of very many ops waits there."""


def start_of(program: str) -> str:
    """What a program begins with: no op of one has the name of an op of another."""
    return named("start", program)


def named(what: str, *given: str) -> str:
    """The name of an op that was given these."""
    return f"{what}-{zlib.crc32('|'.join(given).encode()):08x}"


async def _act(what: str, kind: str, *given: str, key: str = "") -> str:
    name = named(what, *given)
    if World.effects is None and (place := os.environ.get(PLACE)):
        World.effects = Effects(Path(place))
    if World.effects is not None:
        World.effects.record(name, kind, seen=[each for text in (*given, key) for each in NAME.findall(text)])
    await asyncio.sleep(BUSY_S)
    if World.effects is not None:
        World.effects.record(name, kind, ended=True)
    return name


@tool(effects="reads")
async def look(what: str, given: str) -> str:
    """Observe something."""
    return await _act(what, "reads", given)


@tool(effects="idempotent")
async def write(what: str, given: str) -> str:
    """Change something that may be changed twice."""
    return await _act(what, "idempotent", given)


@tool(effects="once")
async def pay(number: int, given: str) -> str:
    """Do what must not be done twice; its name is its number's, so that its place in a run says it."""
    return await _act("pay", "once", str(number))


@tool(effects="once", key="key")
async def charge(given: str, key: str = "") -> str:
    """Do what must not be done twice with two keys."""
    return await _act("charge", "keyed", given, key=named("key", key))


@tool(effects="idempotent", isolation="process", retry=PATIENT)
async def press(given: str) -> str:
    """Change something in a process that may be killed by itself."""
    return await _act("press", "idempotent", given)


@tool(effects="once", isolation="process")
async def stamp(number: int, given: str) -> str:
    """Do what must not be done twice in a process that may be killed by itself."""
    return await _act("stamp", "once", str(number))


@tool(effects="idempotent")
async def refuse(given: str) -> str:
    """Fail, having changed something."""
    raise ValueError(await _act("refuse", "idempotent", given))


@tool(effects="pure", cheap=True)
def joined(what: str, names: list[str]) -> str:
    """One name for many."""
    return named(what, *names)


@tool(effects="pure", cheap=True)
def is_even(name: str) -> bool:
    """A condition that half of all names meet."""
    return zlib.crc32(name.encode()) % 2 == 0


@tool(effects="pure", cheap=True)
def each_of(given: str) -> list[str]:
    """Items to map over."""
    return [named("item", given, str(number)) for number in range(ITEMS)]


@tool(effects="pure", cheap=True)
def following(number: int) -> int:
    """The next number."""
    return number + 1


@tool(effects="pure", cheap=True)
def over(name: str) -> str:
    """What does not depend on which arm of a race was first."""
    return "over"


@workflow
def looping(start: str) -> str:
    """A read, a model call and a write a turn."""
    return loop(lambda s: write("turn", llm(f"Go on from {look('look', s)}", retry=PATIENT)), start, max=TURNS)


@workflow
def mapping(start: str) -> str:
    """Items side by side, each a write, a model call and a write; half of them do one more."""

    def item(s: str) -> str:
        said = llm(f"Say something of {write('first', s)}", retry=PATIENT)
        return branch(is_even(said), lambda: write("even", said), lambda: look("odd", said))

    return joined("mapped", map_(item, each_of(start), limit=ITEMS, concurrency=5))


@workflow
def catching(start: str) -> str:
    """Attempts that fail, in a loop: the handler writes what the error says."""

    def turn(s: str) -> str:
        return attempt(lambda: refuse(write("before", s)), lambda error: write("handled", error.message))

    return loop(turn, start, max=TURNS)


@workflow
def chatting(start: str) -> str:
    """A conversation that grows, with a tool between its turns."""
    talk = chat("You say names.")
    said = start
    for _ in range(TURNS):
        said, talk = talk.say(f"And then? {write('heard', said)}", retry=PATIENT)
    return said


@workflow
def paying(start: str) -> str:
    """Payments one after the other, by number."""

    def turn(state: tuple[int, str]) -> tuple[int, str]:
        return following(state[0]), write("noted", f"{pay(state[0], state[1])} after {state[1]}")

    return loop(turn, (0, start), max=TURNS)[1]


@workflow
def charging(start: str) -> str:
    """Payments with keys, side by side."""
    return joined("charged", map_(lambda s: write("noted", charge(s)), each_of(start), limit=ITEMS))


@workflow
def racing(start: str) -> str:
    """Races between a model and a tool, in a loop."""

    def turn(s: str) -> str:
        first = race(
            lambda: write("racewrite", llm(f"Race {s}", retry=PATIENT)), lambda: look("racelook", look("racelook", s))
        )
        return write("after", joined("lap", [over(first), s]))

    return loop(turn, start, max=TURNS // 2)


@workflow
def asking(start: str) -> str:
    """Questions between writes."""

    def turn(s: str) -> str:
        return write("answered", ask(f"What of {write('asked', s)}?"))

    return loop(turn, start, max=TURNS // 2)


@workflow
def sleeping(start: str) -> str:
    """Timers between writes, and beside a model."""

    def turn(s: str) -> str:
        written = write("slept", s)
        sleep(0.02)
        race(lambda: llm(f"Race {written}", retry=PATIENT), lambda: sleep(0.01))
        return written

    return loop(turn, start, max=TURNS // 2)


@workflow(budget=f"{BUDGET_TOKENS} tokens")
def spending(start: str) -> str:
    """Model calls under a budget."""
    return loop(lambda s: write("spent", llm(f"Spend on {s}", max_tokens=20, retry=PATIENT)), start, max=TURNS)


@workflow(budget=f"{TIGHT_TOKENS} tokens")
def scraping(start: str) -> str:
    """Model calls under a budget that is exhausted where many are killed."""
    return loop(lambda s: write("scraped", llm(f"Spend on {s}", max_tokens=20, retry=PATIENT)), start, max=TURNS)


@workflow
def working(start: str) -> str:
    """Tools in processes of their own."""

    def turn(state: tuple[int, str]) -> tuple[int, str]:
        return following(state[0]), write("worked", f"{stamp(state[0], state[1])} after {press(state[1])}")

    return loop(turn, (0, start), max=TURNS // 2)[1]


@tool(effects="idempotent")
async def count_one(item: int) -> int:
    """One of very many ops."""
    return item + 1


@tool(effects="pure", cheap=True)
def numbers(start: int) -> list[int]:
    """Items to map over."""
    return list(range(start, start + WIDTH))


@tool(effects="pure", cheap=True)
def last_of(items: list[int]) -> int:
    """What the next turn begins with."""
    return items[-1]


@tool(effects="idempotent")
async def wait_there(total: int) -> str:
    """Wait to be killed, the first time."""
    name = await _act("there", "idempotent", str(total))
    if World.waits:
        await asyncio.sleep(3600)
    return name


def many(ops: int) -> Workflow[..., Any]:
    """So many ops: a loop of maps. Then it waits to be killed."""
    turns = max(1, ops // WIDTH)

    @workflow(max_iterations=turns)
    def counting() -> str:
        return wait_there(loop(lambda start: last_of(map_(count_one, numbers(start), limit=WIDTH)), 0, max=turns))

    return counting


_ALL = (
    looping, mapping, catching, chatting, paying, charging, racing, asking, sleeping, spending, scraping, working,
)  # fmt: skip
PROGRAMS: dict[str, Workflow[..., Any]] = {each.name: each for each in _ALL}
BUDGETS: Final = {spending.name: BUDGET_TOKENS, scraping.name: TIGHT_TOKENS}


async def reply(request: GenerateRequest) -> str:
    """What the model says: the name of what it was asked, after a while."""
    said = "|".join(str(message.content) for message in request.messages)
    return await _act(model_op(said), "model", said)


def model_op(prompt: str) -> str:
    """What a call of the model is called; which arms of a race get to run is the race's affair."""
    return "racemodel" if "Race" in prompt else "model"


class Answering:
    """Whoever is asked: the answer is a name made of the question."""

    async def ask(self, id: str, question: str, type: Any, choices: Sequence[str] | None) -> object:  # noqa: A002
        """Answer at once."""
        return answered(question)


def answered(question: str) -> str:
    """The answer to a question."""
    return named("answer", question)


def done_at(path: str, effects: Path) -> str | None:
    """What a tool has given that must not run twice and whose process died, as a person would find it who looks at the
    bank: at what has been done. None where it has not.

    Its path has the turn in it, which its name is made of.
    """
    (turn,) = re.findall(r"\[(\d+)\]", path)
    name = named("stamp" if "stamp" in path else "pay", turn)
    return name if any(effect.op == name for effect in read(effects)) else None
