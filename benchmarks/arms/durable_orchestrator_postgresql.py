"""Our runtime on PostgreSQL: in a database of the server at `ORCH_BENCH_POSTGRESQL`, named after the folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psycopg

from benchmarks.arms.durable_orchestrator import main


def url(folder: Path) -> str:
    """The URL of a database of its own, which is made if there is none."""
    server = os.environ["ORCH_BENCH_POSTGRESQL"]
    name = "ours_" + folder.name.replace("-", "_").lower()
    with psycopg.connect(server, autocommit=True) as connection, suppress(psycopg.errors.DuplicateDatabase):
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{server.rpartition('/')[0]}/{name}"


if __name__ == "__main__":
    main("postgresql", url)
