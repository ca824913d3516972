"""The four with tasks and entrypoints."""
