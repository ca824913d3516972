"""Evaluation cases over schemas that training never sees, and the comparison of their results."""

import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from examples.text2sql.corpus.database import random_database
from examples.text2sql.corpus.questions import draw_question
from examples.text2sql.schema_text import Cell, schema_text


@dataclass(frozen=True)
class Case:
    """One question over one database, with the query that answers it."""

    database_id: int
    build: tuple[str, ...]
    schema: str
    question: str
    sql: str
    kind: str
    tables: tuple[str, ...]
    ordered: bool

    def connect(self, path: str = ":memory:") -> sqlite3.Connection:
        """Create the database at `path` (a new file, or in memory) and return a connection to it."""
        connection = sqlite3.connect(path)
        for statement in self.build:
            connection.execute(statement)
        connection.commit()
        return connection


def cases(seed: int, n_schemas: int, n_questions: int, unseen: bool) -> list[Case]:
    """`n_questions` cases spread evenly over `n_schemas` databases; each gold query returns a row that is not NULL."""
    made: list[Case] = []
    for index in range(n_schemas):
        database_id = seed * 1_000_003 + index
        database = random_database(database_id, unseen)
        rng = random.Random(database_id)
        connection = database.connect()
        schema, build = schema_text(connection), tuple(database.statements())
        wanted = n_questions * (index + 1) // n_schemas - n_questions * index // n_schemas
        asked: set[str] = set()
        while wanted:
            question = draw_question(database, rng)
            rows = connection.execute(question.sql).fetchall()
            if question.text in asked or not rows or rows[0][0] is None or rows == [(0,)]:
                continue
            asked.add(question.text)
            wanted -= 1
            made.append(
                Case(
                    database_id,
                    build,
                    schema,
                    question.text,
                    question.sql,
                    question.kind,
                    question.tables,
                    question.ordered,
                )
            )
    return made


def unseen_cases(seed: int, n_schemas: int, n_questions: int) -> list[Case]:
    """Cases whose tables, columns and values are named from the pool kept out of training; same seed, same cases."""
    return cases(seed, n_schemas, n_questions, unseen=True)


def _comparable(row: Sequence[Cell]) -> tuple[Cell, ...]:
    return tuple(round(value, 4) if isinstance(value, float) else value for value in row)


def same_result(gold: Sequence[Sequence[Cell]], rows: Sequence[Sequence[Cell]], ordered: bool) -> bool:
    """Whether two results hold the same rows: as sequences if `ordered`, else as multisets; floats to four decimals."""
    left, right = [_comparable(row) for row in gold], [_comparable(row) for row in rows]
    return left == right if ordered else sorted(left, key=repr) == sorted(right, key=repr)
