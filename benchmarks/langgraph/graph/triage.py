"""Support triage with a person's approval: a refund above a limit waits for a yes."""

from typing import Literal, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from benchmarks.langgraph.model import model


class Request(BaseModel):
    wants_refund: bool
    amount: float


class State(TypedDict):
    ticket: str
    order: str
    request: Request
    done: str
    answer: str


def read(state: State) -> Command[Literal["kind", "approve", "refund"]]:
    prompt = f"What does the customer want? {state['ticket']}"
    request = model.with_structured_output(Request).invoke(prompt)
    step = "kind" if not request.wants_refund else "approve" if request.amount > 50 else "refund"
    return Command(update={"request": request}, goto=step)


def kind(state: State):
    return {"answer": model.invoke(f"Answer kindly: {state['ticket']}").text}


def approve(state: State) -> Command[Literal["refund", "refuse"]]:
    answer = interrupt(f"Refund {state['request'].amount} for {state['order']}?")
    return Command(goto="refund" if answer == "yes" else "refuse")


def refuse(state: State):
    return {"answer": model.invoke(f"Say kindly that there is no refund for {state['order']}.").text}


def refund(state: State):
    return {"done": f"{state['request'].amount:.2f} back for {state['order']}"}


def tell(state: State):
    return {"answer": model.invoke(f"Tell the customer: {state['done']}").text}


builder = StateGraph(State)
builder.add_node(read)
builder.add_node(kind)
builder.add_node(approve)
builder.add_node(refuse)
builder.add_node(refund)
builder.add_node(tell)
builder.add_edge(START, "read")
builder.add_edge("refund", "tell")
builder.add_edge("kind", END)
builder.add_edge("refuse", END)
builder.add_edge("tell", END)
triage = builder.compile(checkpointer=InMemorySaver())
