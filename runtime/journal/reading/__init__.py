"""Logs read for people: timelines, open questions, exports."""
