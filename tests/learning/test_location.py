"""Where a user's learning store is."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.learning.location import default_path


def test_the_users_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_LEARNED", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == tmp_path / "orchestrator" / "learned.db"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_path() == Path.home() / ".local" / "share" / "orchestrator" / "learned.db"


def test_another_file_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_LEARNED", str(tmp_path / "mine.db"))
    assert default_path() == tmp_path / "mine.db"
    for off in ("off", "OFF ", ""):
        monkeypatch.setenv("ORCH_LEARNED", off)
        assert default_path() is None
