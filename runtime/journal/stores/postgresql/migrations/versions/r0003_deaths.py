"""How many owners of a run have died without anything that has come of it, and the runs that are claimed alone for it.

The index is of few runs: those whose owners have died twice in a row.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, which takes no rewriting, and the index."""
    op.execute("ALTER TABLE orch_run ADD COLUMN deaths int8 NOT NULL DEFAULT 0")
    op.execute("CREATE INDEX orch_run_alone ON orch_run (status, owner, created_at, run_id) WHERE deaths >= 2")
