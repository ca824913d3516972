"""Questions about the rows of one table: counts, lists, look-ups, aggregates and extremes."""

from examples.text2sql.corpus.database import Table, plural
from examples.text2sql.corpus.phrasing import (
    AGGREGATES,
    HIGH,
    LOW,
    Phrasing,
    Question,
    as_said,
    drawn_value,
    maybe_filter,
)


def count_rows(p: Phrasing, table: Table) -> Question | None:
    """How many rows there are, all or those of a condition."""
    things = p.many(table)
    kept = maybe_filter(p, table, 0.75)
    if not kept.sql:
        text = p.pick(
            f"How many {things} are there?",
            f"Count the {things}.",
            f"What is the number of {things}?",
            f"How many {things} do we have?",
            f"How many {things} does the database hold?",
            f"What is the total number of {things}?",
        )
        return Question("count", text, f"SELECT COUNT(*) FROM {table.name}", (table.name,), "count", things)
    text = p.pick(
        f"How many {things} are there{kept.phrase}?",
        f"How many {things}{kept.phrase} are there?",
        f"Count the {things}{kept.phrase}.",
        f"What is the number of {things}{kept.phrase}?",
        f"How many {things} are{kept.phrase}?"
        if kept.phrase.startswith((" in ", " not in "))
        else f"Give the number of {things}{kept.phrase}.",
        f"How many {things}{kept.phrase} do we have?",
    )
    return Question(
        "count_filter",
        text,
        f"SELECT COUNT(*) FROM {table.name}{kept.sql}",
        (table.name,),
        "count",
        things,
        literals=kept.literals,
    )


def name_a_value(p: Phrasing, table: Table) -> Question | None:
    """A value used as an adjective: the schema shows which column holds it."""
    shown = [column for column in table.of("category") if len(set(column.values)) <= 4 and column is not table.verb]
    if not shown:
        return None
    column = p.rng.choice(shown)
    value = str(drawn_value(p.rng, column))
    if any(value in other.values for other in table.columns if other is not column) or len(value) > 16:
        return None
    things = p.many(table)
    if p.rng.random() < 0.6:
        text = p.pick(
            f"How many {value} {things} are there?",
            f"Count the {value} {things}.",
            f"What is the number of {value} {things}?",
            f"How many {things} are {value}?",
        )
        return Question(
            "count_value",
            text,
            f"SELECT COUNT(*) FROM {table.name} WHERE {column.name} = '{value}'",
            (table.name,),
            "count",
            things,
            literals=(value,),
        )
    text = p.pick(f"List the {value} {things}.", f"Which {things} are {value}?", f"Show all {value} {things}.")
    return Question(
        "list_value",
        text,
        f"SELECT {table.display.name} FROM {table.name} WHERE {column.name} = '{value}'",
        (table.name,),
        "names",
        things,
        literals=(value,),
    )


def list_rows(p: Phrasing, table: Table) -> Question | None:
    """One column of the rows of a condition."""
    things = p.many(table)
    kept = maybe_filter(p, table, 0.93)
    if p.rng.random() < 0.5 and kept.sql:
        text = p.pick(
            f"Which {things} are there{kept.phrase}?",
            f"List the {things}{kept.phrase}.",
            f"Show all {things}{kept.phrase}.",
            f"Name the {things}{kept.phrase}.",
            f"List all {things}{kept.phrase}.",
            f"What are the {things}{kept.phrase}?",
            f"Give me the {things}{kept.phrase}.",
            f"Find the {things}{kept.phrase}.",
        )
        return Question(
            "list_filter",
            text,
            f"SELECT {table.display.name} FROM {table.name}{kept.sql}",
            (table.name,),
            "names",
            things,
            literals=kept.literals,
        )
    column = p.rng.choice(table.of("name", "number", "category", "text", "name"))
    words = p.column(column, table)
    text = p.pick(
        f"List the {words} of {things}{kept.phrase}.",
        f"Show the {words} of all {things}{kept.phrase}.",
        f"What is the {words} of the {things}{kept.phrase}?",
        f"Give the {words} of {things}{kept.phrase}.",
        f"What are the {plural(words)} of {things}{kept.phrase}?",
        f"Find the {words} of each {p.one(table)}{kept.phrase}.",
    )
    return Question(
        "list_column",
        text,
        f"SELECT {column.name} FROM {table.name}{kept.sql}",
        (table.name,),
        "names",
        words,
        literals=kept.literals,
    )


def look_up(p: Phrasing, table: Table) -> Question | None:
    """One value of the row of a name."""
    names = table.of("name")
    others = table.of("number", "category", "text")
    if not names or not others:
        return None
    column, value = p.rng.choice(others), str(drawn_value(p.rng, names[0]))
    words, said, one = p.column(column, table), as_said(p.rng, value), p.one(table)
    text = p.pick(
        f"What is the {words} of {said}?",
        f"What is the {words} of {one} {said}?",
        f"Give the {words} of the {one} {said}.",
        f"Which {words} does {said} have?",
        f"What {words} does the {one} {said} have?",
        f"Show the {words} of the {one} named {said}.",
    )
    if not p.is_unambiguous(column.words, table):
        text = f"What is the {words} of the {one} {said}?"
    if column.role == "number" and p.rng.random() < 0.3:
        text = p.pick(f"How many {words} does {one} {said} have?", f"How much {words} does the {one} {said} have?")
    return Question(
        "lookup",
        text,
        f"SELECT {column.name} FROM {table.name} WHERE {names[0].name} = '{value}'",
        (table.name,),
        "names",
        words,
        literals=(value,),
    )


def aggregate(p: Phrasing, table: Table) -> Question | None:
    """Average, sum, maximum or minimum of a column."""
    numbers = table.of("number")
    if not numbers:
        return None
    column = p.rng.choice(numbers)
    function = p.rng.choice(("AVG", "AVG", "SUM", "MAX", "MIN"))
    word, words, things = p.rng.choice(AGGREGATES[function]), p.column(column, table), p.many(table)
    kept = maybe_filter(p, table, 0.55, column)
    text = p.pick(
        f"What is the {word} {words} of {things}{kept.phrase}?",
        f"What is the {word} {words} of the {things}{kept.phrase}?",
        f"Give the {word} {words} of all {things}{kept.phrase}.",
        f"Compute the {word} {words} of {things}{kept.phrase}.",
        f"What is the {word} {words} for {things}{kept.phrase}?",
        f"Find the {word} {words} among {things}{kept.phrase}.",
    )
    if function == "SUM" and p.rng.random() < 0.3:
        text = p.pick(
            f"How many {words} do the {things}{kept.phrase} have in total?",
            f"How much {words} do all {things}{kept.phrase} have together?",
        )
    if function == "AVG" and p.rng.random() < 0.2:
        text = f"How many {words} do {things}{kept.phrase} have on average?"
    return Question(
        "aggregate",
        text,
        f"SELECT {function}({column.name}) FROM {table.name}{kept.sql}",
        (table.name,),
        "number",
        f"{word.removesuffix(' of the')} {words}",
        literals=kept.literals,
    )


def find_extreme(p: Phrasing, table: Table) -> Question | None:
    """The row or rows with the highest or lowest value."""
    numbers = table.of("number")
    if not numbers:
        return None
    column, up = p.rng.choice(numbers), p.rng.random() < 0.62
    words, one, things, word = p.column(column, table), p.one(table), p.many(table), p.rng.choice(HIGH if up else LOW)
    kept = maybe_filter(p, table, 0.3, column)
    order = f"ORDER BY {column.name} {'DESC' if up else 'ASC'}"
    if p.rng.random() < 0.5:
        text = p.pick(
            f"Which {one}{kept.phrase} has the {word} {words}?",
            f"Which {one} has the {word} {words}?"
            if not kept.sql
            else f"Among {things}{kept.phrase}, which one has the {word} {words}?",
            f"What is the name of the {one}{kept.phrase} with the {word} {words}?",
            f"Name the {one}{kept.phrase} with the {word} {words}.",
            f"Find the {one}{kept.phrase} that has the {word} {words}.",
        )
        if not kept.sql and (len(numbers) == 1 or column.is_size) and p.rng.random() < 0.35:
            size = p.pick("largest", "biggest") if up else "smallest"
            text = p.pick(f"What is the {size} {one}?", f"Which {one} is the {size}?", f"Which is the {size} {one}?")
            if len(numbers) > 1 and sum(other.is_size for other in numbers) != 1:
                return None
        return Question(
            "extreme",
            text,
            f"SELECT {table.display.name} FROM {table.name}{kept.sql} {order} LIMIT 1",
            (table.name,),
            "names",
            f"{one} with the {word} {words}",
            True,
            kept.literals,
        )
    k = p.rng.randint(2, 10)
    text = p.pick(
        f"List the {k} {things}{kept.phrase} with the {word} {words}.",
        f"Which {k} {things}{kept.phrase} have the {word} {words}?",
        f"Show the {'top' if up else 'bottom'} {k} {things}{kept.phrase} by {words}.",
        f"What are the {'top' if up else 'bottom'} {k} {things}{kept.phrase} by {words}?",
        f"Give the {k} {things}{kept.phrase} with the {word} {words}.",
    )
    if (
        not kept.sql
        and (len(numbers) == 1 or (column.is_size and sum(o.is_size for o in numbers) == 1))
        and p.rng.random() < 0.4
    ):
        size = p.pick("largest", "biggest") if up else "smallest"
        text = p.pick(
            f"List the {k} {size} {things}.", f"What are the {k} {size} {things}?", f"Show the {k} {size} {things}."
        )
    return Question(
        "top",
        text,
        f"SELECT {table.display.name} FROM {table.name}{kept.sql} {order} LIMIT {k}",
        (table.name,),
        "names",
        things,
        True,
        kept.literals,
    )


def compare_to_average(p: Phrasing, table: Table) -> Question | None:
    """Rows above or below the average of a column."""
    numbers = table.of("number")
    if not numbers:
        return None
    column, up = p.rng.choice(numbers), p.rng.random() < 0.7
    words, things = p.column(column, table), p.many(table)
    side = p.pick("above", "more than", "higher than") if up else p.pick("below", "less than", "lower than")
    phrase = p.pick(
        f"with {words} {side} average", f"whose {words} is {side} the average", f"with {words} {side} the average"
    )
    where = f"FROM {table.name} WHERE {column.name} {'>' if up else '<'} (SELECT AVG({column.name}) FROM {table.name})"
    if p.rng.random() < 0.5:
        return Question(
            "above_average",
            p.pick(f"How many {things} are there {phrase}?", f"Count the {things} {phrase}."),
            f"SELECT COUNT(*) {where}",
            (table.name,),
            "count",
            things,
        )
    text = p.pick(f"List the {things} {phrase}.", f"Which {things} are there {phrase}?", f"Show the {things} {phrase}.")
    return Question("above_average", text, f"SELECT {table.display.name} {where}", (table.name,), "names", things)
