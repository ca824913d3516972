"""A store by its URL."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.base import NewRun
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.journal.stores.opened import open_store
from tests.runtime.journal.stores.keeping import created, log


@pytest.mark.parametrize("url", ["sqlite:///new/runs.db", "new/runs.db", "sqlite:///./new/runs.db"])
async def test_a_relative_path_is_in_the_working_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = await open_store(url)
    await created(store)
    await store.close()
    assert store.url == f"sqlite:///{tmp_path}/new/runs.db"
    again = await open_store(store.url)
    assert await log(again) == [b"first"]
    await again.close()


async def test_runs_are_in_a_hidden_folder_where_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await (await open_store()).close()
    assert (tmp_path / ".orch" / "runs.db").is_file()


async def test_a_path_may_have_any_name(tmp_path: Path) -> None:
    file = tmp_path / "a b%20?#ü" / "runs:x.db"
    store = await open_store(str(file))
    await created(store)
    await store.close()
    assert file.is_file()
    by_url = await open_store(store.url)
    assert await log(by_url) == [b"first"]
    await by_url.close()


async def test_nobody_else_may_read_runs(tmp_path: Path) -> None:
    file = tmp_path / "new" / "runs.db"
    store = await open_store(str(file))
    await store.create(NewRun("r", "w", "v"), b"secret")
    for path in (file, *file.parent.iterdir(), *file.parent.glob("*/*")):
        allowed = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == allowed, path
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    await store.close()


async def test_memory_is_of_its_own() -> None:
    store = await open_store("memory:")
    assert isinstance(store, MemoryStore)
    assert store.url == "memory:"


@pytest.mark.parametrize(
    "url", ["", "sqlite:", "sqlite:///", "sqlite://runs.db", "mysql://u:hush@host/db", "memory:x", "postgresql:x"]
)
async def test_what_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(JournalError, match="names no store of runs") as caught:
        await open_store(url)
    assert caught.value.code == "ORCH-R093"
    assert "postgresql://" in str(caught.value)
    assert "hush" not in str(caught.value)


async def test_a_store_needs_what_its_driver_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orchestrator.runtime.journal.stores.postgresql.store", None)
    with pytest.raises(JournalError, match=r"orchestrator\[postgresql\]") as caught:
        await open_store("postgresql://me:hush@host/runs")
    assert caught.value.code == "ORCH-R093"
    assert "hush" not in str(caught.value)


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be opened") as caught:
        await open_store(str(tmp_path / "file" / "runs.db"))
    assert caught.value.code == "ORCH-R093"


@pytest.mark.parametrize("may_make", [True, False])
async def test_nothing_is_made_beside_what_is_no_file(tmp_path: Path, may_make: bool) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(JournalError, match=r"it is no file|no store"):
            await open_store(str(tmp_path / name), may_make=may_make)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder", "pipe"]


@pytest.mark.parametrize("content", [b"a text", b"SQLite format 3\0" + bytes(84), b"x" * 10000])
async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(JournalError) as caught:
        await open_store(str(file))
    assert caught.value.code == "ORCH-R094"
    assert file.read_bytes() == content


async def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "theirs.db"
    theirs = sqlite3.connect(file)
    theirs.execute("CREATE TABLE runs(id)")
    theirs.close()
    before = file.read_bytes()
    with pytest.raises(JournalError, match="something else") as caught:
        await open_store(str(file))
    assert caught.value.code == "ORCH-R094"
    assert file.read_bytes() == before


async def test_an_empty_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "runs.db").touch()
    store = await open_store(str(tmp_path / "runs.db"))
    await created(store)
    await store.close()


async def test_a_database_that_does_not_answer_is_a_coded_error_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]
        with pytest.raises(JournalError, match=rf"127.0.0.1:{port}/runs cannot be opened: .*refused") as caught:
            await open_store(f"postgresql://ada:secret@127.0.0.1:{port}/runs")
    assert caught.value.code == "ORCH-R093"
    assert "secret" not in str(caught.value)
