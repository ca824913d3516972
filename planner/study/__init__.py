"""Studies with the simulator: policies x clusters x load, their tables and their plots."""
