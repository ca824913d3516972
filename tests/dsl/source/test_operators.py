"""Functions that are given a text with placeholders, or a list of such: of ``operator``, of ``str``, of the user."""

from __future__ import annotations

import operator
import re
from typing import Any

from orchestrator import llm, workflow
from orchestrator.testing import fake
from tests.dsl.diagnosing import assert_as_marked, errors_of

SHORT = {"a": "x"}


def test_functions_that_take_the_text_as_an_argument() -> None:
    size, seen_in = len, operator.contains

    def flow(topic: str, other: str | None) -> str:
        prompt = f"About {topic}"
        found: list[Any] = [
            str.__len__(prompt),  # D008
            str.startswith(prompt, "A"),  # D008
            str.isupper(prompt),  # D008
            size(prompt),  # D008
            operator.eq(prompt, "About x"),  # D008
            operator.contains(prompt, "x"),  # D008
            seen_in([prompt], "x"),  # D008
            operator.length_hint(prompt),  # D008
            operator.not_(f"{topic}"),  # D008
            operator.is_(other, None),  # D006
            list(map(str.isdigit, [prompt])),  # D008
            list(filter(str.islower, [prompt, "b"])),  # D008
        ]
        return llm(f"{found}")

    assert_as_marked(flow)


def test_functions_that_shape_or_ask_the_value_itself_may_be_used() -> None:
    @workflow
    def flow(topic: str, number: int) -> str:
        joined = operator.add(f"<{topic}>", str.strip(f" {topic} "))
        more = operator.eq(number, 2)
        texts = [*map(str.strip, [f"{topic} "])]
        return llm(f"{joined} {more} {texts[0]} {operator.not_(f'see {topic}')}")

    with fake(lambda messages: messages[-1].content):
        assert flow("x", 2) == "<x>x True x False"


def test_functions_of_operator_read_what_their_operators_read() -> None:
    def flow(topic: str, style: str) -> str:
        prompt, texts = f"About {topic}", [f"{style}", "plain"]
        joined = operator.mod("%s in %s", (topic, style))
        found: list[Any] = [
            operator.mod("%-9s", topic),  # D007
            operator.mod(prompt, ()),  # D008
            operator.lt("a", prompt),  # D008
            operator.eq(texts, ["plain"]),  # D008
            operator.countOf(texts, "plain"),  # D008
            operator.countOf(["plain"], prompt),  # D008
            operator.getitem(prompt, 0),  # D008
            operator.truth(f"{topic}{style}"),  # D008
            operator.is_not(texts, None),
            len(operator.add(prompt, "!")),  # D008
            len(joined),  # D008
        ]
        return llm(f"{found}")  # D008

    assert_as_marked(flow)


def test_functions_of_operator_take_what_their_operators_take() -> None:
    makers = [lambda text: text]

    @workflow
    def flow(topic: str, style: str) -> str:
        prompt, texts = f"About {topic}", [f"{topic}", style]
        joined = operator.mod("%s in %s", (prompt, style))
        known = [operator.contains({"a": f"{topic}"}, "a"), operator.length_hint([f"{topic}"]), operator.eq(texts, [])]
        same = operator.eq(style, makers[0](style))
        first = operator.getitem(texts, 1)
        is_it = operator.is_(style, style)
        return llm(f"{joined} {known} {same} {first} {is_it} {operator.not_(f'see {topic}')}")

    with fake(lambda messages: messages[-1].content):
        assert flow("x", "y") == "About x in y [True, 1, False] True y True False"


def test_functions_over_a_list_read_its_members() -> None:
    def flow(topic: str, style: str) -> str:
        texts = [f"{topic}", "plain"]
        found: list[Any] = [
            list(filter(None, [f"{topic}", f"{style}"])),  # D008
            list(filter(bool, texts)),  # D008
            [*map(bool, (f"{topic}",))],  # D008
            [*map(len, (f"{each}!" for each in [topic, style]))],  # D008
            [*map(repr, [texts])],  # D008
            [*map(id, [topic])],  # D006
            [*map(str.startswith, ["a", f"{topic}"], "pq")],  # D008
            [*map(operator.eq, [topic, f"{style}"], ["a", "b"])],  # D008
            [*map("{:>9}".format, texts)],  # D008
            [*map(re.escape, texts)],  # D008
            [*map(str.upper, f"{topic}")],  # D008
        ]
        return llm(f"{found}")  # D008

    assert_as_marked(flow)


def test_functions_over_a_list_may_ask_what_is_known_of_its_members() -> None:
    @workflow
    def flow(topic: str, style: str) -> str:
        groups = [[f"{topic}", style], [f"{style}"]]
        by_name = {"a": f"{topic}"}
        sizes = [*map(len, [[topic, style], [f"{style}"]]), *map(len, groups), *map(len, by_name)]
        kept = list(filter(None, [f"see {topic}", ""]))
        return llm(f"{sizes} {' '.join(kept)} {len([*filter(bool, groups)])}")

    with fake(lambda messages: messages[-1].content):
        assert flow("x", "y") == "[2, 1, 2, 1, 1] see x 2"


def is_long(text: str) -> bool:
    return len(text) > 10


def cut(text: str, at: int) -> str:
    return text if at > 5 else text[:at]


def in_brackets(text: str) -> str:
    return f"[{text}]"


def test_functions_of_the_user_over_a_list_of_texts() -> None:
    def flow(topic: str) -> str:
        prompts = [f"About {topic}", "plain"]
        kept = list(filter(is_long, prompts))
        short = [*map(cut, [f"{topic}!"], [9])]
        return llm(" ".join([*kept, *short]))

    found = {(each.code[5:], each.where.function) for each in errors_of(workflow(flow)) if each.where}
    assert found == {("D008", "is_long"), ("D008", "cut")}


def test_functions_of_the_user_that_shape_a_list_of_texts_may_be_used() -> None:
    @workflow
    def flow(topic: str) -> str:
        return llm(" ".join(map(in_brackets, [f"About {topic}", "plain"])))

    with fake(lambda messages: messages[-1].content):
        assert flow("x") == "[About x] [plain]"
