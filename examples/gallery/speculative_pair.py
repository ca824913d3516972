"""A speculative pair: a small model drafts, a large one checks; only what it refuses is written by the large one.

orch run examples/gallery/speculative_pair.py 'Explain tides' --cluster my-cluster.toml
"""

from typing import Literal

from orchestrator import llm, workflow


@workflow
def speculative_pair(task: str) -> str:
    draft = llm(task, model="small", name="draft")
    verdict = llm(
        f"Task: {task}\nDraft: {draft}\nIs it right?", returns=Literal["yes", "no"], model="large", name="check"
    )
    if verdict == "yes":
        return draft
    return llm(f"Task: {task}\nThis draft is wrong:\n{draft}\nDo it better:", model="large", name="rewrite")
