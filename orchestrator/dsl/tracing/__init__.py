"""One trace: its ops, regions, order of effects, names and errors, and Python objects as values of it."""
