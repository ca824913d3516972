"""Questions of many kinds over a random database, each with the query that answers it.

A kind is a function that draws a `Question` from a table (or returns None where the table does not allow it). Question
texts mention tables and columns by words close to their names, sometimes shortened, among varied phrasing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from examples.text2sql.corpus.database import Column, Database, ForeignKey, Table, plural

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
        first, _, rest = words.partition(" ")
        if rest and self.rng.random() < 0.15 and self._unambiguous(rest, table):
            return rest
        return f"{self.rng.choice(ADJECTIVES)} {words}" if self.rng.random() < 0.06 else words

    def one(self, table: Table) -> str:
        """One of the table's things."""
        return f"{self.rng.choice(ADJECTIVES)} {table.noun}" if self.rng.random() < 0.04 else table.noun

    def _unambiguous(self, words: str, table: Table) -> bool:
        return not any(words in other.name.replace("_", " ") for other in self.database.tables if other is not table)

    def column(self, column: Column, table: Table) -> str:
        """The column's words: its whole name, or a part that no other column of the table shares."""
        words = column.words
        for prefix in ("n ", "num ", "number of "):
            if words.startswith(prefix) and self.rng.random() < 0.8:
                rest = words.removeprefix(prefix)
                return rest if self.rng.random() < 0.6 else f"number of {rest}"
        parts = words.split(" ")
        if len(parts) > 1 and self.rng.random() < 0.3:
            part = self.rng.choice(parts)
            if not any(part in other.name for other in table.columns if other is not column) and len(part) > 2:
                return part
        return words

    def pick(self, *options: str) -> str:
        """One of the phrasings."""
        return self.rng.choice(options)


def _quote(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _cell(rng: random.Random, column: Column) -> str | int | float:
    return rng.choice(column.values)


def _said(rng: random.Random, value: object) -> str:
    return f"'{value}'" if isinstance(value, str) and rng.random() < 0.15 else str(value)


def _text_filter(p: Phrasing, table: Table, column: Column, prefix: str) -> Filter:
    rng, name, words = p.rng, f"{prefix}{column.name}", p.column(column, table)
    value = str(_cell(rng, column))
    said = _said(rng, value)
    roll = rng.random()
    if column.role == "category" and roll < 0.62:
        phrase = p.pick(f"with {words} {said}", f"with {words} {said}", f"in {words} {said}", f"whose {words} is {said}",
                        f"where {words} is {said}", f"of {words} {said}", f"that have {words} {said}",
                        f"with the {words} {said}", f"where the {words} equals {said}", f"having {words} {said}")
        return Filter(phrase, f"{name} = '{value}'", (value,))
    if column.role == "category" and roll < 0.78:
        phrase = p.pick(f"whose {words} is not {said}", f"not in {words} {said}", f"with {words} other than {said}",
                        f"where {words} is not {said}", f"with a {words} different from {said}", f"without {words} {said}")
        return Filter(phrase, f"{name} != '{value}'", (value,))
    if column.role in ("text",) and roll < 0.3:
        return Filter(p.pick(f"with {words} {said}", f"whose {words} is {said}"), f"{name} = '{value}'", (value,))
    cut = rng.randint(1, min(4, len(value)))
    if rng.random() < 0.5:
        part = value[:cut].strip() or value[:1]
        said = _said(rng, part)
        phrase = p.pick(f"whose {words} starts with {said}", f"with a {words} starting with {said}",
                        f"whose {words} begins with {said}", f"where {words} starts with {said}",
                        f"with {words} beginning with {said}")
        return Filter(phrase, f"{name} LIKE '{part}%'", (part,))
    start = rng.randrange(len(value) - cut + 1)
    part = value[start : start + cut].strip() or value[:1]
    said = _said(rng, part)
    phrase = p.pick(f"whose {words} contains {said}", f"with {said} in the {words}", f"with a {words} containing {said}",
                    f"where {words} contains {said}", f"whose {words} includes {said}")
    return Filter(phrase, f"{name} LIKE '%{part}%'", (part,))


def _number_filter(p: Phrasing, table: Table, column: Column, prefix: str) -> Filter:
    rng, name, words = p.rng, f"{prefix}{column.name}", p.column(column, table)
    value = _cell(rng, column)
    if isinstance(value, int) and value > 50 and rng.random() < 0.5:
        value = max(10, value // 10 * 10)
    roll = rng.random()
    if roll < 0.34:
        phrase = p.pick(f"with more than {value} {words}", f"with {words} above {value}", f"whose {words} is over {value}",
                        f"with {words} greater than {value}", f"with a {words} above {value}",
                        f"that have more than {value} {words}", f"whose {words} is greater than {value}",
                        f"with {words} over {value}", f"having more than {value} {words}",
                        f"where {words} is larger than {value}", f"with a {words} of more than {value}")
        return Filter(phrase, f"{name} > {value}")
    if roll < 0.62:
        phrase = p.pick(f"with less than {value} {words}", f"with {words} below {value}", f"whose {words} is under {value}",
                        f"with {words} less than {value}", f"with fewer than {value} {words}",
                        f"whose {words} is smaller than {value}", f"that have fewer than {value} {words}",
                        f"with a {words} below {value}", f"with {words} under {value}", f"with a {words} of less than {value}")
        return Filter(phrase, f"{name} < {value}")
    if roll < 0.72:
        phrase = p.pick(f"with at least {value} {words}", f"whose {words} is at least {value}",
                        f"with a {words} of at least {value}", f"that have {value} or more {words}")
        return Filter(phrase, f"{name} >= {value}")
    if roll < 0.79:
        phrase = p.pick(f"with at most {value} {words}", f"whose {words} is at most {value}",
                        f"with a {words} of at most {value}", f"that have {value} or fewer {words}")
        return Filter(phrase, f"{name} <= {value}")
    if roll < 0.92:
        low, high = sorted((value, _cell(rng, column)), key=float)
        phrase = p.pick(f"with {words} between {low} and {high}", f"whose {words} is between {low} and {high}",
                        f"with a {words} from {low} to {high}", f"where {words} lies between {low} and {high}",
                        f"with between {low} and {high} {words}")
        return Filter(phrase, f"{name} BETWEEN {low} AND {high}")
    phrase = p.pick(f"with {words} {value}", f"whose {words} is {value}", f"with exactly {value} {words}",
                    f"with a {words} of {value}", f"where {words} equals {value}")
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


def _maybe_filter(p: Phrasing, table: Table, rate: float, avoid: Column | None = None) -> Filter:
    """A condition or, most often, none; sometimes two joined by "and"."""
    if p.rng.random() >= rate or (first := draw_filter(p, table, avoid=avoid)) is None:
        return Filter("", "")
    if p.rng.random() < 0.15 and (second := draw_filter(p, table, avoid=avoid)) and second.sql.split()[0] != first.sql.split()[0]:
        return Filter(f" {first.phrase} and {second.phrase}", f" WHERE {first.sql} AND {second.sql}",
                      first.literals + second.literals)
    return Filter(f" {first.phrase}", f" WHERE {first.sql}", first.literals)


def _count(p: Phrasing, table: Table) -> Question | None:
    things = p.many(table)
    kept = _maybe_filter(p, table, 0.75)
    if not kept.sql:
        text = p.pick(f"How many {things} are there?", f"Count the {things}.", f"What is the number of {things}?",
                      f"How many {things} do we have?", f"How many {things} does the database hold?",
                      f"What is the total number of {things}?")
        return Question("count", text, f"SELECT COUNT(*) FROM {table.name}", (table.name,), "count", things)
    text = p.pick(f"How many {things} are there{kept.phrase}?", f"How many {things}{kept.phrase} are there?",
                  f"Count the {things}{kept.phrase}.", f"What is the number of {things}{kept.phrase}?",
                  f"How many {things} are{kept.phrase}?" if kept.phrase.startswith((" in ", " not in ")) else
                  f"Give the number of {things}{kept.phrase}.", f"How many {things}{kept.phrase} do we have?")
    return Question("count_filter", text, f"SELECT COUNT(*) FROM {table.name}{kept.sql}", (table.name,), "count", things,
                    literals=kept.literals)


def _count_value(p: Phrasing, table: Table) -> Question | None:
    """A value used as an adjective: the schema shows which column holds it."""
    shown = [column for column in table.of("category") if len(set(column.values)) <= 4 and column is not table.verb]
    if not shown:
        return None
    column = p.rng.choice(shown)
    value = str(_cell(p.rng, column))
    if any(value in other.values for other in table.columns if other is not column) or len(value) > 16:
        return None
    things = p.many(table)
    if p.rng.random() < 0.6:
        text = p.pick(f"How many {value} {things} are there?", f"Count the {value} {things}.",
                      f"What is the number of {value} {things}?", f"How many {things} are {value}?")
        return Question("count_value", text, f"SELECT COUNT(*) FROM {table.name} WHERE {column.name} = '{value}'",
                        (table.name,), "count", things, literals=(value,))
    text = p.pick(f"List the {value} {things}.", f"Which {things} are {value}?", f"Show all {value} {things}.")
    return Question("list_value", text, f"SELECT {table.display.name} FROM {table.name} WHERE {column.name} = '{value}'",
                    (table.name,), "names", things, literals=(value,))


def _list(p: Phrasing, table: Table) -> Question | None:
    things = p.many(table)
    kept = _maybe_filter(p, table, 0.93)
    if p.rng.random() < 0.5 and kept.sql:
        text = p.pick(f"Which {things} are there{kept.phrase}?", f"List the {things}{kept.phrase}.",
                      f"Show all {things}{kept.phrase}.", f"Name the {things}{kept.phrase}.", f"List all {things}{kept.phrase}.",
                      f"What are the {things}{kept.phrase}?", f"Give me the {things}{kept.phrase}.",
                      f"Find the {things}{kept.phrase}.")
        return Question("list_filter", text, f"SELECT {table.display.name} FROM {table.name}{kept.sql}", (table.name,),
                        "names", things, literals=kept.literals)
    column = p.rng.choice(table.of("name", "number", "category", "text", "name"))
    words = p.column(column, table)
    text = p.pick(f"List the {words} of {things}{kept.phrase}.", f"Show the {words} of all {things}{kept.phrase}.",
                  f"What is the {words} of the {things}{kept.phrase}?", f"Give the {words} of {things}{kept.phrase}.",
                  f"What are the {plural(words)} of {things}{kept.phrase}?", f"Find the {words} of each {p.one(table)}{kept.phrase}.")
    return Question("list_column", text, f"SELECT {column.name} FROM {table.name}{kept.sql}", (table.name,), "names",
                    words, literals=kept.literals)


def _lookup(p: Phrasing, table: Table) -> Question | None:
    names = table.of("name")
    others = table.of("number", "category", "text")
    if not names or not others:
        return None
    column, value = p.rng.choice(others), str(_cell(p.rng, names[0]))
    words, said, one = p.column(column, table), _said(p.rng, value), p.one(table)
    text = p.pick(f"What is the {words} of {said}?", f"What is the {words} of {one} {said}?",
                  f"Give the {words} of the {one} {said}.", f"Which {words} does {said} have?",
                  f"What {words} does the {one} {said} have?", f"Show the {words} of the {one} named {said}.")
    if not p._unambiguous(column.words, table):
        text = f"What is the {words} of the {one} {said}?"
    if column.role == "number" and p.rng.random() < 0.3:
        text = p.pick(f"How many {words} does {one} {said} have?", f"How much {words} does the {one} {said} have?")
    return Question("lookup", text, f"SELECT {column.name} FROM {table.name} WHERE {names[0].name} = '{value}'",
                    (table.name,), "names", words, literals=(value,))


def _aggregate(p: Phrasing, table: Table) -> Question | None:
    numbers = table.of("number")
    if not numbers:
        return None
    column = p.rng.choice(numbers)
    function = p.rng.choice(("AVG", "AVG", "SUM", "MAX", "MIN"))
    word, words, things = p.rng.choice(AGGREGATES[function]), p.column(column, table), p.many(table)
    kept = _maybe_filter(p, table, 0.55, column)
    text = p.pick(f"What is the {word} {words} of {things}{kept.phrase}?", f"What is the {word} {words} of the {things}{kept.phrase}?",
                  f"Give the {word} {words} of all {things}{kept.phrase}.", f"Compute the {word} {words} of {things}{kept.phrase}.",
                  f"What is the {word} {words} for {things}{kept.phrase}?", f"Find the {word} {words} among {things}{kept.phrase}.")
    if function == "SUM" and p.rng.random() < 0.3:
        text = p.pick(f"How many {words} do the {things}{kept.phrase} have in total?", f"How much {words} do all {things}{kept.phrase} have together?")
    if function == "AVG" and p.rng.random() < 0.2:
        text = f"How many {words} do {things}{kept.phrase} have on average?"
    return Question("aggregate", text, f"SELECT {function}({column.name}) FROM {table.name}{kept.sql}", (table.name,),
                    "number", f"{word.removesuffix(' of the')} {words}", literals=kept.literals)


def _extreme(p: Phrasing, table: Table) -> Question | None:
    numbers = table.of("number")
    if not numbers:
        return None
    column, up = p.rng.choice(numbers), p.rng.random() < 0.62
    words, one, things, word = p.column(column, table), p.one(table), p.many(table), p.rng.choice(HIGH if up else LOW)
    kept = _maybe_filter(p, table, 0.3, column)
    order = f"ORDER BY {column.name} {'DESC' if up else 'ASC'}"
    if p.rng.random() < 0.5:
        text = p.pick(f"Which {one}{kept.phrase} has the {word} {words}?", f"Which {one} has the {word} {words}?" if not kept.sql
                      else f"Among {things}{kept.phrase}, which one has the {word} {words}?",
                      f"What is the name of the {one}{kept.phrase} with the {word} {words}?",
                      f"Name the {one}{kept.phrase} with the {word} {words}.", f"Find the {one}{kept.phrase} that has the {word} {words}.")
        if not kept.sql and (len(numbers) == 1 or column.is_size) and p.rng.random() < 0.35:
            size = p.pick("largest", "biggest") if up else "smallest"
            text = p.pick(f"What is the {size} {one}?", f"Which {one} is the {size}?", f"Which is the {size} {one}?")
            if len(numbers) > 1 and sum(other.is_size for other in numbers) != 1:
                return None
        return Question("extreme", text, f"SELECT {table.display.name} FROM {table.name}{kept.sql} {order} LIMIT 1",
                        (table.name,), "names", f"{one} with the {word} {words}", True, kept.literals)
    k = p.rng.randint(2, 10)
    text = p.pick(f"List the {k} {things}{kept.phrase} with the {word} {words}.", f"Which {k} {things}{kept.phrase} have the {word} {words}?",
                  f"Show the {'top' if up else 'bottom'} {k} {things}{kept.phrase} by {words}.",
                  f"What are the {'top' if up else 'bottom'} {k} {things}{kept.phrase} by {words}?",
                  f"Give the {k} {things}{kept.phrase} with the {word} {words}.")
    if not kept.sql and (len(numbers) == 1 or (column.is_size and sum(o.is_size for o in numbers) == 1)) and p.rng.random() < 0.4:
        size = p.pick("largest", "biggest") if up else "smallest"
        text = p.pick(f"List the {k} {size} {things}.", f"What are the {k} {size} {things}?", f"Show the {k} {size} {things}.")
    return Question("top", text, f"SELECT {table.display.name} FROM {table.name}{kept.sql} {order} LIMIT {k}",
                    (table.name,), "names", things, True, kept.literals)


def _distinct(p: Phrasing, table: Table) -> Question | None:
    columns = table.of("category", "key")
    if not columns:
        return None
    column = p.rng.choice(columns)
    words, things = plural(p.column(column, table)), p.many(table)
    if p.rng.random() < 0.6:
        text = p.pick(f"How many different {words} do the {things} have?", f"How many distinct {words} are there among the {things}?",
                      f"How many different {words} are there in {things}?", f"Count the distinct {words} of {things}.",
                      f"What is the number of different {words} of {things}?", f"How many unique {words} do {things} have?")
        return Question("count_distinct", text, f"SELECT COUNT(DISTINCT {column.name}) FROM {table.name}", (table.name,), "count", words)
    text = p.pick(f"What are the different {words} of {things}?", f"List the distinct {words} of {things}.",
                  f"Which different {words} do the {things} have?", f"Show the unique {words} among {things}.")
    return Question("list_distinct", text, f"SELECT DISTINCT {column.name} FROM {table.name}", (table.name,), "names", words)


def _group(p: Phrasing, table: Table) -> Question | None:
    columns = table.of("category", "category", "key")
    if not columns:
        return None
    column = p.rng.choice(columns)
    words, things, name = p.column(column, table), p.many(table), column.name
    roll = p.rng.random()
    if roll < 0.3:
        text = p.pick(f"How many {things} are there per {words}?", f"How many {things} are there for each {words}?",
                      f"Count the {things} per {words}.", f"Count the {things} by {words}.", f"Show the number of {things} for each {words}.",
                      f"For each {words}, how many {things} are there?", f"What is the number of {things} in each {words}?")
        return Question("group_count", text, f"SELECT {name}, COUNT(*) FROM {table.name} GROUP BY {name}", (table.name,), "pairs", things)
    if roll < 0.7:
        up = p.rng.random() < 0.75
        word = p.pick("most", "most", "largest number of", "highest number of") if up else p.pick("fewest", "least", "smallest number of")
        text = p.pick(f"Which {words} has the {word} {things}?", f"What {words} has the {word} {things}?",
                      f"Which {words} do the {word} {things} have?" if word in ("most", "fewest") else f"Find the {words} with the {word} {things}.",
                      f"Name the {words} with the {word} {things}.", f"What is the {words} with the {word} {things}?")
        if up and p.rng.random() < 0.15:
            text = p.pick(f"What is the most common {words} of {things}?", f"Which {words} is the most common among {things}?", f"What is the most frequent {words} of {things}?")
        sql = f"SELECT {name} FROM {table.name} GROUP BY {name} ORDER BY COUNT(*) {'DESC' if up else 'ASC'} LIMIT 1"
        if p.rng.random() < 0.2:
            k = p.rng.randint(2, 6)
            text = p.pick(f"Which {k} {plural(words)} have the {word} {things}?", f"List the {k} {plural(words)} with the {word} {things}.")
            sql = sql.removesuffix("1") + str(k)
        return Question("group_extreme", text, sql, (table.name,), "names", words, True)
    n = p.rng.randint(1, max(2, len(table.columns[0].values) // max(1, len(set(column.values)))))
    up = p.rng.random() < 0.65
    word = p.pick("more than", "over") if up else p.pick("fewer than", "less than")
    if p.rng.random() < 0.2:
        word, sign = ("at least", ">=") if up else ("at most", "<=")
    else:
        sign = ">" if up else "<"
    many = plural(words)
    text = p.pick(f"Which {many} have {word} {n} {things}?", f"List the {many} with {word} {n} {things}.",
                  f"What are the {many} with {word} {n} {things}?", f"Which {words} has {word} {n} {things}?",
                  f"Find the {many} that have {word} {n} {things}.")
    return Question("having", text, f"SELECT {name} FROM {table.name} GROUP BY {name} HAVING COUNT(*) {sign} {n}", (table.name,), "names", many)


def _group_aggregate(p: Phrasing, table: Table) -> Question | None:
    columns, numbers = table.of("category", "key"), table.of("number")
    if not columns or not numbers:
        return None
    column, number = p.rng.choice(columns), p.rng.choice(numbers)
    function = p.rng.choice(("AVG", "AVG", "SUM", "MAX", "MIN"))
    word, words, by, things = p.rng.choice(AGGREGATES[function]), p.column(number, table), p.column(column, table), p.many(table)
    name, call = column.name, f"{function}({number.name})"
    if p.rng.random() < 0.6:
        text = p.pick(f"What is the {word} {words} of {things} per {by}?", f"What is the {word} {words} of {things} for each {by}?",
                      f"Show the {word} {words} of {things} by {by}.", f"For each {by}, what is the {word} {words} of {things}?",
                      f"Give the {word} {words} per {by} of {things}.", f"What is the {word} {words} per {by} for {things}?")
        return Question("group_aggregate", text, f"SELECT {name}, {call} FROM {table.name} GROUP BY {name}", (table.name,), "pairs", f"{word} {words}")
    function, word = p.rng.choice((("AVG", "average"), ("SUM", "total"), ("AVG", "mean")))
    up = p.rng.random() < 0.7
    most = p.pick("highest", "largest", "greatest") if up else p.pick("lowest", "smallest")
    text = p.pick(f"Which {by} has the {most} {word} {words} of {things}?", f"Which {by} of {things} has the {most} {word} {words}?",
                  f"Find the {by} with the {most} {word} {words} of {things}.")
    sql = f"SELECT {name} FROM {table.name} GROUP BY {name} ORDER BY {function}({number.name}) {'DESC' if up else 'ASC'} LIMIT 1"
    return Question("group_aggregate_extreme", text, sql, (table.name,), "names", by, True)


def _above_average(p: Phrasing, table: Table) -> Question | None:
    numbers = table.of("number")
    if not numbers:
        return None
    column, up = p.rng.choice(numbers), p.rng.random() < 0.7
    words, things = p.column(column, table), p.many(table)
    side = p.pick("above", "more than", "higher than") if up else p.pick("below", "less than", "lower than")
    phrase = p.pick(f"with {words} {side} average", f"whose {words} is {side} the average", f"with {words} {side} the average")
    where = f"FROM {table.name} WHERE {column.name} {'>' if up else '<'} (SELECT AVG({column.name}) FROM {table.name})"
    if p.rng.random() < 0.5:
        return Question("above_average", p.pick(f"How many {things} are there {phrase}?", f"Count the {things} {phrase}."),
                        f"SELECT COUNT(*) {where}", (table.name,), "count", things)
    text = p.pick(f"List the {things} {phrase}.", f"Which {things} are there {phrase}?", f"Show the {things} {phrase}.")
    return Question("above_average", text, f"SELECT {table.display.name} {where}", (table.name,), "names", things)


def _verb(p: Phrasing, table: Table) -> Question | None:
    """Over a relation of pairs: who does the verb to what."""
    verb, key = table.verb, table.keys[0]
    assert verb is not None
    parent = p.database.table(key.parent)
    many, one, does, value = p.many(parent), p.one(parent), verb.name.removesuffix("s"), str(_cell(p.rng, verb))
    subject = str(_cell(p.rng, next(column for column in table.columns if column.name == key.column)))
    said = _said(p.rng, value)
    roll = p.rng.random()
    if roll < 0.35:
        text = p.pick(f"How many {many} {does} {said}?", f"Count the {many} that {does} {said}.", f"What is the number of {many} that {does} {said}?")
        return Question("verb_count", text, f"SELECT COUNT(*) FROM {table.name} WHERE {verb.name} = '{value}'", (table.name,), "count", many, literals=(value,))
    if roll < 0.6:
        text = p.pick(f"Which {many} {does} {said}?", f"List the {many} that {does} {said}.", f"Name the {many} that {does} {said}.")
        return Question("verb_list", text, f"SELECT {key.column} FROM {table.name} WHERE {verb.name} = '{value}'", (table.name,), "names", many, literals=(value,))
    if roll < 0.8:
        text = p.pick(f"What does {subject} {does}?", f"What does the {one} {subject} {does}?", f"List what {subject} {does}s.")
        return Question("verb_objects", text, f"SELECT {verb.name} FROM {table.name} WHERE {key.column} = '{subject}'", (table.name,), "names", "results", literals=(subject,))
    text = p.pick(f"How many things does {subject} {does}?", f"How many does the {one} {subject} {does}?")
    return Question("verb_count_objects", text, f"SELECT COUNT(*) FROM {table.name} WHERE {key.column} = '{subject}'", (table.name,), "count", "results", literals=(subject,))


def _joined(p: Phrasing, table: Table) -> Question | None:
    """A question over a table and one that it refers to."""
    if not table.keys:
        return None
    key: ForeignKey = p.rng.choice(table.keys)
    parent = p.database.table(key.parent)
    joined = f"FROM {table.name} JOIN {parent.name} ON {table.name}.{key.column} = {parent.name}.{key.target}"
    things, one, parents = p.many(table), p.one(parent), p.many(parent)
    label, both = f"{parent.name}.{parent.display.name}", (table.name, parent.name)
    target = next(column for column in parent.columns if column.name == key.target)
    child = next(column for column in table.columns if column.name == key.column)
    roll = p.rng.random()
    if roll < 0.38 and target.role == "id":
        used = set(child.values)
        names = [name for name, ident in zip(parent.display.values, target.values, strict=True) if ident in used]
        value = str(p.rng.choice(names))
        said, where = _said(p.rng, value), f" WHERE {label} = '{value}'"
        if roll < 0.2:
            text = p.pick(f"How many {things} does {said} have?", f"How many {things} does the {one} {said} have?", f"How many {things} belong to {said}?",
                          f"Count the {things} of {one} {said}.", f"How many {things} are there for {one} {said}?", f"What is the number of {things} of the {one} {said}?")
            return Question("join_count", text, f"SELECT COUNT(*) {joined}{where}", both, "count", things, literals=(value,))
        text = p.pick(f"List the {things} of {said}.", f"Which {things} belong to {said}?", f"Show the {things} of the {one} {said}.",
                      f"Which {things} does {one} {said} have?", f"What are the {things} of {said}?")
        return Question("join_list", text, f"SELECT {table.name}.{table.display.name} {joined}{where}", both, "names", things, literals=(value,))
    kept = draw_filter(p, parent, qualified=True)
    if roll < 0.68 and kept is not None:
        which = p.pick(f"of {parents} {kept.phrase}", f"that belong to {parents} {kept.phrase}", f"whose {one} is one {kept.phrase}", f"for {parents} {kept.phrase}")
        numbers = table.of("number")
        if roll < 0.5:
            text = p.pick(f"How many {things} are there {which}?", f"Count the {things} {which}.", f"What is the number of {things} {which}?")
            return Question("join_filter_count", text, f"SELECT COUNT(*) {joined} WHERE {kept.sql}", both, "count", things, literals=kept.literals)
        if roll < 0.58 and numbers:
            number, function = p.rng.choice(numbers), p.rng.choice(("AVG", "SUM", "MAX", "MIN"))
            word, words = p.rng.choice(AGGREGATES[function]), p.column(number, table)
            text = p.pick(f"What is the {word} {words} of the {things} {which}?", f"Give the {word} {words} of {things} {which}.")
            return Question("join_aggregate", text, f"SELECT {function}({table.name}.{number.name}) {joined} WHERE {kept.sql}", both, "number", f"{word} {words}", literals=kept.literals)
        text = p.pick(f"List the {things} {which}.", f"Which {things} are there {which}?", f"Show the {things} {which}.")
        return Question("join_filter_list", text, f"SELECT {table.name}.{table.display.name} {joined} WHERE {kept.sql}", both, "names", things, literals=kept.literals)
    if target.role != "id":
        return None
    if p.rng.random() < 0.45:
        text = p.pick(f"How many {things} does each {one} have?", f"Count the {things} of each {one}.", f"For each {one}, how many {things} are there?", f"How many {things} are there per {one}?")
        return Question("join_group", text, f"SELECT {label}, COUNT(*) {joined} GROUP BY {label}", both, "pairs", things)
    up = p.rng.random() < 0.7
    word = p.pick("most", "most", "largest number of") if up else p.pick("fewest", "smallest number of")
    text = p.pick(f"Which {one} has the {word} {things}?", f"What is the {one} with the {word} {things}?", f"Name the {one} with the {word} {things}.")
    sql = f"SELECT {label} {joined} GROUP BY {label} ORDER BY COUNT(*) {'DESC' if up else 'ASC'} LIMIT 1"
    return Question("join_extreme", text, sql, both, "names", one, True)


Kind = Callable[[Phrasing, Table], Question | None]
KINDS: tuple[tuple[Kind, float], ...] = (
    (_count, 0.15), (_count_value, 0.04), (_list, 0.12), (_lookup, 0.06), (_aggregate, 0.12), (_extreme, 0.15),
    (_distinct, 0.05), (_group, 0.13), (_group_aggregate, 0.06), (_above_average, 0.03), (_joined, 0.22),
)
_FUNCTIONS = tuple(kind for kind, _ in KINDS)
_WEIGHTS = tuple(weight for _, weight in KINDS)


def draw_question(database: Database, rng: random.Random) -> Question:
    """A question about the database whose text and SQL belong together."""
    phrasing = Phrasing(database, rng)
    while True:
        table = rng.choices(database.tables, [0.35 if t.verb else 1.0 for t in database.tables])[0]
        if table.verb is not None:
            kind: Kind = _verb if rng.random() < 0.85 else _count
        else:
            kind = rng.choices(_FUNCTIONS, _WEIGHTS)[0]
        question = kind(phrasing, table)
        if question is not None:
            return question
