"""Questions about a database, answered by queries that a language model writes, repairs and votes on."""

from __future__ import annotations

from pydantic import BaseModel

from orchestrator import Chat, branch, call, chat, loop, map_, workflow

from . import prompts
from .sandbox import Cell
from .tools import Result, elected, execute

DRAFTS = 5
REPAIRS = 2


class Tables(BaseModel):
    """The tables that a question needs."""

    tables: list[str]


class Query(BaseModel):
    """One SQLite query."""

    sql: str


class Answer(BaseModel):
    """The answer in words, and the query and rows that it rests on."""

    text: str
    sql: str
    rows: list[list[Cell]]
    problem: str
    """Why there is no answer: the database's message about the last query; empty if there is one."""


@workflow(slo="p95 < 60s")
def answer(question: str, schema: str, database: str) -> Answer:
    """Link the tables, draft queries in parallel, run and repair each, let their results vote, answer in words."""
    opening = chat(system=prompts.SYSTEM)
    linked = opening.say(prompts.link(schema, question), returns=Tables, temperature=0, max_tokens=64, name="link")
    drafts = linked.chat.say(
        prompts.SQL, returns=Query, samples=DRAFTS, temperature=0.8, max_tokens=96, retry=2, name="draft"
    )

    def settle(draft: Query, fork: Chat) -> tuple[Query, Chat, Result]:
        """Run a draft; while it has a problem, show the problem to the fork of the conversation that wrote it."""

        def repair(state: tuple[Query, Chat, Result]) -> tuple[Query, Chat, Result]:
            _, conversation, result = state
            query, conversation = conversation.say(
                prompts.repair(result.problem), returns=Query, temperature=0.8, max_tokens=96, retry=2, name="repair"
            )
            return query, conversation, execute(database, query.sql)

        first = (draft, fork, execute(database, draft.sql))
        return loop(repair, first, max=REPAIRS, until=lambda state: state[2].problem == "")

    queries, forks, results = map_(settle, drafts.replies, drafts.chats, name="settle")
    best = elected(results)
    result = results[best]
    text = branch(
        result.problem == "",
        then=lambda: forks[best].say(prompts.answer(result.text), temperature=0, max_tokens=96, name="words").reply,
        otherwise=lambda: "",
    )
    return call(Answer, text=text, sql=queries[best].sql, rows=result.rows, problem=result.problem)
