"""Random relational databases: tables that refer to one another, with names nobody has seen and rows to query."""

import random
import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from examples.text2sql.corpus.words import PREFIXES, SIZES, SUFFIXES, Lexicon

Role = Literal["id", "name", "category", "number", "text", "key"]


@dataclass(frozen=True)
class Column:
    """One column and what it is for; `values` are what the rows hold."""

    name: str
    role: Role
    kind: Literal["int", "real", "text"]
    values: tuple[str | int | float, ...] = ()

    @property
    def words(self) -> str:
        """The column's name as a question says it."""
        return self.name.replace("_", " ")

    @property
    def is_size(self) -> bool:
        """Whether the bare word "largest" may mean this column."""
        return not SIZES.isdisjoint(self.name.split("_"))


@dataclass(frozen=True)
class ForeignKey:
    """`column` of the table refers to `target` of table `parent`."""

    column: str
    parent: str
    target: str


@dataclass
class Table:
    """A table; `noun` is the singular natural name its questions use."""

    name: str
    noun: str
    columns: list[Column] = field(default_factory=list)
    keys: list[ForeignKey] = field(default_factory=list)
    verb: Column | None = None

    def of(self, *roles: Role) -> list[Column]:
        """Columns with one of the roles."""
        return [column for column in self.columns if column.role in roles]

    @property
    def display(self) -> Column:
        """The column that names a row: the first text column."""
        return next(column for column in self.columns if column.kind == "text")


@dataclass
class Database:
    """Tables in creation order, and their SQLite build statements."""

    tables: list[Table]

    def table(self, name: str) -> Table:
        """The table of that name."""
        return next(table for table in self.tables if table.name == name)

    def statements(self) -> list[str]:
        """``CREATE TABLE`` and ``INSERT`` statements that build the database."""
        built: list[str] = []
        for table in self.tables:
            parts = [
                f"{column.name} {column.kind.upper()}" + (" PRIMARY KEY" if column.role == "id" else "")
                for column in table.columns
            ]
            parts += [f"FOREIGN KEY ({key.column}) REFERENCES {key.parent} ({key.target})" for key in table.keys]
            built.append(f"CREATE TABLE {table.name} ({', '.join(parts)})")
            rows = zip(*(column.values for column in table.columns), strict=True)
            built.append(
                f"INSERT INTO {table.name} VALUES " + ", ".join(f"({', '.join(map(_literal, r))})" for r in rows)
            )
        return built

    def connect(self) -> sqlite3.Connection:
        """A new in-memory database with these tables and rows."""
        connection = sqlite3.connect(":memory:")
        for table in self.tables:
            parts = [f"{column.name} {column.kind.upper()}" for column in table.columns]
            parts += [f"FOREIGN KEY ({key.column}) REFERENCES {key.parent} ({key.target})" for key in table.keys]
            connection.execute(f"CREATE TABLE {table.name} ({', '.join(parts)})")
            rows = zip(*(column.values for column in table.columns), strict=True)
            marks = ", ".join("?" * len(table.columns))
            connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows)
        return connection


STYLES = (0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 4, 4, 5)


def _literal(value: str | int | float) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def plural(noun: str) -> str:
    """English plural of the last word, by rule."""
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "sh", "ch", "z")) else "s")


def _proper(lexicon: Lexicon, rng: random.Random, style: int) -> str:
    """A row's name in one of a few spellings; one column keeps one style."""
    word = lexicon.made_up(rng) if rng.random() < 0.7 else lexicon.word(rng, lexicon.nouns)
    match style:
        case 0:
            return word
        case 1:
            return word.capitalize()
        case 2:
            return f"{word.capitalize()} {lexicon.made_up(rng).capitalize()}"
        case 3:
            return f"{word}-{rng.choice((lexicon.noun(rng), str(rng.randint(1, 99))))}"
        case 4:
            return f"{rng.choice(('lib', 'py', 'x', 'go', 'net'))}{word}{rng.choice(('', '', str(rng.randint(1, 20))))}"
        case _:
            return f"{word}_{lexicon.noun(rng)}"


def _distinct(make: Callable[[], str], count: int) -> list[str]:
    seen: dict[str, None] = {}
    while len(seen) < count:
        seen[make()] = None
    return list(seen)


def _names(lexicon: Lexicon, rng: random.Random, count: int) -> tuple[str, ...]:
    style = rng.choice(STYLES)
    return tuple(_distinct(lambda: _proper(lexicon, rng, style), count))


def _category(lexicon: Lexicon, rng: random.Random, name: str, count: int) -> Column:
    style = rng.choice((0, 0, 0, 1, 6, 6, 6, 6))
    size = rng.choice((2, 3, 3, 4, 5, 6, 8, 12))
    draw = (lambda: lexicon.word(rng, lexicon.values)) if style == 6 else (lambda: _proper(lexicon, rng, style))
    values = _distinct(draw, min(size, 8 if style == 6 else size))
    weights = [rng.uniform(0.3, 2.0) for _ in values]
    return Column(name, "category", "text", tuple(rng.choices(values, weights, k=count)))


def _number(rng: random.Random, name: str, count: int) -> Column:
    scale = rng.choice((10, 40, 100, 100, 1000, 5000, 100000))
    low = 1900 if name.endswith("year") else rng.choice((0, 0, 1, scale // 10))
    if name.endswith("year"):
        return Column(name, "number", "int", tuple(rng.randint(low, 2024) for _ in range(count)))
    if rng.random() < 0.35:
        digits = rng.choice((1, 1, 2))
        return Column(name, "number", "real", tuple(round(rng.uniform(low, scale), digits) for _ in range(count)))
    return Column(name, "number", "int", tuple(rng.randint(low, scale) for _ in range(count)))


def _number_name(lexicon: Lexicon, rng: random.Random) -> str:
    base = lexicon.word(rng, lexicon.numeric) if rng.random() < 0.6 else lexicon.noun(rng, 0.6)
    shape = rng.random()
    if shape < 0.55:
        return base
    if shape < 0.68:
        return f"{rng.choice(PREFIXES)}_{base}"
    if shape < 0.8:
        return f"{base}_{rng.choice(SUFFIXES)}"
    if shape < 0.9:
        return f"{rng.choice(('n', 'num', 'number_of'))}_{plural(lexicon.noun(rng, 0.5))}"
    return f"{lexicon.noun(rng, 0.5)}_{base}"


def _category_name(lexicon: Lexicon, rng: random.Random) -> str:
    base = lexicon.word(rng, lexicon.categories) if rng.random() < 0.6 else lexicon.noun(rng, 0.6)
    return base if rng.random() < 0.75 else f"{lexicon.noun(rng, 0.5)}_{base}"


def _free_text(lexicon: Lexicon, rng: random.Random, count: int) -> tuple[str, ...]:
    if rng.random() < 0.4:
        dots = rng.choice((1, 2, 2))
        return tuple(".".join(str(rng.randint(0, 30)) for _ in range(dots + 1)) for _ in range(count))
    style = rng.choice(STYLES)
    return tuple(_proper(lexicon, rng, style) for _ in range(count))


def _entity(lexicon: Lexicon, rng: random.Random, noun: str, name: str, parents: list[Table]) -> Table:
    """A table of things, with keys into up to two of the parents."""
    count = rng.randint(15, 40)
    table = Table(name, noun.replace("_", " "))
    taken = {name}

    def fresh(make: Callable[[], str]) -> str:
        while (made := make()) in taken:
            pass
        taken.add(made)
        return made

    if rng.random() < 0.55:
        ids = tuple(range(1, count + 1))
        table.columns.append(Column(fresh(lambda: rng.choice(("id", "id", "id", f"{noun}_id"))), "id", "int", ids))
    label = rng.choice((*("name",) * (12 if lexicon.unseen else 6), "title", "label", f"{noun}_name", noun, "code"))
    if label not in taken:
        taken.add(label)
    else:
        label = fresh(lambda: "name")
    table.columns.append(Column(label, "name", "text", _names(lexicon, rng, count)))
    rest = [
        _category(lexicon, rng, fresh(lambda: _category_name(lexicon, rng)), count)
        for _ in range(rng.choice((1, 1, 2, 2, 3)))
    ]
    rest += [_number(rng, fresh(lambda: _number_name(lexicon, rng)), count) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    if rng.random() < 0.35:
        made = fresh(lambda: rng.choice(("code", "address", "email", "release", lexicon.noun(rng), lexicon.noun(rng))))
        rest.append(Column(made, "text", "text", _free_text(lexicon, rng, count)))
    for parent in rng.sample(parents, min(len(parents), rng.choice((0, 1, 1, 1, 2)))):
        by_id = bool(parent.of("id"))
        target = parent.of("id", "name")[0]
        short = parent.noun.replace(" ", "_")
        column = f"{short}_id" if by_id else rng.choice((short, f"{short}_{target.name}"))
        if column in taken:
            continue
        taken.add(column)
        used = rng.sample(target.values, min(len(target.values), rng.randint(4, 15)))
        rest.append(Column(column, "key", target.kind, tuple(rng.choice(used) for _ in range(count))))
        table.keys.append(ForeignKey(column, parent.name, target.name))
    if rng.random() < 0.8:
        rng.shuffle(rest)
    table.columns += rest
    return table


def _relation(lexicon: Lexicon, rng: random.Random, parent: Table, taken: set[str]) -> Table | None:
    """A two-column table of pairs: which thing does what to which other thing."""
    verb = lexicon.verb(rng)
    base = parent.noun.replace(" ", "_")
    name = rng.choice((f"{base}_{verb}", plural(lexicon.noun(rng)), f"{base}_{plural(lexicon.noun(rng))}"))
    if name in taken:
        return None
    subject = parent.of("name")[0]
    objects = _distinct(lambda: _proper(lexicon, rng, rng.choice((0, 0, 3, 4))), rng.randint(4, 9))
    pairs = sorted({(rng.choice(subject.values), rng.choice(objects)) for _ in range(rng.randint(25, 50))}, key=str)
    rng.shuffle(pairs)
    left = base if base != name else f"{base}_name"
    table = Table(name, name.replace("_", " "))
    table.columns = [
        Column(left, "key", "text", tuple(pair[0] for pair in pairs)),
        Column(verb, "category", "text", tuple(pair[1] for pair in pairs)),
    ]
    table.keys = [ForeignKey(left, parent.name, subject.name)]
    table.verb = table.columns[1]
    return table


def random_database(seed: int, unseen: bool) -> Database:
    """A database of two to six tables; `unseen` draws every name from the pool kept out of training."""
    rng = random.Random(zlib.crc32(f"{'unseen' if unseen else 'train'}-{seed}".encode()))
    lexicon = Lexicon(unseen)
    tables: list[Table] = []
    taken: set[str] = set()
    for _ in range(rng.choice((1, 2, 2, 3, 3, 3, 4))):
        noun = lexicon.noun(rng)
        if rng.random() < 0.12:
            noun = f"{lexicon.noun(rng)}_{noun}"
        name = plural(noun) if rng.random() < 0.75 else noun
        if name in taken:
            continue
        taken.add(name)
        tables.append(_entity(lexicon, rng, noun, name, tables))
    if rng.random() < 0.4:
        relation = _relation(lexicon, rng, rng.choice(tables), taken)
        if relation is not None:
            tables.append(relation)
    return Database(tables)
