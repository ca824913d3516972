"""Questions to a human: answered ahead, at a terminal, or not at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from orchestrator import ask, loop, map_, workflow
from orchestrator.cli.human import CASE, Terminal, human_for
from orchestrator.cli.keyboard import Keyboard
from orchestrator.cli.screen import Screen
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError, UsageError
from orchestrator.running.questions import questions_of
from orchestrator.runtime.human import Answers, accepted


class Order(BaseModel):
    size: int


@workflow
def visits(names: list[str]) -> list[int]:
    return map_(lambda name: ask(f"How old is {name}?", returns=int, name="age"), names, limit=9)


@workflow
def haggle(offer: int) -> int:
    return loop(lambda price: ask(f"{price}?", returns=int, name="price"), offer, max=3)


@workflow
def buy(note: str) -> Order:
    return ask(f"Order {note}?", returns=Order, name="order")


@workflow
def pick(note: str) -> int:
    return ask(f"Which {note}?", choices=["1", "2"], returns=int, name="which")


Ask = Callable[[str], Coroutine[Any, Any, object]]


def typing_in(*pieces: bytes, ends: bool = True) -> tuple[Terminal, int]:
    """A terminal at which that was typed, and where more of it can be."""
    reading, writing = os.pipe()
    for piece in pieces:
        os.write(writing, piece)
    if ends:
        os.close(writing)
    return Terminal(nullcontext, Keyboard(reading)), writing


def answer(terminal: Terminal, type_: Any = str, choices: tuple[str, ...] | None = None) -> object:
    return asyncio.run(terminal.ask("turns[1]/go", "Go on?", type_, choices))


def test_a_wrong_answer_is_asked_again_with_the_reason(capfd: pytest.CaptureFixture[str]) -> None:
    terminal, _ = typing_in(b"perhaps\n", b" yes \n")
    assert answer(terminal, choices=("yes", "no")) == "yes"
    err = capfd.readouterr().err
    assert "turns[1]/go  Go on?" in err
    assert err.count("(yes / no)") == 2
    assert "the choices are yes, no" in err


@pytest.mark.parametrize(
    ("type_", "typed", "value"),
    [
        (int, b"twelve\n12\n", 12),
        (list[str], b'["a", "b"]\n', ["a", "b"]),
        (bool, b"yes\n", True),
        (list[Decimal], b"[12345678901234567890.12]\n", [Decimal("12345678901234567890.12")]),
        (list[int], b"9" * 5000 + b"\n[1]\n", [1]),
        (list[int], b"[" * 50_000 + b"\n[1]\n", [1]),
        (Order, b'{"size": "large"}\n{"size": 3}\n', Order(size=3)),
        (Literal["über", "unter"], b"uber\n\xc3\xbcber\r\n", "über"),
        (str, "käse; rm -rf\n".encode(), "käse; rm -rf"),
        (str, b"the last line has no end", "the last line has no end"),
    ],
)
def test_any_type_can_be_typed(type_: Any, typed: bytes, value: object) -> None:
    assert accepted("go", answer(typing_in(typed)[0], type_), type_, None) == value


def test_beside_a_typed_decimal_other_numbers_are_floats() -> None:
    type_ = dict[str, Decimal | list[Any]]
    given = accepted("go", answer(typing_in(b'{"a": 1.50, "b": [1e2]}\n')[0], type_), type_, None)
    assert isinstance(given, dict)
    assert (str(given["a"]), f"{given['b'][0]}") == ("1.50", "100.0")


def test_the_end_of_the_input_is_a_coded_error_and_no_answer() -> None:
    with pytest.raises(RunError) as caught:
        answer(typing_in(b"neither\n")[0], int)
    assert caught.value.code == "ORCH-R030"
    assert "--answer go=" in (caught.value.diagnostics[0].fix or "")


def test_questions_wait_for_each_other_and_lines_typed_ahead_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    terminal, _ = typing_in(b"3\n4\n")
    open_at_once: list[int] = []
    now = 0

    @contextmanager
    def alone() -> Iterator[None]:
        nonlocal now
        now += 1
        open_at_once.append(now)
        yield
        now -= 1

    terminal._terminal = alone

    async def both() -> list[object]:
        async def one(name: str) -> object:
            CASE.set(name)
            return await terminal.ask("age", "How old?", int, None)

        return list(await asyncio.gather(one("in.jsonl:1"), one("in.jsonl:2")))

    assert asyncio.run(both()) == [3, 4]
    assert open_at_once == [1, 1]
    err = capfd.readouterr().err
    assert err.index("in.jsonl:1 age") < err.index("in.jsonl:2 age")


def test_a_question_that_is_cancelled_leaves_the_next_line_to_the_next() -> None:
    terminal, writing = typing_in(ends=False)

    async def asked() -> object:
        first = asyncio.ensure_future(terminal.ask("first", "?", str, None))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.wait([first])
        os.write(writing, b"for the second\n")
        return await terminal.ask("second", "?", str, None)

    assert asyncio.run(asked()) == "for the second"


def test_a_question_can_not_move_the_cursor(capfd: pytest.CaptureFixture[str]) -> None:
    terminal, _ = typing_in(b"\n")
    asyncio.run(terminal.ask("go", "\x1b[2J[bold]Really[/nope]\x07?", str, None))
    assert "[2J[bold]Really[/nope]?" in capfd.readouterr().err.replace("\x1b[0m", "").replace("\x1b[1m", "")


def test_nothing_is_written_while_a_question_is_open(capfd: pytest.CaptureFixture[str]) -> None:
    screen = Screen(live=False)
    screen.piece("reply", "llm_1", "half a")
    with screen.question():
        screen.line("started something")
        screen.piece("reply", "llm_1", " reply")
        assert capfd.readouterr().err == "llm_1: half a\n"
    screen.close()
    assert capfd.readouterr().err == "started something\nllm_1:  reply\n"


def human(flow: Any, *answers: str) -> Answers:
    found = human_for(compile_workflow(flow).program, answers, nullcontext)
    assert isinstance(found, Answers)
    return found


@pytest.mark.parametrize(
    ("flow", "given", "asked", "value"),
    [
        (visits, "age=3", "map_1[7]/age", 3),
        (visits, "map_1/age=3", "map_1[7]/age", 3),
        (haggle, "loop_1/price=3", "loop_1#2[0]/price", 3),
        (buy, 'order={"size": 2}', "order", {"size": 2}),
        (pick, "which=2", "which", "2"),
    ],
)
def test_an_answer_given_ahead_is_found_by_name_region_or_execution(
    flow: Any, given: str, asked: str, value: object
) -> None:
    assert asyncio.run(human(flow, given).ask(asked, "?", object, None)) == value


def test_one_execution_can_be_answered_and_the_others_otherwise() -> None:
    answers = human(visits, "map_1[0]/age=1", "age=2")
    found = [asyncio.run(answers.ask(f"map_1[{n}]/age", "?", int, None)) for n in (0, 1)]
    assert found == [1, 2]


@pytest.mark.parametrize(
    ("flow", "given", "said"),
    [
        (visits, ["aeg=3"], "did you mean `age`?"),
        (visits, ["map_2/age=3"], "`map_2/age`"),
        (visits, ["age=old"], "valid integer"),
        (pick, ["which=3"], "the choices are 1, 2"),
        (buy, ["order={}"], "size"),
        (buy, ["order"], "no `=`"),
    ],
)
def test_a_wrong_answer_is_refused_before_anything_runs(flow: Any, given: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        human(flow, *given)
    assert caught.value.code == "ORCH-U012"
    assert said in str(caught.value)


def test_questions_are_named_with_their_region() -> None:
    assert [each.id for each in questions_of(compile_workflow(visits).program)] == ["map_1/age"]
