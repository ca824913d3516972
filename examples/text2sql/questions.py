"""The questions of the demonstration, each with a query written by hand that answers it.

They cover every kind of query the bundled model was trained to write, but none of these words: the vocabulary of the
machine's tables is held out of the training corpus.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .sandbox import Cell


@dataclass(frozen=True)
class Reference:
    """A question, its kind, the tables its reference query reads, and whether the order of the rows matters."""

    kind: str
    question: str
    sql: str
    tables: tuple[str, ...]
    ordered: bool = False


DISTRIBUTIONS = ("distributions",)
BOTH = ("requirements", "distributions")
REQUIREMENTS = ("requirements",)
PACKAGES = ("packages",)
_JOIN = "FROM requirements JOIN distributions ON requirements.distribution_id = distributions.id"

QUESTIONS: tuple[Reference, ...] = (
    Reference("count", "How many distributions are there?", "SELECT COUNT(*) FROM distributions", DISTRIBUTIONS),
    Reference(
        "filter",
        "How many distributions have more than 100 files?",
        "SELECT COUNT(*) FROM distributions WHERE files > 100",
        DISTRIBUTIONS,
    ),
    Reference(
        "argmax",
        "Which distribution has the most bytes?",
        "SELECT name FROM distributions ORDER BY bytes DESC LIMIT 1",
        DISTRIBUTIONS,
        ordered=True,
    ),
    Reference(
        "top-k",
        "List the 5 distributions with the most files.",
        "SELECT name FROM distributions ORDER BY files DESC LIMIT 5",
        DISTRIBUTIONS,
        ordered=True,
    ),
    Reference(
        "avg",
        "What is the average number of dependencies of distributions?",
        "SELECT AVG(dependencies) FROM distributions",
        DISTRIBUTIONS,
    ),
    Reference(
        "sum", "What is the total bytes of all distributions?", "SELECT SUM(bytes) FROM distributions", DISTRIBUTIONS
    ),
    Reference(
        "lookup",
        "What is the version of pydantic?",
        "SELECT version FROM distributions WHERE name = 'pydantic'",
        DISTRIBUTIONS,
    ),
    Reference(
        "like",
        "List the distributions whose name starts with open.",
        "SELECT name FROM distributions WHERE name LIKE 'open%'",
        DISTRIBUTIONS,
    ),
    Reference(
        "join",
        "How many requirements does pydantic have?",
        f"SELECT COUNT(*) {_JOIN} WHERE distributions.name = 'pydantic'",
        BOTH,
    ),
    Reference(
        "join, argmax",
        "Which distribution has the most requirements?",
        f"SELECT distributions.name {_JOIN} GROUP BY distributions.name ORDER BY COUNT(*) DESC LIMIT 1",
        BOTH,
        ordered=True,
    ),
    Reference(
        "group by",
        "How many requirements are there per kind?",
        "SELECT kind, COUNT(*) FROM requirements GROUP BY kind",
        REQUIREMENTS,
    ),
    Reference(
        "subquery",
        "How many distributions are there with files above average?",
        "SELECT COUNT(*) FROM distributions WHERE files > (SELECT AVG(files) FROM distributions)",
        DISTRIBUTIONS,
    ),
    Reference(
        "filter",
        "How many packages are there in section libs?",
        "SELECT COUNT(*) FROM packages WHERE section = 'libs'",
        PACKAGES,
    ),
    Reference(
        "group, argmax",
        "Which section has the most packages?",
        "SELECT section FROM packages GROUP BY section ORDER BY COUNT(*) DESC LIMIT 1",
        PACKAGES,
        ordered=True,
    ),
    Reference(
        "argmax",
        "What is the largest package?",
        "SELECT name FROM packages ORDER BY size_kb DESC LIMIT 1",
        PACKAGES,
        ordered=True,
    ),
    Reference(
        "group by",
        "Count the packages per priority.",
        "SELECT priority, COUNT(*) FROM packages GROUP BY priority",
        PACKAGES,
    ),
    Reference(
        "having",
        "Which sections have more than 20 packages?",
        "SELECT section FROM packages GROUP BY section HAVING COUNT(*) > 20",
        PACKAGES,
    ),
    Reference(
        "max, filter",
        "What is the maximum size of packages in section admin?",
        "SELECT MAX(size_kb) FROM packages WHERE section = 'admin'",
        PACKAGES,
    ),
    Reference(
        "group, avg",
        "What is the average size per priority of packages?",
        "SELECT priority, AVG(size_kb) FROM packages GROUP BY priority",
        PACKAGES,
    ),
    Reference(
        "distinct",
        "How many different sections do the packages have?",
        "SELECT COUNT(DISTINCT section) FROM packages",
        PACKAGES,
    ),
)


def answerable(tables: Collection[str]) -> list[Reference]:
    """The questions whose tables all exist."""
    return [each for each in QUESTIONS if set(each.tables) <= set(tables)]


def same_rows(expected: Sequence[Sequence[Cell]], found: Sequence[Sequence[Cell]], ordered: bool) -> bool:
    """Whether two results hold the same rows: as lists if ``ordered``, else as multisets; floats to four decimals."""
    left, right = [_comparable(row) for row in expected], [_comparable(row) for row in found]
    return left == right if ordered else sorted(left, key=repr) == sorted(right, key=repr)


def _comparable(row: Sequence[Cell]) -> tuple[Cell, ...]:
    return tuple(round(value, 4) if isinstance(value, float) else value for value in row)
