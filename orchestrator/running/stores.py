"""The store of a session's runs: ``store=``, or ``.orch/runs.db`` in the current folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from orchestrator.runtime.journal.stores.opened import DEFAULT_URL, open_store

if TYPE_CHECKING:
    from orchestrator.runtime.journal.stores.base import Store

    StoreLike: TypeAlias = str | os.PathLike[str] | Store

FOLDER: Final = Path(DEFAULT_URL.removeprefix("sqlite:///")).parent


async def opened(given: StoreLike) -> tuple[Store, bool]:
    """The store that is meant by a URL, a path or a store, and whether it was opened here.

    Raises ``JournalError`` ORCH-R093 and ORCH-R094.
    """
    if isinstance(given, (str, os.PathLike)):
        url = os.fspath(given)
        if url == DEFAULT_URL:
            _make_folder()
        return await open_store(url), True
    return given, False


def _make_folder() -> None:
    """Runs hold what prompts and tools say, so nobody else may read them, and no repository should have them."""
    with suppress(OSError):  # whoever opens the store says what is wrong with the folder
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError), (FOLDER / ".gitignore").open("x", encoding="utf-8") as file:
            file.write("*\n")
