"""What every place for artifacts does: it gives back what was put, or says what is lost."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RunError
from orchestrator.runtime.journal.artifacts import folder as folder_module
from orchestrator.runtime.journal.artifacts import remote as remote_module
from orchestrator.runtime.journal.artifacts.base import DAY_S, Artifacts, LostArtifactError, ended_before, name_of
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.artifacts.opening import artifacts_of, open_artifacts
from tests.runtime.journal.artifacts.places import PLACES, InPieces, opened, write

DATA = b"\x00large\xff" * 10_000
FOR_EVER = 1e11


@pytest.fixture(params=PLACES)
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    return opened(request.param, tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_796_052_000.0]
    for module in (folder_module, remote_module):
        monkeypatch.setattr(module, "time", lambda: now[0])
    return now


def test_what_is_put_comes_back_by_its_name_also_through_another_one(artifacts: Artifacts) -> None:
    name = artifacts.put(DATA)
    assert artifacts.get(name) == open_artifacts(artifacts.url).get(name) == DATA
    assert artifacts.get(artifacts.put(b"")) == b""


def test_a_name_is_the_day_and_the_digest_of_the_content(artifacts: Artifacts, clock: list[float]) -> None:
    clock[0] = 0.0
    assert artifacts.put(DATA) == f"19700101-{sha256(DATA).hexdigest()}"
    clock[0] = DAY_S - 0.001
    assert artifacts.put(DATA) == f"19700101-{sha256(DATA).hexdigest()}"
    clock[0] = DAY_S
    assert artifacts.put(DATA) == f"19700102-{sha256(DATA).hexdigest()}"
    assert len(list(artifacts.names(FOR_EVER))) == 2


def test_nothing_was_put_and_nothing_is_there(artifacts: Artifacts) -> None:
    assert list(artifacts.names(FOR_EVER)) == []
    assert artifacts.remove([name_of(DATA, 0.0)]) == 0


def test_names_are_those_of_days_that_are_over(artifacts: Artifacts, clock: list[float]) -> None:
    midnight = clock[0] // DAY_S * DAY_S
    first = artifacts.put(b"first")
    clock[0] = midnight + DAY_S
    artifacts.put(b"second")
    assert list(artifacts.names(midnight + DAY_S - 0.001)) == []
    assert list(artifacts.names(midnight + DAY_S)) == [first]
    assert len(list(artifacts.names(midnight + 2 * DAY_S))) == 2


def test_what_is_removed_is_lost_and_the_rest_is_not(artifacts: Artifacts) -> None:
    gone, kept = artifacts.put(b"gone"), artifacts.put(b"kept")
    assert artifacts.remove([gone, gone.replace("2", "1", 1)]) == 1
    assert artifacts.remove([gone]) == 0
    assert list(artifacts.names(FOR_EVER)) == [kept]
    assert artifacts.get(kept) == b"kept"
    with pytest.raises(LostArtifactError) as caught:
        artifacts.get(gone, "the result of `fetch` in run r7")
    assert caught.value.code == "ORCH-R090"
    for said in ("the result of `fetch` in run r7 is lost", gone, artifacts.url, "fork the run"):
        assert said in str(caught.value)


def test_a_place_without_anything_is_said_to_be_the_wrong_one(artifacts: Artifacts) -> None:
    with pytest.raises(LostArtifactError, match="nothing is kept in ") as caught:
        artifacts.get(name_of(DATA, 0.0))
    assert "mount it, or name the place" in str(caught.value)


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"!", DATA[:-1] + b"!"])
def test_other_content_is_never_given_out(artifacts: Artifacts, data: bytes) -> None:
    name = artifacts.put(DATA)
    write(artifacts, name, data)
    with pytest.raises(LostArtifactError, match="the answer of turn 3 is damaged") as caught:
        artifacts.get(name, "the answer of turn 3")
    assert f"the {len(data)} bytes" in str(caught.value)


@pytest.mark.parametrize("data", [None, b"", DATA[:-1]])
def test_putting_it_again_repairs_what_is_there(artifacts: Artifacts, data: bytes | None) -> None:
    name = artifacts.put(DATA)
    write(artifacts, name, data)
    assert artifacts.put(DATA) == name
    assert artifacts.get(name) == DATA


def test_a_folder_repairs_what_only_differs_in_content(tmp_path: Path) -> None:
    artifacts = Folder(tmp_path)
    name = artifacts.put(DATA)
    write(artifacts, name, DATA[:-1] + b"!")
    artifacts.put(DATA)
    assert artifacts.get(name) == DATA


HOSTILE = [
    "", "..", "../../etc/passwd", "20261130-../../../etc/passwd", "20261130/" + "a" * 64, "/etc/passwd",
    "20261130-" + "a" * 63, "20261130-" + "a" * 65, "20261130-" + "A" * 64, "20261130-" + "a" * 64 + "\n",
    "20261130-" + "a" * 64 + "/..", "٢٠٢٦١١٣٠-" + "a" * 64, "........-" + "a" * 64, "20261130-" + "a" * 64 + "\0",
    "20261130-" + "a" * 64 + "." + "b" * 16 + "/x",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_name_leads_nowhere(artifacts: Artifacts, name: str) -> None:
    artifacts.put(DATA)
    with pytest.raises(LostArtifactError, match="is no name of an artifact"):
        artifacts.get(name)
    with pytest.raises(ValueError, match="is no name of an artifact"):
        artifacts.remove([name])


@given(st.text() | st.from_regex(r"[0-9]{8}-[0-9a-f]{64}.?", fullmatch=True))
def test_a_name_is_eight_digits_and_sixty_four(name: str) -> None:
    is_one = re.fullmatch(r"[0-9]{8}-[0-9a-f]{64}", name, re.ASCII) is not None
    with pytest.raises(LostArtifactError) as caught:
        Folder(Path("/nowhere")).get(name)
    assert ("is no name" in str(caught.value)) is not is_one


@pytest.mark.parametrize(
    "day", ["", "99991231", "00000000", "20261301", "20261130 ", "2026113", "٢٠٢٦١١٣٠", "..", "README"]
)
def test_a_folder_of_somebody_elses_is_no_day(day: str) -> None:
    assert not ended_before(day, FOR_EVER)


def test_what_is_no_artifact_is_neither_named_nor_removed(tmp_path: Path) -> None:
    artifacts = Folder(tmp_path)
    name = artifacts.put(DATA)
    (tmp_path / "20010101").mkdir()
    (tmp_path / "20010101" / "notes.txt").write_text("mine")
    (tmp_path / "20010102").write_text("mine")
    (tmp_path / name[:8] / "notes.txt").write_text("mine")
    assert list(artifacts.names(FOR_EVER)) == [name]
    artifacts.remove([name])
    assert (tmp_path / name[:8] / "notes.txt").read_text() == "mine"


def test_a_folder_is_left_as_it_was_when_all_is_removed(tmp_path: Path) -> None:
    artifacts = Folder(tmp_path)
    assert artifacts.remove([artifacts.put(b"a"), artifacts.put(b"b")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_breaks_off_leaves_nothing_under_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = opened("pieces", tmp_path)
    monkeypatch.setattr(InPieces, "dies_after", 10)
    with pytest.raises(OSError, match="the connection is gone"):
        artifacts.put(DATA)
    assert list(artifacts.names(FOR_EVER)) == []
    monkeypatch.undo()
    assert artifacts.get(artifacts.put(DATA)) == DATA


@pytest.mark.parametrize("url", ["nonsense://bucket/x", "s3x://me:hush@bucket"])
def test_a_url_that_nobody_knows_is_a_coded_error_without_its_password(url: str) -> None:
    with pytest.raises(RunError) as caught:
        open_artifacts(url)
    assert caught.value.code == "ORCH-R091"
    assert "hush" not in str(caught.value)


def test_a_url_is_shown_without_its_password(tmp_path: Path) -> None:
    assert "hush" not in open_artifacts("memory://me:hush@host/runs").url


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["put", "get", "remove"]), st.integers(0, 3), st.integers(0, 2)), max_size=20)
)
@pytest.mark.parametrize("kind", PLACES)
def test_any_order_of_calls_is_that_of_a_dict(
    kind: str, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    artifacts = opened(kind, tmp_path_factory.mktemp("artifacts"))
    model: dict[str, bytes] = {}
    with pytest.MonkeyPatch.context() as patch:
        for what, content, day in steps:
            for module in (folder_module, remote_module):
                patch.setattr(module, "time", lambda day=day: day * DAY_S)
            data = bytes([content]) * content
            name = name_of(data, day * DAY_S)
            if what == "put":
                assert artifacts.put(data) == name
                model[name] = data
            elif what == "remove":
                assert artifacts.remove([name]) == (model.pop(name, None) is not None)
            elif name in model:
                assert artifacts.get(name) == data
            else:
                with pytest.raises(LostArtifactError):
                    artifacts.get(name)
            assert sorted(artifacts.names(FOR_EVER)) == sorted(model)
            assert sorted(artifacts.names(2 * DAY_S)) == sorted(n for n in model if not n.startswith("19700103"))


def test_the_large_values_of_a_file_of_runs_are_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_ARTIFACTS", raising=False)
    found = artifacts_of(f"sqlite:///{quote(str(tmp_path / 'my runs.db'))}")
    assert found is not None
    assert found.url == f"file://{tmp_path}/my runs.db.artifacts"
    assert artifacts_of("postgresql://host/runs") is None
    assert artifacts_of("memory:") is None
    monkeypatch.setenv("ORCH_ARTIFACTS", "memory://elsewhere")
    for url in ("sqlite:///runs.db", "postgresql://host/runs"):
        found = artifacts_of(url)
        assert found is not None
        assert found.url == "memory://elsewhere"
