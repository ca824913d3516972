"""The numbers of claims, from one sequence for all runs.

Were they counted by run, a run that was removed and is made again would count anew, and who had claimed the first one
could write to the second. A sequence is not taken back with a transaction, so no number is given twice.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the sequence, which goes on behind the claims that there are."""
    op.execute("CREATE SEQUENCE orch_epoch")
    op.execute("SELECT setval('orch_epoch', max(epoch)) FROM orch_run HAVING max(epoch) > 0")
