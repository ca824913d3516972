"""Hand-offs between agents: each knows its own part and says who goes on; the customer sees one answer.

orch run examples/gallery/hand_offs.py 'Change my seat and the bill' --model examples/text2sql/model
"""

from typing import Literal

from pydantic import BaseModel

from orchestrator import llm, workflow

Agent = Literal["front", "seats", "bills", "done"]
KNOWS = {"front": "You decide who helps.", "seats": "You change seats.", "bills": "You mend bills."}


class Turn(BaseModel):
    note: str
    next: Agent


@workflow
def hand_offs(request: str) -> str:
    agent: Agent = "front"
    notes = ""
    for _ in range(6):
        about = KNOWS["front"] if agent == "front" else KNOWS["seats"] if agent == "seats" else KNOWS["bills"]
        turn = llm(f"{about}\nRequest: {request}\nNotes:\n{notes}", returns=Turn, name="turn")
        notes += f"{agent}: {turn.note}\n"
        agent = turn.next
        if agent == "done":
            break
    return llm(f"Tell the customer what was done:\n{notes}", name="answer")
