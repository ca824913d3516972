"""Values while a workflow runs: what they are to tools, to models and to Python."""
