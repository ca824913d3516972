"""Orchestrator and workers: one call splits the task, each part is done at once, one call puts them together.

orch run examples/gallery/orchestrator_workers.py 'Compare tea and coffee' --model examples/text2sql/model
"""

from pydantic import BaseModel

from orchestrator import llm, workflow


class Part(BaseModel):
    title: str
    instructions: str


@workflow(max_items=8)
def orchestrator_workers(task: str) -> str:
    parts = llm(f"Split this into independent parts: {task}", returns=list[Part], name="split")
    done = []
    for part in parts:
        text = llm(f"{part.title}\n{part.instructions}", name="work")
        done.append(f"## {part.title}\n{text}")
    return llm("Make one text of these:\n" + "\n\n".join(done), name="join")
