"""Large values of runs: kept outside of the log, named by their content."""
