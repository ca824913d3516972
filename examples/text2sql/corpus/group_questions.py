"""Questions about groups of rows: distinct values, counts and aggregates per group, conditions on groups."""

from examples.text2sql.corpus.database import Table, plural
from examples.text2sql.corpus.phrasing import (
    AGGREGATES,
    Phrasing,
    Question,
)


def find_distinct(p: Phrasing, table: Table) -> Question | None:
    """The different values of a column, or how many there are."""
    columns = table.of("category", "key")
    if not columns:
        return None
    column = p.rng.choice(columns)
    words, things = plural(p.column(column, table)), p.many(table)
    if p.rng.random() < 0.6:
        text = p.pick(
            f"How many different {words} do the {things} have?",
            f"How many distinct {words} are there among the {things}?",
            f"How many different {words} are there in {things}?",
            f"Count the distinct {words} of {things}.",
            f"What is the number of different {words} of {things}?",
            f"How many unique {words} do {things} have?",
        )
        return Question(
            "count_distinct",
            text,
            f"SELECT COUNT(DISTINCT {column.name}) FROM {table.name}",
            (table.name,),
            "count",
            words,
        )
    text = p.pick(
        f"What are the different {words} of {things}?",
        f"List the distinct {words} of {things}.",
        f"Which different {words} do the {things} have?",
        f"Show the unique {words} among {things}.",
    )
    return Question(
        "list_distinct", text, f"SELECT DISTINCT {column.name} FROM {table.name}", (table.name,), "names", words
    )


def group_rows(p: Phrasing, table: Table) -> Question | None:
    """Counts per group, the largest group, groups of a size."""
    columns = table.of("category", "category", "key")
    if not columns:
        return None
    column = p.rng.choice(columns)
    words, things, name = p.column(column, table), p.many(table), column.name
    roll = p.rng.random()
    if roll < 0.3:
        text = p.pick(
            f"How many {things} are there per {words}?",
            f"How many {things} are there for each {words}?",
            f"Count the {things} per {words}.",
            f"Count the {things} by {words}.",
            f"Show the number of {things} for each {words}.",
            f"For each {words}, how many {things} are there?",
            f"What is the number of {things} in each {words}?",
        )
        return Question(
            "group_count",
            text,
            f"SELECT {name}, COUNT(*) FROM {table.name} GROUP BY {name}",
            (table.name,),
            "pairs",
            things,
        )
    if roll < 0.7:
        up = p.rng.random() < 0.75
        word = (
            p.pick("most", "most", "largest number of", "highest number of")
            if up
            else p.pick("fewest", "least", "smallest number of")
        )
        text = p.pick(
            f"Which {words} has the {word} {things}?",
            f"What {words} has the {word} {things}?",
            f"Which {words} do the {word} {things} have?"
            if word in ("most", "fewest")
            else f"Find the {words} with the {word} {things}.",
            f"Name the {words} with the {word} {things}.",
            f"What is the {words} with the {word} {things}?",
        )
        if up and p.rng.random() < 0.15:
            text = p.pick(
                f"What is the most common {words} of {things}?",
                f"Which {words} is the most common among {things}?",
                f"What is the most frequent {words} of {things}?",
            )
        sql = f"SELECT {name} FROM {table.name} GROUP BY {name} ORDER BY COUNT(*) {'DESC' if up else 'ASC'} LIMIT 1"
        if p.rng.random() < 0.2:
            k = p.rng.randint(2, 6)
            text = p.pick(
                f"Which {k} {plural(words)} have the {word} {things}?",
                f"List the {k} {plural(words)} with the {word} {things}.",
            )
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
    text = p.pick(
        f"Which {many} have {word} {n} {things}?",
        f"List the {many} with {word} {n} {things}.",
        f"What are the {many} with {word} {n} {things}?",
        f"Which {words} has {word} {n} {things}?",
        f"Find the {many} that have {word} {n} {things}.",
    )
    return Question(
        "having",
        text,
        f"SELECT {name} FROM {table.name} GROUP BY {name} HAVING COUNT(*) {sign} {n}",
        (table.name,),
        "names",
        many,
    )


def aggregate_groups(p: Phrasing, table: Table) -> Question | None:
    """An aggregate per group, or the group where it is extreme."""
    columns, numbers = table.of("category", "key"), table.of("number")
    if not columns or not numbers:
        return None
    column, number = p.rng.choice(columns), p.rng.choice(numbers)
    function = p.rng.choice(("AVG", "AVG", "SUM", "MAX", "MIN"))
    word, words, by, things = (
        p.rng.choice(AGGREGATES[function]),
        p.column(number, table),
        p.column(column, table),
        p.many(table),
    )
    name, call = column.name, f"{function}({number.name})"
    if p.rng.random() < 0.6:
        text = p.pick(
            f"What is the {word} {words} of {things} per {by}?",
            f"What is the {word} {words} of {things} for each {by}?",
            f"Show the {word} {words} of {things} by {by}.",
            f"For each {by}, what is the {word} {words} of {things}?",
            f"Give the {word} {words} per {by} of {things}.",
            f"What is the {word} {words} per {by} for {things}?",
        )
        return Question(
            "group_aggregate",
            text,
            f"SELECT {name}, {call} FROM {table.name} GROUP BY {name}",
            (table.name,),
            "pairs",
            f"{word} {words}",
        )
    function, word = p.rng.choice((("AVG", "average"), ("SUM", "total"), ("AVG", "mean")))
    up = p.rng.random() < 0.7
    most = p.pick("highest", "largest", "greatest") if up else p.pick("lowest", "smallest")
    text = p.pick(
        f"Which {by} has the {most} {word} {words} of {things}?",
        f"Which {by} of {things} has the {most} {word} {words}?",
        f"Find the {by} with the {most} {word} {words} of {things}.",
    )
    order = f"ORDER BY {function}({number.name}) {'DESC' if up else 'ASC'}"
    sql = f"SELECT {name} FROM {table.name} GROUP BY {name} {order} LIMIT 1"
    return Question("group_aggregate_extreme", text, sql, (table.name,), "names", by, True)
