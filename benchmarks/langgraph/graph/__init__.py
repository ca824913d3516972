"""The four as state graphs."""
