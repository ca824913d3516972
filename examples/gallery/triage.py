"""Support triage with a person's approval: a refund above a limit waits for a yes.

orch run examples/gallery/triage.py --input ticket=Twice! --input order=A-17 --model examples/text2sql/model
"""

from pydantic import BaseModel

from orchestrator import ask, llm, tool, workflow


class Request(BaseModel):
    wants_refund: bool
    amount: float


@tool
def refund(order: str, amount: float) -> str:
    return f"{amount:.2f} back for {order}"


@workflow
def triage(ticket: str, order: str) -> str:
    request = llm(f"What does the customer want? {ticket}", returns=Request, name="read")
    if not request.wants_refund:
        return llm(f"Answer kindly: {ticket}", name="answer")
    if request.amount > 50:
        answer = ask(f"Refund {request.amount} for {order}?", choices=["yes", "no"], name="approve")
        if answer == "no":
            return llm(f"Say kindly that there is no refund for {order}.", name="refuse")
    done = refund(order, request.amount)
    return llm(f"Tell the customer: {done}", name="tell")
