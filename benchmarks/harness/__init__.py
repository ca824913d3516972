"""What every benchmark shares: the output model, the machine's description, statistics, venvs and arm processes."""
