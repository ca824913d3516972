"""What is read of a URL, and that no password is shown."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.postgresql.address import Address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgres://me@host:5433/db", "postgresql://me@host:5433/db"),
        ("postgresql://me:hush@host/db?schema=a", "postgresql://me@host/db?schema=a"),
        ("postgresql://me:p?hush@host/db", "postgresql://me@host/db"),
        ("postgresql://me:h%40ush@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?user=me&password=hush", "postgresql://me@host/db"),
        ("postgresql://me@host/db?sslmode=require&sslpassword=hush", "postgresql://me@host/db?sslmode=require"),
        ("postgresql:///db?host=/var/run/pg", "postgresql:///db?host=%2Fvar%2Frun%2Fpg"),
        ("postgresql://a:1,b:2/db", "postgresql:///db?host=a%2Cb&port=1%2C2"),
        ("postgresql://%C3%BCber@host/d%20b?schema=a%22%26b", "postgresql://%C3%BCber@host/d%20b?schema=a%22%26b"),
        ("postgresql://", "postgresql:///"),
    ],
)
def test_a_url_is_shown_without_passwords_and_means_the_same(url: str, shown: str) -> None:
    address = Address.of(url)
    again = Address.of(address.url)
    assert address.url == again.url == shown
    assert address.schema == again.schema
    assert "hush" not in repr(address)
    given, meant = conninfo_to_dict(address.conninfo), conninfo_to_dict(again.conninfo)
    secret = {"password", "sslpassword"}
    assert {name: value for name, value in given.items() if name not in secret} == meant
    assert ("ush" in url) == bool(secret & given.keys()), "libpq is given it"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///hush",
        "postgresql://me:hu%zzsh@host/db",
        "postgresql://me:hush/x@host/db",
        "postgresql://me:1/hush@host/db",
        "postgresql://me@hush@host/db",
        "postgresql://host/db?hush",
        "postgresql://host/db?unknown=hush",
        "postgresql://host/db?schema=",
        "postgresql://host/db?schema=a&schema=b",
        "postgresql://host/db?schema=a%00hush",
        "postgresql://[hush/db",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(JournalError) as raised:
        Address.of(url)
    assert raised.value.code == "ORCH-R110"
    assert "hush" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
