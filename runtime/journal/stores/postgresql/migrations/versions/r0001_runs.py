"""Runs, their logs and notices, who executes them, programs and references to artifacts.

Times are Unix seconds as the protocol has them, so that a page is asked for with exactly the time that was given. Texts
are compared byte by byte, in whatever language the database sorts.

``orch_run`` is updated with each commit of a run, at places that no index has; the free space lets an update stay in
its page. Its four indexes of ``latest`` are for listing: whatever is asked for is a few ranges of one of them (a range
for each status), so a page costs the same among a thousand runs and among a million. The versions in one of them are
for claiming: ready runs of versions that nobody holds are passed over without being read.

``orch_log`` is one table, clustered by nothing: a run's rows are read, and removed, by its name, in one range of its
only index; appends of some hundred runs touch some hundred pages of that. Parts by time would put a run that waits for
months into many of them, and parts by name would help nobody to remove what is old.

There are no foreign keys: each would be looked up with every row, and what removes a run removes what belongs to it.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE orch_run (
        run_id text COLLATE "C" PRIMARY KEY,
        workflow text COLLATE "C" NOT NULL,
        version text COLLATE "C" NOT NULL,
        tenant text COLLATE "C" NOT NULL,
        key text COLLATE "C",
        status text COLLATE "C" NOT NULL,
        why text,
        wake_at float8,
        owner text COLLATE "C",
        epoch int8 NOT NULL,
        created_at float8 NOT NULL,
        updated_at float8 NOT NULL,
        rows int8 NOT NULL,
        log_bytes int8 NOT NULL,
        snapshot int8 NOT NULL,
        noted int8 NOT NULL,
        told int8 NOT NULL,
        CHECK ((status = 'running') = (owner IS NOT NULL))
    ) WITH (fillfactor = 70)
    """,
    "COMMENT ON COLUMN orch_run.snapshot IS 'the number of the row that reading begins with'",
    "COMMENT ON COLUMN orch_run.noted IS 'the number of the last notice'",
    "COMMENT ON COLUMN orch_run.told IS 'the number of the last notice that wakes'",
    "CREATE UNIQUE INDEX orch_run_key ON orch_run (tenant, workflow, key) WHERE key IS NOT NULL",
    "CREATE INDEX orch_run_wake ON orch_run (wake_at) WHERE status = 'waiting' AND wake_at IS NOT NULL",
    "CREATE INDEX orch_run_owner ON orch_run (owner) WHERE owner IS NOT NULL",
    "CREATE INDEX orch_run_latest ON orch_run (status, created_at, run_id)",
    "CREATE INDEX orch_run_latest_of_workflow ON orch_run (workflow, status, created_at, run_id, version)",
    "CREATE INDEX orch_run_latest_of_tenant ON orch_run (tenant, status, created_at, run_id)",
    "CREATE INDEX orch_run_latest_of_both ON orch_run (tenant, workflow, status, created_at, run_id)",
    """
    CREATE TABLE orch_log (
        run_id text COLLATE "C" NOT NULL,
        number int8 NOT NULL,
        epoch int8 NOT NULL,
        is_snapshot bool NOT NULL,
        at float8 NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (run_id, number)
    )
    """,
    """
    CREATE TABLE orch_notice (
        run_id text COLLATE "C" NOT NULL,
        number int8 NOT NULL,
        wakes bool NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (run_id, number)
    )
    """,
    """
    CREATE TABLE orch_owner (
        owner text COLLATE "C" PRIMARY KEY,
        session int8 NOT NULL,
        until float8 NOT NULL
    )
    """,
    "COMMENT ON COLUMN orch_owner.session IS 'the advisory lock that its process holds for as long as it lives'",
    'CREATE TABLE orch_program (version text COLLATE "C" PRIMARY KEY, data bytea NOT NULL)',
    """
    CREATE TABLE orch_reference (
        run_id text COLLATE "C" NOT NULL,
        artifact text COLLATE "C" NOT NULL,
        PRIMARY KEY (run_id, artifact)
    )
    """,
    "CREATE INDEX orch_reference_artifact ON orch_reference (artifact)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _TABLES:
        op.execute(statement)
