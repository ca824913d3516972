"""An SQL agent: a query that the database refuses goes back to the model with what it said.

orch run examples/gallery/sql_agent.py 'How many planets are there?' --model examples/text2sql/model
"""

import sqlite3

from pydantic import BaseModel

from orchestrator import llm, tool, workflow

TABLE = "CREATE TABLE planets (name TEXT, moons INTEGER); INSERT INTO planets VALUES ('Mars', 2), ('Venus', 0);"
READING = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)


class Query(BaseModel):
    sql: str


@tool(effects="pure")
def execute(sql: str) -> list[str]:
    database = sqlite3.connect(":memory:")
    database.executescript(TABLE)
    database.set_authorizer(lambda action, *_: 0 if action in READING else 1)
    return [", ".join(map(str, row)) for row in database.execute(sql).fetchmany(20)]


@workflow
def sql_agent(question: str) -> str:
    rows, told = [], ""
    for _ in range(3):
        try:
            query = llm(f"{TABLE}\n{told}Question: {question}\nSQL:", returns=Query, max_tokens=96, name="write")
            rows = execute(query.sql)
            break
        except Exception as error:
            told = f"This failed: {f'{error}'[:200]}\n"
    else:
        return f"No query worked. {told}"
    return llm(f"Question: {question}\nRows: {rows}\nAnswer in a sentence:", max_tokens=100, name="answer")
