"""Evaluator and optimiser: write, be judged, and write again until the judge is content, four times at most.

orch run examples/gallery/evaluator_optimiser.py 'a slogan for a bakery' --model examples/text2sql/model
"""

from pydantic import BaseModel

from orchestrator import llm, workflow


class Verdict(BaseModel):
    good: bool
    advice: str


@workflow
def evaluator_optimiser(task: str) -> str:
    draft = llm(f"Write {task}.", name="first")
    for _ in range(4):
        verdict = llm(f"Is this {task} good? Be strict.\n{draft}", returns=Verdict, name="judge")
        if verdict.good:
            break
        draft = llm(f"Improve it: {verdict.advice}\n{draft}", name="improve")
    return draft
