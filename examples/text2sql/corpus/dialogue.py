"""Training dialogues: every group is one schema with several conversations that share it as their prefix.

A conversation asks for the query directly or links tables first, may show a broken query with SQLite's real message
and its correction, and may end with rows and a short answer. Only replies that are right are trained on.
"""

import random
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from json import dumps
from typing import Literal

from examples.text2sql import prompts
from examples.text2sql.corpus.database import Database, random_database
from examples.text2sql.corpus.phrasing import Question
from examples.text2sql.corpus.questions import draw_question
from examples.text2sql.schema_text import Cell, cell_text, rows_text, schema_text

SINGLE_RATE = 0.45
REPAIR_RATE = 0.5
ANSWER_RATE = 0.16
KEYWORDS = ("SELECT", "FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "JOIN", "HAVING", "COUNT", "BETWEEN")


@dataclass(frozen=True)
class Turn:
    """One message; `trained` marks the assistant's replies that the loss is computed on."""

    role: Literal["user", "assistant"]
    content: str
    trained: bool = False


@dataclass(frozen=True)
class Group:
    """Conversations over one schema; each begins with a user turn that opens with that schema."""

    schema: str
    dialogues: tuple[tuple[Turn, ...], ...]


def answer_text(question: Question, rows: Sequence[Sequence[Cell]], max_rows: int = 10) -> str:
    """The short answer that a result deserves, copied from its rows."""
    cells = [[cell_text(value) for value in row] for row in rows[:max_rows]]
    if question.shape == "count":
        return f"There are {cells[0][0]} {question.subject}."
    if question.shape == "number":
        return f"The {question.subject} is {cells[0][0]}."
    items = [f"{row[0]}: {row[1]}" for row in cells] if question.shape == "pairs" else [row[0] for row in cells]
    if len(rows) > max_rows:
        return ", ".join(items) + " and more."
    return (", ".join(items[:-1]) + " and " + items[-1] if len(items) > 1 else items[0]) + "."


def _misspelt(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word))
    match rng.randrange(5):
        case 0:
            return word[:at] + word[at + 1 :]
        case 1:
            return word[:at] + word[at] + word[at:]
        case 2:
            return word[:at] + rng.choice("abcdefghilmnoprstu") + word[at + 1 :]
        case 3:
            return word.removesuffix("s") if word.endswith("s") else word + "s"
        case _:
            parts = word.split("_")
            return rng.choice(parts) if len(parts) > 1 else word[: max(1, len(word) - 2)]


def _unbelieved(rng: random.Random, database: Database, question: Question) -> str:
    """The query with a name as a small model misremembers it: the usual label column, or the first half of a name."""
    table = database.table(question.tables[-1])
    display = table.display.name
    if display != "name" and re.search(rf"\b{display}\b", question.sql) and rng.random() < 0.6:
        return re.sub(rf"\b{display}\b", "name", question.sql)
    names = [table.name, *(c.name for c in table.columns if re.search(rf"\b{c.name}\b", question.sql))]
    name, other = rng.choice(names), rng.choice(rng.choice(database.tables).columns).name
    head = name[: rng.randint(2, max(2, len(name) - 1))]
    wrong = rng.choice((head + other[-rng.randint(2, 5) :], f"{name}_{other.rsplit('_')[-1]}", head + "s"))
    return re.sub(rf"\b{name}\b", wrong, question.sql)


def _broken(rng: random.Random, database: Database, question: Question) -> str:
    """The query with one realistic mistake; the caller checks that SQLite objects."""
    sql, roll = question.sql, rng.random()
    if rng.random() < 0.5:
        return _unbelieved(rng, database, question)
    if question.literals and roll < 0.2:
        literal = rng.choice(question.literals)
        wrong = rng.choice((_misspelt(rng, literal), literal.swapcase(), literal.title()))
        return sql.replace(f"'{literal}'", f"'{wrong}'")
    if roll < 0.35:
        column = rng.choice(rng.choice(database.tables).columns).name
        used = [
            c.name for name in question.tables for c in database.table(name).columns if re.search(rf"\b{c.name}\b", sql)
        ]
        if used:
            return re.sub(rf"\b{rng.choice(used)}\b", column, sql, count=1)
    if roll < 0.45 and " JOIN " in sql:
        return re.sub(r" JOIN \S+ ON \S+ = \S+", "", sql)
    if roll < 0.6:
        present = [keyword for keyword in KEYWORDS if keyword in sql]
        keyword = rng.choice(present)
        return rng.choice(
            (
                sql.replace(keyword, _misspelt(rng, keyword), 1),
                sql.replace(")", "", 1),
                sql.replace("BY ", "", 1),
                sql.replace(" FROM", ", FROM", 1),
                sql.replace("'", "", 1),
                sql.replace("COUNT(*)", "COUNT *"),
            )
        )
    names = [n for n in re.findall(r"\b[a-z_][a-z0-9_]*\b", re.sub(r"'[^']*'", "", sql)) if len(n) > 2]
    name = rng.choice(names)
    return re.sub(rf"\b{name}\b", _misspelt(rng, name), sql, count=rng.choice((0, 1)))


def _mistake(
    rng: random.Random, connection: sqlite3.Connection, database: Database, question: Question
) -> tuple[str, str] | None:
    """A broken query and the message it earns, or None if the drawn mistake does no harm."""
    sql = _broken(rng, database, question)
    if sql == question.sql:
        return None
    try:
        rows = connection.execute(sql).fetchall()
    except sqlite3.Error as error:
        return sql, str(error)
    return (sql, prompts.NO_ROWS) if not rows or rows[0][0] is None else None


def _sql_reply(sql: str) -> str:
    return dumps({"sql": sql}, ensure_ascii=False)


def dialogue(
    rng: random.Random, connection: sqlite3.Connection, database: Database, schema: str
) -> tuple[Turn, ...] | None:
    """One conversation about a drawn question, or None where its query returns nothing."""
    question = draw_question(database, rng)
    rows = connection.execute(question.sql).fetchall()
    if not rows or rows[0][0] is None:
        return None
    turns: list[Turn] = []
    if rng.random() < SINGLE_RATE:
        turns.append(Turn("user", prompts.single(schema, question.text)))
    else:
        turns.append(Turn("user", prompts.link(schema, question.text)))
        turns.append(Turn("assistant", dumps({"tables": list(question.tables)}), True))
        turns.append(Turn("user", prompts.SQL))
    attempts = rng.choice((1, 1, 1, 2)) if rng.random() < REPAIR_RATE else 0
    for _ in range(attempts):
        mistake = _mistake(rng, connection, database, question)
        if mistake is not None:
            turns += [Turn("assistant", _sql_reply(mistake[0])), Turn("user", prompts.repair(mistake[1]))]
    turns.append(Turn("assistant", _sql_reply(question.sql), True))
    if rng.random() < (ANSWER_RATE if len(rows) < 5 else ANSWER_RATE / 3):
        turns.append(Turn("user", prompts.answer(rows_text(rows))))
        turns.append(Turn("assistant", answer_text(question, rows), True))
    return tuple(turns)


def training_group(seed: int, n_dialogues: int, unseen: bool = False) -> Group:
    """`n_dialogues` conversations over the database of that seed; `unseen` is for validation only."""
    database = random_database(seed, unseen)
    connection, rng = database.connect(), random.Random(seed)
    schema = schema_text(connection)
    made: list[tuple[Turn, ...]] = []
    while len(made) < n_dialogues:
        turns = dialogue(rng, connection, database, schema)
        if turns is not None:
            made.append(turns)
    connection.close()
    return Group(schema, tuple(made))
