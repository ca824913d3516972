"""Routing: a small question goes to a small prompt, and each kind of ticket to its own."""

from typing import Literal, TypedDict

from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from benchmarks.langgraph.model import model


class Route(BaseModel):
    kind: Literal["billing", "bug", "other"]


class State(TypedDict):
    ticket: str
    kind: str
    answer: str


def classify(state: State):
    route = model.with_structured_output(Route).invoke(f"Which kind of ticket is this? {state['ticket']}")
    return {"kind": route.kind}


def billing(state: State):
    return {"answer": model.invoke(f"You know our prices. Answer: {state['ticket']}").text}


def bug(state: State):
    return {"answer": model.invoke(f"You know our code. Ask for what is missing: {state['ticket']}").text}


def other(state: State):
    return {"answer": model.invoke(f"Answer in one line: {state['ticket']}").text}


builder = StateGraph(State)
builder.add_node(classify)
builder.add_node(billing)
builder.add_node(bug)
builder.add_node(other)
builder.add_edge(START, "classify")
builder.add_conditional_edges("classify", lambda state: state["kind"], ["billing", "bug", "other"])
builder.add_edge("billing", END)
builder.add_edge("bug", END)
builder.add_edge("other", END)
routing = builder.compile()
