"""Writing a file whole or not at all, so that a full disk or a killed process leaves the one that was there."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from threading import get_ident


def write_whole(path: Path, content: str | bytes) -> None:
    """Write bytes, or a text in UTF-8, in place of what the file held. Raises ``OSError`` that names ``path``.

    A link is followed. What is no regular file, such as a pipe, and a file in a folder that takes no others, is
    written as it is.
    """
    try:
        file = path.resolve()
    except RuntimeError as circle:  # up to Python 3.12
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from circle
    in_place = file.exists() and not (file.is_file() and os.access(file.parent, os.W_OK))
    draft = file if in_place else file.with_name(f".{file.name[:50]}.{os.getpid()}.{get_ident()}")
    try:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        if not in_place:
            if file.exists():
                shutil.copymode(file, draft)
            draft.replace(file)
    except BaseException as failure:
        if not in_place:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        if isinstance(failure, OSError):
            raise OSError(failure.errno, failure.strerror, str(path)) from failure
        raise
