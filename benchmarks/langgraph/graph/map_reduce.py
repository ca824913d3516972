"""Map and reduce: documents are summarised at once, and the summaries in groups of ten."""

import operator
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from benchmarks.langgraph.model import model


class State(TypedDict):
    documents: list[str]
    summaries: Annotated[list[str], operator.add]
    parts: Annotated[list[str], operator.add]
    page: str


def each_document(state: State):
    return [Send("summarise", document) for document in state["documents"]]


def summarise(document: str):
    return {"summaries": [model.invoke(f"Summarise in a line:\n{document}", max_tokens=60).text]}


def each_group(state: State):
    summaries = state["summaries"]
    return [Send("join", "\n".join(summaries[at : at + 10])) for at in range(0, len(summaries), 10)]


def join(group: str):
    return {"parts": [model.invoke(f"Make one paragraph of these:\n{group}", max_tokens=200).text]}


def reduce(state: State):
    return {"page": model.invoke("Write a page of these:\n" + "\n\n".join(state["parts"])).text}


builder = StateGraph(State)
builder.add_node(summarise)
builder.add_node("collect", lambda state: {})
builder.add_node(join)
builder.add_node(reduce)
builder.add_conditional_edges(START, each_document, ["summarise"])
builder.add_edge("summarise", "collect")
builder.add_conditional_edges("collect", each_group, ["join"])
builder.add_edge("join", "reduce")
builder.add_edge("reduce", END)
map_reduce = builder.compile()
