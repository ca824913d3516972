"""A journal has the names of secrets: what they are is asked of whoever executes the run."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter

from orchestrator.errors import RunError
from orchestrator.runtime.inputs import checked_inputs
from orchestrator.runtime.journal.lines.secrets import (
    MissingSecretError,
    given,
    named,
    sealed,
    unsealed,
    variable_of,
)
from orchestrator.runtime.journal.lines.stored import decode, encode, loads, why_not
from orchestrator.runtime.journal.values.tree import NotKeptError

HUSH = "hush-sk-1234567890"


class Account(BaseModel):
    user: str
    key: SecretStr
    pins: list[Secret[int]] = []


@dataclass(frozen=True)
class Frozen:
    key: SecretBytes
    n: int = 1


class Pair(NamedTuple):
    n: int
    key: SecretStr


def again(tp: Any, value: Any) -> Any:
    """The value after a restart, and a look at what was written meanwhile."""
    text = encode(tp, value, None)
    assert HUSH not in text
    return decode(tp, loads(text), None)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("ORCH_SECRET_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("tp", "value", "variable", "read"),
    [
        (SecretStr, SecretStr(HUSH), "ORCH_SECRET_IN", lambda v: v),
        (Account, Account(user="u", key=HUSH), "ORCH_SECRET_IN_KEY", lambda v: v.key),
        (Frozen, Frozen(SecretBytes(HUSH.encode())), "ORCH_SECRET_IN_KEY", lambda v: v.key),
        (Pair, Pair(1, SecretStr(HUSH)), "ORCH_SECRET_IN_1", lambda v: v.key),
        (dict[str, SecretStr], {"a b": SecretStr(HUSH)}, "ORCH_SECRET_IN_A_B", lambda v: v["a b"]),
        (list[Account | None], [None, Account(user="u", key=HUSH)], "ORCH_SECRET_IN_1_KEY", lambda v: v[1].key),
        (Secret[str], Secret[str](HUSH), "ORCH_SECRET_IN", lambda v: v),
        (tuple[SecretStr, int], (SecretStr(HUSH), 1), "ORCH_SECRET_IN_0", lambda v: v[0]),
    ],
)
def test_an_input_of_a_resumed_run_is_asked_of_the_environment(
    tp: Any, value: Any, variable: str, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why_not(tp) is None
    (known,) = checked_inputs({"in": tp}, {"in": value})
    assert known == value
    assert type(known) is type(value) or isinstance(known, type(value))
    resumed = again(tp, known)
    with pytest.raises(MissingSecretError, match="is not to be had in this process") as caught:
        read(resumed).get_secret_value()
    assert caught.value.code == "ORCH-R092"
    assert f"set {variable} in the environment" in str(caught.value)
    monkeypatch.setenv(variable, HUSH)
    assert resumed == value
    assert again(tp, resumed) == value, "it may be interrupted again"


def test_what_is_given_to_whoever_resumes_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_SECRET_ACCOUNT_KEY", "of the environment")
    key = unsealed(["SecretStr", "account.key", "str"])
    with given({"account.key": SecretStr(HUSH)}):
        assert key.get_secret_value() == HUSH
        with given({"account.key": "text"}):
            assert key.get_secret_value() == "text"
        with (
            given({"account.key": 3}),
            pytest.raises(MissingSecretError, match=r"as the secret `account\.key` is no str"),
        ):
            key.get_secret_value()
    assert key.get_secret_value() == "of the environment"


@pytest.mark.parametrize(
    ("value", "text"), [(Secret[int](7), "7"), (Secret[float](1.5), "1.5"), (Secret[bool](True), "true")]
)
def test_numbers_are_in_the_environment_as_json(value: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resumed = unsealed(sealed(named(value, "pin")))
    monkeypatch.setenv("ORCH_SECRET_PIN", "hush no number")
    with pytest.raises(MissingSecretError, match="ORCH_SECRET_PIN holds no") as caught:
        resumed.get_secret_value()
    assert "hush" not in str(caught.value)
    monkeypatch.setenv("ORCH_SECRET_PIN", text)
    assert resumed.get_secret_value() == value.get_secret_value()


def test_what_no_environment_can_hold_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    resumed = unsealed(sealed(named(Secret[list[int]]([1]), "pins")))
    monkeypatch.setenv("ORCH_SECRET_PINS", "[1]")
    with pytest.raises(MissingSecretError) as caught:
        resumed.get_secret_value()
    assert "set ORCH" not in str(caught.value)
    with given({"pins": [1]}):
        assert resumed.get_secret_value() == [1]


def test_a_secret_without_a_name_is_not_written() -> None:
    for value in (SecretStr(HUSH), [Account(user="u", key=HUSH)], {"a": Secret[int](1)}):
        with pytest.raises(NotKeptError, match="a secret that is no input of the run") as caught:
            encode(Any, value, None)
        assert HUSH not in str(caught.value)


@pytest.mark.parametrize("value", [SecretStr(HUSH), SecretBytes(HUSH.encode()), Secret[str](HUSH)])
def test_one_that_has_a_name_is_like_any_other(value: Any) -> None:
    one = named(value, "key")
    assert isinstance(one, type(value))
    assert one == value
    assert value == one
    assert hash(one) == hash(value)
    assert one != named(type(value)(type(value.get_secret_value())()), "key")
    assert one != HUSH
    assert (repr(one), str(one), f"{one}") == (repr(value), str(value), f"{value}")
    for copied in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert copied == value
        assert sealed(copied) == sealed(one)


def test_it_is_shown_without_being_looked_up() -> None:
    resumed = unsealed(["SecretStr", "key", "str"])
    assert repr(Account(user="u", key=resumed)) == "Account(user='u', key=SecretStr('**********'), pins=[])"


def test_pydantic_takes_it_as_it_is_and_dumps_it_hidden() -> None:
    one = named(SecretStr(HUSH), "key")
    made = Account(user="u", key=one, pins=[named(Secret[int](1), "pin")])
    assert made.key is one
    assert HUSH not in made.model_dump_json()
    assert TypeAdapter(Account).validate_python(made, strict=True) == made


def test_another_process_gets_what_this_one_was_given() -> None:
    with given({"key": HUSH}):
        sent = pickle.dumps(unsealed(["SecretStr", "key", "str"]))
    assert pickle.loads(sent).get_secret_value() == HUSH
    unknown = pickle.loads(pickle.dumps(unsealed(["SecretStr", "key", "str"])))
    with pytest.raises(MissingSecretError):
        unknown.get_secret_value()


def test_a_copy_is_made_of_what_holds_a_secret_and_of_nothing_else() -> None:
    account, plain = Account(user="u", key=HUSH), {"a": [1]}
    given_ = {"account": account, "plain": plain}
    made = named(given_, "in")
    assert made["plain"] is plain
    assert made["account"] is not account
    assert type(account.key) is SecretStr, "the caller's own object is as it was"
    assert named(plain, "in") is plain


HOSTILE: list[Any] = [
    None, 7, "key", [], ["SecretStr"], ["SecretStr", 1, "str"],
    ["SecretStr", None, "str"], ["str", "key", "str"], ["SecretStr", "key", None],
    ["SecretStr", "key", "str", 1], {"a": 1, "b": 2, "c": 3}, [["x"], "key", "str"],
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE)
def test_what_is_no_secret_is_refused(data: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        unsealed(data)


@drawn(st.text())
def test_no_name_in_a_log_leads_to_another_variable(name: str) -> None:
    variable = variable_of(name)
    assert variable.startswith("ORCH_SECRET_")
    assert "=" not in variable
    assert "\0" not in variable


def test_a_tampered_log_does_not_get_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", HUSH)
    for name in ("AWS_SECRET_ACCESS_KEY", "../AWS_SECRET_ACCESS_KEY", ""):
        with pytest.raises(MissingSecretError):
            unsealed(["SecretStr", name, "str"]).get_secret_value()


@pytest.mark.parametrize("held", ["str", "bytes", "int", "", "os", "__import__"])
def test_any_class_that_a_log_names_is_one_of_five(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_SECRET_KEY", "text")
    resumed = unsealed(["Secret", "key", held])
    if held in ("str", "bytes"):
        assert len(resumed.get_secret_value()) == 4
    else:
        with pytest.raises(MissingSecretError):
            resumed.get_secret_value()


RESUMES = """
import sys
from pydantic import SecretStr
from orchestrator.runtime.journal.lines.stored import decode, loads
print(decode(SecretStr, loads(sys.argv[1]), None).get_secret_value())
"""


def test_a_new_process_reads_it_from_its_own_environment(tmp_path: Path) -> None:
    (key,) = checked_inputs({"key": SecretStr}, {"key": HUSH})
    environment: Mapping[str, str] = {**os.environ, "ORCH_SECRET_KEY": "rotated since"}
    process = subprocess.run(
        [sys.executable, "-c", RESUMES, encode(SecretStr, key, None)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert process.stdout == "rotated since\n"


@pytest.mark.parametrize(
    "keys",
    [
        {"a.b": SecretStr("hush-1"), "a": {"b": SecretStr("hush-2")}},
        {"a_b": SecretStr("hush-1"), "a": {"b": SecretStr("hush-2")}},
        {"key": SecretStr("hush-1"), "KEY": SecretStr("hush-2")},
    ],
    ids=["name", "variable", "case"],
)
def test_secrets_that_an_environment_could_not_tell_apart_are_refused(keys: dict[str, Any]) -> None:
    params = {"keys": dict[str, SecretStr | dict[str, SecretStr]]}
    with pytest.raises(RunError, match="are not the same secret") as caught:
        checked_inputs(params, {"keys": keys})
    assert "hush" not in str(caught.value)


def test_one_secret_may_stand_in_several_places() -> None:
    params = {"account": Account, "account_key": SecretStr}
    checked_inputs(params, {"account": Account(user="u", key=SecretStr("hush-1")), "account_key": SecretStr("hush-1")})
