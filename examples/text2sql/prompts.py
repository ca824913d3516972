"""The prompts of the text-to-SQL dialogue, shared by the model's training corpus and by the workflow.

One conversation about one question, every prompt one user turn::

    system     SYSTEM
    user       link(schema, question)           assistant  {"tables": ["packages"]}
    user       SQL                              assistant  {"sql": "SELECT COUNT(*) FROM packages"}
    user       repair(error)                    assistant  {"sql": "SELECT COUNT(*) FROM packages"}
    user       answer(rows)                     assistant  There are 12 packages.

A conversation may also start with ``single(schema, question)``, which asks for the SQL at once. The schema comes
before the question so that questions over one database share a KV prefix.

The functions only format their arguments with plain f-strings: an argument may be a symbolic value that inserts a
marker when formatted, so nothing here calls a string method on an argument. The bundled model was trained on exactly
these texts; changing one requires training it again (``tests/examples/test_text2sql_corpus.py`` pins them).
"""

SYSTEM = 'You write SQLite queries. Reply with JSON: {"tables": ["..."]} or {"sql": "..."}; given rows, reply in words.'

SQL = "SQL?"
"""The turn that asks for the query once the tables are linked."""

NO_ROWS = "no rows"
"""The error to pass to ``repair`` when a query executed but returned no rows (or only NULL)."""


def link(schema: object, question: object) -> str:
    """Ask which tables the question needs; the reply is ``{"tables": [...]}``."""
    return f"Schema:\n{schema}\nQuestion: {question}\nTables?"


def single(schema: object, question: object) -> str:
    """Ask for the query at once, without linking first; the reply is ``{"sql": "..."}``."""
    return f"Schema:\n{schema}\nQuestion: {question}\nSQL?"


def repair(error: object) -> str:
    """Report SQLite's message about the last query and ask for a corrected one."""
    return f"Error: {error}\nSQL?"


def answer(rows: object) -> str:
    """Show the result rows (as ``rows_text`` renders them) and ask for a short answer in words."""
    return f"Rows:\n{rows}\nAnswer?"
