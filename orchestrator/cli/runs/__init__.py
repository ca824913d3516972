"""``orch runs``: the runs that a store keeps."""

from orchestrator.cli.runs.group import command

__all__ = ["command"]
