"""A secret goes into the tool that needs it, and nowhere where somebody could read it."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, SecretStr

from orchestrator import ask, chat, llm, map_, tool, workflow
from orchestrator.dsl.models.messages import user
from orchestrator.errors import TraceError
from tests.dsl.diagnosing import diagnose
from tests.dsl.recording import record


class Account(BaseModel):
    name: str
    key: SecretStr


@tool(effects="reads")
def fetch(key: SecretStr, url: str) -> str:
    return url


@tool(effects="reads")
def login(name: str) -> Account:
    return Account(name=name, key=SecretStr("x"))


@tool(effects="once")
def rotate(name: str) -> SecretStr:
    return SecretStr(name)


def test_a_tool_takes_a_secret_by_itself_out_of_a_model_and_from_another_tool() -> None:
    @workflow
    def flow(key: SecretStr, account: Account, urls: list[str]) -> list[str]:
        each = map_(lambda url: fetch(account.key, url), urls, limit=3)
        return [fetch(key, account.name), fetch(login("me").key, "x"), *[llm(f"{text}") for text in each[:1]]]

    record(flow)


def test_a_secret_is_no_part_of_a_text() -> None:
    def flow(key: SecretStr, account: Account, keys: list[SecretStr]) -> str:
        llm(f"the key is {key}")  # D060
        llm(f"who is {account}?")  # D060
        chat(system=f"{keys}")  # D060
        ask(f"{keys[0]}?")  # D060
        llm(messages=[user(f"{key}")])  # D060
        return fetch(key, f"https://example.com/{account.key}")  # D060

    found = diagnose(flow)
    assert [error.message for error in found] == [
        "the secret `key` in a text",
        "`account`, which holds a secret, in a text",
        "`keys`, which holds a secret, in a text",
        "the secret `keys.0` in a text",
        "the secret `key` in a text",
        "the secret `account.key` in a text",
    ]
    assert all("get_secret_value() inside" in (error.fix or "") for error in found)


def test_what_a_secret_says_is_read_in_a_tool() -> None:
    def flow(key: SecretStr) -> str:
        return llm("x" + key.get_secret_value())  # D060

    (error,) = diagnose(flow)
    assert error.message == "`.get_secret_value` of the secret `key` in a workflow"
    assert error.fix == "pass `key` itself to the tool that needs it, and call get_secret_value() there"


def test_neither_a_model_nor_a_person_gives_a_secret() -> None:
    def flow() -> Account:
        llm("make one up", returns=SecretStr)  # D060
        ask("the key?", returns=SecretStr)  # D060
        return llm("make one up", returns=Account)  # D060

    assert [error.message for error in diagnose(flow)] == [
        "SecretStr as a model's reply",
        "SecretStr as a person's answer",
        "Account as a model's reply",
    ]


def test_what_runs_at_most_once_gives_no_secret() -> None:
    def flow() -> str:
        return fetch(rotate("me"), "x")  # D060

    (error,) = diagnose(flow)
    assert error.message == "SecretStr as the result of `rotate`, which must run at most once"


def test_a_constant_is_no_secret_and_the_error_does_not_tell_it() -> None:
    @workflow
    def flow() -> str:
        return fetch(SecretStr("hush-hush"), login("x").name) + fetch(Account(name="a", key="hush-hush").key, "x")

    with pytest.raises(TraceError) as caught:
        record(flow)
    assert "ORCH-D013" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_model_does_not_give_the_secrets_of_its_tools() -> None:
    def missing() -> str:
        return llm("go", tools=[fetch]).text  # D041

    @workflow
    def given(key: SecretStr) -> str:
        return llm("go", tools=[fetch], deps={"key": key}).text

    with pytest.raises(TraceError, match="nobody gives `key` of tool `fetch`") as caught:
        record(workflow(missing))
    assert "it is a secret, which no model sees" in str(caught.value)
    assert "password" not in record(given)


def test_a_model_is_not_told_a_secret_by_its_tools() -> None:
    @workflow
    def flow() -> str:
        return llm("go", tools=[login]).text

    with pytest.raises(TraceError, match="Account as the result of tool `login`, which a model reads") as caught:
        record(flow)
    assert caught.value.code == "ORCH-D060"
