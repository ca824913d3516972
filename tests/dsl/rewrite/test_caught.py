# ruff: noqa: BLE001 - programs as people write them
"""A handler sees of an exception what Python would show it, or is refused: its text, its ``repr``, its class's name."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Error, workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import noting, same, say

TEXTS = ["", "a", "no", "key", "file", "odd!", "made", "bare"]


class NoSuchPageError(Exception):
    """Its arguments are not its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class OddError(ValueError):
    """It writes itself."""

    def __repr__(self) -> str:
        return f"<odd {self}>"


class MadeError(Exception):
    """It makes its own text."""

    def __init__(self) -> None:
        super().__init__("made by itself")


def _look(text: str) -> str:
    match text:
        case "no":
            raise ValueError("a", 3)
        case "key":
            raise KeyError("key")
        case "file":
            raise OSError(2, "no such file")
        case "odd!":
            raise OddError("quite")
        case "made":
            raise MadeError
        case "bare":
            raise ValueError
        case "":
            raise NoSuchPageError(404, "no such page")
    return text.upper()


def _even(text: str) -> bool:
    return len(text) % 2 == 0


def _size(text: str) -> int:
    return len(text)


look, even, size = noting(_look), noting(_even, effects="pure"), noting(_size, effects="pure")


def of_a_tool(text: str) -> str:
    try:
        return look(text)
    except Exception as error:
        return f"{error} | {error!r} | {type(error).__name__} | {error.__class__.__name__}"


def in_a_prompt(text: str) -> str:
    try:
        return look(text)
    except Exception as error:
        return say(f"What went wrong? {error!r}")


def in_a_list(text: str) -> str:
    errors = []
    try:
        look(text)
    except Exception as error:
        errors.append(error)
    return repr(errors)


def kept(text: str) -> str:
    failure = None
    try:
        look(text)
    except Exception as error:
        failure = error
    return repr(failure)


def raised_again(text: str) -> str:
    try:
        try:
            return look(text)
        except KeyError:
            raise
        except Exception as error:
            raise RuntimeError(f"bad {error!r}") from error
    except Exception as error:
        return f"{error!r}, {error}"


def of_the_workflow(text: str) -> str:
    try:
        if even(text):
            raise MadeError
        raise ValueError("of several", size(text))
    except Exception as error:
        return f"{error!r}, {error}"


def of_a_text(text: str) -> str:
    try:
        if even(text):
            raise ValueError(text)  # which may be empty
        raise KeyError(text)
    except Exception as error:
        return f"{error!r}, {error}"


def of_a_number(text: str) -> str:
    try:
        if even(text):
            raise ValueError("")
        raise KeyError(size(text))
    except Exception as error:
        return f"{error!r}, {error}"


def of_an_operator(text: str) -> str:
    try:
        return str({"a": 1}[text])
    except KeyError as error:
        return f"{error!r}, {error}"


def that_writes_itself(text: str) -> str:
    try:
        if even(text):
            raise OddError(f"quite {text}")
        return text
    except OddError as error:
        return f"{error!r}, {error}"


PROGRAMS = [
    of_a_tool, in_a_prompt, in_a_list, kept, raised_again, of_the_workflow, of_a_text, of_a_number, of_an_operator,
    that_writes_itself,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
@pytest.mark.parametrize("text", TEXTS)
def test_what_is_seen_of_an_exception_is_what_python_shows(program: Any, text: str) -> None:
    same(program, text)


def with_its_own_code(text: str) -> str:
    try:
        return look(text)
    except NoSuchPageError as error:
        return f"{error.code}"


def with_its_arguments(text: str) -> str:
    try:
        return look(text)
    except Exception as error:
        return f"{error.args[0]}"


def with_its_documentation(text: str) -> str:
    try:
        return look(text)
    except Exception as error:
        return f"{error.__doc__}"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (with_its_own_code, "NoSuchPageError has a `code` of its own"),
        (with_its_arguments, "Error has no field `args`"),
        (with_its_documentation, "`.__doc__` of Error"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_is_not_recorded_of_an_exception_is_refused(program: Any, said: str) -> None:
    with pytest.raises(TraceError, match="ORCH-D011") as raised:
        workflow(program).trace()
    assert said in str(raised.value)
    assert raised.value.diagnostics[0].where is not None
    assert raised.value.diagnostics[0].fix is not None


def test_a_value_has_none_of_the_placeholders_attributes() -> None:
    @workflow
    def asks(text: str) -> str:
        return look(text).__doc__ or ""

    with pytest.raises(TraceError, match=r"`\.__doc__` of str"):
        asks.trace()


def test_a_failure_that_is_no_exception_is_called_as_the_one_in_python_that_says_the_same() -> None:
    failure = Error("ORCH-R004", "too slow", "timeout", ("orchestrator.errors.RunError", "builtins.TimeoutError"))
    assert repr(failure) == "TimeoutError('too slow')"
    assert failure.class_name == "TimeoutError"
