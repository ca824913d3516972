"""Secrets are given by the environment or a file as well, and no output shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from orchestrator.cli.inputs import Parameter, from_command_line, from_file
from orchestrator.errors import UsageError
from tests.cli.conftest import Orch

HUSH = "12345678"
KEY = Parameter("api-key", SecretStr)
QUESTION = Parameter("question", str)

FLOW = """
from pydantic import BaseModel, SecretStr
from orchestrator import tool, workflow

class Held(BaseModel):
    key: SecretStr
    note: str

@tool(effects="reads")
def use(key: SecretStr, fail: bool) -> int:
    if fail:
        raise ValueError(f"{key.get_secret_value()} is not valid")
    return len(key.get_secret_value())

@workflow
def flow(question: str, key: SecretStr, fail: bool = False) -> tuple[int, SecretStr, str]:
    return use(key, fail), key, question
"""


class Account(BaseModel):
    key: SecretStr
    n: int


def test_a_secret_is_text_as_it_stands_there() -> None:
    given = from_command_line([KEY, Parameter("maybe", SecretStr | None)], [f"api-key={HUSH}", f"maybe={HUSH}"], [])
    assert given == {"api-key": SecretStr(HUSH), "maybe": SecretStr(HUSH)}


def test_it_may_stand_in_a_file_that_ends_with_a_newline(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f" {HUSH}\r\n")
    assert from_command_line([KEY], [f"api-key=@{tmp_path / 'key'}"], []) == {"api-key": SecretStr(f" {HUSH}")}


@pytest.mark.parametrize(
    ("tp", "value"),
    [(SecretStr, SecretStr(HUSH)), (SecretBytes, SecretBytes(HUSH.encode())), (Secret[int], Secret[int](int(HUSH)))],
)
def test_one_that_is_not_given_is_the_environments(
    tp: type, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_SECRET_API_KEY", HUSH)
    for required in (True, False):
        parameters = [QUESTION, Parameter("api-key", tp, required)]
        assert from_command_line(parameters, [], ["how", "many?"]) == {"question": "how many?", "api-key": value}
    (tmp_path / "inputs").write_text('{"question": "a"}\n{"question": "b", "api-key": 7}\n')
    if tp is Secret[int]:
        lines = from_file([QUESTION, Parameter("api-key", tp)], tmp_path / "inputs")
        assert [each["api-key"] for each in lines.values()] == [value, Secret[int](7)]


def test_no_other_input_comes_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_SECRET_QUESTION", HUSH)
    with pytest.raises(UsageError, match="`question: str` is missing"):
        from_command_line([QUESTION], [], [])


def test_a_missing_one_names_its_variable() -> None:
    with pytest.raises(UsageError, match="set ORCH_SECRET_API_KEY, or write --input api-key=…"):
        from_command_line([KEY], [], [])


def test_what_does_not_fit_is_not_shown() -> None:
    with pytest.raises(UsageError, match="does not fit `Account`") as caught:
        from_command_line([Parameter("account", Account)], [f'account={{"key": "{HUSH}"}}'], [])
    assert HUSH not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        from_command_line([Parameter("pin", Secret[int])], [f"pin={HUSH}x"], [])
    assert HUSH not in str(caught.value)


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "secretive.py").write_text(FLOW)
    monkeypatch.setenv("ORCH_SECRET_KEY", HUSH)
    return str(tmp_path / "secretive.py")


@pytest.mark.parametrize("options", [[], ["--json"], ["--debug"]])
def test_neither_a_result_nor_a_failure_shows_one(orch: Orch, flow: str, options: list[str]) -> None:
    done = orch("run", flow, "why?", *options)
    assert done.code == 0, done.err
    assert "**********" in done.out
    failed = orch("run", flow, "why?", "-i", "fail=true", *options)
    assert failed.code == 1
    assert "*** is not valid" in failed.err + failed.out
    assert HUSH not in done.out + done.err + failed.out + failed.err


def test_the_help_names_the_variable(orch: Orch, flow: str) -> None:
    assert "ORCH_SECRET_KEY" in orch("run", flow, "--help").out
