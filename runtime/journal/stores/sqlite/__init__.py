"""Runs in a file of SQLite's, shared by all processes of one machine.

======================  ==============================================================================
:mod:`~.store`          the store: what is appended, and who waits for it
:mod:`~.connections`    a thread with a connection, which commits everything that has queued up at once
:mod:`~.schema`         the tables, and how an older file gets them
:mod:`~.runs`           what is written: runs, rows, notices, as statements
:mod:`~.claims`         who executes what
:mod:`~.reading`        what is read: runs, logs, lists
:mod:`~.processes`      which processes are alive
:mod:`~.damage`         what a damaged file has lost
======================  ==============================================================================
"""
