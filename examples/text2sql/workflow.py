"""Answer questions about a database with queries that a language model drafts, repairs and votes on.

One conversation is opened and forked: the engine reads the schema once, every draft shares that KV prefix, and a repair
continues the fork of the draft that failed.
"""

from __future__ import annotations

from typing import TypedDict

from pydantic import BaseModel, Field

from orchestrator import Chat, branch, call, chat, loop, map_, workflow

from . import prompts
from .sandbox import Cell
from .tools import Result, elected, execute

DIRECT, LINKED = 8, 4
"""Drafts sampled straight from the question, and after linking the tables."""
REPAIRS = 2
TEMPERATURE = 0.8


class Limits(TypedDict):
    """What bounds every call of the model."""

    max_tokens: int
    retry: int


LIMITS: Limits = {"max_tokens": 256, "retry": 3}
"""More tokens than a query may have characters, so that none is cut off."""


class Tables(BaseModel):
    """The tables that a question needs."""

    tables: list[str]


class Query(BaseModel):
    """One SQLite query; a small model that begins to repeat itself is stopped by its length, and outvoted."""

    sql: str = Field(max_length=240)


class Answer(BaseModel):
    """The answer in words, and the query and rows that it rests on."""

    text: str
    sql: str
    rows: list[list[Cell]]
    problem: str
    """Why there is no answer: what the database said about the last query. Empty if there is one."""


@workflow(slo="p95 < 60s")
def answer(question: str, schema: str, database: str) -> Answer:
    """Link the schema, draft queries in parallel, execute and repair each, vote over the results, say it in words."""
    opening = chat(system=prompts.SYSTEM)
    link = opening.say(prompts.link(schema, question), returns=Tables, temperature=0, name="link", **LIMITS)
    linked = link.chat.say(prompts.SQL, returns=Query, samples=LINKED, temperature=TEMPERATURE, name="linked", **LIMITS)
    prompt = prompts.single(schema, question)
    likeliest = opening.say(prompt, returns=Query, temperature=0, name="likeliest", **LIMITS)
    direct = opening.say(prompt, returns=Query, samples=DIRECT, temperature=TEMPERATURE, name="direct", **LIMITS)

    def settle(draft: Query, fork: Chat) -> tuple[Query, Result, Chat]:
        """Execute a draft; while there is a problem, tell the conversation that wrote it."""
        executed = draft, execute(database, draft.sql), fork
        return loop(repair, executed, max=REPAIRS, until=lambda state: state[1].problem == "", name="repairs")

    def repair(state: tuple[Query, Result, Chat]) -> tuple[Query, Result, Chat]:
        _, result, fork = state
        problem = prompts.repair(result.problem)
        query, fork = fork.say(problem, returns=Query, temperature=TEMPERATURE, name="repair", **LIMITS)
        return query, execute(database, query.sql), fork

    drafts = [likeliest.reply] + direct.replies + linked.replies  # noqa: RUF005 - lists of which only lengths are known
    forks = [likeliest.chat] + direct.chats + linked.chats  # noqa: RUF005
    queries, results, forks = map_(settle, drafts, forks, limit=1 + DIRECT + LINKED, name="drafts")
    best = elected(results)
    query, result, fork = queries[best], results[best], forks[best]
    text = branch(
        result.problem == "",
        then=lambda: fork.say(prompts.answer(result.text), temperature=0, max_tokens=96, name="words").reply,
        otherwise=lambda: "",
    )
    return call(Answer, text=text, sql=query.sql, rows=result.rows, problem=result.problem)
