"""A prompt chain: outline, check the outline, then write; a bad outline is made once more.

orch run examples/gallery/prompt_chain.py 'tides' --model examples/text2sql/model
"""

from orchestrator import llm, workflow


@workflow
def prompt_chain(topic: str) -> str:
    outline = llm(f"Outline a page about {topic}, one point a line.", max_tokens=300, name="outline")
    if len(outline.splitlines()) < 3:
        outline = llm(f"This outline is too short, write five points:\n{outline}", max_tokens=300, name="again")
    text = llm(f"Write the page.\n{outline}", max_tokens=600, name="write")
    return llm(f"Make it plain and short:\n{text}", max_tokens=600, name="edit")
