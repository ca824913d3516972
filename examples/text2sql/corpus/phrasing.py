"""The words of a question: how tables, columns and conditions are said, and the SQL they stand for."""

import random
from dataclasses import dataclass
from typing import Literal

from examples.text2sql.corpus.database import Column, Database, Table, plural

Shape = Literal["count", "number", "names", "pairs"]


@dataclass(frozen=True)
class Question:
    """A question, the query that answers it and the tables the query reads; `subject` names what the rows hold."""

    kind: str
    text: str
    sql: str
    tables: tuple[str, ...]
    shape: Shape
    subject: str
    ordered: bool = False
    literals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filter:
    """A condition as a phrase after the noun, and as SQL."""

    phrase: str
    sql: str
    literals: tuple[str, ...] = ()


HIGH = ("highest", "largest", "biggest", "greatest", "most")
LOW = ("lowest", "smallest", "fewest", "least")
ADJECTIVES = ("known", "recorded", "listed", "stored", "Nordic", "Iberian", "Danish", "Gnome", "Linux", "Ruby")
AGGREGATES: dict[str, tuple[str, ...]] = {
    "AVG": ("average", "mean", "average"),
    "SUM": ("total", "sum of the", "combined", "total"),
    "MAX": ("maximum", "highest", "largest", "max"),
    "MIN": ("minimum", "lowest", "smallest", "min"),
}


class Phrasing:
    """How one question says the names of a table: drawn once, so that the question is consistent."""

    def __init__(self, database: Database, rng: random.Random) -> None:
        self.database = database
        self.rng = rng

    def many(self, table: Table) -> str:
        """The table's things, plural."""
        words = table.name.replace("_", " ") if table.verb is not None else plural(table.noun)
        _, _, rest = words.partition(" ")
        if rest and self.rng.random() < 0.06 and self.is_unambiguous(rest, table):
            return rest
        return f"{self.rng.choice(ADJECTIVES)} {words}" if self.rng.random() < 0.06 else words

    def one(self, table: Table) -> str:
        """One of the table's things."""
        return f"{self.rng.choice(ADJECTIVES)} {table.noun}" if self.rng.random() < 0.04 else table.noun

    def is_unambiguous(self, words: str, table: Table) -> bool:
        return not any(words in other.name.replace("_", " ") for other in self.database.tables if other is not table)

    def column(self, column: Column, table: Table) -> str:
        """The column's words: its whole name, or a part that no other column of the table shares."""
        words = column.words
        for prefix in ("n ", "num ", "number of "):
            if words.startswith(prefix) and self.rng.random() < 0.5:
                rest = words.removeprefix(prefix)
                return rest if self.rng.random() < 0.6 else f"number of {rest}"
        parts = words.split(" ")
        if len(parts) > 1 and self.rng.random() < 0.12:
            part = self.rng.choice(parts)
            if not any(part in other.name for other in table.columns if other is not column) and len(part) > 2:
                return part
        return words

    def pick(self, *options: str) -> str:
        """One of the phrasings."""
        return self.rng.choice(options)


def drawn_value(rng: random.Random, column: Column) -> str | int | float:
    return rng.choice(column.values)


def as_said(rng: random.Random, value: object) -> str:
    return f"'{value}'" if isinstance(value, str) and rng.random() < 0.15 else str(value)


def _text_filter(p: Phrasing, table: Table, column: Column, prefix: str) -> Filter:
    rng, name, words = p.rng, f"{prefix}{column.name}", p.column(column, table)
    value = str(drawn_value(rng, column))
    said = as_said(rng, value)
    roll = rng.random()
    if column.role == "category" and roll < 0.62:
        phrase = p.pick(
            f"with {words} {said}",
            f"with {words} {said}",
            f"in {words} {said}",
            f"whose {words} is {said}",
            f"where {words} is {said}",
            f"of {words} {said}",
            f"that have {words} {said}",
            f"with the {words} {said}",
            f"where the {words} equals {said}",
            f"having {words} {said}",
        )
        return Filter(phrase, f"{name} = '{value}'", (value,))
    if column.role == "category" and roll < 0.78:
        phrase = p.pick(
            f"whose {words} is not {said}",
            f"not in {words} {said}",
            f"with {words} other than {said}",
            f"where {words} is not {said}",
            f"with a {words} different from {said}",
            f"without {words} {said}",
        )
        return Filter(phrase, f"{name} != '{value}'", (value,))
    if column.role in ("text",) and roll < 0.3:
        return Filter(p.pick(f"with {words} {said}", f"whose {words} is {said}"), f"{name} = '{value}'", (value,))
    cut = rng.randint(1, min(4, len(value)))
    if rng.random() < 0.5:
        part = value[:cut].strip() or value[:1]
        said = as_said(rng, part)
        phrase = p.pick(
            f"whose {words} starts with {said}",
            f"with a {words} starting with {said}",
            f"whose {words} begins with {said}",
            f"where {words} starts with {said}",
            f"with {words} beginning with {said}",
        )
        return Filter(phrase, f"{name} LIKE '{part}%'", (part,))
    start = rng.randrange(len(value) - cut + 1)
    part = value[start : start + cut].strip() or value[:1]
    said = as_said(rng, part)
    phrase = p.pick(
        f"whose {words} contains {said}",
        f"with {said} in the {words}",
        f"with a {words} containing {said}",
        f"where {words} contains {said}",
        f"whose {words} includes {said}",
    )
    return Filter(phrase, f"{name} LIKE '%{part}%'", (part,))


def _number_filter(p: Phrasing, table: Table, column: Column, prefix: str) -> Filter:
    rng, name, words = p.rng, f"{prefix}{column.name}", p.column(column, table)
    value = drawn_value(rng, column)
    if isinstance(value, int) and value > 50 and rng.random() < 0.5:
        value = max(10, value // 10 * 10)
    roll = rng.random()
    if roll < 0.34:
        phrase = p.pick(
            f"with more than {value} {words}",
            f"with {words} above {value}",
            f"whose {words} is over {value}",
            f"with {words} greater than {value}",
            f"with a {words} above {value}",
            f"that have more than {value} {words}",
            f"whose {words} is greater than {value}",
            f"with {words} over {value}",
            f"having more than {value} {words}",
            f"where {words} is larger than {value}",
            f"with a {words} of more than {value}",
        )
        return Filter(phrase, f"{name} > {value}")
    if roll < 0.62:
        phrase = p.pick(
            f"with less than {value} {words}",
            f"with {words} below {value}",
            f"whose {words} is under {value}",
            f"with {words} less than {value}",
            f"with fewer than {value} {words}",
            f"whose {words} is smaller than {value}",
            f"that have fewer than {value} {words}",
            f"with a {words} below {value}",
            f"with {words} under {value}",
            f"with a {words} of less than {value}",
        )
        return Filter(phrase, f"{name} < {value}")
    if roll < 0.72:
        phrase = p.pick(
            f"with at least {value} {words}",
            f"whose {words} is at least {value}",
            f"with a {words} of at least {value}",
            f"that have {value} or more {words}",
        )
        return Filter(phrase, f"{name} >= {value}")
    if roll < 0.79:
        phrase = p.pick(
            f"with at most {value} {words}",
            f"whose {words} is at most {value}",
            f"with a {words} of at most {value}",
            f"that have {value} or fewer {words}",
        )
        return Filter(phrase, f"{name} <= {value}")
    if roll < 0.92:
        low, high = sorted((value, drawn_value(rng, column)), key=float)
        phrase = p.pick(
            f"with {words} between {low} and {high}",
            f"whose {words} is between {low} and {high}",
            f"with a {words} from {low} to {high}",
            f"where {words} lies between {low} and {high}",
            f"with between {low} and {high} {words}",
        )
        return Filter(phrase, f"{name} BETWEEN {low} AND {high}")
    phrase = p.pick(
        f"with {words} {value}",
        f"whose {words} is {value}",
        f"with exactly {value} {words}",
        f"with a {words} of {value}",
        f"where {words} equals {value}",
    )
    return Filter(phrase, f"{name} = {value}")


def draw_filter(p: Phrasing, table: Table, qualified: bool = False, avoid: Column | None = None) -> Filter | None:
    """A condition on one column of the table other than `avoid`, or None where it has none."""
    prefix = f"{table.name}." if qualified else ""
    texts = [column for column in table.of("category", "category", "text", "name") if column is not avoid]
    categories = [column for column in table.of("category") if column is not avoid]
    numbers = [column for column in table.of("number") if column is not avoid]
    roll = p.rng.random()
    if categories and roll < 0.5:
        return _text_filter(p, table, p.rng.choice(categories), prefix)
    if numbers and roll < 0.85:
        return _number_filter(p, table, p.rng.choice(numbers), prefix)
    return _text_filter(p, table, p.rng.choice(texts), prefix) if texts else None


def maybe_filter(p: Phrasing, table: Table, rate: float, avoid: Column | None = None) -> Filter:
    """A condition or, most often, none; sometimes two joined by "and"."""
    if p.rng.random() >= rate or (first := draw_filter(p, table, avoid=avoid)) is None:
        return Filter("", "")
    if (
        p.rng.random() < 0.08
        and (second := draw_filter(p, table, avoid=avoid))
        and second.sql.split()[0] != first.sql.split()[0]
    ):
        return Filter(
            f" {first.phrase} and {second.phrase}",
            f" WHERE {first.sql} AND {second.sql}",
            first.literals + second.literals,
        )
    return Filter(f" {first.phrase}", f" WHERE {first.sql}", first.literals)
