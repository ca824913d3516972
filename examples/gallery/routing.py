"""Routing: a small question goes to a small prompt, and each kind of ticket to its own.

orch run examples/gallery/routing.py 'My invoice is wrong' --model examples/text2sql/model
"""

from typing import Literal

from orchestrator import llm, workflow

Kind = Literal["billing", "bug", "other"]


@workflow
def routing(ticket: str) -> str:
    kind = llm(f"Which kind of ticket is this? {ticket}", returns=Kind, name="classify")
    match kind:
        case "billing":
            return llm(f"You know our prices. Answer: {ticket}", name="billing")
        case "bug":
            return llm(f"You know our code. Ask for what is missing: {ticket}", name="bug")
        case _:
            return llm(f"Answer in one line: {ticket}", name="other")
