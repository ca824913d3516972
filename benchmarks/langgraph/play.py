"""Run the cases on LangGraph and print what came of them; `python -m benchmarks.gallery` starts it in a venv."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any, Literal
from uuid import uuid4

from langgraph.types import Command

from benchmarks.gallery_cases import CASES, Case
from benchmarks.langgraph.model import model

API = Literal["functional", "graph"]
APIS: tuple[API, ...] = ("functional", "graph")
RESULT = {"routing": "answer", "evaluator_optimiser": "draft", "map_reduce": "page", "triage": "answer"}
"""The key of a graph's state that the caller wants."""


@dataclass(frozen=True)
class Played:
    """What one run gave, what it asked the model, and whether it asked a person."""

    value: str
    prompts: list[str]
    waited: bool


def play(case: Case, api: API) -> Played:
    """Run one case; where it stops for a person it is resumed with the case's answer."""
    app: Any = getattr(import_module(f"benchmarks.langgraph.{api}.{case.workflow}"), case.workflow)
    model.script, model.prompts = case.script, []
    inputs: Any = case.inputs
    if api == "functional" and len(inputs) == 1:
        (inputs,) = inputs.values()
    config: Any = {"configurable": {"thread_id": str(uuid4())}}
    state = app.invoke(inputs, config)
    waited = "__interrupt__" in state
    if waited:
        state = app.invoke(Command(resume=case.answer), config)
    return Played(state if api == "functional" else state[RESULT[case.workflow]], model.prompts, waited)


if __name__ == "__main__":
    played = {api: [asdict(play(case, api)) for case in CASES] for api in APIS}
    print(json.dumps({"version": version("langgraph"), "played": played}))
