"""A prompt chain: outline, check the outline, then write; a bad outline is made once more.

orch run examples/gallery/prompt_chain.py 'tides' --model examples/text2sql/model
"""

from orchestrator import llm, workflow


@workflow
def prompt_chain(topic: str) -> str:
    outline = llm(f"Outline a page about {topic}, one point a line.", name="outline")
    if len(outline.splitlines()) < 3:
        outline = llm(f"This outline is too short, write five points:\n{outline}", name="again")
    text = llm(f"Write the page.\n{outline}", name="write")
    return llm(f"Make it plain and short:\n{text}", name="edit")
