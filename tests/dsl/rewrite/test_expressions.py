# ruff: noqa: UP031, E731 - programs as people write them
"""Expressions and assignments over symbolic values give what Python gives."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import workflow
from tests.dsl.rewrite.both import noting, same, say


def _ok(text: str) -> bool:
    return len(text) % 2 == 0


def _words(text: str) -> list[str]:
    return text.split()


def _size(text: str) -> int:
    return len(text)


def _half(text: str) -> float:
    return len(text) / 2


def _pair(text: str) -> tuple[str, int]:
    return text, len(text)


def _sizes(text: str) -> dict[str, int]:
    return {word: len(word) for word in text.split()}


def _open(text: str) -> Any:
    return {"": None, "a": 1, "no": True}.get(text, text)


def _look(text: str) -> str:
    if text == "no":
        raise ValueError(text)
    return text.upper()


ok, words, size, half, pair, sizes, anything = (
    noting(each, effects="pure") for each in (_ok, _words, _size, _half, _pair, _sizes, _open)
)
look = noting(_look)


def several_targets(text: str) -> str:
    first, *rest = whole = [1, 2, size(text)]
    both = left, right = pair(text)
    return f"{first} {len(rest)} {len(whole)} {whole[1]} {left} {right} {both[0]}"


def swapped_in_a_branch(text: str) -> list[str]:
    found = ["a", "b"]
    if ok(text):
        found[0], found[1] = found[1], found[0]
    return found


def swapped_at_a_symbolic_place(text: str) -> list[str]:
    found, place = ["a", "b", "c"], size(text) % 3
    found[place], found[0] = found[0], found[place]
    return found


def items_and_names(text: str) -> str:
    found: dict[str, Any] = {}
    (found["a"], (last, *found["rest"])), found["n"] = [text, (1, 2, 3)], size(text)
    return f"{found['a']} {last} {found['rest'][1]} {found['n']}"


def taken_apart(text: str) -> str:
    first, second = f"{size(text) % 10}9"
    return second + first


def annotated_first(text: str) -> int:
    if ok(text):
        found: int
        found = 3
    else:
        found = 4
    return found


def percent(text: str) -> str:
    plain = "%s has %d (%.2f), %5s|%-4s|%r %d%%" % (text, size(text), half(text), text, text, text, size(text))
    named = "%(a)s %(b)03d" % {"a": text, "b": size(text)}
    width = "%*d" % (size(text), 3)
    return f"{plain} {named} {width} {'%s-%d' % pair(text)} {(text + ' %s') % 'x'}"


def formats(text: str) -> str:
    return f"{'a':>{size(text)}}|{size(text)!s:5}|{text!r:>12}|{say(text):<{size(text) + 5}}|"


def keys(text: str) -> dict[str, int]:
    found = {"x": 0, text: size(text), **sizes(text), f"{text}!": 1}
    found.update({text: 5})
    return found


def looked_up(text: str) -> str:
    by_text = {f"{text}": 1, "a": 2}
    return (
        f"{by_text.get('a', 0)} {len(by_text)} {'a' in {f'{text}': 1}} {len({text, 'a'})} {'a' in {text, text + 'b'}}"
    )


def compared_as_lists(text: str) -> str:
    if (text, size(text)) == ("a", 1) or [text] == ["no"]:
        return "one"
    return "less" if (size(text), text) < (3, "b") else f"{['a b', 3] in [[text, size(text)], ['c', 2]]}"


def by_keys(text: str) -> list[str]:
    found = words(text + " longest x")
    return [max(found, key=len), min(found, key=str.lower), *sorted(sizes(text), key=len, reverse=True)]


def one_is_not_true(text: str) -> str:
    match anything(text):
        case True:
            return "true"
        case 1:
            return "one"
        case None:
            return "none"
        case _:
            return "other"


def keyword_default_of_a_lambda(text: str) -> bool:
    test = lambda *, known=(text in ("a", "no")): known
    return test()


def described(text: str) -> str:
    def inner(given: str) -> str:
        """What it does."""
        found = given + "!"
        found += "?"
        return found

    return f"{inner.__doc__} {inner(text)}"


def names_of_the_rewriting(text: str) -> str:
    def then_1(given: str) -> str:
        return given + "!"

    try:
        return then_1(look(text))
    except ValueError as error_:
        return f"{error_}"


def any_stops(text: str) -> bool:
    return any(look(word) == "A" for word in words(text))


def all_stops(text: str) -> bool:
    return all(look(word) != "B" for word in ["x", text, "b", "c"])


def any_of_several(text: str) -> bool:
    return any(look(a + b) == "AX" for a in words(text) if a != "b" for b in ["", "x"])


def next_stops(text: str) -> str:
    return next((look(word) for word in ["p", text, "q"] if ok(word)), "none")


def next_place(text: str) -> int:
    return next((place for place, word in enumerate(words(text)) if word == "b"), -1)


PROGRAMS = [
    several_targets, swapped_in_a_branch, swapped_at_a_symbolic_place, items_and_names, taken_apart, annotated_first,
    percent, formats, keys, looked_up, compared_as_lists, by_keys, one_is_not_true, keyword_default_of_a_lambda,
    described, names_of_the_rewriting, any_stops, all_stops, any_of_several, next_stops, next_place,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_it_means_what_python_means(program: Any) -> None:
    for text in ["", "a", "no", "a b", "b a c"]:
        same(program, text)


def test_a_prompt_that_percent_fills_stays_a_template() -> None:
    @workflow
    def flow(text: str) -> str:
        return say("Question: %s, in %d words" % (text, size(text)))

    assert '"Question: ", ", in ", " words"' in str(flow.trace().module)


def test_members_that_nobody_misses_are_made_at_once() -> None:
    @workflow
    def pure(text: str) -> bool:
        return any(len(word) > 2 for word in words(text))

    @workflow
    def asking(text: str) -> bool:
        return any(say(word) == "A!1" for word in words(text))

    assert "agent.map" in str(pure.trace().module)
    assert "agent.map" not in str(asking.trace().module)
