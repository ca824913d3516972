"""Ops with regions: branch, switch, loop, map, race, attempt, and failing on purpose."""
