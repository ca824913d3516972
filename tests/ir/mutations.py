"""Mutations of IR texts: what a hand that slips, or a merge that goes wrong, makes of a text that was right.

A text is read as nested lists: brackets, with items between commas. Items are left out, written twice, exchanged,
renamed or put elsewhere, those of operands and of their types together or alone; so are whole ops and regions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[%^@!#]?[\w.$]+(?:#\d+)?|->|::|[^\s]')
_CLOSING: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}
_WORDS: Final = ("pure", "once", "reads", "idempotent", "str", "int", "bool", "list[str]", "Any", "None", "", "x", "0")
_NUMBERS: Final = ("0", "1", "2", "3", "-1", "7", "9223372036854775807")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the text, and where it stands."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Group:
    """What is in a pair of brackets: the spans of its items."""

    opening: Token
    items: tuple[tuple[int, int], ...]


def mutated(text: str, random: Random) -> tuple[str, str]:
    """What one mutation is called, and what it makes of the text."""
    while True:
        mutate = random.choice(_MUTATIONS)
        made = mutate(text, random)
        if made is not None and made != text:
            return mutate.__name__.strip("_"), made


def _tokens(text: str) -> list[Token]:
    return [Token(found[0], found.start(), found.end()) for found in _TOKEN.finditer(text)]


def _groups(text: str) -> list[Group]:
    """All brackets that have something in them."""
    found: list[Group] = []
    opened: list[tuple[Token, list[tuple[int, int]], int]] = []
    for token in _tokens(text):
        if token.text in _CLOSING:
            opened.append((token, [], token.end))
        elif opened and token.text == ",":
            opening, items, start = opened[-1]
            opened[-1] = opening, [*items, (start, token.start)], token.end
        elif opened and token.text == _CLOSING[opened[-1][0].text]:
            opening, items, start = opened.pop()
            if text[start : token.start].strip():
                items.append((start, token.start))
            if items:
                found.append(Group(opening, tuple(items)))
    return found


def _replaced(text: str, spans: list[tuple[tuple[int, int], str]]) -> str:
    for (start, end), new in sorted(spans, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _with_items(text: str, group: Group, items: list[str]) -> str:
    return _replaced(text, [((group.items[0][0], group.items[-1][1]), ",".join(items))])


def _edited(items: list[str], random: Random) -> list[str]:
    """One item less, one more, or two in each other's place."""
    at = random.randrange(len(items))
    other = random.randrange(len(items))
    match random.randrange(3):
        case 0:
            return items[:at] + items[at + 1 :]
        case 1:
            return [*items[:other], items[at], *items[other:]]
    made = list(items)
    made[at], made[other] = made[other], made[at]
    return made


def _list(text: str, random: Random) -> str | None:
    """A change of one list: of operands, types, attributes, regions, texts."""
    group = random.choice(_groups(text))
    return _with_items(text, group, _edited([text[start:end] for start, end in group.items], random))


def _operands(text: str, random: Random) -> str | None:
    """A change of the operands of an op and of their types alike."""
    group, types = random.choice(list(_calls(text)) or [(None, None)])
    if group is None or types is None:
        return None
    pairs = list(zip(_texts(text, group), _texts(text, types), strict=True))
    numbers = list(map(int, _edited([str(number) for number in range(len(pairs))], random)))
    given = {group: [pairs[n][0] for n in numbers], types: [pairs[n][1] for n in numbers]}
    spans = [((each.items[0][0], each.items[-1][1]), ",".join(items)) for each, items in given.items()]
    return _replaced(text, spans)


def _texts(text: str, group: Group) -> list[str]:
    return [text[start:end] for start, end in group.items]


def _calls(text: str) -> Iterator[tuple[Group, Group]]:
    """The operands of ops that stand in one line, with their types."""
    groups = {each.opening.start: each for each in _groups(text)}
    for line in re.finditer(r'^[^\n]*?"(?:agent|op)\.\w+"(\()[^\n]*? : (\()[^\n]*$', text, re.MULTILINE):
        operands, types = groups.get(line.start(1)), groups.get(line.start(2))
        if operands is not None and types is not None and len(operands.items) == len(types.items):
            yield operands, types


def _lines(text: str, random: Random) -> str | None:
    """A line less, once more, or elsewhere."""
    lines = text.splitlines()
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    line = lines[at]
    match random.randrange(3):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, line)
        case 2:
            lines.insert(other, lines.pop(at))
    return "\n".join(lines)


def _same_kind(text: str, random: Random) -> str | None:
    """Two words of a kind in each other's place, or one in the place of the other."""
    tokens = [token for token in _tokens(text) if token.text[0] == random.choice('"%!^') or token.text.isdigit()]
    if len(tokens) < 2:
        return None
    one, two = random.sample(tokens, 2)
    if random.randrange(2):
        return _replaced(text, [((one.start, one.end), two.text)])
    return _replaced(text, [((one.start, one.end), two.text), ((two.start, two.end), one.text)])


def _word(text: str, random: Random) -> str | None:
    """A text or number that means something else."""
    token = random.choice([each for each in _tokens(text) if each.text[0] == '"' or each.text.lstrip("-").isdigit()])
    new = f'"{random.choice(_WORDS)}"' if token.text[0] == '"' else random.choice(_NUMBERS)
    return _replaced(text, [((token.start, token.end), new)])


def _types(text: str, random: Random) -> str | None:
    """A type, everywhere in its line or in the whole text, or of one value alone."""
    found = list(re.finditer(r'!agent\.value<"([^"]*)">', text))
    one, two = random.choice(found), random.choice(found)
    match random.randrange(3):
        case 0:
            return text.replace(one[0], two[0])
        case 1:
            start, end = text.rfind("\n", 0, one.start()) + 1, (text + "\n").find("\n", one.end())
            return text[:start] + text[start:end].replace(one[0], two[0]) + text[end:]
    return text[: one.start()] + two[0] + text[one.end() :]


def _name(text: str, random: Random) -> str | None:
    """An attribute with another name."""
    names = list(re.finditer(r"[{ ](\w+) = ", text))
    one, two = random.choice(names), random.choice(names)
    new = two[1] if random.randrange(2) else one[1] + "s"
    return text[: one.start(1)] + new + text[one.end(1) :]


def _attribute(text: str, random: Random) -> str | None:
    """An attribute as another op has it."""
    found = list(re.finditer(r'[{ ](\w+) = ("(?:[^"\\]|\\.)*"|[\w.]+(?: : \w+)?|\[[^]{}]*\]|\{[^{}]*\})', text))
    one = random.choice(found)
    two = random.choice([each for each in found if each[1] == one[1]])
    return text[: one.start(2)] + two[2] + text[one.end(2) :]


def _token(text: str, random: Random) -> str | None:
    """A word less, or once more."""
    token = random.choice(_tokens(text))
    new = "" if random.randrange(2) else f"{token.text} {token.text}"
    return _replaced(text, [((token.start, token.end), new)])


def _character(text: str, random: Random) -> str | None:
    """A slip of the finger."""
    at = random.randrange(len(text))
    return text[:at] + random.choice(["", text[at] * 2, '"', "%", "\\", "\x00", "é", "}"]) + text[at + 1 :]


def _regions(text: str, random: Random) -> str | None:
    """A change of the regions of an op."""
    groups = [each for each in _groups(text) if text[each.items[0][0]] == "{"]
    if not groups:
        return None
    group = random.choice(groups)
    return _with_items(text, group, _edited(_texts(text, group), random))


_MUTATIONS: Final[tuple[Callable[[str, Random], str | None], ...]] = (
    *(_list, _operands, _operands, _types, _types, _lines, _same_kind, _word, _word, _word, _name, _name, _attribute),
    *(_attribute, _attribute, _regions, _token, _character),
)  # fmt: skip
