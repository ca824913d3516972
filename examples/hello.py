"""Ask a small table a question: five drafts of a query at once, each executed, and the result that most agree on.

orch run examples/hello.py "How many planets have more than 10 moons?" --model examples/text2sql/model
"""

import sqlite3

from pydantic import BaseModel

from orchestrator import llm, map_, tool, vote, workflow

SYSTEM = 'You write SQLite queries. Reply with JSON: {"tables": ["..."]} or {"sql": "..."}; given rows, reply in words.'
SCHEMA = "planets(id int, name text, moons int, radius int)"
PLANETS = [("Earth", 1, 6371), ("Mars", 2, 3390), ("Jupiter", 97, 69911), ("Saturn", 274, 58232), ("Uranus", 28, 25362)]


class Query(BaseModel):
    sql: str


@tool(effects="pure", timeout=5)
def run_sql(sql: str) -> list[str] | None:
    """The rows; None for a query that fails, which then has no vote."""
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE planets (id INTEGER PRIMARY KEY, name TEXT, moons INTEGER, radius INTEGER)")
        database.executemany("INSERT INTO planets (name, moons, radius) VALUES (?, ?, ?)", PLANETS)
        try:
            return [", ".join(map(str, row)) for row in database.execute(sql)]
        except sqlite3.Error:
            return None


@workflow(slo="p95 < 30s")
def hello(question: str) -> list[str]:
    """Answer a question about the planets."""
    prompt = f"Schema:\n{SCHEMA}\nQuestion: {question}\nSQL?"
    drafts = llm(prompt, system=SYSTEM, returns=Query, samples=5, temperature=0.8, max_tokens=96, retry=3)
    return vote(map_(run_sql, drafts.sql))
