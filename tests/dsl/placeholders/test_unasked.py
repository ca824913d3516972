"""What Python does with a placeholder without asking it: an error at the line, or the answer that a run would give."""

from __future__ import annotations

import builtins
import copy
import functools
import importlib
import logging
import os
import pickle
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import llm, workflow
from orchestrator.testing import fake
from tests.dsl.diagnosing import assert_as_marked, diagnose

logger = logging.getLogger(__name__)
SHORT = {"a": "x"}


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


def test_printing_where_a_library_has_put_a_print_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def written(*args: object) -> None:
        pass

    def flow(topic: str) -> str:
        print(topic)  # D006
        return llm(topic)

    monkeypatch.setattr(builtins, "print", written)  # as Ray does once a worker has drawn a progress bar
    assert_as_marked(flow)


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


def test_a_collection_that_is_in_itself_is_no_trouble() -> None:
    itself: list[Any] = ["b"]
    itself.append(itself)

    @workflow
    def flow(topic: str) -> str:
        print(itself)
        return llm(f"{topic} {len(itself)}")

    with fake(lambda messages: messages[-1].content):
        assert flow("x") == "x 2"


def test_hundreds_of_functions_that_call_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = [f"def step_{n}(text):\n    return step_{n + 1}(text)\n" for n in range(300)]
    last = "def step_300(text):\n    return f'About {text}'\n"
    (tmp_path / "chain_of_functions.py").write_text("".join([*functions, last]))
    monkeypatch.syspath_prepend(tmp_path)
    chain = importlib.import_module("chain_of_functions")

    @workflow
    def flow(topic: str) -> str:
        return llm(chain.step_0(topic))

    with fake(lambda messages: messages[-1].content):
        assert flow("bees") == "About bees"
