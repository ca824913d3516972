"""Running workflows from Python: what ``run``, ``stream`` and ``Session`` are made of, and ``orch run`` uses too."""
