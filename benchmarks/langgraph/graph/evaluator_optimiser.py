"""Evaluator and optimiser: write, be judged, and write again until the judge is content, four times at most."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel

from benchmarks.langgraph.model import model


class Verdict(BaseModel):
    good: bool
    advice: str


class State(TypedDict):
    task: str
    draft: str
    verdict: Verdict
    tries: int


def first(state: State):
    return {"draft": model.invoke(f"Write {state['task']}.").text, "tries": 0}


def judge(state: State):
    prompt = f"Is this {state['task']} good? Be strict.\n{state['draft']}"
    return {"verdict": model.with_structured_output(Verdict).invoke(prompt), "tries": state["tries"] + 1}


def improve(state: State):
    return {"draft": model.invoke(f"Improve it: {state['verdict'].advice}\n{state['draft']}").text}


builder = StateGraph(State)
builder.add_node(first)
builder.add_node(judge)
builder.add_node(improve)
builder.add_edge(START, "first")
builder.add_edge("first", "judge")
builder.add_conditional_edges("judge", lambda state: END if state["verdict"].good else "improve", ["improve", END])
builder.add_conditional_edges("improve", lambda state: "judge" if state["tries"] < 4 else END, ["judge", END])
evaluator_optimiser = builder.compile()
