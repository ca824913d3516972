"""DBOS in PostgreSQL: in a database of the server at `ORCH_BENCH_POSTGRESQL`, named after the folder."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.arms.durable_dbos import main


def url(folder: Path) -> str:
    """The URL of a database of its own, which DBOS creates."""
    return os.environ["ORCH_BENCH_POSTGRESQL"].rpartition("/")[0] + "/dbos_" + folder.name.replace("-", "_").lower()


if __name__ == "__main__":
    main("dbos-postgresql", url)
