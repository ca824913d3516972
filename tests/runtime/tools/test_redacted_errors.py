"""What a tool raises does not say the secrets that it was given, and is caught and repeated as if it did."""

from __future__ import annotations

import logging
import pickle
import traceback

import pytest
from pydantic import BaseModel, Field, HttpUrl, SecretBytes, SecretStr

from orchestrator import Retry, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError, qualified
from orchestrator.redaction import HIDDEN
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools.redacted_errors import secrets_among, without_secrets

HUSH = "hush/sk-123 456"


class Refused(Exception):
    """It has its text from elsewhere than its arguments."""

    def __init__(self, key: str, *, status: int) -> None:
        super().__init__("refused")
        self.key, self.status = key, status

    def __str__(self) -> str:
        return f"{self.status}: {self.key} is not valid"


class Account(BaseModel):
    key: SecretStr


class Page(BaseModel):
    url: HttpUrl
    n: int = Field(1, gt=0)


def invalid() -> Exception:
    with pytest.raises(ValueError) as caught:
        Page(url=f"no://{HUSH}", n=0)
    return caught.value


def texts(error: BaseException | None) -> str:
    """Everything that anybody could print of an exception."""
    shown = "".join(traceback.format_exception(error)) if error is not None else ""
    return shown + f"{error!s} {error!r} {getattr(error, 'diagnostics', '')} {getattr(error, 'raised', '')}"


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"bad key {HUSH}"),
        KeyError(HUSH),
        Refused(HUSH, status=401),
        OSError(2, f"no such key {HUSH}", f"/keys/{HUSH}"),
        invalid(),
        UnicodeDecodeError("utf-8", b"x", 0, 1, HUSH),
        ExceptionGroup("two", [ValueError(HUSH), Refused(HUSH, status=1)]),
        RunError("ORCH-R001", f"failed with {HUSH}", why=HUSH, fix=HUSH),
        ConnectionError(f"https://x/?key={HUSH.replace(' ', '%20')}"),
        SystemExit(HUSH),
        ValueError(HUSH.encode()),
    ],
    ids=lambda each: type(each).__name__,
)
def test_its_text_is_without_the_secret_and_its_class_is_what_it_was(error: BaseException) -> None:
    for secret in (
        SecretStr(HUSH),
        SecretBytes(HUSH.encode()),
        Account(key=SecretStr(HUSH)),
        {"a": [(SecretStr(HUSH),)]},
    ):
        told = without_secrets(error, [1, secret])
        assert "hush" not in texts(told)
        assert qualified(type(told)) == qualified(type(error))
        assert {qualified(each) for each in type(told).__mro__} >= {
            qualified(each) for each in type(error).__mro__ if each.__module__ != "pydantic_core._pydantic_core"
        }
        assert "hush" not in texts(pickle.loads(pickle.dumps(told)))


def test_what_says_none_is_itself() -> None:
    error = ValueError("bad key")
    assert without_secrets(error, [SecretStr(HUSH)]) is error
    assert without_secrets(Refused(HUSH, status=1), [HUSH, 1, None]).args == ("refused",)


def test_what_is_behind_it_says_none_either() -> None:
    try:
        try:
            raise Refused(HUSH, status=401)
        except Refused as inner:
            inner.add_note(f"of {HUSH}")
            raise ValueError("no page") from inner
    except ValueError as error:
        told = without_secrets(error, [SecretStr(HUSH)])
    assert "hush" not in texts(told)
    assert HIDDEN in texts(told.__cause__)


def test_a_circle_of_causes_ends() -> None:
    one, two = ValueError(HUSH), Refused(HUSH, status=1)
    one.__cause__, two.__cause__ = two, one
    told = without_secrets(one, [SecretStr(HUSH)])
    assert "hush" not in f"{told} {told.__cause__}"


def test_secrets_are_found_wherever_they_are() -> None:
    around: list[object] = [SecretStr("a")]
    around.append(around)
    assert sorted(map(str, secrets_among([around, {1: Account(key=SecretStr("b"))}, SecretBytes(b"c")]))) == [
        "a", "b", "b'c'"
    ]  # fmt: skip


tries: list[str] = []


@tool(effects="idempotent", retry=Retry(attempts=2, on=(Refused,), backoff_s=0.001))
async def fetch(account: Account) -> str:
    tries.append("fetch")
    raise Refused(account.key.get_secret_value(), status=401)


@tool(effects="reads")
def blocking(key: SecretStr) -> str:
    raise ValueError(f"{key.get_secret_value()} does not fit")


@workflow
def flow(key: SecretStr, account: Account) -> str:
    try:
        return fetch(account)
    except ValueError:
        return "never"


@workflow
def caught(key: SecretStr) -> str:
    try:
        return blocking(key)
    except ValueError as error:
        return f"{error} {error!r}"


async def test_a_run_that_fails_says_no_secret_to_anybody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tries.clear()
    async with Runner() as runtime:
        subscription = Subscription()
        with pytest.raises(RunError) as failed:
            await runtime.run(compile_workflow(flow), {"key": HUSH, "account": {"key": HUSH}}, observers=[subscription])
        result = await runtime.run(compile_workflow(caught), {"key": HUSH})
    seen = subscription.drain()
    assert len(tries) == 2, "it is repeated for its class"
    assert len(seen) > 3
    assert "hush" not in texts(failed.value) + repr(seen) + caplog.text + repr(result)
    assert "401: *** is not valid" in str(failed.value)
    assert result.value == "*** does not fit ValueError('*** does not fit')"
