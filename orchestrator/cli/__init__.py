"""``orch``: one file a command, each imported when it is used. Results go to stdout, everything else to stderr."""
