"""Questions over two tables: relations of pairs, and a table joined with one that it refers to."""

from dataclasses import dataclass

from examples.text2sql.corpus.database import ForeignKey, Table
from examples.text2sql.corpus.phrasing import (
    AGGREGATES,
    Filter,
    Phrasing,
    Question,
    as_said,
    draw_filter,
    drawn_value,
)


def relate(p: Phrasing, table: Table) -> Question | None:
    """Over a relation of pairs: who does the verb to what."""
    verb, key = table.verb, table.keys[0]
    assert verb is not None
    parent = p.database.table(key.parent)
    many, one, does, value = p.many(parent), p.one(parent), verb.name.removesuffix("s"), str(drawn_value(p.rng, verb))
    subject = str(drawn_value(p.rng, next(column for column in table.columns if column.name == key.column)))
    said = as_said(p.rng, value)
    roll = p.rng.random()
    if roll < 0.35:
        text = p.pick(
            f"How many {many} {does} {said}?",
            f"Count the {many} that {does} {said}.",
            f"What is the number of {many} that {does} {said}?",
        )
        return Question(
            "verb_count",
            text,
            f"SELECT COUNT(*) FROM {table.name} WHERE {verb.name} = '{value}'",
            (table.name,),
            "count",
            many,
            literals=(value,),
        )
    if roll < 0.6:
        text = p.pick(
            f"Which {many} {does} {said}?",
            f"List the {many} that {does} {said}.",
            f"Name the {many} that {does} {said}.",
        )
        return Question(
            "verb_list",
            text,
            f"SELECT {key.column} FROM {table.name} WHERE {verb.name} = '{value}'",
            (table.name,),
            "names",
            many,
            literals=(value,),
        )
    if roll < 0.8:
        text = p.pick(
            f"What does {subject} {does}?", f"What does the {one} {subject} {does}?", f"List what {subject} {does}s."
        )
        return Question(
            "verb_objects",
            text,
            f"SELECT {verb.name} FROM {table.name} WHERE {key.column} = '{subject}'",
            (table.name,),
            "names",
            "results",
            literals=(subject,),
        )
    text = p.pick(f"How many things does {subject} {does}?", f"How many does the {one} {subject} {does}?")
    return Question(
        "verb_count_objects",
        text,
        f"SELECT COUNT(*) FROM {table.name} WHERE {key.column} = '{subject}'",
        (table.name,),
        "count",
        "results",
        literals=(subject,),
    )


@dataclass(frozen=True)
class Join:
    """A table, the one it refers to, how both are said, and the ``FROM`` clause over both."""

    table: Table
    parent: Table
    key: ForeignKey
    things: str
    one: str
    parents: str

    @property
    def clause(self) -> str:
        """``FROM`` the table joined with its parent."""
        child, parent = self.table.name, self.parent.name
        return f"FROM {child} JOIN {parent} ON {child}.{self.key.column} = {parent}.{self.key.target}"

    @property
    def label(self) -> str:
        """The parent's naming column, qualified."""
        return f"{self.parent.name}.{self.parent.display.name}"

    @property
    def both(self) -> tuple[str, str]:
        """The tables that the query reads."""
        return self.table.name, self.parent.name


def join_tables(p: Phrasing, table: Table) -> Question | None:
    """A question over a table and one that it refers to."""
    if not table.keys:
        return None
    key: ForeignKey = p.rng.choice(table.keys)
    parent = p.database.table(key.parent)
    join = Join(table, parent, key, p.many(table), p.one(parent), p.many(parent))
    by_id = any(column.name == key.target for column in parent.of("id"))
    roll = p.rng.random()
    if roll < 0.38 and by_id:
        return _of_named(p, join, counted=roll < 0.2)
    kept = draw_filter(p, parent, qualified=True)
    if roll < 0.68 and kept is not None:
        return _of_filtered(p, join, kept, roll)
    return _of_each(p, join) if by_id else None


def _of_named(p: Phrasing, join: Join, counted: bool) -> Question:
    """The things of one named parent."""
    table, parent, things, one, joined = join.table, join.parent, join.things, join.one, join.clause
    target = next(column for column in parent.columns if column.name == join.key.target)
    child = next(column for column in table.columns if column.name == join.key.column)
    used = set(child.values)
    names = [name for name, ident in zip(parent.display.values, target.values, strict=True) if ident in used]
    value = str(p.rng.choice(names))
    said, where = as_said(p.rng, value), f" WHERE {join.label} = '{value}'"
    if counted:
        text = p.pick(
            f"How many {things} does {said} have?",
            f"How many {things} does the {one} {said} have?",
            f"How many {things} belong to {said}?",
            f"Count the {things} of {one} {said}.",
            f"How many {things} are there for {one} {said}?",
            f"What is the number of {things} of the {one} {said}?",
        )
        return Question(
            "join_count", text, f"SELECT COUNT(*) {joined}{where}", join.both, "count", things, literals=(value,)
        )
    text = p.pick(
        f"List the {things} of {said}.",
        f"Which {things} belong to {said}?",
        f"Show the {things} of the {one} {said}.",
        f"Which {things} does {one} {said} have?",
        f"What are the {things} of {said}?",
    )
    return Question(
        "join_list",
        text,
        f"SELECT {table.name}.{table.display.name} {joined}{where}",
        join.both,
        "names",
        things,
        literals=(value,),
    )


def _of_filtered(p: Phrasing, join: Join, kept: Filter, roll: float) -> Question:
    """The things of parents that meet a condition: their number, an aggregate or their names."""
    table, things, one, parents, joined = join.table, join.things, join.one, join.parents, join.clause
    which = p.pick(
        f"of {parents} {kept.phrase}",
        f"that belong to {parents} {kept.phrase}",
        f"whose {one} is one {kept.phrase}",
        f"for {parents} {kept.phrase}",
    )
    numbers = table.of("number")
    if roll < 0.5:
        text = p.pick(
            f"How many {things} are there {which}?",
            f"Count the {things} {which}.",
            f"What is the number of {things} {which}?",
        )
        return Question(
            "join_filter_count",
            text,
            f"SELECT COUNT(*) {joined} WHERE {kept.sql}",
            join.both,
            "count",
            things,
            literals=kept.literals,
        )
    if roll < 0.58 and numbers:
        number, function = p.rng.choice(numbers), p.rng.choice(("AVG", "SUM", "MAX", "MIN"))
        word, words = p.rng.choice(AGGREGATES[function]), p.column(number, table)
        text = p.pick(
            f"What is the {word} {words} of the {things} {which}?", f"Give the {word} {words} of {things} {which}."
        )
        return Question(
            "join_aggregate",
            text,
            f"SELECT {function}({table.name}.{number.name}) {joined} WHERE {kept.sql}",
            join.both,
            "number",
            f"{word} {words}",
            literals=kept.literals,
        )
    text = p.pick(f"List the {things} {which}.", f"Which {things} are there {which}?", f"Show the {things} {which}.")
    return Question(
        "join_filter_list",
        text,
        f"SELECT {table.name}.{table.display.name} {joined} WHERE {kept.sql}",
        join.both,
        "names",
        things,
        literals=kept.literals,
    )


def _of_each(p: Phrasing, join: Join) -> Question:
    """How many things each parent has, or which parent has the most."""
    things, one, joined, label = join.things, join.one, join.clause, join.label
    if p.rng.random() < 0.45:
        text = p.pick(
            f"How many {things} does each {one} have?",
            f"Count the {things} of each {one}.",
            f"For each {one}, how many {things} are there?",
            f"How many {things} are there per {one}?",
        )
        return Question(
            "join_group", text, f"SELECT {label}, COUNT(*) {joined} GROUP BY {label}", join.both, "pairs", things
        )
    up = p.rng.random() < 0.7
    word = p.pick("most", "most", "largest number of") if up else p.pick("fewest", "smallest number of")
    text = p.pick(
        f"Which {one} has the {word} {things}?",
        f"What is the {one} with the {word} {things}?",
        f"Name the {one} with the {word} {things}.",
    )
    sql = f"SELECT {label} {joined} GROUP BY {label} ORDER BY COUNT(*) {'DESC' if up else 'ASC'} LIMIT 1"
    return Question("join_extreme", text, sql, join.both, "names", one, True)
