"""Routing: a small question goes to a small prompt, and each kind of ticket to its own."""

from typing import Literal

from langgraph.func import entrypoint, task
from pydantic import BaseModel

from benchmarks.langgraph.model import model


class Route(BaseModel):
    kind: Literal["billing", "bug", "other"]


@task
def classify(ticket: str) -> Route:
    return model.with_structured_output(Route).invoke(f"Which kind of ticket is this? {ticket}")


@task
def write(prompt: str) -> str:
    return model.invoke(prompt).text


@entrypoint()
def routing(ticket: str) -> str:
    match classify(ticket).result().kind:
        case "billing":
            return write(f"You know our prices. Answer: {ticket}").result()
        case "bug":
            return write(f"You know our code. Ask for what is missing: {ticket}").result()
        case _:
            return write(f"Answer in one line: {ticket}").result()
