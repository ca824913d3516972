"""Answer a question over a SQLite database: link the schema, draft queries, run and repair them, vote, answer.

All candidates are forks of one conversation, so the engine reads the schema once. Each links the tables, writes a
query, runs it, and repairs it when SQLite objects or nothing is found; the result that most candidates agree on wins.
"""

from __future__ import annotations

from pydantic import BaseModel

from examples.text2sql import prompts
from examples.text2sql.tools import Result, ballots, run_sql, shown
from orchestrator import Chat, branch, call, chat, loop, map_, workflow
from orchestrator.agents.vote import elect

CANDIDATES = 8
REPAIRS = 2
TEMPERATURE = 0.8


class Tables(BaseModel):
    """The tables that a question needs."""

    tables: list[str]


class Query(BaseModel):
    """A query that should answer the question."""

    sql: str


class Answer(BaseModel):
    """The elected query, its rows, and the answer in words."""

    sql: str
    rows: list[list[str | int | float | None]]
    text: str


@workflow(slo="p95 < 30s", budget="60000 tokens")
def answer(question: str, schema: str, database: str) -> Answer:
    """Answer ``question`` with a query over the SQLite file ``database``, whose schema is described in ``schema``."""

    def candidate(fork: Chat) -> tuple[Query, Result, Chat]:
        query, fork = fork.say(prompts.SQL, returns=Query, temperature=TEMPERATURE, max_tokens=96, name="draft")
        first = query, run_sql(database, query.sql), fork
        return loop(repaired, first, max=REPAIRS, until=lambda state: state[1].problem == "", name="repairs")

    def repaired(state: tuple[Query, Result, Chat]) -> tuple[Query, Result, Chat]:
        _, result, fork = state
        query, fork = fork.say(
            prompts.repair(result.problem), returns=Query, temperature=TEMPERATURE, max_tokens=96, name="repair"
        )
        return query, run_sql(database, query.sql), fork

    opening = chat(system=prompts.SYSTEM)
    links = opening.say(
        prompts.link(schema, question),
        returns=Tables,
        samples=CANDIDATES,
        temperature=TEMPERATURE,
        max_tokens=64,
        name="link",
    )
    queries, results, forks = map_(candidate, links.chats, name="candidates")
    votes = ballots(results)
    query, result, fork = elect(queries, votes), elect(results, votes), elect(forks, votes)
    text = branch(
        result.problem == "",
        then=lambda: fork.say(prompts.answer(shown(result)), temperature=0.0, max_tokens=96, name="words").reply,
        otherwise=lambda: f"No answer: {result.problem}.",
        name="in_words",
    )
    return call(Answer, sql=query.sql, rows=result.rows, text=text)
