"""A workflow of any size for the compile benchmark: research agents in lanes, with every kind of op in it.

Each stage of a lane asks for a structured query, searches, summarises what was found and, in turn, decides with a
branch, refines in a bounded loop, maps over the hits, or samples and votes; every tenth stage reads all lanes. That
is about the mix of `examples/text2sql`, repeated until the level-1 module holds the wanted number of ops.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from orchestrator import Workflow, branch, llm, loop, map_, tool, workflow

LANES = 8


class Query(BaseModel):
    """A structured reply."""

    text: str
    limit: int


class Verdict(BaseModel):
    """Another one."""

    good: bool
    reason: str


@tool(effects="idempotent", timeout=5)
def search(text: str, limit: int) -> list[str]:
    """Find passages."""
    return [text] * limit


@tool(effects="pure", cheap=True)
def shorten(passages: list[str]) -> str:
    """Join passages."""
    return " ".join(passages)[:400]


@tool(effects="pure", cheap=True)
def grade(passage: str) -> float:
    """Score a passage."""
    return float(len(passage))


def _stage(question: Any, context: Any, kind: int) -> Any:
    query = llm(f"Context:\n{context}\nQuestion: {question}\nQuery:", returns=Query)
    hits = search(query.text, query.limit)
    summary = llm(f"Question: {question}\nPassages:\n{shorten(hits)}\nSummary:", max_tokens=200)
    if kind == 0:
        verdict = llm(f"Does this answer the question?\n{question}\n{summary}", returns=Verdict, temperature=0)
        return branch(
            verdict.good,
            then=lambda: summary,
            otherwise=lambda: llm(f"Improve: {summary}\nBecause: {verdict.reason}"),
        )
    if kind == 1:
        return loop(lambda text: llm(f"Refine for {question}:\n{text}"), summary, max=3)
    if kind == 2:
        scores = map_(grade, hits, limit=20)
        return llm(f"Scores: {scores}\nSummary: {summary}\nRewrite:")
    drafts = llm(f"Question: {question}\n{summary}\nAnswer:", samples=3)
    return shorten(drafts)


def build(stages: int) -> Workflow[..., str]:
    """A workflow of that many stages, spread over `LANES` lanes."""

    @workflow(name=f"research_{stages}")
    def research(question: str, context: str) -> str:
        lanes: list[Any] = [context] * min(LANES, max(1, stages))
        for stage in range(stages):
            lane = stage % len(lanes)
            if stage and stage % (10 * len(lanes)) == 0:
                lanes[lane] = shorten(lanes)
            lanes[lane] = _stage(question, lanes[lane], stage % 4)
        return shorten(lanes)

    return research
