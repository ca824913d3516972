"""A greedy tree search with a bound: three thoughts a level, the best goes on, four levels at most.

orch run examples/gallery/tree_search.py 'Make 24 of 4, 6, 8 and 8' --model examples/text2sql/model
"""

from pydantic import BaseModel

from orchestrator import llm, workflow


class Thought(BaseModel):
    step: str
    promise: int
    solved: bool


@workflow
def tree_search(problem: str) -> str:
    path = ""
    for _ in range(4):
        thoughts = llm(f"{problem}\nSo far:\n{path}\nThe next step?", returns=Thought, samples=3, name="think")
        best = max(thoughts, key=lambda thought: thought.promise)
        path += f"{best.step}\n"
        if best.solved:
            break
    return llm(f"{problem}\n{path}\nSay the solution.", name="conclude")
