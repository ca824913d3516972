"""Map and reduce: up to 200 documents are summarised at once, and the summaries in groups of ten.

orch run examples/gallery/map_reduce.py --input 'documents=["one", "two"]' --model examples/text2sql/model
"""

from orchestrator import llm, tool, workflow


@tool(effects="pure", max_items=20)
def groups(summaries: list[str]) -> list[str]:
    return ["\n".join(summaries[at : at + 10]) for at in range(0, len(summaries), 10)]


@workflow(max_items=200, budget="400k tokens")
def map_reduce(documents: list[str]) -> str:
    summaries = [llm(f"Summarise in a line:\n{document}", max_tokens=60, name="map") for document in documents]
    parts = [llm(f"Make one paragraph of these:\n{group}", max_tokens=200, name="group") for group in groups(summaries)]
    return llm("Write a page of these:\n" + "\n\n".join(parts), name="reduce")
