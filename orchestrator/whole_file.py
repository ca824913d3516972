"""Writing a file whole or not at all, so that a full disk or a killed process leaves the one that was there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO


def write_whole(path: Path, content: str | bytes) -> None:
    """Write bytes, or a text in UTF-8, in place of what the file held. Raises ``OSError`` that names ``path``."""
    with written_whole(path) as out:
        out.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_whole(path: Path, *, is_private: bool = False) -> Iterator[BinaryIO]:
    """What is written within takes the place of what the file held, at the end; an exception leaves that as it was.

    A link is followed. What is no regular file, such as a pipe, and a file in a folder that takes no others, is
    written as it is. A file that ``is_private`` can be read by its owner only. Raises ``OSError`` that names ``path``.
    """
    in_place = path.exists() and not (path.is_file() and os.access(path.resolve().parent, os.W_OK))
    draft: Path | None = None
    try:
        if in_place:
            with path.open("wb") as out:
                yield out
            return
        try:
            file = path.resolve()
        except RuntimeError as circle:  # up to Python 3.12
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from circle
        draft = file.with_name(f".{file.name[:50]}.{token_hex(4)}")
        with open(draft, "xb", opener=_private if is_private else None) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        if file.exists() and not is_private:
            shutil.copymode(file, draft)
        draft.replace(file)
    except BaseException as failure:
        if draft is not None:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        if isinstance(failure, OSError):
            raise OSError(failure.errno, failure.strerror, str(path)) from failure
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
