"""What was executed for the logs beside it. It is never edited: its ops' keys stand in those logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator import ask, attempt, chat, llm, loop, map_, sleep, tool, workflow
from orchestrator.runtime.engines.base import GenerateRequest

DID: list[str] = []
"""What tools and the model were asked to do."""


def note(text: str) -> None:
    DID.append(text)


@tool(effects="idempotent")
async def write(what: str, text: str) -> str:
    note(f"{what} {text[:40]}")
    return f"{what} after {text[:20]}"


@tool(effects="once")
async def pay(text: str) -> int:
    note(f"pay {text[:40]}")
    return 7


@tool(effects="reads")
async def fetch(text: str) -> str:
    note(f"fetch {text[:40]}")
    return f"{text[:20]} is large: " + "0123456789" * 60


@tool(effects="idempotent")
async def refuse(text: str) -> str:
    note(f"refuse {text[:40]}")
    raise ValueError(f"no {text[:20]}")


@tool(effects="pure", cheap=True)
def items(text: str) -> list[str]:
    return [f"{text[:20]} {number}" for number in range(2)]


@tool(effects="pure", cheap=True)
def joined(texts: list[str]) -> str:
    return " ".join(texts)


@workflow(budget="100k tokens")
def everything(start: str) -> str:
    talk = chat("Be brief.")
    said, talk = talk.say(f"Begin with {start}")
    number = llm(f"A number for {said}", returns=int, max_tokens=20, retry=2)
    tried = attempt(
        lambda: attempt(
            lambda: refuse(said), lambda error: refuse(error.message), cleanup=lambda: write("cleaned", said)
        ),
        lambda error: write("handled", error.message),
    )
    verdict = ask(f"May {tried} be?", choices=["yes", "no"], name="verdict")
    sleep(0.01)
    paid = pay(f"{verdict} {number}")
    went = loop(lambda text: write("turn", fetch(text)), f"{verdict} {paid}", max=9)
    told, talk = talk.say(f"And then {went}")
    return joined(map_(lambda text: write("item", loop(fetch, text, max=7)), items(told), limit=2))


class Answering:
    async def ask(self, id: str, question: str, type: Any, choices: Sequence[str] | None) -> object:  # noqa: A002
        note(f"ask {question[:40]}")
        return "yes"


def reply(request: GenerateRequest) -> str:
    """A number is a word at first, which does not fit."""
    said = str(request.messages[-1].content)
    note(f"model {said[:40]}")
    if "A number for" in said and len(request.messages) == 1:
        return "seven"
    return "7" if request.sampling.schema else f"reply to {said[:20]} " + "lorem ipsum " * 40
