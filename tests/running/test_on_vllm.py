"""A session on the bundled model: warm from run to run, streamed, cancelled, and from several event loops."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import BaseModel

from orchestrator import Session, llm, workflow
from orchestrator.events import Done, Partial, Text
from orchestrator.runtime.engines.base import Engine

SCHEMA = "planets(id int, name text, moons int, radius int)"


class Query(BaseModel):
    sql: str


@workflow
def draft(question: str) -> Query:
    prompt = f"Schema:\n{SCHEMA}\nQuestion: {question}\nSQL?"
    return llm(prompt, returns=Query, max_tokens=96, temperature=0, retry=2, name="draft")


@workflow
def written(question: str) -> str:
    return llm(f"Schema:\n{SCHEMA}\nQuestion: {question}\nSQL?", max_tokens=64, min_tokens=32, name="say")


@pytest.mark.vllm
@pytest.mark.ray
def test_the_bundled_model_runs_streams_and_stops(vllm_engine: Engine) -> None:
    question = "How many planets are there?"
    with Session(engine=vllm_engine) as session:
        assert session.run(draft, question).value.sql == "SELECT COUNT(*) FROM planets"
        with session.stream(draft, question) as events:
            seen = list(events)
        partials = [each.value for each in seen if isinstance(each, Partial)]
        assert partials[-1] == {"sql": "SELECT COUNT(*) FROM planets"}
        assert len(partials) > 1
        assert [each.value for each in seen if isinstance(each, Done)] == [events.result.value]

        async def texts() -> list[str]:
            async with session.astream(written, question) as events:
                async for event in events:
                    if isinstance(event, Text):
                        break  # which cancels the run
            stream = session.astream(written, question)
            return [each.delta async for each in stream if isinstance(each, Text)]

        assert len(asyncio.run(texts())) > 1
        assert asyncio.run(session.arun(draft, question)).value.sql.startswith("SELECT")
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: session.run(draft, question).value.sql, range(4)))
        assert set(found) == {"SELECT COUNT(*) FROM planets"}
        assert asyncio.run(vllm_engine.stats()).running == 0
