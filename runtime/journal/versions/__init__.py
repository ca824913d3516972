"""Logs that other versions of a workflow have written."""
