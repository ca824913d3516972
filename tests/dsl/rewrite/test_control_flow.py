# ruff: noqa: PERF401, SIM108 - programs as people write them
"""Python's control flow over symbolic values means what it means in Python."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from tests.dsl.rewrite.both import noting, same, say


def _ok(text: str) -> bool:
    return len(text) % 2 == 0


def _words(text: str) -> list[str]:
    return text.split()


def _maybe(text: str) -> str | None:
    return text if "a" in text else None


def _size(text: str) -> int:
    return len(text)


def _kind(text: str) -> Literal["bug", "question", "other"]:
    return "bug" if "bug" in text else "question" if "?" in text else "other"


def _send(text: str) -> None:
    return None


ok, words, maybe, size, kind = (noting(each, effects="pure") for each in (_ok, _words, _maybe, _size, _kind))
send = noting(_send)

TEXTS = ["", "a", "bug!", "why so?", "one two three", "ümläut 漢字", "a b a"]


def if_else(text: str) -> str:
    if ok(text):
        reply = say(f"even {text}")
    else:
        reply = "odd"
    return reply


def guard(text: str) -> str:
    found = maybe(text)
    if found is None:
        return "nothing"
    if found == "a":
        return "only a"
    return found.upper()


def nested_return(text: str) -> str:
    if ok(text):
        if size(text) > 3:
            return "long"
        text = text + "!"
    send(text)
    return text


def elif_chain(text: str) -> str:
    what = kind(text)
    if what == "bug":
        answer = say("fix it")
    elif what == "question":
        answer = say("answer it")
    elif not ok(text):
        answer = "odd"
    else:
        answer = "even"
    return f"{what}: {answer}"


def conditional_expression(text: str) -> str:
    return say(text) if ok(text) else text[::-1]


def and_or_not(text: str) -> str:
    if ok(text) and size(text) > 3:
        return "both"
    if not ok(text) or size(text) == 0:
        return "either"
    return "neither"


def value_of_or(text: str) -> str:
    return maybe(text) or "nothing"


def list_or_text(text: str) -> str:
    found = [word for word in words(text) if ok(word)]
    both = found or "nothing"
    one = found if ok(text) else text
    return f"{len(both)} {len(one)}"


def displays(text: str) -> str:
    found = [*words(text), "end", *[text]]
    pair = (*found, text)
    return f"{'-'.join(found)} {len(pair)} {len({*words(text), 'x'})} {'|'.join(map(str.upper, found))}"


def counted(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words(text):
        counts[word] = counts.get(word, 0) + 1
    return counts


def keyed(text: str) -> str:
    state = {"last": "", "n": 0}
    for word in words(text):
        state["last"] = word
        state["n"] += 1
    return f"{state['last']} {state['n']}"


def new_keys(text: str) -> dict[str, int]:
    sizes = {"all": size(text)}
    for word in words(text):
        sizes[word] = size(word)
    return sizes


def exhaustive(text: str) -> str:
    match maybe(text):
        case str():
            return "found"
        case None:
            return "none"


def short_circuit_calls(text: str) -> bool:
    return (ok(text) and ok(text + "!")) or size(text) > 2


def chained(text: str) -> str:
    return "in" if 1 < size(text) <= 6 else "out"


def membership(text: str) -> str:
    if text in {"a", "bug!"}:
        return "known"
    if "a" in text:
        return "has an a"
    return "b" if text not in ["x", text] else "itself"


def for_append(text: str) -> list[str]:
    found = []
    for word in words(text):
        found.append(say(word))
    return found


def for_filter(text: str) -> list[str]:
    found = ["start"]
    for word in words(text):
        if len(word) == 1:
            continue
        found.append(word.upper())
        if ok(word):
            found.append("even")
    return found


def for_total(text: str) -> int:
    total = 0
    for word in words(text):
        total += size(word)
    return total


def for_find(text: str) -> str:
    for word in words(text):
        if ok(word):
            return word
    return "none"


def for_break(text: str) -> str:
    last = "none"
    for word in words(text):
        if word == "two":
            break
        last = word
    else:
        last = last + " (all)"
    return last


def for_range_break(text: str) -> str:
    draft = ""
    for turn in range(4):
        draft = say(f"{turn} {text} {draft}")
        if ok(draft):
            break
    return draft


def for_range_unbound_before(text: str) -> str:
    for _ in range(3):
        draft = say(text)
        if ok(draft):
            break
        text = draft
    return draft


def for_concrete_break(text: str) -> str:
    for model in ["x", "y", "z"]:
        reply = say(f"{model} {text}")
        if ok(reply):
            break
    return reply


def for_writes(text: str) -> int:
    count = 0
    for word in words(text):
        send(word)
        count += 1
    return count


def while_loop(text: str) -> str:
    while size(text) < 9:
        text = text + "ab"
    return text


def while_break(text: str) -> int:
    turns = 0
    while True:
        text = text + "x"
        turns += 1
        if size(text) > 6:
            break
    return turns


def while_else_return(text: str) -> str:
    turns = 0
    while turns < size(text):
        turns += 1
        if turns == 3:
            return "three"
    return "few"


def comprehension(text: str) -> list[str]:
    return [say(word) for word in words(text) if word != "two"]


def nested_comprehension(text: str) -> list[str]:
    return [a + b for a in words(text) for b in words(text) if a != b]


def dict_comprehension(text: str) -> dict[str, int]:
    return {word: size(word) for word in words(text)}


def any_all(text: str) -> str:
    if any(word == "two" for word in words(text)):
        return "two"
    return "all" if all(ok(word) for word in words(text)) else "some"


def match_literals(text: str) -> str:
    match kind(text):
        case "bug":
            return "B"
        case "question" | "other" if ok(text):
            result = "Q"
        case _:
            result = "O"
    return result + text


def match_all_literals(text: str) -> str:
    match kind(text):
        case "bug":
            return "B"
        case "question" | "other":
            result = "Q"
    return result + text


def match_guard(text: str) -> str:
    match text:
        case "a":
            return "exactly"
        case other if ok(other):
            return other + "?"
        case _:
            return "odd"


def text_operations(text: str) -> str:
    prompt = f"<{text}>"
    if f"{text}" == "a":
        return "yes"
    return prompt[:4] + prompt.upper() + str(len(prompt)) + f"{size(text):03d}"


def rebinding(text: str) -> str:
    parts = []
    parts.append(text)
    if ok(text):
        parts.append("even")
    else:
        parts.append("odd")
        parts.append("indeed")
    return " ".join(parts)


def dict_changes(text: str) -> dict[str, Any]:
    seen = {"n": 0}
    if ok(text):
        seen["n"] = size(text)
        seen["even"] = 1
    else:
        seen["n"] += 5
    return seen


def helpers(text: str) -> str:
    def longer(one: str, other: str) -> str:
        if size(one) >= size(other):
            return one
        return other

    shorter = lambda one, other: one if size(one) < size(other) else other  # noqa: E731
    return longer(text, "abc") + shorter(text, "xy")


def unpacking(text: str) -> str:
    first, *rest = words(text + " end")
    a, b = (size(first), len(rest))
    return f"{first} {a + b} {'-'.join(rest)}"


def loop_in_branch_in_loop(text: str) -> list[str]:
    found: list[str] = []
    for word in words(text):
        if ok(word):
            inner = ""
            for letter in word:
                if letter == "o":
                    break
                inner += letter
            found.append(inner)
        else:
            found.extend([word, word])
    return found


PROGRAMS = [value for value in list(globals().values()) if getattr(value, "__module__", "") == __name__ and
            callable(value) and value.__name__[0] != "_" and value not in (noting, same, say)]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_it_means_what_python_means(program: Any) -> None:
    for text in TEXTS:
        same(program, text)
