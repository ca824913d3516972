"""The pure functions of Python that the IR knows, one file for each kind of value; each is called by keyword."""
