"""Questions of many kinds over a random database, each with the query that answers it.

A kind is a function that draws a `Question` from a table (or returns None where the table does not allow it). Question
texts mention tables and columns by words close to their names, sometimes shortened, among varied phrasing.
"""

import random
from collections.abc import Callable

from examples.text2sql.corpus.database import Database, Table
from examples.text2sql.corpus.group_questions import aggregate_groups, find_distinct, group_rows
from examples.text2sql.corpus.join_questions import join_tables, relate
from examples.text2sql.corpus.phrasing import Phrasing, Question
from examples.text2sql.corpus.row_questions import (
    aggregate,
    compare_to_average,
    count_rows,
    find_extreme,
    list_rows,
    look_up,
    name_a_value,
)

Kind = Callable[[Phrasing, Table], Question | None]
KINDS: tuple[tuple[Kind, float], ...] = (
    (count_rows, 0.15),
    (name_a_value, 0.04),
    (list_rows, 0.12),
    (look_up, 0.06),
    (aggregate, 0.12),
    (find_extreme, 0.15),
    (find_distinct, 0.05),
    (group_rows, 0.13),
    (aggregate_groups, 0.06),
    (compare_to_average, 0.03),
    (join_tables, 0.22),
)
_FUNCTIONS = tuple(kind for kind, _ in KINDS)
_WEIGHTS = tuple(weight for _, weight in KINDS)


def draw_question(database: Database, rng: random.Random) -> Question:
    """A question about the database whose text and SQL belong together."""
    phrasing = Phrasing(database, rng)
    while True:
        table = rng.choices(database.tables, [0.35 if t.verb else 1.0 for t in database.tables])[0]
        if table.verb is not None:
            kind: Kind = relate if rng.random() < 0.85 else count_rows
        else:
            kind = rng.choices(_FUNCTIONS, _WEIGHTS)[0]
        question = kind(phrasing, table)
        if question is not None:
            return question
