"""A text with placeholders in it is for prompts: whatever reads or changes it while tracing is an error at its line."""

from __future__ import annotations

import hashlib
import html
import inspect
import json
import os
import random
import re
import textwrap
import warnings
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import pytest

from orchestrator import branch, call, llm, loop, map_, tool, workflow
from orchestrator.testing import fake
from tests.dsl.diagnosing import Query, assert_as_marked, errors_of

WIDE = "%-8s|"
SHORT = {"a": "x"}


def test_format_specs() -> None:
    def flow(topic: str, n: int) -> str:
        text = f"<{topic}>"
        a = "%-5s" % topic  # noqa: UP031  # D007
        b = WIDE % topic  # D007
        c = "%s %9s" % (n, topic)  # noqa: UP031  # D007
        d = "%(n)s %(t).3s" % {"n": n, "t": topic}  # noqa: UP031  # D007
        e = f"{topic!s:>9}"  # D007
        f = f"{text:>90}"  # D007
        g = "{!s:>9}".format(topic)  # noqa: UP032  # D007
        h = "{a} {b:.4}".format(a=1, b=text)  # noqa: UP032  # D007
        i = format(text, ">90")  # D007
        return llm(f"{a}{b}{c}{d}{e}{f}{g}{h}{i}")  # D008

    assert_as_marked(flow)


def test_formats_without_a_spec_are_templates() -> None:
    @workflow
    def flow(topic: str, n: int) -> str:
        parts = ["%s-%5d" % (topic, 3), "%(t)s" % {"t": topic}, "%-3s%s" % ("a", n)]  # noqa: UP031
        parts += ["{}".format(topic), "{:>3}{}".format("b", n), f"{n!s}", Template("<$t>").substitute(t=topic)]  # noqa: UP032
        return llm("|".join(parts))

    with fake(lambda messages: messages[-1].content):
        assert flow("x", 1) == "x-    3|x|a  1|x|  b1|1|<x>"


def test_a_prompt_may_be_written_into_memory() -> None:
    @workflow
    def flow(topic: str) -> str:
        out = StringIO()
        out.write(f"About {topic}\n")
        print("and", topic, file=out)
        return llm(out.getvalue())

    with fake(lambda messages: messages[-1].content):
        assert flow("x") == "About x\nand x\n"


def test_reading_a_text() -> None:
    def flow(topic: str) -> str:
        prompt = f"About {topic}"
        if len(prompt) > 40:  # D008
            prompt = prompt[:40]  # D008
        a = len(str(topic))  # D008
        b = prompt == "About cats"  # D008
        c = "cats" in prompt  # D008
        d = "About".startswith((str(topic), "x"))  # D008
        e = SHORT.get(str(topic), "none")  # D008
        f = prompt in SHORT  # D008
        g = sorted([prompt, "b"])  # D008
        h = [char for char in prompt]  # noqa: C416  # D008
        i = hashlib.sha256(prompt.encode()).hexdigest()  # D008
        j = re.search("cats", prompt)  # D008
        k = str(topic) or "nothing"  # D008
        m = os.path.exists(f"{topic}.txt")  # noqa: PTH110  # D008
        n = hash(prompt), random.Random(prompt).random()  # D008
        o = list(map(len, [prompt]))  # D008
        r = {key: len(each) for key, each in {"a": prompt, "b": "x"}.items()}  # D008
        p = [len(each) for each in (prompt, "x")]  # D008
        return llm(f"{prompt}{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}{m}{n}{o}{p}{r}")  # D008

    assert_as_marked(flow)


def test_whether_a_text_is_empty() -> None:
    def flow(topic: str, word: str) -> str:
        a = bool(f"{topic}")  # D008
        b = f"{topic}".strip() or "nothing"  # D008
        c = "".join([topic_of(topic)]) or "nothing"
        d = bool(f"About {topic}") and f"{word}: {topic}".strip()
        e = [bool(3), bool(topic_of("x"))]
        return llm(f"{a} {b} {c} {d} {e}")

    def topic_of(text: str) -> str:
        return f"On {text}"

    assert_as_marked(flow)


def test_changing_a_text() -> None:
    def flow(topic: str) -> str:
        text = f"About {topic}\n"
        a = text.upper()  # D008
        b = text.replace("About", "On")  # D008
        c = "".join(text.split()[:3])  # D008
        d = text.ljust(400)  # D008
        e = textwrap.fill(f"{topic} and more", 40)  # D008
        f = json.dumps({"q": f"{topic}"}, ensure_ascii=False)  # D008
        g = re.sub("o", "0", text)  # D008
        h = html.escape(text)  # D008
        i = (text + "!")[3:]  # D008
        return llm(f"{a}{b}{c}{d}{e}{f}{g}{h}{i}")  # D008

    assert_as_marked(flow)


class Section:
    def __init__(self, text: str) -> None:
        self.text = text

    def is_long(self) -> bool:
        return len(self.text) > 300

    def titled(self, title: str) -> str:
        return f"{title}\n{self.text}"

    @staticmethod
    def words(text: str) -> int:
        return text.count(" ") + 1


def test_in_functions_of_the_user() -> None:
    def shorten(text: str, most: int = 100) -> str:
        return text[:most]

    def build(topic: str) -> str:
        return f"About {topic}, at length"

    def flow(topic: str) -> str:
        a = shorten(build(topic), most=9)
        return llm(f"{a} {build(topic)[:9]} {llm(build(topic))[:9]}")  # D008

    codes = [(each.code, each.where and each.where.function) for each in errors_of(workflow(flow))]
    assert ("ORCH-D008", "shorten") in codes
    assert ("ORCH-D008", "flow") in codes


def test_in_methods_of_the_user() -> None:
    def flow(topic: str) -> str:
        section = Section(f"About {topic}")
        asked = (
            section.is_long(),
            Section("a").words(f"{topic}"),
            len(section.titled("x")),
            len(Section("a").titled("b")),
        )
        return llm(f"{asked}")

    found = {(each.code[5:], each.where.function) for each in errors_of(workflow(flow)) if each.where}
    assert found == {("D008", "is_long"), ("D008", "words")}


def test_in_lambdas_that_are_traced() -> None:
    def flow(topic: str) -> str:
        a = branch(topic == "a", then=lambda: f"{topic}!"[:40], otherwise=lambda: "b")  # D008
        b = loop(lambda s: s + "!", topic, max=3, until=lambda s: len(f"<{s}>") > 99)  # D008
        c = map_(lambda each: str(each).title(), [topic])  # D008
        d = loop(lambda s: llm(topic, returns=str | None), None, max=2, until=lambda s: s is not None)  # type: ignore[call-overload]  # D006
        return llm(f"{a}{b}{c}{d}")

    assert_as_marked(flow)


def test_what_is_drawn_from_a_collection() -> None:
    def flow(topic: str) -> Any:
        rows = [("a", f"{topic}"), ("b", "x")]
        named = {"a": "x", "b": f"{topic}", "c": "y"}
        a = [f"{key}{text:>300}" for key, text in rows]  # D007
        b: dict[str, Any] = {key: len(text) for key, text in named.items()}  # D008
        for text in (f"{topic}", "x"):
            b["d"] = len(text)  # D008
        texts = [*named.values()]
        texts.sort()  # D008
        c = {f"{topic}", "x"}  # D008
        d: dict[str, Any] = {f"{topic}": 1}  # D008
        c.add(f"{topic}")  # D008
        d["n"] = texts.count("x")  # D008
        d["i"] = "x" in texts  # D008
        d["j"] = [f"{topic}"] == ["x"]  # D008
        d["k"] = [each for each in [str(topic), ""] if each]  # D008
        d["m"] = re.compile("x").sub("y", f"{topic}")  # D008
        d["n"] = texts == [] or "a" in named or texts == ()
        e = (len(named), len(rows), sorted(named))
        return len(a), len(b), len(c), len(d), e

    assert_as_marked(flow)


def test_names_are_taken_for_what_they_held_there() -> None:
    @workflow
    def flow(topic: str) -> str:
        text = "a long introduction"
        if len(text) > 5 and text.startswith("a"):
            text = text.upper()[:6]
        text = f"{text} {topic}"
        parts = [text, topic, SHORT.get("a", topic), SHORT.get("b", f"{topic}")]
        for part in ("x", "y"):
            text += part.upper()
        return llm(f"{text} {len(parts)}")

    with fake(lambda messages: messages[-1].content):
        assert flow("q") == "A LONG qXY 4"


CHANGES: list[Callable[[str], str]] = [
    str.upper, str.lower, str.title, str.swapcase, str.casefold, str.expandtabs, html.escape, quote, ascii,
    inspect.cleandoc, re.escape, textwrap.fill, json.dumps,
    lambda text: textwrap.indent(text, "> "), lambda text: textwrap.shorten(text, 10_000),
    lambda text: " ".join(text.split()), lambda text: "\n".join(text.splitlines()),
    lambda text: re.sub(r"\s+", " ", text),
    lambda text: text.encode("ascii", "ignore").decode(), lambda text: re.sub("[^a-z ]", "", text),
    lambda text: text.replace("e", "3"), lambda text: (text + "{}").format("b"), lambda text: (text + "%s") % "b",
    lambda text: Template(text).substitute(), lambda text: text[:40], lambda text: text[40:], lambda text: text[::-1],
    lambda text: json.dumps(text, ensure_ascii=False), lambda text: text.translate({ord("x"): "y"}),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_a_text_elsewhere_is_found_where_it_is_used(change: Callable[[str], str]) -> None:
    table, name = {"change": change}, "change"

    def flow(topic: str) -> str:
        return llm(table[name](f"About {topic} and more"))  # D008

    assert_as_marked(flow)


@pytest.mark.parametrize(
    "shape", [textwrap.dedent, str.strip, str, lambda text: text.format(), lambda text: "".join([text, ""])]
)
def test_layout_of_a_template_leaves_its_values_alone(shape: Callable[[str], str]) -> None:
    @workflow
    def flow(topic: str) -> str:
        return llm(
            textwrap.dedent(f"""
            About {topic}
              and more
        """).strip()
            + shape("!")
        )

    with fake(lambda messages: messages[-1].content):
        assert flow("  a\n b") == "About   a\n b\n  and more!"


@tool(effects="pure")
def named(place: Any) -> str:
    return str(place)


@pytest.mark.parametrize(
    "make",
    [
        lambda topic: Query(sql=f"select {topic}"), lambda topic: Path(f"{topic}.txt"),
        lambda topic: f"{topic}".encode(),
        lambda topic: {f"{topic}": 1}, lambda topic: [{"a": {f"{topic}": 1}}],
    ],
)  # fmt: skip
def test_no_constant_holds_a_placeholder(make: Callable[[str], Any]) -> None:
    def flow(topic: str) -> str:
        return named(make(topic))

    errors = errors_of(workflow(flow))
    assert "ORCH-D013" in {error.code for error in errors}
    assert "ufdd" not in ascii("".join(map(str, errors)))


def test_the_fix_for_a_constant_works() -> None:
    @workflow
    def flow(topic: str) -> str:
        return named(call(Query, sql=f"select {topic}"))

    with fake():
        assert flow("x") == "sql='select x' limit=None"


def test_a_text_as_a_key_of_a_value() -> None:
    @workflow
    def flow(rows: dict[str, int], kind: str) -> int:
        return rows[f"{kind}s"]

    with fake():
        assert flow({"cats": 3}, "cat") == 3


def test_of_a_function_without_source_a_warning_tells_once() -> None:
    space: dict[str, Any] = {"llm": llm, "__name__": "typed"}
    exec("def size(topic: str) -> str:\n    return llm(str(len(f'{topic}')))", space)
    flow = workflow(space["size"])
    with pytest.warns(UserWarning, match="the source of `size` is not to be had"):
        flow.trace()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        flow.trace()
        flow.trace()
    assert len(told) == 1
