"""Runs of a session in a store."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import Session, arun, run, stream, tool, workflow
from orchestrator.errors import JournalError, RunError
from orchestrator.runtime.journal.stores.base import Head
from orchestrator.runtime.journal.stores.opened import DEFAULT_URL, open_store

_calls: list[str] = []


@tool(effects="idempotent")
def noted(text: str) -> str:
    """It notes that it was called."""
    _calls.append(text)
    return f"{text}!"


@workflow
def note(text: str) -> str:
    """Notes a text."""
    return noted(text)


@pytest.fixture(autouse=True)
def _nothing_called() -> Iterator[None]:
    _calls.clear()
    yield


def heads(url: str) -> list[Head]:
    async def found() -> list[Head]:
        store = await open_store(url)
        try:
            return list(await store.heads())
        finally:
            await store.close()

    return asyncio.run(found())


def test_a_run_is_kept_where_store_says(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    assert run(note, "a", store=path, run_id="r1").value == "a!"
    (head,) = heads(str(path))
    assert (head.run_id, head.workflow, head.status) == ("r1", "note", "done")


def test_a_second_run_with_the_same_key_is_the_first_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    first = run(note, "a", store=url, key="order-7")
    again = run(note, "a", store=url, key="order-7")
    assert (again.value, again.run_id) == (first.value, first.run_id)
    assert _calls == ["a"]
    with stream(note, "a", store=url, key="order-7") as events:
        list(events)
    assert events.result.run_id == first.run_id
    assert asyncio.run(arun(note, "a", store=url, key="order-7")).run_id == first.run_id
    assert _calls == ["a"]


def test_a_session_opens_its_store_once_for_all_its_runs(tmp_path: Path) -> None:
    async def several(session: Session) -> list[str]:
        return [each.value for each in await asyncio.gather(*(session.arun(note, text) for text in "abc"))]

    with Session(store=tmp_path / "runs.db") as session:
        assert asyncio.run(several(session)) == ["a!", "b!", "c!"]
    assert {each.status for each in heads(str(tmp_path / "runs.db"))} == {"done"}


def test_a_store_that_cannot_be_opened_is_the_failure_of_the_run_and_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Session(store=tmp_path / "file" / "runs.db") as session:
        with pytest.raises(JournalError) as caught:
            session.run(note, "a")
        assert caught.value.code == "ORCH-R093"
        (tmp_path / "file").unlink()
        assert session.run(note, "a").value == "a!"


def test_a_key_is_a_text() -> None:
    with pytest.raises(RunError) as caught:
        run(note, "a", key=7)  # type: ignore[arg-type]
    assert caught.value.code == "ORCH-R074"


def test_the_folder_of_the_default_store_is_its_owner_s_and_in_no_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(note, "a", store=DEFAULT_URL)
    folder = tmp_path / ".orch"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    (folder / ".gitignore").write_text("runs.db\n")
    run(note, "a", store=DEFAULT_URL)
    assert (folder / ".gitignore").read_text() == "runs.db\n"


@tool(effects="reads")
def large(n: int) -> str:
    return "x" * n


@workflow
def reading(n: int) -> int:
    return len(large(n))


def test_large_values_are_beside_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_ARTIFACTS", raising=False)
    assert run(reading, 200_000, store=tmp_path / "mine.db").value == 200_000
    (kept,) = (each for each in (tmp_path / "mine.db.artifacts").rglob("*") if each.is_file())
    assert kept.stat().st_size > 200_000
