"""Files are written whole, or left as they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.whole_file import write_whole, written_whole


def test_it_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text("old")
    file.chmod(0o640)
    write_whole(file, "new\r\né")
    assert file.read_bytes() == "new\r\né".encode()
    assert file.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["plan.json"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"


def test_a_link_to_itself_is_an_error_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")
    with pytest.raises(OSError, match="link"):
        write_whole(tmp_path / "link", "text")


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    file = tmp_path / ("\u6587" * 83 + ".txt")
    write_whole(file, "text")
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_what_cannot_be_written_leaves_the_old_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(file, "half a character: \ud800")
    assert file.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["plan.json"]


def test_the_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none/plan"):
        write_whole(tmp_path / "none" / "plan.json", "")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_whole(Path("/dev/full"), "text")
    assert Path("/dev/full").is_char_device()


def test_what_is_private_is_so_from_its_first_byte(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("old")
    with written_whole(tmp_path / "run", is_private=True) as out:
        out.write(b"secret")
        assert [each.stat().st_mode & 0o777 for each in tmp_path.iterdir() if each.name != "run"] == [0o600]
    assert ((tmp_path / "run").read_bytes(), (tmp_path / "run").stat().st_mode & 0o777) == (b"secret", 0o600)


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(tmp_path / "pipe", "text")
        assert os.read(reader, 9) == b"text"
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
