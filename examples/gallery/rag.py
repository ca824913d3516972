"""Retrieval with citations: passages are found, the answer names them, and one that is none is sent back once.

orch run examples/gallery/rag.py 'When was the bridge built?' --model examples/text2sql/model
"""

from pydantic import BaseModel

from orchestrator import llm, tool, workflow

PASSAGES = {"p1": "The bridge was built in 1932.", "p2": "It is 503 metres long.", "p3": "Ferries go hourly."}


class Answer(BaseModel):
    text: str
    sources: list[str]


@tool(effects="reads", kind="retrieve", max_items=3)
def search(question: str) -> list[str]:
    words = set(question.lower().split())
    ranked = sorted(PASSAGES, key=lambda key: -len(words & set(PASSAGES[key].lower().split())))
    return [f"[{key}] {PASSAGES[key]}" for key in ranked]


@workflow
def rag(question: str) -> Answer:
    found = "\n".join(search(question))
    answer = llm(f"{found}\nAnswer with the sources you used: {question}", returns=Answer, name="answer")
    unknown = [source for source in answer.sources if f"[{source}]" not in found]
    if unknown:
        wrong = ", ".join(unknown)
        return llm(f"{found}\nThere is no {wrong}. Answer again: {question}", returns=Answer, name="again")
    return answer
