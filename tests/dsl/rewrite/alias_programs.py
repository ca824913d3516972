"""Small programs that give one list several names, change it through one of them, and look through all.

A program is made of five parts: what the lists ``xs`` and ``zs`` are, how ``ys`` comes to be one of them (or a
copy, or a part of something), where a change stands, what it changes and how, and what is looked at in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any, Final

from pydantic import BaseModel

from orchestrator import branch, tool
from orchestrator.errors import TraceError

HEADER: Final = "from __future__ import annotations\nfrom tests.dsl.rewrite.alias_programs import *\n"
INPUTS: Final = ("", "one two", "a b c")


@dataclass
class Bag:
    """What holds a list, and is not copied."""

    tags: list[str]


class Report(BaseModel):
    """A model with a list, which it copies."""

    tags: list[str]


@tool(effects="pure")
def odd(text: str) -> bool:
    return len(text) % 2 == 1


@tool(effects="pure")
def size(text: str) -> int:
    return len(text)


@tool(effects="pure")
def listed(text: str) -> list[str]:
    return [*text.split(), "end"]


@tool(effects="pure")
def rows(text: str) -> list[list[str]]:
    return [[each, "x"] for each in [*text.split(), "end"]]


@tool(effects="pure")
def table(text: str) -> dict[str, list[str]]:
    return {"a": text.split(), "b": ["b"]}


@tool(effects="pure")
def bag(text: str) -> Bag:
    return Bag([*text.split(), "end"])


@tool(effects="pure")
def report(text: str) -> Report:
    return Report(tags=[*text.split(), "end"])


def either(test: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """A branch, also in plain Python."""
    try:
        return branch(test, then, otherwise)
    except TraceError as error:
        assert error.code == "ORCH-D034"  # not in a workflow
        return then() if test else otherwise()


def itself(given: Any) -> Any:
    """A function that is not compiled, and gives what it is given."""
    return given


def adding(given: Any) -> None:
    """A function that is not compiled, and changes what it is given."""
    given.append("added")


def growing(given: Any) -> None:
    """The same with an operator."""
    given += ["grown"]


class Kept:
    """A context that gives what it was given."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def add(self, each: Any) -> None:
        self.given.append(each)

    def __enter__(self) -> Any:
        return self.given

    def __exit__(self, *_: object) -> None:
        return None


SOURCES: Final = ("listed(text)", "['k', 'l']", "[text, 'm']", "rows(text)[0]", "listed(text)[:2]", "bag(text).tags")
MAKERS: Final[dict[str, str]] = {
    "name": "ys = xs",
    "chained": "ys = other = xs",
    "conditional": "ys = xs if odd(text) else zs",
    "conditional, one side new": "ys = xs if odd(text) else ['n']",
    "or": "ys = xs or zs",
    "and": "ys = zs and xs",
    "if": "if odd(text):\n    ys = xs\nelse:\n    ys = zs",
    "if, one side": "ys = ['y']\nif odd(text):\n    ys = xs",
    "nested if": "ys = zs\nif odd(text):\n    if size(text) > 3:\n        ys = xs",
    "tuple": "ys, other = (xs, zs)",
    "pair": "pair = (xs, zs)\nys = pair[0]",
    "list": "both = [xs, zs]\nys = both[1]",
    "list, symbolic index": "both = [xs, zs]\nys = both[size(text) % 2]",
    "dict": "held = {'k': xs}\nys = held['k']",
    "dict, get": "held = {'k': xs}\nys = held.get('k', zs)",
    "dict, symbolic get": "held = {'a': xs, '': zs}\nys = held.get(text[:1], zs)",
    "put in": "held = []\nheld.append(xs)\nys = held[0]",
    "put in a dict": "held = {}\nheld['k'] = xs\nys = held['k']",
    "put in where it holds": "held = [zs]\nif odd(text):\n    held.append(xs)\nys = held[-1]",
    "symbolic key": "held = {}\nheld[text] = xs\nys = held[text]",
    "for": "for ys in [zs, xs]:\n    pass",
    "for, symbolic": "ys = ['y']\nfor word in listed(text):\n    if word == 'one':\n        ys = xs",
    "for, twice": "ys = ['y']\nfor ys in [xs, xs]:\n    if odd(text):\n        ys = list(ys)",
    "for, enumerate": "for _, ys in enumerate([zs, xs]):\n    pass",
    "for, zip": "for ys, _ in zip([zs, xs], [1, 2]):\n    pass",
    "for, rebinding": "ys = ['y']\nfor word in listed(text):\n    ys, xs = xs, ys",
    "comprehension": "both = [each for each in [xs, zs]]\nys = both[0]",
    "comprehension, symbolic": "both = [xs for word in listed(text)]\nys = both[0]",
    "gathered": "both = []\nfor word in listed(text):\n    both.append(xs)\nys = both[0]",
    "inner function": "def same(v):\n    return v\nys = same(xs)",
    "closure": "def same():\n    return xs\nys = same()",
    "lambda": "same = lambda v: v\nys = same(xs)",
    "default": "def same(v=xs):\n    return v\nys = same()",
    "chosen by a function": "def pick(a, b):\n    if odd(text):\n        return a\n    return b\nys = pick(xs, zs)",
    "function of another module": "ys = itself(xs)",
    "dataclass": "held = Bag(xs)\nys = held.tags",
    "model": "held = Report(tags=xs)\nys = held.tags",
    "symbolic dataclass": "held = Bag(xs if odd(text) else zs)\nys = held.tags",
    "capture": "match xs:\n    case ys:\n        pass",
    "class pattern": "held = bag(text)\nmatch held:\n    case Bag(tags=ys):\n        pass",
    "with": "with Kept(xs) as ys:\n    pass",
    "try": "try:\n    ys = xs\nexcept ValueError:\n    ys = zs",
    "try, raised": "try:\n    if odd(text):\n        raise ValueError\n    ys = xs\nexcept ValueError:\n    ys = zs",
    "branch": "ys = either(odd(text), lambda: xs, lambda: zs)",
    "max": "ys = max([xs, zs])",
    "max of two": "ys = max(xs, zs)",
    "sorted": "ys = sorted([xs, zs])[0]",
    "next": "ys = next(each for each in [xs, zs])",
    "slice of lists": "ys = [zs, xs][1:][0]",
    "joined lists": "ys = ([zs] + [xs])[1]",
    "repeated": "both = [xs] * 2\nys = both[1]",
    "starred": "ys, *_ = [xs, zs]",
    "pair of items": "both = rows(text)\nxs = both[0]\nys = both[0]",
    "item": "both = rows(text)\nys = both[0]",
    "last of a loop": "both = rows(text)\nfor ys in both:\n    pass",
    "values": "held = table(text)\nys = held['a']",
    "symbolic values": "held = table(text)\nys = held.get('a', xs)",
    "values()": "held = table(text)\nys = list(held.values())[0]",
    "field": "held = bag(text)\nys = held.tags",
    "shallow copy": "both = [xs, zs]\nagain = list(both)\nys = again[0]",
    "shallow symbolic copy": "both = rows(text)\nagain = both[:]\nys = again[0]",
    "copy: list": "ys = list(xs)",
    "copy: slice": "ys = xs[:]",
    "copy: method": "ys = xs.copy()",
    "copy: plus": "ys = xs + zs",
    "copy: star": "ys = [*xs]",
    "copy: sorted": "ys = sorted(xs)",
    "copy: comprehension": "ys = [each for each in xs]",
    "copy: where it holds": "ys = list(xs) if odd(text) else zs[:]",
    "another": "ys = ['y']",
    "another, symbolic": "ys = listed(text + ' more')",
}  # fmt: skip
"""How ``ys`` comes to be."""
CHANGES: Final = (
    "{0}.append('c')", "{0} += ['c']", "{0}[0] = 'c'", "del {0}[0]", "{0}.extend(['c', text])", "{0}.append(text)",
    "{0}.insert(0, 'c')", "{0}.sort()", "{0}.clear()", "{0}.reverse()", "{0} = {0} + ['c']", "{0}.pop()",
    "{0} *= 2", "{0}[0] += 'c'",
)  # fmt: skip
PLACES: Final[dict[str, str]] = {
    "straight": "{0}",
    "if": "if odd(text):\n    {0}",
    "else": "if not odd(text):\n    pass\nelse:\n    {0}",
    "for": "for turn in listed(text):\n    {0}",
    "unrolled": "for turn in range(2):\n    {0}",
    "while": "count = 0\nwhile count < size(text) % 3:\n    count += 1\n    {0}",
    "try": "try:\n    size(text)\n    {0}\nexcept ValueError:\n    pass",
    "match": "match size(text):\n    case 0:\n        pass\n    case _:\n        {0}",
    "parameter": "def change(v):\n    {v}\nchange({t})",
    "parameter, where it holds": "def change({t}):\n    {0}\nif odd(text):\n    change({t})",
    "parameter of its name": "def change({t}):\n    {0}\nchange({t})",
    "default": "def change(v={t}):\n    {v}\nchange()",
    "closure": "def change():\n    {0}\nchange()",
    "closure, where it holds": "def change():\n    {0}\nif odd(text):\n    change()",
    "closure of a closure": "def change():\n    def within():\n        {0}\n    within()\nchange()",
    "closure in a loop": "def change():\n    {0}\nfor turn in listed(text):\n    change()",
    "two parameters": "def change(v, w):\n    {v}\n    return w\ngot = change({t}, xs)",
    "bound": "add = {t}.append\nadd('d')",
    "bound, where it holds": "add = {t}.append\nif odd(text):\n    add('d')",
    "of the class": "list.append({t}, 'd')",
    "of the class, where it holds": "if odd(text):\n    list.append({t}, 'd')",
    "by a lambda": "add = lambda v: v.append('d')\nadd({t})",
    "by a lambda, where it holds": "add = lambda v: v.append('d')\nif odd(text):\n    add({t})",
    "elsewhere": "adding({t})",
    "elsewhere, where it holds": "if odd(text):\n    adding({t})",
    "elsewhere, by an operator": "growing({t})",
    "elsewhere, by an operator, where it holds": "if odd(text):\n    growing({t})",
}  # fmt: skip
"""Where the change stands; ``{v}`` is one of a parameter, ``{t}`` what is changed."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program, and what it was made of."""

    name: str
    source: str
    parts: tuple[str, ...]


def programs(seed: int, count: int) -> list[Program]:
    """So many programs, of all makers and places in turn."""
    return list(islice(_endless(Random(seed)), count))


def _endless(random: Random) -> Iterator[Program]:
    makers, places = list(MAKERS), list(PLACES)
    number = 0
    while True:
        random.shuffle(makers)
        random.shuffle(places)
        for position, maker in enumerate(makers):
            place = places[position % len(places)] if random.random() < 0.7 else random.choice(["straight", "if"])
            yield _program(random, number, maker, place)
            number += 1


def _program(random: Random, number: int, maker: str, place: str) -> Program:
    made = MAKERS[maker]
    target = random.choice(["ys", "ys", "xs"])
    change = random.choice(CHANGES) if random.random() < 0.7 else CHANGES[0]
    sources = random.choice(SOURCES), random.choice(SOURCES)
    seen = [
        "xs",
        "zs",
        "ys",
        *(each for each in ("both", "held", "pair", "again", "other", "got") if f"{each} " in made),
    ]
    if place == "two parameters":
        seen.append("got")
    looked = [each if random.random() < 0.5 else _looked(each) for each in seen]
    placed = PLACES[place].format(change.format(target), v=change.format("v"), t=target)
    lines = [f"xs = {sources[0]}", f"zs = {sources[1]}"]
    if random.random() < 0.2:
        lines.append("def look():\n    return f'{xs}'")
        looked.append("look()")
    lines += [made, placed]
    if random.random() < 0.3:
        again = random.choice([each for each in ("xs", "ys", "zs") if each != target])
        lines.append(f"{again}.append('later')")
    lines.append(f"return [{', '.join(looked)}]")
    body = "\n".join("    " + line for each in lines for line in each.split("\n"))
    name = f"program_{number}"
    parts = (maker, place, change.format(target), *sources)
    return Program(name, f"def {name}(text: str) -> Any:\n{body}\n", parts)


def _looked(name: str) -> str:
    return f"f'{{{name}}}'" if name not in ("both", "held", "pair", "again") else name


__all__ = [
    "Any", "Bag", "Kept", "Report", "adding", "bag", "either", "growing", "itself", "listed", "odd", "report", "rows",
    "size", "table",
]  # fmt: skip
