"""What Python does with a placeholder without asking it: an error at the line, or the answer that a run would give."""

from __future__ import annotations

import copy
import functools
import hashlib
import html
import inspect
import json
import logging
import os
import pickle
import random
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel

from orchestrator import branch, call, llm, loop, map_, tool, workflow
from orchestrator.errors import TraceError
from orchestrator.testing import fake
from tests.dsl.diagnosing import Query, diagnose
from tests.dsl.recording import record

logger = logging.getLogger(__name__)
WIDE = "%-8s|"
SHORT = {"a": "x"}


def assert_as_marked(function: Callable[..., Any]) -> None:
    """The lines that have errors are those that are marked with a code."""
    source, first = inspect.getsourcelines(function)
    marked = {first + i: found[1] for i, line in enumerate(source) if (found := re.search(r"# (D\d+)$", line))}
    assert {each.where.line: each.code[5:] for each in diagnose(function) if each.where} == marked


def test_identity() -> None:
    def flow(topic: str, note: str | None, other: Any) -> str:
        if note is None:  # D006
            topic = "nothing"
        if note is not None:  # D006
            topic = "something"
        same = other is topic  # D006
        checked = llm(topic, returns=bool) is True  # D006
        return llm(f"{topic} {same} {checked}")

    assert_as_marked(flow)


def test_the_fix_for_none_compares() -> None:
    def flow(note: str | None) -> str:
        return "a" if note is not None else "b"  # D006

    (error,) = diagnose(flow)
    assert error.fix == "use branch(note != None, then=..., otherwise=...): `!=` builds an expression"


def test_what_is_never_none_may_be_asked() -> None:
    def section(title: str, body: Any = None) -> str:
        return f"{title}." if body is None else f"{title}: {body}"

    @workflow
    def flow(topic: str, words: list[str]) -> str:
        me = topic is topic
        return llm(f"{section('A')} {section('B', topic)} {section('C', words)} {me}")

    with fake(lambda messages: messages[-1].content):
        assert flow("x", ["y"]) == 'A. B: x C: ["y"] True'


def test_classes() -> None:
    def flow(topic: str, n: int) -> str:
        a = isinstance(topic, str)  # D006
        b = isinstance(n, Mapping)  # D006
        c = isinstance(n, BaseModel)  # D006
        d = type(n) is int  # D006
        e = topic.__class__  # D006
        f = callable(topic)  # D006
        return llm(f"{a} {b} {c} {d} {e} {f}")

    assert_as_marked(flow)


def test_a_library_that_dispatches_on_the_class() -> None:
    @functools.singledispatch
    def shown(value: object) -> str:
        return "object"

    def flow(topic: str) -> str:
        return llm(shown(topic))  # D006

    assert_as_marked(flow)


def test_match() -> None:
    def flow(topic: str | None, pair: list[int]) -> str:
        match topic:  # D006
            case None:
                pass
        match pair:  # D006
            case [_, _]:
                pass
        match topic:
            case str():  # D006
                pass
        match f"{topic}":  # D008
            case "a":
                pass
        return llm(f"{topic}")

    assert_as_marked(flow)


def test_hashes() -> None:
    def flow(topic: str, n: int) -> str:
        seen = {topic: 1}  # D006
        hash(n)  # D006
        counts: dict[Any, int] = defaultdict(int)
        counts[topic] += 1  # D006
        known = n in {1, 2}  # D006
        return llm(f"{len(seen)} {known}")

    assert_as_marked(flow)


def test_printing_and_logging() -> None:
    def flow(topic: str) -> str:
        print(topic)  # D006
        print("about", f"{topic}!")  # D008
        print([topic])  # D008
        logger.info("about %s", topic)  # D006
        logging.warning(f"about {topic}")  # D008
        print(len(SHORT))
        return llm(topic)

    assert_as_marked(flow)


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


def test_a_collection_that_is_in_itself_is_no_trouble() -> None:
    itself: list[Any] = ["b"]
    itself.append(itself)

    @workflow
    def flow(topic: str) -> str:
        print(itself)
        return llm(f"{topic} {len(itself)}")

    with fake(lambda messages: messages[-1].content):
        assert flow("x") == "x 2"


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

    assert "D008" in {each.code[5:] for each in diagnose(flow)}
    source, first = inspect.getsourcelines(flow)
    marked = {first + i for i, line in enumerate(source) if "# D008" in line}
    assert marked - {each.where.line for each in diagnose(flow) if each.where} <= {first + len(source) - 1}


def test_changing_a_text() -> None:
    def flow(topic: str) -> Any:
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
        return a, b, c, d, e, f, g, h, i  # D008

    assert {each.code for each in errors_of(flow)} == {"ORCH-D008"}
    source, first = inspect.getsourcelines(flow)
    marked = {first + i for i, line in enumerate(source[:-1]) if "# D008" in line}
    assert marked <= {each.where.line for each in errors_of(flow) if each.where}


def test_in_functions_of_the_user() -> None:
    def shorten(text: str, most: int = 100) -> str:
        return text[:most]

    def build(topic: str) -> str:
        return f"About {topic}, at length"

    def flow(topic: str) -> str:
        a = shorten(build(topic), most=9)
        return llm(f"{a} {build(topic)[:9]} {llm(build(topic))[:9]}")  # D008

    codes = [(each.code, each.where and each.where.function) for each in errors_of(flow)]
    assert ("ORCH-D008", "shorten") in codes
    assert ("ORCH-D008", "flow") in codes


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

    found = {(each.code[5:], each.where.function) for each in errors_of(flow) if each.where}
    assert found == {("D008", "is_long"), ("D008", "words"), ("D008", "flow")}


def test_in_lambdas_that_are_traced() -> None:
    def flow(topic: str) -> str:
        a = branch(topic == "a", then=lambda: f"{topic}!"[:40], otherwise=lambda: "b")  # D008
        b = loop(lambda s: s + "!", topic, max=3, until=lambda s: len(f"<{s}>") > 99)  # D008
        c = map_(lambda each: str(each).title(), [topic])  # D008
        d = loop(lambda s: llm(topic, returns=str | None), None, max=2, until=lambda s: s is not None)  # type: ignore[call-overload]  # D006
        return llm(f"{a}{b}{c}{d}")

    found = {(each.code[5:], each.where.line - flow.__code__.co_firstlineno) for each in errors_of(flow) if each.where}
    assert {("D008", 1), ("D008", 2), ("D008", 3), ("D006", 4)} <= found


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

    errors = errors_of(flow)
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


def test_no_file_is_opened_by_number() -> None:
    def flow(path: str) -> str:
        with open(path) as file:  # noqa: PTH123  # D001
            return llm(file.read())

    def anything(path: Any) -> bool:
        return os.path.exists(path)  # noqa: PTH110  # D006

    assert_as_marked(flow)
    assert_as_marked(anything)


def test_copies() -> None:
    def flow(topic: str) -> str:
        copy.copy(topic)  # D001
        return topic

    def pickling(topic: str) -> str:
        pickle.dumps(topic)  # D001
        return topic

    assert_as_marked(flow)
    assert_as_marked(pickling)


def test_exceptions_name_values_and_no_placeholder() -> None:
    def flow(topic: str) -> str:
        raise LookupError(f"nothing about {topic}")  # D001

    (error,) = diagnose(flow)
    assert error.message == "the workflow raised LookupError: nothing about {topic}"


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


def errors_of(function: Callable[..., Any]) -> list[Any]:
    with pytest.raises(TraceError) as caught:
        record(workflow(function))
    return caught.value.diagnostics
