"""What is a secret, and what holds one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import pytest
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from orchestrator.dsl.types.secret import holds_secret, is_secret

T = TypeVar("T")


class Key(SecretStr):
    """The user's own."""


class Account(BaseModel):
    key: SecretStr | None = None
    parent: Account | None = None


class Tree(BaseModel):
    children: list[Tree] = []


class Held(BaseModel, Generic[T]):
    it: T


@dataclass
class Point:
    x: int
    accounts: dict[str, Account]


class Pair(NamedTuple):
    a: int
    key: SecretBytes


class Fields(TypedDict):
    number: Secret[int]


class Unreadable(NamedTuple):
    it: Nowhere  # type: ignore[name-defined]  # noqa: F821


Token = NewType("Token", SecretStr)


@pytest.mark.parametrize("tp", [SecretStr, SecretBytes, Secret[int], Key, Token, Annotated[SecretStr, "x"]])
def test_secrets_are_pydantics(tp: Any) -> None:
    assert is_secret(tp)
    assert holds_secret(tp)


@pytest.mark.parametrize(
    "tp", [Account, Point, Pair, Fields, list[Account], SecretStr | None, tuple[int, Key], Held[SecretStr]]
)
def test_what_has_one_in_it_holds_one(tp: Any) -> None:
    assert not is_secret(tp)
    assert holds_secret(tp)


@pytest.mark.parametrize(
    "tp", [str, int, None, Any, Tree, list[Tree], tuple[int, ...], Literal["a"], Held[str], Held, Unreadable, T]
)
def test_others_hold_none(tp: Any) -> None:
    assert not holds_secret(tp)
