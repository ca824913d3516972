"""What the four workflows that are compared are given, what the model answers, and what must come of it.

The model of every system answers by the same function of the prompt, so equal programs ask it the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Reply = str | dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One run of one workflow; `answer` is what a person says if asked, and `calls` how often the model is."""

    workflow: str
    inputs: dict[str, Any]
    script: Callable[[str], Reply]
    value: str
    calls: int
    answer: str | None = None
    label: str = field(default="", kw_only=True)


def by_start(replies: dict[str, Reply]) -> Callable[[str], Reply]:
    """Answer by how the prompt begins; what nothing is said of is answered by its own last line."""
    return lambda prompt: next(
        (reply for start, reply in replies.items() if prompt.startswith(start)), prompt.rpartition("\n")[2]
    )


def judged(wanted: int) -> Callable[[str], Reply]:
    """A judge that is content with the draft that was improved `wanted` times."""

    def script(prompt: str) -> Reply:
        before = prompt.rpartition("\n")[2]
        if prompt.startswith("Write"):
            return "draft"
        if prompt.startswith("Improve"):
            return before + "+"
        return {"good": before == "draft" + "+" * wanted, "advice": "longer"}

    return script


def wants(refund: bool, amount: float) -> Callable[[str], Reply]:
    """A model that reads a ticket so, and repeats what it is told."""
    return by_start({"What does the customer want?": {"wants_refund": refund, "amount": amount}})


TICKET = {"ticket": "I paid twice", "order": "A-17"}
CASES = [
    *(
        Case("routing", {"ticket": "Help!"}, by_start({"Which kind": kind}), f"{start} Help!", 2, label=kind)
        for kind, start in (
            ("billing", "You know our prices. Answer:"),
            ("bug", "You know our code. Ask for what is missing:"),
            ("other", "Answer in one line:"),
        )
    ),
    *(
        Case("evaluator_optimiser", {"task": "a slogan"}, judged(wanted), "draft" + "+" * improved, calls, label=label)
        for label, wanted, improved, calls in (("good at once", 0, 0, 2), ("good then", 2, 2, 6), ("never", 9, 4, 9))
    ),
    *(
        Case(
            "map_reduce",
            {"documents": [f"document {number}" for number in range(count)]},
            lambda prompt: f"{len(prompt.splitlines()) - 1} lines",
            page,
            calls,
            label=f"{count} documents",
        )
        for count, page, calls in ((25, "5 lines", 29), (200, "39 lines", 221))
    ),
    Case("triage", TICKET, wants(False, 0.0), "Answer kindly: I paid twice", 2, label="no refund"),
    Case("triage", TICKET, wants(True, 20.0), "Tell the customer: 20.00 back for A-17", 2, label="a small one"),
    Case("triage", TICKET, wants(True, 80.0), "Tell the customer: 80.00 back for A-17", 2, "yes", label="a large one"),
    Case("triage", TICKET, wants(True, 80.0), "Say kindly that there is no refund for A-17.", 2, "no", label="refused"),
]
WORKFLOWS = tuple(dict.fromkeys(case.workflow for case in CASES))
