"""Support triage with a person's approval: a refund above a limit waits for a yes."""

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.types import interrupt
from pydantic import BaseModel

from benchmarks.langgraph.model import model


class Request(BaseModel):
    wants_refund: bool
    amount: float


@task
def read(ticket: str) -> Request:
    return model.with_structured_output(Request).invoke(f"What does the customer want? {ticket}")


@task
def write(prompt: str) -> str:
    return model.invoke(prompt).text


@task
def refund(order: str, amount: float) -> str:
    return f"{amount:.2f} back for {order}"


@entrypoint(checkpointer=InMemorySaver())
def triage(case: dict[str, str]) -> str:
    request = read(case["ticket"]).result()
    if not request.wants_refund:
        return write(f"Answer kindly: {case['ticket']}").result()
    if request.amount > 50:
        answer = interrupt(f"Refund {request.amount} for {case['order']}?")
        if answer != "yes":
            return write(f"Say kindly that there is no refund for {case['order']}.").result()
    done = refund(case["order"], request.amount).result()
    return write(f"Tell the customer: {done}").result()
