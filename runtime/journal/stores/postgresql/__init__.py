"""Runs in a PostgreSQL (12 or newer), for any number of processes on any number of machines.

- ``address``: what a URL says; a password is in none that is shown.
- ``connections``: sessions that are opened when they are needed, and again when they broke.
- ``migrating``, ``migrations``: the tables, made and changed by Alembic.
- ``flushing``: what runs appended, written together; the fence.
- ``claiming``: who executes what, until when, and who is dead.
- ``listening``: the session that tells this process of news, and the others that it lives.
- ``store``: the store.
"""
