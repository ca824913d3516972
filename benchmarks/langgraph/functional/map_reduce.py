"""Map and reduce: documents are summarised at once, and the summaries in groups of ten."""

from langgraph.func import entrypoint, task

from benchmarks.langgraph.model import model


@task
def write(prompt: str, max_tokens: int | None = None) -> str:
    return model.invoke(prompt, max_tokens=max_tokens).text


@entrypoint()
def map_reduce(documents: list[str]) -> str:
    mapped = [write(f"Summarise in a line:\n{document}", 60) for document in documents]
    summaries = [future.result() for future in mapped]
    groups = ["\n".join(summaries[at : at + 10]) for at in range(0, len(summaries), 10)]
    grouped = [write(f"Make one paragraph of these:\n{group}", 200) for group in groups]
    parts = [future.result() for future in grouped]
    return write("Write a page of these:\n" + "\n\n".join(parts)).result()
