"""Evaluator and optimiser: write, be judged, and write again until the judge is content, four times at most."""

from langgraph.func import entrypoint, task
from pydantic import BaseModel

from benchmarks.langgraph.model import model


class Verdict(BaseModel):
    good: bool
    advice: str


@task
def write(prompt: str) -> str:
    return model.invoke(prompt).text


@task
def judge(prompt: str) -> Verdict:
    return model.with_structured_output(Verdict).invoke(prompt)


@entrypoint()
def evaluator_optimiser(task: str) -> str:
    draft = write(f"Write {task}.").result()
    for _ in range(4):
        verdict = judge(f"Is this {task} good? Be strict.\n{draft}").result()
        if verdict.good:
            break
        draft = write(f"Improve it: {verdict.advice}\n{draft}").result()
    return draft
